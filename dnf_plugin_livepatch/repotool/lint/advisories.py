# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks of the advisories, alone and against the packages. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ...base.model import Nevra
from ...base.names import CVE
from ..repository.view import (
    SEVERITIES,
    Advisory,
    ListedPackage,
    Package,
    View,
    advisories_by_package,
    closed_by,
    compare_evr,
    newest_first,
)
from .context import Check, Context, Raised

_TYPES = ("security", "bugfix", "enhancement", "newpackage")
_REFERENCES = ("self", "cve", "bugzilla", "other", "vendor")
_CORRECT = "Correct the advisory; 'livepatch-repo publish' writes it from the package's manifest."

CHECKS = {
    "advisory-without-id": Check(
        "error",
        "An advisory ({title}) has no id.",
        "dnf, the record and scanners name advisories by id. One without an id cannot be asked for or "
        "counted.",
        _CORRECT,
    ),
    "advisory-duplicate-id": Check(
        "error",
        "{count} advisories have this id; dnf mixes them.",
        "A host may count the CVEs of one for the packages of the other, and call a CVE closed that is "
        "open.",
        "Give each advisory an id of its own.",
    ),
    "advisory-type": Check(
        "error",
        "The type {type} is none that dnf knows.",
        "Hosts cannot tell whether a security fix is meant: 'dnf upgrade --security' passes over it.",
        "Use security, bugfix, enhancement or newpackage.",
    ),
    "advisory-severity": Check(
        "error",
        "The severity {severity} is none of dnf's words: --sec-severity never finds it.",
        "Filters by severity, and rules that hold a kernel update back, compare these words.",
        "Use Critical, Important, Moderate or Low, spelled so.",
    ),
    "advisory-reference-without-id": Check(
        "error",
        "A reference of type {type} has no id: 'dnf upgrade --cve' crashes on every client.",
        "One such reference stops every use of --cve on a host, for the advisories of all other "
        "repositories too.",
        _CORRECT,
    ),
    "advisory-reference-without-href": Check(
        "warning",
        "The reference {id} has no address.",
        "People who are asked to approve an update cannot follow it to its source.",
        _CORRECT,
    ),
    "advisory-reference-type": Check(
        "error",
        "The reference type {type} of {id} is unknown to dnf.",
        "Hosts and scanners find CVEs by the type of the reference, so that this one may be lost.",
        "Use cve, bugzilla, self, vendor or other.",
    ),
    "advisory-cve-id": Check(
        "error",
        "{id} is no CVE identifier; scanners and --cve never match it.",
        "The CVE counts as open everywhere, although the patch closes it.",
        "Write CVE-YEAR-NUMBER.",
    ),
    "advisory-without-issued": Check(
        "warning",
        "It has no issue date: hosts cannot tell how old the fix is.",
        "Hosts tell how long a CVE has been open, and may wait some days before they take a patch. "
        "Both need the date.",
        _CORRECT,
    ),
    "advisory-date": Check(
        "warning",
        "Its dates cannot be right: issued {issued}, updated {updated}.",
        "Hosts that wait some days after the issue date would take the patch too early or too late.",
        "An advisory is issued in the past and updated no earlier.",
    ),
    "advisory-empty": Check(
        "warning",
        "It is a security advisory that lists no package.",
        "No host can tell whether it is concerned, or which package closes the CVEs.",
        _CORRECT,
    ),
    "advisory-without-cve": Check(
        "warning",
        "It is a security advisory of a live patch and names no CVE.",
        "Hosts call a CVE closed only if an advisory or the package names it.",
        "List every CVE that the patch closes, not only the new ones.",
    ),
    "advisory-package-missing": Check(
        "error",
        "It lists {nevra}, which is not in the repository.",
        "dnf matches advisories to packages by their full name. With a slip in it the fix counts for "
        "nobody.",
        "Publish the package, or correct name, epoch, version, release and arch to what the RPM says.",
    ),
    "advisory-package-superseded": Check(
        "note",
        "It lists {nevra}, of which only later builds are here.",
        "Hosts that still have the old build keep learning what it closes.",
        "Nothing to do: that is what a prune leaves.",
    ),
    "advisory-package-differs": Check(
        "error",
        "It lists {nevra} with {what} {listed}; the package has {have}.",
        "The advisory is about another build than the one that hosts get.",
        _CORRECT,
    ),
    "advisory-reboot": Check(
        "error",
        "It suggests a reboot for a live patch: 'dnf needs-restarting' then asks for what the patch spares.",
        "Hosts would reboot for the very update that was made to avoid a reboot.",
        "Never set reboot_suggested on a live patch.",
    ),
    "advisory-cve-lost": Check(
        "error",
        "{older} closes {cves}, this newer build's advisory does not say so.",
        "dnf reads the advisory of the newest build only. A CVE that it does not list counts as open again.",
        "List all CVEs of a cumulative patch in each advisory, or put the lost fix back.",
    ),
    "advisory-cve-unlisted": Check(
        "warning",
        "The package says it closes {cves}, its advisory does not.",
        "Scanners and 'dnf upgrade --cve' read advisories, not packages. They call these CVEs open.",
        _CORRECT,
    ),
    "advisory-cve-kept": Check(
        "warning",
        "It keeps {cves}, which the advisory file no longer names: {missing} may have brought them.",
        "Hosts call these CVEs closed. If they were named by mistake, hosts are misled.",
        "Publish again with all packages of the advisory that the repository has: the advisory file then "
        "speaks for all of them.",
    ),
    "advisory-rights-kept": Check(
        "warning",
        "It keeps its rights, and the settings name others.",
        "The rights of the settings are those of new advisories. Readers of this one see the old ones.",
        "Name the rights in the advisory file, and publish a package of the advisory again.",
    ),
    "advisory-not-given": Check(
        "warning",
        "The advisory file has another {fields} for it, and none of its packages is given: it stays.",
        "A correction reaches readers only where a package of the advisory is published again.",
        "Publish a package of the advisory again, with the advisory file.",
    ),
    "advisory-not-joined": Check(
        "warning",
        "Source and target have it with other contents, and {what} stays out: the later state counts.",
        "Hosts call a CVE open that the advisory does not name, and filter updates by the severity.",
        "If it belongs there, name it in an advisory file and publish the advisory's packages in the target "
        "again.",
    ),
    "patch-without-advisory": Check(
        "error",
        "No advisory lists this live patch: 'dnf upgrade --security' never takes it.",
        "Hosts that take security updates only never get the live patch.",
        _CORRECT,
    ),
}


