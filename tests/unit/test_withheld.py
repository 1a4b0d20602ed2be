# SPDX-License-Identifier: GPL-2.0-or-later
"""Patches that one host keeps out: who takes which live patch, and when."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnf_plugin_livepatch.base import times
from dnf_plugin_livepatch.base.config import Config
from dnf_plugin_livepatch.base.model import Advisory, Nevra
from dnf_plugin_livepatch.exposure import support
from dnf_plugin_livepatch.formats import repository_record
from dnf_plugin_livepatch.formats.repository_record import (
    KernelNote,
    PatchNote,
    Record,
    Step,
    Withdrawn,
    bucket,
)
from dnf_plugin_livepatch.planning import withheld
from dnf_plugin_livepatch.planning.facts import Facts, Said
from dnf_plugin_livepatch.planning.interface import Package, Repository
from dnf_plugin_livepatch.planning.request import ALL, NAMED, Asked
from dnf_plugin_livepatch.planning.withheld import Limits
from tests.unit.support.planned import NEW, OLD, RELEASE, RUNS, Machine, Manager, patch

PATCH = "kpatch-patch-5_14_0-10-1-2.el9.x86_64"
NEVRA = Nevra("kpatch-patch-5_14_0-10", "0", "1", "2.el9", "x86_64")
NOW = "2026-11-22T12:00:00Z"
PLAIN = PatchNote()
HOST = Limits("0123456789abcdef0123456789abcdef", NOW)
DAY = 86400
IDS = st.text("0123456789abcdef", min_size=32, max_size=32)


def cause(note: PatchNote = PLAIN, issued: str = "2026-11-20", limits: Limits = HOST) -> str:
    found = withheld.judge(PATCH, note, issued, withheld.ISSUED, limits)
    return found.cause if found is not None else ""


def text(note: PatchNote, issued: str, limits: Limits) -> str:
    found = withheld.judge(PATCH, note, issued, withheld.ISSUED, limits)
    assert found is not None
    return found.problem.text


def test_without_any_cause_everything_is_taken() -> None:
    assert cause() == "" and cause(issued="") == "" and cause(issued="9999-01-01") == ""


@pytest.mark.parametrize(
    ("issued", "age", "waits"),
    [
        ("2026-11-20", 2 * DAY, False),
        ("2026-11-20", 3 * DAY, True),
        ("2026-11-21T12:00:00Z", DAY, False),
        ("2026-11-21T12:00:01Z", DAY, True),
        ("2027-01-01", 1, True),
        ("", DAY, False),
        ("no date", DAY, False),
        ("9999-12-31", 400 * DAY, False),
    ],
)
def test_min_age(issued: str, age: int, waits: bool) -> None:
    assert cause(issued=issued, limits=HOST._replace(min_age=age)) == (withheld.AGE if waits else "")


LATE = PatchNote(rollout=(Step("2026-11-20T00:00:00Z", 0), Step("2026-12-24T00:00:00Z", 100)))
NEVER = PatchNote(rollout=(Step("2026-11-20T00:00:00Z", 0),))


@pytest.mark.parametrize(
    ("note", "days", "until"),
    [
        (
            PLAIN,
            3,
            "before 2026-11-23T00:00:00Z: it was issued on 2026-11-20 and min_age is not over",
        ),
        (
            LATE,
            3,
            "before 2026-12-24T00:00:00Z: its roll-out has reached 0 % of the hosts, not this one",
        ),
        (
            LATE,
            40,
            "before 2026-12-30T00:00:00Z: it was issued on 2026-11-20 and min_age is not over",
        ),
        (
            NEVER,
            400,
            "before its publisher says so: its roll-out has reached 0 % of the hosts, not this one",
        ),
    ],
    ids=["age", "roll-out is later", "age is later", "never is latest"],
)
def test_the_note_says_until_when_and_why(note: PatchNote, days: int, until: str) -> None:
    found = withheld.judge(
        PATCH, note, "2026-11-20T00:00:00Z", withheld.ISSUED, HOST._replace(min_age=days * DAY)
    )
    assert found is not None and found.nevra == found.problem.subject == PATCH
    assert found.problem.text == f"Live patch {PATCH} is not added {until}."


def test_the_note_of_a_patch_that_is_cut_off_or_withdrawn() -> None:
    limits = HOST._replace(cutoff="2026-11-01")
    assert text(PLAIN, "2026-11-02T01:00:00Z", limits) == (
        f"Live patch {PATCH} is not added: it was issued on 2026-11-02, after cutoff = 2026-11-01."
    )
    back = PatchNote(withdrawn=Withdrawn(NOW, "oops in x"))
    assert text(back, "", HOST) == (
        f"Live patch {PATCH} is not added: its publisher withdrew it on 2026-11-22 (oops in x)."
    )
    for note, limit in ((PLAIN, limits), (back, HOST)):
        found = withheld.judge(PATCH, note, "2026-11-02T01:00:00Z", withheld.ISSUED, limit)
        assert found is not None and found.nevra == found.problem.subject == PATCH


@pytest.mark.parametrize(("percent", "start"), [(98, "never"), (99, ""), (100, "")])
def test_the_last_host_is_reached_by_the_last_percent(percent: int, start: str) -> None:
    (machine,) = (f"{number:032x}" for number in range(99) if bucket(f"{number:032x}", PATCH) == 98)
    note = PatchNote(rollout=(Step("2026-01-01T00:00:00Z", percent),))
    assert withheld.rollout_start(note, PATCH, Limits(machine, NOW)) == start


def test_the_roll_out_reaches_a_host_with_the_step_beyond_its_place() -> None:
    place = bucket(HOST.machine_id, PATCH)
    steps = ((1, place), (2, place), (3, place + 1), (4, 100))
    rollout = tuple(Step(f"2026-12-{day:02}T00:00:00Z", percent) for day, percent in steps)
    note = PatchNote(rollout=rollout)
    assert withheld.rollout_start(note, PATCH, HOST) == "2026-12-03T00:00:00Z"


@pytest.mark.parametrize(
    ("issued", "expected"),
    [("2026-11-01", ""), ("2026-11-01T23:59:59Z", ""), ("2026-11-02", "cutoff"), ("", "")],
)
def test_cutoff_includes_its_day(issued: str, expected: str) -> None:
    assert cause(issued=issued, limits=HOST._replace(cutoff="2026-11-01")) == expected


def test_withdrawn_comes_before_all_others() -> None:
    note = PatchNote(rollout=(Step("2020-01-01T00:00:00Z", 0),), withdrawn=Withdrawn(NOW, "oops in x"))
    assert cause(note, limits=HOST._replace(cutoff="2000-01-01")) == withheld.WITHDRAWN
    assert "oops in x" in text(note, "", HOST)


@given(IDS, st.lists(st.tuples(st.integers(1, 28), st.integers(0, 100)), max_size=5))
def test_who_is_in_stays_in_and_until_is_kept(machine: str, steps: list[tuple[int, int]]) -> None:
    """Monotonic in time; and at the time that was told the wait is over, not before."""
    rollout = tuple(sorted(Step(f"2026-11-{day:02}T00:00:00Z", percent) for day, percent in steps))
    note, seen, told = PatchNote(rollout=rollout), False, ""
    for day in range(1, 30):
        now = f"2026-11-{day:02}T00:00:00Z"
        when = withheld.rollout_start(note, PATCH, Limits(machine, now))
        assert not (seen and when), "a host that was in is out again"
        seen = seen or not when
        if told and told != "never":
            assert (when == "") == (now >= told)
        told = told or when


@given(IDS, st.integers(0, 100), st.integers(0, 100))
def test_more_percent_never_take_a_host_out(machine: str, one: int, other: int) -> None:
    def waits(percent: int) -> bool:
        note = PatchNote(rollout=(Step("2026-01-01T00:00:00Z", percent),))
        return bool(withheld.rollout_start(note, PATCH, Limits(machine, NOW)))

    assert waits(max(one, other)) <= waits(min(one, other))
    assert waits(0) and not waits(100)


def test_hosts_are_spread_evenly_and_anew_for_each_patch() -> None:
    machines = [f"{number:032x}" for number in range(10000)]
    counts = [0] * 10
    for machine in machines:
        counts[bucket(machine, PATCH) // 10] += 1
    assert max(counts) < 1120 and min(counts) > 880, counts
    first = {machine for machine in machines if bucket(machine, PATCH) < 10}
    second = {machine for machine in machines if bucket(machine, PATCH + "x") < 10}
    assert len(first & second) < 150, "the same hosts would always be the first ones"


@given(IDS, st.integers(1, 99))
def test_another_build_for_an_advisory_comes_to_the_same_hosts_first(machine: str, percent: int) -> None:
    step = (Step("2026-01-01T00:00:00Z", percent),)
    named = PatchNote(rollout=step, advisory="FIX-2026:1")
    builds = (PATCH, PATCH + "x", "b-1-1.y")
    waits = {bool(withheld.rollout_start(named, nevra, Limits(machine, NOW))) for nevra in builds}
    assert waits == {bucket(machine, "FIX-2026:1") >= percent}
    alone = bool(withheld.rollout_start(PatchNote(rollout=step), PATCH, Limits(machine, NOW)))
    assert alone == (bucket(machine, PATCH) >= percent)


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        (PATCH, True),
        ("kpatch-patch-5_14_0-10-1-2.el9", True),
        ("kpatch-patch-5_14_0-10-1", True),
        ("kpatch-patch-5_14_0-10-1-*", True),
        ("kpatch-patch-5_14_0-10", False),
        ("kpatch-patch-5_14_0-10-1-3.el9", False),
        ("kpatch-patch*", False),
        ("*", False),
    ],
)
def test_named_with_its_version(spec: str, named: bool) -> None:
    assert withheld.versioned(["bash", spec], NEVRA) is named


@pytest.mark.parametrize(
    ("end", "identifier"),
    [
        ("", ""), ("soon", ""), ("2026-12-07", ""), ("2026-12-06", "support-ends"),
        ("2026-11-22", "support-ends"), ("2026-11-21T00:00:00Z", "support-ended"),
    ],
)  # fmt: skip
def test_support_warns_in_time(end: str, identifier: str) -> None:
    found = support.warning("5.14.0", end, NOW, 14)
    assert (found.id if found is not None else "") == identifier


# --- what is kept out of one run ---

BACK = Withdrawn("2026-11-21T00:00:00Z", "oops")
GONE, SLOW = PatchNote(withdrawn=BACK), PatchNote(rollout=(Step("2026-11-20T00:00:00Z", 0),))
THIRD = patch("3", repo="base")
N2, N3 = str(NEW.nevra), str(THIRD.nevra)
OTHER = "5.14.0-20.el9.x86_64"


def facts(*packages: Package, record: dict[str, dict[str, PatchNote]] | None = None, **limits: Any) -> Facts:
    """The facts where the repository's record has these notes, by kernel release and NEVRA."""
    repos = [Repository("base", has_advisories=True, has_record=record is not None, read_at=NOW)]
    kernels = {release: KernelNote(patches=patches) for release, patches in (record or {}).items()}
    dumped = repository_record.dump(Record(kernels=kernels))
    return Facts(Manager(RUNS, *packages, repos=repos, record=dumped), Machine(Config(**limits)))


