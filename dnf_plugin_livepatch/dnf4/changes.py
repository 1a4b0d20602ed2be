# SPDX-License-Identifier: GPL-2.0-or-later
"""The live patches of the running kernel that a transaction brings or takes away, whatever the command."""

from __future__ import annotations

from collections.abc import Sequence

import dnf.transaction

from ..base import config
from ..base.paths import Paths
from ..base.typed import TYPE_CHECKING, NamedTuple
from ..host import for_planning
from ..messages import catalogue
from ..planning import lines
from ..vendors import profiles
from . import packages

if TYPE_CHECKING:
    from typing import Any


_OURS = "python3-dnf-plugin-livepatch"
_RUNTIME = "livepatch-runtime"


class Changes(NamedTuple):
    """NEVRAs: ``coming`` are installed, in whatever way; ``leaving`` are removed, and no other build of
    the package takes their place.
    """

    coming: tuple[str, ...] = ()
    leaving: tuple[str, ...] = ()


def of(base: Any) -> Changes:
    """The live patches of the running kernel that the transaction of ``base`` changes.

    Subscriptions, and the live patches of other kernels, are none of them.
    """
    paths = Paths()
    rules = profiles.load(paths.profile_dirs)[0]
    kernel = for_planning.running(paths)

    def patches(package: Any) -> bool:
        facts = packages.patch_of(package)
        found = profiles.match_all(facts.nevra, facts.provides, facts.requires, rules)
        fitting = (one for one in found if profiles.fits(one, kernel.release, kernel.build_id))
        return any(one.kind == "patch" for one in fitting)

    coming = [package for package in packages.incoming(base) if patches(package)]
    removed = [item for item in base.transaction or () if item.action == dnf.transaction.PKG_REMOVE]
    leaving = [item.pkg for item in removed if patches(item.pkg)]
    return Changes(*(tuple(str(packages.nevra_of(one)) for one in group) for group in (coming, leaving)))


def farewell(base: Any) -> Sequence[str]:
    """The lines about what stays of the runtime when the transaction removes it."""
    removed = [item for item in base.transaction or () if item.action == dnf.transaction.PKG_REMOVE]
    if not any(item.pkg.name == _RUNTIME for item in removed):
        return ()
    inside = for_planning.loaded(Paths())
    found = [catalogue.problem("runtime-removed-in-force", module=module) for module in inside]
    return [lines.line(one)[1] for one in (*found, catalogue.problem("runtime-removed"))]


def hints(base: Any, changes: Changes) -> Sequence[str]:
    """A line for each live patch that leaves the host and that an upgrade adds again."""
    paths = Paths()
    plugin = any(item.name == _OURS for item in base.transaction.remove_set)
    if plugin or changes.coming or config.read(paths.config)[0].mode == "report":
        return ()
    blocked = for_planning.blocked(paths)
    found = [catalogue.problem("patch-removed", nevra=nevra) for nevra in changes.leaving]
    return [lines.line(problem)[1] for problem in found if problem.subject not in blocked]
