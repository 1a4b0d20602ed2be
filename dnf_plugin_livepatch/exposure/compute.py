# SPDX-License-Identifier: GPL-2.0-or-later
"""Which CVEs the running kernel has open, closed live, or closed by a reboot only. Pure.

Two steps. ``debt()`` turns advisories into what the running kernel lacks, by lineage (see its
docstring); a dnf run does that and caches the result as ``Inputs``. ``compute()`` joins the inputs
with the patches that are in force right now. Everything that tells (status, prompt, metrics, exit
codes) reads the one ``Exposure`` that comes out.

A severity belongs to an advisory, not to a CVE: each row carries that of the advisory with the first fix.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cmp_to_key
from typing import Callable, NamedTuple

from ..base.model import Advisory, CveState, Debt, Exposure, InForce, Nevra, Unfixable
from ..base.names import evr_of, release_of

#: Compares two ``[epoch:]version-release`` texts as rpm does: negative, zero or positive.
Compare = Callable[[str, str], int]

OPEN, CLOSED_LIVE, REBOOT_ONLY = "open", "closed-live", "reboot-only"
EXACT, LOWER_BOUND, UNKNOWN = "exact", "lower-bound", "unknown"


class Inputs(NamedTuple):
    """What the repositories say about one kernel; the live half is added by ``compute()``.

    ``kernel_package`` is the NEVRA of the package the kernel came from. ``as_of`` is when the
    oldest of the repositories was last synchronised, ``repositories`` are (id, revision) pairs.
    ``debt`` ascends by ``fixed_in``. ``cover`` holds, for each build of a live-patch package for this
    kernel, the CVEs that its own and all earlier advisories list. ``newest_kernel`` is the EVR
    of the newest build of the same package that is installed or offered. ``support_end`` is what the
    publisher says, ``window_end`` what follows from the vendor's usual support window.
    """

    kernel_release: str
    kernel_package: str = ""
    quality: str = UNKNOWN
    reason: str = ""
    as_of: str = ""
    repositories: tuple[tuple[str, str], ...] = ()
    debt: tuple[Debt, ...] = ()
    cover: tuple[tuple[str, tuple[str, ...]], ...] = ()
    unfixable: tuple[Unfixable, ...] = ()
    support_end: str = ""
    newest_kernel: str = ""
    window_end: str = ""


def unknown(release: str, reason: str) -> Inputs:
    """Inputs for a kernel about which nothing is known, and why."""
    return Inputs(release, reason=reason)


def lineage(evr: str) -> str:
    """The dist tag of an EVR: what tells builds of parallel minor releases apart.

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


