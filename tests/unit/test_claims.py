# SPDX-License-Identifier: GPL-2.0-or-later
"""Claims of repositories: who may close a CVE, and whose word takes a patch out of force."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import pytest

from dnf_plugin_livepatch.base import times
from dnf_plugin_livepatch.base.config import Config
from dnf_plugin_livepatch.base.model import (
    EXACT,
    LOWER_BOUND,
    OPEN,
    Advisory,
    InForce,
    Trusted,
    Unfixable,
    Withdrawal,
)
from dnf_plugin_livepatch.exposure import compute
from dnf_plugin_livepatch.formats import repository_record
from dnf_plugin_livepatch.formats.repository_record import KernelNote, PatchNote, Record, Step, Withdrawn
from dnf_plugin_livepatch.planning.interface import Package, Patched, Repository
from dnf_plugin_livepatch.planning.planner import Planner
from dnf_plugin_livepatch.planning.request import ALL, NAMED, Asked
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
    hard,
    kernel,
    patch,
)


class Mixed(Manager):
    """The repository base, where the kernel came from, and another that lists what it likes."""

    def __init__(self, *packages: Package, others: Sequence[Advisory] = (), **more: Any) -> None:
        super().__init__(*packages, **more)
        self.repos = [*self.repos, Repository("other", has_advisories=True, has_record=True, read_at=NOW)]
        self.others = others

    def advisories(
        self, packages: Sequence[Package], within: Collection[str] | None = None
    ) -> Sequence[Advisory]:
        keys = {(one.nevra.name, one.nevra.arch) for one in packages}
        rows = [*self.rows, *(self.others if within is None or "other" in within else ())]
        return [row for row in rows if keys & {(build.name, build.arch) for build in row.packages}]


def states(manager: Manager, seen: Patched | None = None) -> dict[str, str]:
    """CVE and state after one upgrade, and under "" the quality."""
    seen = seen or Patched()
    planner = Planner(manager, Machine(seen=seen), hard)
    planner.bring_in(Asked(ALL))
    found = compute.compute(planner.inputs, seen.in_force)
    return {"": found.quality, **{row.cve: row.state for row in found.rows}}


CLAIMS = {
    "that it is fixed below": Advisory("E-1", "security", "Low", "", "", (CVE,), (RUNS.nevra,)),
    "under the honest id": Advisory("A-10", "security", "Low", "", "", (CVE,), (RUNS.nevra,)),
    "that the patch closes it": Advisory("E-2", "security", "Low", "", "", (CVE,), (OLD.nevra,)),
    "that it is low, and fixed early": Advisory(
        "E-3", "security", "Low", "", "", (CVE,), (kernel(11).nevra,)
    ),
}


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)
def test_what_others_claim_closes_nothing(claim: Advisory) -> None:
    seen = Patched((InForce("lp", str(OLD.nevra)),), (str(OLD.nevra),))
    manager = Mixed(RUNS, NEXT, OLD, others=(claim,))
    assert states(manager, seen) == {"": EXACT, CVE: OPEN}
    planner = Planner(manager, Machine(seen=seen), hard)
    planner.bring_in(Asked(ALL))
    (row,) = planner.inputs.debt
    assert (row.advisory, row.severity, row.fixed_in) == ("A-20", "Important", NEXT.nevra.evr)


def test_what_others_claim_adds_alarm() -> None:
    more = Advisory("E-4", "security", "Critical", "", "", ("CVE-2026-3000",), (NEXT.nevra,))
    assert states(Mixed(RUNS, NEXT, others=(more,))) == {"": EXACT, CVE: OPEN, "CVE-2026-3000": OPEN}


def test_a_repository_that_only_lists_the_running_kernel_closes_nothing() -> None:
    """Its package may come, once its signer is compared; its word counts where its metadata is signed."""

    class Elsewhere(Manager):
        def origin(self, package: Package) -> str:
            return "anaconda"

    listed = RUNS._replace(installed=False, repo="base")
    advisories = (*ADVISORIES, Advisory("A-5", "security", "Low", "", "", (CVE,), (kernel(9).nevra,)))
    for signed, wanted in ((False, {"": LOWER_BOUND, CVE: OPEN}), (True, {"": EXACT})):
        repos = [Repository("base", has_advisories=True, read_at=NOW, signed=signed)]
        manager = Elsewhere(RUNS, NEXT, listed, repos=repos)
        manager.rows = advisories
        found = states(manager)
        assert {key: found[key] for key in ("", CVE) if key in found} == wanted


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("there", [True, False], ids=["a record that says nothing", "no record"])
def test_a_withdrawal_ends_with_the_next_word_of_its_repository(signed: bool, there: bool) -> None:
    note = PatchNote(withdrawn=Withdrawn(NOW, "oops"))
    kernels = {RELEASE: KernelNote(patches={str(OLD.nevra): note, "lp-other-1-1.x86_64": note})}
    repos = [Repository("base", has_advisories=True, has_record=True, read_at=NOW, signed=signed)]
    host = Machine()
    text = repository_record.dump(Record(kernels=kernels))
    Planner(Manager(RUNS, OLD, repos=repos, record=text), host, hard).keep_out(Asked(ALL))
    assert host.remembered["withdrawn"] == (set(), [Withdrawal(str(OLD.nevra), "oops", "base", signed)])
    repos = [repos[0]._replace(has_record=there)]
    host.gone = {str(OLD.nevra): "oops"}
    empty = repository_record.dump(Record())
    Planner(Manager(RUNS, OLD, repos=repos, record=empty), host, hard).keep_out(Asked(ALL))
    assert host.remembered["withdrawn"] == (set(), [])


def test_a_record_that_cannot_be_read_ends_nothing() -> None:
    repos = [Repository("base", has_advisories=True, has_record=True, read_at=NOW)]
    host = Machine()
    Planner(Manager(RUNS, OLD, repos=repos, record="{"), host, hard).keep_out(Asked(ALL))
    assert host.remembered["withdrawn"] == ({"base"}, [])


@pytest.mark.parametrize(("signed", "unproved"), [(False, True), (True, False)])
def test_a_patch_from_a_repository_that_only_lists_the_kernel_is_noted(signed: bool, unproved: bool) -> None:
    class Elsewhere(Manager):
        def origin(self, package: Package) -> str:
            return "anaconda"

    repos = [Repository("base", has_advisories=True, read_at=NOW, signed=signed)]
    host = Machine()
    listed = RUNS._replace(installed=False, repo="base")
    planner = Planner(Elsewhere(RUNS, NEXT, listed, NEW, repos=repos), host, hard)
    plan = planner.bring_in(Asked(ALL))
    assert plan.added == (NEW,) and "unproved" not in host.remembered, "nobody has agreed yet"
    planner.begin()
    assert host.unproved() == ([str(NEW.nevra)] if unproved else [])


@pytest.mark.parametrize("repo", ["base", "other"])
def test_a_patch_that_dnf_itself_upgrades_is_noted_and_one_that_is_asked_for_is_not(repo: str) -> None:
    class Elsewhere(Manager):
        def origin(self, package: Package) -> str:
            return "anaconda"

    repos = [Repository("base", has_advisories=True, read_at=NOW), Repository("other", read_at=NOW)]
    listed = RUNS._replace(installed=False, repo="base")
    coming = NEW._replace(repo=repo, incoming=True)
    for asked, noted in ((Asked(ALL), [str(NEW.nevra)]), (Asked(NAMED, specs=("kpatch-patch",)), [])):
        host = Machine()
        planner = Planner(Elsewhere(RUNS, NEXT, listed, OLD, coming, repos=repos), host, hard)
        planner.bring_in(asked)
        planner.begin()
        assert host.unproved() == (noted if repo == "base" else [])


@pytest.mark.parametrize(
    ("origin", "named", "left"),
    [("base", (), False), ("anaconda", ("ba*",), True), ("anaconda", (), True), ("gone", ("base",), True)],
)
def test_a_note_ends_when_the_package_is_gone_or_its_repository_is_trusted(
    origin: str, named: tuple[str, ...], left: bool
) -> None:
    class Elsewhere(Manager):
        def origin(self, package: Package) -> str:
            return origin

    host = Machine(Config(repos=named))
    host.remembered["unproved"] = ["gone-1-1.x86_64", str(OLD.nevra)]
    repos = [Repository("base", has_advisories=True, read_at=NOW)]
    Planner(Elsewhere(RUNS, OLD, repos=repos), host, hard).bring_in(Asked(ALL))
    assert host.unproved() == ([str(OLD.nevra)] if left else [])


def test_a_run_that_leaves_a_repository_out_tells_nothing_of_trust() -> None:
    host = Machine()
    repos = [Repository("base", left_out=True), Repository("epel", read_at=NOW)]
    Planner(Manager(RUNS, repos=repos), host, hard).bring_in(Asked(ALL))
    assert "trust" not in host.remembered


def test_which_repositories_are_trusted_and_why() -> None:
    repos = [
        Repository("base", has_advisories=True, read_at=NOW, signed=True),
        Repository("mine", read_at=NOW),
        Repository("copr", read_at=NOW),
    ]
    host = Machine(Config(repos=("mi*",)))
    Planner(Manager(RUNS, NEXT, repos=repos), host, hard).bring_in(Asked(ALL))
    origin, named = Trusted("base", "origin", True, True), Trusted("mine", "named", True, False)
    assert host.remembered["trust"] == (origin, named)


class Listed(Manager):
    """The kernel's origin is gone. Both base, and evil, which anybody can have made, list its build."""

    source = "anaconda"

    def __init__(self, *packages: Package, signed: bool, note: KernelNote) -> None:
        listed = [RUNS._replace(installed=False, repo=name) for name in ("base", "evil")]
        base = Repository("base", True, has_advisories=True, read_at=NOW, signed=signed)
        evil = Repository("evil", True, has_record=True)
        super().__init__(RUNS, NEXT, *listed, *packages, repos=[base, evil])
        self.text = repository_record.dump(Record(kernels={RELEASE: note}))


