# SPDX-License-Identifier: GPL-2.0-or-later
"""Transactions that are no upgrade, transactions that fail, and what is offered and not taken."""

from __future__ import annotations

import logging

import pytest

from dnf_plugin_livepatch.base.config import Config
from dnf_plugin_livepatch.base.model import (
    EXACT,
    LOWER_BOUND,
    Advisory,
    Debt,
    InForce,
    Problem,
    ReconcileResult,
)
from dnf_plugin_livepatch.exposure.compute import Inputs, OnOffer
from dnf_plugin_livepatch.messages import catalogue
from dnf_plugin_livepatch.planning import lines
from dnf_plugin_livepatch.planning.interface import Patched, Repository
from dnf_plugin_livepatch.planning.planner import Planner
from dnf_plugin_livepatch.planning.request import ALL, NAMED, Asked
from tests.unit.support.planned import (
    CVE,
    NEW,
    NEXT,
    NOW,
    OLD,
    RELEASE,
    RUNS,
    Machine,
    Manager,
    Waiting,
    answered,
    hard,
    ids,
    patch,
)

BOTH = (str(OLD.nevra), str(NEW.nevra))
KNOWN = Inputs(
    RELEASE,
    str(RUNS.nevra),
    EXACT,
    "",
    NOW,
    (("base", "7"),),
    (Debt(CVE, "A-20", "Important", "5.14.0-20.el9"),),
)
IN_FORCE = Patched((InForce("lp", BOTH[0], (CVE,)),), BOTH[:1], modules=(("lp", BOTH[0]),))


def gone(*problems: Problem, still: tuple[InForce, ...] = (), skipped: str = "") -> ReconcileResult:
    good = not any(problem.severity == "error" for problem in problems)
    return ReconcileResult("1", "", NOW, RELEASE, good, "", still, (), problems, skipped)


@pytest.mark.parametrize("has", [True, False])
def test_where_the_run_has_no_repositories_an_earlier_reading_counts(has: bool) -> None:
    manager, host = (
        Manager(RUNS, NEXT, NEW, repos=[Repository("base", has_advisories=has, read_at=NOW)]),
        Machine(),
    )
    host.known = KNOWN
    planner = Planner(manager, host, hard)
    planner.follow(BOTH[1:], ())
    assert ("inputs" in host.remembered) is has and [row.cve for row in planner.inputs.debt] == [CVE]
    host.answer = answered()
    ended = planner.after(frozenset(), Waiting())
    assert ended.good and [text for _, text in ended.lines] == [
        f"Live patch {NEW.nevra} is in force.",
        f"  CVEs closed now: {CVE} (Important)",
    ]
    assert host.remembered["taken"] == [str(NEW.nevra)]
    assert planner.after(frozenset(), Waiting()).lines == (), "the next transaction has its own"


def test_what_comes_is_expected_once_and_what_leaves_is_not() -> None:
    planner = Planner(Manager(RUNS, NEXT, OLD), Machine(), hard)
    planner.expected = BOTH
    planner.follow(BOTH[1:], BOTH[:1])
    assert (planner.expected, planner.leaving) == (BOTH[1:], BOTH[:1])


REFUSED = catalogue.problem("unload-refused", module="lp", why="EBUSY")
BUSY = catalogue.problem("rpm-busy")
ASIDE = catalogue.problem("profile-fault", fault="line 1")
STAYS = catalogue.problem("removed-in-force", nevra=BOTH[0], modules="lp")
TOLD_NOT_TO = catalogue.problem("unload-skipped", nevra=BOTH[0], modules="lp", why="it is told not to")
OTHERS = catalogue.problem("patch-blocked", nevra="other-1-1.x86_64", why="it crashed")
UNLOADED = catalogue.problem("module-stays", module="lp", why="EBUSY")
UNKNOWN_PACKAGES = catalogue.problem("rpmdb-unreadable", why="the database is damaged")
STILL = (InForce("lp", ""),)
AGAIN = f"  CVEs open again: {CVE} (Important)"


