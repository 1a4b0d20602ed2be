# SPDX-License-Identifier: GPL-2.0-or-later
"""The next step that status shows, where `dnf upgrade` has nothing to do."""

from __future__ import annotations

import json

import pytest

from tests.dnf.support import rpms, stock
from tests.dnf.support.lab import RUNNING, SOURCE, Host, Update, shared
from tests.dnf.support.variants import variant

LIVEPATCH = f"python3 {SOURCE}/bin/livepatch "


def step(host: Host) -> tuple[str, str]:
    """The next step, and what reboot-check says."""
    status = host.sh(LIVEPATCH + "status").out
    found = next(line for line in status.splitlines() if line.startswith("Next"))
    return found.partition(":")[2].strip(), host.sh(LIVEPATCH + "reboot-check").out


@pytest.mark.parametrize(
    ("repo", "main"),
    [
        ("excludepkgs=kernel-core", ""),
        ("", "includepkgs=bystander kpatch*"),
        ("", "exclude=kernel-core-5.14.0-[2-4]0*"),
        ("includepkgs=bystander", ""),
    ],
)
def test_excludes_that_hide_the_fix_are_named(host, repo, main):
    host.repos(base="kernel" + ("\n" + repo if repo else ""))
    if main:
        host.sh(f"echo '{main}' >>/etc/dnf/dnf.conf")
    assert "Complete!" in host.dnf("upgrade").out
    assert "Nothing to do" in host.dnf("upgrade").out
    found, reboot = step(host)
    assert found.startswith("no command helps yet: DNF's excludes") and "5.14.0-40.el9" in found
    assert "dnf upgrade" not in reboot and "excludepkgs=" in reboot


@pytest.mark.parametrize(
    ("without", "helps"),
    [
        (("kernel-core-5.14.0-20.", "kernel-core-5.14.0-30.", "kernel-core-5.14.0-40."), False),
        (("kernel-core-5.14.0-30.", "kernel-core-5.14.0-40."), True),
        (("kernel-core-5.14.0-20.", "kernel-core-5.14.0-30."), True),
    ],
)
def test_advisories_without_their_packages_are_no_reason_for_an_upgrade(lab, host, without, helps):
    host.repos(base=variant(lab, "kernel", without=without))
    host.dnf("livepatch", "update", "--check")
    found, reboot = step(host)
    assert (found == "dnf upgrade") is helps and ("run 'dnf upgrade'" in reboot) is helps
    assert helps or "no enabled repository offers a kernel or a live patch that fixes them" in found
    assert (host.dnf("upgrade", "--exclude=bystander").new != set()) is helps


@pytest.mark.parametrize(
    ("conf", "helps"), [("", True), ("mode = report\n", False), ("cutoff = 2020-01-01\n", False)]
)
def test_a_live_patch_that_an_upgrade_takes_is_a_reason(host, conf, helps):
    host.repos(base="patches")
    host.conf(conf)
    host.dnf("livepatch", "update", "--check")
    assert (step(host)[0] == "dnf livepatch update") is helps, (
        "which takes it whatever becomes of an upgrade"
    )
    assert helps or "dnf upgrade" not in step(host)[0]
    assert (str(stock.P2) in host.dnf("upgrade").new) is helps


NONE = "no enabled repository offers a kernel or a live patch"
P1, P2 = str(stock.P1), str(stock.P2)
#: livepatch.conf, the repositories, dnf.conf, a command before, and the words about the newest patch.
KEPT = [
    ("mode = report\n", {}, "", "", "mode = report, so it is not added"),
    ("min_age = 36500d\n", {}, "", "", "and min_age is not over"),
    ("cutoff = 2020-01-01\n", {}, "", "", "after cutoff = 2020-01-01"),
    ("", {}, "exclude=kpatch*", "", "DNF's configuration excludes it"),
    ("", {"base": "start", "other": "patches"}, "", "", "repository other is not trusted with kernel code"),
    ("", {"base": "patches\ngpgcheck=0"}, "", "", "gpgcheck is off for repository base"),
    (
        "",
        {},
        "",
        f"{LIVEPATCH} block --reason slow {P2}; {LIVEPATCH} block {P1}",
        "it is blocked on this host",
    ),
    ("", {}, "", "touch /run/.containerenv", "this is a container"),
]


