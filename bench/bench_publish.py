# SPDX-License-Identifier: GPL-2.0-or-later
"""Publishing one live patch into 100, 1,000 and 10,000, against `createrepo_c --update` on the same.

A publish includes the signatures of the package and of the metadata, the advisory, lint, the client that
reads the result, and the switch. createrepo_c writes metadata only, without the databases that version 0.17
makes by default. The packages that are there already are metadata and empty files of the right size and
date; neither side looks at more. The last row is lint of the whole repository. The peak memory of each side
is printed; the design has no limit for it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from typing import Any

import createrepo_c

from dnf_plugin_livepatch.formats import repository_record
from dnf_plugin_livepatch.formats.repository_record import KernelNote, PatchNote, Record
from dnf_plugin_livepatch.repotool.repository import metadata
from vm import gnupg

from . import pairs, records

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PYTHON = "/usr/bin/python3"
ENVIRONMENT = {**os.environ, "PYTHONPATH": SOURCE}
# The budget is for 10,000. With fewer packages most of the time goes into starting Python, gpg, rpm and
# dnf, a third of a second in all. The limits there, and the limit for lint, only keep that from growing
# unnoticed.
LIMITS = {100: 16.0, 1000: 6.0, 10000: 2.0}
LINT_LIMIT = 5.0
SIZES = tuple(LIMITS)
KEY = "bench@example.com"
CVES = tuple(f"CVE-2024-{1000 + at}" for at in range(20))
RELEASE = "5.14.0-999999.1.1.el9_4.x86_64"
SPEC = f"""
Name: kpatch-patch-5_14_0-999999_1_1
Version: 1
Release: 1.el9_4
Summary: bench
License: GPL-2.0-only
Provides: livepatch(kernel-uname-r:{RELEASE})
Provides: livepatch-cve(CVE-2024-1086)
Requires: kernel-uname-r = {RELEASE}
Supplements: kernel-uname-r = {RELEASE}
%description
bench
%files
"""


def _build(number: int) -> tuple[str, str, str]:
    return f"kpatch-patch-5_14_0-{number // 10}_13_1", "1", f"{number % 10}.el9_4"


def _kernel(number: int) -> str:
    """The version and release of the kernel of the live patch ``number``."""
    return f"5.14.0-{number // 10}.13.1.el9_4.x86_64"


def _package(number: int) -> createrepo_c.Package:
    """The live patch ``number``, which closes twenty CVEs."""
    version, release = _kernel(number).split("-")
    provides = [records.equal("kpatch-patch", version, release)]
    provides += [records.bare(f"livepatch-cve({cve})") for cve in CVES]
    needs = records.equal("kernel-uname-r", version, release)
    package = records.package(number, _build(number), provides, [needs])
    package.description = "bench " * 20
    package.location_href = f"Packages/{number:016x}/{'-'.join(_build(number))}.x86_64.rpm"
    package.size_package = 60000 + number
    package.files = [
        (None, f"/usr/lib/modules/{_kernel(number)}/livepatch/", f"kp_{number}.ko"),
        (None, "/usr/share/livepatch/", f"{number}.json"),
    ]
    return package


def _run(*argv: str, **more: Any) -> None:
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more)


def _new_rpm(scratch: str, keys: str) -> str:
    """A package to publish, signed with a new key in the folder ``keys``."""
    with open(os.path.join(scratch, "key.asc"), "w", encoding="ascii") as file:
        file.write(gnupg.make_key(keys, KEY))
    with open(os.path.join(scratch, "bench.spec"), "w", encoding="ascii") as text:
        text.write(SPEC)
    top = ["--define", f"_topdir {scratch}/rpmbuild", "--define", "debug_package %{nil}"]
    _run("rpmbuild", "-bb", "--target", "x86_64", *top, os.path.join(scratch, "bench.spec"))
    folder = os.path.join(scratch, "rpmbuild/RPMS/x86_64")
    path = os.path.join(folder, os.listdir(folder)[0])
    macros = (f"_gpg_name {KEY}", f"_gpg_path {keys}", "__gpg /usr/bin/gpg")
    signer = [f"--define={macro}" for macro in macros]
    _run("rpmsign", *signer, "--addsign", path, env={**os.environ, "GNUPGHOME": keys})
    return path


def _repository(root: str, count: int) -> None:
    """Make ``root`` a repository of ``count`` packages, as createrepo_c leaves one."""
    os.makedirs(os.path.join(root, "repodata"))
    packages = [_package(number) for number in range(count)]
    for package in packages:
        path = os.path.join(root, package.location_href)
        os.makedirs(os.path.dirname(path))
        with open(path, "wb") as file:
            file.truncate(package.size_package)
        os.utime(path, (package.time_file, package.time_file))
    notes: dict[str, dict[str, PatchNote]] = {}
    for number in range(count):
        nevra = "-".join(_build(number)) + ".x86_64"
        notes.setdefault(_kernel(number), {})[nevra] = PatchNote("2024-01-01T00:00:00Z")
    kernels = {release: KernelNote("2030-01-01", (), found) for release, found in notes.items()}
    text = repository_record.dump(Record("2024-01-01T00:00:00Z", kernels))
    updates = [
        metadata.update_of(records.advisory(f"B-{number}", [_build(number)], CVES))
        for number in range(count)
    ]
    metadata.write(os.path.join(root, "repodata"), packages, updates, text, [], "gz", 1700000000)


class Sides:
    """Two equal repositories of ``size`` packages: one to publish into, one for createrepo_c to update."""

    def __init__(self, scratch: str, keys: str, rpm: str, size: int) -> None:
        self.size = size
        self._published, self._updated, self._kept = (
            os.path.join(scratch, f"{name}{size}") for name in ("published", "updated", "kept")
        )
        _repository(self._published, size)
        shutil.copytree(self._published, self._updated)
        os.makedirs(os.path.join(self._updated, "Packages", "new"))
        shutil.copy(rpm, os.path.join(self._updated, "Packages", "new"))
        shutil.copytree(os.path.join(self._published, "repodata"), self._kept)
        tool = [PYTHON, os.path.join(SOURCE, "bin", "livepatch-repo")]
        where = ["--repo", self._published, "--key", f"{scratch}/key.asc"]
        self.publish = [*tool, "publish", *where, "--sign-with", KEY, "--gpg-home", keys, rpm]
        options = ["-q", "--update", "--keep-all-metadata", "--no-database"]
        self.update = ["createrepo_c", *options, self._updated]
        # The package files are empty, so lint reads the repository as at an address: metadata only.
        self.lint = [*tool, "lint", "--json", "--fail-on", "error", "file://" + self._updated]

    def _restore(self, root: str) -> None:
        path = os.path.join(root, "repodata")
        if os.path.islink(path):
            os.unlink(path)
        else:
            shutil.rmtree(path)
        shutil.rmtree(os.path.join(root, "generations"), ignore_errors=True)
        shutil.copytree(self._kept, path)

    def restore(self) -> None:
        """Take back the changes of the last run to both."""
        self._restore(self._published)
        self._restore(self._updated)

    def published(self) -> None:
        """Publish the package."""
        self._restore(self._published)
        pairs.command(self.publish, env=ENVIRONMENT)()

    def updated(self) -> None:
        """Have createrepo_c find the package."""
        self._restore(self._updated)
        pairs.command(self.update)()

    def linted(self) -> None:
        """Lint the whole repository; exit status 3 means that there are findings."""
        self._restore(self._updated)
        pairs.command(self.lint, good=(0, 3), env=ENVIRONMENT)()


def run(count: int) -> list[dict[str, Any]]:
    """The rows."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="bench-publish-") as scratch, gnupg.home() as keys:
        rpm = _new_rpm(scratch, keys)
        for size in SIZES:
            sides = Sides(scratch, keys, rpm, size)
            rows.append(_publishing(sides, count))
        rows.append(_linting(sides, max(count // 4, 3)))
    return rows


def _publishing(sides: Sides, count: int) -> dict[str, Any]:
    start_up = "" if sides.size == SIZES[-1] else " (start-up)"
    name = f"publish 1 into {sides.size}{start_up} / createrepo_c --update"
    row = pairs.measure(name, sides.published, sides.updated, LIMITS[sides.size], count)
    sides.restore()
    return {**row, "peak_mib": [pairs.peak(sides.publish, env=ENVIRONMENT), pairs.peak(sides.update)]}


def _linting(sides: Sides, count: int) -> dict[str, Any]:
    name = f"lint of {sides.size} / createrepo_c --update"
    row = pairs.measure(name, sides.linted, sides.updated, LINT_LIMIT, count)
    sides.restore()
    return {**row, "peak_mib": [pairs.peak(sides.lint, env=ENVIRONMENT), pairs.peak(sides.update)]}
