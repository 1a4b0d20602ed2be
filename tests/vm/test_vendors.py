# SPDX-License-Identifier: GPL-2.0-or-later
"""Vendors' packages on a real kernel, where their loading differs: dnf upgrade closes, undo opens."""

from __future__ import annotations

import re
import time

import pytest

from tests.vm.support import vendors
from tests.vm.support.demo_host import CONF
from tests.vm.support.loaded import REST
from vm.patches import CMDLINE, UNFIXABLE, VERSION

STOCKED = "vendors"
REPO = """\
[vendor]
name=A vendor's live patches
baseurl=file:///srv/vendors/{name}
gpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-demo
gpgcheck=1
repo_gpgcheck=1
"""


class Vendor:
    """The host whose owner lets live patches come from one vendor's repository."""

    def __init__(self, host) -> None:
        self.host = host
        self.packages = vendors.packages(host.old)

    def use(self, repository: str, profile: str = "") -> None:
        """Enable ``repository``, and the profile whose rule for names fits the running kernel."""
        self.write("/etc/yum.repos.d/vendor.repo", REPO.format(name=repository))
        if profile:
            self.write(f"/etc/livepatch/profiles.d/{profile}.conf", vendors.override(profile))

    def write(self, path: str, text: str) -> None:
        done = self.host.machine.run(f"install -D /dev/stdin {path}", stdin=text.encode())
        assert done.status == 0, done.err

    def rpm(self, name: str, repository: str = "tools") -> None:
        """Install one package of a repository without DNF."""
        self.host.run(f"rpm -U /srv/vendors/{repository}/{self.packages[name].nevra}.rpm")

    def upgrade(self, status: int = 0) -> str:
        """Plain ``dnf upgrade``, as its user types it."""
        return self.host.run("dnf -y upgrade", status)

    def undo(self) -> str:
        """Take the last transaction back; the file trigger has the kernel follow, without dnf's waiting."""
        return self.host.run("dnf -y history undo last")

    def comes(self, *modules: str) -> None:
        """Wait until exactly these live patches are in force, no other is there, and no run goes on."""
        end = time.monotonic() + 240
        names = sorted(modules)
        while sorted(self.host.loaded()) != names or self.modules() != names:
            assert time.monotonic() < end, f"in force: {self.host.loaded()}, in the kernel: {self.modules()}"
            time.sleep(1)
        self.host.run(f"( {REST} )")

    def modules(self) -> list[str]:
        """The vendors' live patches that are in the kernel, in force or not."""
        text = self.host.run("cat /proc/modules")
        return sorted(re.findall(r"^((?:kpatch_|livepatch_|klp_)\S+) ", text, re.MULTILINE))

    def reconciled(self, status: int) -> str:
        """The output of ``livepatch reconcile``, which has to end with ``status``."""
        return self.host.run("livepatch reconcile", status)

    def told(
        self, closed: list[str], code: int = 0, reboot_only: tuple[str, ...] = ()
    ) -> list[tuple[str, str]]:
        """Check the CVEs of the status by their state, and module and package of each patch in force.

        No kernel is installed that would close anything, so that no reboot is advised.
        """
        status = self.host.status(code)
        exposure = status["exposure"]
        assert {row["cve"] for row in exposure["closed_live"]} == set(closed), exposure
        assert {row["cve"] for row in exposure["reboot_only"]} == set(reboot_only), exposure
        left = {CMDLINE, UNFIXABLE, VERSION} - {*closed, *reboot_only}
        assert {row["cve"] for row in exposure["open"]} == left, exposure
        assert status["reboot"]["code"] == 0, status["reboot"]
        return [(row["module"], row["package"]) for row in status["patches"] if row["in_force"]]

    def patchings(self) -> list[str]:
        """The live patches loaded (``+module``) or removed (``-module``) in this boot, in order."""
        found = re.findall(r"livepatch: '(\w+)': starting (\w+) transition", self.host.run("dmesg"))
        return [("-" if verb == "unpatching" else "+") + module for module, verb in found]


@pytest.fixture(scope="module")
def stocked(booted):
    """The booted host with the vendors' repositories at hand, the newer kernel on offer but left out."""
    booted.reset()
    machine = booted.machine
    data = vendors.repositories(booted.old)
    done = machine.run("mkdir -p /srv/vendors && tar -xz -C /srv/vendors", stdin=data)
    assert done.status == 0, done.err
    booted.stage("kernel")
    machine.ok("echo excludepkgs=kernel-core >>/etc/dnf/dnf.conf")
    machine.ok(f"printf 'repos = vendor\\n' >>{CONF}")
    machine.save(STOCKED)
    return booted


