# SPDX-License-Identifier: GPL-2.0-or-later
"""Ways back: undo, downgrade, remove, and live patches that the host must not take away."""

from __future__ import annotations

import pytest

from tests.vm.support.demo_host import PATCHED


@pytest.fixture(scope="module")
def replaced(upgraded):
    """The host with the second live patch in force, with a snapshot to go back to."""
    upgraded.reset(PATCHED)
    upgraded.stage("v2")
    upgraded.run("dnf -y -q upgrade")
    assert upgraded.loaded() == ["livepatch_demo_2"]
    upgraded.machine.save("second")
    return upgraded


@pytest.fixture
def second(replaced):
    replaced.reset("second")
    return replaced


# These are no upgrades: the plugin adds nothing, and still waits until the kernel has followed.


@pytest.mark.parametrize("command", ["history undo last", "downgrade {patch}"])
def test_back_to_the_first_patch(second, command):
    host = second
    text = host.run("dnf -y " + command.format(patch=host.patch))
    assert host.installed(host.patch) == "1-1"
    assert host.loaded() == ["livepatch_demo_1"], "dnf waited"
    assert f"Live patch {host.patch}-1-1.x86_64 is in force" in text
    assert text.index("is in force") < text.index("Complete!")
    host.comes(["livepatch_demo_1"])
    assert not host.leaks() and host.tells_builder() and not host.unit_failed()


@pytest.mark.parametrize("command", ["history undo last", "remove {patch}"])
def test_back_to_none(patched, command):
    host = patched
    text = host.run("dnf -y " + command.format(patch=host.patch))
    assert host.installed(host.patch) == ""
    assert host.loaded() == [], "dnf waited"
    assert f"Live patch {host.patch}-1-1.x86_64 is out of force." in text
    assert "CVEs open again: CVE-1900-0001" in text
    host.comes([])
    assert host.leaks() and not host.unit_failed()


def test_install_by_name_is_followed_to_the_end(host):
    """The documented way of some vendors. Of a patch that the kernel refuses, dnf tells by its status."""
    text = host.run(f"dnf -y install {host.patch}")
    assert host.loaded() == ["livepatch_demo_1"] and not host.leaks()
    assert f"Live patch {host.patch}-1-1.x86_64 is in force" in text
    host.stage("broken")
    text = host.run(f"dnf -y install {host.patch}-3-1", status=5)
    assert "Complete!" in text and host.installed(host.patch) == "3-1"
    assert host.loaded() == ["livepatch_demo_1"]
    text = host.run(f"dnf -y reinstall {host.patch}", status=5)
    assert "Complete!" in text
    host.run(f"dnf -y remove {host.patch}")
    assert host.loaded() == [] and host.leaks() and host.status()["state"] != "failed"


def test_unload_sticks_until_unblocked(patched):
    host = patched
    host.run("livepatch unload livepatch_demo_1")
    assert host.loaded() == [] and host.modules() == [] and host.leaks()
    host.run("livepatch reconcile")
    host.reboot()
    host.run("dnf -y upgrade")
    assert host.loaded() == [] and host.leaks()
    package = host.run(f"rpm -q {host.patch}").strip()
    host.run(f"livepatch unblock {package} && livepatch reconcile")
    assert host.loaded() == ["livepatch_demo_1"] and not host.leaks()


def test_patch_loaded_by_hand_is_left_alone(host):
    host.stage("kernel")
    host.run(
        f"mkdir /root/x && cd /root/x && rpm2cpio {host.file} >p && "
        "python3 - <<'END'\nimport re\ndata = open('p', 'rb').read()\nat = data.index(b'\\x7fELF')\n"
        "head = data.rindex(b'070701', 0, at)\nsize = int(data[head + 54:head + 62], 16)\n"
        "open('livepatch_demo_1.ko', 'wb').write(data[at:at + size])\nEND\ninsmod livepatch_demo_1.ko"
    )
    host.run("until [ $(cat /sys/kernel/livepatch/*/transition) = 0 ]; do sleep 0.3; done")
    assert host.loaded() == ["livepatch_demo_1"] and not host.leaks()
    host.run("livepatch reconcile; true")
    host.run("dnf -y upgrade")
    assert host.loaded() == ["livepatch_demo_1"] and not host.leaks()


def test_removing_the_runtime_says_what_stays(patched):
    host = patched
    text = host.run("dnf -y remove livepatch-runtime")
    assert "livepatch_demo_1" in text and "next boot" in text
    assert host.loaded() == ["livepatch_demo_1"] and not host.leaks()
