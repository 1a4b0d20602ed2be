# SPDX-License-Identifier: GPL-2.0-or-later
"""Vendors' own updateinfo, read by the real DNF and, naively, from its XML: both find the same advisories.

With $LIVEPATCH_VENDOR_DATA set, as CONTRIBUTING.md says, every file in its folder raw that lists a kernel
is read as well. Those files cannot be shipped here; the table of real advisories is.
"""

from __future__ import annotations

import functools
import glob
import gzip
import os
import re
import time
from typing import Any, Callable
from xml.etree import ElementTree

import pytest

from dnf_plugin_livepatch.base.model import Advisory, Kernel, Nevra
from dnf_plugin_livepatch.base.names import kernel_packages, kernel_release
from dnf_plugin_livepatch.exposure.debt import lineage
from dnf_plugin_livepatch.host.packages.evr import compare
from dnf_plugin_livepatch.planning import inputs
from tests.dnf.support import rpms
from tests.dnf.support.installroot import Machine
from tests.dnf.support.reading import facts, inputs_of

TABLE = os.path.join(os.path.dirname(os.path.dirname(__file__)), "data", "kernel-advisories.tsv")
IMAGES = ("kernel", "kernel-core", "kernel-default", "kernel-debug", "kernel-pae", "kernel-rt", "kernel-xen")
TYPES = ("security", "bugfix", "enhancement", "newpackage")


def table() -> str:
    """The real advisories of the table as an updateinfo of the vendor's shape."""
    root = ElementTree.Element("updates")
    with open(TABLE, encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file if not line.startswith("#")]
    for issued, identifier, kind, severity, evr, cves in rows:
        update = ElementTree.SubElement(root, "update", {"type": kind, "status": "final", "version": "3"})
        ElementTree.SubElement(update, "id").text = identifier
        ElementTree.SubElement(update, "title").text = identifier
        ElementTree.SubElement(update, "issued", {"date": issued + " 00:00:00"})
        ElementTree.SubElement(update, "severity").text = severity
        references = ElementTree.SubElement(update, "references")
        for cve in cves.split():
            ElementTree.SubElement(references, "reference", {"id": cve, "type": "cve", "href": "x:" + cve})
        collection = ElementTree.SubElement(ElementTree.SubElement(update, "pkglist"), "collection")
        version, release = evr.split("-")
        for name in ("kernel", "kernel-core", "kernel-modules"):
            build = {"name": name, "version": version, "release": release, "arch": rpms.ARCH}
            ElementTree.SubElement(collection, "package", build)
    return ElementTree.tostring(root, encoding="unicode")


def files() -> dict[str, str]:
    """The name and the text of each updateinfo."""
    found = {"AlmaLinux, a table": table()}
    pattern = os.path.join(os.environ.get("LIVEPATCH_VENDOR_DATA") or "/nowhere", "raw", "*", "*updateinfo*")
    for path in sorted(glob.glob(pattern)):
        if path.endswith((".xml", ".xml.gz")):
            opened: Any = gzip.open(path, "rb") if path.endswith(".gz") else open(path, "rb")
            with opened as file:
                found["/".join(path.split("/")[-2:])] = file.read().decode("utf-8")
    return found