@pytest.fixture
def vendor(stocked):
    stocked.reset(STOCKED)
    return Vendor(stocked)


def ends(good, why: str, seconds: float = 180) -> None:
    """Wait until ``good()`` is true."""
    end = time.monotonic() + seconds
    while not good():
        assert time.monotonic() < end, why
        time.sleep(1)


def listed(host) -> tuple[list[str], list[str]]:
    """The loaded and the installed modules of `kpatch list`."""
    loaded, _, installed = host.run("kpatch list").partition("Installed patch modules:")
    return re.findall(r"^(\w+) \[enabled\]$", loaded, re.M), re.findall(r"^(\w+) \(", installed, re.M)


def test_kpatch_loads_and_reconcile_takes_it_from_there(vendor):
    """Debian's own kpatch and kpatch.service; Red Hat's scriptlets neither unload nor go back."""
    host = vendor.host
    packages = [vendor.packages["kpatch-1"], vendor.packages["kpatch-2"]]
    one, two = (package.files[0][1].loaded for package in packages)
    vendor.use("kpatch-1")
    text = vendor.upgrade()
    assert "loading patch module: /var/lib/kpatch/" in text, "the scriptlet loads it"
    assert f"Live patch {packages[0].nevra} is in force" in text
    assert host.installed("kpatch"), "the program that the patch requires came along"
    vendor.comes(one)
    assert not host.leaks() and host.tells_builder() and vendor.patchings() == ["+" + one]
    assert listed(host) == ([one], [one])
    assert vendor.told([CMDLINE]) == [(one, packages[0].nevra)]
    # At boot kpatch.service loads it, before reconcile runs; neither loads it again.
    host.reboot()
    assert host.run("systemctl is-active kpatch.service").strip() == "active" and not host.unit_failed()
    assert host.run("systemctl --failed --plain --no-legend") == ""
    assert vendor.patchings() == ["+" + one] and not host.leaks()
    assert listed(host) == ([one], [one])
    assert vendor.told([CMDLINE]) == [(one, packages[0].nevra)]
    # The next one is cumulative; its advisory lists only what it adds.
    vendor.use("kpatch-2")
    vendor.upgrade()
    vendor.comes(two)
    assert not host.leaks() and not host.tells_builder() and listed(host) == ([two], [two])
    assert vendor.told([CMDLINE, VERSION]) == [(two, packages[1].nevra)]
    assert "reboot to load the older live patch" in vendor.undo(), "the scriptlet does not"
    vendor.comes(one)
    assert not host.leaks() and host.tells_builder() and listed(host) == ([one], [one])
    assert vendor.told([CMDLINE]) == [(one, packages[0].nevra)]
    host.run(f"rpm -e {packages[0].name}")
    vendor.comes()
    assert host.leaks() and listed(host) == ([], []) and vendor.told([]) == []
    assert "would close nothing yet" in host.run("livepatch reboot-check") and not host.unit_failed()


def test_what_the_scriptlet_cannot_load_is_loaded(vendor):
    host = vendor.host
    package = vendor.packages["kpatch-1"]
    host.run("rpm -U /srv/vendors/kpatch-1/kpatch-[0-9]*.rpm")
    vendor.write("/usr/sbin/kpatch", "#!/bin/sh\nexit 1\n")
    vendor.use("kpatch-1")
    assert f"Live patch {package.nevra} is in force" in vendor.upgrade()
    vendor.comes(package.files[0][1].loaded)
    assert not host.leaks() and vendor.told([CMDLINE])
    vendor.undo()
    vendor.comes()
    assert host.leaks() and vendor.told([]) == []


def test_suse(vendor):
    """Its folder, its file of CVEs, and the real rule for names on Debian's kernel that has a flavour."""
    host = vendor.host
    package = vendor.packages["suse"]
    module = package.files[0][1].loaded
    names = host.run(f"livepatch profiles match --kernel {host.dashes.release}")
    name = "kernel-livepatch-" + host.dashes.release.replace(".", "_")
    assert re.search(rf"^suse +{name} ", names, re.MULTILINE)
    vendor.use("suse", "suse")
    vendor.write("/etc/sysconfig/livepatching", "LIVEPATCH=never\n")
    vendor.rpm("suse", "suse")
    assert "LIVEPATCH=never in /etc/sysconfig/livepatching" in vendor.reconciled(status=0)
    assert vendor.modules() == []
    vendor.write("/etc/sysconfig/livepatching", "LIVEPATCH=always\n")
    vendor.reconciled(status=0)
    # No dnf has read an advisory yet: what it closes is known from its own file.
    vendor.comes(module)
    rows = [row for row in host.status(0)["patches"] if row["in_force"]]
    assert [(row["profile"], row["cves"]) for row in rows] == [("suse", [CMDLINE])]
    host.run(f"rpm -e {package.name}")
    vendor.comes()
    assert host.leaks()
    vendor.upgrade()
    vendor.comes(module)
    assert not host.leaks() and vendor.told([CMDLINE]) == [(module, package.nevra)]
    vendor.undo()
    vendor.comes()
    assert host.leaks() and vendor.told([]) == []


