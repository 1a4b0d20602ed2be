# SPDX-License-Identifier: GPL-2.0-or-later
"""What to say when a transaction takes a live patch of the running kernel off the host."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from ..base import config
from ..base.paths import Paths
from ..host.kernel import running
from ..messages import catalogue
from ..planning import lines as report
from ..vendors import profiles
from . import asked
from . import packages as goal

_OURS = "python3-dnf-plugin-livepatch"


def lines(base: Any, removed: Sequence[Any]) -> list[str]:
    """A line for each live patch among the transaction items ``removed`` that an upgrade adds again."""
    paths = Paths()
    packages = [item.pkg for item in removed]
    if asked.dry(base) or any(package.name == _OURS for package in packages):
        return []
    rules = profiles.load(paths.profile_dirs)[0]
    kernel = running.running(paths)
    gone = [package for package in packages if _patches(package, rules, kernel)]
    if not gone or any(_patches(package, rules, kernel) for package in goal.incoming(base)):
        return []
    if config.read(paths.config)[0].mode == "report":
        return []
    blocked = _blocked(paths)
    nevras = [str(goal.nevra_of(package)) for package in gone]
    found = [catalogue.problem("patch-removed", nevra=nevra) for nevra in nevras if nevra not in blocked]
    return [report.line(problem)[1] for problem in found]


def _patches(package: Any, rules: Sequence[Any], kernel: Any) -> bool:
    """Is ``package`` a live patch of the running kernel?"""
    found = profiles.match_all(
        goal.nevra_of(package), map(str, package.provides), map(str, package.requires), rules
    )
    return any(one.kind == "patch" and profiles.fits(one, kernel.release, kernel.build_id) for one in found)


def _blocked(paths: Paths) -> Sequence[str]:
    if not os.path.exists(paths.guard):
        return ()
    from ..host.files import guard_file

    return tuple(dict(guard_file.blocked(paths)))
