# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel that a package is for: its release, development files, source tree and vmlinux."""

from __future__ import annotations

import functools
import os
import re
from typing import NamedTuple

from ...base.names import MODULE, RELEASE
from ...base.paths import Paths
from ...vendors.profiles import find, load, package_name
from ..checks import refuse
from ..readers.elf import Elf, map_module, read_vmlinux

_RPM_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,199}\Z")


class Target(NamedTuple):
    """Where the kernel's files are; "" for what was not given. ``devel`` is a folder for ``make M=``."""

    release: str
    devel: str = ""
    tree: str = ""
    vmlinux: str = ""
    config: str = ""
    build_id: str = ""

    @property
    def symvers(self) -> str:
        """The kernel's Module.symvers, "" when there is none."""
        for folder in (self.devel, self.tree):
            path = os.path.join(folder, "Module.symvers")
            if folder and os.path.isfile(path):
                return path
        return ""


def release_of(folder: str) -> str:
    """The release that the kernel build folder ``folder`` says, "" when it says none.

    utsrelease.h is what vermagic and ``uname -r`` are made from; kernel.release holds another one
    where the distribution numbers its kernels by itself, as Debian's 6.1.0-NN does.
    """
    for name in ("include/generated/utsrelease.h", "include/config/kernel.release"):
        try:
            with open(os.path.join(folder, name), encoding="ascii") as file:
                text = file.read(256).replace("#define UTS_RELEASE", "").strip().strip('"')
        except (OSError, UnicodeDecodeError):
            continue
        if RELEASE.match(text):
            return text
    return ""


def devel_folder(wanted: str) -> str:
    """The development folder ``wanted``, which is a path or a kernel release. Raises ToolError."""
    if os.path.isdir(wanted):
        return os.path.abspath(wanted)
    if RELEASE.match(wanted):
        for form in ("/usr/src/kernels/{}", "/usr/src/linux-headers-{}", "/lib/modules/{}/build"):
            if os.path.isdir(form.format(wanted)):
                return os.path.realpath(form.format(wanted))
    refuse("kernel-devel-missing", path=wanted, what="the folder")


def locate(kernel: str, devel: str, tree: str, vmlinux: str, config: str, build_id: str) -> Target:
    """The Target that the options name, each "" where not given. Raises ToolError.

    Without any of them the release is "", to be taken from the module itself or the running kernel.
    """
    folder = devel_folder(devel) if devel else ""
    release = kernel
    if kernel and not (RELEASE.match(kernel) and re.match(r"[0-9]+\.[0-9]", kernel)):
        refuse("metadata-invalid", what=f"--kernel {kernel[:60]}: no kernel release as uname -r prints it")
    for place in (folder, tree):
        if not place:
            continue
        found = release_of(place)
        if place == folder and not found:
            refuse("kernel-devel-missing", path=place, what="include/config/kernel.release")
        if release and found and found != release:
            refuse("release-mismatch", wanted=release, where=place, found=found)
        release = release or found
    if vmlinux:
        build_id = check_vmlinux(vmlinux, release, build_id)
    return Target(
        release,
        folder,
        tree and os.path.abspath(tree),
        vmlinux and os.path.abspath(vmlinux),
        config and os.path.abspath(config),
        build_id,
    )


def check_vmlinux(path: str, release: str, build_id: str) -> str:
    """The build id of the vmlinux at ``path``, which must be that of ``release``. Raises ToolError."""
    if not os.path.isfile(path):
        refuse("input-missing", path=path)
    elf = read_vmlinux(path)
    if release:
        banner = f"Linux version {release} ".encode("ascii")
        # The banner is the kernel's own word on its release; stripped images keep it too.
        if elf.data.find(banner, 0) < 0:
            refuse("vmlinux-mismatch", path=path, why=f"it is not of {release}")
    found = elf.build_id()
    if build_id and found and build_id != found:
        refuse("vmlinux-mismatch", path=path, why=f"its build id is {found}, wanted is {build_id}")
    return build_id or found


def crcs(symvers: str) -> dict[str, int]:
    """Symbol -> CRC of the kernel's Module.symvers. Raises ToolError."""
    found = {}
    try:
        with open(symvers, encoding="ascii", errors="replace") as file:
            for line in file:
                fields = line.split("\t")
                if len(fields) >= 3:
                    found[fields[1]] = int(fields[0], 16)
    except (OSError, ValueError) as error:
        refuse("kernel-devel-missing", path=symvers, what=str(error)[:80])
    return found


