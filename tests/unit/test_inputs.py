# SPDX-License-Identifier: GPL-2.0-or-later
"""The repositories' knowledge of a kernel: from advisories, records and profiles to ``Inputs``."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

import pytest

from dnf_plugin_livepatch.base.config import Config
from dnf_plugin_livepatch.base.model import (
    EXACT,
    LOWER_BOUND,
    UNKNOWN,
    Advisory,
    Kernel,
    Nevra,
    Unfixable,
)
from dnf_plugin_livepatch.exposure.compute import Inputs, OnOffer
from dnf_plugin_livepatch.formats import repository_record
from dnf_plugin_livepatch.formats.repository_record import KernelNote, Record
from dnf_plugin_livepatch.planning import inputs
from dnf_plugin_livepatch.planning.facts import Facts
from dnf_plugin_livepatch.planning.interface import Package, Repository
from dnf_plugin_livepatch.vendors import profiles
from dnf_plugin_livepatch.vendors.profiles import Lookup, Profile
from tests.unit.support.planned import (
    BASE,
    CVE,
    DEBT,
    GENERIC,
    HERE,
    NEW,
    NEXT,
    NOW,
    OLD,
    RELEASE,
    RUNS,
    TREE,
    Machine,
    Manager,
    advisory,
    kernel,
    patch,
)


def release(build: int) -> str:
    return f"5.14.0-{build}.el9.x86_64"


def facts(*packages: Package, repos: Sequence[Repository] = (BASE,), record: str = "") -> Facts:
    manager = Manager(*packages, repos=repos, record=record)
    return Facts(manager, Machine(Config(repos=("extras",))))


def test_without_a_package_of_the_running_kernel_nothing_is_known() -> None:
    reason = "no installed package owns the running kernel"
    assert inputs.read(facts(NEXT)) == (Inputs(RELEASE, reason=reason, read_in_vain=NOW),)


@pytest.mark.parametrize("repository", [Repository("base"), BASE._replace(left_out=True)])
def test_without_advisories_only_the_package_is_known(repository: Repository) -> None:
    reason = "no enabled repository carries advisories (updateinfo)"
    known = Inputs(RELEASE, HERE, UNKNOWN, reason, read_in_vain=NOW)
    assert inputs.read(facts(RUNS, repos=[repository])) == (known,)


def test_the_inputs_of_the_running_kernel() -> None:
    later = BASE._replace(id="extras", revision="9", read_at="2026-11-22T13:00:00Z")
    silent = Repository("silent", revision="1", read_at="2026-01-01T00:00:00Z")
    assert inputs.read(facts(RUNS, NEXT, NEW, repos=[later, BASE, silent])) == (
        Inputs(
            RELEASE,
            HERE,
            EXACT,
            "",
            NOW,
            (("extras", "9"), ("base", "7")),
            (DEBT,),
            ((str(NEW.nevra), ()),),
            on_offer=OnOffer(NEXT.nevra.evr, "", str(NEW.nevra), builds=(str(NEW.nevra),)),
        ),
        Inputs(
            release(20), "kernel-core-5.14.0-20.el9.x86_64", EXACT, "", NOW, (("extras", "9"), ("base", "7"))
        ),
    )


def kept_out(words: str) -> OnOffer:
    return OnOffer(kept=str(NEW.nevra), why=f"Live patch {NEW.nevra} {words}")


@pytest.mark.parametrize(
    ("packages", "mode", "cannot", "found"),
    [
        ((RUNS,), "load", "", OnOffer()),
        ((RUNS, kernel(5, repo="base")), "load", "", OnOffer()),
        ((RUNS, kernel(30, repo="base", visible=False)), "load", "", OnOffer("", "5.14.0-30.el9")),
        (
            (RUNS, NEXT, kernel(30, repo="base", visible=False)),
            "load",
            "",
            OnOffer("5.14.0-20.el9", "5.14.0-30.el9"),
        ),
        ((RUNS, kernel(20, installed=True)), "load", "", OnOffer()),
        ((RUNS, NEW), "load", "", OnOffer("", "", str(NEW.nevra), builds=(str(NEW.nevra),))),
        (
            (RUNS, NEW),
            "report",
            "",
            kept_out("is offered by repository base; mode = report, so it is not added.")._replace(
                builds=(str(NEW.nevra),)
            ),
        ),
        ((RUNS, NEW), "load", "this is a container", kept_out("is not added: this is a container.")),
        (
            (RUNS, NEW._replace(repo="copr")),
            "load",
            "",
            kept_out(
                "is not added: repository copr is not trusted with kernel code: kernel 5.14.0-10.el9.x86_64"
                " came from base."
            ),
        ),
        (
            (RUNS, kernel(20, repo="base", outranked="vip")),
            "load",
            "",
            OnOffer("", NEXT.nevra.evr, prefers="vip"),
        ),
        (
            (RUNS, NEXT, kernel(90, repo="copr", visible=False)),
            "load",
            "",
            OnOffer(NEXT.nevra.evr),
        ),
        (
            (RUNS, kernel(30, repo="base", visible=False), kernel(90, repo="copr", outranked="base")),
            "load",
            "",
            OnOffer("", "5.14.0-30.el9"),
        ),
        ((RUNS, kernel(90, repo="copr")), "load", "", OnOffer("5.14.0-90.el9")),
        ((RUNS, NEW._replace(installed=True, repo="")), "load", "", OnOffer()),
    ],
)
def test_what_an_upgrade_may_install(
    packages: tuple[Package, ...], mode: str, cannot: str, found: OnOffer
) -> None:
    host = Machine(Config(mode=mode), cannot)
    assert inputs.read(Facts(Manager(*packages), host))[0].on_offer == found


@pytest.mark.parametrize(
    ("repo", "facts_of", "quality"),
    [
        ("copr", {"visible": False}, EXACT),
        ("copr", {"outranked": "base"}, EXACT),
        ("base", {"visible": False}, LOWER_BOUND),
        ("copr", {}, LOWER_BOUND),
    ],
)
def test_a_kernel_that_dnf_does_not_take_counts_only_where_its_repository_is_trusted(
    repo: str, facts_of: dict[str, Any], quality: str
) -> None:
    found = facts(RUNS, NEXT, kernel(90, repo=repo, **facts_of))
    assert inputs.read(found)[0].quality == quality


def test_repositories_pinned_to_a_release_are_a_lower_bound() -> None:
    found = facts(RUNS, NEXT)
    found.manager.pinned = "2023.8"  # type: ignore[misc]
    first, _ = inputs.read(found)
    assert (first.quality, first.reason) == (LOWER_BOUND, "the repositories are locked to release 2023.8")


# --- kernels that may be booted next ---


@pytest.mark.parametrize(
    ("installed", "offered", "builds"),
    [
        ((), (), [10]),
        ((), (20,), [10, 20]),
        ((), (11,), [10, 11]),
        ((), (20, 30), [10, 30]),
        ((), (20, 100), [10, 100]),
        ((20,), (100,), [10, 100, 20]),
        ((20, 30), (), [10, 30, 20]),
        ((20, 30), (40,), [10, 40, 30]),
        ((5,), (7,), [10]),
    ],
)
def test_the_running_kernel_comes_first_and_then_the_two_newest(
    installed: tuple[int, ...], offered: tuple[int, ...], builds: list[int]
) -> None:
    packages = [kernel(build, installed=True) for build in installed]
    packages += [kernel(build, repo="base") for build in offered]
    found = inputs.read(facts(RUNS, *packages))
    assert [one.kernel_release for one in found] == [release(build) for build in builds]
    assert [one.kernel_package for one in found] == [str(kernel(build).nevra) for build in builds]


def test_a_kernel_without_an_advisory_makes_the_debt_a_lower_bound() -> None:
    first = inputs.read(facts(RUNS, kernel(30, repo="base")))[0]
    assert (first.quality, first.reason) == (LOWER_BOUND, "kernel 5.14.0-30.el9 has no advisory")


# --- the names of one kernel ---


def renamed(package: Package, name: str) -> Package:
    return package._replace(nevra=package.nevra._replace(name=name))


def test_advisories_for_any_name_of_the_running_build_count() -> None:
    plain = renamed(RUNS, "kernel")._replace(build_time=86400)
    found = facts(
        renamed(RUNS, "kernel-modules-core"), plain, renamed(kernel(5, installed=True), "kernel-core")
    )
    rows = [
        Advisory(
            "K", "security", "Low", "2026-11-02", "", ("CVE-2026-1",), (renamed(NEXT, "kernel").nevra,)
        ),
        Advisory("C", "security", "", "", "", ("CVE-2026-2",), (NEXT.nevra, renamed(NEXT, "kernel").nevra)),
        Advisory("B", "security", "", "", "", ("CVE-2026-3",), (renamed(NEXT, "bash").nevra,)),
    ]
    found.manager.rows = rows  # type: ignore[attr-defined]
    (first,) = inputs.read(found)
    assert first.kernel_package == "kernel-5.14.0-10.el9.x86_64"
    assert [row.cve for row in first.debt] == ["CVE-2026-1", "CVE-2026-2"]


def test_the_builds_of_an_advisory_go_by_the_first_name() -> None:
    siblings = [renamed(RUNS, "kernel-core"), renamed(RUNS, "kernel")]
    found = facts(*siblings)
    twice = advisory(20, CVE)._replace(packages=(renamed(NEXT, "kernel").nevra, NEXT.nevra, RUNS.nevra))
    found.manager.rows = [twice]  # type: ignore[attr-defined]
    rows = inputs.family_advisories(found, siblings)
    assert rows == [twice._replace(packages=(RUNS.nevra, NEXT.nevra))]


def test_of_the_names_of_a_build_the_most_telling_counts() -> None:
    assert inputs.read(facts(renamed(RUNS, "kernel"), RUNS))[0].kernel_package == HERE


def test_a_package_manager_that_lists_no_kernel_leaves_the_running_one() -> None:
    class Bare(Manager):
        def kernels(self, names: Sequence[str], arch: str) -> Sequence[Package]:
            return ()

    (found,) = inputs.read(Facts(Bare(RUNS, NEXT, repos=[BASE]), Machine()))
    assert (found.kernel_package, found.debt) == (HERE, (DEBT,))


def test_a_kernel_that_no_name_tells_goes_by_the_package_that_owns_it() -> None:
    odd = renamed(RUNS, "vmlinux")
    found = facts(odd, renamed(RUNS, "kernel-core")._replace(installed=False, repo="base"))
    assert inputs.read(found)[0].kernel_package == "vmlinux-5.14.0-10.el9.x86_64"


@pytest.mark.parametrize(
    ("evr", "built"),
    [
        ("5.14.0-10.el9", ("0", "5.14.0", "10.el9")),
        ("1:6.12.40-64.amzn2023", ("1", "6.12.40", "64.amzn2023")),
        ("0:5-1", ("0", "5", "1")),
    ],
)
def test_the_build_of_an_evr(evr: str, built: tuple[str, str, str]) -> None:
    assert inputs.build("kernel", evr, "x86_64") == Nevra("kernel", *built, "x86_64")


# --- the live patches ---


def closing(version: str, *cves: str) -> Advisory:
    return Advisory("P-" + version, "security", "", "", "", cves, (patch(version).nevra,))


def test_each_build_of_a_live_patch_covers_its_own_and_earlier_advisories() -> None:
    liar = patch("9")._replace(requires=("kernel-uname-r = 6.1-1.x86_64",), repo="base")
    liar = renamed(liar, "liar")
    found = facts(RUNS, NEXT, OLD, NEW, liar)
    rows = [advisory(10), advisory(20, CVE), closing("2", CVE), closing("1", "CVE-2026-1")]
    found.manager.rows = [*rows, rows[2]._replace(id="L", packages=(liar.nevra,))]  # type: ignore[attr-defined]
    first, other = inputs.read(found)
    assert first.cover == ((str(OLD.nevra), ("CVE-2026-1",)), (str(NEW.nevra), ("CVE-2026-1", CVE)))
    assert other.cover == ()


def test_the_running_release_need_not_be_that_of_its_package() -> None:
    """XCP-ng's kernels all report one release, and its patches are marked with a build id."""
    mine, runs = "ab" * 20, "5.14.0+1"
    (rule,) = (rule for rule in profiles.load([TREE])[0] if rule.name == "xcp-ng")
    capability = f"livepatch(component/kernel/base/5.14.0-10.xcpng8.3/to/5.14.0-20/base-buildid/{mine})"
    nevra = Nevra("kernel-livepatch", "0", "1", "1.xcpng8.3", "x86_64")
    offered = Package(nevra, "base", provides=(capability,))

    class ByBuildId(Manager):
        release = runs

        def live_patches(self, lookup: Lookup) -> Sequence[Package]:
            return [offered] if nevra.name in lookup.names else []

    found = Facts(ByBuildId(RUNS, NEXT, repos=[BASE]), Machine())
    found.host.profiles = [*GENERIC, rule]
    found.host.kernel = Kernel(runs, "x86_64", mine)
    first, other = inputs.read(found)
    assert (first.kernel_release, first.kernel_package) == (runs, HERE)
    assert first.cover == ((str(offered.nevra), ()),) and other.cover == ()


