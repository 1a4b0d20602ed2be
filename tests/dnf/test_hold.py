# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel update under ``kernel_update``: held with proof, released by each cause, by name always in."""

from __future__ import annotations

import json
import re

import pytest

from tests.dnf.support import records, rpms, stock
from tests.dnf.support.lab import RUNNING, SOURCE, Answer, Host, lines, shared
from tests.dnf.support.programs import API

P1, P2, BY2, K40 = str(stock.P1), str(stock.P2), str(stock.BY2), str(stock.K40)
EVR40 = "5.14.0-40.el9"
FOLDER = "/sys/kernel/livepatch/livepatch_10_1_2"


def kernels(answer: Answer) -> list[str]:
    return sorted(name for name in answer.new if name.startswith("kernel-"))


def history(host: Host) -> list[tuple[str, str, str]]:
    """The holding and releasing that history tells: event, kernel, proof or reason."""
    entries = map(json.loads, host.read("/var/lib/livepatch/journal.jsonl").splitlines())
    return [(entry["event"], entry["nevra"], entry["reason"]) for entry in entries]


def covered(host: Host, conf: str = "", patch: str = P2) -> None:
    """The live patch is in force, and kernel updates are held while it covers them."""
    host.repos(base="patches" if patch == P2 else "first")
    assert patch in host.dnf("upgrade", "--exclude=bystander").new
    host.conf("kernel_update = hold-when-covered\n" + conf)


def test_covered_is_held_and_the_rest_goes_on(host):
    covered(host)
    host.repos(base="all")
    answer = host.dnf("upgrade")
    assert answer.code == 0 and answer.new == {BY2}, answer.text
    assert len(lines(answer)) == 1
    assert f"Kernel update held: {EVR40}, because live patch {P2} closes 2 CVEs" in lines(answer)[0]
    hold = json.loads(host.read("/var/lib/livepatch/notices.json"))["hold"]
    assert (hold["release"], hold["kernel"], hold["left"]) == (RUNNING, EVR40, [])
    assert sorted(hold["closed"]) == [stock.CVE20, stock.CVE30]
    again = host.dnf("upgrade")
    assert again.new == frozenset() and len(lines(again)) == 1
    assert json.loads(host.read("/var/lib/livepatch/notices.json"))["hold"]["since"] == hold["since"]
    assert f"Kernel update held: {EVR40}" in host.dnf("livepatch", "status").out
    proof = f"live patch {P2} closes 2 CVEs that it fixes"
    assert history(host) == [("hold", f"kernel-core-{EVR40}", proof)]
    told = host.dnf("livepatch", "history").out
    assert re.search(rf"hold +kernel-core-{EVR40} .*  {proof}$", told, re.MULTILINE)


@pytest.mark.parametrize("words", [("upgrade", "--security"), ("upgrade-minimal",), ("upgrade", "-q")])
def test_every_bare_upgrade(host, words):
    covered(host)
    host.repos(base="all")
    assert kernels(host.dnf(*words)) == []


def test_api_users_and_dnf_automatic(host):
    covered(host)
    host.repos(base="all")
    assert host.python(API).new == {BY2}


@pytest.mark.parametrize(
    "words",
    [
        ("upgrade", "kernel-core"),
        ("upgrade", "kernel*"),
        ("install", K40),
        ("upgrade", "--advisory=KERNEL-30"),
    ],
)
def test_by_name_it_always_comes(host, words):
    covered(host)
    host.repos(base="all")
    answer = host.dnf(*words)
    assert len(kernels(answer)) == 1 and answer.code == 0
    assert "held" not in answer.text
    host.dnf("upgrade", "kernel-core")
    assert "Kernel update held" not in host.dnf("livepatch", "status").out


def test_without_the_setting_nothing_is_held(host):
    covered(host)
    host.conf("")
    host.repos(base="all")
    assert kernels(host.dnf("upgrade")) == [K40]


RELEASES = {
    "not loaded": (f"rm -r {FOLDER}", "is not in force"),
    "disabled": (f"echo 0 > {FOLDER}/enabled", "is not in force"),
    "in transition": (f"echo 1 > {FOLDER}/transition", "is not in force"),
    "another build": ("printf x > /sys/module/livepatch_10_1_2/notes/.note.gnu.build-id", "is not in force"),
}


@pytest.mark.parametrize(("change", "why"), RELEASES.values(), ids=RELEASES.keys())
def test_released_when_the_patch_is_not_in_force(host, change, why):
    covered(host)
    host.sh(change)
    host.repos(base="all")
    answer = host.dnf("upgrade")
    assert kernels(answer) == [K40]
    assert f"Kernel update {EVR40} is not held: live patch {P2} {why}" in answer.text


