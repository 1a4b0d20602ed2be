# SPDX-License-Identifier: GPL-2.0-or-later
"""A host whose disk says which kernel starts: GRUB reads its menu and environment block, boot after boot."""

from __future__ import annotations

import gzip
import re

import pytest

from tests.vm.support.demo_host import Host
from tests.vm.support.loaded import put
from vm import image, qemu

DEFAULTS = f"""GRUB_DEFAULT=saved
GRUB_TIMEOUT=0
GRUB_DISTRIBUTOR=demo
GRUB_CMDLINE_LINUX_DEFAULT=
GRUB_CMDLINE_LINUX="console=ttyS0 rw quiet systemd.show_status=0 panic=-1 {qemu.SECRET}"
"""
CHUNK = 1 << 18  # the emulated port takes more than this only slowly
EDIT = "grub-editenv /boot/grub/grubenv"


def check(host: Host) -> tuple[int, str]:
    done = host.machine.run("livepatch reboot-check")
    return done.status, done.out


def entries(host: Host) -> dict[str, str]:
    """The id of the menu's entry of each kernel, as GRUB wants it: that of its submenu before it."""
    text = host.machine.ok("cat /boot/grub/grub.cfg")
    ids = re.findall(r"^\s*(?:menuentry|submenu) .*'(gnulinux-[^']*)' *\{", text, re.MULTILINE)
    (above,) = [one for one in ids if one.startswith("gnulinux-advanced-")]
    return {
        kernel.release: f"{above}>{one}"
        for kernel in (host.old, host.new)
        for one in ids
        if one.startswith(f"gnulinux-{kernel.release}-advanced-")
    }


@pytest.fixture
def grub(patched: Host) -> Host:
    """The host with the first live patch in force and both kernels in the menu of its GRUB."""
    machine = patched.machine
    machine.ok("mkdir -p /boot/grub && grub-editenv /boot/grub/grubenv create")
    put(machine, "/etc/default/grub", DEFAULTS)
    for kernel in (patched.old, patched.new):
        with open(image.initrd(kernel), "rb") as file:
            data = gzip.compress(file.read(), mtime=0)
        for start in range(0, len(data), CHUNK):
            done = machine.run(
                f"cat >> /boot/initrd.img-{kernel.release}", stdin=data[start : start + CHUNK]
            )
            assert done.status == 0, done.err
    machine.ok("grub-mkconfig -o /boot/grub/grub.cfg")
    return patched


def test_reboots_into_a_pinned_kernel_are_advised_once_at_most(grub: Host) -> None:
    """A saved entry starts the old kernel again, a one-shot entry the new one for once."""
    machine, menu = grub.machine, entries(grub)
    machine.ok(f"{EDIT} set 'saved_entry={menu[grub.old.release]}'")
    code, text = check(grub)
    assert code == 0 and f"set to start kernel {grub.old.release} again" in text, text
    machine.reboot(grub.old, by_grub=True)
    assert grub.loaded() == grub.modules() != [], "the patch is in force again"
    code, text = check(grub)
    assert code == 0 and f"set to start kernel {grub.old.release} again" in text, text

    machine.ok(f"{EDIT} set 'next_entry={menu[grub.new.release]}'")
    assert check(grub)[0] == 100, "GRUB starts the newer one for once"
    machine.reboot(grub.new, by_grub=True)
    assert "next_entry=\n" in machine.ok(f"{EDIT} list") + "\n", "GRUB has used it up"
    assert check(grub)[0] == 0
    machine.reboot(grub.old, by_grub=True)

    machine.ok(f"{EDIT} unset saved_entry")
    assert check(grub)[0] == 100, "the menu begins with the newest"
    machine.reboot(grub.new, by_grub=True)
    assert check(grub)[0] == 0
