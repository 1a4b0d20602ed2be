# SPDX-License-Identifier: GPL-2.0-or-later
"""When a kernel update may be held, and what releases it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnf_plugin_livepatch.base.config import Config
from dnf_plugin_livepatch.base.model import (
    CLOSED_LIVE,
    EXACT,
    LOWER_BOUND,
    UNKNOWN,
    Debt,
    Hold,
    InForce,
    Problem,
)
from dnf_plugin_livepatch.exposure import compute
from dnf_plugin_livepatch.exposure.compute import Inputs
from dnf_plugin_livepatch.planning import kernel_hold
from dnf_plugin_livepatch.planning.facts import Facts
from dnf_plugin_livepatch.planning.interface import Package, Patched
from dnf_plugin_livepatch.planning.kernel_hold import Situation, Verdict
from tests.unit.support.planned import CVE, NEXT, NOW, RELEASE, RUNS, Machine, Manager, kernel

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
        (situation(absent=("lp-2-1.x86_64", "x")), "live patch lp-2-1.x86_64 is not in force"),
        (situation(withdrawn=(PATCH, "x")), f"live patch {PATCH} was withdrawn by its publisher"),
        (situation(quality=UNKNOWN), "what it fixes is not fully known (why not)"),
        (situation(quality=LOWER_BOUND), "what it fixes is not fully known (why not)"),
        (situation(support_end="2026-12-06T09:00:00Z"), "live patches for kernel 5-10 end on 2026-12-06"),
        (situation(support_end="2026-11-01"), "live patches for kernel 5-10 end on 2026-11-01"),
        (situation(policy="install"), "kernel_update = install"),
    ],
)
def test_each_cause_releases(facts: Situation, why: str) -> None:
    closed = CVES[1:] if facts.exposure.rows[0].state != CLOSED_LIVE else CVES
    left = tuple(cve for cve in CVES if cve not in closed)
    assert decide(facts) == Verdict(False, why, closed, left)


def test_without_a_proof_the_cves_of_the_update_are_counted_too() -> None:
    facts = situation(CVES[:1], absent=("x",))
    assert decide(facts) == Verdict(False, "live patch x is not in force", CVES[:1], CVES[1:])


def test_of_many_cves_that_the_update_closes_four_are_named() -> None:
    debt = tuple(Debt(f"CVE-2026-200{number}", "A", "Low", "5-20") for number in range(5))
    for number, more in ((4, ""), (5, " and more")):
        inputs = Inputs("5-10", "kernel-5-10.x86_64", EXACT, debt=debt[:number])
        facts = situation()._replace(inputs=inputs, exposure=compute.compute(inputs, ()))
        named = "CVE-2026-2000, CVE-2026-2001, CVE-2026-2002, CVE-2026-2003"
        assert decide(facts).why == f"it closes {named}{more}, which no live patch in force does"


def test_the_proof_names_every_patch_in_force() -> None:
    facts = situation(in_force=(PATCH, "lq-1-1.x86_64"), kernel="5-20")
    why = f"live patch {PATCH}, lq-1-1.x86_64 closes 1 CVE that it fixes"
    assert decide(facts) == Verdict(True, why, CVES[:1], ())


def test_a_kernel_one_build_newer_is_no_part_of_the_update() -> None:
    assert decide(situation(CVES[:1], kernel="5-29")).hold


def test_support_that_lasts_does_not_release() -> None:
    assert decide(situation(support_end="2026-12-07")).hold
    assert decide(situation(support_end="2026-12-07", eol_warn_days=15)).hold is False


def test_only_the_update_itself_counts() -> None:
    """The fixes of a still newer kernel say nothing about this one."""
    assert decide(situation(CVES[:2], kernel="5-30")).hold
    assert not decide(situation(CVES[:2], kernel="5-40")).hold


@pytest.mark.parametrize(
    ("word", "below", "hold"),
    [
        ("SEVERITY_LOW", "Moderate", True),
        ("severity: medium", "Important", True),
        ("gravissimo", "Critical", False),
        ("Urgent", "Critical", False),
        ("Unspecified", "Critical", False),
        ("None", "Critical", False),
    ],
)
def test_hold_below_knows_the_words_of_other_vendors_and_takes_no_other_for_mild(
    word: str, below: str, hold: bool
) -> None:
    debt = (Debt("CVE-2026-2000", "A", word, "5-20"), Debt("CVE-2026-2001", "A", "Critical", "5-20"))
    inputs = Inputs("5-10", "kernel-5-10.x86_64", EXACT, debt=debt)
    told = compute.compute(inputs, (InForce("lp", PATCH, ("CVE-2026-2001",)),))
    assert decide(situation()._replace(inputs=inputs, exposure=told, hold_below=below)).hold is hold


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
        why = f"live patch {PATCH} closes 2 CVEs that it fixes and leaves 1 CVE below {below} open"
        assert verdict == Verdict(True, why, closed, ("CVE-2026-3000",))


@pytest.mark.parametrize(
    ("facts", "why", "left"),
    [
        (situation(CVES[:1], policy="hold", absent=("x",)), "it would close 2 CVEs", CVES[1:]),
        (situation(CVES[:2], policy="hold", in_force=()), "it would close 1 CVE", CVES[2:]),
        (situation(policy="hold"), "nothing that it fixes is open", ()),
        (situation((), UNKNOWN, policy="hold"), "what it would close is not fully known (why not)", CVES),
    ],
)
def test_hold_holds_whatever_is_known_and_says_what_stays_open(
    facts: Situation, why: str, left: tuple[str, ...]
) -> None:
    closed = tuple(cve for cve in CVES if cve not in left)
    assert decide(facts) == Verdict(True, f"kernel_update = hold; {why}", closed, left)


@given(st.sets(st.sampled_from(CVES)), st.sampled_from(["", "Low", "Moderate", "Important", "Critical"]))
def test_more_cover_never_releases(closed: set[str], below: str) -> None:
    held = decide(situation(tuple(sorted(closed)), hold_below=below)).hold
    for more in itertools.chain.from_iterable(itertools.combinations(CVES, n) for n in range(4)):
        wider = tuple(sorted(closed | set(more)))
        if held:
            assert decide(situation(wider, hold_below=below)).hold
    verdict = decide(situation(tuple(sorted(closed)), hold_below=below))
    assert sorted((*verdict.closed, *verdict.left)) == sorted(CVES)


# --- the kernels on offer ---


def named(build: int, name: str, **more: object) -> Package:
    made = kernel(build)
    return made._replace(nevra=made.nevra._replace(name=name), **more)  # type: ignore[arg-type]


def test_the_kernels_on_offer_that_are_newer_than_all_installed_ones_newest_first() -> None:
    here = kernel(20, installed=True)
    packages = [kernel(build, repo="base") for build in (15, 20, 25, 100, 28)]
    extra = [named(40, "kernel", repo="base", build_time=-1), named(41, "bash", repo="base")]
    arm = packages[-1].nevra._replace(arch="aarch64")
    manager = Manager(RUNS, here, *packages, *extra, Package(arm, "base"))
    found = [str(one.nevra) for one in kernel_hold.offered(Facts(manager, Machine()))]
    newer = [f"kernel-core-5.14.0-{build}.el9.x86_64" for build in (100, 28, 25)]
    assert found == [*newer, "kernel-5.14.0-40.el9.x86_64"]


def test_where_no_kernel_is_installed_that_is_known_none_is_on_offer() -> None:
    assert kernel_hold.offered(Facts(Manager(NEXT), Machine())) == []
    old = kernel(5, installed=True)
    assert kernel_hold.offered(Facts(Manager(RUNS, old, kernel(7, repo="base"), NEXT), Machine())) == [NEXT]


# --- the hold ---

OTHER = "lq-1-1.x86_64"
MEMBER = named(20, "kernel-modules", repo="base")


class Family(Manager):
    """A package manager that knows which packages a kernel was built with."""

    def built_with(self, packages: Sequence[Package]) -> Sequence[Package]:
        return [*packages, MEMBER]

    def why_not_without(self, out: Sequence[Package]) -> str:
        return self.without if MEMBER in out else "half a kernel"


def held(
    manager: Manager,
    patched: Patched,
    gone: Sequence[str] = (),
    inputs: Inputs | None = None,
    **more: object,
) -> tuple[Hold | None, Sequence[Package], Problem, str]:
    """The hold of NEXT, whose one CVE the patches in force close."""
    made = Inputs(RELEASE, str(RUNS.nevra), EXACT, debt=(Debt(CVE, "A", "Low", NEXT.nevra.evr),))
    host = Machine(Config(kernel_update="hold-when-covered")._replace(**more))  # type: ignore[arg-type]
    host.gone = dict.fromkeys(gone, "oops")
    exposure = compute.compute(made, patched.in_force)
    return kernel_hold.hold(Facts(manager, host), [NEXT, kernel(19)], inputs or made, patched, exposure)


CLOSES = Patched((InForce("lp", PATCH, (CVE,)),), (PATCH,))


def test_a_hold_is_remembered_with_its_proof_and_hides_all_of_the_kernel() -> None:
    found, members, note, why = held(Family(RUNS, NEXT), CLOSES, gone=[OTHER])
    evr = NEXT.nevra.evr
    assert why == f"live patch {PATCH} closes 1 CVE that it fixes"
    assert found == Hold(RELEASE, "kernel-core", evr, NOW, why, (CVE,), (), ("kernel-core",))
    assert members == [NEXT, kernel(19), MEMBER]
    assert (note.id, note.text) == ("kernel-held", f"Kernel update held: {evr}, because {why}.")
    assert note.remedy == "'dnf upgrade kernel-core' installs it anyway."


def test_what_is_left_of_a_held_kernel_is_remembered() -> None:
    found, _, _, _ = held(Family(RUNS, NEXT), Patched((), (PATCH,)), hold_below="Important")
    assert found is not None and (found.closed, found.left) == ((), (CVE,))


@pytest.mark.parametrize(
    ("patched", "more", "why"),
    [
        (CLOSES._replace(packages=()), {}, "no live patch is in force"),
        (CLOSES._replace(absent=(OTHER,)), {}, f"live patch {OTHER} is not in force"),
        (CLOSES, {"gone": [OTHER, PATCH]}, f"live patch {PATCH} was withdrawn by its publisher"),
        (CLOSES._replace(in_force=()), {}, f"it closes {CVE}, which no live patch in force does"),
        (CLOSES, {"kernel_update": "install"}, "kernel_update = install"),
        (
            CLOSES._replace(support_end="2026-12-06"),
            {},
            f"live patches for kernel {RELEASE} end on 2026-12-06",
        ),
    ],
)
def test_without_a_proof_the_kernel_is_let_in_and_the_reason_told(
    patched: Patched, more: dict[str, Any], why: str
) -> None:
    class Unasked(Manager):
        def built_with(self, packages: Sequence[Package]) -> Sequence[Package]:
            raise AssertionError("what is not to be hidden need not be found")

    found, members, note, reason = held(Unasked(RUNS, NEXT), patched, **more)
    assert (found, tuple(members), reason) == (None, (), why)
    assert (note.id, note.text) == ("kernel-not-held", f"Kernel update {NEXT.nevra.evr} is not held: {why}.")


def test_a_kernel_that_others_need_is_let_in() -> None:
    manager = Family(RUNS, NEXT)
    manager.without = "kmod needs it"
    found, members, note, reason = held(manager, CLOSES)
    assert (found, tuple(members), note.id, reason) == (None, (), "kernel-not-held", "kmod needs it")
    assert note.text == f"Kernel update {NEXT.nevra.evr} is not held: kmod needs it."


@pytest.mark.parametrize(
    ("publisher", "manifest", "window", "holds"),
    [
        ("2027-01-01", "2026-11-23", "2026-11-23", True),
        ("2026-11-23", "2027-01-01", "2027-01-01", False),
        ("", "2027-01-01", "2026-11-23", True),
        ("", "2026-11-23", "2027-01-01", False),
        ("", "", "2026-11-23", False),
        ("", "", "", True),
    ],
)
def test_the_publishers_end_of_support_goes_before_the_patchs_and_the_vendors(
    publisher: str, manifest: str, window: str, holds: bool
) -> None:
    inputs = Inputs(RELEASE, str(RUNS.nevra), EXACT, support_end=publisher, window_end=window)
    found = held(Family(RUNS, NEXT), CLOSES._replace(support_end=manifest), inputs=inputs)
    assert (found[0] is not None) is holds


@pytest.mark.parametrize(("days", "holds"), [(13, True), (14, False)])
def test_the_host_says_how_long_before_its_end_support_counts_as_ended(days: int, holds: bool) -> None:
    found = held(Family(RUNS, NEXT), CLOSES._replace(support_end="2026-12-06"), eol_warn_days=days)
    assert (found[0] is not None) is holds
