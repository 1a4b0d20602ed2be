# SPDX-License-Identifier: GPL-2.0-or-later
"""Publishing one live patch into 100, 1,000 and 10,000, against `createrepo_c --update` on the same.

Ours includes the signatures of the package and of the metadata, the advisory, lint, the client that
reads the result, and the switch; theirs is metadata only, without the databases that 0.17 makes by
default. The packages that are there already are metadata and empty files of the right size and date,
which is all that either looks at. Then lint of the whole repository. The peak memory of
each is told; the design has no limit for it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from typing import Any

import createrepo_c

from . import pairs

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PYTHON = "/usr/bin/python3"
# The budget is for 10,000. Below, starting Python, gpg, rpm and dnf is most of what there is to measure, a
# third of a second in all: the limits there and for lint only keep that from growing unnoticed.
LIMITS = {100: 16.0, 1000: 6.0, 10000: 2.0}
LINT_LIMIT = 5.0
SIZES = tuple(LIMITS)
KEY = "bench@example.com"
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


def _package(number: int) -> createrepo_c.Package:
    package = createrepo_c.Package()
    build = f"{number // 10}.13.1"
    package.name = "kpatch-patch-5_14_0-" + build.replace(".", "_")
    package.epoch, package.version, package.release, package.arch = (
        "0",
        "1",
        f"{number % 10}.el9_4",
        "x86_64",
    )
    package.pkgId, package.checksum_type = f"{number:064x}", "sha256"
    package.summary = package.rpm_license = "bench"
    package.description, package.rpm_sourcerpm = "bench " * 20, "bench-1-1.src.rpm"
    file = f"{package.name}-1-{package.release}.x86_64.rpm"
    package.location_href = f"Packages/{number:016x}/{file}"
    package.size_package, package.time_file, package.time_build = 60000 + number, 1700000000, 1700000000
    release = f"{build}.el9_4.x86_64"
    package.provides = [("kpatch-patch", "EQ", "0", "5.14.0", release, False)]
    package.provides += [
        (f"livepatch-cve(CVE-2024-{1000 + at})", None, None, None, None, False) for at in range(20)
    ]
    package.requires = [("kernel-uname-r", "EQ", "0", "5.14.0", release, False)]
    folder = f"/usr/lib/modules/5.14.0-{release}/livepatch/"
    package.files = [(None, folder, f"kp_{number}.ko"), (None, "/usr/share/livepatch/", f"{number}.json")]
    return package


def _advisory(package: createrepo_c.Package, number: int) -> createrepo_c.UpdateRecord:
    record = createrepo_c.UpdateRecord()
    record.id, record.title, record.severity = f"B-{number}", "bench", "Important"
    record.type, record.status, record.version, record.fromstr = "security", "final", "1", "bench"
    record.issued_date = record.updated_date = 1700000000 + number
    for at in range(20):
        reference = createrepo_c.UpdateReference()
        reference.type, reference.id = "cve", f"CVE-2024-{1000 + at}"
        reference.href = reference.title = reference.id
        record.append_reference(reference)
    collection = createrepo_c.UpdateCollection()
    listed = createrepo_c.UpdateCollectionPackage()
    for field in ("name", "epoch", "version", "release", "arch"):
        setattr(listed, field, getattr(package, field))
    collection.append(listed)
    record.append_collection(collection)
    return record


def _run(*argv: str, **more: Any) -> None:
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more)


def _new_rpm(scratch: str) -> str:
    """A signed package to publish; the key is in ``scratch``/gpg."""
    home = os.path.join(scratch, "gpg")
    os.mkdir(home, 0o700)
    _run(
        "gpg",
        "--batch",
        "--homedir",
        home,
        "--passphrase",
        "",
        "--quick-gen-key",
        KEY,
        "rsa3072",
        "sign",
        "never",
    )
    with open(os.path.join(scratch, "key.asc"), "wb") as file:
        subprocess.run(["gpg", "--homedir", home, "--armor", "--export", KEY], check=True, stdout=file)
    with open(os.path.join(scratch, "bench.spec"), "w", encoding="ascii") as text:
        text.write(SPEC)
    top = ["--define", f"_topdir {scratch}/rpmbuild", "--define", "debug_package %{nil}"]
    _run("rpmbuild", "-bb", "--target", "x86_64", *top, os.path.join(scratch, "bench.spec"))
    folder = os.path.join(scratch, "rpmbuild/RPMS/x86_64")
    path = os.path.join(folder, os.listdir(folder)[0])
    signer = [
        "--define",
        f"_gpg_name {KEY}",
        "--define",
        f"_gpg_path {home}",
        "--define",
        "__gpg /usr/bin/gpg",
    ]
    _run("rpmsign", *signer, "--addsign", path, env={**os.environ, "GNUPGHOME": home})
    return path


def _repository(scratch: str, count: int) -> str:
    """A repository of ``count`` packages, as createrepo_c leaves one."""
    sys.path.insert(0, SOURCE)
    from dnf_plugin_livepatch.formats import repository_record as record
    from dnf_plugin_livepatch.repotool.repository import metadata

    root = os.path.join(scratch, f"repo{count}")
    os.makedirs(os.path.join(root, "repodata"))
    packages = [_package(number) for number in range(count)]
    for package in packages:
        path = os.path.join(root, package.location_href)
        os.makedirs(os.path.dirname(path))
        with open(path, "wb") as file:
            file.truncate(package.size_package)
        os.utime(path, (package.time_file, package.time_file))
    notes: dict[str, dict[str, record.PatchNote]] = {}
    for package in packages:
        release = f"{package.name.split('-', 3)[-1].replace('_', '.')}.el9_4.x86_64"
        nevra = f"{package.name}-1-{package.release}.x86_64"
        notes.setdefault("5.14.0-" + release, {})[nevra] = record.PatchNote("2024-01-01T00:00:00Z")
    kernels = {release: record.KernelNote("2030-01-01", (), found) for release, found in notes.items()}
    advisories = [metadata.update_of(_advisory(package, number)) for number, package in enumerate(packages)]
    text = record.dump(record.Record("2024-01-01T00:00:00Z", kernels))
    metadata.write(os.path.join(root, "repodata"), packages, advisories, text, [], "gz", 1700000000)
    return root


def _peak(argv: list[str]) -> int:
    """Peak resident memory of a run, or of a child of it if that had more, in MiB."""
    code = (
        "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:], stdout=2).returncode;"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(done not in (0, 3))"
    )
    environment = {**os.environ, "PYTHONPATH": SOURCE}
    done = subprocess.run([PYTHON, "-c", code, *argv], check=True, capture_output=True, env=environment)
    return int(done.stdout) // 1024


def run(count: int) -> list[dict[str, Any]]:
    """The rows."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="bench-publish-") as scratch:
        rpm = _new_rpm(scratch)
        for size in SIZES:
            rows += _rows(scratch, rpm, size, count)
        _run("gpgconf", "--homedir", os.path.join(scratch, "gpg"), "--kill", "gpg-agent")
    return rows


