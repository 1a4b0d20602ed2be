# SPDX-License-Identifier: GPL-2.0-or-later
"""Compares ``[epoch:]version-release`` texts as rpm does. Imports rpm only when it has to."""

from __future__ import annotations

from ...base.names import split_evr


def compare(one: str, other: str) -> int:
    """Negative, zero or positive as ``one`` is older than, the same as or newer than ``other``."""
    if one == other:
        return 0
    import rpm

    return int(rpm.labelCompare(split_evr(one), split_evr(other)))
