# SPDX-License-Identifier: GPL-2.0-or-later
"""The running kernel: its release and ids, its restrictions, and whether it can be patched here."""

from __future__ import annotations

import os
import re
import sys
import time

from ...base import names
from ...base.model import Kernel
from ...base.paths import Paths
from ..read import read_bytes, read_text
from .module_file import note_build_id

CONTAINER, CHROOT = "this is a container, and only its host can load live patches", "this is a chroot"
#: The reasons against a place that perhaps only root can see.
PRIVATE = (CONTAINER, CHROOT)
KILL_SWITCHES = ("livepatch.enable=0", "kpatch.enable=0")
_BOOT_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")


def boot_id(paths: Paths) -> str:
    """Return the kernel's id of this boot; "" when it cannot be read."""
    text = read_text(paths.at("/proc/sys/kernel/random/boot_id"), 64)
    return text if _BOOT_ID.match(text) else ""


def uptime(paths: Paths) -> float:
    """Return the seconds since this boot, 0.0 when unknown; unlike the clock, uptime is never set back.

    Like the time stamps of the kernel's messages, uptime stands still while the host is suspended.
    """
    if paths.root == "/":
        return time.monotonic()
    try:
        return float(read_text(paths.at("/proc/uptime"), 64).split()[0])
    except (ValueError, IndexError):
        return 0.0


def build_id(paths: Paths) -> str:
    """Return the ELF build id of the running kernel from /sys/kernel/notes; "" when unreadable."""
    data = read_bytes(paths.at("/sys/kernel/notes"), 65536)
    return note_build_id(data, "<" if sys.byteorder == "little" else ">")


def running(paths: Paths) -> Kernel:
    """Return the running kernel. Below a root other than /, the files there count, not uname()."""
    machine = os.uname()
    release = machine.release
    if paths.root != "/":
        release = read_text(paths.at("/proc/sys/kernel/osrelease"), 256)
    if not names.RELEASE.match(release):
        release = ""
    arch = "" if paths.foreign else machine.machine
    return Kernel(release, arch, build_id(paths), boot_id(paths), os.path.isdir(paths.klp))


def lockdown(paths: Paths) -> str:
    """Return ``none``, ``integrity`` or ``confidentiality``; "" where the kernel has no lockdown."""
    text = read_text(paths.at("/sys/kernel/security/lockdown"), 256)
    match = re.search(r"\[([a-z]+)\]", text)
    return match.group(1) if match else ""


def sig_enforce(paths: Paths) -> bool:
    """Return whether the kernel refuses every module that no key of its keyrings has signed."""
    return read_text(paths.at("/sys/module/module/parameters/sig_enforce"), 8) == "Y"


def killed(paths: Paths) -> str:
    """Return the kill switch that is on the kernel's command line; "" when there is none."""
    words = read_text(paths.at("/proc/cmdline")).split()
    return next((word for word in KILL_SWITCHES if word in words), "")


def _container(paths: Paths) -> bool:
    marks = ("/run/systemd/container", "/run/.containerenv", "/.dockerenv")
    if any(os.path.exists(paths.at(mark)) for mark in marks):
        return True
    return b"\0container=" in b"\0" + read_bytes(paths.at("/proc/1/environ"), 65536)


def _chroot(paths: Paths) -> bool:
    # Only root may look through /proc/1/root; for anybody else the place counts as no chroot.
    try:
        first, here = os.stat(paths.at("/proc/1/root/.")), os.stat(paths.at("/"))
    except OSError:
        return False
    return (first.st_dev, first.st_ino) != (here.st_dev, here.st_ino)


def other_product(paths: Paths) -> str:
    """Return why no patch is added: another live-patching product owns this kernel; "" for none."""
    return "KernelCare patches this kernel" if os.path.isdir(f"{paths.modules}/kcare") else ""


def environment(paths: Paths) -> str:
    """Return why this is no place to load live patches; "" where it is one."""
    if _container(paths):
        return CONTAINER
    if paths.root == "/" and _chroot(paths):
        return CHROOT
    if os.path.exists(paths.at("/proc/vmcore")):
        return "this is the kdump kernel"
    if os.path.lexists(paths.at("/system-update")) or os.path.lexists(paths.at("/etc/system-update")):
        return "an offline system update is under way"
    switch = killed(paths)
    if switch:
        return f"{switch} is on the kernel command line"
    if not os.path.isdir(paths.klp):
        return "the running kernel has no live patching (no /sys/kernel/livepatch)"
    return ""
