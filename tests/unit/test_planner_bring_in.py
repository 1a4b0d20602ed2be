# SPDX-License-Identifier: GPL-2.0-or-later
"""The second door of the planner: which patches join, and what is told of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from dnf_plugin_livepatch.base.config import Config
from dnf_plugin_livepatch.base.model import (
    Advisory,
    InForce,
    ReconcileResult,
)
from dnf_plugin_livepatch.formats import repository_record
from dnf_plugin_livepatch.formats.repository_record import KernelNote, Record
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
    Faults,
    Machine,
    Manager,
    Steps,
    Waiting,
    advisory,
    answered,
    both,
    hard,
    ids,
    kernel,
    patch,
)

RECORD = Repository("base", has_advisories=True, has_record=True, read_at=NOW)

# --- what is brought in ---


STEPS = [
    "hiding what is blocked",
    "looking for patches to keep out",
    "looking at the kernel update",
    "reading the advisories",
    "noting the trusted repositories",
    "looking at the live patches in force",
    "noting what is offered",
    "looking at withdrawals and support",
    "looking at what nothing vouches for",
    "describing the transaction",
    "looking at the live patches in force",
    "noting what is offered",
    "reading what is in force",
    "looking for a newer kernel",
]


def test_the_steps_have_the_names_that_a_fault_is_told_with() -> None:
    steps, host = Steps(), Machine(Config(kernel_update="hold-when-covered", min_age=1))
    planner = Planner(Manager(RUNS, NEXT, NEW, OLD), host, steps.attempt)
    both(planner, Asked(ALL))
    host.answer = answered()
    planner.follow((str(NEW.nevra),), ())
    planner.after(frozenset(), Waiting())
    assert steps.taken == STEPS


@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_fails_costs_nothing_but_itself(step: str) -> None:
    """The patch joins the transaction whatever else is broken."""

    def attempt(what: str, default: Any, function: Any) -> Any:
        return default if what == step else function()

    host = Machine(Config(kernel_update="hold-when-covered", min_age=1))
    manager = Manager(RUNS, NEXT, NEW, OLD)
    manager.rows = [*ADVISORIES, advisory(15, "CVE-2026-1500")]
    planner = Planner(manager, host, attempt)
    before, plan = both(planner, Asked(ALL))
    assert before.hidden == () and before.free is (step != "looking for patches to keep out")
    assert plan.added == (NEW,) and plan.expect == (str(NEW.nevra),)
    assert isinstance(plan.prompt, tuple) and bool(plan.prompt) is (step != "describing the transaction")
    host.answer = answered()
    assert planner.after(frozenset(), Waiting()).good


def test_patches_in_force_are_looked_at_where_one_is_installed_or_loaded() -> None:
    for packages, seen, looks in (
        ((RUNS, NEXT, NEW), Patched(), 0),
        ((RUNS, NEXT, OLD), Patched(), 1),
        ((RUNS, NEXT, NEW), Patched((InForce("theirs", ""),)), 1),
    ):
        host = Machine(Config(), "", seen)
        Planner(Manager(*packages), host, hard).bring_in(Asked(ALL))
        assert host.looks == looks


@pytest.mark.parametrize(
    ("incoming", "expected"), [((), (OLD,)), ((NEW._replace(incoming=True),), (NEW,)), ((NEW,), (NEW,))]
)
def test_a_patch_that_is_missing_stays_expected_unless_another_takes_its_place(
    incoming: tuple[Package, ...], expected: tuple[Package, ...]
) -> None:
    host = Machine(Config(), "", Patched(missing=(str(OLD.nevra),)))
    host.faults = ("line 1: no =",)
    plan = Planner(Manager(RUNS, NEXT, OLD, *incoming), host, hard).bring_in(Asked(ALL))
    assert plan.expect == tuple(str(one.nevra) for one in expected)
    assert ids(plan) == ["config-fault", "module-not-in-force"] and not plan.quiet
    assert plan.notes[1].subject == str(OLD.nevra)


def test_a_look_that_fails_leaves_no_patch_expected() -> None:
    class Broken(Machine):
        def patched(self, cover: Any, result: ReconcileResult | None = None) -> Patched:
            raise RuntimeError("no rpm database")

    faults = Faults()
    plan = Planner(Manager(RUNS, NEXT, OLD), Broken(), faults.attempt).bring_in(Asked(ALL))
    assert faults.met == ["looking at the live patches in force"]
    assert plan.expect == () and ids(plan) == []


def test_of_the_running_kernel_the_open_cves_are_counted() -> None:
    manager, host = Manager(RUNS, kernel(30, repo="base")), Machine()
    manager.rows = [*ADVISORIES, advisory(30, "CVE-2026-3000", "CVE-2026-3001", "CVE-2026-3002")]
    host.seen = Patched((InForce("theirs", "", ("CVE-2026-3000",)),))
    (note,) = Planner(manager, host, hard).bring_in(Asked(ALL)).notes
    assert note.text.endswith(f"for the running kernel {RELEASE}: 3 CVEs stay open.")


@pytest.mark.parametrize(("kernels", "number"), [("installed", 2), ("running", 1)])
def test_kernels_that_may_be_booted_next_get_a_patch_where_the_setting_says_so(
    kernels: str, number: int
) -> None:
    own = Package(NEW.nevra._replace(name="kpatch-patch-5_14_0-20"), "base")
    own = own._replace(provides=("livepatch(kernel-uname-r:5.14.0-20.el9.x86_64)",))
    manager = Manager(RUNS, NEXT._replace(installed=True), NEW, own)
    plan = Planner(manager, Machine(Config(kernels=kernels)), hard).bring_in(Asked(ALL))
    assert plan.added == (NEW, own)[:number] and plan.expect == (str(NEW.nevra),) and plan.hidden == ()


def test_of_security_updates_only_a_patch_that_closes_nothing_is_none() -> None:
    manager = Manager(RUNS, NEXT, patch("2", "CVE-2020-1000", repo="base"))
    assert Planner(manager, Machine(), hard).bring_in(Asked(ALL, security=True)).added == ()


FILTER = {"advisory": frozenset({"P-2"})}


@pytest.mark.parametrize(
    ("has", "listed", "added"),
    [
        ("", ("3",), True),
        ("", ("1",), True),
        ("", ("4",), False),
        ("", (), False),
        ("2", ("3",), True),
        ("2", ("2", "3"), False),
        ("2", ("2",), False),
        ("2", ("1",), False),
    ],
)
def test_a_filter_is_passed_by_an_advisory_that_the_hosts_patch_does_not_have(
    has: str, listed: tuple[str, ...], added: bool
) -> None:
    builds = tuple(patch(version).nevra for version in listed)
    installed = [patch(has, installed=True)] if has else []
    manager = Manager(RUNS, NEXT, patch("3", repo="base"), *installed)
    manager.rows = [*ADVISORIES, Advisory("P-2", "bugfix", "", "", "", (), builds)]
    plan = Planner(manager, Machine(), hard).bring_in(Asked(ALL, filters=FILTER))
    assert bool(plan.added) is added


BUILDS = {"1": OLD, "2": NEW}


@pytest.mark.parametrize(
    ("declared", "listed", "in_force", "rows", "secures"),
    [
        ((CVE,), (), (), ADVISORIES, True),
        (("CVE-2020-1000",), (), (), ADVISORIES, False),
        ((CVE,), (), (CVE,), ADVISORIES, False),
        ((), (), (), ADVISORIES, False),
        ((), (("security", "2", CVE),), (), ADVISORIES, True),
        ((), (("security", "1", CVE),), (), ADVISORIES, True),
        (("CVE-2020-1000",), (("security", "2", CVE),), (), ADVISORIES, False),
        # Of a kernel whose own advisory is gone the debt is a lower bound: then any fix counts ...
        (("CVE-2020-1000",), (), (), ADVISORIES[1:], True),
        ((), (("security", "2"),), (), ADVISORIES[1:], True),
        ((), (("security", "1"),), (), ADVISORIES[1:], True),
        ((), (("bugfix", "2"),), (), ADVISORIES[1:], False),
        ((), (), (), ADVISORIES[1:], False),
        # ... that is not known to be closed.
        ((CVE,), (), (CVE,), ADVISORIES[1:], False),
        (("CVE-2020-1000",), (), ("CVE-2020-1000",), ADVISORIES[1:], False),
        (("CVE-2020-1000",), (), (CVE,), ADVISORIES[1:], True),
        ((), (("security", "2"),), (CVE,), ADVISORIES[1:], False),
    ],
)
def test_a_patch_secures_when_it_closes_an_open_cve(
    declared: tuple[str, ...],
    listed: tuple[tuple[str, ...], ...],
    in_force: tuple[str, ...],
    rows: Sequence[Advisory],
    secures: bool,
) -> None:
    manager = Manager(RUNS, NEXT, patch("2", *declared, repo="base"))
    named = [
        Advisory(f"P-{number}", kind, "", "", "", tuple(cves), (BUILDS[build].nevra,))
        for number, (kind, build, *cves) in enumerate(listed)
    ]
    manager.rows = [*rows, *named]
    host = Machine(Config(), "", Patched((InForce("theirs", "", in_force),) if in_force else ()))
    plan = Planner(manager, host, hard).bring_in(Asked(NAMED))
    assert bool(plan.added) is secures


def test_a_patch_for_another_kernel_secures_when_it_closes_any_cve() -> None:
    release = "5.14.0-20.el9.x86_64"
    for cves, rows, added in (
        (("CVE-2020-1000",), [], True),
        ((), [], False),
        ((), ["security"], True),
        ((), ["bugfix"], False),
    ):
        own = Package(NEW.nevra._replace(name="kpatch-patch-5_14_0-20"), "base")
        provides = (f"livepatch(kernel-uname-r:{release})", *(f"livepatch-cve({cve})" for cve in cves))
        manager = Manager(RUNS, NEXT._replace(installed=True), own._replace(provides=provides))
        manager.rows = [*ADVISORIES, *(Advisory("P", kind, "", "", "", (), (own.nevra,)) for kind in rows)]
        assert bool(Planner(manager, Machine(), hard).bring_in(Asked(NAMED)).added) is added


# --- reminders ---


def test_a_withdrawn_patch_in_force_is_told_once_with_the_reason() -> None:
    """A set of two modules is one patch."""
    seen = Patched(
        (InForce("a", str(OLD.nevra)), InForce("b", str(OLD.nevra)), InForce("c", "x-1-1.x86_64"))
    )
    host = Machine(Config(), "", seen)
    host.gone = {str(OLD.nevra): "oops"}
    (note,) = Planner(Manager(RUNS, OLD), host, hard).bring_in(Asked(ALL)).notes
    assert (note.id, note.subject) == ("withdrawn-in-force", str(OLD.nevra))
    assert note.text == f"Live patch {OLD.nevra} is in force, and its publisher has withdrawn it: oops."


@pytest.mark.parametrize(
    ("publisher", "manifest", "window", "day"),
    [
        ("2026-11-30", "2026-11-29", 30, "2026-11-30, in 8 days"),
        ("", "2026-11-29", 30, "2026-11-29, in 7 days"),
        ("", "", 30, "about 2026-11-28, by the vendor's usual time; nobody has promised a day"),
        (
            "",
            "",
            20,
            "about 2026-11-18, by the vendor's usual time: new CVEs may be closed only by a reboot",
        ),
        ("2027-01-01", "2026-11-29", 30, ""),
        ("", "", 0, ""),
        ("2026-12-06", "", 0, "2026-12-06, in 14 days"),
        ("2026-12-07", "", 0, ""),
    ],
)
def test_the_end_of_support_is_told_in_time(publisher: str, manifest: str, window: int, day: str) -> None:
    text = repository_record.dump(Record(kernels={RELEASE: KernelNote(publisher)}))
    # The kernel was built on 2026-10-29; the vendor patches it for 30 days.
    runs = RUNS._replace(build_time=1793232000)
    host = Machine(Config(), "", Patched(support_end=manifest))
    host.profiles = [rule._replace(support_days=window) for rule in host.profiles]
    plan = Planner(Manager(runs, OLD, repos=[RECORD], record=text), host, hard).bring_in(Asked(ALL))
    texts = [note.text for note in plan.notes]
    word = "ended" if "reboot" in day else "end"
    assert texts == ([f"Live patches for kernel {RELEASE} {word} on {day}."] if day else [])


def test_reminders_are_for_whole_upgrades() -> None:
    host = Machine(Config(), "", Patched((InForce("a", str(OLD.nevra)),), support_end="2026-11-23"))
    host.gone = {str(OLD.nevra): "oops"}
    assert ids(Planner(Manager(RUNS, OLD), host, hard).bring_in(Asked(NAMED))) == []
