# SPDX-License-Identifier: GPL-2.0-or-later
"""The plan, as properties: whatever the situation, it adds live patches that may be added, or nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnf_plugin_livepatch.base.model import Nevra
from dnf_plugin_livepatch.planning import policy
from dnf_plugin_livepatch.planning.policy import Candidate, Request, Situation, Target

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
    Request,
    st.sampled_from([policy.NONE, policy.ALL, policy.NAMED]),
    st.just(""),
    st.booleans(),
    st.booleans(),
).map(lambda wish: wish._replace(filtered=wish.filtered or wish.security))
situations = st.builds(
    Situation,
    requests,
    st.sampled_from(["load", "install-only", "report"]),
    st.sampled_from(["security", "always", "named"]),
    st.lists(targets, max_size=3).map(tuple),
    st.sampled_from(["", "this is a container"]),
)


@given(situations)
def test_the_plan_adds_only_what_may_be_added(situation):
    plan = policy.decide(situation)
    offered = {(t.release, c) for t in situation.targets for c in t.candidates}
    for choice in plan.choices:
        assert choice.candidates, "an empty choice says nothing"
        for candidate in choice.candidates:
            assert (choice.release, candidate) in offered
            assert candidate.kind == "patch" and candidate.trusted and candidate.gpgcheck
            assert not candidate.wrong


@given(situations)
def test_nothing_is_added_where_nothing_may_be(situation):
    plan = policy.decide(situation)
    if situation.request.kind == policy.NONE:
        assert plan == policy.Plan()
    if situation.mode == "report":
        assert not plan.choices
    running = {t.release for t in situation.targets if not t.running}
    if situation.cannot:
        assert {choice.release for choice in plan.choices} <= running


@given(situations)
def test_at_most_one_line_and_one_choice_for_each_kernel(situation):
    plan = policy.decide(situation)
    assert len(plan.choices) <= len(situation.targets)
    assert len(plan.notes) <= 2 * len(situation.targets)
    if not any(t.candidates for t in situation.targets):
        assert not plan.choices


@given(situations)
def test_newest_first(situation):
    for choice, target in zip(policy.decide(situation).choices, situation.targets):
        if choice.release == target.release and len(situation.targets) == 1:
            order = [target.candidates.index(candidate) for candidate in choice.candidates]
            assert order == sorted(order)


@given(situations, candidates)
def test_a_filter_never_adds_more(situation, candidate):
    wish = situation.request
    free = wish._replace(security=False, filtered=False)
    if policy.wanted(candidate, wish, situation.when):
        assert policy.wanted(candidate, free, situation.when)


@given(candidates, requests)
def test_when_orders_its_words(candidate, wish):
    taken = [policy.wanted(candidate, wish, when) for when in ("named", "security", "always")]
    assert taken == sorted(taken)


def situation(*found: Candidate, **facts: object) -> Situation:
    wish = facts.pop("request", Request(policy.ALL))
    target = Target("5.14.0-10.el9.x86_64", True, found)._replace(
        **{key: facts.pop(key) for key in ("has", "excluded", "open_cves") if key in facts}
    )
    return Situation(wish, targets=(target,), **facts)  # type: ignore[arg-type]


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
    plan = policy.decide(case)
    assert [problem.id for problem in plan.notes] == ([note] if note else [])
    good = any(candidate.kind == "patch" for candidate in case.targets[0].candidates)
    assert bool(plan.choices) == (good and note is None)


def test_an_untrusted_newer_one_does_not_hide_the_trusted_older_one():
    older = PATCH._replace(release="1.el9")
    plan = policy.decide(situation(Candidate(PATCH, "copr", trusted=False), Candidate(older, "base")))
    assert [candidate.nevra for candidate in plan.choices[0].candidates] == [older]
    assert [problem.id for problem in plan.notes] == ["patch-untrusted"]
