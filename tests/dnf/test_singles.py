# SPDX-License-Identifier: GPL-2.0-or-later
"""Single and cumulative hot patches under the real DNF and the real reconcile; syscare is a stand-in.

openEuler has both: an ACC contains all patches before it, each SGL is a patch of its own.
"""

from __future__ import annotations

import os
import shutil

import pytest

from dnf_plugin_livepatch.base.model import Nevra
from dnf_plugin_livepatch.planning import choose
from dnf_plugin_livepatch.planning.interface import Package
from dnf_plugin_livepatch.planning.policy import Target
from dnf_plugin_livepatch.planning.survey import Survey
from tests.dnf.support import vendors
from tests.dnf.support.lab import SOURCE, Host, lines, shared, unharmed
from tests.dnf.support.rpms import Rpm

CVES = {"A": "CVE-2024-1001", "B": "CVE-2024-1002", "C": "CVE-2024-1003", "D": "CVE-2024-1004"}
KERNEL, STEM = vendors.OPENEULER.kernel, vendors.OE[:-7]
FILE = "/usr/bin/patches"  # the list of the stand-in for syscare
UPDATE = """ <update from="openeuler.org" type="security" status="stable" version="1">
  <id>{id}</id><title>kernel</title><severity>Important</severity><issued date="2025-03-01"/>
  <references>{references}</references><pkglist><{kind}><name>oe</name>
   <package arch="x86_64" name="{name}" epoch="0" version="{version}" release="{release}">
    <filename>x.rpm</filename></package></{kind}></pkglist></update>
"""


def patch(kind: str, version: str = "1", topic: str = "vmlinux") -> Rpm:
    """A hot patch; its scriptlets tell the stand-in for syscare, as real ones tell syscare."""
    name = f"{vendors.PK}-{kind}"
    entry = f"kernel-{STEM}/{kind}-1-{version}/{topic}"
    script = (
        f"%post -n {name}\necho uuid-{kind}-1-{version} {entry} NOT-APPLIED >> {FILE}\n"
        f"%postun -n {name}\nsed -i '\\#{entry}#d' {FILE}\nexit 0"
    )
    file = (f"/usr/lib/syscare/patches/{kind}-1-{version}/vmlinux.ko", "module\n")
    return Rpm(name, "1", version, requires=("syscare",), files=(file,), script=script)


def advisory(rpm: Rpm, letters: str, kind: str = "hot_patch_collection") -> str:
    references = "".join(
        f'<reference href="x" id="{CVES[letter]}" title="x" type="cve"/>' for letter in letters
    )
    facts = {"name": rpm.name, "version": rpm.version, "release": rpm.release}
    return UPDATE.format(id=f"SA-{rpm}", references=references, kind=kind, **facts)


ACC1, ACC2 = patch("ACC"), patch("ACC", "2")
SGL_B, SGL_B2, SGL_C, SGL_BD = (
    patch("SGL_CVE_2024_1002"), patch("SGL_CVE_2024_1002", "2"), patch("HP003"), patch("SGL_two"),
)  # fmt: skip
REFUSED = patch("HP004", topic="refuse")
CLOSES = {ACC1: "A", ACC2: "AB", SGL_B: "B", SGL_B2: "B", SGL_C: "C", SGL_BD: "BD", REFUSED: "D"}
BYSTANDER2 = Rpm("bystander", "2", "1")
SHELL = Rpm("shell", "1", "1", ("/bin/sh",))


def state(*packages: Rpm):
    """A repository of the kernel, its advisories and these packages."""
    hot = "".join(advisory(rpm, CLOSES[rpm]) for rpm in packages if rpm in CLOSES)
    text = advisory(KERNEL, "", "collection") + advisory(vendors.OPENEULER.newer, "ABCD", "collection")
    start = (vendors.BYSTANDER, vendors.SYSCARE, SHELL, KERNEL)
    return ((*start, *packages), (), f'<?xml version="1.0"?>\n<updates>\n{text}{hot}</updates>\n')


STATES = {
    "start": state(),
    "all": state(ACC1, SGL_B, SGL_C),
    "within": state(ACC2, SGL_B, SGL_C),
    "single": state(SGL_B),
    "newer": state(SGL_B, SGL_B2, SGL_C, BYSTANDER2),
    "overlap": state(ACC2, SGL_BD),
    "refused": state(SGL_C, REFUSED),
}
PACKAGES = tuple(dict.fromkeys(rpm for content, *_ in STATES.values() for rpm in content))
NAMES = {str(rpm): rpm for rpm in PACKAGES}


@pytest.fixture(scope="session")
def hot_lab(tmp_path_factory):
    base = ["bystander", "syscare", "shell", str(KERNEL)]
    return shared(tmp_path_factory, "hot-lab", PACKAGES, STATES, base)


