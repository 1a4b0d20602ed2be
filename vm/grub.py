# SPDX-License-Identifier: GPL-2.0-or-later
"""GRUB in front of the demo host, so that the disk itself says which kernel starts.

QEMU starts GRUB as it starts a Linux kernel (grub-core's lnxboot). GRUB then reads grub.cfg and grubenv from
the disk through the BIOS, and writes grubenv, as on a host whose disk holds GRUB too.
"""

from __future__ import annotations

import os

from .common import cached, content, digest, here, run, write

_PARTS = "/usr/lib/grub/i386-pc"
_MODULES = (
    "biosdisk ext2 linux normal configfile search loadenv test echo gzio all_video part_gpt part_msdos"
)
_START = "set root=(hd0)\nset prefix=(hd0)/boot/grub\nnormal /boot/grub/grub.cfg\n"


def image() -> str:
    """The path of a GRUB that QEMU takes for a kernel. Raises Failure where grub-pc-bin is not installed."""

    def make(work: str) -> None:
        start, core = (os.path.join(work, name) for name in ("start.cfg", "core.img"))
        write(start, _START)
        command = ["grub-mkimage", "-O", "i386-pc", "-d", _PARTS, "-p", "(hd0)/boot/grub", "-c", start]
        run([*command, "-o", core, *_MODULES.split()])
        with open(os.path.join(work, "grub"), "wb") as file:
            for part in (f"{_PARTS}/lnxboot.img", core):
                with open(part, "rb") as source:
                    file.write(source.read())
        os.unlink(core)

    key = digest(run(["grub-mkimage", "--version"]), content(*here("grub.py")))
    return os.path.join(cached("grub", key, "making a GRUB for the demo host", make), "grub")
