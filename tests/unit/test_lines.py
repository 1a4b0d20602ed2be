# SPDX-License-Identifier: GPL-2.0-or-later
"""The lines that DNF shows: notes while planning, and the outcome after the transaction."""

from __future__ import annotations

import logging

import pytest

from dnf_plugin_livepatch.base.model import (
    CLOSED_LIVE,
    EXACT,
    LOWER_BOUND,
    OPEN,
    REBOOT_ONLY,
    CveState,
    Exposure,
    InForce,
    Problem,
    ReconcileResult,
)
from dnf_plugin_livepatch.messages import catalogue
from dnf_plugin_livepatch.planning import lines

ONE, TWO = "lp-1-1.x86_64", "lp-2-1.x86_64"
INFO, ERROR = logging.INFO, logging.ERROR


def compare(one: str, other: str) -> int:
    return int(one[2:]) - int(other[2:])


@pytest.mark.parametrize(
    ("severity", "level"), [("error", ERROR), ("warning", logging.WARNING), ("note", INFO), ("odd", INFO)]
)
def test_a_problem_is_one_line_of_its_severity(severity: str, level: int) -> None:
    made = Problem("x", severity, "It is so.", "Do this.")
    assert lines.line(made) == (level, "livepatch: It is so. Do this.")
    assert lines.line(made._replace(remedy="")) == (level, "livepatch: It is so.")
    for text in ("It is so", "min_age: 'x' is no duration"):
        assert lines.line(made._replace(text=text))[1] == f"livepatch: {text}. Do this."
    assert lines.line(made._replace(text="Is it so?"))[1] == "livepatch: Is it so? Do this."


# --- after loading ---


def result(*in_force: InForce, problems: tuple[Problem, ...] = (), skipped: str = "") -> ReconcileResult:
    return ReconcileResult("1", "", "", "5-10", not problems, "", in_force, (), problems, skipped)


def exposure(**states: str) -> Exposure:
    rows = []
    for name, state in states.items():
        severity, _, build = name.partition("_")
        words = {"c": "Critical", "l": "Low", "n": ""}
        rows.append(CveState(f"CVE-2026-10{build}", state, "A", words[severity], f"5-{build}"))
    return Exposure(EXACT, "", "", tuple(rows))


NOTHING = exposure()


def closing(
    found: ReconcileResult | None,
    *expected: str,
    before: Exposure = NOTHING,
    after: Exposure = NOTHING,
    newest: str = "",
) -> tuple[list[tuple[int, str]], bool]:
    return lines.closing(found, expected, before, after, newest, compare)


def test_no_answer_is_an_error_for_each_patch() -> None:
    told = [lines.line(catalogue.problem("load-unanswered", nevra=nevra)) for nevra in (ONE, TWO)]
    assert closing(None, ONE, TWO) == (told, False)


def test_what_reconcile_left_alone_is_told_and_no_failure() -> None:
    told = [lines.line(catalogue.problem("load-skipped", nevra=nevra, why="kdump")) for nevra in (ONE, TWO)]
    assert closing(result(skipped="kdump"), ONE, TWO) == (told, True)


def test_a_patch_in_force_is_told_with_the_time_of_all_its_parts() -> None:
    found = result(InForce("a", ONE, (), 1.25), InForce("b", ONE, (), 0.5), InForce("c", TWO))
    assert closing(found, ONE, TWO) == (
        [
            (INFO, f"Live patch {ONE} is in force, transition 1.8 s."),
            (INFO, f"Live patch {TWO} is in force."),
        ],
        True,
    )


WARNS = catalogue.problem("not-kept", nevra=ONE, why="no space")
FAILS = catalogue.problem("load-bad-signature", module="lp_1")
ASIDE = catalogue.problem("profile-fault", fault="line 1")
PARTLY = catalogue.problem("module-not-in-force", nevra=ONE, instead="a part is missing")


@pytest.mark.parametrize(
    ("in_force", "problems", "told"),
    [
        ((), (), [catalogue.not_in_force(ONE, ())]),
        ((), (WARNS,), [catalogue.not_in_force(ONE, ())]),
        ((), (ASIDE,), [ASIDE, catalogue.not_in_force(ONE, ())]),
        ((), (WARNS, FAILS, ASIDE), [FAILS, ASIDE]),
        ((InForce("c", TWO),), (), [catalogue.not_in_force(ONE, (InForce("c", TWO),))]),
        ((InForce("a", ONE),), (PARTLY,), [PARTLY]),
    ],
    ids=["silently", "with a warning", "with an error aside", "with errors", "another is", "in part"],
)
def test_where_nothing_expected_is_in_force_only_the_errors_are_told(
    in_force: tuple[InForce, ...], problems: tuple[Problem, ...], told: list[Problem]
) -> None:
    assert closing(result(*in_force, problems=problems), ONE) == (list(map(lines.line, told)), False)


@pytest.mark.parametrize("identifier", ["patch-blocked-by-admin", "patch-unloaded", "patch-reverted"])
def test_a_warning_that_is_the_reason_is_told_instead_of_advice_to_try_again(identifier: str) -> None:
    reason = catalogue.problem(identifier, nevra=ONE, why="it was asked for")
    assert closing(result(problems=(reason,)), ONE) == ([lines.line(reason)], False)
    other = catalogue.problem(identifier, nevra=TWO, why="it was asked for")
    told = [lines.line(catalogue.not_in_force(ONE, ()))]
    assert closing(result(problems=(other,)), ONE) == (told, False)


def test_where_one_of_two_is_in_force_both_are_told() -> None:
    found = result(InForce("b", TWO, (), 2.0), problems=(WARNS,))
    missing = catalogue.not_in_force(ONE, found.in_force)
    told = [
        (INFO, f"Live patch {TWO} is in force, transition 2.0 s."),
        lines.line(WARNS),
        lines.line(missing),
    ]
    assert closing(found, ONE, TWO) == (told, False)