def kernel_modules(symvers: str) -> frozenset[str]:
    """The names of the kernel's own modules that export something, from its Module.symvers."""
    names = set()
    with open(symvers, encoding="ascii", errors="replace") as file:
        for line in file:
            fields = line.split("\t")
            if len(fields) >= 3:
                names.add(fields[2].rpartition("/")[2].replace("-", "_"))
    return frozenset(names - {"vmlinux"})


@functools.cache
def _module_files(folder: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for place, _, names in os.walk(folder):
        for name in names:
            if name.endswith((".ko", ".ko.debug")):
                stem = name.partition(".")[0].replace("-", "_")
                found.setdefault(stem, os.path.join(place, name))
    return found


def module_file(target: Target, name: str) -> str:
    """The file of the kernel's own module ``name`` in its build folders or debuginfo, "" where none is."""
    around = os.path.join(os.path.dirname(target.vmlinux), "kernel") if target.vmlinux else ""
    for folder in (target.devel, target.tree, around):
        path = _module_files(folder).get(name, "") if folder else ""
        if path:
            return path
    return ""


def module_functions(path: str, release: str) -> dict[str, list[str]]:
    """Function -> the section of each of that name in the module at ``path``; {} for another kernel's."""
    elf = map_module(path)
    # A debuginfo file has the symbols, and of vermagic no more than the room.
    made_for = elf.modinfo().get("vermagic", "").split(" ")[0]
    found: dict[str, list[str]] = {}
    for symbol in elf.symbols if made_for in ("", release) else ():
        if symbol.kind == 2 and 0 < symbol.section < len(elf.sections):
            found.setdefault(symbol.name, []).append(elf.sections[symbol.section].name)
    return found


def package_of(release: str, profile: str) -> str:
    """The package name for ``release`` as the vendor ``profile`` names its own. Raises ToolError.

    Where that vendor has no name for such a release (Debian's, say, or a flavour), a name that no
    vendor's rule reads: what the package provides tells which kernel it is for.
    """
    profiles, _faults = load(Paths().profile_dirs)
    try:
        name = package_name(release, find(profiles, profile))
    except KeyError:
        known = ", ".join(item.name for item in profiles if item.names)
        refuse("metadata-invalid", what=f"--profile {profile[:40]}: known are {known or 'none'}")
    name = name or "klp-patch-" + re.sub(r"[^A-Za-z0-9-]", "_", release)
    if not _RPM_NAME.match(name):
        refuse("metadata-invalid", what=f"--kernel {release[:60]}: makes no package name")
    return name


def module_name(text: str) -> str:
    """``text`` as the name of a module, dashes as underscores, as the kernel does. Raises ToolError."""
    name = text.replace("-", "_")
    if not MODULE.match(name):
        refuse("name-unfit", name=text[:80])
    return name


def default_module(release: str, version: str, number: str) -> str:
    """A module name that tells kernel and patch version. Raises ToolError when it is too long."""
    return module_name(re.sub(r"[^A-Za-z0-9]", "_", f"livepatch_{release}_{version}_{number}"))


class Kernel:
    """The patched kernel's functions, from its vmlinux: where each is, and whether ftrace reaches it."""

    def __init__(self, path: str) -> None:
        elf = read_vmlinux(path)
        self.functions: dict[str, list[tuple[int, int]]] = {}
        for symbol in elf.symbols:
            if symbol.kind == 2:
                self.functions.setdefault(symbol.name, []).append((symbol.value, symbol.size))
        marks = {
            s.name: s.value
            for s in elf.symbols
            if s.name in ("_sinittext", "_einittext", "__start_mcount_loc", "__stop_mcount_loc")
        }
        self.init = (marks.get("_sinittext", 0), marks.get("_einittext", 0))
        self.traced = _traced(elf, marks.get("__start_mcount_loc", 0), marks.get("__stop_mcount_loc", 0))


def _traced(elf: Elf, start: int, stop: int) -> list[int]:
    """The sorted addresses that ftrace can hook, empty when the image does not hold them."""
    section = next((s for s in elf.sections if start and s.address <= start < s.address + s.size), None)
    if section is None or not start < stop <= section.address + section.size:
        return []
    raw = elf.bytes_of(section)[start - section.address : stop - section.address]
    order = "little" if elf.order == "<" else "big"
    found = [int.from_bytes(raw[i : i + 8], order) for i in range(0, len(raw) - 7, 8)]  # type: ignore[arg-type]
    # Relocatable images of some machines hold zeroes here until they boot: that tells nothing.
    return sorted(found) if found and min(found) > 0 else []