def kept(found: Facts, asked: Asked = Asked(ALL), releases: tuple[str, ...] = (RELEASE,)) -> dict[str, str]:  # noqa: B008
    rows = withheld.kept_out(found, releases, asked)
    assert all(row.nevra == nevra == row.problem.subject for nevra, row in rows.items())
    return {nevra: row.cause for nevra, row in rows.items()}


def test_without_a_record_or_a_limit_no_patch_is_looked_at() -> None:
    found = facts(NEW)
    assert kept(found) == {} == kept(facts(NEW, record={RELEASE: {N2: PatchNote(NOW)}}))
    assert not [one for one in found.manager.asked if one.startswith("live_patches")]  # type: ignore[attr-defined]


def test_a_record_keeps_out_the_patches_that_it_names() -> None:
    assert kept(facts(NEW, THIRD, record={RELEASE: {N2: GONE}})) == {N2: "withdrawn"}
    assert kept(facts(NEW, THIRD, record={RELEASE: {N3: SLOW}})) == {N3: "rollout"}
    assert kept(facts(NEW, record={OTHER: {N2: GONE}})) == {}, "it is a note on another kernel"


@pytest.mark.parametrize(("more", "out"), [(0, True), (1, False)])
def test_a_patch_is_kept_out_until_the_roll_out_is_beyond_the_place_of_this_host(
    more: int, out: bool
) -> None:
    note = PatchNote(rollout=(Step("2026-11-20T00:00:00Z", bucket(Machine.machine_id, N2) + more),))
    assert kept(facts(NEW, record={RELEASE: {N2: note}})) == ({N2: "rollout"} if out else {})


