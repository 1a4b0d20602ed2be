# SPDX-License-Identifier: GPL-2.0-or-later
"""The third door of the planner: loading after the transaction, and taking back what was withdrawn."""

from __future__ import annotations

import itertools
import logging
from typing import Any

import pytest

from dnf_plugin_livepatch.base.config import Config
from dnf_plugin_livepatch.base.model import (
    InForce,
    ReconcileResult,
    Unfixable,
)
from dnf_plugin_livepatch.messages import catalogue
from dnf_plugin_livepatch.planning.interface import Ended, Patched
from dnf_plugin_livepatch.planning.planner import Planner
from dnf_plugin_livepatch.planning.request import ALL, Asked
from tests.unit.support.planned import (
    ADVISORIES,
    CVE,
    NEW,
    NEXT,
    OLD,
    RUNS,
    Faults,
    Machine,
    Manager,
    Waiting,
    advisory,
    answered,
    hard,
    ids,
    progress,
)

FLAGS = (False, True)

# --- after the transaction ---


def planned(answer: ReconcileResult | BaseException | None, **settings: Any) -> tuple[Planner, Machine]:
    host = Machine(Config(**settings))
    planner = Planner(Manager(RUNS, NEXT, NEW), host, hard)
    planner.bring_in(Asked(ALL))
    host.answer = answer
    return planner, host


PARTLY = catalogue.problem("module-not-in-force", nevra=NEW.nevra, instead="a part is missing")
INSTALLED = f"livepatch: Live patch {NEW.nevra} is installed"
UNANSWERED = f"{INSTALLED}, but it is unknown whether it is in force: reconcile gave no answer."


@pytest.mark.parametrize(
    ("answer", "good", "told"),
    [
        (
            answered(),
            True,
            [f"Live patch {NEW.nevra} is in force.", f"  CVEs closed now: {CVE} (Important)"],
        ),
        (answered(PARTLY), False, [f"{INSTALLED} but not in force: a part is missing."]),
        (answered(PARTLY._replace(text="In other words.")), False, ["livepatch: In other words."]),
        (
            answered(PARTLY._replace(subject="another-1-1.x86_64", text="Aside.")),
            True,
            [
                f"Live patch {NEW.nevra} is in force.",
                f"  CVEs closed now: {CVE} (Important)",
                "livepatch: Aside.",
            ],
        ),
        (answered(skipped="it is told not to"), True, [f"{INSTALLED} and not loaded: it is told not to."]),
        (None, False, [UNANSWERED]),
        (OSError("no space"), False, ["livepatch: no space", UNANSWERED]),
        (
            KeyboardInterrupt(),
            True,
            [
                "livepatch: The wait was interrupted. The packages are installed, and the load of the"
                " live patch goes on."
            ],
        ),
    ],
)
def test_how_loading_ended(
    answer: ReconcileResult | BaseException | None, good: bool, told: list[str]
) -> None:
    planner, host = planned(answer)
    waiting = Waiting()
    ended = planner.after(frozenset(), waiting)
    assert ended.good is good
    for (_, line), text in itertools.zip_longest(ended.lines, told):
        assert line.startswith(text), "the remedy may follow"
    assert waiting.said == [f"Loading live patch {NEW.nevra} (at most 60 s)."]
    assert host.waits == [(60.0, progress)]


def test_each_patch_is_waited_for_by_name() -> None:
    planner, host = planned(answered(), mode="load")
    planner.expected, host.bound = (str(NEW.nevra), str(OLD.nevra)), 7.5
    waiting = Waiting()
    assert not planner.after(frozenset(), waiting).good
    assert waiting.said == [f"Loading live patch {NEW.nevra}, {OLD.nevra} (at most 8 s)."]


def test_an_error_of_the_system_is_for_the_log() -> None:
    planner, _ = planned(OSError("no space"))
    assert [level for level, _ in planner.after(frozenset(), Waiting()).lines] == [
        logging.DEBUG,
        logging.ERROR,
    ]


def test_what_could_not_be_installed_is_not_waited_for() -> None:
    planner, host = planned(AssertionError("nobody is to ask"))
    assert planner.after(frozenset({str(NEW.nevra)}), Waiting()) == Ended((), True)
    assert host.waits == []


@pytest.mark.parametrize(
    ("cannot", "mode", "why"),
    [
        ("", "install-only", "mode = install-only"),
        ("this is a chroot", "load", "this is a chroot"),
        ("this is a chroot", "install-only", "this is a chroot"),
    ],
)
def test_nothing_is_loaded_where_it_is_only_to_be_installed(cannot: str, mode: str, why: str) -> None:
    planner, host = planned(AssertionError("nobody is to ask"))
    host.cannot, host.settings = cannot, Config(mode=mode)
    ended = planner.after(frozenset(), Waiting())
    ((level, text),) = ended.lines
    assert ended.good and level == logging.INFO and text.startswith(f"{INSTALLED} and not loaded: {why}.")


