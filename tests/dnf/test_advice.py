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