def test_without_a_limit_no_advisory_is_read() -> None:
    found = facts(NEW, record={RELEASE: {N2: SLOW}})
    assert kept(found) == {N2: "rollout"}
    assert not [one for one in found.manager.asked if one.startswith("advisories")]  # type: ignore[attr-defined]


def test_every_kernel_is_looked_at() -> None:
    own = patch("5", repo="base")._replace(provides=(f"livepatch(kernel-uname-r:{OTHER})",))
    found = facts(NEW, own, record={OTHER: {str(own.nevra): GONE, N2: GONE}})
    assert kept(found, releases=(RELEASE, OTHER)) == {str(own.nevra): "withdrawn"}


@pytest.mark.parametrize(
    "package",
    [
        NEW._replace(installed=True),
        NEW._replace(nevra=NEW.nevra._replace(version="0", release="0")),
        NEW._replace(requires=("kernel-uname-r = 6.1-1.x86_64",)),
    ],
    ids=["installed", "a subscription", "no live patch"],
)
def test_only_patches_on_offer_are_kept_out(package: Package) -> None:
    note = {str(package.nevra): GONE, N3: GONE}
    assert kept(facts(package, THIRD, record={RELEASE: note})) == {N3: "withdrawn"}


@pytest.mark.parametrize(
    ("exact", "spec", "out"),
    [
        (False, "", True),
        (False, N2, True),
        (True, N2, False),
        (True, NEW.nevra.name, True),
    ],
)
def test_a_withdrawn_patch_is_let_in_by_a_command_that_takes_exactly_what_it_names(
    exact: bool, spec: str, out: bool
) -> None:
    asked = Asked(NAMED, "", (spec,), exact=exact)
    assert kept(facts(NEW, record={RELEASE: {N2: GONE}}), asked) == ({N2: "withdrawn"} if out else {})


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize(("spec", "out"), [("", True), (N2, False), (NEW.nevra.name, True)])
def test_a_patch_that_waits_is_let_in_by_its_version(exact: bool, spec: str, out: bool) -> None:
    asked = Asked(NAMED, "", (spec,), exact=exact)
    assert kept(facts(NEW, record={RELEASE: {N2: SLOW}}), asked) == ({N2: "rollout"} if out else {})
    young = facts(NEW._replace(build_time=1795000000), min_age=400 * DAY)
    assert kept(young, asked) == ({N2: "min_age"} if out else {})


