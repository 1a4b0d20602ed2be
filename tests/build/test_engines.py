# SPDX-License-Identifier: GPL-2.0-or-later
"""The engines for real: small kernel, real diff, RPM, and a VM whose functions change by `dnf upgrade`.

Tens of minutes the first time; roots, kernels and ccache stay in build/verify. What was measured is printed
and kept there as results.txt; docs/verified-builds.md is written from it by hand.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from typing import List, NamedTuple

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
CACHE = os.path.join(TOP, "build", "verify")
JOBS = os.environ.get("JOBS", str(os.cpu_count() or 1))


class Case(NamedTuple):
    """One engine on the kernel of one Debian release; ``first`` and ``second`` make packages 1 and 2."""

    engine: str
    suite: str
    config: str
    first: List[str]
    second: List[str]


DIFFS = "/product/tests/build/diffs/"
SOURCE = "/product/tests/build/source/"
TREE = ["--source-tree", "/work/linux", "--vmlinux", "/work/linux/vmlinux"]
CASES = (
    Case(
        "kbuild",
        "trixie",
        "kpatch.config",
        [
            "--kernel-devel",
            "/work/linux",
            "--vmlinux",
            "/work/linux/vmlinux",
            "--cve",
            "CVE-2099-10001",
            SOURCE + "livepatch_v1.c",
        ],
        [
            "--kernel-devel",
            "/work/linux",
            "--vmlinux",
            "/work/linux/vmlinux",
            "--cve",
            "CVE-2099-10002",
            SOURCE + "livepatch_v2.c",
        ],
    ),
    Case(
        "kpatch-build",
        "trixie",
        "kpatch.config",
        [*TREE, DIFFS + "cmdline.patch"],
        [*TREE, DIFFS + "version.patch"],
    ),
    Case(
        "klp-build", "sid", "klp.config", [*TREE, DIFFS + "cmdline.patch"], [*TREE, DIFFS + "version.patch"]
    ),
)


class Lab:
    """One Debian root with its kernel, and the clock of what is done in it."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.root = os.path.join(CACHE, case.suite, "root")
        self.work = os.path.join(CACHE, case.suite, "work")
        with open(os.path.join(HERE, case.suite + ".txt"), encoding="ascii") as file:
            self.timed("root", [os.path.join(HERE, "root.sh"), case.suite, self.root, *file.read().split()])
        self.inside("kernel", "/product/tests/build/kernel.sh", case.config)
        with open(os.path.join(self.work, "kernel.release"), encoding="ascii") as file:
            self.release = file.read().strip()

    def timed(self, what: str, argv: List[str]) -> str:
        """The output of ``argv``, which must succeed; its time goes into the results."""
        start = time.monotonic()
        done = subprocess.run(
            argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "JOBS": JOBS}
        )
        seconds = time.monotonic() - start
        with open(os.path.join(CACHE, "results.txt"), "a", encoding="utf-8") as file:
            now = time.strftime("%Y-%m-%d %H:%M", time.gmtime())
            file.write(f"{now} {self.case.engine:13} {what:12} {seconds:7.0f} s  status {done.returncode}\n")
        assert done.returncode == 0, f"{what}: {done.stdout[-4000:]}{done.stderr[-4000:]}"
        return done.stdout

    def inside(self, what: str, *argv: str) -> str:
        """Run ``argv`` in the root."""
        return self.timed(what, [os.path.join(HERE, "inside.sh"), self.root, self.work, *argv])

    def tool(self, what: str, *argv: str) -> "dict[str, object]":
        """Run livepatch-rpm in the root; its JSON."""
        return dict(
            json.loads(self.inside(what, "python3", "-m", "dnf_plugin_livepatch.rpmtool.cli", *argv))
        )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.engine)
def test_a_change_of_the_source_reaches_a_running_kernel(case):
    os.makedirs(CACHE, exist_ok=True)
    lab = Lab(case)
    for number in range(3):
        shutil.rmtree(os.path.join(lab.work, f"repo{number}"), ignore_errors=True)
    lab.tool("empty", "empty", "--json", "--kernel", lab.release, "-o", "/work/repo0")
    argv = ["build", "--json", "--kernel", lab.release, "--jobs", JOBS, "--work", "/work"]
    if case.engine != "kbuild":
        argv += ["--engine", case.engine]
    first = lab.tool(
        "build 1", *argv, "--log", f"/work/{case.engine}-1.log", "-o", "/work/repo1", *case.first
    )
    second = lab.tool(
        "build 2",
        *argv,
        "--log",
        f"/work/{case.engine}-2.log",
        "-o",
        "/work/repo2",
        "--base",
        str(first["srpm"]),
        *case.second,
    )
    assert first["cves"] == ["CVE-2099-10001"] and second["cves"] == ["CVE-2099-10001", "CVE-2099-10002"]
    facts = lab.tool("inspect", "inspect", "--json", str(second["rpm"]))
    (module,) = facts["modules"]
    assert module["functions"] == ["vmlinux:cmdline_proc_show", "vmlinux:version_proc_show"]
    lab.inside("repos", "/product/tests/build/repos.sh", lab.release)
    shutil.copy(os.path.join(HERE, "guest.sh"), lab.work)
    image = os.path.join(lab.work, "linux/arch/x86/boot/bzImage")
    print(lab.timed("vm", [os.path.join(HERE, "boot.sh"), lab.root, lab.work, image, "guest.sh"])[-3000:])
