# SPDX-License-Identifier: GPL-2.0-or-later
"""A repository as a distribution or a vendor makes it: createrepo_c, an updateinfo, signed metadata.

The demo's kernels come from such a repository. livepatch-repo publishes live patches, not kernels.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Sequence
from typing import NamedTuple

import createrepo_c

from . import patches
from .common import run, write


class Advisory(NamedTuple):
    """One advisory; ``packages`` are the short names of the packages in its list."""

    id: str
    title: str
    cves: tuple[str, ...]
    packages: tuple[str, ...]


KERNEL_ADVISORIES = (
    Advisory("DEMO-2026:0000", "kernel", ("CVE-1900-0009",), ("kernel-old",)),
    Advisory(
        "DEMO-2026:0001", "kernel", (patches.CMDLINE, patches.UNFIXABLE, patches.VERSION), ("kernel-new",)
    ),
)


def repository(
    folder: str,
    names: Sequence[str],
    files: dict[str, str],
    env: dict[str, str],
    advisories: Sequence[Advisory] = KERNEL_ADVISORIES,
) -> None:
    """Make ``folder`` a signed repository of the RPMs ``names``; ``files`` holds their paths."""
    os.makedirs(folder)
    for name in names:
        os.link(files[name], os.path.join(folder, os.path.basename(files[name])))
    run(["createrepo_c", "-q", "--no-database", folder])
    write(os.path.join(folder, "updateinfo.xml"), _updateinfo(names, files, advisories))
    run(["modifyrepo_c", os.path.join(folder, "updateinfo.xml"), os.path.join(folder, "repodata")])
    os.unlink(os.path.join(folder, "updateinfo.xml"))
    run(
        ["gpg", "--batch", "--armor", "--detach-sign", os.path.join(folder, "repodata", "repomd.xml")],
        env=env,
    )


def _updateinfo(names: Sequence[str], files: dict[str, str], advisories: Sequence[Advisory]) -> str:
    info = createrepo_c.UpdateInfo()
    issued = datetime.datetime(2026, 11, 1)
    for advisory in advisories:
        listed = [name for name in advisory.packages if name in names]
        if not listed:
            continue
        record = createrepo_c.UpdateRecord()
        record.fromstr, record.status, record.type, record.version = (
            "demo@localhost",
            "final",
            "security",
            "1",
        )
        record.id, record.severity = advisory.id, "Important"
        record.title = record.summary = f"{advisory.title} security update (demonstration)"
        record.description = f"Closes {', '.join(advisory.cves)}: demonstrations, no real CVEs."
        record.issued_date = record.updated_date = issued
        for cve in advisory.cves:
            reference = createrepo_c.UpdateReference()
            reference.type, reference.id, reference.title = "cve", cve, cve
            reference.href = "https://example.org/" + cve
            record.append_reference(reference)
        collection = createrepo_c.UpdateCollection()
        collection.shortname, collection.name = "demo", "demo"
        for name in listed:
            package = createrepo_c.package_from_rpm(files[name])
            item = createrepo_c.UpdateCollectionPackage()
            item.name, item.version, item.release = package.name, package.version, package.release
            item.epoch, item.arch, item.filename = (
                package.epoch or "0",
                package.arch,
                os.path.basename(files[name]),
            )
            item.reboot_suggested = name.startswith("kernel-")
            collection.append(item)
        record.append_collection(collection)
        info.append(record)
    return str(info.xml_dump())
