# SPDX-License-Identifier: GPL-2.0-or-later
"""What the exposure costs a dnf run, and what `livepatch status` costs a host.

The first pair is `dnf upgrade` up to its question, run with and without the exposure: real DNF loads a
repository of 50,000 packages and 10,000 advisories, 500 of them for the running kernel, from its cache and
resolves. A package has what RPM gives each (its name, and its name with the architecture) and four
dependencies, as the 63,666 packages of Debian 12 have in the mean. A plugin of the benchmark asks for the
exposure at the place where ours does, and for nothing else; the other side has no plugin, and so nothing of
ours.
The second runs the command on a made-up host with 200 CVEs, a patch in force and a remembered inventory.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from typing import Any

import createrepo_c

from dnf_plugin_livepatch.base.paths import Paths

from . import pairs

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PYTHON = "/usr/bin/python3"
PACKAGES, ADVISORIES, KERNELS = 50000, 10000, 500
NAME, VERSION = "kernel-core", "5.14.0"
RUNNING = f"{VERSION}-100.el9_4"

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
    package = createrepo_c.Package()
    kernel = number < KERNELS
    package.name = NAME if kernel else f"package{number % 9000}"
    package.version = VERSION if kernel else "1"
    package.release = f"{number}.el9_4" if kernel else str(number // 9000)
    package.epoch, package.arch, package.checksum_type = "0", "x86_64", "sha256"
    package.summary = package.description = package.rpm_license = "bench"
    package.pkgId = f"{number:064x}"
    package.location_href = f"{package.name}-{package.version}-{package.release}.rpm"
    package.rpm_sourcerpm = "bench-1-1.src.rpm"
    names = (package.name, f"{package.name}(x86-64)")
    package.provides = [(name, "EQ", "0", package.version, package.release, False) for name in names]
    if not kernel:
        others = (f"package{number * step % 9000}" for step in (3, 5, 7, 11))
        package.requires = [(name, None, None, None, None, False) for name in others]
    return package


def _advisory(number: int) -> createrepo_c.UpdateRecord:
    record = createrepo_c.UpdateRecord()
    record.id, record.title, record.severity = f"B-{number}", "bench", "Important"
    record.type, record.status, record.version, record.fromstr = "security", "final", "1", "bench"
    record.issued_date = record.updated_date = 1700000000 + number
    collection = createrepo_c.UpdateCollection()
    collection.shortname = collection.name = "bench"
    every = ADVISORIES // KERNELS
    for index in range(5):
        package = createrepo_c.UpdateCollectionPackage()
        package.epoch, package.arch, package.filename = "0", "x86_64", "bench.rpm"
        if number % every:
            package.name, package.version = f"package{(number * 7 + index) % 9000}", "1"
            package.release = str(index)
        else:
            package.name = (NAME, "kernel", "kernel-modules", "kernel-devel", "kernel-tools")[index]
            package.version, package.release = VERSION, f"{number // every}.el9_4"
        collection.append(package)
    record.append_collection(collection)
    for index in range(3):
        reference = createrepo_c.UpdateReference()
        reference.type, reference.id = "cve", f"CVE-2026-{100000 + number * 3 + index}"
        reference.href = reference.title = "bench"
        record.append_reference(reference)
    return record


def _repository(path: str) -> None:
    os.makedirs(path + "/repodata")
    primary, info = path + "/repodata/primary.xml.gz", path + "/repodata/updateinfo.xml"
    file = createrepo_c.PrimaryXmlFile(primary, createrepo_c.GZ_COMPRESSION)
    file.set_num_of_pkgs(PACKAGES)
    for number in range(PACKAGES):
        file.add_pkg(_package(number))
    file.close()
    updates = createrepo_c.UpdateInfo()
    for number in range(ADVISORIES):
        updates.append(_advisory(number))
    with open(info, "w", encoding="utf-8") as text:
        text.write(updates.xml_dump())
    repomd = createrepo_c.Repomd()
    for kind, source in (("primary", primary), ("updateinfo", info)):
        record = createrepo_c.RepomdRecord(kind, source)
        record.fill(createrepo_c.SHA256)
        repomd.set_record(record)
    with open(path + "/repodata/repomd.xml", "w", encoding="utf-8") as text:
        text.write(repomd.xml_dump())


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
    """DNF's command, from its cache, answered with no: it ends with 1, and the program with 0."""
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
    """The host of the status run, from the unit tests' kit."""
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
