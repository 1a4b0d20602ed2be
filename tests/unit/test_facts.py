# SPDX-License-Identifier: GPL-2.0-or-later
"""The facts of one run: whom to trust, what is for which kernel, and each question put once."""

from __future__ import annotations

from collections.abc import Container, Sequence

import pytest

from dnf_plugin_livepatch.base.config import Config
from dnf_plugin_livepatch.base.model import Advisory, Kernel, Nevra
from dnf_plugin_livepatch.formats import repository_record
from dnf_plugin_livepatch.formats.repository_record import KernelNote, Record
from dnf_plugin_livepatch.planning.facts import MAX_NAMES, Facts, Said
from dnf_plugin_livepatch.planning.interface import Package, Repository
from dnf_plugin_livepatch.vendors import profiles
from tests.unit.support.planned import (
    CVE,
    NEW,
    NEXT,
    OLD,
    RELEASE,
    RUNS,
    TREE,
    Machine,
    Manager,
    kernel,
    patch,
)

OTHER = "5.14.0-20.el9.x86_64"
REPOS = (
    Repository("base"),
    Repository("extras"),
    Repository("extras-test"),
    Repository("away", left_out=True),
)


def facts(
    *packages: Package, repos: Sequence[Repository] = REPOS, named: str = "", source: str = "base"
) -> Facts:
    manager = Manager(*packages, repos=repos)
    manager.source = source
    return Facts(manager, Machine(Config(repos=tuple(named.split()))))


def asked(found: Facts) -> dict[str, int]:
    return dict(found.manager.asked)  # type: ignore[attr-defined]


# --- whom to trust ---

DEAF = tuple(
    Repository(name, left_out=True, signed=name.startswith("signed"))
    for name in ("base", "extras", "signed", "strange")
)


@pytest.mark.parametrize(
    ("source", "named", "missed"),
    [
        ("base", "", {"base"}),
        ("base", "ext*", {"base", "extras"}),
        ("anaconda", "extras here", {"extras"}),
        ("anaconda", "", {"signed"}),
        ("", "", {"signed"}),
        ("here", "", set()),
    ],
)
def test_the_repositories_whose_word_is_missed(source: str, named: str, missed: set[str]) -> None:
    found = facts(RUNS, repos=(Repository("here"), *DEAF), named=named, source=source)
    assert found.missed == missed


OFFERED = RUNS._replace(installed=False, repo="extras")


@pytest.mark.parametrize(
    ("packages", "source", "named", "trusted"),
    [
        ((RUNS,), "base", "", {"base"}),
        ((RUNS,), "base", "extras", {"base", "extras"}),
        ((RUNS,), "base", "extras*", {"base", "extras", "extras-test"}),
        ((RUNS,), "base", "away", {"base"}),
        ((RUNS,), "anaconda", "extras", {"extras"}),
        ((RUNS,), "anaconda", "nowhere", set()),
        ((RUNS, OFFERED), "anaconda", "extras-test", {"extras-test"}),
        ((RUNS, OFFERED), "anaconda", "", {"extras"}),
        ((RUNS, OFFERED), "away", "", {"extras"}),
        ((RUNS, OFFERED), "", "", {"extras"}),
        ((RUNS, OFFERED), "base", "", {"base"}),
        ((NEXT,), "base", "extras", set()),
    ],
)
def test_patches_come_from_where_the_kernel_came_from_or_from_named_repositories(
    packages: tuple[Package, ...], source: str, named: str, trusted: set[str]
) -> None:
    found = facts(*packages, source=source, named=named)
    assert found.trusted == trusted and found.trusted == trusted
    assert asked(found).get("origin", 0) <= 1


@pytest.mark.parametrize(
    ("packages", "source", "named", "trusted"),
    [
        # The kernel of this transaction came from nowhere else than this transaction says.
        ((RUNS, kernel(20, repo="extras", incoming=True)), "base", "", {"extras"}),
        ((RUNS, kernel(20, repo="extras", incoming=True)), "anaconda", "", {"extras"}),
        ((RUNS, kernel(20, repo="extras", incoming=True)), "base", "base", {"base", "extras"}),
        (
            (RUNS, kernel(20, repo="away", incoming=True), kernel(20, repo="base")),
            "base",
            "",
            {"away", "base"},
        ),
        ((RUNS, kernel(20, installed=True), kernel(20, repo="extras")), "", "", {"extras"}),
        ((RUNS, kernel(20, installed=True), kernel(20, repo="extras")), "base", "", {"base"}),
        # A kernel that is neither here nor on the way is judged as the running one.
        ((RUNS, OFFERED, kernel(20, repo="base")), "", "", {"extras"}),
        ((RUNS, kernel(30, repo="extras", incoming=True)), "base", "", {"base"}),
    ],
)
def test_each_kernel_has_its_own_origin(
    packages: tuple[Package, ...], source: str, named: str, trusted: set[str]
) -> None:
    found = facts(*packages, source=source, named=named)
    assert found.trust_in(OTHER).repositories == trusted


