# SPDX-License-Identifier: GPL-2.0-or-later
"""Compressed data of packages and repositories, unpacked in blocks of bounded size.

The standard library has no zstd before Python 3.14, and a host need not have the zstd program. rpm, librepo
and systemd link libzstd, so that library is there.
"""

from __future__ import annotations

from ..base.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, BinaryIO

#: Memory in bytes that xz may take for its window. zstd's own default limit is the same.
MAX_WINDOW = 128 << 20
_BLOCK = 1 << 16
#: The first bytes of a file, and the compression that they tell.
MAGIC = ((b"\xfd7zXZ\0", "xz"), (b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"BZh", "bzip2"))


class DamagedError(ValueError):
    """The data cannot be unpacked; str() is the reason."""


def kind(head: bytes) -> str:
    """The compression of a file that begins with ``head``, "" for none that is known."""
    return next((name for magic, name in MAGIC if head.startswith(magic)), "")


def blocks(file: BinaryIO, compression: str) -> Iterator[bytes]:
    """What ``file`` holds from where it stands on, unpacked by ``compression`` ("" leaves it as it is).

    The caller bounds the sum of the blocks. Raises OSError, and DamagedError.
    """
    unpack = {"xz": _xz, "bzip2": _bzip2, "gzip": _gzip, "zstd": _zstd, "": _plain}[compression]
    return unpack(file)


def _plain(file: BinaryIO) -> Iterator[bytes]:
    data = file.read(_BLOCK)
    while data:
        yield data
        data = file.read(_BLOCK)


def _damaged(why: object) -> DamagedError:
    return DamagedError(f"its compressed data is damaged: {why}")


def _cut() -> DamagedError:
    return _damaged("it is cut short")


def _xz(file: BinaryIO) -> Iterator[bytes]:
    import lzma

    try:
        yield from _streams(file, lambda: lzma.LZMADecompressor(memlimit=MAX_WINDOW))
    except lzma.LZMAError as error:
        raise _damaged(error) from None


def _bzip2(file: BinaryIO) -> Iterator[bytes]:
    import bz2

    try:
        yield from _streams(file, bz2.BZ2Decompressor)
    except (OSError, ValueError) as error:
        raise _damaged(error) from None


def _streams(file: BinaryIO, make: Any) -> Iterator[bytes]:
    """The streams of an xz or bzip2 file, one after the other."""
    data = file.read(_BLOCK)
    while data:
        unpacker = make()
        while not unpacker.eof:
            if unpacker.needs_input and not data:
                raise _cut()
            yield unpacker.decompress(data, _BLOCK)
            data = b"" if unpacker.eof or not unpacker.needs_input else file.read(_BLOCK)
        # xz allows zeros after a stream (the .xz file format, "Stream Padding").
        data = unpacker.unused_data.lstrip(b"\0")
        while not data:
            data = file.read(_BLOCK)
            if not data:
                return
            data = data.lstrip(b"\0")


def _gzip(file: BinaryIO) -> Iterator[bytes]:
    """The members of a gzip file, one after the other."""
    import zlib

    data = file.read(_BLOCK)
    try:
        while data:
            unpacker = zlib.decompressobj(31)
            while not unpacker.eof:
                if not data:
                    raise _cut()
                yield unpacker.decompress(data, _BLOCK)
                data = unpacker.unconsumed_tail or unpacker.unused_data or file.read(_BLOCK)
    except zlib.error as error:
        raise _damaged(error) from None


def _zstd(file: BinaryIO) -> Iterator[bytes]:
    """The frames of a zstd file, one after the other, by libzstd's streaming interface (zstd.h)."""
    import ctypes

    class Buffer(ctypes.Structure):
        _fields_ = [("data", ctypes.c_char_p), ("size", ctypes.c_size_t), ("at", ctypes.c_size_t)]

    try:
        library = ctypes.CDLL("libzstd.so.1")
        make, step = library.ZSTD_createDStream, library.ZSTD_decompressStream
        free, failed, name = library.ZSTD_freeDStream, library.ZSTD_isError, library.ZSTD_getErrorName
    except (OSError, AttributeError):
        raise DamagedError("it is compressed with zstd, and this host has no libzstd.so.1") from None
    make.restype, step.restype, name.restype = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p
    step.argtypes = [ctypes.c_void_p, ctypes.POINTER(Buffer), ctypes.POINTER(Buffer)]
    free.argtypes, failed.argtypes, name.argtypes = [ctypes.c_void_p], [ctypes.c_size_t], [ctypes.c_size_t]
    room = ctypes.create_string_buffer(_BLOCK)
    stream = make()
    if not stream:
        raise MemoryError
    try:
        data, left, full = file.read(_BLOCK), 0, False
        while data:
            source = Buffer(data, len(data), 0)
            while source.at < source.size or full:
                target = Buffer(ctypes.cast(room, ctypes.c_char_p), _BLOCK, 0)
                left = step(stream, ctypes.byref(target), ctypes.byref(source))
                if failed(left):
                    raise _damaged(name(left).decode("ascii", "replace"))
                full = target.at == _BLOCK and left != 0
                if target.at:
                    yield ctypes.string_at(room, target.at)
            data = file.read(_BLOCK)
        if left:
            raise _cut()
    finally:
        free(stream)
