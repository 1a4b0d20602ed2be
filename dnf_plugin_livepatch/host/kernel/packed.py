# SPDX-License-Identifier: GPL-2.0-or-later
"""Compressed module files, unpacked under a bound into a file without a name.

Checks, signature and build id are those of the plain module, so that the plain module is also what is
loaded. Distributions compress with xz, zstd or gzip. Python has no zstd before 3.14; the library that rpm
uses is on every host that has rpm.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from ...base.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

MAX_FILE = 256 << 20
#: Memory that a decompressor may take for its window.
MAX_WINDOW = 128 << 20
_CHUNK = 1 << 20
MAGIC = ((b"\xfd7zXZ\0", "xz"), (b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"))


class PackedError(ValueError):
    """The file cannot be unpacked; str() is the reason."""


def kind(descriptor: int) -> str:
    """Return the compression of the file that is open as ``descriptor``, "" for none that is known."""
    head = os.pread(descriptor, 6, 0)
    return next((name for magic, name in MAGIC if head.startswith(magic)), "")


def unpacked(descriptor: int, packing: str, folders: Sequence[str]) -> int:
    """Unpack a file of the compression ``packing``; return the descriptor of the result, which is read only.

    The result has no name and lies in the first of ``folders`` that can be written: it takes its SELinux
    label from there. Raises PackedError.
    """
    size = os.fstat(descriptor).st_size
    if size > MAX_FILE:
        raise PackedError(f"it is larger than {MAX_FILE >> 20} MiB")
    data, total = os.pread(descriptor, size, 0), 0
    chunks = {"xz": _xz, "gzip": _gzip, "zstd": _zstd}[packing](data)
    with _nameless(folders) as file:
        try:
            for chunk in chunks:
                total += len(chunk)
                if total > MAX_FILE:
                    raise PackedError(f"it unpacks to more than {MAX_FILE >> 20} MiB")
                file.write(chunk)
            file.flush()
        except (OSError, MemoryError) as error:
            raise PackedError(f"it cannot be unpacked: {error}") from None
        # The kernel loads no module from a file that is open for writing (ETXTBSY).
        return os.open(f"/proc/self/fd/{file.fileno()}", os.O_RDONLY | os.O_CLOEXEC)


def _nameless(folders: Sequence[str]) -> Any:
    import tempfile

    for folder in folders:
        try:
            return tempfile.TemporaryFile(dir=folder)
        except OSError:
            continue
    try:
        return tempfile.TemporaryFile()
    except OSError as error:
        raise PackedError(f"there is no place to unpack it: {error.strerror}") from None


def _fault(why: object) -> PackedError:
    return PackedError(f"its compressed data is damaged: {why}")


def _xz(data: bytes) -> Iterator[bytes]:
    import lzma

    try:
        reader, feed = lzma.LZMADecompressor(memlimit=MAX_WINDOW), data
        while not reader.eof:
            chunk = reader.decompress(feed, _CHUNK)
            feed = b""
            if not chunk and reader.needs_input:
                raise _fault("it is cut short")
            yield chunk
    except lzma.LZMAError as error:
        raise _fault(error) from None


def _gzip(data: bytes) -> Iterator[bytes]:
    import zlib

    try:
        reader, feed = zlib.decompressobj(31), data
        while not reader.eof:
            chunk = reader.decompress(feed, _CHUNK)
            feed = reader.unconsumed_tail
            if not (chunk or feed or reader.eof):
                raise _fault("it is cut short")
            yield chunk
    except zlib.error as error:
        raise _fault(error) from None


def _zstd(data: bytes) -> Iterator[bytes]:
    """Yield what libzstd makes of ``data``, by its streaming interface (zstd.h)."""
    import ctypes

    class Buffer(ctypes.Structure):
        _fields_ = [("data", ctypes.c_char_p), ("size", ctypes.c_size_t), ("at", ctypes.c_size_t)]

    try:
        library = ctypes.CDLL("libzstd.so.1")
        make, step, free = (
            library.ZSTD_createDStream,
            library.ZSTD_decompressStream,
            library.ZSTD_freeDStream,
        )
        failed, name = library.ZSTD_isError, library.ZSTD_getErrorName
    except (OSError, AttributeError):
        raise PackedError("it is compressed with zstd, and this host has no libzstd.so.1") from None
    make.restype, step.restype, name.restype = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p
    step.argtypes = [ctypes.c_void_p, ctypes.POINTER(Buffer), ctypes.POINTER(Buffer)]
    free.argtypes, failed.argtypes, name.argtypes = [ctypes.c_void_p], [ctypes.c_size_t], [ctypes.c_size_t]
    room = ctypes.create_string_buffer(_CHUNK)
    source = Buffer(data, len(data), 0)
    stream = make()
    try:
        left = 1
        while left:
            target = Buffer(ctypes.cast(room, ctypes.c_char_p), _CHUNK, 0)
            before = source.at
            left = step(stream, ctypes.byref(target), ctypes.byref(source))
            if failed(left):
                raise _fault(name(left).decode("ascii", "replace"))
            if left and not target.at and source.at == before:
                raise _fault("it is cut short")
            yield room.raw[: target.at]
    finally:
        free(stream)
