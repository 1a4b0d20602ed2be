# SPDX-License-Identifier: GPL-2.0-or-later
"""The second door of the planner: what is added in the end, and the prompt about the CVEs."""

from __future__ import annotations

from typing import Any

import pytest

from dnf_plugin_livepatch.base.config import Config
from dnf_plugin_livepatch.base.model import InForce
from dnf_plugin_livepatch.planning.interface import Package, Patched, Plan
from dnf_plugin_livepatch.planning.planner import Planner
from dnf_plugin_livepatch.planning.request import ALL, Asked
from dnf_plugin_livepatch.vendors.profile_file import Client
from dnf_plugin_livepatch.vendors.profiles import Profile
from tests.unit.support.planned import (
    ADVISORIES,
    CVE,
    GENERIC,
    NEW,
    NEXT,
    OLD,
    RELEASE,
    RUNS,
    Machine,
    Manager,
    advisory,
    both,
    hard,
    ids,
    kernel,
    patch,
)

# --- the acts and the prompt ---


def test_a_failure_to_add_is_told_with_its_reason() -> None:
    manager = Manager(RUNS, NEXT, NEW)
    manager.refused = "disk full"
    planner = Planner(manager, Machine(), hard)
    (note,) = planner.bring_in(Asked(ALL)).notes
    assert planner.added == set() and note.subject == str(NEW.nevra)
    assert (
        note.text
        == f"Live patch {NEW.nevra} is not added: disk full. The rest of this transaction is unchanged."
    )


def test_what_two_resolves_added_is_remembered() -> None:
    manager = Manager(RUNS, NEXT, NEW)
    planner = Planner(manager, Machine(), hard)
    planner.bring_in(Asked(ALL))
    assert planner.added == {str(NEW.nevra)}
    newer = patch("3", CVE, repo="base")
    manager.packages.append(newer)
    plan = planner.bring_in(Asked(ALL))
    assert plan.added == (newer,) and planner.added == {str(NEW.nevra), str(newer.nevra)}


HEAD = f"Live patching, running kernel {RELEASE}:"


def test_the_prompt_counts_what_is_chosen_and_what_the_user_chose() -> None:
    for packages in ((NEW,), (NEW._replace(incoming=True),)):
        manager = Manager(RUNS, NEXT, *packages)
        manager.rows = [*ADVISORIES, advisory(15, "CVE-2026-1500")]
        manager.added = [NEW]
        plan = Planner(manager, Machine(), hard).bring_in(Asked(ALL))
        assert plan.prompt == (
            HEAD,
            f"  Will close    : 1: {CVE} (Important)",
            "  At next reboot: 0",
            "  Left open     : 1: CVE-2026-1500 (Important)",
        )


@pytest.mark.parametrize("prompt", [True, False])
def test_where_nobody_is_asked_there_is_no_prompt(prompt: bool) -> None:
    plan = Planner(Manager(RUNS, NEXT, NEW), Machine(), hard).bring_in(Asked(ALL), prompt)
    assert plan.added == (NEW,) and bool(plan.prompt) is prompt


def test_the_prompt_counts_no_patch_of_another_kernel() -> None:
    own = Package(NEW.nevra._replace(name="kpatch-patch-5_14_0-20"), "base")
    own = own._replace(provides=("livepatch(kernel-uname-r:5.14.0-20.el9.x86_64)", f"livepatch-cve({CVE})"))
    manager = Manager(RUNS, NEXT._replace(incoming=True), own)
    plan = Planner(manager, Machine(), hard).bring_in(Asked(ALL))
    assert plan.added == (own,) and plan.expect == ()
    assert plan.prompt == (
        HEAD,
        "  Will close    : 0",
        f"  At next reboot: 1: {CVE} (Important)",
        "  Left open     : 0",
    )


def test_a_patch_that_is_missing_closes_nothing_now() -> None:
    old = patch("1", CVE, installed=True)
    manager, host = Manager(RUNS, NEXT, old), Machine(Config(), "", Patched(missing=(str(old.nevra),)))
    manager.added = [NEXT]
    plan = Planner(manager, host, hard).bring_in(Asked(ALL))
    assert plan.expect == (str(old.nevra),) and "  Will close    : 0" in plan.prompt


def single(topic: str, *cves: str, **facts: Any) -> Package:
    """A patch of a vendor whose single patches stand beside each other."""
    provides = (f"single = {RELEASE}", *(f"livepatch-cve({cve})" for cve in cves))
    return Package(NEW.nevra._replace(name=f"single-{topic}"), "base", provides=provides, **facts)


@pytest.mark.parametrize(
    ("whole", "added", "closed", "notes"),
    [
        ((), "ab", 2, []),
        (("CVE-2026-1500", "CVE-2025-1000"), "b", 1, ["patch-overlaps"]),
        (("CVE-2025-1000",), "ab", 2, []),
    ],
)
def test_single_patches_join_beside_each_other_and_beside_a_cumulative_one(
    whole: tuple[str, ...], added: str, closed: int, notes: list[str]
) -> None:
    client = Client("Patcher", apply=(("/usr/bin/patcher",),))
    rules = [
        Profile(
            name, name, name, cumulative=name == "whole", client=client, provides=(f"{name} = {{release}}",)
        )
        for name in ("whole", "single")
    ]
    offered = {"a": single("a", "CVE-2026-1500", "CVE-2026-1501"), "b": single("b", CVE)}
    provides = (f"whole = {RELEASE}", *(f"livepatch-cve({cve})" for cve in whole))
    installed = Package(NEW.nevra._replace(name="whole"), installed=True, provides=provides)
    manager = Manager(RUNS, NEXT, *offered.values(), *([installed] if whole else []))
    manager.rows = [*ADVISORIES, advisory(15, "CVE-2026-1500")]
    host = Machine()
    host.profiles = [*host.profiles, *rules]
    plan = Planner(manager, host, hard).bring_in(Asked(ALL))
    assert plan.added == tuple(offered[topic] for topic in added) and ids(plan) == notes
    assert plan.prompt[1].startswith(f"  Will close    : {closed}: ")


