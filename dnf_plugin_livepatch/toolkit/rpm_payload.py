# SPDX-License-Identifier: GPL-2.0-or-later
"""The files inside an RPM, read from its payload and never written to disk. Hostile until checked."""

from __future__ import annotations

import re
import stat
import subprocess
from collections.abc import Iterator
from typing import IO, NamedTuple

from .errors import refuse
from .programs import need

# Eight hex digits in each field: int() alone would take a sign, and so a size below zero.
_MEMBER = re.compile(rb"07070[12][0-9A-Fa-f]{104}")
_LONGEST_NAME = 4096


class Part:
    """The next ``left`` bytes of a stream: one file of the payload."""

    def __init__(self, stream: IO[bytes], left: int) -> None:
        self.stream, self.left = stream, left

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes more of the file."""
        data = self.stream.read(min(size, self.left))
        self.left -= len(data)
        return data


class Member(NamedTuple):
    """One regular file of a payload: its path, without a leading dot, its size and its content."""

    name: str
    size: int
    part: Part


def members(path: str) -> Iterator[Member]:
    """Each regular file in the RPM at ``path``, in payload order. Raises ToolError.

    A file that the caller does not read, or not to its end, is skipped.
    """
    program = need("rpm2cpio", "Install rpm.")
    child = subprocess.Popen([program, path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert child.stdout is not None
    try:
        yield from unpacked(child.stdout, path)
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def unpacked(stream: IO[bytes], path: str) -> Iterator[Member]:
    """Each regular file in ``stream``, a cpio archive of the `newc` form; errors call it ``path``."""
    while True:
        head = exactly(stream, 110, path)
        if not _MEMBER.fullmatch(head):
            refuse("rpm-unreadable", file=path, reason="its payload is broken")
        mode, size, length = (int(head[i : i + 8], 16) for i in (14, 54, 94))
        if not 0 < length <= _LONGEST_NAME:
            refuse("rpm-unreadable", file=path, reason="its payload is broken")
        name = exactly(stream, length, path)[:-1].decode("utf-8", "replace")
        exactly(stream, -(110 + length) % 4, path)
        if name == "TRAILER!!!":
            return
        part = Part(stream, size)
        if stat.S_ISREG(mode):
            yield Member(name[1:] if name.startswith("./") else name, size, part)
        while part.left:
            if not part.read(1 << 20):
                refuse("rpm-unreadable", file=path, reason="its payload is cut")
        exactly(stream, -size % 4, path)


def exactly(stream: IO[bytes] | Part, size: int, path: str) -> bytes:
    """The next ``size`` bytes of ``stream``. Raises ToolError when it ends before."""
    data = stream.read(size)
    if len(data) != size:
        refuse("rpm-unreadable", file=path, reason="its payload is cut")
    return data