@pytest.mark.parametrize(
    ("answer", "good", "told"),
    [
        (gone(), True, [f"Live patch {BOTH[0]} is out of force.", AGAIN]),
        (gone(ASIDE), True, [f"Live patch {BOTH[0]} is out of force.", AGAIN]),
        (gone(still=STILL), True, [lines.line(STAYS)[1]]),
        (gone(REFUSED, still=STILL), False, [lines.line(REFUSED)[1]]),
        (gone(BUSY, still=STILL), True, [lines.line(BUSY)[1]]),
        (gone(skipped="it is told not to"), True, [lines.line(TOLD_NOT_TO)[1]]),
        (gone(OTHERS), True, [f"Live patch {BOTH[0]} is out of force.", AGAIN]),
        (gone(OTHERS, still=STILL), True, [lines.line(STAYS)[1]]),
        (gone(UNLOADED), False, [f"Live patch {BOTH[0]} is out of force.", AGAIN, lines.line(UNLOADED)[1]]),
        (gone(UNKNOWN_PACKAGES), True, [f"Live patch {BOTH[0]} is out of force.", AGAIN]),
        (gone(UNKNOWN_PACKAGES, still=STILL), False, [lines.line(UNKNOWN_PACKAGES)[1]]),
        (None, False, [lines.line(catalogue.problem("unload-unanswered", nevra=BOTH[0]))[1]]),
        (KeyboardInterrupt(), True, [lines.line(catalogue.problem("unload-interrupted"))[1]]),
    ],
)
def test_how_a_removal_ended(
    answer: ReconcileResult | BaseException | None, good: bool, told: list[str]
) -> None:
    class Host(Machine):
        def patched(self, cover: object, result: ReconcileResult | None = None) -> Patched:
            return IN_FORCE if result is None else Patched(result.in_force)

    host = Host()
    host.known, host.answer = KNOWN, answer
    planner = Planner(Manager(RUNS, NEXT), host, hard)
    planner.follow((), BOTH[:1])
    waiting = Waiting()
    ended = planner.after(frozenset(), waiting)
    assert (ended.good, [text for level, text in ended.lines if level != logging.DEBUG]) == (good, told)
    assert waiting.said == [f"Taking live patch {BOTH[0]} out of force (at most 60 s)."]


@pytest.mark.parametrize("mode", ["install-only", "report"])
def test_a_removal_where_nothing_is_loaded_is_not_waited_for(mode: str) -> None:
    host = Machine(Config(mode=mode), "", IN_FORCE)
    host.answer = AssertionError("nobody is to ask")
    planner = Planner(Manager(RUNS, NEXT), host, hard)
    planner.follow((), BOTH[:1])
    (said,) = planner.after(frozenset(), Waiting()).lines
    reason = {"nevra": BOTH[0], "modules": "lp", "why": f"mode = {mode}"}
    assert said == lines.line(catalogue.problem("unload-skipped", **reason))


def test_a_removal_that_rpm_refused_is_not_followed() -> None:
    host = Machine(Config(), "", IN_FORCE)
    host.answer = AssertionError("nobody is to ask")
    planner = Planner(Manager(RUNS, NEXT), host, hard)
    planner.follow((), BOTH[:1])
    assert planner.after(frozenset(BOTH[:1]), Waiting()).good


# --- offered, and not taken ---


@pytest.mark.parametrize(
    ("packages", "settings", "cannot", "offer"),
    [
        ((OLD, NEW), {}, "", NEW),
        ((OLD, NEW, patch("3", "CVE-2026-9", repo="base")), {}, "", patch("3", repo="base")),
        ((NEW,), {"mode": "report"}, "", NEW),
        ((NEW,), {"mode": "install-only", "when": "named"}, "", NEW),
        ((NEW._replace(incoming=True),), {}, "", NEW),
        ((NEW._replace(repo="extras"),), {}, "", None),
        ((OLD,), {}, "", None),
        ((NEW,), {}, "this is a container", None),
    ],
)
def test_what_an_upgrade_of_everything_would_take_is_noted(packages, settings, cannot, offer) -> None:
    for asked in (
        Asked(ALL),
        Asked(NAMED, specs=("vim",)),
        Asked(ALL, filters={"advisory": frozenset({"A"})}),
    ):
        host = Machine(Config(**settings), cannot)
        Planner(Manager(RUNS, NEXT, *packages), host, hard).bring_in(asked)
        assert host.remembered["offered"] == ((str(offer.nevra), "base") if offer else ("", ""))