def test_the_exposure_is_computed_before_and_after_loading() -> None:
    """A CVE that was closed before is not closed now, and the newer kernel of the transaction counts."""
    old = Patched((InForce("lp", str(OLD.nevra), (CVE,)),), (str(OLD.nevra),))
    host = Machine(Config(), "", old)
    manager = Manager(RUNS, NEXT._replace(incoming=True), OLD, NEW._replace(incoming=True))
    manager.rows = [*ADVISORIES, advisory(15, "CVE-2026-1500"), advisory(30, "CVE-2026-3000")]
    planner = Planner(manager, host, hard)
    planner.bring_in(Asked(ALL))
    host.answer = answered()
    ended = planner.after(frozenset(), Waiting())
    assert [text for _, text in ended.lines] == [
        f"Live patch {NEW.nevra} is in force.",
        "  CVEs open until a reboot into kernel 5.14.0-20.el9: CVE-2026-1500 (Important)",
        "  CVEs still open: CVE-2026-3000 (Important)",
    ]


def test_after_loading_the_clients_and_the_patches_are_asked_again() -> None:
    never = Unfixable("CVE-2026-3000", "it changes data")

    class Client(Machine):
        def patched(self, cover: Any, result: ReconcileResult | None = None) -> Patched:
            self.covers.append(cover)
            seen = Patched((InForce("theirs", str(NEW.nevra), (CVE, "CVE-2026-1500")),), unfixable=(never,))
            return self.seen if result is None else seen

    manager, host = Manager(RUNS, NEXT, NEW), Client()
    manager.rows = [*ADVISORIES, advisory(15, "CVE-2026-1500"), advisory(30, "CVE-2026-3000")]
    planner = Planner(manager, host, hard)
    planner.bring_in(Asked(ALL))
    host.answer = answered()
    assert [text for _, text in planner.after(frozenset(), Waiting()).lines][1:] == [
        f"  CVEs closed now: CVE-2026-1500 (Important), {CVE} (Important)",
        "  CVEs that only a newer kernel closes: CVE-2026-3000 (Important)",
    ]
    assert host.covers == [((str(NEW.nevra), ()),)]


def test_where_what_is_in_force_cannot_be_read_the_answer_of_reconcile_counts() -> None:
    class Broken(Machine):
        def patched(self, cover: Any, result: ReconcileResult | None = None) -> Patched:
            if result is not None:
                raise RuntimeError("no client")
            return self.seen

    faults, host = Faults(), Broken()
    planner = Planner(Manager(RUNS, NEXT, NEW), host, faults.attempt)
    planner.bring_in(Asked(ALL))
    host.answer = answered()
    ended = planner.after(frozenset(), Waiting())
    assert ended.good and ended.lines[1][1] == f"  CVEs closed now: {CVE} (Important)"
    assert faults.met == ["reading what is in force"]


@pytest.mark.parametrize("known", FLAGS)
@pytest.mark.parametrize("setting", ["warn", "revert"])
def test_what_was_withdrawn_is_taken_back_where_that_is_wanted(known: bool, setting: str) -> None:
    seen = Patched((InForce("lp", str(OLD.nevra)),), (str(OLD.nevra),))
    host = Machine(Config(on_withdrawn=setting), "", seen)
    host.gone = {str(OLD.nevra): "oops"} if known else {}
    planner = Planner(Manager(RUNS, OLD), host, hard)
    plan = planner.bring_in(Asked(ALL))
    assert ids(plan) == (["withdrawn-in-force"] if known else [])
    assert planner.reverts is (known and setting == "revert")
    planner.take_back()
    assert ("taken back" in host.remembered) is known


@pytest.mark.parametrize(
    ("change", "reverts"),
    [
        ({}, True),
        ({"gone": {}}, False),
        ({"root": False}, False),
        ({"cannot": "this is a chroot"}, False),
        ({"settings": Config(on_withdrawn="warn")}, False),
        ({"settings": Config(on_withdrawn="revert", mode="install-only")}, False),
    ],
)
def test_a_withdrawal_is_acted_on_as_root_where_patches_are_loaded(
    change: dict[str, Any], reverts: bool
) -> None:
    host = Machine(Config(on_withdrawn="revert"))
    host.gone = {"lp-9-1.x86_64": "oops"}
    for name, value in change.items():
        setattr(host, name, value)
    assert Planner(Manager(RUNS), host, hard).reverts is reverts


def test_a_withdrawn_patch_that_is_not_in_force_is_not_taken_back() -> None:
    host = Machine(Config(on_withdrawn="revert"), "", Patched((InForce("lp", str(OLD.nevra)),)))
    host.gone = {str(NEW.nevra): "oops"}
    Planner(Manager(RUNS, OLD), host, hard).take_back()
    assert host.remembered == {}