GONE = PatchNote(withdrawn=Withdrawn(NOW, "false"))
SLOW = PatchNote(rollout=(Step("2020-01-01T00:00:00Z", 0),))


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("copied", [True, False], ids=["and lists it", "and has it not"])
@pytest.mark.parametrize("note", [GONE, SLOW], ids=["withdraws it", "offers it to nobody"])
def test_a_repository_that_only_lists_the_kernel_keeps_out_no_patch_of_others(
    note: PatchNote, copied: bool, signed: bool
) -> None:
    copies = [NEW._replace(repo="evil")] if copied else []
    manager = Listed(NEW, *copies, signed=signed, note=KernelNote(patches={str(NEW.nevra): note}))
    planner = Planner(manager, Machine(), hard)
    planner.keep_out(Asked(ALL))
    assert not manager.hidden and planner.bring_in(Asked(ALL)).added[0].repo == "base"


def test_a_repository_that_only_lists_the_kernel_may_keep_back_its_own_patch() -> None:
    own = NEW._replace(repo="evil")
    manager = Listed(own, signed=False, note=KernelNote(patches={str(own.nevra): GONE}))
    Planner(manager, Machine(), hard).keep_out(Asked(ALL))
    assert manager.hidden == {str(own.nevra)}


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("order", [1, -1], ids=["last", "first"])
def test_a_copy_elsewhere_does_not_end_the_wait_that_the_host_asks_for(order: int, signed: bool) -> None:
    old = PatchNote(issued="2020-01-01T00:00:00Z")
    copies = [NEW._replace(build_time=times.parse(NOW) or 0), NEW._replace(repo="evil")]
    note = KernelNote(patches={str(NEW.nevra): old})
    manager = Listed(*copies[::order], signed=signed, note=note)
    Planner(manager, Machine(Config(min_age=86400)), hard).keep_out(Asked(ALL))
    assert manager.hidden == {str(NEW.nevra)}