@pytest.fixture
def hot(hot_lab):
    """A host of openEuler; without systemd the real reconcile is run directly."""
    host = hot_lab.host()
    host.able = True
    shutil.copy(os.path.join(SOURCE, "tests", "standins", "syscare.py"), host.path("/usr/bin/syscare"))
    host.sh("rmdir /run/systemd/system /run/systemd")
    yield host
    host.drop()


def upgrade(host: Host, repo: str, *words: str):
    host.repos(base=repo)
    answer = host.dnf(*(words or ("upgrade",)), env={"FAKE_RELEASE": vendors.OE})
    unharmed(answer)
    return answer


def active(host: Host) -> set[str]:
    """The patches that the stand-in for syscare has in force."""
    rows = (line.split() for line in host.read(FILE).splitlines())
    return {name[len("uuid-") :] for name, _, word in rows if word == "ACTIVED"}


def test_one_upgrade_adds_every_patch_that_the_kernel_lacks(hot):
    answer = upgrade(hot, "all")
    assert answer.new == {str(ACC1), str(SGL_B), str(SGL_C)} and answer.code == 0, answer.text
    assert active(hot) == {"ACC-1-1", "SGL_CVE_2024_1002-1-1", "HP003-1-1"}
    for rpm in (ACC1, SGL_B, SGL_C):
        assert answer.text.count(f"Live patch {rpm} is in force") == 1, answer.text
    assert "Install  3 Packages" in answer.out
    again = upgrade(hot, "all")
    assert "Nothing to do." in again.out and not again.new | again.gone and lines(again) == [], again.text


def test_what_the_cumulative_one_holds_is_not_added_beside_it(hot):
    answer = upgrade(hot, "within")
    assert answer.new == {str(ACC2), str(SGL_C)} and answer.code == 0, answer.text
    assert lines(answer) == []
    assert not upgrade(hot, "within").new


def test_report_names_what_would_be_added(hot):
    hot.conf("mode = report\n")
    answer = upgrade(hot, "within")
    assert not answer.new
    assert [word for text in lines(answer) for word in text.split() if word in NAMES] == [
        str(rpm) for rpm in (ACC2, SGL_C)
    ], answer.text


def test_a_newer_build_of_one_does_not_keep_the_others_out(hot):
    assert upgrade(hot, "single").new == {str(SGL_B)}
    answer = upgrade(hot, "newer")
    assert answer.new == {str(SGL_B2), str(SGL_C), str(BYSTANDER2)}, answer.text
    assert answer.gone == {str(SGL_B), str(vendors.BYSTANDER)} and answer.code == 0
    assert active(hot) == {"SGL_CVE_2024_1002-1-2", "HP003-1-1"}


def test_a_filter_takes_the_single_one_that_closes_something(hot):
    answer = upgrade(hot, "all", "upgrade", "--security")
    assert answer.new == {str(ACC1), str(SGL_B), str(SGL_C)}, answer.text
    assert not upgrade(hot, "all", "upgrade", "--security").new


def test_one_with_a_fix_in_common_stays_out_with_a_line(hot):
    answer = upgrade(hot, "overlap")
    assert answer.new == {str(ACC2)} and answer.code == 0, answer.text
    assert len(lines(answer)) == 1 and f"it and {ACC2} have some CVEs in common" in lines(answer)[0]


def test_the_cumulative_one_takes_the_place_of_a_single_one_when_that_is_removed(hot):
    assert upgrade(hot, "single").new == {str(SGL_B)}
    answer = upgrade(hot, "within")
    assert answer.new == {str(SGL_C)} and f"remove {SGL_B} first" in answer.text, answer.text
    assert upgrade(hot, "within", "remove", SGL_B.name).gone == {str(SGL_B)}
    answer = upgrade(hot, "within")
    assert answer.new == {str(ACC2)} and lines(answer) == [], answer.text


def test_one_that_is_refused_shows_in_the_exit_status(hot):
    answer = upgrade(hot, "refused")
    assert answer.new == {str(SGL_C), str(REFUSED)} and answer.code == 5, answer.text
    assert "conflicts" in answer.text


@pytest.mark.parametrize(("coming", "expected"), [((), "new"), (("newer",), "newer")])
def test_of_cumulative_patches_that_are_missing_only_the_newest_is_waited_for(coming, expected):
    """Two vendors' packages for one kernel, for example, are never both in force."""
    old, new, newer = (Nevra(name, "0", "1", "1", "x86_64") for name in ("old", "new", "newer"))
    has, build = Package(new, installed=True), Package(newer)
    one = Survey(Target("6.6.0", True, has=new), {str(newer): build}, has, False, False, {}, {})
    found = choose.expected([one], [build] if coming else [], (str(old), str(new)))
    assert found == (f"{expected}-1-1.x86_64",)


def test_excluded_one_is_told_and_the_others_are_added(hot):
    answer = upgrade(hot, "all", "upgrade", f"--exclude={SGL_B.name}")
    assert answer.new == {str(ACC1), str(SGL_C)} and answer.code == 0, answer.text
    assert len(lines(answer)) == 1 and f"{SGL_B} is not added" in lines(answer)[0]
