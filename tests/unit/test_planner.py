# SPDX-License-Identifier: GPL-2.0-or-later
"""The planner over plain tuples: hundreds of situations against the rules, written down once more."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import pytest

from dnf_plugin_livepatch.base.config import Config
from dnf_plugin_livepatch.base.model import (
    UNKNOWN,
    Advisory,
    InForce,
)
from dnf_plugin_livepatch.formats import repository_record
from dnf_plugin_livepatch.formats.repository_record import KernelNote, PatchNote, Record, Step, Withdrawn
from dnf_plugin_livepatch.planning.interface import Package, Patched, Plan, Repository
from dnf_plugin_livepatch.planning.planner import Planner
from dnf_plugin_livepatch.planning.request import ALL, NAMED, NONE, Asked
from tests.unit.support.planned import (
    CVE,
    GENERIC,
    NEW,
    NEXT,
    NOW,
    OLD,
    RELEASE,
    RUNS,
    Faults,
    Machine,
    Manager,
    both,
    hard,
    ids,
    patch,
)

# --- the table: which patch joins, and the one line where it does not ---

REQUESTS = {
    "no upgrade": Asked(NONE, "no upgrade"),
    "everything": Asked(ALL),
    "security only": Asked(ALL, "", (), {"advisory_type": frozenset({"security"})}, True),
    "the patch": Asked(NAMED, "", (NEW.nevra.name,)),
    "the very build": Asked(NAMED, "", (str(NEW.nevra),)),
    "something else": Asked(NAMED, "", ("bash",)),
}
MODES = ("load", "install-only", "report", "no place")
WHEN = ("security", "always", "named")
KEPT = ("", "blocked", "withdrawn", "rollout", "min_age")


class Case(NamedTuple):
    """One situation."""

    request: str
    mode: str
    when: str
    trusted: bool
    gpgcheck: bool
    secures: bool
    kept: str
    has: bool

    def run(self) -> tuple[Plan, Plan, Manager]:
        """Plan it."""
        offered = patch(
            "2", CVE if self.secures else "CVE-2020-9999", repo="base" if self.trusted else "copr"
        )
        notes = {
            "withdrawn": PatchNote(withdrawn=Withdrawn(NOW, "oops")),
            "rollout": PatchNote(rollout=(Step(NOW, 0),)),
            "min_age": PatchNote(issued="2026-11-22T00:00:00Z"),
        }
        record = ""
        if self.kept in notes:
            kernels = {RELEASE: KernelNote(patches={str(offered.nevra): notes[self.kept]})}
            record = repository_record.dump(Record(kernels=kernels))
        told = bool(record)
        repos = [
            Repository(
                "base", self.gpgcheck or not self.trusted, False, True, told and self.trusted, "", NOW
            ),
            Repository("copr", self.gpgcheck or self.trusted, False, False, told and not self.trusted),
        ]
        manager = Manager(RUNS, NEXT, offered, *([OLD] if self.has else []), repos=repos, record=record)
        settings = Config(
            mode=self.mode if self.mode != "no place" else "load",
            when=self.when,
            min_age=86400 if self.kept == "min_age" else 0,
        )
        in_force = (InForce("lp", str(OLD.nevra), ("CVE-2025-0001",)),) if self.has else ()
        seen = Patched(in_force, (str(OLD.nevra),)) if self.has else Patched()
        host = Machine(settings, "this is a container" if self.mode == "no place" else "", seen)
        if self.kept == "blocked":
            host.away = {str(offered.nevra): "by hand"}
        return (*both(Planner(manager, host, hard), REQUESTS[self.request]), manager)

    @property
    def withheld(self) -> str:
        """The message of a patch that is kept out, "" for one that is not.

        Only a trusted repository's record is believed; ``min_age`` is the host's own, and where no record
        says when the patch was issued, its build says so: long ago. Naming the build passes waits only.
        """
        if self.kept == "blocked":
            return "patch-kept-out"
        if not self.trusted or not self.kept:
            return ""
        if self.kept == "withdrawn":
            return "patch-withdrawn"
        return "" if self.request == "the very build" else "patch-waits"

    @property
    def wanted(self) -> bool:
        """Does this request take the patch along?"""
        if self.request in ("everything", "the patch", "the very build"):
            return True
        if self.request == "security only":
            return self.secures
        return self.when == "always" or (self.when == "security" and self.secures)

    def expected(self) -> tuple[bool, list[str]]:
        """Is the patch added, and which messages are told?"""
        if self.request == "no upgrade":
            return False, []
        if self.withheld:
            return False, [self.withheld]
        if not self.wanted:
            return False, []
        if not self.trusted:
            return False, ["patch-untrusted"]
        if not self.gpgcheck:
            return False, ["patch-no-gpgcheck"]
        if self.mode == "no place":
            return False, ["patch-no-place"]
        if self.mode == "report":
            return False, ["patch-offered"]
        return True, []


FLAGS = (False, True)


AXES = (REQUESTS, MODES, WHEN, FLAGS, FLAGS, FLAGS, KEPT, FLAGS)


def every(step: int) -> list[Case]:
    """Every ``step``-th situation of all. No axis has seven words: every seventh has all pairs of words."""
    return [Case(*words) for words in itertools.islice(itertools.product(*AXES), 0, None, step)]


def follow_the_rules(cases: Sequence[Case]) -> None:
    """Plan each case and compare the plan with the rules, as they are written above."""
    offered = str(NEW.nevra)
    for case in cases:
        before, plan, manager = case.run()
        adds, notes = case.expected()
        assert [str(one.nevra) for one in plan.added] == ([offered] if adds else []), case
        assert list(plan.added) == manager.added, case
        assert [*ids(before), *ids(plan)] == notes, case
        assert plan.expect == ((offered,) if adds else ()), case
        assert (offered in before.hidden) == (offered in manager.hidden) == bool(case.withheld), case
        assert plan.quiet == (not adds and not notes), case
        for question in ("running_kernel", "repositories", "origin", "record", "advisories of kernel-core"):
            assert manager.asked[question] <= 1, (question, case)
        looks = [count for question, count in manager.asked.items() if question.startswith("live_patches")]
        assert max(looks, default=0) <= 2, "once at each door"


def test_every_seventh_situation_follows_the_rules(record_property: Any) -> None:
    cases = every(7)
    for one, other in itertools.combinations(range(len(AXES)), 2):
        pairs = {(case[one], case[other]) for case in cases}
        assert len(pairs) == len(AXES[one]) * len(AXES[other]), "each word meets each other one"
    follow_the_rules(cases)
    record_property("told", f"{len(cases)} situations against the rules")


@pytest.mark.slow
def test_every_situation_follows_the_rules(record_property: Any) -> None:
    cases = every(1)
    follow_the_rules(cases)
    record_property("told", f"all {len(cases)} situations against the rules")


# --- the usual case, and the host ---


def test_without_any_live_patch_nothing_of_the_host_is_read() -> None:
    manager, host = Manager(RUNS, NEXT), Machine()
    plan = Planner(manager, host, hard).bring_in(Asked(ALL))
    assert host.looks == 0 and manager.asked["record"] == 0
    assert ids(plan) == ["patch-absent"] and plan.quiet and not plan.prompt


def test_an_unknown_kernel_gets_nothing() -> None:
    planner = Planner(Manager(NEXT, NEW), Machine(), hard)
    before, plan = both(planner, Asked(ALL))
    assert before == Plan() and plan == Plan(quiet=True)
    assert planner.inputs.quality == UNKNOWN


def test_what_was_not_understood_is_told_once() -> None:
    host = Machine()
    host.faults = ("line 1: no =",)
    before, plan = both(Planner(Manager(RUNS, NEW._replace(incoming=True)), host, hard), Asked(ALL))
    assert ids(before) == ["config-fault"] and ids(plan) == [] and not plan.quiet
    assert "line 1: no =" in before.notes[0].text
    plan = Planner(Manager(NEXT), host, hard).bring_in(Asked(ALL))
    assert ids(plan) == ["config-fault"] and not plan.quiet, "of an unknown kernel too"


@pytest.mark.parametrize(
    ("mode", "cannot", "off"),
    [
        ("load", "", ""),
        ("install-only", "", ""),
        ("load", "this is a chroot", ""),
        ("load", "", GENERIC[0].name),
        ("load", "", "another"),
    ],
)
def test_what_is_installed_and_not_in_force_is_expected_where_it_can_be_loaded(
    mode: str, cannot: str, off: str
) -> None:
    host = Machine(Config(mode=mode), cannot, Patched(missing=(str(OLD.nevra),)))
    host.off = {off: "LIVEPATCH=never in /etc/x"}
    plan = Planner(Manager(RUNS, OLD), host, hard).bring_in(Asked(ALL))
    loads = mode == "load" and not cannot and off != GENERIC[0].name
    assert plan.expect == ((str(OLD.nevra),) if loads else ())
    assert ids(plan) == (["module-not-in-force"] if loads else [])


def test_what_the_host_blocked_itself_is_named_at_each_upgrade_and_not_expected() -> None:
    why = "health check failed: /bin/check: exit status 1"
    host = Machine(Config(), "", Patched(barred=((str(OLD.nevra), why),)))
    for _ in range(2):
        plan = Planner(Manager(RUNS, OLD), host, hard).bring_in(Asked(ALL))
        assert ids(plan) == ["patch-blocked"] and why in plan.notes[0].text and plan.expect == ()
        assert not plan.quiet, "it is said again"


def test_a_patch_of_the_users_own_transaction_is_expected_and_not_added() -> None:
    manager = Manager(RUNS, NEXT, NEW._replace(incoming=True))
    plan = Planner(manager, Machine(), hard).bring_in(Asked(ALL))
    assert plan.added == () and plan.expect == (str(NEW.nevra),)


def test_where_the_newest_does_not_fit_an_older_one_is_taken() -> None:
    older = patch("1", CVE, repo="base")
    manager = Manager(RUNS, NEXT, NEW, older)
    manager.trial = "it needs more"
    plan = Planner(manager, Machine(), hard).bring_in(Asked(ALL))
    assert plan.added == (older,) and ids(plan) == ["patch-older"]


def test_where_nothing_fits_the_transaction_is_the_users_own() -> None:
    manager = Manager(RUNS, NEXT, NEW)
    manager.refused = "disk full"
    plan = Planner(manager, Machine(), hard).bring_in(Asked(ALL))
    assert plan.added == () and plan.expect == () and ids(plan) == ["patch-unresolvable"]


def test_a_package_manager_that_cannot_add_is_told_the_plan() -> None:
    manager = Manager(RUNS, NEXT, NEW)
    manager.can_add = False
    plan = Planner(manager, Machine(), hard).bring_in(Asked(ALL))
    assert plan.added == (NEW,) and manager.added == []


def test_the_prompt_tells_what_is_closed() -> None:
    plan = Planner(Manager(RUNS, NEXT, NEW), Machine(), hard).bring_in(Asked(ALL))
    assert any(CVE in line and "Will close" in line for line in plan.prompt), plan.prompt


def test_the_kernel_that_comes_along_gets_its_patch_unless_only_the_running_one_is_meant() -> None:
    release = "5.14.0-20.el9.x86_64"
    own = Package(NEW.nevra._replace(name="kpatch-patch-5_14_0-20"), "base")
    own = own._replace(provides=(f"livepatch(kernel-uname-r:{release})",))
    packages = (RUNS, NEXT._replace(incoming=True), NEW, own)
    assert Planner(Manager(*packages), Machine(), hard).bring_in(Asked(ALL)).added == (NEW, own)
    alone = Planner(Manager(*packages), Machine(), hard).bring_in(Asked(ALL, running_only=True))
    assert alone.added == (NEW,) and alone.expect == (str(NEW.nevra),)


def test_one_broken_answer_costs_a_line_and_not_the_patch() -> None:
    class Broken(Manager):
        def advisories(
            self, packages: Sequence[Package], within: Collection[str] | None = None
        ) -> Sequence[Advisory]:
            raise RuntimeError("no advisories today")

    faults = Faults()
    plan = Planner(Broken(RUNS, NEXT, NEW), Machine(), faults.attempt).bring_in(Asked(ALL))
    assert plan.added == (NEW,) and faults.met == ["reading the advisories"]


@pytest.mark.parametrize("text", ["", "{", '{"schema": 99}'])
def test_a_broken_record_is_one_line(text: str) -> None:
    repos = [Repository("base", has_advisories=True, has_record=True, read_at=NOW)]
    before, plan = both(
        Planner(Manager(RUNS, NEXT, NEW, repos=repos, record=text), Machine(), hard), Asked(ALL)
    )
    assert ids(before) == ["record-broken"] and ids(plan) == [] and plan.added == (NEW,) and not before.free