def _rows(scratch: str, rpm: str, size: int, count: int) -> list[dict[str, Any]]:
    ours = _repository(scratch, size)
    theirs = os.path.join(scratch, f"theirs{size}")
    shutil.copytree(ours, theirs)
    os.makedirs(os.path.join(theirs, "Packages", "new"))
    shutil.copy(rpm, os.path.join(theirs, "Packages", "new"))
    kept = os.path.join(scratch, f"kept{size}")
    shutil.copytree(os.path.join(ours, "repodata"), kept)
    tool = [PYTHON, os.path.join(SOURCE, "bin", "livepatch-repo")]
    publish = [*tool, "publish", "--repo", ours, "--key", f"{scratch}/key.asc", "--sign-with", KEY]
    publish += ["--gpg-home", f"{scratch}/gpg", rpm]
    update = ["createrepo_c", "-q", "--update", "--keep-all-metadata", "--no-database", theirs]
    environment = {**os.environ, "PYTHONPATH": SOURCE}

    def restore(root: str) -> None:
        path = os.path.join(root, "repodata")
        if os.path.islink(path):
            os.unlink(path)
        else:
            shutil.rmtree(path)
        shutil.rmtree(os.path.join(root, "generations"), ignore_errors=True)
        shutil.copytree(kept, path)

    def one() -> None:
        restore(ours)
        pairs.command(publish, env=environment)()

    def other() -> None:
        restore(theirs)
        pairs.command(update)()

    start_up = "" if size == SIZES[-1] else " (start-up)"
    name = f"publish 1 into {size}{start_up} / createrepo_c --update"
    row = pairs.measure(name, one, other, LIMITS[size], count)
    restore(ours)
    restore(theirs)
    row["peak_mib"] = [_peak(publish), _peak(update)]
    if size != SIZES[-1]:
        return [row]

    # The files are stand-ins, so lint reads the repository as at an address: metadata only.
    lint = [*tool, "lint", "--json", "--fail-on", "error", "file://" + theirs]

    def linted() -> None:
        restore(theirs)
        done = subprocess.run(lint, env=environment, capture_output=True, check=False)
        if done.returncode not in (0, 3):
            raise RuntimeError(done.stderr.decode())

    name = f"lint of {size} / createrepo_c --update"
    checked = pairs.measure(name, linted, other, LINT_LIMIT, max(count // 4, 3))
    checked["peak_mib"] = [_peak(lint), row["peak_mib"][1]]
    return [row, checked]
