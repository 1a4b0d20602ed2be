# SPDX-License-Identifier: GPL-2.0-or-later
"""Private folders for work in progress, which do not outlive a killed process for long.

A process holds a lock on a file in its folder. The kernel lets go of the lock when the process ends, however
it ends. A folder whose lock is free is left over, and whoever makes the next folder of that name removes it.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import functools
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator

_OWNER = ".owner"


class Scratch:
    """The private folder ``path`` below ``below``, named ``prefix`` and some letters, until ``close``."""

    def __init__(self, prefix: str, below: str = "") -> None:
        below = below or tempfile.gettempdir()
        _sweep(below, prefix)
        self.path = tempfile.mkdtemp(prefix=prefix, dir=below)
        unlocked = os.path.join(self.path, _OWNER + ".new")
        self._lock = os.open(unlocked, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        # Under its final name the file is locked from the start, so that no other process takes it for left.
        os.rename(unlocked, os.path.join(self.path, _OWNER))

    def keep(self) -> None:
        """Leave the folder to the person, for ever."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self.path, _OWNER))
        os.close(self._lock)

    def close(self) -> None:
        """Remove the folder with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


@contextlib.contextmanager
def folder(prefix: str, below: str = "") -> Iterator[str]:
    """The path of a Scratch, which is removed at the end."""
    scratch = Scratch(prefix, below)
    try:
        yield scratch.path
    finally:
        scratch.close()


def of_process(prefix: str) -> str:
    """The path of a Scratch that this process uses again and again, until the process ends."""
    return _made(prefix, os.getpid())


@functools.cache
def _made(prefix: str, _pid: int) -> str:
    """The path of the Scratch of one process: a child may be another user's, and has one of its own."""
    scratch = Scratch(prefix)
    atexit.register(scratch.close)
    return scratch.path


def _sweep(below: str, prefix: str) -> None:
    """Remove this user's left folders ``prefix`` in ``below``."""
    try:
        names = [name for name in os.listdir(below) if name.startswith(prefix)]
    except OSError:
        return
    for name in names:
        path = os.path.join(below, name)
        with contextlib.suppress(OSError):
            status = os.lstat(path)
            if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid():
                _remove_left(path)


def _remove_left(path: str) -> None:
    """Remove the folder ``path`` if its lock is free; a folder without a lock was kept. Raises OSError."""
    lock = os.open(os.path.join(path, _OWNER), os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(lock)
