# SPDX-License-Identifier: GPL-2.0-or-later
"""Advisories turned into what one kernel lacks, by lineage, and into what its live patches close. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cmp_to_key

from ..base.model import EXACT, ISSUED, LOWER_BOUND, UNKNOWN, UPDATED, Advisory, Debt, Nevra
from ..base.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from ..base.model import Compare


#: Updates of one id that another advisory is compared with, beside those that share a build with it.
MAX_UPDATES = 3
#: CVEs of all builds together in ``coverage``.
MAX_COVER = 1 << 17


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


_RANK = {
    **dict.fromkeys(("critical", "urgent", "emergency", "severe", "very high"), 4),
    **dict.fromkeys(("important", "high", "major", "serious"), 3),
    **dict.fromkeys(("moderate", "medium", "normal", "average"), 2),
    **dict.fromkeys(("low", "minor", "minimal", "negligible", "trivial"), 1),
}
_WORST, _UNRATED = 4, 3
_NONE = ("", "none", "null", "unknown", "unspecified", "unrated", "undefined", "untriaged", "n/a", "-")
_BEFORE = re.compile(r"\Asev(?:erity)?[ _:-]+")


def _word(severity: str) -> str:
    """A vendor's word in small letters, without the ``SEVERITY_`` that some put before it."""
    return _BEFORE.sub("", " ".join(severity.lower().split()))


def rated(severity: str) -> bool:
    """Does the word of an advisory rate it, rather than say that nobody did?"""
    return _word(severity) not in _NONE


def rank(severity: str) -> int:
    """A number from 1 to 4 that orders severity words of all vendors.

    A word that is not known may mean the worst, and so ranks with the worst. An advisory that nobody rated
    ranks as important: nothing that is not known is mild.
    """
    return _RANK.get(_word(severity), _WORST) if rated(severity) else _UNRATED


def alike(one: str, other: str) -> bool:
    """Do two severity words, of two vendors perhaps, mean the same?"""
    ranks = (_RANK.get(_word(one)), _RANK.get(_word(other)))
    return (
        rated(one)
        and rated(other)
        and (_word(one) == _word(other) or (None not in ranks and ranks[0] == ranks[1]))
    )


class _Update:
    """One update, gathered from the advisories that are copies of it.

    Vendors give different updates one id; copies of one update never list different builds of a package.
    """

    def __init__(self, first: Advisory, builds: dict[tuple[str, str], set[str]]) -> None:
        self.copies = [first]
        self.evrs = builds

    def same(self, builds: dict[tuple[str, str], set[str]]) -> bool:
        """Does no package of ``builds`` have other builds here?"""
        for key, evrs in builds.items():
            mine = self.evrs.get(key)
            if mine is not None and mine.isdisjoint(evrs):
                return False
        return True

    def add(self, copy: Advisory, builds: dict[tuple[str, str], set[str]]) -> None:
        """Take in what ``copy`` says."""
        self.copies.append(copy)
        for key, evrs in builds.items():
            self.evrs.setdefault(key, set()).update(evrs)

    def advisory(self) -> Advisory:
        """The one advisory that stands for all copies."""
        rows = self.copies
        if len(rows) == 1:
            return rows[0]
        types = {row.type for row in rows}
        return Advisory(
            rows[0].id,
            "security" if "security" in types else min(types),
            max((row.severity for row in rows), key=lambda word: (rated(word), rank(word), word)),
            min(filter(None, (row.issued for row in rows)), default=""),
            max(row.updated for row in rows),
            tuple(sorted({cve for row in rows for cve in row.cves})),
            tuple(sorted({package for row in rows for package in row.packages})),
            cut=any(row.cut for row in rows),
        )


def merge(advisories: Iterable[Advisory]) -> tuple[Advisory, ...]:
    """One advisory for each update, whatever repositories list it.

    The cost grows with the advisories' length alone: of the updates of one id, those that share a build
    with a copy are compared with it, and those of MAX_UPDATES that were seen first.
    """
    rows = tuple(advisories)
    if len({row.id for row in rows}) == len(rows):
        return rows
    updates: dict[str, list[_Update]] = {}
    owners: dict[tuple[str, Nevra], _Update] = {}
    for row in sorted(set(rows)):
        builds: dict[tuple[str, str], set[str]] = {}
        for package in row.packages:
            builds.setdefault((package.name, package.arch), set()).add(package.evr)
        known = updates.setdefault(row.id, [])
        likely = [owners[row.id, package] for package in row.packages if (row.id, package) in owners]
        near = [*likely[:MAX_UPDATES], *known[:MAX_UPDATES]]
        update = next((one for one in near if one.same(builds)), None)
        if update is None:
            update = _Update(row, builds)
            known.append(update)
        else:
            update.add(row, builds)
        owners.update(((row.id, package), update) for package in row.packages)
    return tuple(update.advisory() for known in updates.values() for update in known)


