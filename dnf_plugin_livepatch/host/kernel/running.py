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
UNABLE = "no kernel module can be loaded from here, as in a container"
LOCKED = "kernel.modules_disabled is on, and no module can be loaded until the next boot"
#: The reasons against a place that perhaps only root can see.
PRIVATE = (CONTAINER, CHROOT, UNABLE)
#: Products that patch a kernel in their own way, by the names of their modules.
_PRODUCTS = (("KernelCare", "kcare"), ("kpatch's own module", "kpatch"), ("Ksplice", "ksplice"))
_SYS_MODULE = 16
_ALL_IDS = ["0", "0", "4294967295"]
_SWITCHED_OFF = re.compile(
    r"\"?(?:livepatch|kpatch)\.enable=[\"']?(?:0|n|no|off|false)[\"']*\Z", re.IGNORECASE
)
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
    return next((word for word in words if _SWITCHED_OFF.match(word)), "")


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


def other_products(paths: Paths) -> list[str]:
    """Return the other live-patching products in this kernel. They speak against every module of a patch."""
    try:
        loaded = os.listdir(paths.modules)
    except OSError:
        return []
    return [
        product
        for product, name in _PRODUCTS
        if any(n == name or (n.startswith(name + "_") and name != "kpatch") for n in loaded)
    ]


def _able(paths: Paths) -> bool:
    """Return whether a module can be loaded from here, by the kernel's own word. The unknown counts as yes.

    With systemd a service loads, which has the rights of process 1; without it, the caller's children do.
    """
    service = os.path.isdir(paths.at("/run/systemd/system"))
    proc = paths.at("/proc/1" if service else "/proc/self")
    rights = dict(line.partition(":")[::2] for line in read_text(proc + "/status").split("\n"))
    words = ["CapBnd"] if service or os.geteuid() else ["CapBnd", "CapEff"]
    for word in words:
        try:
            if not int(rights.get(word, "").strip(), 16) >> _SYS_MODULE & 1:
                return False
        except ValueError:
            continue
    # Root of a user namespace has every right but those over the kernel (user_namespaces(7)).
    ids = read_text(proc + "/uid_map", 4096)
    if ids and ids.split() != _ALL_IDS:
        return False
    return service or not os.path.isdir(paths.klp) or not _read_only(paths.klp)


def _read_only(path: str) -> bool:
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def environment(paths: Paths) -> str:
    """Return why this is no place to load live patches; "" where it is one."""
    if _container(paths):
        return CONTAINER
    if paths.root == "/" and _chroot(paths):
        return CHROOT
    if not paths.foreign and not _able(paths):
        return UNABLE
    if os.path.exists(paths.at("/proc/vmcore")):
        return "this is the kdump kernel"
    if os.path.lexists(paths.at("/system-update")) or os.path.lexists(paths.at("/etc/system-update")):
        return "an offline system update is under way"
    switch = killed(paths)
    if switch:
        return f"{switch} is on the kernel command line"
    if read_text(paths.at("/proc/sys/kernel/modules_disabled"), 8) == "1":
        return LOCKED
    if not os.path.isdir(paths.klp):
        return "the running kernel has no live patching (no /sys/kernel/livepatch)"
    return ""
