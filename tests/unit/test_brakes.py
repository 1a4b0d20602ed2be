# SPDX-License-Identifier: GPL-2.0-or-later
"""Patches that one host keeps out: who takes which live patch, and when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnf_plugin_livepatch.base import times
from dnf_plugin_livepatch.base.model import Nevra
from dnf_plugin_livepatch.exposure import support
from dnf_plugin_livepatch.formats.repository_record import PatchNote, Step, Withdrawn, bucket
from dnf_plugin_livepatch.planning import withheld
from dnf_plugin_livepatch.planning.withheld import Limits

PATCH = "kpatch-patch-5_14_0-10-1-2.el9.x86_64"
NEVRA = Nevra("kpatch-patch-5_14_0-10", "0", "1", "2.el9", "x86_64")
NOW = "2026-11-22T12:00:00Z"
PLAIN = PatchNote()
HOST = Limits("0123456789abcdef0123456789abcdef", NOW)
DAY = 86400
IDS = st.text("0123456789abcdef", min_size=32, max_size=32)


def cause(note: PatchNote = PLAIN, issued: str = "2026-11-20", limits: Limits = HOST) -> str:
    found = withheld.judge(PATCH, note, issued, limits)
    return found.cause if found is not None else ""


def text(note: PatchNote, issued: str, limits: Limits) -> str:
    found = withheld.judge(PATCH, note, issued, limits)
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


def test_the_note_says_until_when() -> None:
    assert "before 2026-11-23T00:00:00Z" in text(PatchNote(), "2026-11-20", HOST._replace(min_age=3 * DAY))
    late = PatchNote(rollout=(Step("2026-11-20T00:00:00Z", 0), Step("2026-12-24T00:00:00Z", 100)))
    assert "before 2026-12-24T00:00:00Z" in text(late, "2026-11-20", HOST._replace(min_age=3 * DAY))
    never = PatchNote(rollout=(Step("2026-11-20T00:00:00Z", 0),))
    assert "before its publisher says so" in text(never, "2026-11-20", HOST)


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


def test_moments() -> None:
    assert times.moment(0) == "" and times.moment(1e18) == ""
    assert times.moment(86400) == "1970-01-02T00:00:00Z"
