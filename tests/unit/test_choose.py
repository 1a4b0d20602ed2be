# SPDX-License-Identifier: GPL-2.0-or-later
"""From surveys to packages in the transaction, one choice after the other, and what is to be in force."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from dnf_plugin_livepatch.base.config import Config
from dnf_plugin_livepatch.base.model import Nevra
from dnf_plugin_livepatch.planning import choose
from dnf_plugin_livepatch.planning.interface import Helpers, Package
from dnf_plugin_livepatch.planning.policy import Candidate, Target
from dnf_plugin_livepatch.planning.request import ALL, NAMED, Asked
from dnf_plugin_livepatch.planning.survey import Survey
from tests.unit.support.planned import RELEASE

OTHER = "5.14.0-20.el9.x86_64"
FAMILY = ("client",)


def package(name: str, version: int, **facts: object) -> Package:
    nevra = Nevra(name, "0", "1", str(version), "x86_64")
    return Package(nevra, "base", build_time=version)._replace(**facts)  # type: ignore[arg-type]


def survey(
    *offered: Package,
    has: Package | None = None,
    planned: bool = False,
    release: str = RELEASE,
    single: bool = False,
    family: tuple[str, ...] = FAMILY,
) -> Survey:
    """A survey of what is ``offered``, newest first; each may bring a helper of its name along."""
    rows = tuple(Candidate(one.nevra, one.repo, secures=True) for one in offered)
    everything = [*offered, *([has] if has is not None else [])]
    target = Target(release, release == RELEASE, rows, has.nevra if has is not None else None)
    return Survey(
        target,
        {str(one.nevra): one for one in offered},
        has,
        planned,
        single,
        {str(one.nevra): family for one in everything},
        {str(one.nevra): frozenset({(one.nevra.name, one.repo)}) for one in offered},
    )


class Solver:
    """A stand-in for the package manager: ``refused`` are the packages that do not resolve, and why."""

    def __init__(self, **refused: str) -> None:
        self.refused = refused
        self.alone: dict[str, str] = {}
        self.tried: list[tuple[list[Package], Helpers]] = []

    def why_not_with(self, add: Sequence[Package], along: Helpers) -> str:
        self.tried.append((list(add), along))
        return self.refused.get(f"{add[-1].nevra.name}{add[-1].nevra.release}", "")

    def why_not_alone(self, package: Package, along: Helpers) -> str:
        return self.alone.get(f"{package.nevra.name}{package.nevra.release}", "")


def choosing(solver: Solver, cannot: str = "", kind: str = ALL, **settings: str) -> choose.Choosing:
    made = Config()._replace(**settings)  # type: ignore[arg-type]
    cves = {"a": {"CVE-1"}, "b": {"CVE-2"}, "c": {"CVE-1", "CVE-3"}}
    return choose.Choosing(
        Asked(kind),
        made,
        cannot,
        solver,  # type: ignore[arg-type]
        lambda one: cves.get(one.nevra.name, set()),
    )


def run(made: choose.Choosing, *surveys: Survey) -> list[str]:
    """Note and take ``surveys`` as the planner does; the ids of the notes."""
    for one in surveys:
        made.note(one)
    for one in surveys:
        made.take(one)
    return [note.id for note in made.notes]


A1, A2, A3 = package("a", 1), package("a", 2), package("a", 3)
B1, C1, WHOLE = package("b", 1), package("c", 1), package("whole", 5)


def test_the_newest_that_resolves_is_chosen_with_its_helpers() -> None:
    solver = Solver()
    made = choosing(solver)
    assert run(made, survey(A2, A1)) == [] and made.chosen == [A2]
    assert solver.tried == [([A2], frozenset({("a", "base")}))]


def test_an_older_one_is_chosen_with_the_first_reason_and_its_own_helpers() -> None:
    solver = Solver(a3="it needs x", a2="it needs y")
    made = choosing(solver)
    assert run(made, survey(A3, A2, A1)) == ["patch-older"] and made.chosen == [A1]
    assert [names for names, _ in solver.tried] == [[A3], [A2], [A1]]
    newer, older = "a-1-3.x86_64", "a-1-1.x86_64"
    text = f"Live patch {older} is added because the newer {newer} cannot be installed: it needs x."
    assert (made.notes[0].text, made.notes[0].subject) == (text, older)


def test_where_none_resolves_the_reason_for_the_newest_is_told() -> None:
    made = choosing(Solver(a2="it needs x", a1="it needs y"))
    assert run(made, survey(A2, A1)) == ["patch-unresolvable"] and made.chosen == []
    text = "Live patch a-1-2.x86_64 is not added: it needs x. The rest of this transaction is unchanged."
    assert made.notes[0].text == text


def test_of_one_repository_few_are_tried_that_do_not_resolve() -> None:
    """Each trial runs the solver twice, and a repository may list thousands of patches."""
    bad = [package("a", number, repo="bad") for number in range(2000, 1000, -1)]
    solver = Solver(**{f"a{one.nevra.release}": "nobody has it" for one in bad})
    made = choosing(solver)
    assert run(made, survey(*bad, A2, A1)) == ["patch-older"] and made.chosen == [A2]
    assert len(solver.tried) == choose.MAX_FAILED + 1
    more = [package("d", number, repo="bad") for number in (3, 2, 1)]
    assert run(made, survey(*more, single=True, release=OTHER))[1:] == ["patch-unresolvable"]
    assert len(solver.tried) == choose.MAX_FAILED + 1
    assert "4 others of its repository could not be installed" in made.notes[-1].text


def test_each_choice_is_tried_with_those_before_and_with_their_helpers() -> None:
    solver = Solver(b1="no")
    made = choosing(solver)
    run(made, survey(A1, single=True), survey(B1, single=True), survey(C1, single=True))
    a, b, c = (("a", "base"), ("b", "base"), ("c", "base"))
    assert solver.tried == [
        ([A1], frozenset({a})),
        ([A1, B1], frozenset({a, b})),
        ([A1, C1], frozenset({a, c})),
    ]
    assert made.chosen == [A1, C1]


# --- what is chosen, or there already, counts for what is chosen later ---


def test_a_chosen_patch_keeps_another_one_with_common_fixes_away() -> None:
    made = choosing(Solver())
    assert run(made, survey(A1), survey(C1, single=True)) == ["patch-overlaps"] and made.chosen == [A1]
    text = "Live patch c-1-1.x86_64 is not added: it and a-1-1.x86_64 have some CVEs in common."
    assert made.notes[0].text == text


def test_a_patch_that_does_not_resolve_keeps_nothing_away() -> None:
    made = choosing(Solver(a1="no"))
    assert run(made, survey(A1), survey(C1, single=True)) == ["patch-unresolvable"] and made.chosen == [C1]


def test_a_patch_that_the_host_has_keeps_a_later_one_away() -> None:
    made = choosing(Solver())
    assert run(made, survey(C1, single=True), survey(has=A1)) == ["patch-overlaps"] and made.chosen == []


@pytest.mark.parametrize(
    ("other", "chosen"),
    [
        (survey(B1, single=True, family=("rival",)), []),
        (survey(C1, single=True, release=OTHER), [C1]),
        (survey(B1, single=True), [B1]),
    ],
    ids=["another vendor's", "for another kernel", "other fixes"],
)
def test_only_patches_of_one_kernel_and_vendor_stand_beside_each_other(
    other: Survey, chosen: list[Package]
) -> None:
    made = choosing(Solver())
    assert run(made, survey(has=A1), other) == [] and made.chosen == chosen


def test_the_single_ones_stand_beside_each_other_whatever_they_close() -> None:
    made = choosing(Solver())
    assert run(made, survey(A1, single=True), survey(C1, single=True)) == [] and made.chosen == [A1, C1]


@pytest.mark.parametrize(("cannot", "mode"), [("", "report"), ("this is a container", "load")])
def test_where_nothing_may_be_added_the_notes_are_those_of_one_choice(cannot: str, mode: str) -> None:
    """The first choice is taken as made, so that no later survey offers a patch that it would keep away."""
    told = "patch-offered" if mode == "report" else "patch-no-place"
    made = choosing(Solver(), cannot, mode=mode)
    assert run(made, survey(A2, A1), survey(C1, single=True)) == [told, "patch-overlaps"]
    assert made.chosen == [] and made.notes[0].subject == "a-1-2.x86_64"
    made = choosing(Solver(), cannot, mode=mode)
    assert run(made, survey(A2, A1), survey(B1, single=True, family=("rival",))) == [told]


@pytest.mark.parametrize(
    ("when", "notes"), [("security", ["patch-offered", "patch-overlaps"]), ("named", [])]
)
def test_only_a_patch_that_would_have_come_along_counts_as_chosen(when: str, notes: list[str]) -> None:
    made = choosing(Solver(), kind=NAMED, mode="report", when=when)
    assert run(made, survey(A1), survey(C1, single=True)) == notes


def test_a_patch_that_was_not_asked_for_keeps_nothing_away() -> None:
    made = choosing(Solver(), kind=NAMED, when="named")
    named = survey(C1, single=True)
    rows = tuple(one._replace(named=True) for one in named.target.candidates)
    assert run(made, survey(A1), named._replace(target=named.target._replace(candidates=rows))) == []
    assert made.chosen == [C1]


@pytest.mark.parametrize(("when", "chosen"), [("named", []), ("security", [A1]), ("always", [A1])])
def test_the_setting_decides_what_comes_along_unasked(when: str, chosen: list[Package]) -> None:
    made = choosing(Solver(), kind=NAMED, when=when)
    assert run(made, survey(A1)) == [] and made.chosen == chosen


# --- what has to be in force in the end ---

HAS_A, HAS_B = survey(has=A1), survey(has=B1, single=True)


@pytest.mark.parametrize(
    ("surveys", "chosen", "before", "expected"),
    [
        ([], [], [], []),
        ([survey(A2, has=A1)], [A2], [], [A2]),
        ([survey(A2, has=A1)], [A2], [A1], [A2]),
        ([survey(A2, has=A1)], [], [A1], [A1]),
        ([survey(A2, has=A1)], [B1], [A1], [A1]),
        ([survey(A2, has=A1)], [], [], []),
        ([survey(has=A2, planned=True)], [], [], [A2]),
        ([survey(has=A2, planned=True)], [], [A1], [A2]),
        ([survey(has=A1, planned=True)], [], [A1], [A1]),
        ([HAS_A, HAS_B], [], [A1, B1], [A1, B1]),
        ([HAS_A, HAS_B], [], [B1], [B1]),
        ([survey(A2, has=A1), HAS_B], [A2], [A1, B1], [A2, B1]),
        ([survey(A2), survey(B1)], [A2, B1], [], [A2, B1]),
        ([survey(A2)], [A2], [A1], [A2]),
        ([survey(A2)], [], [A1], [A1]),
        ([survey(A2)], [], [A3, A1], [A3]),
        ([survey()], [A2], [C1], [C1]),
    ],
)
def test_the_patches_that_have_to_be_in_force(
    surveys: list[Survey], chosen: list[Package], before: list[Package], expected: list[Package]
) -> None:
    missing = [str(one.nevra) for one in before]
    assert choose.expected(surveys, chosen, missing) == tuple(str(one.nevra) for one in expected)


# --- what is on offer ---


def offered(made: choose.Choosing) -> str:
    found, _ = made.offer()
    return f"{found.nevra.name}{found.nevra.release}" if found is not None else ""


@pytest.mark.parametrize(
    ("refused", "alone", "offer"),
    [
        ({}, {}, "a2"),
        ({"a2": "it needs x"}, {"a2": "it needs x"}, "a1"),
        ({"a2": "it does not fit"}, {}, "a2"),
        ({"a2": "no", "a1": "no"}, {"a2": "no", "a1": "no"}, ""),
        ({"a2": "no", "a1": "no"}, {"a2": "no"}, "a1"),
    ],
)
def test_the_newest_patch_that_can_be_installed_by_itself_is_on_offer(refused, alone, offer) -> None:
    solver = Solver(**refused)
    solver.alone = alone
    made = choosing(solver)
    run(made, survey(A2, A1))
    assert offered(made) == offer


def test_a_patch_that_overlaps_another_one_is_not_on_offer() -> None:
    made = choosing(Solver())
    assert run(made, survey(has=A1), survey(C1, single=True)) == ["patch-overlaps"]
    assert made.offer() == (None, made.notes[0])


@pytest.mark.parametrize(
    ("alone", "told", "offer"),
    [
        ({}, ["patch-left"], "a2"),
        ({"a2": "it needs x"}, ["patch-uninstallable", "patch-left"], "a1"),
        ({"a2": "it needs x", "a1": "it needs y"}, ["patch-uninstallable"], ""),
    ],
)
def test_of_a_failing_transaction_only_what_can_be_installed_is_left_out(alone, told, offer) -> None:
    solver = Solver()
    solver.alone = alone
    made = choosing(solver)
    made.leave(survey(A2, A1))
    assert [note.id for note in made.notes] == told and offered(made) == offer
    assert solver.tried == []
