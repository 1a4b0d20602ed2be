# SPDX-License-Identifier: GPL-2.0-or-later
"""The live patches of one kernel: what is chosen together, in which order, and what fits beside what."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from dnf_plugin_livepatch.base.config import Config
from dnf_plugin_livepatch.planning import survey
from dnf_plugin_livepatch.planning.facts import Facts
from dnf_plugin_livepatch.planning.interface import Package
from dnf_plugin_livepatch.planning.policy import Candidate, Target
from dnf_plugin_livepatch.planning.survey import Beside, Judge, Offer, Survey
from tests.unit.support.planned import RELEASE, RUNS, Machine, Manager, kernel
from tests.unit.support.surveyed import (
    FAMILY,
    JUDGE,
    REPOS,
    RULES,
    AsItIs,
    have,
    offer,
)

OTHER = "5.14.0-20.el9.x86_64"


def facts(*packages: Package) -> Facts:
    host = Machine(Config(repos=("open", "zeta")))
    host.profiles = RULES
    return Facts(Manager(RUNS, *packages, repos=REPOS), host)


def surveys(*packages: Package, open_cves: int = 0, release: str = RELEASE) -> list[Survey]:
    return survey.surveys(facts(*packages), release, JUDGE, open_cves)


def names(packages: Sequence[Package | Candidate]) -> list[str]:
    return [f"{one.nevra.name} {one.nevra.release.partition('.')[0]}" for one in packages]


def candidates(one: Survey) -> list[str]:
    return names(one.target.candidates)


# --- one survey ---


def test_without_any_patch_the_survey_is_empty() -> None:
    assert surveys(open_cves=3) == [
        Survey(Target(RELEASE, True, open_cves=3), {}, None, False, False, {}, {}),
    ]
    assert surveys()[0].empty
    assert surveys(release=OTHER)[0].target == Target(OTHER, False)
    assert survey.surveys(facts(), RELEASE, JUDGE)[0].target.open_cves == 0


def test_a_survey_holds_all_that_is_known_of_its_packages() -> None:
    old, new, older = have("whole-p", 1), offer("whole-p", 3), offer("whole-p", 2, "zeta")
    lie = offer("whole-p", 9, requires=("kernel-uname-r = 6.1-1.x86_64",))

    asked: list[tuple[object, ...]] = []
    judge = Judge(
        lambda package, running: not asked.append(("secures", names([package]), running)) and package == new,
        lambda package, has: not asked.append(("passes", names([package]), has)) and package == older,
        lambda nevra: nevra == new.nevra,
    )
    (found,) = survey.surveys(facts(older, old, new, lie), RELEASE, judge, 2)
    why = "it is for kernel 5.14.0-10.el9.x86_64 by its Provides, but it requires kernel 6.1-1.x86_64"
    rows = (
        Candidate(lie.nevra, "base", "not-a-live-patch", True, True, False, False, False, why),
        Candidate(new.nevra, "base", "patch", True, True, True, False, True, ""),
        Candidate(older.nevra, "zeta", "patch", True, True, False, True, False, ""),
    )
    helpers = frozenset({("patcher", "base"), ("patcher", "zeta")})
    assert found == Survey(
        Target(RELEASE, True, rows, old.nevra, None, 2),
        {str(one.nevra): one for one in (lie, new, older)},
        old,
        False,
        False,
        {str(lie.nevra): ("",), **{str(one.nevra): FAMILY for one in (old, new, older)}},
        {str(lie.nevra): frozenset(), str(new.nevra): helpers, str(older.nevra): helpers},
    )
    assert not found.empty
    assert ("secures", ["whole-p 3"], True) in asked and ("passes", ["whole-p 2"], old) in asked


def test_a_candidate_is_trusted_and_verified_by_its_repository() -> None:
    (found,) = surveys(
        offer("whole-p", 1, "open"), offer("whole-p", 2, "a-copr"), offer("whole-p", 3, "zeta")
    )
    rows = [(one.repo, one.trusted, one.gpgcheck) for one in found.target.candidates]
    assert rows == [("zeta", True, True), ("a-copr", False, True), ("open", True, False)]


@pytest.mark.parametrize(
    ("packages", "has", "planned", "left"),
    [
        ((offer("whole-p", 1),), None, False, ["whole-p 1"]),
        ((have("whole-p", 1), offer("whole-p", 2)), "whole-p 1", False, ["whole-p 2"]),
        ((have("whole-p", 2), offer("whole-p", 2), offer("whole-p", 1)), "whole-p 2", False, []),
        ((have("whole-p", 1), have("whole-p", 2), offer("whole-p", 3)), "whole-p 2", False, ["whole-p 3"]),
        ((have("whole-p", 2), have("whole-p", 1), offer("whole-p", 2)), "whole-p 2", False, []),
        ((offer("whole-p", 1, incoming=True), offer("whole-p", 2)), "whole-p 1", True, []),
        ((have("whole-p", 1), offer("whole-p", 2, incoming=True)), "whole-p 2", True, []),
        ((offer("whole-p", 2, incoming=True), have("whole-p", 1)), "whole-p 2", True, []),
    ],
)
def test_candidates_are_newer_than_what_the_host_has_or_gets(
    packages: tuple[Package, ...], has: str | None, planned: bool, left: list[str]
) -> None:
    (found,) = surveys(*packages)
    assert (names([found.has]) if found.has else [None]) == [has]
    assert found.target.has == (found.has.nevra if found.has else None)
    assert (found.planned, candidates(found)) == (planned, left)


def test_a_patch_of_another_name_that_is_older_hides_no_newer_one() -> None:
    """The newer build of the installed name was built first; the other name lies between them in time."""
    newer = offer("whole-p", 2, build_time=4)
    (found,) = surveys(have("whole-p", 1, build_time=9), offer("whole-q", 5), newer)
    assert candidates(found) == ["whole-p 2"]


def test_a_subscription_that_is_installed_is_no_patch_that_the_host_has() -> None:
    empty = have("whole-p", 0)
    empty = empty._replace(nevra=empty.nevra._replace(version="0", release="0"))
    (found,) = surveys(empty, offer("whole-p", 1))
    assert found.has is None and candidates(found) == ["whole-p 1"]


@pytest.mark.parametrize(
    ("packages", "excluded", "left"),
    [
        ((offer("whole-p", 2, visible=False), offer("whole-p", 1)), 2, ["whole-p 1"]),
        ((offer("whole-p", 2), offer("whole-p", 1, visible=False)), None, ["whole-p 2"]),
        ((offer("whole-p", 3, visible=False), offer("whole-p", 2, visible=False)), 3, []),
        ((have("whole-p", 2), offer("whole-p", 2, visible=False)), None, []),
    ],
)
def test_a_newer_patch_that_is_hidden_is_named(
    packages: tuple[Package, ...], excluded: int | None, left: list[str]
) -> None:
    known = facts()
    known.manager = AsItIs(RUNS, *packages, repos=REPOS)
    (found,) = survey.surveys(known, RELEASE, JUDGE)
    expected = offer("whole-p", excluded).nevra if excluded else None
    assert found.target.excluded == expected and candidates(found) == left
    assert found.empty is False


def test_a_subscription_that_is_hidden_is_not_named() -> None:
    empty = offer("whole-p", 0, visible=False)
    known = facts()
    known.manager = AsItIs(
        RUNS, empty._replace(nevra=empty.nevra._replace(version="0", release="0")), repos=REPOS
    )
    (found,) = survey.surveys(known, RELEASE, JUDGE)
    assert found.target.excluded is None and found.empty


def test_of_the_copies_of_one_build_the_one_that_may_be_taken_is_a_candidate() -> None:
    copies = [offer("whole-p", 1, repo) for repo in ("open", "a-copr", "zeta", "base")]
    (found,) = surveys(*copies)
    assert [one.repo for one in found.target.candidates] == ["base"]
    assert [one.repo for one in found.packages.values()] == ["base"]
    (found,) = surveys(*copies[:2])
    assert [one.repo for one in found.target.candidates] == ["a-copr"]
    (found,) = surveys(offer("whole-p", 2), offer("whole-p", 2, "zeta"), offer("whole-p", 1))
    assert candidates(found) == ["whole-p 2", "whole-p 1"]


def test_patches_of_another_vendor_than_the_installed_one_are_no_candidates() -> None:
    for version in (2, 9):
        (found,) = surveys(have("whole-p", 1), offer("rival-p", version), offer("whole-p", 3))
        assert candidates(found) == ["whole-p 3"]
    (found,) = surveys(offer("rival-p", 2), offer("whole-p", 3))
    assert candidates(found) == ["whole-p 3", "rival-p 2"], "with none installed all vendors are asked"
    assert found.families[str(offer("rival-p", 2).nevra)] == ("rival",), "its client applies nothing"


@pytest.mark.parametrize(
    ("rivals", "why"),
    [
        (["Ksplice"], "Ksplice patches this kernel already"),
        (["KernelCare", "Ksplice"], "KernelCare and Ksplice patch this kernel already"),
    ],
)
def test_what_the_loader_always_refuses_is_barred(rivals: list[str], why: str) -> None:
    """The loader refuses modules of its own beside another product, which drives its client itself."""
    known = facts(offer("loner-p", 2), offer("whole-p", 3)._replace(provides=(f"rival = {RELEASE}",)))
    known.host.rivals = rivals
    found = {
        c.nevra.name: c.barred
        for one in survey.surveys(known, RELEASE, JUDGE)
        for c in one.target.candidates
    }
    assert found == {"loner-p": why, "whole-p": ""}
    assert {row.offer.package: row.offer.state for row in survey.judged(known, {})} == {
        str(offer("loner-p", 2).nevra): "barred",
        str(offer("whole-p", 3).nevra): "offered",
    }
    other = survey.surveys(known, "5.14.0-99.el9.x86_64", JUDGE)
    assert not any(c.barred for one in other for c in one.target.candidates)


def test_of_two_installed_vendors_the_one_of_the_newest_patch_counts() -> None:
    (found,) = surveys(have("rival-p", 1), have("whole-p", 2), offer("rival-p", 3), offer("whole-p", 4))
    assert candidates(found) == ["whole-p 4"]


def test_a_package_that_is_no_live_patch_is_shown_beside_any_vendor() -> None:
    lie = offer("rival-p", 9, requires=("kernel-uname-r = 6.1-1.x86_64",))
    (found,) = surveys(have("whole-p", 1), lie)
    assert candidates(found) == ["rival-p 9"] and found.target.candidates[0].kind == "not-a-live-patch"


# --- several surveys ---


def order(*packages: Package) -> list[tuple[list[str], bool]]:
    found = surveys(*packages, open_cves=7)
    assert all(one.target.open_cves == 0 for one in found), "only a kernel without single patches is bare"
    return [(candidates(one) or (names([one.has]) if one.has else []), one.single) for one in found]


def test_each_name_of_single_patches_is_a_survey_and_the_newest_comes_first() -> None:
    assert order(offer("single-a", 1), offer("single-b", 3), offer("single-a", 2), offer("loner-c", 4)) == [
        (["loner-c 4"], True),
        (["single-b 3"], True),
        (["single-a 2", "single-a 1"], True),
    ]


def test_the_cumulative_patches_of_a_family_come_before_its_single_ones() -> None:
    assert order(offer("single-a", 9), offer("whole-p", 1)) == [
        (["whole-p 1"], False),
        (["single-a 9"], True),
    ]


@pytest.mark.parametrize(
    ("whole", "found"),
    [
        (1, [(["loner-c 2"], True), (["whole-p 1"], False), (["single-a 9"], True)]),
        (2, [(["whole-p 2"], False), (["single-a 9"], True), (["loner-c 2"], True)]),
    ],
)
def test_a_newer_single_patch_of_another_family_comes_first(whole: int, found: list[object]) -> None:
    assert order(offer("single-a", 9), offer("whole-p", whole), offer("loner-c", 2)) == found


def test_a_survey_of_hidden_patches_alone_comes_last() -> None:
    known = facts()
    hidden, other = offer("single-a", 9, visible=False), offer("loner-c", 1)
    known.manager = AsItIs(RUNS, hidden, other, repos=REPOS)
    found = survey.surveys(known, RELEASE, JUDGE)
    assert [(candidates(one), one.target.excluded) for one in found] == [
        (["loner-c 1"], None),
        ([], hidden.nevra),
    ]


def test_an_installed_single_patch_has_its_age_too() -> None:
    assert order(have("single-a", 5), offer("single-b", 3), offer("loner-c", 4)) == [
        (["single-a 5"], True),
        (["single-b 3"], True),
    ], "and patches of other families are not beside it"
    assert order(have("single-a", 5), offer("single-a", 6)) == [(["single-a 6"], True)]


def test_an_installed_single_patch_keeps_other_families_cumulative_patches_away() -> None:
    assert order(have("single-a", 1), offer("rival-p", 2), offer("whole-p", 3)) == [
        (["whole-p 3"], False),
        (["single-a 1"], True),
    ]


# --- what fits beside what ---


def beside(package: Package, family: tuple[str, ...] = FAMILY, single: bool = False) -> Beside:
    return Beside(package, family, single)


CVES: dict[str, set[str]] = {}


@pytest.mark.parametrize(
    ("name", "mine", "other", "theirs", "found"),
    [
        ("single-a 5", "", ("whole-p 4", FAMILY, False), "", "fits"),
        ("single-a 5", "", ("whole-p 5", FAMILY, False), "", "silent"),
        ("single-a 5", "", ("whole-p 6", FAMILY, False), "", "silent"),
        ("single-a 5", "AB", ("whole-p 6", FAMILY, False), "CD", "fits"),
        ("single-a 5", "AB", ("whole-p 4", FAMILY, False), "ABC", "silent"),
        ("single-a 5", "AB", ("whole-p 4", FAMILY, False), "AB", "silent"),
        ("single-a 5", "AB", ("whole-p 4", FAMILY, False), "BC", "clash"),
        ("single-a 5", "AB", ("whole-p 6", FAMILY, False), "", "silent"),
        ("single-a 5", "", ("whole-p 6", FAMILY, False), "AB", "silent"),
        ("single-a 5", "AB", ("single-b 6", FAMILY, True), "AB", "fits"),
        ("whole-p 5", "", ("single-a 6", FAMILY, True), "", "fits"),
        ("whole-p 5", "", ("single-a 5", FAMILY, True), "", "clash"),
        ("whole-p 5", "", ("single-a 4", FAMILY, True), "", "clash"),
        ("whole-p 5", "AB", ("single-a 4", FAMILY, True), "CD", "fits"),
        ("whole-p 5", "AB", ("single-a 6", FAMILY, True), "BC", "clash"),
        ("whole-p 5", "AB", ("single-a 6", FAMILY, True), "ABC", "clash"),
        ("whole-p 5", "", ("whole-q 4", FAMILY, False), "", "silent"),
        ("single-a 5", "AB", ("loner-c 4", ("loner",), True), "CD", "silent"),
        ("whole-p 5", "AB", ("rival-p 4", ("rival",), False), "CD", "silent"),
    ],
)
def test_a_candidate_fits_beside_a_patch_of_its_family_that_closes_other_cves(
    name: str, mine: str, other: tuple[str, tuple[str, ...], bool], theirs: str, found: str
) -> None:
    def build(text: str) -> Package:
        return offer(text.partition(" ")[0], int(text.partition(" ")[2]))

    (one,) = surveys(build(name))
    cves = {name: set(mine), other[0]: set(theirs)}
    left, clashes = survey.fitting(
        one, [beside(build(other[0]), *other[1:])], lambda package: cves[names([package])[0]]
    )
    assert candidates(left) == ([name] if found == "fits" else [])
    expected = [(build(name).nevra, build(other[0]).nevra)] if found == "clash" else []
    assert clashes == expected


def test_of_several_patches_the_one_that_overlaps_is_named_unless_another_holds_the_fix() -> None:
    (one,) = surveys(offer("single-a", 5))
    far, near, whole = offer("whole-p", 9), offer("whole-q", 9), offer("whole-r", 9)
    cves = {"single-a 5": {"A", "B"}, "whole-p 9": {"C"}, "whole-q 9": {"A"}, "whole-r 9": {"A", "B"}}

    def known(package: Package) -> set[str]:
        return cves[names([package])[0]]

    left, clashes = survey.fitting(one, [beside(far), beside(near)], known)
    assert candidates(left) == [] and clashes == [(offer("single-a", 5).nevra, near.nevra)]
    assert survey.fitting(one, [beside(near), beside(whole)], known)[1] == []


def test_a_package_that_is_no_live_patch_stands_beside_all() -> None:
    (one,) = surveys(offer("whole-p", 9, requires=("kernel-uname-r = 6.1-1.x86_64",)))
    left, clashes = survey.fitting(one, [beside(offer("whole-q", 1))], lambda _: {"A"})
    assert (left, clashes) == (one, [])


def test_the_successor_of_an_installed_patch_is_not_judged_and_nothing_is_without_others() -> None:
    (one,) = surveys(have("whole-p", 1), offer("whole-p", 2))
    assert survey.fitting(one, [beside(offer("rival-p", 9), ("rival",))], lambda _: set()) == (one, [])
    (one,) = surveys(offer("whole-p", 2))
    assert survey.fitting(one, [], lambda _: set()) == (one, [])


# --- kernels that may be booted next ---


def named(build: int, name: str, **more: object) -> Package:
    made = kernel(build)
    return made._replace(nevra=made.nevra._replace(name=name), **more)  # type: ignore[arg-type]


def next_kernels(*packages: Package, runs: Package = RUNS) -> tuple[str, ...]:
    return survey.next_kernels(Facts(Manager(runs, *packages), Machine()))


UNAME = ("kernel-uname-r = 5.14.0-21.el9.x86_64",)


@pytest.mark.parametrize(
    ("packages", "releases"),
    [
        ((), ()),
        ((kernel(20, installed=True),), ("5.14.0-20.el9.x86_64",)),
        ((kernel(20, installed=True), kernel(30, installed=True)), ("5.14.0-30.el9.x86_64",)),
        ((kernel(30, installed=True), kernel(20, installed=True)), ("5.14.0-30.el9.x86_64",)),
        ((kernel(5, installed=True),), ()),
        ((kernel(20, installed=True, provides=(f"kernel-uname-r = {RELEASE}",)),), ()),
        ((kernel(20, repo="base"),), ()),
        ((kernel(20, incoming=True), kernel(30, installed=True)), ("5.14.0-20.el9.x86_64",)),
        ((kernel(20, incoming=True), named(20, "kernel", incoming=True)), ("5.14.0-20.el9.x86_64",)),
        (
            (kernel(20, incoming=True), kernel(15, incoming=True)),
            ("5.14.0-20.el9.x86_64", "5.14.0-15.el9.x86_64"),
        ),
        ((named(20, "kernel-tools", incoming=True),), ()),
        (
            (named(20, "kernel-tools", incoming=True), kernel(20, installed=True)),
            ("5.14.0-20.el9.x86_64",),
        ),
        ((kernel(20, installed=True), kernel(100, installed=True)), ("5.14.0-100.el9.x86_64",)),
        ((kernel(11, installed=True),), ("5.14.0-11.el9.x86_64",)),
        ((named(10, "kernel", incoming=True), kernel(20, installed=True)), ("5.14.0-20.el9.x86_64",)),
        ((named(20, "kernel-64k-core", incoming=True),), ("5.14.0-20.el9.x86_64+64k",)),
        ((named(20, "kernel-odd", incoming=True, provides=("a", *UNAME)),), ("5.14.0-21.el9.x86_64",)),
        ((named(20, "kernel-64k-core", installed=True),), ()),
        ((kernel(20, installed=True, provides=UNAME),), ("5.14.0-21.el9.x86_64",)),
    ],
)
def test_the_kernels_that_the_transaction_installs_or_the_newest_installed_one(
    packages: tuple[Package, ...], releases: tuple[str, ...]
) -> None:
    assert next_kernels(*packages) == releases


def test_where_the_running_kernel_goes_by_another_name_and_is_alone_none_comes_next() -> None:
    runs = named(10, "kernel-modules-core", installed=True)
    assert next_kernels(runs=runs) == ()


def test_a_flavour_in_a_capability_is_written_as_uname_writes_it() -> None:
    provides = ("kernel-uname-r = 5.14.0-20.el9.x86_64+rt_debug",)
    assert next_kernels(named(20, "kernel-x", incoming=True, provides=provides)) == (
        "5.14.0-20.el9.x86_64+rt-debug",
    )


def test_a_kernel_of_unknown_release_is_followed_by_its_name() -> None:
    host = Machine()
    host.kernel = host.kernel._replace(release="odd")
    manager = Manager(RUNS, kernel(20, installed=True), named(30, "kernel", installed=True))
    manager.release = "odd"
    assert survey.next_kernels(Facts(manager, host)) == ("5.14.0-20.el9.x86_64",)
    assert survey.next_kernels(Facts(Manager(kernel(20, installed=True)), Machine())) == ()


# --- the list of what is on offer ---


def test_the_offers_for_the_running_kernel_newest_first() -> None:
    lie = offer("whole-p", 9, requires=("kernel-uname-r = 6.1-1.x86_64",))
    known = facts(
        have("whole-p", 1),
        offer("whole-p", 1),
        offer("rival-p", 2),
        offer("whole-p", 3),
        offer("single-a", 4),
        lie,
    )
    known.host.away = {"rival-p-1-2.el9.x86_64": "no"}  # type: ignore[attr-defined]
    known.manager.hidden = {"single-a-1-4.el9.x86_64"}  # type: ignore[attr-defined]
    assert survey.offers(known) == [
        Offer("single-a-1-4.el9.x86_64", "patch", "base", "excluded", "single"),
        Offer("whole-p-1-3.el9.x86_64", "patch", "base", "offered", "whole"),
        Offer("rival-p-1-2.el9.x86_64", "patch", "base", "blocked", "rival"),
        Offer("whole-p-1-1.el9.x86_64", "patch", "base", "installed", "whole"),
    ]