def test_a_repository_that_is_left_out_of_a_run_takes_no_offer_back() -> None:
    repos = [Repository("base", has_advisories=True, read_at=NOW), Repository("extras", left_out=True)]
    host = Machine()
    Planner(Manager(RUNS, NEXT, OLD, repos=repos), host, hard).bring_in(Asked(ALL))
    assert "offered" not in host.remembered


@pytest.mark.parametrize(
    ("away", "repos", "quality"),
    [
        ({"unanswered": True}, (), EXACT),
        ({}, (), EXACT),
        ({"unanswered": True}, ("extras",), LOWER_BOUND),
        ({}, ("extras",), None),
    ],
)
def test_a_repository_that_is_gone_is_written_down_and_one_that_an_option_leaves_out_is_not(
    away, repos, quality
) -> None:
    rows = [
        Repository("base", has_advisories=True, read_at=NOW),
        Repository("extras", left_out=True, **away),
    ]
    host = Machine(Config(repos=repos))
    host.known = KNOWN._replace(repositories=(("base", "6"), ("extras", "2")))
    Planner(Manager(RUNS, NEXT, OLD, repos=rows), host, hard).bring_in(Asked(ALL))
    found = host.remembered.get("inputs")
    assert (found[0].quality if found else None) == quality


@pytest.mark.parametrize(
    ("asked", "mode", "told"),
    [
        (Asked(ALL), "load", ["patch-left"]),
        (Asked(ALL, security=True), "load", ["patch-left"]),
        (Asked(NAMED, specs=("vim",)), "load", ["patch-left"]),
        (Asked(ALL), "report", ["patch-offered"]),
        (Asked(ALL, filters={"advisory": frozenset({"A"})}), "load", []),
    ],
)
def test_an_upgrade_that_cannot_be_resolved_notes_what_it_leaves_out(asked, mode, told) -> None:
    host, manager = Machine(Config(mode=mode)), Manager(RUNS, NEXT, NEW)
    planner = Planner(manager, host, hard)
    assert ids(planner.unresolved(asked)) == told
    assert not manager.added and planner.expected == () and host.remembered["offered"][0] == str(NEW.nevra)


@pytest.mark.parametrize(("quality", "note"), [(EXACT, False), (LOWER_BOUND, False)])
def test_advisories_that_are_there_cause_no_note(quality: str, note: bool) -> None:
    host = Machine()
    host.known = KNOWN._replace(quality=quality)
    planner = Planner(Manager(RUNS, NEXT, NEW), host, hard)
    assert ("advisories-gone" in ids(planner.bring_in(Asked(ALL)))) is note


@pytest.mark.parametrize("repos", [[Repository("base")], [Repository("base"), Repository("other")]])
def test_advisories_that_are_gone_are_noted_and_what_was_known_is_remembered(repos) -> None:
    host = Machine()
    host.known = KNOWN
    planner = Planner(Manager(RUNS, NEXT, NEW, repos=repos), host, hard)
    assert "advisories-gone" in ids(planner.bring_in(Asked(ALL)))
    (kept,) = host.remembered["inputs"]
    assert (kept.debt, kept.as_of, kept.quality) == (KNOWN.debt, NOW, LOWER_BOUND)


# --- what cannot be had, and what is named again ---


@pytest.mark.parametrize(
    ("specs", "bad", "gone", "told"),
    [
        ((), {str(NEW.nevra): "it is damaged"}, {str(NEW.nevra)}, "is left out: it is damaged."),
        ((), {"client-1-1.x86_64": "it is not there"}, {str(NEW.nevra)}, "is left out: it is not there."),
        ((NEW.nevra.name,), {str(NEW.nevra): "it is damaged"}, set(), ""),
    ],
)
def test_what_cannot_be_had_is_given_up_unless_it_was_named(
    specs: tuple[str, ...], bad: dict[str, str], gone: set[str], told: str
) -> None:
    planner = Planner(Manager(RUNS, NEXT, NEW), Machine(), hard)
    planner.bring_in(Asked(NAMED if specs else ALL, specs=specs))
    assert planner.added == {str(NEW.nevra)} == set(planner.expected)
    assert planner.give_up(bad) == gone
    assert (planner.added, planner.expected) == (set(), ())
    texts = [note.text for note in planner.told()]
    assert texts == ([f"Live patch {NEW.nevra} {told} The rest of this upgrade goes on."] if told else [])


