# SPDX-License-Identifier: GPL-2.0-or-later
"""Repositories made of createrepo_c's records alone: no RPM is behind them, and none is asked for."""

from __future__ import annotations

import datetime
import gzip
import os
from collections.abc import Iterable, Sequence
from typing import Optional

import createrepo_c

Capability = tuple[Optional[str], ...]
Build = tuple[str, str, str]
_ISSUED = datetime.datetime(2026, 11, 1)
_WRITERS = {
    "primary": createrepo_c.PrimaryXmlFile,
    "filelists": createrepo_c.FilelistsXmlFile,
    "other": createrepo_c.OtherXmlFile,
}


def bare(name: str) -> Capability:
    """A capability without a version."""
    return name, None, None, None, None


def equal(name: str, version: str, release: str) -> Capability:
    """The capability ``name = version-release``."""
    return name, "EQ", "0", version, release


def package(
    number: int, build: Build, provides: Sequence[Capability], requires: Sequence[Capability] = ()
) -> createrepo_c.Package:
    """The package ``build``, which is (name, version, release); ``number`` stands for its content."""
    made = createrepo_c.Package()
    made.name, made.version, made.release = build
    made.epoch, made.arch = "0", "x86_64"
    made.pkgId, made.checksum_type = f"{number:064x}", "sha256"
    made.summary = made.description = made.rpm_license = "bench"
    made.location_href = "-".join(build) + ".rpm"
    made.rpm_sourcerpm = "bench-1-1.src.rpm"
    made.time_file = made.time_build = 1700000000 + number
    made.provides = [(*item, False) for item in provides]
    made.requires = [(*item, False) for item in requires]
    return made


def advisory(identifier: str, builds: Iterable[Build], cves: Iterable[str]) -> createrepo_c.UpdateRecord:
    """A security advisory that lists ``builds`` and refers to ``cves``."""
    record = createrepo_c.UpdateRecord()
    record.id = record.title = identifier
    record.type, record.severity, record.status, record.version = "security", "Important", "final", "1"
    record.fromstr = "bench"
    record.issued_date = record.updated_date = _ISSUED
    collection = createrepo_c.UpdateCollection()
    collection.shortname = collection.name = "bench"
    for name, version, release in builds:
        listed = createrepo_c.UpdateCollectionPackage()
        listed.name, listed.epoch, listed.version, listed.release = name, "0", version, release
        listed.arch, listed.filename = "x86_64", "bench.rpm"
        collection.append(listed)
    record.append_collection(collection)
    for cve in cves:
        reference = createrepo_c.UpdateReference()
        reference.type, reference.id, reference.href, reference.title = "cve", cve, cve, cve
        record.append_reference(reference)
    return record


def repository(
    folder: str,
    packages: Sequence[createrepo_c.Package],
    advisories: Iterable[createrepo_c.UpdateRecord],
    record: str = "",
    kinds: Iterable[str] = tuple(_WRITERS),
    packed: bytes = b"",
) -> None:
    """Write the metadata of a repository into ``folder``.

    ``record`` is the text of its livepatch record, ``packed`` the record's file as it is to be served.
    """
    data = os.path.join(folder, "repodata")
    os.makedirs(data)
    paths = {kind: os.path.join(data, kind + ".xml.gz") for kind in kinds}
    for kind, path in paths.items():
        file = _WRITERS[kind](path)
        file.set_num_of_pkgs(len(packages))
        for one in packages:
            file.add_pkg(one)
        file.close()
    info = createrepo_c.UpdateInfo()
    for update in advisories:
        info.append(update)
    paths["updateinfo"] = os.path.join(data, "updateinfo.xml")
    with open(paths["updateinfo"], "w", encoding="utf-8") as text:
        text.write(info.xml_dump())
    if record or packed:
        paths["livepatch"] = os.path.join(data, "livepatch.json.gz")
        with open(paths["livepatch"], "wb") as file:
            file.write(packed or gzip.compress(record.encode()))
    repomd = createrepo_c.Repomd()
    for kind, path in paths.items():
        entry = createrepo_c.RepomdRecord(kind, path)
        entry.fill(createrepo_c.SHA256)
        entry.rename_file()
        repomd.set_record(entry)
    with open(os.path.join(data, "repomd.xml"), "w", encoding="utf-8") as text:
        text.write(repomd.xml_dump())