def listing(*builds: Package, issued: str = "", updated: str = "") -> Advisory:
    return Advisory("A", "security", "", issued, updated, (), tuple(one.nevra for one in builds))


@pytest.mark.parametrize(
    ("note", "advisories", "built", "cause"),
    [
        ("2026-11-02T00:00:00Z", [listing(NEW, issued="2026-10-01")], 1, "cutoff"),
        ("2026-10-02T00:00:00Z", [listing(NEW, issued="2026-11-02")], 1795000000, ""),
        ("", [listing(NEW, issued="2026-11-02", updated="2026-10-01")], 1, "cutoff"),
        ("", [listing(NEW, updated="2026-11-02")], 1, ""),
        ("", [listing(NEW, issued="2026-10-01", updated="2026-11-02")], 1795000000, ""),
        ("", [listing(NEW, issued="2026-11-02"), listing(NEW, issued="2026-10-01")], 1795000000, ""),
        ("", [listing(NEW, issued="2026-11-02"), listing(NEW)], 1, "cutoff"),
        ("", [listing(OLD, issued="2026-10-01")], 1795000000, "cutoff"),
        ("", [listing(THIRD, issued="2026-11-02")], 1, ""),
        ("", [], 1795000000, "cutoff"),
        ("", [], 1, ""),
        ("", [], 0, ""),
    ],
)
def test_a_patch_is_as_old_as_its_record_or_its_first_advisory_or_its_build_says(
    note: str, advisories: list[Advisory], built: int, cause: str
) -> None:
    """The second 1795000000 is in November 2026."""
    record = {RELEASE: {N2: PatchNote(issued=note)}} if note else None
    found = facts(NEW._replace(build_time=built), record=record, cutoff="2026-11-01")
    found.manager.rows = advisories  # type: ignore[attr-defined]
    assert kept(found) == ({N2: cause} if cause else {})


