# SPDX-License-Identifier: GPL-2.0-or-later
"""The plan, as properties: whatever the situation, it adds live patches that may be added, or nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnf_plugin_livepatch.base.model import Advisory, Nevra, Problem
from dnf_plugin_livepatch.planning import policy
from dnf_plugin_livepatch.planning.policy import Candidate, Situation, Target
from dnf_plugin_livepatch.planning.request import ALL, NAMED, NONE, Asked

PATCH = Nevra("kpatch-patch-5_14_0-10", "0", "1", "2.el9", "x86_64")
EMPTY = PATCH._replace(version="0", release="0")

nevras = st.builds(
    Nevra,
    st.sampled_from(["kpatch-patch-a", "kpatch-patch-b"]),
    st.just("0"),
    st.integers(0, 9).map(str),
    st.integers(0, 9).map(str),
    st.just("x86_64"),
)
candidates = st.builds(
    Candidate,
    nevras,
    st.sampled_from(["base", "copr"]),
    st.sampled_from(["patch", "empty"]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["", "its name tells another kernel"]),
    st.sampled_from(["", "Ksplice patches this kernel already"]),
)
targets = st.builds(
    Target,
    st.sampled_from(["5.14.0-10.el9.x86_64", "5.14.0-40.el9.x86_64"]),
    st.booleans(),
    st.lists(candidates, max_size=5, unique=True).map(tuple),
    st.none() | nevras,
    st.none() | nevras,
    st.integers(0, 9),
)
requests = st.builds(
    Asked,
    st.sampled_from([NONE, ALL, NAMED]),
    st.just(""),
    st.just(()),
    st.sampled_from([{}, {"advisory": frozenset({"A-1"})}]),
    st.booleans(),
)
situations = st.builds(
    Situation,
    requests,
    targets,
    st.sampled_from(["load", "install-only", "report"]),
    st.sampled_from(["security", "always", "named"]),
    st.sampled_from(["", "this is a container"]),
)


@given(situations)
def test_the_verdict_adds_only_what_may_be_added(situation):
    for candidate in policy.decide(situation).take:
        assert candidate in situation.target.candidates
        assert candidate.kind == "patch" and candidate.trusted and candidate.gpgcheck
        assert not candidate.wrong and not candidate.barred


@given(situations)
def test_nothing_is_added_where_nothing_may_be(situation):
    verdict = policy.decide(situation)
    if situation.asked.kind == NONE:
        assert verdict == policy.Verdict()
    if situation.mode == "report" or (situation.cannot and situation.target.running):
        assert not verdict.take


@given(situations)
def test_at_most_two_lines_for_each_kernel(situation):
    verdict = policy.decide(situation)
    assert len(verdict.notes) <= 2
    if not situation.target.candidates:
        assert not verdict.take


@given(situations)
def test_newest_first(situation):
    candidates = situation.target.candidates
    order = [candidates.index(candidate) for candidate in policy.decide(situation).take]
    assert order == sorted(order)


@given(situations, candidates)
def test_a_filter_never_adds_more(situation, candidate):
    free = situation.asked._replace(security=False, filters={}, opaque=False)
    if policy.wanted(candidate, situation.asked, situation.when):
        assert policy.wanted(candidate, free, situation.when)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (Asked(ALL, opaque=True), True),
        (Asked(ALL, security=True), True),
        (Asked(ALL, filters={"advisory_type": frozenset({"bugfix"})}), True),
        (Asked(ALL, filters={"advisory": frozenset({"A-1"})}), False),
        (Asked(ALL), False),
    ],
)
def test_a_patch_of_which_nothing_tells_what_it_closes_is_told(asked: Asked, told: bool) -> None:
    target = Target("5.14.0-10.el9.x86_64", True, (Candidate(PATCH, "base", untold=True),))
    notes = policy.decide(Situation(asked, target)).notes
    assert [note.id for note in notes] == (["patch-unjudged"] if told else [])
    barred = target._replace(candidates=(Candidate(PATCH, "base", untold=True, barred="so"),))
    assert "patch-unjudged" not in [note.id for note in policy.decide(Situation(asked, barred)).notes]


@given(candidates, requests)
def test_when_orders_its_words(candidate, asked):
    taken = [policy.wanted(candidate, asked, when) for when in ("named", "security", "always")]
    assert taken == sorted(taken)


def situation(*found: Candidate, **facts: object) -> Situation:
    target = Target("5.14.0-10.el9.x86_64", True, found)._replace(
        **{key: facts.pop(key) for key in ("has", "excluded", "open_cves") if key in facts}
    )
    return Situation(Asked(ALL), target, **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("case", "note"),
    [
        (situation(Candidate(PATCH, "base")), None),
        (situation(Candidate(PATCH, "copr", trusted=False)), "patch-untrusted"),
        (situation(Candidate(PATCH, "base", gpgcheck=False)), "patch-no-gpgcheck"),
        (situation(Candidate(PATCH, "base", wrong="so")), "patch-wrong"),
        (situation(Candidate(PATCH, "base", barred="so")), "patch-no-place"),
        (situation(Candidate(PATCH, "base"), mode="report"), "patch-offered"),
        (situation(Candidate(PATCH, "base"), cannot="this is a chroot"), "patch-no-place"),
        (situation(excluded=PATCH), "patch-excluded"),
        (situation(open_cves=2), "patch-absent"),
        (situation(open_cves=2, cannot="this kernel has no live patching"), None),
        (situation(open_cves=2, has=PATCH), None),
        (situation(Candidate(EMPTY, "base", kind="empty"), open_cves=2), "patch-absent"),
        (situation(Candidate(EMPTY, "base", kind="empty")), None),
        (situation(), None),
    ],
)
def test_each_reason_has_its_line(case, note):
    verdict = policy.decide(case)
    assert [problem.id for problem in verdict.notes] == ([note] if note else [])
    good = any(candidate.kind == "patch" for candidate in case.target.candidates)
    assert bool(verdict.take) == (good and note is None)


@pytest.mark.parametrize(
    ("case", "text"),
    [
        (
            situation(Candidate(PATCH, "copr", trusted=False, doubt="kernel R came from base")),
            f"Live patch {PATCH} is not added: repository copr is not trusted with kernel code: kernel R"
            " came from base.",
        ),
        (
            situation(Candidate(PATCH, "base", gpgcheck=False)),
            f"Live patch {PATCH} is not added: gpgcheck is off for repository base.",
        ),
        (
            situation(Candidate(PATCH, "low", outranked="high")),
            f"Live patch {PATCH} of repository low is not added: by its priority, DNF prefers high.",
        ),
        (
            situation(Candidate(PATCH, "base", wrong="its name lies")),
            f"Package {PATCH} claims to be a live patch but is not added: its name lies.",
        ),
        (
            situation(Candidate(PATCH, "base"), mode="report"),
            f"Live patch {PATCH} is offered by repository base; mode = report, so it is not added.",
        ),
        (
            situation(Candidate(PATCH, "base"), cannot="this is a chroot"),
            f"Live patch {PATCH} is not added: this is a chroot.",
        ),
        (situation(excluded=PATCH), f"Live patch {PATCH} is not added: DNF's configuration excludes it."),
        (
            situation(open_cves=1),
            "No repository offers a live patch for the running kernel 5.14.0-10.el9.x86_64: "
            "1 CVE stays open.",
        ),
    ],
)
def test_the_line_names_what_it_is_about(case, text):
    (note,) = policy.decide(case).notes
    assert note.text == text


OLDER = PATCH._replace(release="1.el9")
HELD_BACK = Problem("patch-waits", "note", "It waits.")


@pytest.mark.parametrize(
    ("case", "taken", "note"),
    [
        # The newest thing in the way has the one line.
        (
            (Candidate(PATCH, "copr", trusted=False), Candidate(OLDER, "x", gpgcheck=False)),
            0,
            "patch-untrusted",
        ),
        ((Candidate(PATCH, "base"), Candidate(OLDER, "copr", trusted=False)), 1, ""),
        ((Candidate(PATCH, "base"), Candidate(OLDER, "base")), 2, ""),
        ((Candidate(PATCH, "base", kind="empty"), Candidate(OLDER, "base")), 1, ""),
    ],
)
def test_of_several_candidates_the_newest_refusal_is_told(case, taken, note):
    verdict = policy.decide(situation(*case))
    assert len(verdict.take) == taken and [one.id for one in verdict.notes] == [note] * bool(note)


@pytest.mark.parametrize(
    ("found", "excluded", "note"),
    [
        ((), PATCH, "patch-waits"),
        ((), None, "patch-waits"),
        ((Candidate(OLDER, "base"),), PATCH, "patch-waits"),
        ((Candidate(OLDER, "copr", trusted=False),), PATCH, "patch-untrusted"),
    ],
)
def test_a_patch_that_is_withheld_has_the_reason_told(found, excluded, note):
    case = situation(*found, excluded=excluded, open_cves=3)
    verdict = policy.decide(case._replace(target=case.target._replace(withheld=HELD_BACK)))
    assert [one.id for one in verdict.notes] == [note]
    assert len(verdict.take) == sum(candidate.trusted for candidate in found)


def test_an_excluded_patch_is_not_told_where_another_is_taken():
    verdict = policy.decide(situation(Candidate(OLDER, "base"), excluded=PATCH))
    assert len(verdict.take) == 1 and verdict.notes == ()


@pytest.mark.parametrize(
    "change", [{"kind": NAMED}, {"running": False}, {"open_cves": 0}, {"cannot": "this is a chroot"}]
)
def test_the_want_of_a_patch_is_told_of_the_running_kernel_in_a_whole_upgrade(change):
    case = situation(open_cves=2)
    assert [note.id for note in policy.decide(case).notes] == ["patch-absent"]
    facts = {"kind": ALL, "cannot": "", "running": True, "open_cves": 2, **change}
    target = case.target._replace(running=facts["running"], open_cves=facts["open_cves"])
    case = case._replace(asked=Asked(facts["kind"]), cannot=facts["cannot"], target=target)
    assert policy.decide(case) == policy.Verdict()


def test_a_kernel_that_does_not_run_gets_its_patch_where_nothing_can_be_loaded():
    case = situation(Candidate(PATCH, "base"), cannot="this is a chroot")
    verdict = policy.decide(case._replace(target=case.target._replace(running=False)))
    assert len(verdict.take) == 1 and verdict.notes == ()


FILTERS = {"advisory": frozenset({"A-1"})}


@pytest.mark.parametrize(
    ("asked", "candidate", "when", "wanted"),
    [
        (Asked(NONE), Candidate(PATCH, "base", named=True, secures=True), "always", False),
        (Asked(ALL), Candidate(PATCH, "base"), "named", True),
        (Asked(NAMED), Candidate(PATCH, "base", named=True), "named", True),
        (Asked(NAMED), Candidate(PATCH, "base", secures=True), "named", False),
        (Asked(NAMED), Candidate(PATCH, "base", secures=True), "security", True),
        (Asked(NAMED), Candidate(PATCH, "base"), "security", False),
        (Asked(NAMED), Candidate(PATCH, "base"), "always", True),
        (Asked(ALL, filters=FILTERS), Candidate(PATCH, "base"), "always", False),
        (Asked(ALL, filters=FILTERS), Candidate(PATCH, "base", passes=True), "named", True),
        (Asked(ALL, filters=FILTERS), Candidate(PATCH, "base", secures=True), "named", False),
        (Asked(ALL, security=True), Candidate(PATCH, "base", secures=True), "named", True),
        (Asked(ALL, security=True), Candidate(PATCH, "base"), "named", False),
        (Asked(NAMED, security=True), Candidate(PATCH, "base", secures=True), "named", False),
        (Asked(NAMED, filters=FILTERS), Candidate(PATCH, "base", passes=True, named=True), "named", True),
    ],
)
def test_the_request_and_the_setting_decide_what_is_wanted(asked, candidate, when, wanted):
    assert policy.wanted(candidate, asked, when) is wanted


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ("kpatch-patch-5_14_0-10", True),
        ("kpatch-patch-5_14_0-10.x86_64", True),
        ("kpatch-patch-5_14_0-10-1-2.el9", True),
        ("kpatch-patch-5_14_0-10-1-2.el9.x86_64", True),
        ("kpatch-patch-*", True),
        ("KPATCH-patch-*", False),
        ("kpatch-patch-5_14_0-10-1", False),
        ("kpatch-patch-5_14_0-10.aarch64", False),
        ("bash", False),
    ],
)
def test_a_package_is_named_in_four_forms_or_by_a_pattern(spec, named):
    assert policy.names(["other", spec], PATCH) is named and policy.names([], PATCH) is False


ADVISORY = Advisory("A-1", "bugfix", "Low", "", "", ("CVE-2026-1000",), (), ("77",))


@pytest.mark.parametrize(
    ("filters", "advisory", "passes"),
    [
        ({"advisory_type": {"bugfix"}}, ADVISORY, True),
        ({"advisory_type": {"security"}}, ADVISORY._replace(type="security"), False),
        ({"advisory_type": {"enhancement"}}, ADVISORY, False),
        ({"advisory": {"A-1"}}, ADVISORY, True),
        ({"advisory": {"A-2"}}, ADVISORY, False),
        ({"advisory_severity": {"Low"}}, ADVISORY, True),
        ({"advisory_severity": {""}}, ADVISORY._replace(severity=""), False),
        ({"advisory_severity": {"Critical"}}, ADVISORY._replace(severity="SEVERITY_CRITICAL"), True),
        ({"advisory_severity": {"Critical"}}, ADVISORY._replace(severity="Urgent"), True),
        ({"advisory_severity": {"Important", "Critical"}}, ADVISORY._replace(severity="HIGH"), True),
        ({"advisory_severity": {"Critical"}}, ADVISORY._replace(severity="gravissimo"), False),
        ({"advisory_cve": {"CVE-2026-1000"}}, ADVISORY, True),
        ({"advisory_cve": {"CVE-2026-1001"}}, ADVISORY, False),
        ({"advisory_bug": {"77"}}, ADVISORY, True),
        ({"advisory_bug": {"78"}, "advisory": {"A-1"}}, ADVISORY, True),
        ({}, ADVISORY, False),
    ],
)
def test_an_advisory_passes_by_one_of_its_facts(filters, advisory, passes):
    other = Advisory("B-1", "newpackage", "None", "", "", ())
    assert policy.passes(filters, [other, advisory]) is passes


def test_an_untrusted_newer_one_does_not_hide_the_trusted_older_one():
    older = PATCH._replace(release="1.el9")
    verdict = policy.decide(situation(Candidate(PATCH, "copr", trusted=False), Candidate(older, "base")))
    assert [candidate.nevra for candidate in verdict.take] == [older]
    assert [problem.id for problem in verdict.notes] == ["patch-untrusted"]
