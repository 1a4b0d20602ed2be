# SPDX-License-Identifier: GPL-2.0-or-later
"""Ways back: undo, downgrade, remove, and what is not ours to take away."""

from __future__ import annotations


def test_undo_of_the_second_patch_puts_the_first_in_force(patched):
    host = patched
    host.stage("v2")
    host.run("dnf -y -q upgrade")
    assert host.loaded() == ["livepatch_demo_2"]
    host.run("dnf -y history undo last")
    assert host.installed(host.patch) == "1-1"
    assert host.loaded() == ["livepatch_demo_1"]
    assert not host.leaks() and host.tells_builder()


def test_downgrade_puts_the_first_in_force(patched):
    host = patched
    host.stage("v2")
    host.run("dnf -y -q upgrade")
    host.run(f"dnf -y downgrade {host.patch}")
    assert host.installed(host.patch) == "1-1"
    assert host.loaded() == ["livepatch_demo_1"] and host.modules() == ["livepatch_demo_1"]


def test_undo_of_the_first_patch_leaves_none_in_force(patched):
    host = patched
    host.run("dnf -y history undo last")
    assert host.installed(host.patch) == "" and host.loaded() == [] and host.leaks()
    assert host.modules() == []


def test_remove_leaves_none_in_force(patched):
    host = patched
    host.run(f"dnf -y remove {host.patch}")
    assert host.installed(host.patch) == "" and host.loaded() == [] and host.leaks()
    assert not host.unit_failed()


def test_unload_sticks_until_the_next_boot(patched):
    host = patched
    host.run("livepatch unload --until-boot 2>&1 || livepatch unload")
    assert host.loaded() == [] and host.leaks()
    host.run("livepatch reconcile; true")
    assert host.loaded() == []


def test_patch_loaded_by_hand_is_left_alone(host):
    host.stage("kernel")
    host.run(
        f"mkdir /root/x && cd /root/x && rpm2cpio /srv/demo/updates/{host.patch}-1-1.*.rpm >p && "
        "python3 - <<'END'\nimport re\ndata = open('p', 'rb').read()\nat = data.index(b'\\x7fELF')\n"
        "head = data.rindex(b'070701', 0, at)\nsize = int(data[head + 54:head + 62], 16)\n"
        "open('livepatch_demo_1.ko', 'wb').write(data[at:at + size])\nEND\ninsmod livepatch_demo_1.ko"
    )
    host.run(
        "for i in $(seq 60); do [ $(cat /sys/kernel/livepatch/*/transition) = 0 ] && break; sleep 1; done"
    )
    assert host.loaded() == ["livepatch_demo_1"] and not host.leaks()
    host.run("livepatch reconcile; true")
    host.run("dnf -y upgrade")
    assert host.loaded() == ["livepatch_demo_1"] and not host.leaks()


def test_removing_the_runtime_says_what_stays(patched):
    host = patched
    text = host.run("dnf -y remove livepatch-runtime")
    assert "livepatch_demo_1" in text and "next boot" in text
    assert host.loaded() == ["livepatch_demo_1"] and not host.leaks()
