# SPDX-License-Identifier: GPL-2.0-or-later
"""Compressed module files, unpacked under a bound into a file without a name.

Checks, signature and build id are those of the plain module, so that the plain module is also what is
loaded. Distributions compress with xz, zstd or gzip.
"""

from __future__ import annotations

import os

from ...base.typed import TYPE_CHECKING
from ...formats import compressed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

MAX_FILE = 256 << 20


class PackedError(ValueError):
    """The file cannot be unpacked; str() is the reason."""


def kind(descriptor: int) -> str:
    """Return the compression of the file that is open as ``descriptor``, "" for none that is known."""
    return compressed.kind(os.pread(descriptor, 6, 0))


def unpacked(descriptor: int, packing: str, folders: Sequence[str]) -> int:
    """Unpack a file of the compression ``packing``; return the descriptor of the result, which is read only.

    The result has no name and lies in the first of ``folders`` that can be written: it takes its SELinux
    label from there. Raises PackedError.
    """
    size = os.fstat(descriptor).st_size
    if size > MAX_FILE:
        raise PackedError(f"it is larger than {MAX_FILE >> 20} MiB")
    total = 0
    with open(descriptor, "rb", closefd=False) as packed, _nameless(folders) as file:
        try:
            packed.seek(0)
            for block in compressed.blocks(packed, packing):
                total += len(block)
                if total > MAX_FILE:
                    raise PackedError(f"it unpacks to more than {MAX_FILE >> 20} MiB")
                file.write(block)
            file.flush()
        except compressed.DamagedError as error:
            raise PackedError(str(error)) from None
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
