# SPDX-License-Identifier: GPL-2.0-or-later
"""Excludes: how builds are kept out of DNF's own choice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import hawkey

from ..base.names import name_of
from ..base.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any


def hide(base: Any, nevras: Iterable[str]) -> None:
    """Exclude these builds, so that DNF's own upgrade does not take them, except the installed ones.

    If the repository's copy of an installed build were hidden, distro-sync would go back behind that
    build, and reinstall would not find it.
    """
    wanted = set(nevras)
    if not wanted:
        return
    names = sorted({name_of(text) for text in wanted})
    everything = base.sack.query(flags=hawkey.IGNORE_EXCLUDES)
    wanted -= set(map(str, everything.installed().filterm(name=names)))
    offered = base.sack.query().available().filterm(name=names)
    exclude(base, [package for package in offered if str(package) in wanted])


def exclude(base: Any, packages: Sequence[Any]) -> None:
    """Exclude these packages of DNF's, whatever else has their names."""
    if packages:
        base.sack.add_excludes(base.sack.query().filterm(pkg=list(packages)))