@pytest.mark.parametrize("signed", [True, False])
def test_a_repository_that_only_lists_the_kernel_ends_no_alarm(signed: bool) -> None:
    """Neither a CVE becomes one that no live patch can close, nor does support go on for ever."""
    note = KernelNote(support_end="9999-01-01", unfixable=(Unfixable(CVE, "we say so"),))
    planner = Planner(Listed(signed=signed, note=note), Machine(), hard)
    planner.bring_in(Asked(ALL))
    assert planner.inputs.support_end == "" and not planner.inputs.unfixable and planner.inputs.debt


def test_thousands_of_withdrawals_of_one_repository_push_out_no_other() -> None:
    """And of one repository those of installed packages come first."""
    many = [patch(str(number), repo="base") for number in range(100, 1100)]
    notes = {str(one.nevra): GONE for one in (*many, OLD)}
    repos = [Repository("base", has_record=True, has_advisories=True, read_at=NOW)]
    host = Machine()
    text = repository_record.dump(Record(kernels={RELEASE: KernelNote(patches=notes)}))
    Planner(Manager(RUNS, *many, OLD, repos=repos, record=text), host, hard).keep_out(Asked(ALL))
    read, said = host.remembered["withdrawn"]
    assert len(said) == 64 and str(OLD.nevra) in {row.nevra for row in said}
