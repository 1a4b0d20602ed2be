# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel's source RPM and debuginfo RPM -> source tree, configuration and vmlinux.

The source RPM's %prep runs: it is as much trusted as the kernel that it makes.
"""

from __future__ import annotations

import glob
import os
import re
import shutil

from ...toolkit.errors import refuse
from ...toolkit.programs import Runner, need
from ..readers.elf import read_vmlinux
from ..readers.rpm_file import extract
from .target import KernelFiles, Target, locate


def unpack(files: KernelFiles, work: str, runner: Runner) -> Target:
    """The Target in the source RPM and the debuginfo RPM or vmlinux of ``files``, below ``work``.

    Raises ToolError.
    """
    for path in (files.source_rpm, files.debuginfo):
        if path and not os.path.isfile(path):
            refuse("input-missing", path=path)
    need("rpmbuild", "Install rpm-build (the package rpm on Debian).")
    top = os.path.join(work, "kernel")
    os.makedirs(os.path.join(top, "BUILD"))
    vmlinux = _vmlinux(files, top, runner)
    release = files.release or banner(vmlinux)
    tree = _prepared(files.source_rpm, top, runner)
    given = files.config or _config(tree, os.path.join(top, "SOURCES"), release)
    config = os.path.join(tree, ".config")
    if os.path.abspath(given) != config:
        shutil.copyfile(given, config)
    _name(tree, release, runner)
    return locate(KernelFiles(release, "", tree, vmlinux, config, files.build_id))


def _vmlinux(files: KernelFiles, top: str, runner: Runner) -> str:
    """The vmlinux of the debuginfo RPM, unpacked below ``top``, else the one that was given."""
    if not files.debuginfo:
        if not files.vmlinux:
            refuse("usage", what="--kernel-srpm needs --debuginfo or --vmlinux.")
        return files.vmlinux
    runner.steps.step(f"Unpacking {os.path.basename(files.debuginfo)}")
    vmlinux = os.path.join(top, "vmlinux")
    if not extract(files.debuginfo, "vmlinux", vmlinux):
        refuse("vmlinux-mismatch", path=files.debuginfo, why="it holds no vmlinux")
    return vmlinux


def _prepared(source_rpm: str, top: str, runner: Runner) -> str:
    """The source tree that the %prep of ``source_rpm`` makes below ``top``."""
    runner.steps.step(f"Unpacking {os.path.basename(source_rpm)}")
    define = ["--define", f"_topdir {top}"]
    base = ["--dbpath", os.path.join(top, "db")]
    _succeed(runner, ["rpm", *define, *base, "-i", os.path.abspath(source_rpm)])
    specs = glob.glob(os.path.join(top, "SPECS", "*.spec"))
    if len(specs) != 1:
        refuse("rpm-unreadable", file=source_rpm, reason=f"it holds {len(specs)} spec files")
    _succeed(runner, ["rpmbuild", "-bp", "--nodeps", *define, *specs])
    return _tree(os.path.join(top, "BUILD"), source_rpm)


def _succeed(runner: Runner, argv: list[str]) -> None:
    outcome = runner.run(argv)
    if outcome.status:
        refuse("rpmbuild-failed", status=outcome.status, last=outcome.last, log=runner.log)


def banner(vmlinux: str) -> str:
    """The release in the banner of the kernel image. Raises ToolError ``vmlinux-mismatch``."""
    match = re.search(rb"Linux version ([A-Za-z0-9._+~^-]{3,128}) \(", read_vmlinux(vmlinux).data)
    if match is None:
        refuse("vmlinux-mismatch", path=vmlinux, why="it names no release")
    return match.group(1).decode("ascii")


def _tree(build: str, srpm: str) -> str:
    found: list[str] = []
    for folder, folders, names in os.walk(build):
        if "Kconfig" in names and "Kbuild" in names and "kernel" in folders:
            found.append(folder)
            folders[:] = []
        elif folder.count(os.sep) - build.count(os.sep) > 3:
            folders[:] = []
    if len(found) != 1:
        refuse("rpm-unreadable", file=srpm, reason=f"{len(found)} kernel source trees come out of its %prep")
    return found[0]


def _config(tree: str, sources: str, release: str) -> str:
    """The configuration of ``release``: the tree's own, else the vendor's for machine and flavour."""
    own = os.path.join(tree, ".config")
    if os.path.isfile(own):
        return own
    variant = release.partition("+")[2]
    machine = os.uname().machine
    found = []
    for folder in (os.path.join(tree, "configs"), tree, sources):
        for path in sorted(glob.glob(os.path.join(folder, "*config*"))):
            name = os.path.basename(path)
            if os.path.isfile(path) and machine in name and ("debug" in name) == ("debug" in variant):
                if not variant or variant.split("-")[0] in name:
                    found.append(path)
    if not found:
        refuse("usage", what="The kernel's source RPM holds no configuration for it: give --config.")
    return min(found, key=lambda path: (len(os.path.basename(path)), path))


def _name(tree: str, release: str, runner: Runner) -> None:
    """Give the tree the name ``release``: a vendor's spec does so only in its %build."""
    outcome = runner.run(["make", "-s", "-C", tree, "kernelversion"])
    version = outcome.tail[-1].strip() if outcome.tail and not outcome.status else ""
    if not version or not release.startswith(version):
        refuse("release-mismatch", wanted=release, where="the source", found=version or "nothing")
    with open(os.path.join(tree, ".config"), encoding="utf-8") as file:
        lines = [
            line
            for line in file
            if not line.startswith(("CONFIG_LOCALVERSION=", "CONFIG_LOCALVERSION_AUTO="))
        ]
    lines += [
        f'CONFIG_LOCALVERSION="{release[len(version) :]}"\n',
        "# CONFIG_LOCALVERSION_AUTO is not set\n",
    ]
    with open(os.path.join(tree, ".config"), "w", encoding="utf-8") as file:
        file.writelines(lines)
    for path in glob.glob(os.path.join(tree, "localversion*")):
        os.unlink(path)
