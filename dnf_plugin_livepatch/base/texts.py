# SPDX-License-Identifier: GPL-2.0-or-later
"""Texts of others, made fit for one line on a terminal, in a log or in a file. Pure."""

from __future__ import annotations


def printable(text: str, instead: str = " ") -> str:
    """``text`` with ``instead`` in the place of each character that cannot be printed, line feeds too."""
    return text if text.isprintable() else "".join(c if c.isprintable() else instead for c in text)
