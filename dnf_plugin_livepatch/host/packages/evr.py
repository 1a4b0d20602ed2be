# SPDX-License-Identifier: GPL-2.0-or-later
"""Compares ``[epoch:]version-release`` texts as rpm does. Imports rpm only when it has to."""

from __future__ import annotations


def _split(evr: str) -> tuple[str, str, str]:
    epoch, colon, rest = evr.partition(":")
    version, _, release = (rest if colon else evr).rpartition("-")
    return epoch if colon else "0", version, release


def compare(one: str, other: str) -> int:
    """Negative, zero or positive as ``one`` is older than, the same as or newer than ``other``."""
    if one == other:
        return 0
    import rpm

    return int(rpm.labelCompare(_split(one), _split(other)))