HOT = """<updates><update type="security"><id>H-1</id><issued date="2026-11-03"/>
<references><reference id="CVE-2026-7000"/></references>
<hot_patch_collection><package name="hot-5.14.0-10.el9" version="1" release="1.el9" arch="x86_64"/>
<package name="kpatch-patch-5_14_0-10" version="1" release="2.el9" arch="x86_64"/>
</hot_patch_collection></update></updates>"""


@pytest.mark.parametrize(
    ("source", "repository", "cves"),
    [
        ("hot-updateinfo", BASE, ("CVE-2026-7000",)),
        ("updateinfo", BASE, ()),
        ("hot-updateinfo", BASE._replace(has_advisories=False), ()),
        ("hot-updateinfo", BASE._replace(left_out=True), ()),
    ],
)
def test_hot_patches_are_read_where_a_profile_says_so(
    source: str, repository: Repository, cves: tuple[str, ...]
) -> None:
    hot = Package(Nevra("hot-5.14.0-10.el9", "0", "1", "1.el9", "x86_64"), "base")
    rule = Profile("hot", "Hot", kernel="{kver}-{krel}{dist}.{arch}", names=("hot-{kver}-{krel}{dist}",))
    found = facts(RUNS, hot, NEW, repos=[BASE._replace(id="plain"), repository, BASE._replace(id="last")])
    found.host.profiles = [*GENERIC, rule._replace(cves=("manifest", source))]
    found.manager.updates = {"plain": "<updates/>", "base": HOT, "last": "<updates/>"}  # type: ignore[attr-defined]
    assert inputs.read(found)[0].cover == ((str(hot.nevra), cves), (str(NEW.nevra), ()))


