# SPDX-License-Identifier: GPL-2.0-or-later
"""The end of live patches for a kernel, and when to warn of it. Pure."""

from __future__ import annotations

from ..base import times
from ..base.model import Problem
from ..messages import catalogue


def warning(release: str, end: str, now: str, warn_days: int) -> Problem | None:
    """The warning that live patches for kernel ``release`` end at ``end`` ("" for unknown), if it is due."""
    days = times.days_between(now, end) if end else None
    if days is None or days > warn_days:
        return None
    if days < 0:
        return catalogue.problem("support-ended", release=release, end=end[:10])
    return catalogue.problem("support-ends", release=release, end=end[:10], days=days)
