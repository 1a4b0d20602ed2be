# SPDX-License-Identifier: GPL-2.0-or-later
"""A repository's extra metadata as text, unpacked under a bound.

libdnf's ``get_metadata_content`` unpacks all of a file into memory first: 31 KiB may hold gigabytes.
librepo has checked the file's digest against repomd.xml when it was fetched.
"""

from __future__ import annotations

import os
from functools import partial

from ..base.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

_BLOCK = 1 << 16
_XZ_MEMORY = 64 << 20


class Unreadable(OSError):
    """The file is larger than its bound, or damaged; str() says which."""


def text(path: str, most: int) -> str:
    """The text in the file at ``path``. Raises as ``blocks`` does."""
    try:
        return b"".join(blocks(path, most)).decode("utf-8")
    except UnicodeError as error:
        raise Unreadable(f"it cannot be unpacked: {error}") from None


def blocks(path: str, most: int) -> Iterator[bytes]:
    """The content of the file at ``path``, plain or packed by gzip, bzip2, xz or zstd, in small blocks.

    Raises OSError, and Unreadable for one that unpacks to more than ``most`` bytes.
    """
    left = most
    with open(path, "rb") as file:
        magic = file.read(6)
        file.seek(0)
        try:
            for block in _unpacked(file, magic):
                left -= len(block)
                if left < 0:
                    raise Unreadable(f"it unpacks to more than {most >> 20} MiB")
                yield block
        except (EOFError, ValueError) as error:
            raise Unreadable(f"it cannot be unpacked: {error}") from None


def _unpacked(file: BinaryIO, magic: bytes) -> Iterator[bytes]:
    """The content in blocks, each of bounded size. Raises ValueError for damage."""
    if magic.startswith(b"\x28\xb5\x2f\xfd"):
        yield from _zstd(file)
        return
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
            yield from iter(partial(packed.read, _BLOCK), b"")
        return
    yield from iter(partial(file.read, _BLOCK), b"")


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


def _zstd(file: BinaryIO) -> Iterator[bytes]:
    """By the zstd program: the standard library has no zstd before Python 3.14."""
    import subprocess

    os.lseek(file.fileno(), 0, os.SEEK_SET)
    try:
        child = subprocess.Popen(
            ["zstd", "-dcq", "--memory=64MB"], stdin=file, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except OSError as error:
        raise ValueError(f"zstd cannot be run: {error.strerror}") from None
    with child:
        assert child.stdout is not None
        try:
            yield from iter(partial(child.stdout.read, _BLOCK), b"")
            if child.wait():
                raise ValueError("zstd finds it damaged")
        finally:
            child.kill()