@pytest.mark.parametrize("fault", [FileNotFoundError(2, "gone"), OSError("it cannot be unpacked")])
def test_a_repository_whose_updateinfo_cannot_be_read_costs_only_its_own_hot_patches(fault: OSError) -> None:
    hot = Package(Nevra("hot-5.14.0-10.el9", "0", "1", "1.el9", "x86_64"), "base")
    rule = Profile("hot", "Hot", kernel="{kver}-{krel}{dist}.{arch}", names=("hot-{kver}-{krel}{dist}",))

    class Broken(Manager):
        def updateinfo(self, repository: str) -> str:
            if repository == "base":
                return HOT
            raise fault

    broken = BASE._replace(id="extras")
    found = Facts(Broken(RUNS, hot, NEW, repos=[broken, BASE]), Machine(Config(repos=("extras",))))
    found.host.profiles = [*GENERIC, rule._replace(cves=("manifest", "hot-updateinfo"))]
    assert inputs.read(found)[0].cover == ((str(hot.nevra), ("CVE-2026-7000",)), (str(NEW.nevra), ()))


def test_no_updateinfo_is_read_as_text_where_no_hot_patch_is_offered() -> None:
    found = facts(RUNS, NEW)
    found.host.profiles = [*GENERIC, Profile("hot", "Hot", names=("hot",), cves=("hot-updateinfo",))]
    assert inputs.read(found)[0].cover == ((str(NEW.nevra), ()),), "the stand-in has no text to read"