@pytest.mark.parametrize(
    ("absent", "named", "expected"),
    [
        (BOTH[:1], BOTH[:1], BOTH[:1]),
        (BOTH[:1], BOTH[1:], ()),
        ((), BOTH, ()),
        (BOTH, BOTH, BOTH),
    ],
)
def test_a_named_patch_that_is_installed_and_not_in_force_is_expected(absent, named, expected) -> None:
    planner = Planner(Manager(RUNS, OLD), Machine(seen=Patched(absent=absent)), hard)
    planner.want(named)
    planner.want(named)
    assert planner.expected == expected


@pytest.mark.parametrize(
    ("rows", "packages", "left"),
    [
        (("2",), (patch("2", repo="base"),), ""),
        (("1",), (patch("1", repo="base"), patch("2", repo="base")), "2"),
        ((), (patch("2", repo="base"),), "2"),
        ((), (patch("2", CVE, repo="base"),), ""),
        (("1", "2"), (patch("1", repo="base"), patch("2", repo="base")), ""),
    ],
)
def test_what_no_advisory_tells_of_this_very_build_is_not_told_by_an_older_one(rows, packages, left) -> None:
    manager = Manager(RUNS, *packages)
    manager.rows = [
        Advisory(f"P-{version}", "bugfix", "", "", "", (CVE,), (patch(version).nevra,)) for version in rows
    ]
    plan = Planner(manager, Machine(), hard).bring_in(
        Asked(ALL, filters={"advisory_cve": frozenset(["CVE-1-1"])})
    )
    found = [note.subject for note in plan.notes if note.id == "patch-unjudged"]
    assert found == ([str(patch(left).nevra)] if left else [])


UNHAD = f"Live patch {NEW.nevra} is offered and cannot be installed, not even by itself: it needs x."
REPORTED = f"Live patch {NEW.nevra} is offered by repository base; mode = report, so it is not added."


@pytest.mark.parametrize(
    ("mode", "alone", "patch", "why"),
    [
        ("load", {}, str(NEW.nevra), ""),
        ("load", {str(NEW.nevra): "it needs x"}, "", UNHAD),
        ("report", {}, "", REPORTED),
        ("report", {str(NEW.nevra): "it needs x"}, "", UNHAD),
    ],
)
@pytest.mark.parametrize("door", ["bring_in", "unresolved", "follow"])
def test_the_inputs_name_the_patch_on_offer_that_can_be_installed(door, mode, alone, patch, why) -> None:
    host, manager = Machine(Config(mode=mode)), Manager(RUNS, NEXT, NEW)
    manager.alone, manager.trial = alone, "it needs x" if alone else ""
    planner = Planner(manager, host, hard)
    if door == "follow":
        planner.follow(("kpatch-patch-5_14_0-10-1-1.el9.x86_64",), ())
    else:
        getattr(planner, door)(Asked(ALL))
    (said, *_) = host.remembered["inputs"]
    assert said.on_offer == OnOffer(
        NEXT.nevra.evr, "", patch, str(NEW.nevra) if why else "", why, builds=(str(NEW.nevra),)
    )


@pytest.mark.parametrize("door", ["bring_in", "unresolved", "follow"])
def test_a_run_that_hides_more_than_others_corrects_no_offer(door) -> None:
    host, manager = Machine(), Manager(RUNS, NEXT, NEW)
    offer = OnOffer(NEXT.nevra.evr, "", str(NEW.nevra))
    host.known = KNOWN._replace(on_offer=offer)
    manager.hidden, manager.passing = {str(NEW.nevra)}, True
    planner = Planner(manager, host, hard)
    getattr(planner, door)(*((("a-1-1.x86_64",), ()) if door == "follow" else (Asked(ALL),)))
    assert host.remembered["inputs"][0].on_offer == offer


@pytest.mark.parametrize("older", [(), (patch("1", repo="base"),)])
def test_a_patch_that_comes_with_the_transaction_is_on_offer_until_it_is_there(older) -> None:
    host = Machine()
    planner = Planner(Manager(RUNS, NEXT, NEW._replace(incoming=True), *older), host, hard)
    planner.follow((str(NEW.nevra),), ())
    (said, *_) = host.remembered["inputs"]
    # The older build comes from a repository that is not trusted.
    assert said.on_offer == OnOffer(NEXT.nevra.evr, "", str(NEW.nevra), builds=(str(NEW.nevra),))