def test_a_partly_loaded_patch_of_another_name_does_not_matter() -> None:
    told = [(INFO, f"Live patch {TWO} is in force."), lines.line(PARTLY)]
    assert closing(result(InForce("b", TWO), problems=(PARTLY,)), TWO) == (told, True)


# --- the CVEs ---


def cves(before: Exposure, after: Exposure, *parts: InForce, newest: str = "") -> list[str]:
    """The lines after the one that says that the patch is in force."""
    found, good = closing(result(*parts, InForce("a", ONE)), ONE, before=before, after=after, newest=newest)
    assert good and found[0] == (INFO, f"Live patch {ONE} is in force.")
    assert {level for level, _ in found} == {INFO}
    return [text for _, text in found[1:]]


def test_each_cve_is_told_once_by_what_became_of_it() -> None:
    before = exposure(
        l_11=OPEN, n_12=CLOSED_LIVE, c_13=OPEN, l_21=OPEN, n_22=REBOOT_ONLY, n_31=OPEN, c_32=OPEN
    )
    after = exposure(
        l_11=CLOSED_LIVE,
        n_12=CLOSED_LIVE,
        c_13=CLOSED_LIVE,
        l_20=OPEN,
        n_19=REBOOT_ONLY,
        n_31=OPEN,
        c_32=REBOOT_ONLY,
    )
    assert cves(before, after, newest="5-20") == [
        "  CVEs closed now: CVE-2026-1013 (Critical), CVE-2026-1011 (Low)",
        "  CVEs open until a reboot into kernel 5-20: CVE-2026-1019, CVE-2026-1020 (Low)",
        "  CVEs still open: CVE-2026-1031",
        "  CVEs that only a newer kernel closes: CVE-2026-1032 (Critical)",
    ]
    assert cves(before, after)[1:] == [
        "  CVEs still open: CVE-2026-1031, CVE-2026-1020 (Low)",
        "  CVEs that only a newer kernel closes: CVE-2026-1032 (Critical), CVE-2026-1019",
    ]


def test_where_nothing_is_known_to_be_open_no_line_is_told() -> None:
    assert cves(NOTHING, NOTHING) == []


def test_incomplete_advisories_let_the_patch_speak_for_itself() -> None:
    """A CVE that the patch declares and no advisory lists is closed too; other patches do not count."""
    after = exposure(n_11=CLOSED_LIVE, n_12=OPEN)._replace(quality=LOWER_BOUND, reason="no updateinfo")
    own = InForce("b", ONE, ("CVE-2026-1012", "CVE-2025-2", "CVE-2025-1"))
    other = InForce("c", TWO, ("CVE-2025-3",))
    assert cves(exposure(n_11=OPEN), after, own, other) == [
        "  CVEs closed now: CVE-2025-1, CVE-2025-2, CVE-2026-1011",
        "  CVEs still open: CVE-2026-1012",
        "  There may be more open: no updateinfo",
    ]
    assert cves(exposure(n_11=OPEN), after._replace(quality=EXACT), own, other) == [
        "  CVEs closed now: CVE-2026-1011",
        "  CVEs still open: CVE-2026-1012",
    ]


@pytest.mark.parametrize(("number", "more"), [(20, ""), (21, "and 1 more, see 'livepatch cves'")])
def test_of_many_open_cves_twenty_are_named_and_of_closed_ones_all(number: int, more: str) -> None:
    names = [f"n_{build}" for build in range(10, 10 + number)]
    still = cves(NOTHING, exposure(**dict.fromkeys(names, OPEN)))
    closed = cves(NOTHING, exposure(**dict.fromkeys(names, CLOSED_LIVE)))
    boot = cves(NOTHING, exposure(**dict.fromkeys(names, OPEN)), newest="5-99")
    never = cves(NOTHING, exposure(**dict.fromkeys(names, REBOOT_ONLY)))
    for found in (still, boot, never):
        text = " ".join(line.strip() for line in found)
        assert text.count("CVE-2026") == 20 and text.endswith(more or "CVE-2026-1029")
    assert " ".join(closed).count("CVE-2026") == number and "more" not in " ".join(closed)


def test_long_lines_are_wrapped_and_indented_and_no_cve_is_broken() -> None:
    assert cves(NOTHING, exposure(**dict.fromkeys((f"n_{build}" for build in range(10, 17)), OPEN))) == [
        "  CVEs still open: CVE-2026-1010, CVE-2026-1011, CVE-2026-1012, CVE-2026-1013, CVE-2026-1014,",
        "    CVE-2026-1015, CVE-2026-1016",
    ]
    # In one line these would take 101 columns.
    assert cves(NOTHING, exposure(l_10=OPEN, l_11=OPEN, l_12=OPEN, l_13=OPEN)) == [
        "  CVEs still open: CVE-2026-1010 (Low), CVE-2026-1011 (Low), CVE-2026-1012 (Low), CVE-2026-1013",
        "    (Low)",
    ]


@pytest.mark.parametrize(
    "fault",
    [
        "/etc/dnf/plugins/livepatch.conf: line 2: no =",
        "/etc/livepatch/profiles.d/acme.conf: not a rule; the profile is not used",
    ],
)
def test_a_faulty_file_is_named_once_and_a_full_stop_ends_the_fault(fault: str) -> None:
    text = lines.line(catalogue.problem("config-fault", fault=fault))[1]
    assert text.startswith(f"livepatch: {fault}. Correct the file; ")
    assert text.count(fault.partition(":")[0].rpartition("/")[0]) == 1
