# SPDX-License-Identifier: GPL-2.0-or-later
"""Repositories that lose their advisories: open CVEs stay known, and nothing is left out without a word."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest

from tests.dnf.support import rpms, stock
from tests.dnf.support.lab import RUNNING, SOURCE, Host, Update, lines, shared, unharmed
from tests.dnf.support.variants import variant

LIVEPATCH = f"python3 {SOURCE}/bin/livepatch "
GONE = "New CVEs of the running kernel cannot be known: "


def exposed(host: Host) -> tuple[set[str], str, int]:
    """The open CVEs, the date of what is known, and the exit code of reboot-check."""
    known = json.loads(host.sh(LIVEPATCH + "status --json").out)["exposure"]
    return {row["cve"] for row in known["open"]}, known["as_of"], host.sh(LIVEPATCH + "reboot-check").code


@pytest.mark.parametrize("nights", [1, 2])
@pytest.mark.parametrize("command", ["upgrade", "livepatch update --check", "upgrade --security"])
def test_what_was_open_stays_open_with_its_date(lab, host, command, nights):
    host.repos(base="kernel")
    host.dnf("upgrade")
    before = exposed(host)
    assert before[0] == {"CVE-2024-0020", "CVE-2024-0030"} and before[2] == 100
    host.repos(base=lab.silent("kernel"))
    for _ in range(nights):
        answer = host.sh(f"dnf -y {command}")
        unharmed(answer)
    assert any(GONE in line for line in lines(answer)) is (nights == 1 or command != "upgrade"), answer.text
    assert exposed(host) == before
    shown = host.sh(LIVEPATCH + "status").out
    assert f"what was known on {before[1][:10]} is kept" in shown and "update --check" not in shown


def test_one_of_two_repositories_falls_silent(lab, host):
    host.conf("repos = *\n")
    host.repos(base="kernel", extras="start")
    host.dnf("upgrade", "--exclude=kernel-core")
    before = exposed(host)
    assert "CVE-2024-0020" in before[0]
    host.repos(base=lab.silent("kernel"), extras="start")
    host.dnf("upgrade", "--exclude=kernel-core")
    assert exposed(host)[0] == before[0]


@pytest.mark.parametrize("state", ["update", "kernel"])
def test_advice_to_read_again_is_not_given_to_whom_it_brings_nothing(lab, host, state):
    host.repos(base=lab.silent(state))
    host.dnf("upgrade", "--exclude=kernel-core")
    for verb in ("status", "motd", "check", "reboot-check", "metrics", "cves"):
        text = host.sh(LIVEPATCH + verb).text
        assert "never read" not in text and "update --check" not in text, text
    assert "no enabled repository carries advisories (updateinfo)" in host.sh(LIVEPATCH + "status").out


def test_that_advisories_come_back_is_taken_up(lab, host):
    host.repos(base="kernel")
    host.dnf("upgrade", "--exclude=kernel-core")
    host.repos(base=lab.silent("kernel"))
    host.dnf("upgrade", "--exclude=kernel-core")
    host.repos(base="start")
    assert GONE not in host.dnf("upgrade", "--exclude=kernel-core").text
    assert exposed(host)[0] == set()


_UPDATE = re.compile(r"<update .*?</update>", re.DOTALL)


def only(*ids: str) -> Callable[[str], str]:
    """Leave these advisories in an updateinfo and no others."""
    return lambda text: _UPDATE.sub(
        lambda one: one[0] if any(f"<id>{name}</id>" in one[0] for name in ids) else "", text
    )


def emptied(text: str) -> str:
    """KERNEL-20 is listed and names no CVE any more."""
    return text.replace("CVE-2024-0020", "no-cve")


#: The advisories that the mirror still has, and the builds that it has no more.
PRUNED = [
    (only("KERNEL-30"), ("kernel-core-5.14.0-10", "kernel-core-5.14.0-20", "kernel-core-5.14.0-40")),
    (only("KERNEL-10", "KERNEL-40"), ()),
    (only("KERNEL-10", "KERNEL-30"), ("kernel-core-5.14.0-20",)),
    (only("KERNEL-10"), ("kernel-core-5.14.0-20", "kernel-core-5.14.0-30", "kernel-core-5.14.0-40")),
]


@pytest.mark.parametrize("nights", [1, 2])
@pytest.mark.parametrize(
    ("told", "gone"), PRUNED, ids=["newest only", "all kernels", "one gone", "none newer"]
)
def test_advisories_that_a_mirror_dropped_take_no_cve_back(lab, host, told, gone, nights):
    newer = ("kernel-core-5.14.0-30", "kernel-core-5.14.0-40")
    host.repos(base=variant(lab, "kernel", advisories=only("KERNEL-10", "KERNEL-20"), without=newer))
    host.dnf("upgrade")
    assert exposed(host)[0] == {"CVE-2024-0020"} and exposed(host)[2] == 100
    host.repos(base=variant(lab, "kernel", advisories=told, without=gone) + "\nexcludepkgs=kernel*")
    for _ in range(nights):
        unharmed(host.dnf("upgrade"))
    found, _, code = exposed(host)
    assert "CVE-2024-0020" in found and code == 100
    status = json.loads(host.sh(LIVEPATCH + "status --json").out)["exposure"]
    assert status["quality"] == "lower-bound"
    assert re.search("what (was known on [-0-9]+|is not listed any more) is kept", status["reason"]), status
    assert "CVE-2024-0020" in host.sh(LIVEPATCH + "cves").out


@pytest.mark.parametrize("how", ["emptied", "another kernel runs"])
def test_what_is_taken_back_in_words_or_behind_the_running_kernel_goes(lab, host, how):
    host.repos(base="kernel")
    host.dnf("upgrade", "--exclude=kernel-core-5.14.0-[34]0*")
    assert "CVE-2024-0020" in exposed(host)[0]
    host.repos(base=variant(lab, "kernel", advisories=emptied))
    env = {"FAKE_RELEASE": rpms.release(20)} if how != "emptied" else {}
    if env:
        host.repos(base=variant(lab, "kernel", advisories=only("KERNEL-20", "KERNEL-30", "KERNEL-40")))
    host.sh("dnf -y upgrade --exclude=kernel-core", env=env)
    known = json.loads(host.sh(LIVEPATCH + "status --json; exit 0", env=env).out)["exposure"]
    assert {row["cve"] for row in known["open"]} == {"CVE-2024-0030"}, known


def vendors(version: str) -> rpms.Rpm:
    """A live patch as Red Hat's are: the package names no CVE."""
    own, path = f"kernel-uname-r = {RUNNING}", f"/usr/lib/kpatch/{RUNNING}/kpatch-5_14_0-10-1-{version}.ko"
    name = "kpatch-patch-5_14_0-10"
    return rpms.Rpm(
        name, "1", f"{version}.el9", (f"kpatch-patch = {RUNNING}",), (own,), (), ((path, "x\n"),)
    )


