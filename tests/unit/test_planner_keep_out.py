# SPDX-License-Identifier: GPL-2.0-or-later
"""The first door of the planner: patches that are kept out, kernels that are held, and the inputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from dnf_plugin_livepatch.base.config import Config
from dnf_plugin_livepatch.base.model import (
    EXACT,
    LOWER_BOUND,
    InForce,
    Withdrawal,
)
from dnf_plugin_livepatch.exposure import compute
from dnf_plugin_livepatch.exposure.compute import Inputs
from dnf_plugin_livepatch.formats import repository_record
from dnf_plugin_livepatch.formats.repository_record import KernelNote, PatchNote, Record, Withdrawn
from dnf_plugin_livepatch.planning.interface import Hold, Patched, Plan, Repository
from dnf_plugin_livepatch.planning.planner import Planner
from dnf_plugin_livepatch.planning.request import ALL, NAMED, Asked
from tests.unit.support.planned import (
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
    both,
    hard,
    ids,
    kernel,
)

FLAGS = (False, True)

# --- what is kept out ---

RECORD = Repository("base", has_advisories=True, has_record=True, read_at=NOW)


def record(note: PatchNote) -> str:
    """A record with a note on NEW."""
    return repository_record.dump(Record(kernels={RELEASE: KernelNote(patches={str(NEW.nevra): note})}))


PLAIN, GONE = record(PatchNote(NOW)), record(PatchNote(withdrawn=Withdrawn(NOW, "oops")))


@pytest.mark.parametrize(
    ("repository", "text", "limits", "free", "found", "read"),
    [
        (RECORD, PLAIN, {}, False, True, 1),
        (RECORD, GONE, {}, False, False, 1),
        (RECORD, GONE, {}, True, True, 0),
        (RECORD, PLAIN, {"min_age": 60}, True, True, 1),
        (RECORD, PLAIN, {"cutoff": "2030-01-01"}, True, True, 1),
        (RECORD, GONE, {"min_age": 60}, True, False, 1),
        (RECORD, "{", {}, False, False, 1),
        (RECORD._replace(has_record=False), GONE, {}, False, False, 0),
        (RECORD._replace(has_record=False), GONE, {}, True, True, 0),
        (RECORD._replace(has_record=False), GONE, {"min_age": 60}, False, True, 0),
    ],
)
def test_whether_a_later_run_may_do_without_the_records(
    repository: Repository, text: str, limits: dict[str, Any], free: bool, found: bool, read: int
) -> None:
    manager, host = Manager(RUNS, NEXT, NEW, repos=[repository], record=text), Machine(Config(**limits))
    plan = Planner(manager, host, hard).keep_out(Asked(ALL), free)
    assert plan.free is found and manager.asked["record"] == read
    looked = read or bool(limits)
    assert ("withdrawn" in host.remembered) is bool(looked)


def test_what_the_records_say_of_withdrawals_is_remembered() -> None:
    said = Withdrawal(str(NEW.nevra), "oops", "base")
    for text, rows in ((GONE, [said]), (PLAIN, [])):
        host = Machine()
        Planner(Manager(RUNS, NEW, repos=[RECORD], record=text), host, hard).keep_out(Asked(ALL))
        assert host.remembered["withdrawn"] == (set(), rows)


def test_patches_are_kept_out_once_in_a_run() -> None:
    manager, host = Manager(RUNS, NEXT, NEW, OLD, repos=[RECORD], record=GONE), Machine()
    host.away = {str(OLD.nevra): "by hand"}
    planner = Planner(manager, host, hard)
    assert planner.keep_out(Asked(ALL)).hidden == (str(OLD.nevra), str(NEW.nevra))
    assert set(planner.withheld) == {str(NEW.nevra)}
    again = planner.keep_out(Asked(ALL), free=True)
    assert again == Plan(free=True) and manager.asked["record"] == 1


def test_of_an_unknown_kernel_it_is_not_known_that_no_record_keeps_a_patch_out() -> None:
    manager = Manager(NEXT, NEW, repos=[RECORD], record=PLAIN)
    assert Planner(manager, Machine(), hard).keep_out(Asked(ALL)).free is False


def test_all_that_is_kept_out_is_hidden_and_told_together() -> None:
    manager, host = (
        Manager(RUNS, NEXT, NEW, repos=[RECORD], record=GONE),
        Machine(Config(kernel_update="hold")),
    )
    host.away = {str(OLD.nevra): "by hand"}
    hidden = Planner(manager, host, hard).keep_out(Asked(ALL)).hidden
    assert hidden == (str(OLD.nevra), str(NEW.nevra), str(NEXT.nevra)) and manager.hidden == set(hidden)


@pytest.mark.parametrize(
    ("asked", "hidden"),
    [
        (Asked(ALL), True),
        (Asked(NAMED, "", (str(NEW.nevra),)), True),
        (Asked(NAMED, "", (str(NEW.nevra),), exact=True), False),
        (Asked(NAMED, "", (NEW.nevra.name,), exact=True), True),
        (Asked(ALL, exact=True), True),
    ],
)
def test_a_blocked_patch_is_hidden_unless_a_command_takes_exactly_what_it_names(
    asked: Asked, hidden: bool
) -> None:
    manager, host = Manager(RUNS, NEW), Machine()
    host.away = {"no name": "spoiled", str(NEW.nevra): ""}
    plan = Planner(manager, host, hard).keep_out(asked)
    assert plan.hidden == ("no name", *([str(NEW.nevra)] if hidden else []))
    assert manager.hidden == set(plan.hidden)


@pytest.mark.parametrize(("reason", "why"), [("by hand", "by hand"), ("", "no reason given")])
def test_a_blocked_patch_is_told_with_the_reason(reason: str, why: str) -> None:
    manager, host = Manager(RUNS, NEXT, NEW), Machine()
    host.away = {str(NEW.nevra): reason}
    _, plan = both(Planner(manager, host, hard), Asked(ALL))
    assert [note.text for note in plan.notes] == [
        f"Live patch {NEW.nevra} is not added: it is blocked on this host ({why})."
    ]


def test_a_patch_that_the_configuration_hides_is_told_as_such() -> None:
    manager, host = Manager(RUNS, NEXT, NEW), Machine()
    host.away = {str(OLD.nevra): "another"}
    manager.hidden = {str(NEW.nevra)}
    assert ids(Planner(manager, host, hard).bring_in(Asked(ALL))) == ["patch-excluded"]


# --- a kernel update that is held ---


@pytest.mark.parametrize(
    "asked", [Asked(ALL), Asked(ALL, "", (), {"advisory": frozenset("A")}), Asked(NAMED)]
)
@pytest.mark.parametrize("closed", FLAGS)
@pytest.mark.parametrize("without", ["", "kmod needs it"])
@pytest.mark.parametrize("policy", ["install", "hold-when-covered", "hold"])
def test_a_kernel_is_held_in_a_bare_upgrade_with_a_proof(
    asked: Asked, closed: bool, without: str, policy: str
) -> None:
    in_force = (InForce("lp", str(OLD.nevra), (CVE,)),) if closed else ()
    seen = Patched(in_force, (str(OLD.nevra),) if closed else ())
    manager, host = Manager(RUNS, NEXT, OLD), Machine(Config(kernel_update=policy), "", seen)
    manager.without = without
    plan = Planner(manager, host, hard).keep_out(asked)
    looks = policy != "install" and asked == Asked(ALL)
    holds = looks and not without and (policy == "hold" or closed)
    assert (str(NEXT.nevra) in manager.hidden) == holds
    assert ids(plan) == ([] if not looks else ["kernel-held" if holds else "kernel-not-held"])
    assert ("hold" in host.remembered) == looks
    if looks:
        assert (host.remembered["hold"][0] is not None) == holds


def test_a_hold_ends_with_its_setting() -> None:
    manager, host = Manager(RUNS, NEXT), Machine()
    host.before = Hold(RELEASE, "kernel-core", NEXT.nevra.evr, NOW, "why")
    Planner(manager, host, hard).keep_out(Asked(ALL))
    assert host.remembered["hold"] == (None, "kernel_update = install") and not manager.hidden


# --- a kernel that may be held ---


def test_without_a_newer_kernel_none_is_held() -> None:
    manager, host = Manager(RUNS, kernel(5, repo="base")), Machine(Config(kernel_update="hold"))
    assert Planner(manager, host, hard).keep_out(Asked(ALL)) == Plan()
    why = "no kernel newer than the installed ones is offered, or DNF's configuration excludes it"
    assert host.remembered == {"hold": (None, why)}


@pytest.mark.parametrize("cannot", ["", "this is a container"])
def test_where_no_kernel_is_of_this_host_none_is_held(cannot: str) -> None:
    host = Machine(Config(kernel_update="hold"), cannot)
    packages = (RUNS, NEXT) if cannot else (NEXT,)
    assert Planner(Manager(*packages), host, hard).keep_out(Asked(ALL)) == Plan()
    assert host.remembered == {}


def test_a_held_kernel_is_hidden_with_its_advisories_read_before() -> None:
    host = Machine(Config(kernel_update="hold"))
    planner = Planner(Manager(RUNS, NEXT), host, hard)
    plan = planner.keep_out(Asked(ALL))
    assert plan.hidden == (str(NEXT.nevra),)
    assert [row.cve for row in planner.inputs.debt] == [CVE]
    assert host.covers == [()] and host.remembered["hold"][1] == "kernel_update = hold; it would close 1 CVE"


def test_the_advisories_are_read_once_for_the_hold_and_for_the_patches() -> None:
    manager, host = Manager(RUNS, NEXT, NEW), Machine(Config(kernel_update="hold-when-covered"))
    both(Planner(manager, host, hard), Asked(ALL))
    assert manager.asked["advisories of kernel-core, trusted"] == 1


def test_a_kernel_that_is_not_held_is_not_hidden() -> None:
    manager, host = Manager(RUNS, NEXT), Machine(Config(kernel_update="hold-when-covered"))
    assert Planner(manager, host, hard).keep_out(Asked(ALL)).hidden == ()
    assert host.remembered["hold"] == (None, "no live patch is in force") and not manager.hidden


# --- the inputs ---


@pytest.mark.parametrize(
    ("known", "quality", "remembered"),
    [(None, LOWER_BOUND, True), (("base",), EXACT, True), (("base", "extras"), LOWER_BOUND, False)],
)
def test_a_run_without_a_repository_that_had_advisories_is_doubted_and_not_remembered(
    known: tuple[str, ...] | None, quality: str, remembered: bool
) -> None:
    """Where no earlier run is known, the doubt is better than nothing."""
    repos = [RECORD._replace(has_record=False), Repository("extras", left_out=True)]
    manager, host = Manager(RUNS, NEXT, repos=repos), Machine(Config(repos=("extras",)))
    if known is not None:
        host.known = Inputs(RELEASE, repositories=tuple((name, "7") for name in known))
    planner = Planner(manager, host, hard)
    planner.bring_in(Asked(ALL))
    assert planner.inputs.quality == quality and ("extras" in planner.inputs.reason) is (quality != EXACT)
    assert ("inputs" in host.remembered) is remembered
    if remembered:
        first, other = host.remembered["inputs"]
        assert first == planner.inputs and other.kernel_package == str(NEXT.nevra)


def test_before_anything_is_read_nothing_is_known() -> None:
    assert Planner(Manager(RUNS), Machine(), hard).inputs == compute.unknown(RELEASE, "not looked at yet")


def test_a_kernel_that_could_not_be_hidden_is_not_said_to_be_held() -> None:
    class Stubborn(Manager):
        def hide(self, nevras: Iterable[str]) -> None:
            if str(NEXT.nevra) in list(nevras):
                raise RuntimeError("no excludes today")

    host, faults = Machine(Config(kernel_update="hold")), Faults()
    plan = Planner(Stubborn(RUNS, NEXT), host, faults.attempt).keep_out(Asked(ALL))
    assert ids(plan) == [] and plan.hidden == () and "hold" not in host.remembered
    assert faults.met == ["looking at the kernel update"]


def test_a_fault_in_one_step_leaves_the_others() -> None:
    class Forgetful(Machine):
        def blocked(self) -> Mapping[str, str]:
            raise RuntimeError("no file today")

    host, faults = Forgetful(Config(kernel_update="hold")), Faults()
    manager = Manager(RUNS, NEXT, NEW, repos=[RECORD], record=GONE)
    plan = Planner(manager, host, faults.attempt).keep_out(Asked(ALL))
    assert set(plan.hidden) == {str(NEW.nevra), str(NEXT.nevra)}
    assert faults.met == ["hiding what is blocked"]