def debt(
    running: Nevra,
    advisories: Iterable[Advisory],
    compare: Compare,
    newest: str = "",
    locked: str = "",
) -> tuple[tuple[Debt, ...], str, str]:
    """What ``running`` lacks: (debt ascending by ``fixed_in``, quality, reason).

    By lineage: every CVE of a security advisory for a build of the same package above the running
    one, minus those that an advisory at or below it with the same dist tag fixed already (vendors
    list a CVE again in the next minor release). ``newest`` is the newest build installed or
    offered, ``locked`` the release the repositories are pinned to. Where something is missing from
    the advisories the result is a lower bound, or unknown when it would be empty: never 0 for want
    of knowledge.
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
            listed.add((order > 0) - (order < 0))
            newest_listed = newest_listed or (bool(newest) and compare(package.evr, newest) >= 0)
            if order <= 0:
                if advisory.cves and lineage(package.evr) == home:
                    fixed.update(advisory.cves)
            elif advisory.type in ("security", "unknown"):  # a feed's missing type hides no CVE
                if not advisory.cves and advisory.type == "security":
                    nameless.add(advisory.id)
                date = advisory.issued or advisory.updated
                for cve in advisory.cves:
                    row = Debt(cve, advisory.id, advisory.severity, package.evr, date)
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


def doubted(inputs: Inputs, left_out: Sequence[str]) -> Inputs:
    """``inputs`` of a dnf run that had to do without the repositories ``left_out``: at best a lower bound.

    They are noted with no revision, so that later runs know of them.
    """
    quality = LOWER_BOUND if inputs.debt else UNKNOWN
    why = f"left out when the repositories were read: {', '.join(left_out)}"
    noted = tuple(sorted({*inputs.repositories, *((name, "") for name in left_out)}))
    reason = f"{inputs.reason}; {why}" if inputs.reason else why
    return inputs._replace(quality=quality, reason=reason, repositories=noted)


def aged(inputs: Inputs, now: str, oldest: str) -> Inputs:
    """``inputs``, or unknown with the rows kept when they are older than ``oldest`` or from after ``now``.

    All are ISO 8601 UTC texts. What was open then is open still, so the rows stay worth telling.
    """
    if oldest <= inputs.as_of <= now:
        return inputs
    when = f"were last read on {inputs.as_of}" if inputs.as_of else "were never read"
    stale = f"the repositories {when}; run 'dnf livepatch update --check'"
    return inputs._replace(quality=UNKNOWN, reason=f"{inputs.reason}; {stale}" if inputs.reason else stale)


def compute(inputs: Inputs, in_force: Sequence[InForce], unfixable: Iterable[Unfixable] = ()) -> Exposure:
    """The exposure of the running kernel with the patches ``in_force``.

    A patch closes what it declares (``InForce.cves``), or else what the vendor's advisories list for its
    NEVRA. ``unfixable`` adds what manifests say to what the repositories said. A patch that is
    installed but not in force closes nothing, so it does not belong in ``in_force``.
    """
    cover = dict(inputs.cover)
    by: dict[str, str] = {}
    for patch in in_force:
        for cve in patch.cves or cover.get(patch.nevra, ()):
            by.setdefault(cve, patch.module)
    why: dict[str, str] = {}
    for item in (*unfixable, *inputs.unfixable):
        why.setdefault(item.cve, item.reason)
    rows = []
    for row in inputs.debt:
        state = CLOSED_LIVE if row.cve in by else REBOOT_ONLY if row.cve in why else OPEN
        rows.append(
            CveState(
                row.cve,
                state,
                row.advisory,
                row.severity,
                row.fixed_in,
                by.get(row.cve, ""),
                why.get(row.cve, "") if state == REBOOT_ONLY else "",
                row.issued,
            )
        )
    return Exposure(inputs.quality, inputs.reason, inputs.as_of, tuple(rows))


def effective(inputs: Inputs, exposure: Exposure) -> str:
    """The kernel release whose security level the running kernel has reached.

    That is the last update with CVEs of the same lineage up to which every CVE is closed live; the
    running release itself when there is none, or when a CVE may be missing from what is known.
    """
    running = evr_of(inputs.kernel_package)
    if exposure.quality != EXACT or not running:
        return inputs.kernel_release
    rows = [row for row in exposure.rows if lineage(row.fixed_in) == lineage(running)]
    unclosed = {row.fixed_in for row in rows if row.state != CLOSED_LIVE}
    reached = ""
    for row in rows:
        if row.fixed_in in unclosed:
            break
        reached = row.fixed_in
    return release_of(reached, inputs.kernel_release, running) if reached else inputs.kernel_release


def closed_by_boot(exposure: Exposure, kernel_evr: str, compare: Compare) -> list[CveState]:
    """What is open now and closed in kernel ``kernel_evr``; nothing when that is ""."""
    return [
        row
        for row in exposure.rows
        if row.state != CLOSED_LIVE and kernel_evr and compare(row.fixed_in, kernel_evr) <= 0
    ]


def prompt_lines(
    inputs: Inputs,
    in_force: Sequence[InForce],
    patch_cves: Iterable[str],
    kernel_evr: str,
    compare: Compare,
) -> list[str]:
    """The lines dnf shows before it asks: what this transaction closes now, at reboot, and not.

    ``patch_cves`` are those the live patch in the transaction closes; ``kernel_evr`` is the newest
    build of the running kernel's package that will be installed afterwards, "" for none but the
    running one.
    """
    lines = [f"Live patching, running kernel {inputs.kernel_release}:"]
    if inputs.quality == UNKNOWN and not inputs.debt:
        return [*lines, f"  CVEs open     : unknown, {inputs.reason}"]
    before = compute(inputs, in_force)
    after = compute(inputs, [*in_force, InForce("new", "", tuple(patch_cves))])
    still = [row for row in after.rows if row.state != CLOSED_LIVE]
    done = {row.cve for row in before.rows if row.state == CLOSED_LIVE}
    now = [row for row in after.rows if row.state == CLOSED_LIVE and row.cve not in done]
    boot = closed_by_boot(after, kernel_evr, compare)
    left = [row for row in still if row not in boot]
    for title, rows in (("Closed now", now), ("At next reboot", boot), ("Left open", left)):
        lines.append(f"  {title:<14}: {_summary(rows)}")
    if done:
        lines.append(f"  {'Closed before':<14}: {len(done)}")
    if inputs.quality != EXACT:
        lines.append(f"  {'Not complete':<14}: {inputs.reason}")
    return lines


def _summary(rows: Sequence[CveState], most: int = 4) -> str:
    ordered = sorted(rows, key=lambda row: (-rank(row.severity), row.cve))
    named = [f"{row.cve} ({row.severity})" if row.severity else row.cve for row in ordered[:most]]
    more = f" and {len(rows) - most} more" if len(rows) > most else ""
    return f"{len(rows)}: {', '.join(named)}{more}" if rows else "0"
