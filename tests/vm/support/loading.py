# SPDX-License-Identifier: GPL-2.0-or-later
"""Live-patch RPMs with a behaviour of their own, for the demo host's kernels."""

from __future__ import annotations

import base64
import glob
import os
import re
from typing import NamedTuple

from dnf_plugin_livepatch.base.model import Function, Manifest
from dnf_plugin_livepatch.formats import manifest
from vm.common import cached, content, digest, run, write
from vm.kernels import Kernel, compile_module, headers, rpmbuild
from vm.qemu import Machine

NAME = "lptest"
SOURCE = os.path.join(os.path.dirname(__file__), "loading.c")
GATE = os.path.join(os.path.dirname(__file__), "gate.c")

_SPEC = """\
Name: {name}
Version: {version}
Release: 1
Summary: Live patch for the tests of loading
License: GPL-2.0-or-later
BuildArch: x86_64
AutoReqProv: no
Provides: livepatch(kernel-uname-r:{uname})
%global debug_package %{{nil}}
%global __os_install_post %{{nil}}
%global _build_id_links none

%description
A test.

%install
install -D -m 644 {ko} %{{buildroot}}/usr/lib/modules/{uname}/livepatch/{module}.ko{suffix}
install -D -m 644 {json} %{{buildroot}}/usr/share/livepatch/{uname}/{module}.json

%files
/usr/lib/modules/{uname}/livepatch/{module}.ko{suffix}
/usr/share/livepatch/{uname}/{module}.json
"""


class Patch(NamedTuple):
    """One version of the package; ``flags`` choose its behaviour.

    ``build_id`` and ``kernel_build_id`` stand in its manifest instead of the true ones. ``packing`` is the
    program that compresses its module.
    """

    version: str
    function: str = "cmdline_proc_show"
    flags: tuple[str, ...] = ()
    build_id: str = ""
    kernel_build_id: str = ""
    cves: tuple[str, ...] = ("CVE-1900-0001",)
    object: str = "vmlinux"
    packing: str = ""

    @property
    def module(self) -> str:
        return f"{NAME}_{self.version}"

    @property
    def nevra(self) -> str:
        return f"{NAME}-{self.version}-1.x86_64"


V1 = Patch("1")
V2 = Patch("2")
STALLS = Patch("3", "__x64_sys_pause", ("PATCH_PAUSE",))
PANICS = Patch("4", flags=("INIT_PANIC",))
CRASHES = Patch("5", flags=("INIT_OOPS",))
OOPSES = Patch("6", "version_proc_show", ("PATCH_OOPS",))
LIES = Patch("7", build_id="00" * 20)
OTHERS = Patch("8", kernel_build_id="11" * 20)
ALL_CVES = tuple(f"CVE-1900-000{number}" for number in (1, 2, 3))
XZ, ZSTD, GZIP = (Patch(n, packing=p) for n, p in (("10", "xz"), ("11", "zstd"), ("12", "gzip")))
STATEFUL = Patch("13", flags=("STATE=2",))
SLOW = Patch("14", flags=("INIT_SLOW=125",))
COVERS = Patch("9", "gate_show", ("PATCH_GATE",), cves=ALL_CVES, object="lpgate")


def build_id(path: str) -> str:
    """The ELF build id of the file at ``path``, as binutils sees it."""
    return re.findall(r"Build ID: ([0-9a-f]+)", run(["readelf", "-n", path]))[0]


def rpm(patch: Patch, kernel: Kernel) -> str:
    """The path of the RPM of ``patch``."""
    build = headers(kernel)

    def make(work: str) -> None:
        flags = " ".join("-D" + flag for flag in patch.flags)
        flags += f" -DLABEL='\"{patch.module}\"'"
        ko = compile_module(work, SOURCE, patch.module, build, flags)
        told = Manifest(
            patch.module,
            kernel.release,
            patch.build_id or build_id(ko),
            kernel_build_id=patch.kernel_build_id,
            functions=(Function(patch.object, patch.function),),
            cves=patch.cves,
            advisory="TEST-1",
            issued="2026-11-01T00:00:00Z",
        )
        suffix = {"": "", "xz": ".xz", "zstd": ".zst", "gzip": ".gz"}[patch.packing]
        if patch.packing:
            run([patch.packing, "--force", "--keep", ko])
            ko += suffix
        json = os.path.join(work, patch.module + ".json")
        write(json, manifest.dump(told))
        rpmbuild(
            work,
            NAME,
            _SPEC.format(
                name=NAME,
                version=patch.version,
                uname=kernel.release,
                ko=ko,
                json=json,
                module=patch.module,
                suffix=suffix,
            ),
        )

    key = digest(build, repr(patch), _SPEC, content(SOURCE, __file__))
    folder = cached("loading-" + patch.module, key, f"building {patch.module}", make)
    return glob.glob(os.path.join(folder, "*.rpm"))[0]


def put(machine: Machine, patch: Patch, kernel: Kernel | None = None) -> str:
    """Copy the RPM of ``patch`` for ``kernel`` (default: the older one) into the guest.

    Returns its path there.
    """
    return _send(machine, rpm(patch, kernel or machine.files.choice.old), patch.module + ".rpm")


def put_gate(machine: Machine) -> str:
    """Compile gate.c for the older kernel and copy it into the guest; returns its path there."""
    build = headers(machine.files.choice.old)

    def make(work: str) -> None:
        compile_module(work, GATE, "lpgate", build, "")

    folder = cached("lpgate", digest(build, content(GATE, __file__)), "building lpgate", make)
    return _send(machine, os.path.join(folder, "lpgate.ko"), "lpgate.ko")


def _send(machine: Machine, path: str, name: str) -> str:
    with open(path, "rb") as file:
        data = base64.b64encode(file.read())
    done = machine.run(f"base64 -d >/root/{name}", stdin=data)
    assert done.status == 0, done.err
    return f"/root/{name}"
