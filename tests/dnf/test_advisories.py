# SPDX-License-Identifier: GPL-2.0-or-later
"""Real DNF metadata into exposure inputs: kernel families, broken references, missing updateinfo."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from dnf_plugin_livepatch.base.model import EXACT, LOWER_BOUND, REBOOT_ONLY, UNKNOWN, Kernel
from dnf_plugin_livepatch.base.paths import Paths
from dnf_plugin_livepatch.exposure import compute
from dnf_plugin_livepatch.host.files import advisories
from dnf_plugin_livepatch.planning import inputs
from tests.dnf.support import rpms
from tests.dnf.support.installroot import Machine
from tests.dnf.support.lab import Update
from tests.dnf.support.reading import facts, inputs_of
from tests.dnf.support.rpms import Rpm

# name of the package that runs, version, releases of the running and the fixed build, uname -r suffix
FAMILIES = {
    "core": ("kernel-core", "5.14.0", "10.el9_4", "20.el9_4", ".x86_64"),
    "meta": ("kernel", "6.6.0", "72.oe2403sp1", "73.oe2403sp1", ".x86_64"),
    "rt": ("kernel-rt-core", "5.14.0", "10.el9_4", "20.el9_4", ".x86_64+rt"),
    "64k": ("kernel-64k-core", "5.14.0", "10.el9_4", "20.el9_4", ".x86_64+64k"),
    "debug": ("kernel-debug-core", "5.14.0", "10.el9_4", "20.el9_4", ".x86_64+debug"),
    "uek": ("kernel-uek-core", "5.15.0", "10.el9uek", "20.el9uek", ".x86_64"),
    "amazon": ("kernel6.12", "6.12.40", "64.amzn2023", "65.amzn2023", ".x86_64"),
    "ml": ("kernel-ml-core", "6.12.1", "1.el9.elrepo", "2.el9.elrepo", ".x86_64"),
    "lt": ("kernel-lt-core", "6.1.1", "1.el9.elrepo", "2.el9.elrepo", ".x86_64"),
}


def of(family: str, build: int) -> Rpm:
    name, version, old, new, suffix = FAMILIES[family]
    release = (old, new)[build]
    capability = "kernel-lt-uname-r" if family == "lt" else "kernel-uname-r"  # as ELRepo's
    return Rpm(name, version, release, (f"{capability} = {version}-{release}{suffix}",))


def running(family: str) -> Kernel:
    _, version, release, _, suffix = FAMILIES[family]
    return Kernel(f"{version}-{release}{suffix}", "x86_64", "", "", True)


STRAYS = (Rpm("kernel-modules-core", "5.14.0", "10.el9_4"), Rpm("kernel", "5.14.0", "10.el9_4"))
PATCHES = tuple(rpms.patch(10, version) for version in ("1-1", "1-2"))
DISTRO = Rpm("distribution-release", "9", "1", ("system-release = 9",))
LEAP = Rpm("leap-release", "15.6", "1", ("system-release = 15.6",))
OTHER_FIX = Rpm("kernel", "5.14.0", "20.el9_4")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("advisories")
    kernels = [of(family, build) for family in FAMILIES for build in (0, 1)]
    return rpms.build(str(folder), [*kernels, *STRAYS, OTHER_FIX, DISTRO, LEAP, rpms.kernel(10), *PATCHES])


@pytest.fixture
def machine(tmp_path: Any, built: dict[str, str]) -> Iterator[Machine]:
    made = Machine(str(tmp_path), built)
    yield made
    for base in made.bases:
        base.close()


def fix(family: str, *cves: str, identifier: str = "A-2", **more: Any) -> Update:
    return Update(identifier, (of(family, 1),), cves, **more)


def own(family: str) -> Update:
    return Update("A-1", (of(family, 0),), ("CVE-2026-1",), type="bugfix")


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_kernel_family(machine: Machine, family: str) -> None:
    machine.install(of(family, 0))
    other = next(name for name in FAMILIES if FAMILIES[name][0] != FAMILIES[family][0])
    machine.repo(
        [of(family, 1), of(other, 1)],
        [
            own(family),
            fix(family, "CVE-2026-2000", "CVE-2026-2001"),
            fix(other, "CVE-2026-9999", identifier="B"),
        ],
    )
    found = inputs_of(machine.base(), running(family))
    assert [row.cve for row in found.debt] == ["CVE-2026-2000", "CVE-2026-2001"]
    assert {(row.advisory, row.severity, row.date_kind) for row in found.debt} == {
        ("A-2", "Important", "updated")
    }
    assert (found.quality, found.kernel_package) == (EXACT, str(of(family, 0)))
    assert found.repositories[0][0] == "repo0" and found.as_of


def test_the_kernel_that_may_be_booted_next_is_known_too(machine: Machine) -> None:
    machine.install(of("rt", 0), of("rt", 1))
    machine.repo([of("rt", 1)], [own("rt"), fix("rt", "CVE-2026-2000")])
    first, second = inputs.read(facts(machine.base(), running("rt")))
    assert (first.kernel_release, second.kernel_release) == (
        "5.14.0-10.el9_4.x86_64+rt",
        "5.14.0-20.el9_4.x86_64+rt",
    )
    assert [row.cve for row in first.debt] == ["CVE-2026-2000"], "also when the newer one is installed"
    assert (second.debt, second.quality) == ((), EXACT)


def test_an_advisory_that_lists_only_the_meta_package_counts(machine: Machine) -> None:
    machine.install(of("core", 0), *STRAYS)
    machine.repo([of("core", 1), OTHER_FIX], [own("core"), Update("A-2", (OTHER_FIX,), ("CVE-2026-2000",))])
    found = inputs_of(machine.base(), running("core"))
    assert [row.cve for row in found.debt] == ["CVE-2026-2000"] and found.quality == EXACT


def test_copies_in_two_repositories_are_one_advisory(machine: Machine) -> None:
    machine.install(of("core", 0))
    for cve in ("CVE-2026-2000", "CVE-2026-2001"):
        machine.repo([of("core", 1)], [own("core"), fix("core", cve)])
    found = inputs_of(machine.base(), running("core"))
    assert [(row.cve, row.advisory) for row in found.debt] == [
        ("CVE-2026-2000", "A-2"),
        ("CVE-2026-2001", "A-2"),
    ]


def test_nothing_known_is_never_zero(machine: Machine) -> None:
    kernel = running("core")
    assert inputs_of(machine.base(), kernel).reason == "no installed package owns the running kernel"
    machine.install(of("core", 0))
    assert "updateinfo" in inputs_of(machine.base(), kernel).reason
    path = f"{machine.folder}/bare"
    os.makedirs(path)
    subprocess.run(["createrepo_c", "--quiet", path], check=True, capture_output=True)
    machine.repos.append(("bare", path))
    stream = inputs_of(machine.base(), kernel)
    assert (stream.quality, stream.debt) == (UNKNOWN, ()) and "updateinfo" in stream.reason


def test_pruned_and_locked_repositories(machine: Machine) -> None:
    machine.install(of("core", 0))
    machine.repo([of("core", 1)], [fix("core", "CVE-2026-2000")])
    pruned = inputs_of(machine.base(), running("core"))
    assert pruned.quality == LOWER_BOUND and "earlier ones may be missing" in pruned.reason
    locked = inputs_of(machine.base(releasever="2023.8.20250721"), running("core"))
    assert "locked to release 2023.8.20250721" in locked.reason


def test_a_pinned_minor_release_proves_nothing(machine: Machine) -> None:
    machine.install(of("core", 0), DISTRO)
    machine.repo([of("core", 0)], [own("core")])
    assert inputs_of(machine.base(releasever="9"), running("core")).quality == EXACT
    pinned = inputs_of(machine.base(releasever="9.4"), running("core"))
    assert (pinned.quality, pinned.reason) == (
        UNKNOWN,
        "the repositories are locked to release 9.4",
    )


def test_a_distribution_that_counts_so_itself_is_not_pinned(machine: Machine) -> None:
    machine.install(of("core", 0), LEAP)
    machine.repo([of("core", 0)], [own("core")])
    assert inputs_of(machine.base(releasever="15.6"), running("core")).quality == EXACT


def test_a_newer_kernel_without_an_advisory(machine: Machine) -> None:
    machine.install(of("core", 0))
    machine.repo([of("core", 1)], [own("core")])
    found = inputs_of(machine.base(), running("core"))
    assert found.quality == UNKNOWN and "5.14.0-20.el9_4 has no advisory" in found.reason


REFERENCES = """
<reference href="x" type="cve" title="no id"/>
<reference href="x" id="" type="cve" title="empty"/>
<reference href="x" id="CVE-2026-2000" type="cve" title="good"/>
<reference href="x" id="cve-2026-2001" type="bugzilla" title="another type, lower case"/>
<reference href="x" id="CVE-2026-2002" title="no type"/>
<reference href="x" id="CVE-2026-2003\n" type="cve" title="space"/>
<reference href="x" id="CVE-2026-x; rm -rf" type="cve" title="no CVE"/>
<reference href="x" id="12345" type="bugzilla" title="a bug"/>
"""


def raw(references: str, kind: str = "security", date: str = "2026-11-01 00:00:00", body: str = "") -> str:
    package = of("core", 1)
    listed = body or (
        f'<package name="{package.name}" version="{package.version}" release="{package.release}" epoch="0"'
        f' arch="x86_64"><filename>f.rpm</filename></package>'
    )
    return (
        '<?xml version="1.0"?><updates>'
        f'<update from="x" status="final" type="{kind}" version="1"><id>A-2</id><title>t</title>'
        f'<issued date="{date}"/><updated date="{date}"/><references>{references}</references>'
        f'<pkglist><collection short="c"><name>c</name>{listed}</collection></pkglist></update></updates>'
    )


@pytest.mark.parametrize("kind", ["security", "Security", ""])
def test_broken_references_and_types(machine: Machine, kind: str) -> None:
    machine.install(of("core", 0))
    machine.repo([of("core", 1)], text=raw(REFERENCES, kind))
    found = inputs_of(machine.base(), running("core"))
    assert [row.cve for row in found.debt] == [f"CVE-2026-200{n}" for n in range(4)]


@pytest.mark.parametrize(
    "text",
    [
        raw('<reference href="x" id="CVE-2026-2000" type="cve"/>', date="not a date"),
        raw('<reference href="x" id="CVE-2026-2000" type="cve"/>', date="99999999999999999999"),
        raw('<reference href="x" id="CVE-2026-2000" type="cve"/>').replace(
            "<title>t</title>", "<title>\x7f\u202e</title>"
        ),
    ],
)
def test_strange_dates_and_titles(machine: Machine, text: str) -> None:
    machine.install(of("core", 0))
    machine.repo([of("core", 1)], text=text)
    found = inputs_of(machine.base(), running("core"))
    assert [row.cve for row in found.debt] == ["CVE-2026-2000"]
    assert advisories.parse(advisories.dump(found)) == (found,), "what is read can be remembered"


def test_an_advisory_without_packages_or_with_broken_ones(machine: Machine) -> None:
    machine.install(of("core", 0))
    machine.repo([of("core", 1)], text=raw("", body='<package name="kernel-core" arch="x86_64"/><package/>'))
    assert inputs_of(machine.base(), running("core")).quality == UNKNOWN


def test_what_live_patches_cover(machine: Machine) -> None:
    machine.install(rpms.kernel(10), PATCHES[0])
    machine.repo(
        PATCHES,
        [Update("L-1", (PATCHES[0],), ("CVE-2026-2000",)), Update("L-2", (PATCHES[1],), ("CVE-2026-2001",))],
    )
    found = inputs_of(machine.base(), Kernel(rpms.release(10), "x86_64"))
    assert dict(found.cover) == {
        str(PATCHES[0]): ("CVE-2026-2000",),
        str(PATCHES[1]): ("CVE-2026-2000", "CVE-2026-2001"),
    }


def test_the_livepatch_record(machine: Machine, tmp_path: Any) -> None:
    """Its support end and unfixable CVEs come through DNF's own metadata, from trusted repositories only."""
    machine.install(of("core", 0))
    path = machine.repo([of("core", 1)], [own("core"), fix("core", "CVE-2026-2000")])
    never = [{"cve": "CVE-2026-2000", "reason": "changes a struct"}]
    note = {"support_end": "2027-01-31", "unfixable": never}
    text = json.dumps({"schema": 1, "kernels": {running("core").release: note}})
    (tmp_path / "livepatch.json.gz").write_bytes(gzip.compress(text.encode()))
    command = ["modifyrepo_c", "--mdtype=livepatch", str(tmp_path / "livepatch.json.gz"), path + "/repodata"]
    subprocess.run(command, check=True, capture_output=True)
    base = machine.base()
    found = inputs_of(base, running("core"))
    assert found.support_end == "2027-01-31"
    (row,) = compute.compute(found, ()).rows
    assert (row.state, row.reason) == (REBOOT_ONLY, "changes a struct")
    assert inputs_of(base, running("core"), frozenset()).support_end == ""


def test_ten_thousand_advisories(machine: Machine, tmp_path: Any) -> None:
    machine.install(of("core", 0))
    one = raw('<reference href="x" id="CVE-2026-{n}" type="cve"/>')
    head, update, tail = (
        one.partition("<update ")[0],
        one[one.index("<update ") : one.index("</updates>")],
        "</updates>",
    )
    bodies = [
        update.replace("A-2", f"A-{n}")
        .replace("{n}", str(100000 + n))
        .replace("20.el9_4", f"{n + 11}.el9_4")
        for n in range(10000)
    ]
    machine.repo([of("core", 1)], text=head + "".join(bodies) + tail)
    found = inputs_of(machine.base(), running("core"))
    assert len(found.debt) == 10000 and found.quality == LOWER_BOUND
    assert advisories.save(Paths(str(tmp_path)), found)
    assert advisories.load(Paths(str(tmp_path)), found.kernel_release) == (found, "")
