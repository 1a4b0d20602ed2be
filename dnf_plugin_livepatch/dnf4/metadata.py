# SPDX-License-Identifier: GPL-2.0-or-later
"""A repository's extra metadata as text, unpacked under a bound.

libdnf's ``get_metadata_content`` unpacks all of a file into memory first: 31 KiB may hold gigabytes.
librepo has checked the file's digest against repomd.xml when it was fetched.
"""

from __future__ import annotations

import os

from ..base.typed import TYPE_CHECKING
from ..host import program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

_BLOCK = 1 << 16
_XZ_MEMORY = 64 << 20
_SECONDS = 10.0


class Unreadable(OSError):
    """The file is larger than its bound, or damaged; str() says which."""


def text(path: str, most: int) -> str:
    """The text in the file at ``path``, plain or packed by gzip, bzip2, xz or zstd.

    Raises OSError, and Unreadable for one that unpacks to more than ``most`` bytes.
    """
    with open(path, "rb") as file:
        magic = file.read(6)
        file.seek(0)
        if magic.startswith(b"\x28\xb5\x2f\xfd"):
            return _zstd(path, most)
        found = bytearray()
        try:
            for block in _unpacked(file, magic):
                found += block
                if len(found) > most:
                    raise Unreadable(f"it unpacks to more than {most >> 20} MiB")
            return found.decode("utf-8")
        except (EOFError, ValueError) as error:
            raise Unreadable(f"it cannot be unpacked: {error}") from None


def _unpacked(file: BinaryIO, magic: bytes) -> Iterator[bytes]:
    """The content in blocks, each of bounded size. Raises ValueError for damage."""
    if magic.startswith(b"\x1f\x8b"):
        import zlib

        try:
            yield from _gzip(file)
        except zlib.error as error:
            raise ValueError(str(error)) from None
        return
    if magic.startswith(b"\xfd7zXZ\0"):
        import lzma

        try:
            unpacker = lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
            while not unpacker.eof:
                data = file.read(_BLOCK) if unpacker.needs_input else b""
                if unpacker.needs_input and not data:
                    raise ValueError("it is cut short")
                yield unpacker.decompress(data, _BLOCK)
        except lzma.LZMAError as error:
            raise ValueError(str(error)) from None
        return
    if magic.startswith(b"BZh"):
        import bz2

        with bz2.BZ2File(file) as packed:
            yield from iter(lambda: packed.read(_BLOCK), b"")
        return
    yield from iter(lambda: file.read(_BLOCK), b"")


def _gzip(file: BinaryIO) -> Iterator[bytes]:
    """The members of a gzip file, one after the other."""
    import zlib

    data = file.read(_BLOCK)
    while data:
        unpacker = zlib.decompressobj(31)
        while not unpacker.eof:
            if not data:
                raise ValueError("it is cut short")
            yield unpacker.decompress(data, _BLOCK)
            data = unpacker.unconsumed_tail or unpacker.unused_data or file.read(_BLOCK)


def _zstd(path: str, most: int) -> str:
    """By the zstd program: the standard library has no zstd before Python 3.14."""
    argv = ["zstd", "-dcq", "--memory=64MB", "--", os.path.abspath(path)]
    try:
        status, output = program.run(argv, _SECONDS, most=most)
    except program.Unusable as fault:
        raise Unreadable(f"it is packed by zstd: {fault}") from None
    if status != 0:
        raise Unreadable(f"it is packed by zstd: {' '.join(output.split())[:100]}")
    return output