def test_released_when_coverage_is_lost_and_forgotten(host):
    covered(host, patch=P1)
    host.repos(base="all")
    answer = host.dnf("upgrade", "--exclude=kpatch*")
    assert kernels(answer) == [K40]
    assert f"it closes {stock.CVE30}, which no live patch in force does" in answer.text
    assert "hold" not in json.loads(host.read("/var/lib/livepatch/notices.json") or "{}")


def test_released_again_by_itself(host):
    covered(host)
    host.repos(base="all")
    assert kernels(host.dnf("upgrade")) == []
    host.sh(f"rm -r {FOLDER}")
    assert kernels(host.dnf("upgrade")) == [K40]
    assert "hold" not in json.loads(host.read("/var/lib/livepatch/notices.json"))
    assert history(host)[1:] == [("release", f"kernel-core-{EVR40}", f"live patch {P2} is not in force")]


def test_released_when_the_setting_is_gone(host):
    covered(host)
    host.repos(base="all")
    host.dnf("upgrade")
    host.conf("")
    assert "not held: kernel_update = install" in host.dnf("upgrade", "--assumeno").text
    assert "Kernel update held" not in host.dnf("livepatch", "status").out
    assert [event for event, _, _ in history(host)] == ["hold", "release"]
    assert "not held" not in host.dnf("upgrade", "--assumeno").text, "once is enough"


@pytest.mark.parametrize(("below", "held"), [("Critical", True), ("Important", False)])
def test_what_is_below_the_limit_needs_no_cover(host, below, held):
    """P1 leaves CVE-2024-0030 open, whose advisory is Important."""
    covered(host, f"hold_below = {below}\n", patch=P1)
    host.repos(base="all")
    answer = host.dnf("upgrade", "--exclude=kpatch*")
    assert kernels(answer) == ([] if held else [K40]), answer.text


def test_released_when_support_ends(lab, host):
    covered(host, "eol_warn_days = 5\n")
    for days, expected in ((9, []), (3, [K40])):
        end = records.stamp(days * 86400)[:10]
        host.repos(base=records.told(lab, "all", {}, support_end=end))
        answer = host.dnf("upgrade")
        assert kernels(answer) == expected
    assert f"live patches for kernel {RUNNING} end on {end}" in answer.text


def test_released_when_the_patch_is_withdrawn(lab, host):
    covered(host)
    host.repos(base=records.told(lab, "all", {P2: records.withdrawn()}))
    answer = host.dnf("upgrade")
    assert kernels(answer) == [K40] and "was withdrawn by its publisher" in answer.text


@pytest.mark.parametrize(
    ("state", "why"), [("silent", "not fully known"), ("kernel", "no live patch is in force")]
)
def test_never_when_nothing_is_known(host, state, why):
    if state == "silent":
        covered(host)
    host.conf("kernel_update = hold-when-covered\n")
    host.repos(base=state)
    answer = host.dnf("upgrade")
    assert kernels(answer) == [K40] and why in answer.text


def test_all_packages_of_a_kernel_stay_together(host):
    host.repos(base="before")
    assert {P2} <= host.dnf("upgrade").new
    assert str(stock.TOOLS10) in host.dnf("install", "kernel-tools").new
    host.conf("kernel_update = hold-when-covered\n")
    host.repos(base="tools")
    assert host.dnf("upgrade").new == {BY2}
    answer = host.dnf("upgrade", "kernel*")
    assert kernels(answer) == sorted([K40, str(stock.TOOLS40)])


@pytest.mark.parametrize("policy", ["hold-when-covered", "hold"])
@pytest.mark.parametrize("best", ["True", "False"])
def test_a_module_that_needs_the_new_kernel_lets_it_in(host, policy, best):
    host.repos(base="before")
    assert {P2} <= host.dnf("upgrade").new
    assert str(stock.KMOD) in host.dnf("install", "kmod-x").new
    host.conf(f"kernel_update = {policy}\n")
    host.repos(base="module")
    answer = host.dnf(f"--setopt=best={best}", "upgrade")
    assert answer.new == {K40, str(stock.KMOD2), BY2}, answer.text
    assert f"Kernel update {EVR40} is not held" in answer.text and "need" in answer.text


def test_hold_holds_in_any_case_and_says_what_stays_open(host):
    host.conf("kernel_update = hold\n")
    host.repos(base="kernel")
    answer = host.dnf("upgrade")
    assert answer.new == {BY2} and answer.code == 0
    assert "because kernel_update = hold; it would close 2 CVEs" in answer.text
    assert kernels(host.dnf("upgrade", "kernel-core")) == [K40]


