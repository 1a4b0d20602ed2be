# SPDX-License-Identifier: GPL-2.0-or-later
"""The cost of the exposure to a dnf run, and the cost of `livepatch status` to a host.

The first pair is `dnf upgrade` up to its question, run with and without the exposure: real DNF loads a
repository of 50,000 packages and 10,000 advisories, 500 of them for the running kernel, from its cache and
resolves. A package has the two capabilities that RPM gives each (its name, and its name with the
architecture) and four dependencies, as the 63,666 packages of Debian 12 have in the mean. On one side a
plugin of the benchmark asks for the exposure where the project's plugin does, and for nothing else. The
other side has no plugin. The second pair runs `livepatch status` on a made-up host with 200 CVEs, a patch
in force and a remembered inventory.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from typing import Any

import createrepo_c

from dnf_plugin_livepatch.base.paths import Paths

from . import pairs, records

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PYTHON = "/usr/bin/python3"
PACKAGES, ADVISORIES, KERNELS = 50000, 10000, 500
NAME, VERSION = "kernel-core", "5.14.0"
RUNNING = f"{VERSION}-100.el9_4"

# DNF ends with 1 when its question is answered with no, and the program then with 0.
PROGRAM = """
import sys
from dnf.cli import main
sys.exit(main.main(sys.argv[1:]) != 1)
"""
PLUGIN = """
import sys
import dnf

class Exposure(dnf.Plugin):
    name = "exposure"

    def resolved(self):
        sys.path.insert(0, {source!r})
        from dnf_plugin_livepatch.exposure import compute as exposure
        from dnf_plugin_livepatch.planning import inputs
        from dnf_plugin_livepatch.planning.facts import Facts
        from dnf_plugin_livepatch.base.model import Kernel
        from dnf_plugin_livepatch.base.paths import Paths
        from dnf_plugin_livepatch.dnf4.solver import Dnf
        from dnf_plugin_livepatch.host.files import advisories as cache
        from dnf_plugin_livepatch.host.for_planning import Machine

        host = Machine()
        host.kernel = Kernel("{running}.x86_64", "x86_64")
        found = inputs.read(Facts(Dnf(self.base), host))
        assert len(found[0].debt) == 1197, len(found[0].debt)
        exposure.compute(found[0], ())
        assert cache.save(Paths({folder!r} + "/host"), *found)
"""


def _package(number: int) -> createrepo_c.Package:
    """The package ``number``: a kernel, or a package with four dependencies."""
    kernel = number < KERNELS
    build = (NAME, VERSION, f"{number}.el9_4") if kernel else _other(number % 9000, number // 9000)
    provides = [records.equal(name, *build[1:]) for name in (build[0], f"{build[0]}(x86-64)")]
    others = () if kernel else (3, 5, 7, 11)
    requires = [records.bare(_other(number * step % 9000, 0)[0]) for step in others]
    return records.package(number, build, provides, requires)


def _other(number: int, release: int) -> tuple[str, str, str]:
    return f"package{number}", "1", str(release)


def _advisory(number: int) -> createrepo_c.UpdateRecord:
    """The advisory ``number``; one of twenty is about a kernel."""
    every = ADVISORIES // KERNELS
    names = (NAME, "kernel", "kernel-modules", "kernel-devel", "kernel-tools")
    builds = [(name, VERSION, f"{number // every}.el9_4") for name in names]
    if number % every:
        builds = [_other((number * 7 + index) % 9000, index) for index in range(5)]
    cves = [f"CVE-2026-{100000 + number * 3 + index}" for index in range(3)]
    return records.advisory(f"B-{number}", builds, cves)


def _repository(path: str) -> None:
    packages = [_package(number) for number in range(PACKAGES)]
    records.repository(path, packages, map(_advisory, range(ADVISORIES)), kinds=("primary",))


def _install_kernel(folder: str) -> None:
    from tests.dnf.support import rpms

    kernel = rpms.Rpm(
        NAME, VERSION, "100.el9_4", (f"kernel-uname-r = {RUNNING}.x86_64", "installonlypkg(kernel)")
    )
    path = rpms.build(folder + "/build", [kernel])[str(kernel)]
    os.makedirs(folder + "/root")
    command = ["rpm", "--root", folder + "/root", "--justdb", "--nodeps", "-i", path]
    subprocess.run(command, check=True, capture_output=True)


def _dnf(folder: str, *options: str) -> list[str]:
    """The command of one side: dnf works from its cache, and its question is answered with no."""
    os.makedirs(folder + "/plugins", exist_ok=True)
    with open(folder + "/plugins/exposure.py", "w", encoding="utf-8") as file:
        file.write(PLUGIN.format(source=SOURCE, folder=folder, running=RUNNING))
    own = {"pluginpath": "/plugins", "cachedir": "/cache", "reposdir": "/none"}
    settings = [f"--setopt={name}={folder}{path}" for name, path in own.items()]
    with open(folder + "/dnf.conf", "w", encoding="utf-8") as file:
        file.write("[main]\n")
    where = [f"--installroot={folder}/root", "--releasever=9", "--forcearch=x86_64"]
    where.append(f"--config={folder}/dnf.conf")
    source = f"--repofrompath=bench,file://{folder}/repo"
    return [PYTHON, "-c", PROGRAM, "-C", *options, "--assumeno", *where, *settings, source, "upgrade"]


def _host(folder: str) -> None:
    """Make the host of the status run with the helpers of the unit tests."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import pytest\n"
        "from tests.unit.support.reporting import Telling\n"
        "from dnf_plugin_livepatch.host.kernel import running as kernel\n"
        "from dnf_plugin_livepatch.host.packages import inventory\n"
        "patch = pytest.MonkeyPatch(); host = Telling(sys.argv[2], patch)\n"
        "host.know(*[(1000 + n, 'Important') for n in range(200)])\n"
        "host.load(host.patch('1', *[f'CVE-2026-{1000 + n}' for n in range(100)]))\n"
        "host.kernel_installed('6.12.1-1')\n"
        "inventory.refresh(host.paths, kernel.running(host.paths))\n"
    )
    subprocess.run([sys.executable, "-c", code, SOURCE, folder], check=True, capture_output=True)


def run(count: int) -> list[dict[str, Any]]:
    """The rows of this benchmark."""
    with tempfile.TemporaryDirectory(prefix="bench-exposure-") as folder:
        _repository(folder + "/repo")
        _install_kernel(folder)
        _host(folder + "/made")
        plain, exposure = _dnf(folder, "--noplugins"), _dnf(folder)
        pairs.command([word for word in plain if word != "-C"])()
        pairs.command(exposure)()
        if not os.path.exists(Paths(folder + "/host").exposure):
            raise RuntimeError("the plugin of the benchmark failed, which DNF only logs")
        subprocess.run([PYTHON, "-m", "compileall", "-q", SOURCE + "/dnf_plugin_livepatch"], check=True)
        env = {**os.environ, "PYTHONPATH": SOURCE, "LIVEPATCH_ROOT": folder + "/made"}
        return [
            pairs.measure(
                f"dnf and exposure, {ADVISORIES} advisories / plain dnf",
                pairs.command(exposure),
                pairs.command(plain),
                1.10,
                count,
            ),
            pairs.measure(
                "livepatch status, 200 CVEs / python3 -c pass",
                pairs.command([PYTHON, SOURCE + "/bin/livepatch", "status"], env=env),
                pairs.command([PYTHON, "-c", "pass"], env=env),
                4.0,
                max(count, pairs.SHORT),
            ),
        ]
