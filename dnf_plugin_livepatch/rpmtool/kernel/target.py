# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel that a package is for: its release, development files, source tree and vmlinux."""

from __future__ import annotations

import functools
import os
import re
from typing import NamedTuple

from ...base.names import MODULE_FILE, RELEASE, module_of
from ...toolkit.errors import refuse
from ..readers.elf import Elf, map_module, read_vmlinux

_DEVEL = ("/usr/src/kernels/{}", "/usr/src/linux-headers-{}", "/lib/modules/{}/build")


class KernelFiles(NamedTuple):
    """The kernel and its files as the builder names them, each "" where not given.

    ``devel`` is a folder or a release; ``source_rpm`` and ``debuginfo`` stand for ``tree`` and ``vmlinux``.
    """

    release: str = ""
    devel: str = ""
    tree: str = ""
    vmlinux: str = ""
    config: str = ""
    build_id: str = ""
    source_rpm: str = ""
    debuginfo: str = ""


class Target(NamedTuple):
    """A kernel's release and files, "" for each not given. ``devel`` is a folder for ``make M=``."""

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
    """The release in the files of the kernel build folder ``folder``, "" when none is there.

    utsrelease.h is what vermagic and ``uname -r`` are made from; kernel.release holds another one
    where the distribution has numbers of its own, as Debian's 6.1.0-NN.
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


def installed_devel(release: str) -> list[str]:
    """The folders where distributions install the development files of the kernel ``release``."""
    return [form.format(release) for form in _DEVEL]


def devel_folder(wanted: str) -> str:
    """The development folder ``wanted``, which is a path or a kernel release. Raises ToolError."""
    if os.path.isdir(wanted):
        return os.path.abspath(wanted)
    if RELEASE.match(wanted):
        for folder in installed_devel(wanted):
            if os.path.isdir(folder):
                return os.path.realpath(folder)
    refuse("kernel-devel-missing", path=wanted, what="the folder")


def locate(files: KernelFiles) -> Target:
    """The Target that ``files`` lead to, without its RPMs. Raises ToolError.

    Where all ``files`` are "", the release is "" too: the module or the running kernel gives it later.
    """
    folder = devel_folder(files.devel) if files.devel else ""
    release = files.release
    if release and not (RELEASE.match(release) and re.match(r"[0-9]+\.[0-9]", release)):
        refuse("metadata-invalid", what=f"--kernel {release[:60]}: no kernel release as uname -r prints it")
    for place in (folder, files.tree):
        if not place:
            continue
        found = release_of(place)
        if place == folder and not found:
            refuse("kernel-devel-missing", path=place, what="include/config/kernel.release")
        if release and found and found != release:
            refuse("release-mismatch", wanted=release, where=place, found=found)
        release = release or found
    return Target(
        release,
        folder,
        files.tree and os.path.abspath(files.tree),
        files.vmlinux and os.path.abspath(files.vmlinux),
        files.config and os.path.abspath(files.config),
        check_vmlinux(files.vmlinux, release, files.build_id) if files.vmlinux else files.build_id,
    )


def check_vmlinux(path: str, release: str, build_id: str) -> str:
    """The build id of the vmlinux at ``path``, which must be that of ``release``. Raises ToolError."""
    if not os.path.isfile(path):
        refuse("input-missing", path=path)
    elf = read_vmlinux(path)
    if release:
        banner = f"Linux version {release} ".encode("ascii")
        # The kernel prints its release by this banner, which stripped images keep too.
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
                names.add(module_of(fields[2]))
    return frozenset(names - {"vmlinux"})


@functools.cache
def _module_files(folder: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for place, _, names in os.walk(folder):
        for name in names:
            if MODULE_FILE.search(name):
                found.setdefault(module_of(name), os.path.join(place, name))
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
    """Function -> the sections of that name in the module at ``path``; {} for another kernel's module."""
    elf = map_module(path)
    # A debuginfo file has the symbols, and an empty vermagic.
    made_for = elf.modinfo().get("vermagic", "").split(" ")[0]
    found: dict[str, list[str]] = {}
    for symbol in elf.symbols if made_for in ("", release) else ():
        if symbol.kind == 2 and 0 < symbol.section < len(elf.sections):
            found.setdefault(symbol.name, []).append(elf.sections[symbol.section].name)
    return found


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
    # Relocatable images of some machines hold zeroes here until they boot.
    return sorted(found) if found and min(found) > 0 else []