def test_an_excluded_kernel_stays_excluded_by_its_owner(host):
    covered(host)
    host.repos(base="all")
    answer = host.dnf("upgrade", "--exclude=kernel-core-5.14.0-40*")
    assert kernels(answer) == [] and "Kernel update held: 5.14.0-30.el9" in answer.text


# --- a kernel in several packages ---


def parts(build: int) -> tuple[rpms.Rpm, ...]:
    """The modules of a kernel, the package that requires all of it, and a package that nothing requires."""
    version, release = f"{build}.el9", rpms.release(build)
    own, multi = (f"kernel-uname-r = {release}",), "installonlypkg(kernel-module)"
    names = {
        "kernel-modules": "kernel-modules-uname-r",
        "kernel-modules-extra": "kernel-modules-extra-uname-r",
    }
    modules = [
        rpms.Rpm(
            name,
            "5.14.0",
            version,
            (f"{capability} = {release}", multi),
            own,
            files=((f"/lib/modules/{release}/{name}.ko", "x\n"),),
        )
        for name, capability in names.items()
    ]
    needs = tuple(f"{name} = 5.14.0-{version}" for name in ("kernel-core", "kernel-modules"))
    return (*modules, rpms.Rpm("kernel", "5.14.0", version, ("installonlypkg(kernel)",), needs))


OLD, NEW = parts(10), parts(20)


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    base = (*stock.START, *OLD)
    states = {
        "start": (base, (stock.ADV10,)),
        "next": ((*base, stock.K20, *NEW), (stock.ADV10, stock.ADV20)),
    }
    packages = [*base, stock.K20, *NEW]
    return shared(tmp_path_factory, "split-kernel", packages, states, [*stock.BASE, "kernel-modules"])


@pytest.mark.parametrize("more", [(), ("kernel",), ("kernel", "kernel-modules-extra")])
@pytest.mark.parametrize("place", ["upgrade", "status", "reboot-check"])
def test_the_command_that_is_told_installs_all_of_a_held_kernel(split, place, more):
    host = split.host()
    if more:
        assert host.dnf("install", *more).code == 0
    host.repos(base="next")
    host.conf("kernel_update = hold\n")
    answer = host.dnf("upgrade")
    assert answer.new == frozenset(), answer.text
    text = answer.text if place == "upgrade" else host.sh(f"python3 {SOURCE}/bin/livepatch {place}").text
    told = re.search(r"dnf (upgrade kernel[a-z -]*)", text)
    assert told, text
    followed = host.sh(f"dnf -y {told[1]}")
    names = {"kernel-core", "kernel-modules", *more}
    assert followed.new == {f"{name}-5.14.0-20.el9.x86_64" for name in names}, told[1]
    host.drop()


# --- kernels that another plugin hides after the livepatch plugin did its part ---


def locked(host: Host, names: str) -> None:
    """Install a plugin that comes after this one and hides the packages ``names``, as versionlock does."""
    code = f"""
import dnf

class Lock(dnf.Plugin):
    name = "zz-lock"

    def sack(self):
        query = self.base.sack.query()
        self.base.sack.add_excludes(query.available().filterm(name__glob={names.split()}))
"""
    host.write("/root/plugins/zz_lock.py", code)
    host.sh("sed -i 's|^pluginpath=.*|&,/root/plugins|' /etc/dnf/dnf.conf")


@pytest.mark.parametrize("conf", ["install", "hold-when-covered", "hold"])
@pytest.mark.parametrize("names", ["kernel-core", "kernel*"])
def test_a_kernel_that_another_plugin_hides_later_is_neither_held_nor_advised(host, names, conf):
    host.repos(base="kernel")
    host.conf(f"kernel_update = {conf}\n")
    locked(host, names)
    answer = host.dnf("upgrade")
    assert answer.new == {BY2} and "Kernel update held" not in answer.text, answer.text
    told = "".join(
        host.sh(f"python3 {SOURCE}/bin/livepatch {verb}").text for verb in ("status", "reboot-check")
    )
    assert "dnf upgrade" not in told and f"hide kernel {EVR40}" in told, told


@pytest.mark.parametrize("conf", ["hold-when-covered", "hold"])
def test_what_another_plugin_hides_ends_an_earlier_hold(host, conf):
    covered(host)
    host.conf(f"kernel_update = {conf}\n")
    host.repos(base="all")
    assert "Kernel update held" in host.dnf("upgrade").text
    locked(host, "kernel-core")
    answer = host.dnf("upgrade")
    assert "Kernel update held" not in answer.text, answer.text
    assert [row[0] for row in history(host)] == ["hold", "release"]