def test_what_comes_along_is_forgotten_with_the_next_resolve() -> None:
    found = facts(RUNS, kernel(20, repo="extras", incoming=True))
    assert found.trust_in(OTHER).origin == "extras" and found.trusted == {"base"}
    found.manager.packages.pop()  # type: ignore[attr-defined]
    found.refresh()
    assert found.trust_in(OTHER).origin == "base" and asked(found)["origin"] == 1


@pytest.mark.parametrize(
    ("source", "named", "why"),
    [
        ("base", "", f"kernel {RELEASE} came from base"),
        ("base", "extras-test", f"kernel {RELEASE} came from base"),
        ("", "", f"it is not known which repository kernel {RELEASE} came from, and extras does not offer"),
        ("anaconda", "", f"kernel {RELEASE} came from anaconda, which is not enabled, and extras does not"),
        (
            "away",
            "base",
            f"kernel {RELEASE} came from away, which is not enabled, and repos = does not name",
        ),
        ("", "base", f"which repository kernel {RELEASE} came from, and repos = does not name extras"),
    ],
)
def test_the_doubt_says_what_is_known_and_what_is_not(source: str, named: str, why: str) -> None:
    assert why in facts(RUNS, source=source, named=named).distrust(RELEASE, "extras")


@pytest.mark.parametrize(
    ("repository", "verified"), [("base", True), ("open", False), ("nowhere", False), ("away", True)]
)
def test_packages_are_verified_where_gpgcheck_is_on(repository: str, verified: bool) -> None:
    repos = (Repository("base"), Repository("open", gpgcheck=False), Repository("away", left_out=True))
    assert facts(RUNS, repos=repos).verified(repository) is verified


# --- the kernels ---


def test_the_running_kernel_and_the_repositories_are_asked_for_once() -> None:
    for packages, expected in (((RUNS,), RUNS), ((NEXT,), None)):
        found = facts(*packages)
        for _ in range(3):
            assert found.running == expected and found.repositories == list(REPOS)
            found.refresh()
        assert asked(found) == {"running_kernel": 1, "repositories": 1}


def test_the_kernels_are_asked_for_again_after_a_refresh() -> None:
    found = facts(
        RUNS, NEXT, kernel(30, repo="base")._replace(nevra=Nevra("bash", "0", "5", "1.el9", "x86_64"))
    )
    for times in (1, 2):
        assert list(found.kernels()) == list(found.kernels()) == [RUNS, NEXT]
        assert asked(found)["kernels"] == times
        found.refresh()


def test_an_unknown_kernel_has_no_names_and_no_packages() -> None:
    found = facts(NEXT)
    assert (found.kernel_names(), found.kernels(), found.releases()) == ((), (), (RELEASE,))
    assert "kernels" not in asked(found)


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("kernel-core", ("kernel-core", "kernel-uki-virt", "kernel")),
        ("kernel-modules-core", ("kernel-core", "kernel-uki-virt", "kernel", "kernel-modules-core")),
    ],
)
def test_the_names_of_the_kernel_begin_with_the_most_telling(name: str, names: tuple[str, ...]) -> None:
    running = RUNS._replace(nevra=RUNS.nevra._replace(name=name))
    assert facts(running).kernel_names() == names


def test_the_releases_are_those_of_the_packages_of_the_running_ones_name() -> None:
    other = kernel(30, repo="base")
    plain = other._replace(nevra=other.nevra._replace(name="kernel"))
    assert facts(plain, RUNS, NEXT).releases() == (RELEASE, OTHER)
    odd = RUNS._replace(nevra=RUNS.nevra._replace(name="vmlinux"))
    assert facts(odd).releases() == (RELEASE,), "no release can be read from that name"


def test_the_build_id_is_known_of_the_running_kernel_only() -> None:
    found = facts(RUNS)
    found.host.kernel = Kernel(RELEASE, "x86_64", "abcd")
    assert found.build_id(RELEASE) == "abcd" and found.build_id(OTHER) == ""


# --- the live patches ---