# --- the records ---

NEVER, EVER = Unfixable("CVE-2026-8000", "it changes data"), Unfixable("CVE-2026-9000", "it is in asm")


def test_the_records_of_each_kernel_are_joined() -> None:
    kernels = {
        RELEASE: KernelNote("2027-01-01", (NEVER, EVER, NEVER)),
        release(20): KernelNote("2028-01-01", (EVER,)),
        release(5): KernelNote("2029-01-01"),
    }
    record = repository_record.dump(Record(kernels=kernels))
    repos = [BASE._replace(has_record=True), BASE._replace(id="extras", has_record=True)]
    first, other = inputs.read(facts(RUNS, NEXT, repos=repos, record=record))
    assert (first.support_end, first.unfixable) == ("2027-01-01", (NEVER, EVER))
    assert (other.support_end, other.unfixable) == ("2028-01-01", (EVER,))


def test_of_two_ends_of_support_the_later_counts() -> None:
    class Two(Manager):
        def record(self, repository: str, releases: Container[str]) -> str:
            ends = {"base": "2027-01-01", "extras": "2026-12-01"}
            return repository_record.dump(Record(kernels={RELEASE: KernelNote(ends[repository])}))

    repos = [BASE._replace(has_record=True), BASE._replace(id="extras", has_record=True)]
    found = Facts(Two(RUNS, repos=repos), Machine(Config(repos=("extras",))))
    assert inputs.read(found)[0].support_end == "2027-01-01"