# --- the notes of several repositories ---

STANDS, ALSO = PatchNote(issued="2026-11-01"), PatchNote(issued="2026-11-02")


@pytest.mark.parametrize(
    ("notes", "found"),
    [
        ([], PatchNote()),
        ([{}], PatchNote()),
        ([{"b": GONE}], PatchNote()),
        ([{"a": STANDS}, {"a": ALSO}], STANDS),
        ([{}, {"a": ALSO}], ALSO),
        ([{"a": STANDS}, {"a": GONE}], GONE),
        ([{"a": GONE}, {"a": STANDS}], GONE),
    ],
)
def test_a_withdrawal_outweighs_what_other_repositories_say(
    notes: list[dict[str, PatchNote]], found: PatchNote
) -> None:
    rows = {
        RELEASE: [Said("base", KernelNote(patches=patches)) for patches in notes],
        OTHER: [Said("base", KernelNote(patches={"a": ALSO}))],
    }
    assert withheld.patch_note(rows, RELEASE, "a", {"base"}) == found
    assert withheld.patch_note(rows, RELEASE, "a", {"other"}) == PatchNote()
    assert withheld.patch_note({}, RELEASE, "a", {"base"}) == PatchNote()


@pytest.mark.parametrize(
    ("notes", "free"),
    [
        ({}, True),
        ({RELEASE: [{"a": STANDS}]}, True),
        ({RELEASE: [{"a": STANDS}, {"b": STANDS, "c": GONE}]}, False),
        ({OTHER: [{"a": SLOW}]}, False),
        ({"another": [{"a": GONE}]}, True),
    ],
)
def test_the_records_are_free_where_none_keeps_a_patch_of_these_kernels_out(
    notes: dict[str, list[dict[str, PatchNote]]], free: bool
) -> None:
    rows = {
        release: [Said("base", KernelNote(patches=one)) for one in patches]
        for release, patches in notes.items()
    }
    assert withheld.free(rows, (RELEASE, OTHER)) is free


def test_moments() -> None:
    assert times.moment(0) == "" and times.moment(1e18) == ""
    assert times.moment(86400) == "1970-01-02T00:00:00Z"
