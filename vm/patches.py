# SPDX-License-Identifier: GPL-2.0-or-later
"""Real live patches for the demo's kernels, built and packed by the project's own livepatch-rpm."""

from __future__ import annotations

import glob
import os
import shutil
import sys
from typing import NamedTuple

from .common import ROOT, cached, content, digest, here, program, run, write
from .kernels import Choice, Kernel, headers

CMDLINE = "CVE-1900-0001"
UNFIXABLE = "CVE-1900-0002"
VERSION = "CVE-1900-0003"
ISSUED = "2026-11-01T00:00:00Z"
SUPPORT_END = "2036-11-01"


class Patch(NamedTuple):
    """One live-patch package; ``flags`` choose parts of demo.c.

    ``built_for`` is the kernel that its module is built for, where that is the wrong kernel.
    """

    kernel: Kernel
    version: str
    advisory: str
    cves: tuple[str, ...] = (CMDLINE,)
    flags: tuple[str, ...] = ()
    built_for: Kernel | None = None

    @property
    def module(self) -> str:
        """The module's name: another one for each version, as both are loaded during a replace."""
        return f"livepatch_demo_{self.version}"


def patches(choice: Choice) -> dict[str, Patch]:
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


def rpm(patch: Patch) -> str:
    """The path of the unsigned RPM of ``patch``, made by livepatch-rpm."""
    kernel = patch.built_for or patch.kernel
    build = headers(kernel)

    def make(work: str) -> None:
        source = os.path.join(work, "source")
        os.makedirs(source)
        shutil.copy(here("patches/demo.c")[0], os.path.join(source, patch.module + ".c"))
        flags = " ".join("-D" + flag for flag in patch.flags)
        write(os.path.join(source, "Kbuild"), f"obj-m := {patch.module}.o\nccflags-y := {flags}\n")
        facts = [
            "--patch-version", patch.version, "--advisory", patch.advisory, "--severity", "Important",
            "--issued", ISSUED, "--support-end", SUPPORT_END, "--output", work,
            "--unfixable", f"{UNFIXABLE}=changes data that running tasks hold",
            *(word for cve in patch.cves for word in ("--cve", cve)),
        ]  # fmt: skip
        _tool("--kernel", kernel.release, "--kernel-devel", build, "--engine", "kbuild", *facts,
              "--work", work, "--keep-work", source)  # fmt: skip
        if patch.built_for:
            # A careful tool refuses to put the module of one kernel into the package of another.
            module = glob.glob(os.path.join(work, "**", "stage", patch.module + ".ko"), recursive=True)[0]
            for path in glob.glob(os.path.join(work, "*.rpm")):
                os.unlink(path)
            _tool("--kernel", patch.kernel.release, *facts, "--override",
                  "vermagic-mismatch=warning:shows what the host does with it", module)  # fmt: skip
        for name in os.listdir(work):
            path = os.path.join(work, name)
            if os.path.isdir(path):
                shutil.rmtree(path)
            elif name.endswith(".src.rpm"):
                os.unlink(path)

    own = content(*here("patches.py", "patches/demo.c"), *program("rpmtool"), os.path.join(ROOT, _SPEC))
    key = digest(build, repr(patch), own)
    folder = cached(
        f"patch-{patch.kernel.release}-{patch.version}", key,
        f"building live patch {patch.version} for {patch.kernel.release}", make,
    )  # fmt: skip
    return glob.glob(os.path.join(folder, "*.rpm"))[0]


_SPEC = "spec/livepatch-module.spec.in"


def _tool(*words: str) -> None:
    tool = [sys.executable, "-m", "dnf_plugin_livepatch.rpmtool.cli", "build", "--quiet", "--jobs", "2"]
    run([*tool, *words], env={"PYTHONPATH": ROOT})