# --- the vendor's window ---

DAY = 86400


@pytest.mark.parametrize(
    ("days", "built", "patches", "end"),
    [
        ((30,), DAY, (NEW,), "1970-02-01"),
        ((30, 60), DAY, (NEW,), "1970-02-01"),
        ((30,), DAY, (OLD, NEW), "1970-02-01"),
        ((30,), 3 * DAY - 1, (NEW,), "1970-02-02"),
        ((0, 60), DAY, (NEW,), ""),
        ((30,), DAY, (), ""),
        ((30,), 0, (NEW,), ""),
        ((0,), DAY, (NEW,), ""),
    ],
)
def test_the_window_begins_when_the_running_kernel_was_built(
    days: tuple[int, ...], built: int, patches: tuple[Package, ...], end: str
) -> None:
    found = facts(RUNS._replace(build_time=built), NEXT._replace(build_time=9 * DAY), *patches)
    others = [Profile(f"other-{number}", "Other", support_days=number) for number in days[1:]]
    found.host.profiles = [GENERIC[0]._replace(support_days=days[0]), *others]
    first, other = inputs.read(found)
    assert first.window_end == end and other.window_end == ""


def test_of_two_windows_the_longer_counts() -> None:
    second = Profile("second", "Second", support_days=60, provides=("second = {release}",))
    other = Package(Nevra("second", "0", "1", "1.el9", "x86_64"), "base", provides=(f"second = {RELEASE}",))
    found = facts(RUNS._replace(build_time=DAY), NEW, other)
    found.host.profiles = [GENERIC[0]._replace(support_days=30), second]
    assert inputs.read(found)[0].window_end == "1970-03-03"
    found = facts(RUNS._replace(build_time=DAY), NEW, other)
    found.host.profiles = [GENERIC[0]._replace(support_days=30), second._replace(support_days=0)]
    assert inputs.read(found)[0].window_end == "1970-02-01"


# --- repositories that are left out ---


@pytest.mark.parametrize(
    ("known", "left_out"),
    [(None, ("a", "b")), (("b", "c", "base", "strange"), ("b",)), (("strange",), ()), ((), ())],
)
def test_a_repository_is_missed_that_had_advisories_before(
    known: tuple[str, ...] | None, left_out: tuple[str, ...]
) -> None:
    repos = [BASE, *(Repository(name, left_out=True) for name in ("b", "a", "strange"))]
    host = Machine(Config(repos=("a", "b")))
    assert inputs.left_out(Facts(Manager(RUNS, repos=repos), host), known) == left_out
