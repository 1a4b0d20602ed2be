# SPDX-License-Identifier: GPL-2.0-or-later
"""The hint when a transaction takes a live patch of the running kernel off the host."""

from __future__ import annotations

from collections.abc import Sequence

from ..base import config
from ..base.model import Kernel
from ..base.paths import Paths
from ..base.typed import TYPE_CHECKING
from ..host import for_planning
from ..messages import catalogue
from ..planning import lines
from ..vendors import profiles
from . import asked, packages

if TYPE_CHECKING:
    from typing import Any


_OURS = "python3-dnf-plugin-livepatch"


def hints(base: Any, removed: Sequence[Any]) -> list[str]:
    """A line for each live patch among the transaction items ``removed`` that an upgrade adds again."""
    paths = Paths()
    going = [item.pkg for item in removed]
    if asked.dry(base) or any(package.name == _OURS for package in going):
        return []
    rules = profiles.load(paths.profile_dirs)[0]
    kernel = for_planning.running(paths)
    gone = [package for package in going if _patches(package, rules, kernel)]
    if not gone or any(_patches(package, rules, kernel) for package in packages.incoming(base)):
        return []
    if config.read(paths.config)[0].mode == "report":
        return []
    blocked = for_planning.blocked(paths)
    nevras = [str(packages.nevra_of(package)) for package in gone]
    found = [catalogue.problem("patch-removed", nevra=nevra) for nevra in nevras if nevra not in blocked]
    return [lines.line(problem)[1] for problem in found]


def _patches(package: Any, rules: Sequence[profiles.Profile], kernel: Kernel) -> bool:
    """Is ``package`` a live patch of the running kernel?"""
    facts = packages.patch_of(package)
    found = profiles.match_all(facts.nevra, facts.provides, facts.requires, rules)
    return any(one.kind == "patch" and profiles.fits(one, kernel.release, kernel.build_id) for one in found)
