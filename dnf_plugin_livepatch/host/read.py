# SPDX-License-Identifier: GPL-2.0-or-later
"""Bounded reads of files that may be gone, torn, endless or hostile."""

from __future__ import annotations

import os
from functools import partial

_LOCK_LINE = 4096


def read_bytes(path: str, limit: int) -> bytes:
    """Return at most ``limit`` bytes of ``path``; b"" when it cannot be read (gone, refused, no file)."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except (OSError, ValueError):
        return b""
    try:
        chunks, left = [], limit
        while left > 0:
            chunk = os.read(descriptor, min(left, 1 << 20))
            if not chunk:
                break
            chunks.append(chunk)
            left -= len(chunk)
        return b"".join(chunks)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def locked(locks: str, path: str, kind: str) -> bool:
    """Return whether a process holds a lock for writing of ``kind`` (FLOCK, POSIX) on the file ``path``.

    ``locks`` is the kernel's list, /proc/locks: anybody may read it, while only root may open the file.
    """
    try:
        found = os.stat(path)
    except OSError:
        return False
    mark = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    # Any user can make the list long, so that it is read line by line to its end.
    try:
        with open(locks, encoding="ascii", errors="replace") as file:
            rows = (line.split() for line in iter(partial(file.readline, _LOCK_LINE), ""))
            return any(row[1:2] == [kind] and row[3:4] == ["WRITE"] and mark in row for row in rows)
    except OSError:
        return False


def read_text(path: str, limit: int = 65536) -> str:
    """Return the text of ``path``, stripped, of at most ``limit`` bytes; "" when it cannot be read."""
    return read_bytes(path, limit).decode("utf-8", "replace").strip()
