# SPDX-License-Identifier: GPL-2.0-or-later
"""Read a log of disk writes as QEMU's blklogwrites makes it, and replay it up to any point.

The format is that of the kernel's dm-log-writes (Documentation/admin-guide/device-mapper/log-writes.rst):
one sector of superblock, then for each request one sector of header, followed by the data if there are any.
"""

from __future__ import annotations

import os
import struct
from typing import BinaryIO, NamedTuple

MAGIC = 0x6A736677736872
FLUSH, FUA, DISCARD = 1, 2, 4
_SUPER = struct.Struct("<QQQI")
_HEADER = struct.Struct("<QQQQ")


class Entry(NamedTuple):
    """One request: ``start`` and ``size`` in bytes on the disk, ``data`` where its bytes lie in the log."""

    start: int
    size: int
    flags: int
    data: int

    @property
    def durable(self) -> bool:
        """Whether the disk had to make durable what came before (a flush), or this very write."""
        return bool(self.flags & (FLUSH | FUA))


def count(path: str) -> int:
    """How many requests the log's superblock tells of; it is brought up to date with every flush."""
    with open(path, "rb") as file:
        magic, version, entries, _ = _SUPER.unpack(file.read(_SUPER.size))
    if magic != MAGIC or version != 1:
        raise ValueError(f"{path} is no log of writes")
    return int(entries)


def read(path: str) -> list[Entry]:
    """The requests in the order in which the guest made them. Raises ValueError for what is no such log."""
    found: list[Entry] = []
    total = count(path)
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        sector = _SUPER.unpack(file.read(_SUPER.size))[3]
        at = sector
        while len(found) < total:
            file.seek(at)
            first, sectors, flags, _ = _HEADER.unpack(file.read(_HEADER.size))
            length = 0 if flags & DISCARD else sectors * sector
            at += sector
            if at + length > size:
                raise ValueError(f"{path}: request {len(found)} lies outside of the log")
            found.append(Entry(first * sector, sectors * sector, flags, at))
            at += length
    return found


class Replay:
    """A raw disk image that goes forward through the log, one request after the other."""

    def __init__(self, log: str, image: str) -> None:
        self.entries = read(log)
        self.position = 0
        self._log: BinaryIO = open(log, "rb")
        self._image: BinaryIO = open(image, "r+b")

    def __enter__(self) -> Replay:
        return self

    def __exit__(self, *_: object) -> None:
        self._log.close()
        self._image.close()

    def forward(self, position: int) -> None:
        """Apply the requests before ``position``. There is no way back."""
        for entry in self.entries[self.position : position]:
            self._image.seek(entry.start)
            if entry.flags & DISCARD:
                self._image.write(bytes(entry.size))
            elif entry.size:
                self._log.seek(entry.data)
                self._image.write(self._log.read(entry.size))
        self._image.flush()
        self.position = max(self.position, position)
