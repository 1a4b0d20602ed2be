# SPDX-License-Identifier: GPL-2.0-or-later
"""The lock of the rpm database: while an RPM transaction holds it, the database cannot be relied on."""

from __future__ import annotations

import fcntl
import os
import struct
import time

from ...base.paths import Paths
from ..read import locked


def busy(folder: str) -> bool:
    """Return whether an RPM transaction holds the database's lock, without taking the lock."""
    try:
        descriptor = os.open(folder + "/.rpm.lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        # struct flock of a 64-bit kernel: type, whence, start, len, pid
        asked = struct.pack("hhxxxxqqixxxx", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        answer = fcntl.fcntl(descriptor, fcntl.F_GETLK, asked)
        return bool(struct.unpack("hhxxxxqqixxxx", answer)[0] != fcntl.F_UNLCK)
    except OSError:
        return False
    finally:
        os.close(descriptor)


def held(paths: Paths, folder: str) -> bool:
    """Return whether an RPM transaction holds the database's lock, by the kernel's list of locks.

    Unlike ``busy`` this needs no right to open the lock's file.
    """
    return locked(paths.at("/proc/locks"), folder + "/.rpm.lock", "POSIX")


def wait_idle(folder: str, seconds: float) -> bool:
    """Wait at most ``seconds`` for a running transaction to end; return whether none runs then."""
    end = time.monotonic() + seconds
    while busy(folder):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True
