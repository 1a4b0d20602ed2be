# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks of the advisories, alone and against the packages. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...base.model import Nevra
from ...base.names import CVE
from ..repository.view import (
    Advisory,
    ListedPackage,
    Package,
    View,
    advisories_by_package,
    closed_by,
    compare_evr,
    newest_first,
)
from ..settings import SEVERITIES
from .metadata import Raised

if TYPE_CHECKING:
    from .run import Context

_TYPES = ("security", "bugfix", "enhancement", "newpackage")
_REFERENCES = ("self", "cve", "bugzilla", "other", "vendor")


def check(view: View, context: Context) -> Iterator[Raised]:
    """Every finding about advisories."""
    seen: dict[str, int] = {}
    for advisory in view.advisories:
        seen[advisory.id] = seen.get(advisory.id, 0) + 1
    for identifier, count in seen.items():
        if count > 1 and identifier:
            yield "advisory-duplicate-id", identifier, {"count": count}
    offered = {package.nevra: package for package in view.packages}
    names: dict[tuple[str, str], list[Nevra]] = {}
    for nevra in offered:
        names.setdefault((nevra.name, nevra.arch), []).append(nevra)
    for advisory in view.advisories:
        yield from _words(advisory, context)
        yield from _references(advisory)
        yield from _listed(advisory, offered, names)
    yield from _lists(view)


def _words(advisory: Advisory, context: Context) -> Iterator[Raised]:
    name = advisory.id or "(no id)"
    if not advisory.id:
        yield "advisory-without-id", name, {"title": advisory.title or "without a title"}
    if advisory.type not in _TYPES:
        yield "advisory-type", name, {"type": advisory.type or "(none)"}
    if advisory.severity and advisory.severity not in (*SEVERITIES, "None"):
        yield "advisory-severity", name, {"severity": advisory.severity}
    if not advisory.issued:
        yield "advisory-without-issued", name, {}
    elif advisory.issued > context.now or (advisory.updated and advisory.updated < advisory.issued):
        yield "advisory-date", name, {"issued": advisory.issued, "updated": advisory.updated or "never"}
    if advisory.type == "security" and not advisory.packages:
        yield "advisory-empty", name, {}


def _references(advisory: Advisory) -> Iterator[Raised]:
    for reference in advisory.references:
        facts: dict[str, object] = {"type": reference.type or "(none)", "id": reference.id or "(no id)"}
        if not reference.id:
            yield "advisory-reference-without-id", advisory.id, facts
        elif reference.type == "cve" and not CVE.match(reference.id):
            yield "advisory-cve-id", advisory.id, facts
        if not reference.href:
            yield "advisory-reference-without-href", advisory.id, facts
        if reference.type not in _REFERENCES:
            yield "advisory-reference-type", advisory.id, facts


def _listed(
    advisory: Advisory, offered: dict[Nevra, Package], names: dict[tuple[str, str], list[Nevra]]
) -> Iterator[Raised]:
    patches = [item for item in advisory.packages if item.nevra in offered and offered[item.nevra].kind]
    real = [item for item in patches if offered[item.nevra].kind == "patch"]
    if real and advisory.type == "security" and not advisory.cves:
        yield "advisory-without-cve", advisory.id, {}
    if patches and advisory.reboot or any(item.reboot for item in patches):
        yield "advisory-reboot", advisory.id, {}
    for item in advisory.packages:
        nevra = item.nevra
        if nevra in offered:
            yield from _same(advisory, item, offered[nevra])
            continue
        siblings = names.get((nevra.name, nevra.arch), [])
        twin = [
            other for other in siblings if (other.version, other.release) == (nevra.version, nevra.release)
        ]
        if twin:
            yield (
                "advisory-package-differs",
                advisory.id,
                {
                    "nevra": str(nevra),
                    "what": "epoch",
                    "listed": nevra.epoch or "(none)",
                    "have": twin[0].epoch,
                },
            )
        elif siblings and all(compare_evr(other, nevra) > 0 for other in siblings):
            yield "advisory-package-superseded", advisory.id, {"nevra": str(nevra)}
        else:
            yield "advisory-package-missing", advisory.id, {"nevra": str(nevra)}


def _same(advisory: Advisory, item: ListedPackage, package: Package) -> Iterator[Raised]:
    for what, listed, have in (
        ("file name", item.filename.rsplit("/", 1)[-1], package.location.rsplit("/", 1)[-1]),
        ("digest", item.checksum if len(item.checksum) == len(package.checksum) else "", package.checksum),
    ):
        if listed and listed != have:
            yield (
                "advisory-package-differs",
                advisory.id,
                {"nevra": str(item.nevra), "what": what, "listed": listed, "have": have},
            )


def _lists(view: View) -> Iterator[Raised]:
    """The CVE lists of live patches, against the package's own and those of earlier builds."""
    told = advisories_by_package(view)
    groups: dict[tuple[str, str], list[Package]] = {}
    for package in view.patches:
        groups.setdefault((package.nevra.name, package.nevra.arch), []).append(package)
        if package.nevra not in told:
            if "updateinfo" in view.has:
                yield "patch-without-advisory", str(package.nevra), {}
            continue
        missing = set(package.own_cves) - {cve for one in told[package.nevra] for cve in one.cves}
        if missing:
            yield "advisory-cve-unlisted", str(package.nevra), {"cves": ", ".join(sorted(missing))}
    for group in groups.values():
        group.sort(key=newest_first)
        for newer, older in zip(group, group[1:]):
            lost: set[str] = set(closed_by(older, told)) - set(closed_by(newer, told))
            if lost and newer.nevra in told:
                yield (
                    "advisory-cve-lost",
                    str(newer.nevra),
                    {"older": str(older.nevra), "cves": ", ".join(sorted(lost))},
                )
