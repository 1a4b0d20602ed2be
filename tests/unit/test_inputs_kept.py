# SPDX-License-Identifier: GPL-2.0-or-later
"""What an earlier run knew of a kernel, beside what the repositories say now."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from dnf_plugin_livepatch.base.config import Config
from dnf_plugin_livepatch.base.model import (
    EXACT,
    LOWER_BOUND,
    UNKNOWN,
    Advisory,
    Debt,
    Unfixable,
)
from dnf_plugin_livepatch.exposure.compute import Inputs, OnOffer
from dnf_plugin_livepatch.planning import inputs
from dnf_plugin_livepatch.planning.facts import Facts
from dnf_plugin_livepatch.planning.interface import Package, Repository
from tests.unit.support.planned import (
    ADVISORIES,
    CVE,
    NEW,
    NEXT,
    NOW,
    OLD,
    RELEASE,
    RUNS,
    Machine,
    Manager,
    advisory,
    kernel,
)

BASE = Repository("base", has_advisories=True, revision="7", read_at=NOW)
DEBT = Debt(CVE, "A-20", "Important", "5.14.0-20.el9", "2026-11-01", "updated")
HERE = "kernel-core-5.14.0-10.el9.x86_64"


def facts(*packages: Package, repos: Sequence[Repository] = (BASE,)) -> Facts:
    return Facts(Manager(*packages, repos=repos), Machine(Config(repos=("extras",))))


OLDER, LATER = (
    Debt("CVE-2026-1500", "A-15", "Low", "5.14.0-15.el9"),
    Debt("CVE-2026-3", "A-30", "", "5.14.0-30.el9"),
)
BEFORE = Inputs(
    RELEASE,
    HERE,
    EXACT,
    "",
    "2026-11-20T08:00:00Z",
    (("base", "6"), ("extras", "2")),
    (OLDER, DEBT, LATER),
    ((str(OLD.nevra), ("CVE-2026-1500",)),),
    (Unfixable("CVE-2026-3", "data"),),
    "2027-01-01",
)
MUTE, LOUD = Repository("base"), Repository("extras", has_advisories=True, revision="3", read_at=NOW)
NONE = "no enabled repository carries advisories (updateinfo)"
KEPT = "what was known on 2026-11-20 is kept"


@pytest.mark.parametrize(
    ("new", "repos", "debt", "reason"),
    [
        (
            Inputs(RELEASE, HERE, UNKNOWN, NONE, read_in_vain=NOW),
            [MUTE],
            (OLDER, DEBT, LATER),
            f"{NONE}; {KEPT}",
        ),
        (
            Inputs(RELEASE, "", UNKNOWN, "no owner", read_in_vain=NOW),
            [MUTE],
            BEFORE.debt,
            f"no owner; {KEPT}",
        ),
        (
            Inputs(RELEASE, HERE, LOWER_BOUND, "few", NOW, (("extras", "3"),), (DEBT,)),
            [MUTE, LOUD],
            (OLDER, DEBT, LATER),
            f"few; without advisories (updateinfo) now: base; {KEPT}",
        ),
        (
            Inputs(RELEASE, HERE, EXACT, "", NOW, (("extras", "3"),)),
            [MUTE, LOUD],
            BEFORE.debt,
            f"without advisories (updateinfo) now: base; {KEPT}",
        ),
        (
            Inputs(RELEASE, HERE, UNKNOWN, "pruned", NOW, (("base", "8"), ("extras", "3"))),
            [BASE, LOUD],
            (OLDER, DEBT, LATER),
            f"pruned; {KEPT}",
        ),
    ],
    ids=["all silent", "the kernel's package is gone", "one silent", "the only one that knew", "pruned"],
)
def test_what_was_known_is_kept_where_the_repositories_fall_silent(
    new: Inputs, repos: list[Repository], debt: tuple[Debt, ...], reason: str
) -> None:
    here = facts(RUNS, repos=repos)
    found = inputs.kept(here, new, BEFORE)
    assert (found.quality, found.reason, found.as_of, found.debt) == (
        LOWER_BOUND,
        reason,
        BEFORE.as_of,
        debt,
    )
    assert (found.cover, found.unfixable, found.support_end) == BEFORE[7:10] and found.read_in_vain == NOW
    assert {name for name, _ in found.repositories} == {repo.id for repo in repos}
    assert found.kernel_package == HERE
    again = inputs.kept(here, new, found)
    assert again == found, "the next night knows as much, with the same date"


@pytest.mark.parametrize(
    ("change", "old", "repos"),
    [
        ({}, None, [MUTE]),
        ({}, Inputs(RELEASE, HERE, UNKNOWN, "never", read_in_vain=NOW), [MUTE]),
        ({"quality": EXACT, "read_in_vain": ""}, BEFORE._replace(debt=(DEBT, LATER)), [BASE, LOUD]),
        ({"quality": LOWER_BOUND, "read_in_vain": ""}, BEFORE._replace(debt=(DEBT, LATER)), [BASE, LOUD]),
        ({"quality": LOWER_BOUND, "read_in_vain": ""}, BEFORE, [Repository("new"), LOUD]),
        ({"kernel_package": "kernel-core-5.14.0-9.el9.x86_64"}, BEFORE, [MUTE]),
    ],
    ids=["nothing known", "nothing worth", "all known", "less listed", "another is silent", "another build"],
)
def test_what_was_known_gives_way_to_what_is_known_now(
    change: dict[str, str], old: Inputs | None, repos: list[Repository]
) -> None:
    new = Inputs(RELEASE, HERE, UNKNOWN, NONE, debt=(DEBT,), read_in_vain=NOW)._replace(**change)
    assert inputs.kept(facts(RUNS, repos=repos), new, old) == new


ELSE = Advisory("B-1", "bugfix", "", "", "2026-11-01", ("CVE-2026-1500",), (kernel(5).nevra,))
EMPTIED = Advisory("A-15", "security", "Low", "", "2026-11-01", (), (kernel(15).nevra,))
LOST = "what is not listed any more is kept: advisory A-15"


@pytest.mark.parametrize(
    ("rows", "more", "debt", "reason"),
    [
        ((), (), (OLDER, DEBT), LOST),
        ((), (kernel(40, repo="base"),), (OLDER, DEBT, LATER), LOST + " and 1 more"),
        ((), (kernel(30, installed=True),), (OLDER, DEBT, LATER), LOST + " and 1 more"),
        ((advisory(31, CVE),), (), (OLDER, DEBT, LATER), LOST + " and 1 more"),
        ((ELSE,), (), (DEBT,), ""),
        ((EMPTIED,), (), (DEBT,), ""),
    ],
    ids=["pruned", "on offer", "installed", "listed", "told otherwise", "emptied"],
)
def test_advisories_that_are_not_listed_any_more_take_nothing_back(
    rows: tuple[Advisory, ...], more: tuple[Package, ...], debt: tuple[Debt, ...], reason: str
) -> None:
    here = facts(RUNS, *more, repos=[BASE, LOUD])
    here.manager.rows = (*ADVISORIES, *rows)  # type: ignore[attr-defined]
    new = Inputs(RELEASE, HERE, EXACT, "", NOW, (("base", "8"), ("extras", "3")), (DEBT,))
    found = inputs.kept(here, new, BEFORE)
    assert (found.debt, found.reason, found.as_of) == (debt, reason, NOW)
    assert found.quality == (LOWER_BOUND if reason else EXACT)
    assert dict(found.cover) == ({str(OLD.nevra): ("CVE-2026-1500",)} if reason else {})
    assert inputs.kept(here, new, found) == found, "the next night knows as much"


def test_what_one_run_alone_hides_is_no_offer() -> None:
    here = facts(RUNS, NEXT, NEW)
    here.manager.passing = True  # type: ignore[misc]
    (new, _) = inputs.read(here)
    assert new.on_offer is None
    before = new._replace(on_offer=OnOffer("5.14.0-20.el9", "", str(NEW.nevra)))
    assert inputs.kept(here, new, before).on_offer == before.on_offer
    assert inputs.kept(here, new, None).on_offer is None