def test_what_is_for_another_kernel_is_looked_at_and_not_known() -> None:
    liar = NEW._replace(requires=("kernel-uname-r = 6.1-1.x86_64",))
    both = OLD._replace(provides=(f"livepatch(kernel-uname-r:{OTHER})", *OLD.provides))
    elsewhere = both._replace(nevra=both.nevra._replace(name="elsewhere"))
    found = facts(RUNS, elsewhere, both, liar)
    assert found.look(RELEASE) == [elsewhere, both, liar]
    assert [row.package for row in found.known(RELEASE)] == [elsewhere, both, liar]
    assert [row.match.kind for row in found.known(RELEASE)] == ["patch", "patch", "not-a-live-patch"]
    assert [row.match.kernel_release for row in found.known(RELEASE)] == [RELEASE, RELEASE, ""]
    assert [row.match.kernel_release for row in found.known(OTHER)] == [OTHER, OTHER]


def test_a_patch_that_the_lookup_finds_by_chance_is_not_known() -> None:
    class Wide(Manager):
        def live_patches(self, lookup: object) -> Sequence[Package]:
            return self.packages[1:]

    other = patch("3")._replace(provides=(f"livepatch(kernel-uname-r:{OTHER})",))
    found = Facts(Wide(RUNS, other, NEW), Machine())
    assert found.look(RELEASE) == [other, NEW]
    assert [row.package for row in found.known(RELEASE)] == [NEW]
    assert [row.package for row in found.known(OTHER)] == [other]


def test_a_patch_by_build_id_is_for_the_kernel_with_that_build_id() -> None:
    """One package of XCP-ng is for many kernels, each known by its build id."""

    def by_id(version: str, *ids: str) -> Package:
        base = "livepatch(component/kernel/base/5.14.0-10.xcpng8.3/to/5.14.0-20/base-buildid/"
        nevra = Nevra("kernel-livepatch", "0", version, "1.xcpng8.3", "x86_64")
        return Package(nevra, "base", provides=tuple(f"{base}{one})" for one in ids))

    mine, other = "ab" * 20, "cd" * 20
    packages = by_id("1", mine), by_id("2", other, mine), by_id("3", other)
    found = facts(RUNS, *packages)
    found.host.profiles = [rule for rule in profiles.load([TREE])[0] if rule.name == "xcp-ng"]
    found.host.kernel = Kernel(RELEASE, "x86_64", mine.upper())
    assert found.look(RELEASE) == list(packages)
    assert [(row.package, row.match.build_id) for row in found.known(RELEASE)] == [
        (packages[0], mine),
        (packages[1], mine),
    ]
    assert found.known(OTHER) == (), "the build id of another kernel is not known"


def test_the_live_patches_of_a_kernel_are_asked_for_again_after_a_refresh() -> None:
    found = facts(RUNS, NEW)
    question = f"live_patches livepatch(kernel-uname-r:{RELEASE})"
    for times in (1, 2):
        assert found.look(RELEASE) == [row.package for row in found.known(RELEASE)] == [NEW]
        assert asked(found)[question] == times
        found.refresh()


@pytest.mark.parametrize(
    ("one", "other", "order"),
    [
        (patch("2"), patch("1"), 1),
        (patch("1"), patch("2"), -1),
        (patch("2"), patch("2"), 0),
        (patch("2"), patch("1")._replace(build_time=99), 1),
    ],
)
def test_of_one_name_the_version_orders(one: Package, other: Package, order: int) -> None:
    assert facts(RUNS).newer(one, other) == order


@pytest.mark.parametrize(("change", "name"), [("name", "another"), ("arch", "aarch64")])
@pytest.mark.parametrize(("time", "order"), [(1, 1), (2, 0), (3, -1)])
def test_between_names_the_build_time_orders(change: str, name: str, time: int, order: int) -> None:
    other = patch("9")._replace(build_time=time)
    assert facts(RUNS).newer(NEW, other._replace(nevra=other.nevra._replace(**{change: name}))) == order


# --- the advisories ---


def listing(identifier: str, *builds: Package, kind: str = "security") -> Advisory:
    return Advisory(identifier, kind, "", "", "2026-11-01", (CVE,), tuple(one.nevra for one in builds))


def named(name: str, version: str = "2") -> Package:
    return patch(version)._replace(nevra=patch(version).nevra._replace(name=name))


def questions(found: Facts) -> list[str]:
    return [question for question in asked(found) if question.startswith("advisories")]


def test_a_flood_of_a_strangers_names_costs_trusted_ones_no_place() -> None:
    """Only so many names are asked for; the stranger's sort first."""
    found = facts(RUNS)
    flood = [named(f"a{number:03}")._replace(repo="stranger") for number in range(200)]
    honest = [named("z")._replace(repo="base"), named("y")._replace(installed=True)]
    rows = [listing("Z", named("z")), listing("Y", named("y"))]
    found.manager.rows = rows  # type: ignore[attr-defined]
    assert set(found.advisories([*flood, *honest])) == set(rows)


