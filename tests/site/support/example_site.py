# SPDX-License-Identifier: GPL-2.0-or-later
"""A repository of many kernels, CVEs and patches, made of metadata only, and its report."""

import datetime
import pathlib

import createrepo_c as cr

from dnf_plugin_livepatch.base.model import Unfixable
from dnf_plugin_livepatch.formats import repository_record
from dnf_plugin_livepatch.repotool import report, settings, site
from dnf_plugin_livepatch.repotool.repository import metadata, reading

NOW = "2026-11-22T21:00:00Z"
BUILDS = [
    "362.8.1.el9_3",
    "362.18.1.el9_3",
    "427.13.1.el9_4",
    "427.22.1.el9_4",
    "427.42.1.el9_4",
    "503.11.1.el9_5",
]
SEVERITIES = ["Important", "Moderate", "Low", "Critical"]
WITHDRAWN = "kpatch-patch-5_14_0-427_22_1-1-2.el9_4.x86_64"


def release_of(build):
    return f"5.14.0-{build}.x86_64"


def package(name, version, build, provides, number):
    made = cr.Package()
    made.name, made.epoch, made.version, made.release, made.arch = name, "0", version, build, "x86_64"
    made.pkgId, made.checksum_type = f"{number:064x}", "sha256"
    made.location_href = f"Packages/{number:016x}/{name}-{version}-{build}.x86_64.rpm"
    made.summary, made.description, made.size_package, made.time_build = "s", "d", 81234, 1790000000 + number
    made.rpm_sourcerpm = f"{name}-{version}-{build}.src.rpm"
    made.provides = [(n, "EQ" if v else None, "0" if v else None, v, r, False) for n, v, r in provides]
    return made


def advisory(name, cves, packages, severity, issued):
    made = cr.UpdateRecord()
    made.id, made.type, made.status, made.title, made.severity = name, "security", "final", name, severity
    made.issued_date = made.updated_date = issued
    for cve in cves:
        reference = cr.UpdateReference()
        reference.type, reference.id, reference.href, reference.title = (
            "cve",
            cve,
            f"https://example.com/{cve}",
            cve,
        )
        made.append_reference(reference)
    collection = cr.UpdateCollection()
    for one in packages:
        item = cr.UpdateCollectionPackage()
        for field in ("name", "epoch", "version", "release", "arch"):
            setattr(item, field, getattr(one, field))
        collection.append(item)
    made.append_collection(collection)
    return made


def repository(folder):
    """Write the metadata; kernel N fixes three CVEs, of which a live patch leaves one to a reboot."""
    repodata = folder / "repodata"
    repodata.mkdir(parents=True)
    packages, advisories, kernels, fixed = [], [], {}, []
    for index, build in enumerate(BUILDS):
        release, (version, rest) = release_of(build), ("5.14.0", build)
        kernel = package(
            "kernel-core", version, rest, [("kernel-uname-r", version, f"{rest}.x86_64")], 1000 + index
        )
        packages.append(kernel)
        new = [f"CVE-202{3 + index // 3}-{21000 + index * 37 + step}" for step in range(4)]
        when = datetime.datetime(2024 + index // 3, 1 + (index * 3) % 12, 14)
        advisories.append(advisory(f"EX-2024:{100 + index}", new, [kernel], SEVERITIES[index % 4], when))
        fixed.append(new)
    for index, build in enumerate(BUILDS[:-1]):
        release = release_of(build)
        name = "kpatch-patch-5_14_0-" + build.split(".el9")[0].replace(".", "_")
        later = [cve for group in fixed[index + 1 :] for cve in group]
        notes = {}
        for number in (1, 2):
            closes = [cve for place, cve in enumerate(later) if place % 4 != 3][: 4 * number + 2]
            provides = [
                (f"livepatch(kernel-uname-r:{release})", None, None),
                ("kpatch-patch", "5.14.0", f"{build}.x86_64"),
            ]
            made = package(name, "1", f"{number}.{build.split('.', 3)[3]}", provides, 10 * index + number)
            packages.append(made)
            when = datetime.datetime(2025, 2 + index, 3 * number)
            advisories.append(advisory(f"LIVEPATCH:{name}-1-{number}", closes, [made], "Important", when))
            nevra = f"{name}-1-{made.release}.x86_64"
            taken = (
                repository_record.Withdrawn("2026-11-01T00:00:00Z", "oops in vfs_read")
                if nevra == WITHDRAWN
                else None
            )
            steps = (
                (repository_record.Step("2026-11-20T00:00:00Z", 25),) if index == 4 and number == 2 else ()
            )
            notes[nevra] = repository_record.PatchNote(when.isoformat() + "Z", steps, taken)
        cannot = tuple(Unfixable(cve, "changes data that is allocated already") for cve in later[3::8])
        ends = ["2026-05-31", "2026-05-31", "2027-04-30", "2027-04-30", "2027-10-31"]
        kernels[release] = repository_record.KernelNote(ends[index], cannot, notes)
    text = repository_record.dump(repository_record.Record(NOW, kernels))
    metadata.write(
        str(repodata), packages, list(map(metadata.update_of, advisories)), text, [], "gz", 1795000000
    )


def make(folder):
    """The repository and its site below ``folder``; the site's folder."""
    folder = pathlib.Path(folder)
    repository(folder / "repo")
    chosen = settings.Settings(title="Example live patches", base_url="https://patches.example.com/el9")
    model = report.build(reading.read(str(folder / "repo"), ()), (), chosen, NOW)
    site.write(model, str(folder / "site"))
    return folder / "site"
