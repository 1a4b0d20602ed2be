# SPDX-License-Identifier: GPL-2.0-or-later
"""The comparison of ``[epoch:]version-release`` texts as rpm makes it; rpm is imported only when needed."""

from __future__ import annotations

from ...base.names import split_evr


def compare(one: str, other: str) -> int:
    """Return a number below, at or above 0 as ``one`` is older than, equal to or newer than ``other``."""
    if one == other:
        return 0
    import rpm

    return int(rpm.labelCompare(split_evr(one), split_evr(other)))