def day(update: ElementTree.Element) -> str:
    """The later of both dates, which is all that libsolv keeps; "" where no date has whole seconds.

    Amazon's dates have no seconds, or a T. libsolv takes them for no date.
    """
    told = [element.get("date") or "" for name in ("issued", "updated") for element in update.findall(name)]
    days = [time.strftime("%Y-%m-%d", time.gmtime(int(date))) for date in told if date.isdigit()]
    days += [date[:10] for date in told if re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$", date)]
    return max(days, default="")


def naive(text: str) -> dict[str, list[Advisory]]:
    """By the name of each kernel package: the advisories that list a build of it for this architecture."""
    found: dict[str, list[Advisory]] = {}
    text = re.sub(r" xmlns=\"[^\"]*\"", "", text)  # SUSE's
    for update in ElementTree.fromstring(text).iter("update"):
        builds: dict[str, set[Nevra]] = {}
        for package in update.iter("package"):
            name, arch = package.get("name") or "", package.get("arch")
            if name in IMAGES and arch == rpms.ARCH:
                epoch, version, release = (package.get(key) for key in ("epoch", "version", "release"))
                builds.setdefault(name, set()).add(
                    Nevra(name, epoch or "0", version or "", release or "", arch)
                )
        kind = update.get("type") or ""
        ids = {(reference.get("id") or "").strip().upper() for reference in update.iter("reference")}
        for name, packages in builds.items():
            found.setdefault(name, []).append(
                Advisory(
                    id=(update.findtext("id") or "").strip(),
                    type=kind if kind in TYPES else "unknown",
                    severity=(update.findtext("severity") or "").strip(),
                    issued="",
                    updated=day(update),
                    cves=tuple(sorted(cve for cve in ids if re.match(r"CVE-\d{4}-\d{4,19}$", cve))),
                    packages=tuple(sorted(packages)),
                )
            )
    return found


def open_cves(running: Nevra, rows: list[Advisory]) -> set[str]:
    """The CVEs fixed above ``running``, without those fixed up to ``running`` in the same minor release."""
    above: set[str] = set()
    below: set[str] = set()
    for row in rows:
        for package in row.packages:
            if compare(package.evr, running.evr) > 0:
                above.update(row.cves if row.type in ("security", "unknown") else ())
            elif lineage(package.evr) == lineage(running.evr):
                below.update(row.cves)
    return above - below


def test_dnf_finds_what_the_file_says(tmp_path: Any, record_property: Callable[[str, object], None]) -> None:
    cases: list[tuple[str, str, list[Advisory], Nevra]] = []
    for source, text in files().items():
        for rows in naive(text).values():
            builds = sorted(
                {package for row in rows for package in row.packages},
                key=functools.cmp_to_key(lambda one, other: compare(one.evr, other.evr)),
            )
            cases.append((source, text, rows, builds[0]))
    kernels = {
        running: rpms.Rpm(
            running.name,
            running.version,
            running.release,
            other=(f"Epoch: {running.epoch}",),
        )
        for *_, running in cases
    }
    built = rpms.build(str(tmp_path / "build"), kernels.values())
    advisories_read = judged = cves = 0
    for number, (source, text, rows, running) in enumerate(cases):
        machine = Machine(str(tmp_path / str(number)), built)
        machine.install(kernels[running])
        machine.repo((), text=text)
        base = machine.base()
        asked = facts(base, Kernel(kernel_release(running), rpms.ARCH, "", "", True))
        (package,) = asked.manager.kernels([running.name], running.arch)
        found = [row._replace(bugs=()) for row in inputs.family_advisories(asked, [package])]
        assert sorted(found) == sorted(rows), source
        advisories_read += len(rows)
        release = kernel_release(running)
        if running.name in kernel_packages(release):  # some have a version that no uname -r shows
            assert asked.running is not None, (source, release)
            debt = inputs_of(base, Kernel(release, rpms.ARCH, "", "", True)).debt
            assert {row.cve for row in debt} == open_cves(running, rows), source
            cves += len(debt)
            judged += 1
        base.close()
    vendors = len({source for source, *_ in cases})
    assert advisories_read and cves and judged >= 2, "the table's at least"
    if os.environ.get("LIVEPATCH_VENDOR_DATA"):
        assert vendors > 1, "the folder has no updateinfo that lists a kernel"
    told = f"{vendors} updateinfo files, {len(cases)} kernels, read twice: {advisories_read} advisories"
    record_property("told", f"{told}; {cves} CVEs open on {judged} of the kernels")


@pytest.mark.parametrize("word", ["type", "severity", "cve", "release"])
def test_a_difference_would_be_seen(word: str) -> None:
    text = table()
    rows = naive(text)["kernel-core"]
    spoiled = {
        "type": text.replace('type="security"', 'type="bugfix"', 1),
        "severity": text.replace("<severity>Moderate", "<severity>Low", 1),
        "cve": re.sub(r'id="CVE-\d+-\d+"', 'id="CVE-1999-0001"', text, count=1),
        "release": re.sub(r'(name="kernel-core"[^>]*release=")\d+', r"\g<1>9", text, count=1),
    }[word]
    assert spoiled != text and sorted(naive(spoiled)["kernel-core"]) != sorted(rows)
