# SPDX-License-Identifier: GPL-2.0-or-later
"""The plan, as properties: whatever the situation, it adds live patches that may be added, or nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnf_plugin_livepatch.base.model import Nevra
from dnf_plugin_livepatch.planning import policy
from dnf_plugin_livepatch.planning.interface import ALL, NAMED, NONE, Asked
from dnf_plugin_livepatch.planning.policy import Candidate, Situation, Target

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
)
targets = st.builds(
    Target,
    st.sampled_from(["5.14.0-10.el9.x86_64", "5.14.0-40.el9.x86_64"]),
    st.booleans(),
    st.lists(candidates, max_size=5).map(tuple),
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
        assert not candidate.wrong


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
    free = situation.asked._replace(security=False, filters={})
    if policy.wanted(candidate, situation.asked, situation.when):
        assert policy.wanted(candidate, free, situation.when)


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


def test_an_untrusted_newer_one_does_not_hide_the_trusted_older_one():
    older = PATCH._replace(release="1.el9")
    verdict = policy.decide(situation(Candidate(PATCH, "copr", trusted=False), Candidate(older, "base")))
    assert [candidate.nevra for candidate in verdict.take] == [older]
    assert [problem.id for problem in verdict.notes] == ["patch-untrusted"]
