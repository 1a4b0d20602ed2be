# SPDX-License-Identifier: GPL-2.0-or-later
"""Unpacking metadata as a stream: a small hostile file must not fill memory or a disk."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import os
import re
import zlib
from collections.abc import Iterator
from typing import Any

import rpm

from ...toolkit.errors import ToolError

LIMIT = 1 << 30
#: A small file holds little: real metadata is packed 10 to 30 times smaller than it is.
SMALL, RATIO = 64 << 20, 200
_BLOCK = 1 << 20
_ENCODING = re.compile(rb"(?:\xef\xbb\xbf)?\s*<\?xml\b[^>]{0,1000}?\bencoding\s*=\s*[\"']([^\"'>]{0,200})")
# A .zst may begin with a frame to be skipped. createrepo_c goes by the name of a file, not by its magic.
_ZSTD = re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18")


def blocks(path: str, limit: int = LIMIT) -> Iterator[bytes]:
    """The plain content of a file that may be compressed. Raises ToolError beyond ``limit`` bytes.

    Raises OSError, and ValueError for content that cannot be unpacked. zchunk files have record types of
    their own, which no caller reads.
    """
    total = 0
    limit = min(limit, SMALL + RATIO * os.path.getsize(path))
    try:
        with contextlib.closing(_opened(path)) as stream:
            for block in iter(lambda: stream.read(_BLOCK), b""):
                total += len(block)
                if total > limit:
                    raise ToolError("metadata-too-large", where=path, limit=limit >> 20)
                yield block
    except (EOFError, lzma.LZMAError, zlib.error) as error:
        raise ValueError(f"{path}: {error}") from None


def check(path: str, limit: int = LIMIT) -> None:
    """Raise as ``blocks`` does, for a file that a library is about to read whole.

    Raises ValueError also for XML in another encoding than UTF-8: no repository has such metadata, and the
    library would load a converter that the file names.
    """
    for number, block in enumerate(blocks(path, limit)):
        declared = _ENCODING.match(block) if number == 0 else None
        if declared and declared[1].lower() not in (b"utf-8", b"utf8", b"us-ascii", b"ascii"):
            raise ValueError(f"{path}: its encoding is not UTF-8")
        if number == 0 and block.startswith((b"\xff\xfe", b"\xfe\xff", b"\0", b"<\0")):
            raise ValueError(f"{path}: its encoding is not UTF-8")


def _opened(path: str) -> Any:
    with open(path, "rb") as raw:
        magic = raw.read(6)
    if path.endswith(".zck") or magic.startswith((b"\0ZCK1", b"\0ZHR1")):
        raise ValueError(f"{path}: zchunk is not read")
    if path.endswith(".zst") or _ZSTD.match(magic):
        return rpm.fd(path, "r", "zstdio")  # Python itself has none before 3.14
    if path.endswith(".xz") or magic.startswith(b"\xfd7zXZ"):
        return lzma.open(path, "rb")
    if magic.startswith(b"\x1f\x8b"):
        return gzip.open(path, "rb")
    return bz2.open(path, "rb") if magic.startswith(b"BZh") else open(path, "rb")