V1, V2 = vendors("1"), vendors("2")
TOLD = Update("VENDOR-1", (V1,), ("CVE-2024-0020",))
LEFT = (
    "no advisory lists the patch and the patch names no CVE, so the filter of this upgrade cannot be judged."
)


@pytest.fixture(scope="module")
def vendor(tmp_path_factory):
    base = stock.START
    states = {
        "start": (base, (stock.ADV10,)),
        "untold": ((*base, V1, stock.BY2), (stock.ADV10, stock.ADV20, stock.ADVBY)),
        "told": ((*base, V1, stock.BY2), (stock.ADV10, stock.ADV20, stock.ADVBY, TOLD)),
        "both": ((*base, V1, V2, stock.BY2), (stock.ADV10, stock.ADV20, stock.ADVBY, TOLD)),
    }
    return shared(tmp_path_factory, "untold", [*base, V1, V2, stock.BY2], states, stock.BASE)


@pytest.mark.parametrize(
    ("state", "options", "left"),
    [
        ("untold", "--security", str(V1)),
        ("untold", "--sec-severity=Critical", str(V1)),
        ("untold", "--cve=CVE-2024-0020", str(V1)),
        ("untold", "--bugfix", str(V1)),
        ("untold", "--advisory=BYSTANDER-2", ""),
        ("untold", "--security bystander", ""),
        ("told", "--security", ""),
        ("told", "--cve=CVE-2024-0030", ""),
        ("untold --silent", "--security", str(V1)),
        ("both", "--cve=CVE-2024-0030", str(V2)),
        ("both", "--bugfix", str(V2)),
    ],
)
def test_a_patch_that_a_filter_leaves_out_unjudged_is_named_in_one_line(vendor, state, options, left):
    host = vendor.host()
    state, _, silent = state.partition(" ")
    host.repos(base=vendor.silent(state) if silent else state)
    answer = host.sh(f"dnf -y upgrade {options}")
    host.drop()
    unharmed(answer)
    found = [line for line in lines(answer) if LEFT in line]
    assert len(found) == bool(left) and all(left in line for line in found), answer.text
    assert (str(V1) in answer.new) is (state == "told" and options == "--security"), answer.text


@pytest.mark.parametrize("options", ["--bugfix", "--cve=CVE-2024-0030", "--sec-severity=Important"])
def test_beside_an_installed_build_that_is_listed_a_newer_one_is_named_too(vendor, options):
    host = vendor.host()
    host.repos(base="told")
    assert str(V1) in host.dnf("upgrade").new
    host.repos(base="both")
    answer = host.sh(f"dnf -y upgrade {options}")
    bare = host.dnf("upgrade")
    host.drop()
    unharmed(answer)
    found = [line for line in lines(answer) if LEFT in line]
    assert len(found) == 1 and str(V2) in found[0] and str(V2) not in answer.new, answer.text
    assert str(V2) in bare.new
