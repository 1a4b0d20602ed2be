# SPDX-License-Identifier: GPL-2.0-or-later
"""Repositories with a priority and a cost: an addition is one that the package manager would choose."""

from __future__ import annotations

import pytest

from dnf_plugin_livepatch.base.config import Config
from dnf_plugin_livepatch.planning import survey
from dnf_plugin_livepatch.planning.facts import Facts
from dnf_plugin_livepatch.planning.interface import Package, Repository
from tests.unit.support.planned import RELEASE, RUNS, Machine, Manager
from tests.unit.support.surveyed import JUDGE, REPOS, RULES, AsItIs, have, offer


@pytest.mark.parametrize(
    ("packages", "ranked", "order"),
    [
        # A newer build of a repository that the package manager passes over for that name.
        ([offer("whole-p", 1, "base"), offer("whole-p", 2, "zeta")], {"base": 10}, {"zeta": "base"}),
        ([offer("whole-p", 1, "zeta"), offer("whole-p", 2, "base")], {"zeta": 98}, {"base": "zeta"}),
        (
            [have("whole-p", 1), offer("whole-p", 1, "base"), offer("whole-p", 2, "zeta")],
            {"zeta": 100},
            {"zeta": "base"},
        ),
        # A hidden build, and one of another name, are no rivals.
        ([offer("whole-p", 1, "base", visible=False), offer("whole-p", 2, "zeta")], {"base": 10}, {}),
        ([offer("whole-q", 1, "base"), offer("whole-p", 2, "zeta")], {"base": 10}, {}),
        # The same build in both.
        ([offer("whole-p", 2, "base"), offer("whole-p", 2, "zeta")], {"zeta": 10}, {}),
    ],
)
def test_a_candidate_of_a_repository_that_dnf_passes_over_is_outranked(
    packages: list[Package], ranked: dict[str, int], order: dict[str, str]
) -> None:
    repos = [one._replace(priority=ranked.get(one.id, 99)) for one in REPOS]
    host = Machine(Config(repos=("zeta",)))
    host.profiles = RULES
    (found,) = survey.surveys(Facts(AsItIs(RUNS, *packages, repos=repos), host), RELEASE, JUDGE)
    rows = {one.repo: one.outranked for one in found.target.candidates if one.outranked}
    assert rows == order


@pytest.mark.parametrize(
    ("base", "zeta", "taken"),
    [((99, 1000), (99, 900), "zeta"), ((99, 1000), (99, 1001), "base"), ((50, 9000), (99, 1), "base")],
)
def test_of_two_trusted_copies_priority_and_then_cost_decide(
    base: tuple[int, int], zeta: tuple[int, int], taken: str
) -> None:
    ranks = {"base": base, "zeta": zeta}
    repos = [Repository(name, priority=rank[0], cost=rank[1]) for name, rank in ranks.items()]
    host = Machine(Config(repos=("zeta",)))
    host.profiles = RULES
    packages = (offer("whole-p", 2, "base"), offer("whole-p", 2, "zeta"))
    (found,) = survey.surveys(Facts(Manager(RUNS, *packages, repos=repos), host), RELEASE, JUDGE)
    (row,) = found.target.candidates
    assert (row.repo, row.outranked) == (taken, "")