@pytest.mark.parametrize(("conf", "repos", "main", "before", "why"), KEPT, ids=[row[4] for row in KEPT])
def test_a_patch_that_is_kept_out_is_named_with_the_reason(host, conf, repos, main, before, why):
    host.repos(**(repos or {"base": "patches"}))
    host.conf(conf)
    host.sh(f"echo '{main}' >>/etc/dnf/dnf.conf; {before}")
    host.dnf("upgrade")
    found, reboot = step(host)
    if "container" in why:
        found = reboot = json.loads(host.read("/var/lib/livepatch/exposure.json"))["kernels"][0]["on_offer"][
            "why"
        ]
    for text in (found, reboot):
        assert NONE not in text, text
    assert why in reboot and P2 in reboot, (found, reboot)


@pytest.mark.parametrize(
    ("state", "options"),
    [
        ("patches", "--exclude=kpatch*"),
        ("kernel", "--exclude=kernel*"),
        ("kernel", "--setopt=base.excludepkgs=kernel*"),
        ("all", "--setopt=excludepkgs=k*"),
    ],
)
@pytest.mark.parametrize("before", ["", "dnf -y livepatch update --check"])
def test_excludes_of_one_run_say_nothing_about_the_next(host, state, options, before):
    host.repos(base=state)
    host.sh(before or "true")
    host.sh(f"dnf -y upgrade {options}")
    found, reboot = step(host)
    assert found.startswith("dnf ") and NONE not in reboot and "excludes" not in reboot, (found, reboot)
    taken = host.sh(found.replace("dnf", "dnf -y", 1)).new
    assert any(name.startswith("k") for name in taken)


@pytest.mark.parametrize("conf", ["", "kernel_update = hold\n"])
@pytest.mark.parametrize("priorities", [(1, 50), (98, 99)])
def test_a_kernel_that_another_repository_outranks_is_no_offer(host, conf, priorities):
    host.repos(base=f"start\npriority={priorities[0]}", extra=f"kernel\npriority={priorities[1]}")
    host.conf("repos = *\n" + conf)
    answer = host.dnf("upgrade")
    assert not any(name.startswith("kernel") for name in answer.new) and "held" not in answer.text
    found, reboot = step(host)
    told = "by its priority, DNF prefers base to the repository of kernel 5.14.0-40.el9"
    assert found == f"no command helps yet: {told}" and told in reboot
    host.repos(base=f"start\npriority={priorities[1]}", extra=f"kernel\npriority={priorities[0]}")
    answer = host.dnf("upgrade")
    assert (str(stock.K40) in answer.new) is (conf == "") and ("Kernel update held" in answer.text) is bool(
        conf
    )


def test_a_held_kernel_is_upgraded_by_its_name(host):
    host.repos(base="kernel")
    host.conf("kernel_update = hold\n")
    assert str(stock.K40) not in host.dnf("upgrade").new
    found = step(host)[0]
    assert found == "dnf upgrade kernel-core"
    assert str(stock.K40) in host.sh(found.replace("dnf", "dnf -y", 1)).new


# --- the end of support ---

VENDOR = rpms.Rpm(
    "kpatch-patch-5_14_0-10",
    "1",
    "2.el9",
    (f"kpatch-patch = {RUNNING}",),
    (f"kernel-uname-r = {RUNNING}",),
    files=((f"/usr/lib/kpatch/{RUNNING}/kpatch-5_14_0-10-1-2.ko", "no module\n"),),
)
BASE = (stock.K10, stock.BY1, stock.OTHER, stock.DISTRO)


@pytest.mark.parametrize("warn", ["", "eol_warn_days = 400\n"])
def test_the_vendors_usual_time_is_no_promise(tmp_path_factory, warn):
    told = (stock.ADV10, stock.ADV20, Update("P", (VENDOR,), (stock.CVE20,)))
    states = {"start": (BASE, (stock.ADV10,)), "next": ((*BASE, VENDOR), told)}
    lab = shared(tmp_path_factory, "usual", [*BASE, stock.K20, VENDOR], states, stock.BASE)
    host = lab.host()
    host.repos(base="next")
    host.conf(warn)
    answer = host.dnf("upgrade", "--assumeno")
    host.dnf("livepatch", "update", "--check")
    status, found = host.sh(LIVEPATCH + "status").out, host.sh(LIVEPATCH + "status --json").out
    host.drop()
    assert "the vendor's usual time; no day is promised" in status and "days left" not in status
    assert json.loads(found)["support"]["usual"] is True
    assert ("end on about" in answer.text and "nobody has promised a day" in answer.text) is bool(warn)
