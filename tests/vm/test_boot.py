# SPDX-License-Identifier: GPL-2.0-or-later
"""The live patches in force after a boot, and how they were loaded."""

from __future__ import annotations

import pytest

from tests.vm.support.demo_host import UNIT
from vm.common import Failure
from vm.kernels import Kernel

BOOT_UNIT = "livepatch-boot.service"


def test_same_kernel_loads_its_patch_again_before_the_network(patched):
    host = patched
    host.run("livepatch unload --this-boot livepatch_demo_1; livepatch reconcile")
    assert host.loaded() == [] and host.leaks()
    before = host.boot_id()
    host.reboot()
    assert host.boot_id() != before
    assert host.loaded() == ["livepatch_demo_1"] and not host.leaks()
    # It was done before anything that has to do with the network began.
    network = host.moment("network-pre.target", "ActiveEnterTimestampMonotonic")
    assert 0 < host.patched_at("livepatch_demo_1") <= network / 1e6
    # Once more changes nothing: the module stays the one that boot loaded.
    inode = "stat -c %i /sys/kernel/livepatch/livepatch_demo_1"
    first = host.run(inode)
    host.run(f"systemctl restart {BOOT_UNIT} && livepatch reconcile")
    assert host.run(inode) == first and host.loaded() == ["livepatch_demo_1"]


def test_new_kernel_gets_its_own_patch(patched):
    host = patched
    host.reboot(host.new)
    assert host.run("uname -r").strip() == host.new.release
    assert host.loaded() == ["livepatch_demo_1"] and not host.leaks()
    vermagic = host.run("modinfo -F vermagic $(find /usr/lib/modules/$(uname -r)/livepatch -name '*.ko')")
    assert vermagic.split()[0] == host.new.release


def test_new_kernel_without_a_patch_gets_none(host):
    host.stage("lag")
    host.run("dnf -y -q upgrade")
    assert host.loaded() == ["livepatch_demo_1"]
    host.reboot(host.new)
    assert host.loaded() == [] and host.modules() == [] and host.leaks()
    assert not host.unit_failed()
    assert host.machine.run(f"systemctl is-failed -q {BOOT_UNIT}").status != 0


def test_good_patch_survives_a_broken_successor_and_a_reboot(patched):
    host = patched
    host.stage("broken")
    host.run("dnf -y -q upgrade", status=5)
    host.reboot()
    assert host.loaded() == ["livepatch_demo_1"] and not host.leaks()
    assert_failure_shows(host)


def test_broken_patch_at_boot_shows_and_leaves_the_host_up(host):
    host.stage("broken")
    host.run("dnf -y -q upgrade", status=5)
    host.reboot()
    assert "broken on purpose" in host.run("dmesg"), "the kernel was asked in this boot too"
    assert host.loaded() == [] and host.modules() == [] and host.leaks()
    assert_failure_shows(host)


def assert_failure_shows(host):
    """The boot went on to its end, and systemd's own lists name the unit that did not."""
    assert host.run("systemctl is-active multi-user.target network-pre.target").split() == ["active"] * 2
    assert UNIT in host.run("systemctl --failed --plain --no-legend")
    assert host.run("systemctl is-system-running", status=1).strip() == "degraded"
    assert "not in force" in host.run(f"journalctl -b --no-pager -u {UNIT}")
    host.status(code=5)


@pytest.mark.parametrize("switch", ["livepatch.enable=0", "kpatch.enable=0"])
def test_kill_switch_on_the_kernel_command_line(patched, switch):
    host = patched
    host.reboot(append=switch)
    assert host.loaded() == [] and host.leaks()
    assert switch in host.run("livepatch reconcile")
    assert host.loaded() == [] and not host.unit_failed()


def test_release_with_two_dashes(host):
    """RPM takes no such release as a version; the parenthesised capability has to do."""
    kernel: Kernel = host.dashes
    host.run(f"dnf -y -q --setopt=best=0 install kernel-core-{kernel.version}-{kernel.rpm_release}")
    host.reboot(kernel)
    assert host.leaks()
    host.run("dnf -y upgrade")
    assert host.loaded() == ["livepatch_demo_1"] and not host.leaks()


def test_guest_that_never_comes_up_fails(host):
    """Without a guest no test passes: the harness raises Failure."""
    with pytest.raises(Failure, match="QEMU ended|does not answer"):
        host.machine.boot(host.old, append="init=/nowhere root=/dev/nowhere rdinit=/nowhere")
