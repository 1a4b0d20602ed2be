# SPDX-License-Identifier: GPL-2.0-or-later
"""The live patches that a repository may drop. Pure."""

from __future__ import annotations

from ..base.model import Nevra
from ..formats.repository_record import Record
from .repository.view import Package, by_kernel, withdrawn

KINDS = ("patch", "empty")


def droppable(packages: tuple[Package, ...], record: Record, keep: int) -> tuple[Package, ...]:
    """The live patches that no host needs any more, in the order given.

    For each kernel the newest ``keep`` stay, and always the newest, the newest that is not withdrawn
    (hosts go back to it), and any that another package requires. A package for several kernels stays
    while one of them needs it. Subscriptions are counted apart, by the same rule.
    """
    counted = tuple(package for package in packages if package.kind in KINDS)
    stay: set[Package] = set()
    for kind in KINDS:
        for (release, _arch), group in by_kernel(one for one in counted if one.kind == kind).items():
            stay.update(group[: max(keep, 1)])
            good = [package for package in group if not withdrawn(record, release, package)]
            stay.update(good[:1])
    required = {
        (item.name, item.version, item.release)
        for package in packages
        for item in package.requires
        if item.flags in ("", "EQ")
    }
    return tuple(
        package for package in counted if package not in stay and required.isdisjoint(_met(package.nevra))
    )


def _met(nevra: Nevra) -> set[tuple[str, str, str]]:
    """The (name, version, release) that a package meets; a capability may leave the last two out."""
    return {
        (nevra.name, version, release) for version in ("", nevra.version) for release in ("", nevra.release)
    }
