# SPDX-License-Identifier: GPL-2.0-or-later
"""A repository's extra metadata as text, unpacked under a bound.

libdnf's ``get_metadata_content`` unpacks all of a file into memory first: 31 KiB may hold gigabytes.
librepo has checked the file's digest against repomd.xml when it was fetched.
"""

from __future__ import annotations

import os

from ..base.typed import TYPE_CHECKING
from ..formats import compressed

if TYPE_CHECKING:
    from collections.abc import Iterator


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
        # Empty frames cost time and yield nothing.
        if os.fstat(file.fileno()).st_size > most:
            raise Unreadable(f"it is larger than {most >> 20} MiB")
        packing = compressed.kind(file.read(6))
        file.seek(0)
        try:
            for block in compressed.blocks(file, packing):
                left -= len(block)
                if left < 0:
                    raise Unreadable(f"it unpacks to more than {most >> 20} MiB")
                yield block
        except (compressed.DamagedError, MemoryError) as error:
            raise Unreadable(f"it cannot be unpacked: {error or 'too little memory'}") from None
