# SPDX-License-Identifier: GPL-2.0-or-later
"""The journal for `livepatch history`: as a table for people, or with every fact as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...base import times
from ...base.model import ISSUED, Debt
from ...base.typed import NamedTuple
from ..files.journal import Entry

#: The reasons that reconcile records for an unload, in words.
_CAUSES = {
    "gone": "its package is gone",
    "held": "unloaded by hand",
    "blocked": "its package is blocked",
    "superseded": "another one took its place",
    "withdrawn": "its publisher withdrew it",
}
_CVES_SHOWN = 3


class Exposed(NamedTuple):
    """The seconds for which a host was exposed; ``at_least`` where only the advisory's update is known."""

    seconds: int
    at_least: bool


def exposed(entry: Entry, debt: Mapping[str, Debt]) -> Exposed | None:
    """Return how long the host was exposed: from the day of the advisory until the patch was in force.

    The result is None where that is not known, and for an event that put nothing new in force. The patch's
    own date counts, else the date that was recorded with the load. For a load before any dnf run had read
    the advisories the dates in ``debt`` count, by CVE.
    """
    if entry.event not in ("load", "replace") or entry.facts.get("outcome") != "done":
        return None
    cves = entry.facts.get("cves")
    rows = [debt[cve] for cve in cves if cve in debt and debt[cve].dated] if isinstance(cves, tuple) else []
    if entry.facts.get("issued"):
        start, at_least = str(entry.facts["issued"]), False
    elif entry.facts.get("exposed_since"):
        start, at_least = str(entry.facts["exposed_since"]), entry.facts.get("exposed_since_kind") != ISSUED
    else:
        start, at_least = _oldest(rows)
    since, loaded = times.parse(start), times.parse(entry.time)
    return None if since is None or loaded is None else Exposed(max(loaded - since, 0), at_least)


def _oldest(rows: Sequence[Debt]) -> tuple[str, bool]:
    """Return the oldest date of ``rows``, and whether one of the advisories may have been issued before."""
    dates = [row.dated for row in rows if row.dated]
    return min(dates, default=""), any(row.date_kind != ISSUED for row in rows if row.dated)


def _exposed(entries: Sequence[Entry], debt: Mapping[str, Debt]) -> list[Exposed | None]:
    """Return ``exposed`` for each entry, but only for the first load of a patch.

    When a patch is loaded again after a reboot, the host was not exposed all the time between.
    """
    seen = set()
    rows = []
    for entry in entries:
        key = (entry.facts.get("nevra"), entry.facts.get("module"))
        found = None if key in seen else exposed(entry, debt)
        if found is not None:
            seen.add(key)
        rows.append(found)
    return rows


def span(seconds: int) -> str:
    """Return a length of time as an operator would say it: ``40 s``, ``35 min``, ``7 h``, ``12 days``."""
    for size, word in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {word}"
    return f"{seconds} s"


def as_json(entries: Sequence[Entry], debt: Mapping[str, Debt]) -> list[dict[str, object]]:
    """Return every fact of every entry, with ``exposed_seconds`` and ``exposed_at_least`` where known."""
    rows: list[dict[str, object]] = []
    for entry, open_for in zip(entries, _exposed(entries, debt)):
        row: dict[str, object] = {**entry.facts, "time": entry.time, "event": entry.event}
        row["boot_id"] = entry.boot_id
        row.pop("exposed_since_kind", None)
        if open_for is not None:
            row.update(exposed_seconds=open_for.seconds, exposed_at_least=open_for.at_least)
        rows.append(row)
    return rows


def _more(entry: Entry, open_for: Exposed | None) -> str:
    facts = entry.facts
    words = []
    if facts.get("outcome") not in (None, "", "done"):
        words.append(str(facts["outcome"]))
    reason = str(facts.get("reason", ""))
    words += [_CAUSES.get(reason, reason)] if reason else []
    cves = facts.get("cves")
    if isinstance(cves, tuple) and cves and entry.event in ("load", "replace"):
        more = f" and {len(cves) - _CVES_SHOWN} more" if len(cves) > _CVES_SHOWN else ""
        words.append("closes " + " ".join(cves[:_CVES_SHOWN]) + more)
    if open_for is not None:
        least = "at least " if open_for.at_least else ""
        since = facts.get("advisory") or "the advisory"
        words.append(f"exposed for {least}{span(open_for.seconds)} since {since}")
    output, private = facts.get("output"), facts.get("private")
    if output:
        words.append(f"output: {output}")
    if isinstance(private, tuple) and private:
        words.append(f"{' and '.join(private)} for root only")
    if facts.get("dnf_history"):
        words.append(f"dnf history {facts['dnf_history']}")
    return ", ".join(words)


def rows(entries: Sequence[Entry], debt: Mapping[str, Debt]) -> list[tuple[str, ...]]:
    """Return the cells of the table, a row an entry: time, boot, event, patch, duration, more facts."""
    found: list[tuple[str, ...]] = []
    for entry, open_for in zip(entries, _exposed(entries, debt)):
        facts = entry.facts
        about = str(facts.get("nevra") or facts.get("module") or "-")
        took = facts.get("seconds")
        spent = f"{took:.1f} s" if isinstance(took, (int, float)) and took else "-"
        found.append((entry.time, entry.boot_id[:8], entry.event, about, spent, _more(entry, open_for)))
    return found