def debt_of(
    running: Nevra,
    advisories: Iterable[Advisory],
    compare: Compare,
    newest: str = "",
    locked: str = "",
    others: Iterable[Advisory] = (),
) -> tuple[tuple[Debt, ...], str, str]:
    """The CVEs that ``running`` lacks a fix for: (debt ascending by ``fixed_in``, quality, reason).

    By lineage: every CVE of a security advisory for a build of the same package above the running
    one, minus those that an advisory at or below it with the same dist tag fixed already (vendors
    list a CVE again in the next minor release). ``newest`` is the newest build installed or
    offered, ``locked`` the release the repositories are pinned to. Where something is missing from
    the advisories the result is a lower bound, or unknown when it would be empty: never 0 because
    something was not known. ``others`` are advisories that may only add: a CVE above the running kernel
    that no other advisory speaks of. They neither close a CVE nor make the result complete.
    """
    found = _listed(running, merge(advisories), compare, newest)
    more = _listed(running, merge(others), compare, newest)
    for cve, row in more.first.items():
        found.first.setdefault(cve, row)
    rows = _ascending((row for cve, row in found.first.items() if cve not in found.fixed), compare)
    nameless, cut = found.nameless, found.cut | more.cut
    doubts = [f"security advisory {min(nameless)} names no CVE"] if nameless else []
    if cut:
        doubts.append(f"advisory {min(cut)} was not read to its end")
    if locked:
        doubts.append(f"the repositories are locked to release {locked}")
    quality, reason = _judge(running, found.orders, bool(rows), newest, found.newest, doubts, compare)
    return rows, quality, reason


class _Listed:
    """The content of advisories on one kernel package.

    ``fixed`` are the CVEs of its own lineage up to the running build, ``first`` the first fix of each CVE
    above it, ``orders`` which of older (-1), the same (0) and newer (1) builds are listed at all,
    ``nameless`` the security advisories without a CVE, ``cut`` those that were not read to their end, and
    ``newest`` whether the newest build is listed.
    """

    def __init__(self) -> None:
        self.fixed: set[str] = set()
        self.first: dict[str, Debt] = {}
        self.orders: set[int] = set()
        self.nameless: set[str] = set()
        self.cut: set[str] = set()
        self.newest = False


def _listed(running: Nevra, advisories: Iterable[Advisory], compare: Compare, newest: str) -> _Listed:
    home, found = lineage(running.evr), _Listed()
    for advisory in advisories:
        for package in advisory.packages:
            if package.name != running.name or package.arch != running.arch:
                continue
            order = compare(package.evr, running.evr)
            found.orders.add(order)
            if advisory.cut:
                found.cut.add(advisory.id)
            found.newest = found.newest or (bool(newest) and compare(package.evr, newest) >= 0)
            if order <= 0:
                if advisory.cves and lineage(package.evr) == home:
                    found.fixed.update(advisory.cves)
            elif advisory.type in ("security", "unknown"):  # a feed's missing type hides no CVE
                if not advisory.cves and advisory.type == "security":
                    found.nameless.add(advisory.id)
                kind = ISSUED if advisory.issued else UPDATED if advisory.updated else ""
                date = advisory.issued or advisory.updated
                for cve in advisory.cves:
                    row = Debt(cve, advisory.id, advisory.severity, package.evr, date, kind)
                    if cve not in found.first or _before(row, found.first[cve], compare):
                        found.first[cve] = row
    return found


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
        known = LOWER_BOUND if any_debt else UNKNOWN
        return known, f"no advisory of a trusted repository lists the package {running.name}"
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
    advisories: Iterable[Advisory], names: Iterable[str], builds: Iterable[Nevra], compare: Compare
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The ``cover`` of ``Inputs`` for the live-patch packages ``names``, of which ``builds`` are known.

    Vendors list only the new CVEs with each build of a cumulative patch, so a build covers its own
    and those of all earlier builds of the same name. At most MAX_COVER CVEs are told, of all builds
    together: those of known builds before those of others, of newer ones before older ones.
    """
    wanted, known = set(names), frozenset(builds)
    listed: dict[tuple[str, str], dict[Nevra, set[str]]] = {}
    for build in known:
        listed.setdefault((build.name, build.arch), {})[build] = set()
    for advisory in merge(advisories):
        for package in advisory.packages:
            if package.name in wanted:
                of_name = listed.setdefault((package.name, package.arch), {})
                of_name.setdefault(package, set()).update(advisory.cves)
    result, left = [], MAX_COVER
    for key in sorted(listed):
        cves, reach = _reach(listed[key], compare)
        newest = sorted(reach, key=lambda build: (build not in known, -reach[build], build))
        for build in newest:
            left -= reach[build]
            if left < 0:
                break
            result.append((str(build), tuple(sorted(cves[: reach[build]]))))
    return tuple(sorted(result))


def _reach(listed: dict[Nevra, set[str]], compare: Compare) -> tuple[list[str], dict[Nevra, int]]:
    """The CVEs of all builds of one name, in the order they were closed, and how far each build reaches."""
    order = cmp_to_key(compare)
    cves: dict[str, None] = {}
    reach: dict[Nevra, int] = {}
    for build in sorted(listed, key=lambda build: (order(build.evr), build)):
        cves.update(dict.fromkeys(sorted(listed[build])))
        reach[build] = len(cves)
    return list(cves), reach
