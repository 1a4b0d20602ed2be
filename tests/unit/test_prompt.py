# SPDX-License-Identifier: GPL-2.0-or-later
"""The lines that DNF shows before it asks: closed now, at the next reboot, and not."""

from __future__ import annotations

import pytest

from dnf_plugin_livepatch.base import model
from dnf_plugin_livepatch.base.model import Debt, InForce
from dnf_plugin_livepatch.exposure import compute
from dnf_plugin_livepatch.host.packages.evr import compare
from dnf_plugin_livepatch.planning import lines

DEBT = tuple(Debt(f"CVE-2026-100{n}", "A", "", f"5-{11 + n}.el9_4") for n in range(3))
INPUTS = compute.Inputs("5-10.el9_4.x86_64", "kernel-core-5-10.el9_4.x86_64", model.EXACT, debt=DEBT)
CLOSED, COMING = ("CVE-2026-1000",), ("CVE-2026-1000", "CVE-2026-1001")


def prompt(
    in_force: tuple[InForce, ...], coming: tuple[str, ...], kernel: str = "", inputs: compute.Inputs = INPUTS
) -> list[str]:
    return lines.prompt_lines(inputs, in_force, coming, kernel, compare)


@pytest.mark.parametrize(
    "line",
    [
        "Live patching, running kernel 5-10.el9_4.x86_64:",
        "  Will close    : 1: CVE-2026-1000",
        "  At next reboot: 1: CVE-2026-1001",
        "  Left open     : 1: CVE-2026-1002",
    ],
)
def test_a_cve_is_closed_now_or_at_the_next_reboot_or_left_open(line: str) -> None:
    assert line in prompt((), ("CVE-2026-1000",), "5-12.el9_4")


def test_a_cve_that_is_closed_already_is_not_closed_now() -> None:
    shown = prompt((InForce("lp_1", "lp-1-1.x86_64", CLOSED),), COMING)
    assert "  Will close    : 1: CVE-2026-1001" in shown
    assert "  Closed before : 1" in shown


def test_without_a_patch_in_force_nothing_was_closed_before() -> None:
    assert not [line for line in prompt((), COMING) if "Closed before" in line]


def test_incomplete_advisories_are_said_to_be_so() -> None:
    partial = INPUTS._replace(quality=model.LOWER_BOUND, reason="no updateinfo in base")
    assert "  Not complete  : no updateinfo in base" in prompt((), COMING, inputs=partial)


def test_the_prompt_claims_nothing_when_nothing_is_known() -> None:
    shown = prompt((), (), inputs=compute.unknown("R", "no updateinfo"))
    assert shown[1:] == ["  CVEs open     : unknown, no updateinfo"]


def closed(*severities: str) -> str:
    """The line of what is closed now, for one CVE of each of ``severities``."""
    debt = tuple(Debt(f"CVE-2026-100{n}", "A", word, "5-11.el9_4") for n, word in enumerate(severities))
    shown = prompt((), tuple(row.cve for row in debt), inputs=INPUTS._replace(debt=debt))
    return next(line for line in shown if "Will close" in line)


def test_cves_are_named_by_severity_and_then_by_number() -> None:
    found = closed("Low", "Critical", "", "Critical")
    named = "CVE-2026-1001 (Critical), CVE-2026-1003 (Critical), CVE-2026-1002, CVE-2026-1000 (Low)"
    assert found == f"  Will close    : 4: {named}"


def test_of_more_than_four_cves_the_rest_is_a_number() -> None:
    named = "CVE-2026-1000, CVE-2026-1001, CVE-2026-1002, CVE-2026-1003"
    assert closed(*[""] * 6) == f"  Will close    : 6: {named} and 2 more"


def test_nothing_closed_is_a_zero() -> None:
    assert closed() == "  Will close    : 0"


def test_rows_without_exact_metadata_are_shown_all_the_same() -> None:
    shown = prompt((), (), inputs=INPUTS._replace(quality=model.UNKNOWN, reason="too old"))
    assert "  Left open     : 3: CVE-2026-1000, CVE-2026-1001, CVE-2026-1002" in shown
    assert "  Not complete  : too old" in shown


@pytest.mark.parametrize(
    "why", ["mode = install-only in livepatch.conf", "livepatch.enable=0 is on the kernel command line"]
)
def test_nothing_is_promised_where_nothing_will_be_loaded(why: str) -> None:
    shown = lines.prompt_lines(INPUTS, (), COMING, "5-12.el9_4", compare, why)
    assert shown[1:] == [
        f"  Will close    : 0, because nothing is loaded: {why}",
        "  At next reboot: 2: CVE-2026-1000, CVE-2026-1001",
        "  Left open     : 1: CVE-2026-1002",
    ]