def test_the_prompt_says_nothing_where_nothing_is_open_or_closed() -> None:
    manager = Manager(RUNS)
    manager.added, manager.rows = [NEW], ADVISORIES[:1]
    assert Planner(manager, Machine(), hard).bring_in(Asked(ALL)).prompt == ()
    manager = Manager(RUNS, NEXT, NEW)
    manager.can_add = False
    assert Planner(manager, Machine(), hard).bring_in(Asked(ALL)).prompt == (), "it changes nothing"


def named(build: int, name: str, **more: Any) -> Package:
    made = kernel(build, **more)
    return made._replace(nevra=made.nevra._replace(name=name))


@pytest.mark.parametrize(
    ("packages", "at_reboot"),
    [
        ((), 0),
        ((kernel(20, installed=True),), 1),
        ((kernel(20, incoming=True),), 1),
        ((kernel(21, installed=True), kernel(20, incoming=True)), 2),
        ((kernel(20, installed=True), kernel(21, incoming=True)), 2),
        ((kernel(11, installed=True),), 0),
        ((kernel(5, installed=True),), 0),
        ((kernel(21, repo="base"),), 0),
        ((named(21, "kernel", installed=True),), 0),
        ((named(21, "kernel-core-x", incoming=True),), 0),
    ],
)
def test_the_next_reboot_is_into_the_newest_build_of_the_running_kernels_package(
    packages: tuple[Package, ...], at_reboot: int
) -> None:
    manager = Manager(RUNS, *packages)
    manager.rows = [*ADVISORIES, advisory(21, "CVE-2026-2100")]
    manager.added = [NEW]
    plan = Planner(manager, Machine(), hard).bring_in(Asked(ALL))
    line = next(line for line in plan.prompt if "At next reboot" in line)
    assert line.startswith(f"  At next reboot: {at_reboot}")


@pytest.mark.parametrize(
    ("notes", "quiet"), [((), True), (("patch-absent",), True), (("config-fault",), False)]
)
def test_a_run_is_quiet_that_has_nothing_to_say_but_what_it_says_always(
    notes: tuple[str, ...], quiet: bool
) -> None:
    host = Machine()
    host.faults = ("line 1: no =",) if "config-fault" in notes else ()
    manager = Manager(RUNS)
    manager.rows = ADVISORIES if "patch-absent" in notes else ADVISORIES[:1]
    plan = Planner(manager, host, hard).bring_in(Asked(ALL))
    assert ids(plan) == list(notes) and plan.quiet is quiet


def test_a_note_is_told_once_and_a_loud_run_stays_loud() -> None:
    host = Machine()
    host.faults = ("line 1: no =", "line 1: no =")
    planner = Planner(Manager(NEXT), host, hard)
    before, plan = both(planner, Asked(ALL))
    assert ids(before) == ["config-fault"] and plan == Plan()


def test_the_offers_are_those_for_the_running_kernel() -> None:
    found = Planner(Manager(RUNS, NEXT, NEW, OLD), Machine(), hard).offers()
    assert [(row.package, row.state) for row in found] == [(str(NEW.nevra), "offered")]


@pytest.mark.parametrize(
    ("mode", "cannot", "why"),
    [
        ("install-only", "", "mode = install-only in livepatch.conf"),
        (
            "load",
            "kpatch.enable=0 is on the kernel command line",
            "kpatch.enable=0 is on the kernel command line",
        ),
    ],
)
def test_the_prompt_promises_nothing_where_nothing_is_loaded(mode: str, cannot: str, why: str) -> None:
    manager, host = Manager(RUNS, NEXT, NEW._replace(incoming=True)), Machine(Config(mode=mode))
    manager.added, host.cannot = [NEW], cannot
    plan = Planner(manager, host, hard).bring_in(Asked(ALL))
    assert plan.prompt[1:3] == (
        f"  Will close    : 0, because nothing is loaded: {why}",
        "  At next reboot: 0",
    )


@pytest.mark.parametrize(
    ("foreign", "off", "why"),
    [
        ("", GENERIC[0].name, "LIVEPATCH=never in /etc/x"),
        ("tried", GENERIC[0].name, "LIVEPATCH=never in /etc/x"),
        ("tried", "", "another program loaded tried, which the patch would put out of force"),
        ("", "another", ""),
        ("", "", ""),
    ],
)
def test_the_prompt_promises_nothing_that_the_host_refuses(foreign: str, off: str, why: str) -> None:
    """A vendor's switch counts on a host without any live patch too, of which nothing else is read."""
    manager = Manager(RUNS, NEXT, NEW)
    manager.added = [NEW]
    seen = Patched(foreign=(foreign,), in_force=(InForce(foreign, ""),)) if foreign else Patched()
    host = Machine(Config(), "", seen)
    host.off = {off: "LIVEPATCH=never in /etc/x"}
    plan = Planner(manager, host, hard).bring_in(Asked(ALL))
    told = f"0, because nothing is loaded: {why}" if why else f"1: {CVE} (Important)"
    assert plan.prompt[1] == f"  Will close    : {told}"
