# SPDX-License-Identifier: GPL-2.0-or-later
"""Bounded reads of files that may be gone, torn, endless or hostile."""

from __future__ import annotations

import os


def read_bytes(path: str, limit: int) -> bytes:
    """Return at most ``limit`` bytes of ``path``; b"" when it cannot be read (gone, refused, no file)."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except (OSError, ValueError):
        return b""
    try:
        chunks, left = [], limit
        while left > 0:
            chunk = os.read(descriptor, min(left, 1 << 20))
            if not chunk:
                break
            chunks.append(chunk)
            left -= len(chunk)
        return b"".join(chunks)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def read_text(path: str, limit: int = 65536) -> str:
    """Return the text of ``path``, stripped, of at most ``limit`` bytes; "" when it cannot be read."""
    return read_bytes(path, limit).decode("utf-8", "replace").strip()
