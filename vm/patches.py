# SPDX-License-Identifier: GPL-2.0-or-later
"""Real live patches for the demo's kernels, built by kbuild and packed as RPMs."""

from __future__ import annotations

import glob
import hashlib
import os
import re
import shutil
from typing import NamedTuple, Tuple

from dnf_plugin_livepatch import manifest
from dnf_plugin_livepatch.model import Function, Manifest, Unfixable

from .common import cached, content, digest, here, run, write
from .kernels import Choice, Kernel, headers, rpmbuild

CMDLINE = "CVE-1900-0001"
UNFIXABLE = "CVE-1900-0002"
VERSION = "CVE-1900-0003"
ISSUED = "2026-11-01T00:00:00Z"
SUPPORT_END = "2036-11-01"


class Patch(NamedTuple):
    """One live-patch package: ``release`` is the RPM release, ``flags`` choose parts of demo.c."""

    kernel: Kernel
    version: str
    advisory: str
    cves: Tuple[str, ...] = (CMDLINE,)
    flags: Tuple[str, ...] = ()
    built_for: "Kernel | None" = None

    @property
    def name(self) -> str:
        """The package's name, as RHEL builds it: dots and plus signs are underscores."""
        release = re.sub(r"[^A-Za-z0-9-]", "_", self.kernel.release)
        return "kpatch-patch-" + release

    @property
    def module(self) -> str:
        """The module's name: another one for each version, as both are loaded during a replace."""
        return re.sub(r"[^A-Za-z0-9]", "_", f"{self.name}_{self.version}".replace("kpatch-patch", "kpatch", 1))

    @property
    def functions(self) -> Tuple[str, ...]:
        """The kernel functions that the module replaces."""
        return ("cmdline_proc_show", *(("version_proc_show",) if "DEMO_VERSION" in self.flags else ()))


def patches(choice: Choice) -> "dict[str, Patch]":
    """Every live patch of the demo and the tests, by a short name."""
    both = (CMDLINE, VERSION)
    return {
        "v1": Patch(choice.old, "1", "DEMO-2026:0002"),
        "v2": Patch(choice.old, "2", "DEMO-2026:0004", both, ("DEMO_VERSION",)),
        "broken": Patch(choice.old, "3", "DEMO-2026:0005", both, ("DEMO_VERSION", "DEMO_BROKEN")),
        "vermagic": Patch(choice.old, "4", "DEMO-2026:0006", both, ("DEMO_VERSION",), choice.new),
        "new": Patch(choice.new, "1", "DEMO-2026:0003"),
        "dashes": Patch(choice.dashes, "1", "DEMO-2026:0007"),
    }


def module(patch: Patch) -> str:
    """The path of the compiled module of ``patch``."""
    kernel = patch.built_for or patch.kernel
    build = headers(kernel)

    def make(work: str) -> None:
        shutil.copy(os.path.join(here("patches")[0], "demo.c"), os.path.join(work, patch.module + ".c"))
        flags = " ".join("-D" + flag for flag in patch.flags)
        write(os.path.join(work, "Kbuild"), f"obj-m := {patch.module}.o\nccflags-y := {flags}\n")
        run(["nice", "make", "-C", build, f"M={work}", "modules"])

    key = digest(build, repr(patch), content(*here("patches.py", "patches/demo.c")))
    folder = cached("module-" + patch.module, key, f"compiling {patch.module}", make)
    return os.path.join(folder, patch.module + ".ko")


def build_id(path: str) -> str:
    """The ELF build id of the file at ``path``."""
    return re.findall(r"Build ID: ([0-9a-f]+)", run(["readelf", "-n", path]))[0]


_SPEC = """\
Name: {name}
Version: 1
Release: {release}
Summary: Demonstration live patch for kernel {uname}
License: GPL-2.0-or-later
ExclusiveArch: x86_64
AutoReqProv: no
Provides: livepatch(kernel-uname-r:{uname})
{provides}
Conflicts: %{{name}} < %{{version}}-%{{release}}
%global debug_package %{{nil}}
%global __os_install_post %{{nil}}
%global _build_id_links none

%description
Closes {cves}: demonstrations, no real CVEs.

%install
install -D -m 644 {module} %{{buildroot}}/usr/lib/modules/{uname}/livepatch/{ko}
install -D -m 644 {manifest} %{{buildroot}}/usr/share/livepatch/{uname}/{json}

%files
/usr/lib/modules/{uname}/livepatch
/usr/share/livepatch/{uname}
"""


def rpm(patch: Patch) -> str:
    """The path of the unsigned RPM of ``patch``."""
    path = module(patch)

    def make(work: str) -> None:
        with open(path, "rb") as file:
            sha256 = hashlib.sha256(file.read()).hexdigest()
        text = manifest.dump(Manifest(
            module=patch.module, kernel_release=patch.kernel.release, build_id=build_id(path), sha256=sha256,
            functions=tuple(Function("vmlinux", name) for name in patch.functions), cves=patch.cves,
            unfixable=(Unfixable(UNFIXABLE, "changes data that running tasks hold"),),
            advisory=patch.advisory, severity="Important", issued=ISSUED, support_end=SUPPORT_END,
        ))
        json = os.path.join(work, patch.module + ".json")
        write(json, text)
        provides = [f"Provides: livepatch-cve({cve})" for cve in patch.cves]
        if patch.kernel.capability:
            provides += [
                f"Provides: kpatch-patch = {patch.kernel.release}",
                f"Requires: kernel-uname-r = {patch.kernel.release}",
                f"Supplements: kernel-uname-r = {patch.kernel.release}",
            ]
        rpmbuild(work, patch.name, _SPEC.format(
            name=patch.name, release=patch.version, uname=patch.kernel.release, cves=", ".join(patch.cves),
            module=path, ko=os.path.basename(path), manifest=json, json=os.path.basename(json),
            provides="\n".join(provides),
        ))

    key = digest(path, repr(patch), _SPEC, content(*here("patches.py")))
    folder = cached("patch-rpm-" + patch.module, key, f"packing {patch.name}-1-{patch.version}", make)
    return glob.glob(os.path.join(folder, "*.rpm"))[0]