def check(view: View, context: Context) -> Iterator[Raised]:
    """Every finding about advisories."""
    seen: dict[str, int] = {}
    for advisory in view.advisories:
        seen[advisory.id] = seen.get(advisory.id, 0) + 1
    for identifier, count in seen.items():
        if count > 1 and identifier:
            yield "advisory-duplicate-id", identifier, {"count": count}
    offered = {package.nevra: package for package in view.packages}
    builds = _Builds.of(offered)
    for advisory in view.advisories:
        yield from _words(advisory, context)
        yield from _references(advisory)
        yield from _listed(advisory, offered, builds)
    yield from _lists(view)


def left_behind(identifier: str, cves: str, missing: str) -> Raised:
    """The fault about ``cves`` that stay in an advisory because the packages ``missing`` are not given."""
    return "advisory-cve-kept", identifier, {"cves": cves, "missing": missing}


def rights_kept(identifier: str) -> Raised:
    """The fault about an advisory whose rights are not those of the settings."""
    return "advisory-rights-kept", identifier, {}


def not_given(identifier: str, fields: str) -> Raised:
    """The fault about an advisory that the advisory file would change if one of its packages were given."""
    return "advisory-not-given", identifier, {"fields": fields}


def not_joined(identifier: str, what: str) -> Raised:
    """The fault about ``what`` of one state of an advisory that the later state of it does not have."""
    return "advisory-not-joined", identifier, {"what": what}


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


class _Builds(NamedTuple):
    """The packages of a repository, to be found without a look at all of them.

    ``twins`` are by name, version, release and arch; ``oldest`` are by name and arch. A subscription, which
    stays below every patch, is the oldest only where there is no patch.
    """

    twins: dict[tuple[str, str, str, str], Nevra]
    oldest: dict[tuple[str, str], Nevra]

    @classmethod
    def of(cls, offered: dict[Nevra, Package]) -> _Builds:
        """The builds of the packages ``offered``."""
        made, subscriptions = cls({}, {}), cls({}, {})
        for nevra, package in offered.items():
            made.twins.setdefault((nevra.name, nevra.version, nevra.release, nevra.arch), nevra)
            found = subscriptions.oldest if package.kind == "empty" else made.oldest
            oldest = found.setdefault((nevra.name, nevra.arch), nevra)
            if compare_evr(nevra, oldest) < 0:
                found[(nevra.name, nevra.arch)] = nevra
        return made._replace(oldest={**subscriptions.oldest, **made.oldest})


def _listed(advisory: Advisory, offered: dict[Nevra, Package], builds: _Builds) -> Iterator[Raised]:
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
        twin = builds.twins.get((nevra.name, nevra.version, nevra.release, nevra.arch))
        oldest = builds.oldest.get((nevra.name, nevra.arch))
        if twin is not None:
            yield (
                "advisory-package-differs",
                advisory.id,
                {
                    "nevra": str(nevra),
                    "what": "epoch",
                    "listed": nevra.epoch or "(none)",
                    "have": twin.epoch,
                },
            )
        elif oldest is not None and compare_evr(oldest, nevra) > 0:
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
    told = advisories_by_package(view.advisories)
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
