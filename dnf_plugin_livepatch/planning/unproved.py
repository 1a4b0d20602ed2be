# SPDX-License-Identifier: GPL-2.0-or-later
"""The live patches for which nothing vouches but a repository that lists the running kernel. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from .facts import Facts
from .interface import Package
from .survey import Survey


def find(facts: Facts, coming: Sequence[Package], found: Sequence[Survey]) -> list[str]:
    """The live patches that come from a repository which only lists the running kernel, by NEVRA.

    Those noted earlier are told with them, and forgotten when they are gone, or when their repository is
    trusted meanwhile. Nothing is told where no such patch is ``coming``.
    """
    host, claims, running = facts.host, facts.claims, facts.host.kernel.release
    noted = host.unproved()
    if noted:
        here = [row.package for row in facts.known(running) if row.package.installed]
        left = {str(one.nevra) for one in here if facts.manager.origin(one) not in claims}
        if not left.issuperset(noted):
            noted = [nevra for nevra in noted if nevra in left]
            host.remember_unproved(noted)
    release = {nevra: one.target.release for one in found for nevra in one.packages}
    new = []
    for package in coming:
        trust = facts.trust_in(release.get(str(package.nevra), running))
        if package.repo in trust.repositories - trust.claims:
            new.append(str(package.nevra))
    return [*noted, *new] if new else []
