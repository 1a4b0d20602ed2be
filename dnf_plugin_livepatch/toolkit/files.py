# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that a person names, read whole and within a bound."""

from __future__ import annotations

from .errors import refuse


def contents(path: str, most: int, identifier: str) -> bytes:
    """The bytes of the file at ``path``. Raises ToolError ``identifier`` for more than ``most`` bytes."""
    try:
        with open(path, "rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        refuse(identifier, path=path, why=error.strerror or "unreadable")
    if len(data) > most:
        refuse(identifier, path=path, why=f"larger than {most >> 20} MiB")
    return data
