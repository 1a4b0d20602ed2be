# SPDX-License-Identifier: GPL-2.0-or-later
"""`dnf upgrade` with nothing to do: plugin on against plugin off, with 100 to 50,000 live patches.

Twice for each size. Once as on most runs, when nothing changed since dnf last ran: then the plugin knows its
answer. And once with that memory removed before each run, as after any change: then it looks at everything.
The host is the one of tests/dnf: real DNF, a real rpm database, a faked kernel release. The metadata of
the repository is made by createrepo_c from package records, with the `livepatch` record that livepatch-repo
adds; no RPMs are behind it, none is asked for.
"""

from __future__ import annotations

import gzip
import json
import os
import shlex
import shutil
import tempfile
from typing import Any

import createrepo_c

LIMITS = ((100, 1.10), (5000, 1.07), (50000, 1.05))
WARM = ("dnf", "-y", "--setopt=metadata_expire=-1", "upgrade")
FORGET = ("sh", "-c", 'rm -f /run/livepatch/dnf-*; exec "$@"', "sh", *WARM)


def _package(number: int) -> createrepo_c.Package:
    """A live patch; ten builds for each of many kernels that do not run."""
    kernel = f"5.14.0-{100 + number // 10}.el9.x86_64"
    package = createrepo_c.Package()
    package.name = f"kpatch-patch-5_14_0-{100 + number // 10}"
    package.version, package.release, package.epoch, package.arch = "1", f"{number % 10}.el9", "0", "x86_64"
    package.pkgId, package.checksum_type = f"{number:064x}", "sha256"
    package.summary = package.description = "live patch"
    package.location_href, package.rpm_license = f"p/{number}.rpm", "GPLv2"
    package.rpm_sourcerpm = f"{package.name}-1-{number % 10}.el9.src.rpm"
    package.time_file = package.time_build = 1700000000 + number
    package.size_package = package.size_installed = package.size_archive = 100000
    provides = [
        (package.name, "EQ", "0", "1", package.release),
        (f"livepatch(kernel-uname-r:{kernel})", None, None, None, None),
        ("kpatch-patch", "EQ", "0", "5.14.0", kernel.partition("-")[2]),
        *((f"livepatch-cve(CVE-2024-{number:05})", None, None, None, None) for _ in range(3)),
    ]
    package.provides = [(*item, False) for item in provides]
    package.requires = [("kernel-uname-r", "EQ", "0", "5.14.0", kernel.partition("-")[2], False)]
    return package


def _repository(folder: str, count: int) -> None:
    data = os.path.join(folder, "repodata")
    os.makedirs(data)
    records = []
    kinds = {
        "primary": createrepo_c.PrimaryXmlFile,
        "filelists": createrepo_c.FilelistsXmlFile,
        "other": createrepo_c.OtherXmlFile,
    }
    for name, kind in kinds.items():
        path = os.path.join(data, name + ".xml.gz")
        file = kind(path)
        file.set_num_of_pkgs(count)
        for number in range(count):
            package = _package(number)
            file.add_pkg(package)
        file.close()
        records.append((name, path))
    info = createrepo_c.UpdateInfo()
    for number in range(0, count, 10):
        info.append(_advisory(number))
    path = os.path.join(data, "updateinfo.xml")
    with open(path, "w", encoding="utf-8") as text:
        text.write(info.xml_dump())
    records.append(("updateinfo", path))
    path = os.path.join(data, "livepatch.json.gz")
    with gzip.open(path, "wt", encoding="utf-8") as text:
        json.dump({"schema": 1, "kernels": _notes(count)}, text)
    records.append(("livepatch", path))
    repomd = createrepo_c.Repomd()
    for name, path in records:
        record = createrepo_c.RepomdRecord(name, path)
        record.fill(createrepo_c.SHA256)
        record.rename_file()
        repomd.set_record(record)
    with open(os.path.join(data, "repomd.xml"), "w", encoding="utf-8") as text:
        text.write(repomd.xml_dump())


def _notes(count: int) -> dict[str, Any]:
    """What the record says of each kernel, as livepatch-repo writes it."""
    notes: dict[str, Any] = {}
    for number in range(count):
        package = _package(number)
        nevra = f"{package.name}-{package.version}-{package.release}.x86_64"
        kernel = f"5.14.0-{100 + number // 10}.el9.x86_64"
        note = notes.setdefault(kernel, {"support_end": "2027-11-01", "patches": {}})
        note["patches"][nevra] = {"issued": "2026-11-01T00:00:00Z"}
    return notes


def _advisory(number: int) -> createrepo_c.UpdateRecord:
    import datetime

    record = createrepo_c.UpdateRecord()
    record.id = record.title = f"LIVEPATCH-{number}"
    record.type, record.severity, record.status, record.version = "security", "Important", "final", "1"
    record.fromstr = "bench"
    record.issued_date = record.updated_date = datetime.datetime(2026, 11, 1)
    collection = createrepo_c.UpdateCollection()
    collection.shortname = collection.name = "bench"
    for build in range(number, number + 10):
        listed = createrepo_c.UpdateCollectionPackage()
        package = _package(build)
        listed.name, listed.version, listed.release = package.name, package.version, package.release
        listed.epoch, listed.arch, listed.filename = "0", "x86_64", f"{build}.rpm"
        collection.append(listed)
    record.append_collection(collection)
    reference = createrepo_c.UpdateReference()
    reference.type, reference.id = "cve", f"CVE-2024-{number:05}"
    reference.href = reference.title = reference.id
    record.append_reference(reference)
    return record


INSIDE = """
import json, sys
from bench import pairs
name, limit, count, *words = sys.argv[1:]
one, other = pairs.command(words), pairs.command([*words, "--disableplugin=livepatch"])
print(json.dumps(pairs.measure(name, one, other, json.loads(limit), int(count))))
"""


def run(count: int) -> list[dict[str, Any]]:
    """Measure all sizes with ``count`` pairs each."""
    from tests.dnf.support import stock
    from tests.dnf.support.lab import Lab

    folder = tempfile.mkdtemp(prefix="bench-")
    try:
        lab = Lab(os.path.join(folder, "lab"))
        lab.make(stock.ALL, stock.STATES, stock.BASE)
        rows = []
        for size, limit in LIMITS:
            state = f"patches-{size}"
            _repository(os.path.join(lab.states, state), size)
            host = lab.host()
            host.repos(base="first", patches=state)
            # The host has its patch, and it is in force: there is nothing to do.
            answer = host.dnf("upgrade")
            if answer.code or not answer.new or "Nothing to do." not in host.dnf("upgrade").out:
                raise RuntimeError(answer.text)
            host.write("/root/inside.py", INSIDE)
            kinds = (("nothing changed", limit, WARM), ("first run after a change", None, FORGET))
            for kind, most, words in kinds:
                name = f"dnf upgrade, {size} patches, {kind}"
                argv = ["python3", "/root/inside.py", name, json.dumps(most), str(count), *words]
                # Only dnf is timed: the pairs are made inside the host.
                answer = host.sh(shlex.join(argv), timeout=3600)
                if answer.code:
                    raise RuntimeError(answer.text)
                rows.append(json.loads(answer.out))
            host.drop()
        return rows
    finally:
        shutil.rmtree(folder, ignore_errors=True)
