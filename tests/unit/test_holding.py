# SPDX-License-Identifier: GPL-2.0-or-later
"""When a kernel update may be held, and what releases it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnf_plugin_livepatch.base.model import EXACT, LOWER_BOUND, UNKNOWN, Debt, InForce
from dnf_plugin_livepatch.exposure import compute
from dnf_plugin_livepatch.exposure.compute import Inputs
from dnf_plugin_livepatch.planning import kernel_hold
from dnf_plugin_livepatch.planning.kernel_hold import Situation, Verdict

DEBT = (
    Debt("CVE-2026-2000", "A-20", "Critical", "5-20"),
    Debt("CVE-2026-3000", "A-30", "Low", "5-30"),
    Debt("CVE-2026-4000", "A-40", "", "5-40"),
)
CVES = tuple(row.cve for row in DEBT)
PATCH = "lp-1-1.x86_64"


def compare(one: str, other: str) -> int:
    return int(one[2:]) - int(other[2:])


def situation(closed: tuple[str, ...] = CVES, quality: str = EXACT, **more: object) -> Situation:
    inputs = Inputs("5-10", "kernel-5-10.x86_64", quality, "why not", debt=DEBT)
    in_force = (InForce("lp", PATCH, closed),) if closed else ()
    told = compute.compute(inputs, in_force)
    facts = Situation("hold-when-covered", "5-40", inputs, told, (PATCH,))
    return facts._replace(**{"now": "2026-11-22T00:00:00Z", **more})  # type: ignore[arg-type]


def decide(facts: Situation) -> Verdict:
    return kernel_hold.decide(facts, compare)


def test_covered_is_held_with_its_proof() -> None:
    verdict = decide(situation())
    assert verdict == Verdict(True, f"live patch {PATCH} closes 3 CVEs that it fixes", CVES, ())


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        (situation(CVES[1:]), "it closes CVE-2026-2000, which no live patch in force does"),
        (situation(in_force=()), "no live patch is in force"),
        (situation(absent=("lp-2-1.x86_64",)), "lp-2-1.x86_64 is not in force"),
        (situation(withdrawn=(PATCH,)), "was withdrawn"),
        (situation(quality=UNKNOWN), "not fully known (why not)"),
        (situation(quality=LOWER_BOUND), "not fully known (why not)"),
        (situation(support_end="2026-12-06"), "end on 2026-12-06"),
        (situation(support_end="2026-11-01"), "end on 2026-11-01"),
        (situation(policy="install"), "kernel_update = install"),
    ],
)
def test_each_cause_releases(facts: Situation, why: str) -> None:
    verdict = decide(facts)
    assert not verdict.hold and why in verdict.why


def test_support_that_lasts_does_not_release() -> None:
    assert decide(situation(support_end="2026-12-07")).hold
    assert decide(situation(support_end="2026-12-07", eol_warn_days=15)).hold is False


def test_only_the_update_itself_counts() -> None:
    """What a still newer kernel fixes says nothing about this one."""
    assert decide(situation(CVES[:2], kernel="5-30")).hold
    assert not decide(situation(CVES[:2], kernel="5-40")).hold


@pytest.mark.parametrize(
    ("below", "closed", "hold"),
    [
        ("Moderate", ("CVE-2026-2000", "CVE-2026-4000"), True),
        ("Low", ("CVE-2026-2000", "CVE-2026-4000"), False),
        ("Critical", ("CVE-2026-4000",), False),
        ("Critical", ("CVE-2026-2000", "CVE-2026-3000"), False),
    ],
    ids=["low is left", "low is not below low", "critical is not below itself", "no severity needs cover"],
)
def test_hold_below(below: str, closed: tuple[str, ...], hold: bool) -> None:
    verdict = decide(situation(closed, hold_below=below))
    assert verdict.hold is hold
    if hold:
        assert verdict.left == ("CVE-2026-3000",) and f"but for 1 CVE below {below}" in verdict.why


def test_hold_holds_whatever_is_known_and_says_what_stays_open() -> None:
    verdict = decide(situation(CVES[:1], policy="hold", absent=("x",)))
    assert verdict.hold and "it would close 2 CVEs" in verdict.why
    assert "not fully known" in decide(situation((), UNKNOWN, policy="hold")).why


@given(st.sets(st.sampled_from(CVES)), st.sampled_from(["", "Low", "Moderate", "Important", "Critical"]))
def test_more_cover_never_releases(closed: set[str], below: str) -> None:
    held = decide(situation(tuple(sorted(closed)), hold_below=below)).hold
    for more in itertools.chain.from_iterable(itertools.combinations(CVES, n) for n in range(4)):
        wider = tuple(sorted(closed | set(more)))
        if held:
            assert decide(situation(wider, hold_below=below)).hold
    verdict = decide(situation(tuple(sorted(closed)), hold_below=below))
    assert sorted((*verdict.closed, *verdict.left)) == sorted(CVES)