def test_amazon_loads_all_modules_in_order_and_unloads_them_in_reverse(vendor):
    host = vendor.host
    package = vendor.packages["amazon"]
    one, two = (what.loaded for _, what in package.files)
    vendor.use("amazon", "amazon")
    vendor.upgrade()
    vendor.comes(one, two)
    assert not host.leaks() and not host.tells_builder() and vendor.patchings() == ["+" + one, "+" + two]
    assert vendor.told([CMDLINE, VERSION]) == [(one, package.nevra), (two, package.nevra)]
    vendor.undo()
    vendor.comes()
    assert host.leaks() and host.tells_builder() and vendor.told([]) == []
    assert vendor.patchings()[2:] == ["-" + two, "-" + one]


def test_ksplice_stand_in(vendor):
    """The stand-in for Ksplice's client loads a module of its own kind: sysfs knows of no live patch."""
    host = vendor.host
    nevra = vendor.packages["ksplice"].nevra
    vendor.rpm("uptrack")
    vendor.use("ksplice", "ksplice")
    assert f"Live patch {nevra} is in force" in vendor.upgrade()
    assert not host.leaks() and host.loaded() == [] and vendor.told([CMDLINE]) == [("ksplice", nevra)]
    vendor.undo()
    ends(lambda: host.leaks(), "the client was not asked to take the updates out")
    host.run(f"( {REST} )")
    assert vendor.told([]) == []
    # A client that hangs is given up in the end. The message about a missing one names the package.
    slow = vendors.override("ksplice").replace("timeout = 300", "timeout = 3")
    vendor.write("/etc/livepatch/profiles.d/ksplice.conf", slow)
    host.run(f"printf '[main]\\ntransition_timeout = 15\\nrepos = vendor\\n' >{CONF}")
    vendor.write(vendors.UPTRACK + "/broken", "hang")
    begun = time.monotonic()
    assert "did not end within" in vendor.upgrade(status=5)
    assert time.monotonic() - begun < 200, "the stand-in sleeps a minute each time it is asked"
    assert host.leaks() and host.unit_failed() and host.installed(vendor.packages["ksplice"].name)
    host.run("rpm -e uptrack-offline-stand-in && rm /usr/sbin/uptrack-*")
    assert "Install the Ksplice client" in vendor.reconciled(status=5)
    assert [row["in_force"] for row in host.status(5)["patches"]] == [False]


def test_syscare_stand_in(vendor):
    """The stand-in for syscare loads an ordinary live patch; its package has it taken out again."""
    host = vendor.host
    nevra = vendor.packages["openeuler"].nevra
    module = vendor.packages["openeuler"].files[1][1].loaded
    vendor.use("openeuler", "openeuler")
    text = vendor.upgrade()
    assert f"Live patch {nevra} is in force" in text and host.installed("syscare")
    vendor.comes(module)
    assert not host.leaks() and ("openeuler", nevra) in vendor.told([CMDLINE])
    vendor.undo()
    vendor.comes()
    assert host.leaks()
    ends(lambda: not host.unit_failed(), "the unit still fails")
    assert vendor.told([]) == []


def test_kernelcare_stand_in_is_shown_and_never_fought(vendor):
    host = vendor.host
    vendor.rpm("kcare")
    host.run("insmod /opt/kcare.ko")
    assert not host.leaks()
    host.stage("updates")
    host.run(f"sed -i 's/^repos = .*/repos = demo/' {CONF}")
    text = vendor.upgrade()
    assert "is not added: KernelCare patches this kernel" in text
    assert host.installed(host.patch) == "" and host.loaded() == [] and not host.leaks()
    assert "kernelcare" in vendor.reconciled(status=0)
    # The demo's repository has a record, which names the CVE that no live patch can close.
    assert vendor.told([CMDLINE], reboot_only=(UNFIXABLE,)) == [("kernelcare", "")]
    assert host.machine.run("test -e /usr/bin/driven").status != 0, "it is only asked for its state"
