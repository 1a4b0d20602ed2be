# SPDX-License-Identifier: GPL-2.0-or-later
"""The end of live patches for a kernel, and when to warn of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from ..base import times
from ..base.model import InstalledPatch, Problem, Unfixable
from ..messages import catalogue
from .compute import Inputs


def warning(release: str, end: str, now: str, warn_days: int, usual: bool = False) -> Problem | None:
    """The warning that live patches for kernel ``release`` end at ``end`` ("" for unknown), if it is due.

    ``usual``: the end is only the vendor's usual time.
    """
    days = times.days_between(now, end)
    if days is None or days > warn_days:
        return None
    if usual:
        name = "support-may-have-ended" if days < 0 else "support-may-end"
        return catalogue.problem(name, release=release, end=end[:10])
    if days < 0:
        return catalogue.problem("support-ended", release=release, end=end[:10])
    return catalogue.problem("support-ends", release=release, end=end[:10], days=days)


def support_end(inputs: Inputs, installed: Iterable[InstalledPatch]) -> str:
    """When live patches for the kernel end: as the repository, a manifest or the vendor's window says."""
    return promised(inputs, installed) or inputs.window_end


def promised(inputs: Inputs, installed: Iterable[InstalledPatch]) -> str:
    """The end that the repository or a manifest promises, "" for none: the vendor's window is a guess."""
    ends = [m.manifest.support_end for p in installed for m in p.modules if m.manifest is not None]
    return inputs.support_end or max(ends, default="")


def unfixable(installed: Iterable[InstalledPatch]) -> tuple[Unfixable, ...]:
    """What the installed patches say no live patch can close."""
    found: list[Unfixable] = []
    for patch in installed:
        found.extend(patch.unfixable)
        for module in patch.modules:
            if module.manifest is not None:
                found.extend(module.manifest.unfixable)
    return tuple(dict.fromkeys(found))