def test_each_name_is_asked_for_once_and_each_advisory_given_once() -> None:
    found = facts(RUNS)
    both, first, other = (
        listing("A", named("a"), named("b")),
        listing("B", named("a")),
        listing("C", named("c")),
    )
    found.manager.rows = [other, both, first]  # type: ignore[attr-defined]
    assert found.advisories([named("b"), named("a"), named("a", "1")]) == (both, first)
    assert found.advisories([named("a")]) == (both, first) and found.advisories([named("b")]) == (both,)
    assert questions(found) == ["advisories of a, any"]
    assert found.advisories([named("c"), named("d")]) == (other,)
    assert found.advisories([]) == () and found.advisories([named("d")]) == ()
    assert questions(found) == ["advisories of a, any", "advisories of c, any"]


def test_of_very_many_names_the_rest_is_read_with_the_next_question() -> None:
    found = facts(RUNS)
    many = [named(f"p{number:03}") for number in range(MAX_NAMES + 1)]
    rows = [listing(one.nevra.name, one) for one in many]
    found.manager.rows = rows  # type: ignore[attr-defined]
    assert found.advisories(many) == tuple(rows[:-1])
    assert found.advisories(many) == tuple(rows)


@pytest.mark.parametrize(("older", "ids"), [(False, ["B"]), (True, ["A", "B"])])
def test_the_advisories_that_list_a_build_or_an_earlier_one(older: bool, ids: list[str]) -> None:
    foreign = patch("2")._replace(nevra=patch("2").nevra._replace(arch="aarch64"))
    found = facts(RUNS)
    rows = [
        listing("A", patch("1")),
        listing("B", patch("2")),
        listing("C", patch("3")),
        listing("D", foreign),
    ]
    found.manager.rows = [*rows, listing("E", named("another"))]  # type: ignore[attr-defined]
    assert [row.id for row in found.listed(patch("2"), older)] == ids


def test_an_equal_build_in_another_spelling_is_no_later_one() -> None:
    found = facts(RUNS)
    found.manager.rows = [listing("A", patch("02"))]  # type: ignore[attr-defined]
    assert [row.id for row in found.listed(patch("2"), older=True)] == ["A"]


# --- the records ---


def recorded(**facts: bool) -> Repository:
    return Repository("base", has_record=True)._replace(**facts)


NOTE = KernelNote(support_end="2027-01-01")
RECORD = repository_record.dump(
    Record(kernels={RELEASE: NOTE, OTHER: NOTE._replace(support_end="2028-01-01")})
)


@pytest.mark.parametrize(
    ("repository", "notes"),
    [
        (recorded(), [Said("base", NOTE)]),
        (recorded(has_record=False), []),
        (recorded(left_out=True), []),
        (recorded()._replace(id="copr"), []),
    ],
    ids=["trusted", "without a record", "left out", "not trusted"],
)
def test_only_records_of_trusted_repositories_are_read(repository: Repository, notes: list[Said]) -> None:
    manager = Manager(RUNS, repos=[repository], record=RECORD)
    found = Facts(manager, Machine())
    assert found.notes([RELEASE]) == {RELEASE: notes}
    assert manager.asked["record"] == len(notes)


def test_every_trusted_record_counts_and_is_read_once_for_a_kernel() -> None:
    manager = Manager(RUNS, repos=[recorded(), recorded()._replace(id="extras")], record=RECORD)
    found = Facts(manager, Machine(Config(repos=("extras",))))
    both = {RELEASE: [Said(name, NOTE) for name in ("base", "extras")]}
    assert found.notes([RELEASE]) == both == found.notes([RELEASE])
    assert manager.asked["record"] == 2
    assert [said.note.support_end for said in found.notes([RELEASE, OTHER])[OTHER]] == ["2028-01-01"] * 2
    assert len(found.notes([RELEASE])[RELEASE]) == 2 and manager.asked["record"] == 4


@pytest.mark.parametrize(
    ("fault", "why"), [(OSError("no answer"), "no answer"), (MemoryError("it is large"), "it is large")]
)
def test_a_broken_record_is_told_and_the_next_one_read(fault: BaseException, why: str) -> None:
    class Broken(Manager):
        def record(self, repository: str, releases: Container[str]) -> str:
            if repository == "base":
                raise fault
            return RECORD

    repos = [recorded(), recorded()._replace(id="extras")]
    found = Facts(Broken(RUNS, repos=repos), Machine(Config(repos=("extras",))))
    assert found.notes([RELEASE]) == {RELEASE: [Said("extras", NOTE)]}
    assert [problem.id for problem in found.problems] == ["record-broken"]
    text = f"The livepatch record of repository base cannot be used ({why});"
    text += " its withdrawals and roll-outs are unknown."
    assert found.problems[0].text == text
