# SPDX-License-Identifier: GPL-2.0-or-later
"""Advisories turned into what one kernel lacks, by lineage, and into what its live patches close. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cmp_to_key

from ..base.model import EXACT, ISSUED, LOWER_BOUND, UNKNOWN, UPDATED, Advisory, Debt, Nevra
from ..base.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from ..base.model import Compare


def lineage(evr: str) -> str:
    """The dist tag of an EVR, which differs between builds of parallel minor releases.

    ``5.14.0-611.49.1.el9_7`` -> ``el9_7``; ``…-1.el9.elrepo`` -> ``el9.elrepo``. SUSE has no dist
    tag; there the service pack is the release's first, six-digit number: ``150500``.
    """
    parts = evr.rpartition("-")[2].split(".")
    end = len(parts)
    while end and not parts[end - 1][:1].isalpha():
        end -= 1
    start = end
    while start and parts[start - 1][:1].isalpha():
        start -= 1
    if end:
        return ".".join(parts[start:end])
    return parts[0] if len(parts[0]) == 6 and parts[0].isdigit() else ""


def _builds(advisory: Advisory) -> dict[tuple[str, str], set[str]]:
    builds: dict[tuple[str, str], set[str]] = {}
    for package in advisory.packages:
        builds.setdefault((package.name, package.arch), set()).add(package.evr)
    return builds


def _same_update(one: Advisory, other: Advisory) -> bool:
    """Some vendors give different updates one id; copies of one update never list different builds."""
    builds = _builds(other)
    return all(evrs & builds[key] for key, evrs in _builds(one).items() if key in builds)


_RANK = {"critical": 4, "important": 3, "high": 3, "moderate": 2, "medium": 2, "low": 1}


def rank(severity: str) -> int:
    """A number that orders severity words of all vendors; 0 for none or an unknown word."""
    return _RANK.get(severity.lower(), 0)


def _merged(one: Advisory, other: Advisory) -> Advisory:
    issued = [date for date in (one.issued, other.issued) if date]
    return Advisory(
        id=one.id,
        type="security" if "security" in (one.type, other.type) else min(one.type, other.type),
        severity=max(one.severity, other.severity, key=lambda word: (rank(word), word)),
        issued=min(issued) if issued else "",
        updated=max(one.updated, other.updated),
        cves=tuple(sorted({*one.cves, *other.cves})),
        packages=tuple(sorted({*one.packages, *other.packages})),
    )


def merge(advisories: Iterable[Advisory]) -> tuple[Advisory, ...]:
    """One advisory for each id, whatever repositories list it."""
    rows = tuple(advisories)
    if len({row.id for row in rows}) == len(rows):
        return rows
    result: dict[str, list[Advisory]] = {}
    for advisory in sorted(set(rows)):
        copies = result.setdefault(advisory.id, [])
        for index, copy in enumerate(copies):
            if _same_update(copy, advisory):
                copies[index] = _merged(copy, advisory)
                break
        else:
            copies.append(advisory)
    return tuple(advisory for copies in result.values() for advisory in copies)


def debt_of(
    running: Nevra,
    advisories: Iterable[Advisory],
    compare: Compare,
    newest: str = "",
    locked: str = "",
) -> tuple[tuple[Debt, ...], str, str]:
    """The CVEs that ``running`` lacks a fix for: (debt ascending by ``fixed_in``, quality, reason).

    By lineage: every CVE of a security advisory for a build of the same package above the running
    one, minus those that an advisory at or below it with the same dist tag fixed already (vendors
    list a CVE again in the next minor release). ``newest`` is the newest build installed or
    offered, ``locked`` the release the repositories are pinned to. Where something is missing from
    the advisories the result is a lower bound, or unknown when it would be empty: never 0 because
    something was not known.
    """
    home = lineage(running.evr)
    fixed: set[str] = set()
    first: dict[str, Debt] = {}
    listed: set[int] = set()
    nameless: set[str] = set()
    newest_listed = False
    for advisory in merge(advisories):
        for package in advisory.packages:
            if package.name != running.name or package.arch != running.arch:
                continue
            order = compare(package.evr, running.evr)
            listed.add(order)
            newest_listed = newest_listed or (bool(newest) and compare(package.evr, newest) >= 0)
            if order <= 0:
                if advisory.cves and lineage(package.evr) == home:
                    fixed.update(advisory.cves)
            elif advisory.type in ("security", "unknown"):  # a feed's missing type hides no CVE
                if not advisory.cves and advisory.type == "security":
                    nameless.add(advisory.id)
                kind = ISSUED if advisory.issued else UPDATED if advisory.updated else ""
                date = advisory.issued or advisory.updated
                for cve in advisory.cves:
                    row = Debt(cve, advisory.id, advisory.severity, package.evr, date, kind)
                    if cve not in first or _before(row, first[cve], compare):
                        first[cve] = row
    rows = _ascending((row for cve, row in first.items() if cve not in fixed), compare)
    doubts = [f"security advisory {min(nameless)} names no CVE"] if nameless else []
    if locked:
        doubts.append(f"the repositories are locked to release {locked}")
    quality, reason = _judge(running, listed, bool(rows), newest, newest_listed, doubts, compare)
    return rows, quality, reason


def _before(one: Debt, other: Debt, compare: Compare) -> bool:
    order = compare(one.fixed_in, other.fixed_in)
    return order < 0 or (order == 0 and one < other)


def _ascending(rows: Iterable[Debt], compare: Compare) -> tuple[Debt, ...]:
    builds = cmp_to_key(compare)
    return tuple(sorted(sorted(rows), key=lambda row: builds(row.fixed_in)))


def _judge(
    running: Nevra,
    listed: set[int],
    any_debt: bool,
    newest: str,
    newest_listed: bool,
    more: Sequence[str],
    compare: Compare,
) -> tuple[str, str]:
    if not listed:
        return UNKNOWN, f"no advisory in the repositories lists the package {running.name}"
    doubts = []
    if 0 not in listed:
        doubts.append(f"no advisory lists the running kernel {running.evr}, earlier ones may be missing")
    if newest and not newest_listed and compare(newest, running.evr) > 0:
        doubts.append(f"kernel {newest} has no advisory")
    doubts += more
    if not doubts:
        return EXACT, ""
    return (LOWER_BOUND if any_debt else UNKNOWN), "; ".join(doubts)


def coverage(
    advisories: Iterable[Advisory], names: Iterable[str], installed: Iterable[Nevra], compare: Compare
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The ``cover`` of ``Inputs`` for the live-patch packages ``names`` and ``installed``.

    Vendors list only the new CVEs with each build of a cumulative patch, so a build covers its own
    and those of all earlier builds of the same name.
    """
    wanted = set(names)
    listed: dict[Nevra, set[str]] = {build: set() for build in installed}
    for advisory in merge(advisories):
        for package in advisory.packages:
            if package.name in wanted:
                listed.setdefault(package, set()).update(advisory.cves)
    result = []
    for build in sorted(listed):
        cves: set[str] = set()
        for other, closes in listed.items():
            if (other.name, other.arch) == (build.name, build.arch) and compare(other.evr, build.evr) <= 0:
                cves |= closes
        result.append((str(build), tuple(sorted(cves))))
    return tuple(result)
