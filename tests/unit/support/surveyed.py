# SPDX-License-Identifier: GPL-2.0-or-later
"""Vendors, repositories and patches for the tests of surveys."""

from __future__ import annotations

from collections.abc import Sequence

from dnf_plugin_livepatch.base.model import Nevra
from dnf_plugin_livepatch.planning.interface import Package, Repository
from dnf_plugin_livepatch.planning.survey import Judge
from dnf_plugin_livepatch.vendors.profile_file import Client
from dnf_plugin_livepatch.vendors.profiles import Profile
from tests.unit.support.planned import GENERIC, RELEASE, Manager

CLIENT = Client("Patcher", apply=(("/usr/bin/patcher", "apply"), ("/usr/bin/patcher2",)))
FAMILY = ("/usr/bin/patcher", "apply", "/usr/bin/patcher2")
#: A vendor's cumulative patches, its single ones, which the same client applies, and two other vendors.
WHOLE = Profile("whole", "Whole", "whole", client=CLIENT, runtime=("patcher",), empty=("0-0",))
SINGLE = Profile("single", "Single", "single", client=CLIENT, cumulative=False, runtime=("patcher", "tool"))
RIVAL = Profile("rival", "Rival", "rival", client=Client("Rival"))
LONER = Profile("loner", "Loner", cumulative=False)
RULES = [
    *GENERIC,
    *(one._replace(provides=(f"{one.name} = {{release}}",)) for one in (WHOLE, SINGLE, RIVAL, LONER)),
]
REPOS = (
    Repository("a-copr"),
    Repository("base"),
    Repository("open", gpgcheck=False),
    Repository("zeta"),
)


def offer(name: str, version: int, repo: str = "base", release: str = RELEASE, **facts: object) -> Package:
    """A patch of the profile that ``name`` begins with; the version is its build time too."""
    nevra = Nevra(name, "0", "1", f"{version}.el9", "x86_64")
    made = Package(nevra, repo, build_time=version, provides=(f"{name.partition('-')[0]} = {release}",))
    return made._replace(**facts)  # type: ignore[arg-type]


def have(name: str, version: int, **facts: object) -> Package:
    return offer(name, version, "", installed=True)._replace(**facts)  # type: ignore[arg-type]


class AsItIs(Manager):
    """A package manager whose packages are as visible as they say."""

    def live_patches(self, lookup: object) -> Sequence[Package]:
        return self.packages[1:]


JUDGE = Judge(lambda *_: False, lambda *_: False, lambda _: False)
