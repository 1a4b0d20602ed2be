# SPDX-License-Identifier: GPL-2.0-or-later
"""Helpers of every step of the build: folders, progress, running programs, the cache."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Callable

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
BUILD = os.environ.get("VM_BUILD", os.path.join(ROOT, "build", "vm"))
# The moment of each publish and of each build, in seconds: what is built twice is the same, and a rollout
# that began at this moment is under way.
PUBLISHED = "1793491200"
# Of each kind of folder the newest KEEP stay, and all that were used in the last KEEP_TIME seconds.
KEEP = 3
KEEP_TIME = 7200
_START = time.monotonic()


class Failure(Exception):
    """A step could not be done; str() is a few lines with the step and the reason."""


class Progress:
    """Whether progress is printed: to a terminal only. ``make vm`` adds nothing to its command's output."""

    shown = sys.stderr.isatty()


def say(text: str) -> None:
    """Print one line of progress on stderr, with the seconds since the start."""
    if Progress.shown:
        print(f"[{time.monotonic() - _START:4.0f} s] {text}", file=sys.stderr, flush=True)


def run(
    argv: Sequence[str],
    *,
    cwd: str | None = None,
    timeout: float = 540,
    env: dict[str, str] | None = None,
    stdin: bytes | None = None,
) -> str:
    """Run ``argv`` and return its stdout. Raises Failure with the end of its output when it fails."""
    try:
        done = subprocess.run(
            argv,
            cwd=cwd,
            input=stdin if stdin is not None else b"",
            timeout=timeout,
            check=False,
            env={**os.environ, "LC_ALL": "C.UTF-8", **(env or {})},
            capture_output=True,
        )
    except FileNotFoundError:
        raise Failure(f"{argv[0]} is not installed; `make setup` installs what is needed") from None
    except subprocess.TimeoutExpired:
        raise Failure(f"{' '.join(argv)[:200]}: not done after {timeout:.0f} s") from None
    if done.returncode:
        tail = (done.stdout + done.stderr).decode("utf-8", "replace").strip().splitlines()[-25:]
        raise Failure(f"{' '.join(argv)[:300]}: exit status {done.returncode}\n" + "\n".join(tail))
    return done.stdout.decode("utf-8", "replace")


@contextlib.contextmanager
def lock() -> Iterator[None]:
    """Let one process build at a time; the others wait and then find the result."""
    os.makedirs(BUILD, exist_ok=True)
    with open(os.path.join(BUILD, "lock"), "w", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another build is under way: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def digest(*parts: str | bytes) -> str:
    """A short key of everything in ``parts``."""
    sha = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        sha.update(b"%d:" % len(data) + data)
    return sha.hexdigest()[:16]


def content(*paths: str) -> str:
    """A short key of the names and the contents of the files at ``paths``."""
    sha = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            sha.update(os.path.basename(path).encode() + b"\0" + hashlib.sha256(file.read()).digest())
    return sha.hexdigest()[:16]


def here(*names: str) -> list[str]:
    """Paths of files of this package."""
    return [os.path.join(HERE, name) for name in names]


def program(tool: str) -> list[str]:
    """Paths of the sources of ``tool`` (rpmtool or repotool) and of the rooms that it imports."""
    rooms = (tool, "toolkit", "base", "formats", "vendors")
    found = [
        glob.glob(os.path.join(ROOT, "dnf_plugin_livepatch", room, "**", "*.py"), recursive=True)
        for room in rooms
    ]
    return sorted(path for paths in found for path in paths)


def write(path: str, text: str, mode: int = 0o644) -> None:
    """Write ``text`` to ``path``, making the folders above it."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, mode)


def cached(kind: str, key: str, note: str, make: Callable[[str], None]) -> str:
    """Return the folder ``kind-key`` below the build folder; ``make`` fills a new one.

    A new folder appears by rename, complete or not at all; whoever wants it meanwhile waits for it. Older
    folders of the kind are kept for a while, because a running machine may still use them.
    """
    path = os.path.join(BUILD, f"{kind}-{key}")
    os.makedirs(BUILD, exist_ok=True)
    with open(os.path.join(BUILD, f".{kind}.lock"), "w", encoding="ascii") as lock:
        if not os.path.isdir(path):
            fcntl.flock(lock, fcntl.LOCK_EX)
        _filled(kind, path, note, make)
    os.utime(path)
    return path


def _filled(kind: str, path: str, note: str, make: Callable[[str], None]) -> None:
    """Fill the folder ``path`` where it is missing, and drop old ones of the kind."""
    if not os.path.isdir(path):
        say(note)
        work = path + ".new"
        shutil.rmtree(work, ignore_errors=True)
        os.makedirs(work)
        make(work)
        os.rename(work, path)
        others = [
            os.path.join(BUILD, name)
            for name in os.listdir(BUILD)
            if name.startswith(kind + "-") and not name.endswith(".new")
        ]
        for old in sorted(others, key=os.path.getmtime, reverse=True)[KEEP:]:
            if time.time() - os.path.getmtime(old) > KEEP_TIME:
                shutil.rmtree(old, ignore_errors=True)
