# SPDX-License-Identifier: GPL-2.0-or-later
"""What `livepatch history` shows: the journal as a table for people, or with every fact as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...base import times
from ..files.journal import Entry

#: Why a module was taken out, as reconcile notes it, in words.
_CAUSES = {
    "gone": "its package is gone",
    "held": "unloaded by hand",
    "blocked": "its package is blocked",
    "superseded": "another one took its place",
    "withdrawn": "its publisher withdrew it",
}
_CVES_SHOWN = 3


def exposed_seconds(entry: Entry, issued: Mapping[str, str]) -> int:
    """From the day the advisory of a loaded patch was issued until it was in force; -1 where that is not
    known, and for what put nothing new in force.

    The patch's own date counts, else what was noted with the load. ``issued`` is when the advisory of each
    CVE was issued, for what was loaded before any dnf run had read it.
    """
    if entry.event not in ("load", "replace") or entry.facts.get("outcome") != "done":
        return -1
    cves = entry.facts.get("cves")
    days = sorted(issued[cve] for cve in cves if issued.get(cve)) if isinstance(cves, tuple) else []
    noted = entry.facts.get("issued") or entry.facts.get("exposed_since")
    start = str(noted or (days[0] if days else ""))
    since, loaded = times.parse(start), times.parse(entry.time)
    return -1 if since is None or loaded is None else max(loaded - since, 0)


def _exposed(entries: Sequence[Entry], issued: Mapping[str, str]) -> list[int]:
    """``exposed_seconds`` of each entry, told once for a patch: when it comes again after a reboot, the host
    was not exposed to what it closes all the time between."""
    seen = set()
    found = []
    for entry in entries:
        key = (entry.facts.get("nevra"), entry.facts.get("module"))
        seconds = -1 if key in seen else exposed_seconds(entry, issued)
        if seconds >= 0:
            seen.add(key)
        found.append(seconds)
    return found


def span(seconds: int) -> str:
    """A length of time as an operator would say it: ``40 s``, ``35 min``, ``7 h``, ``12 days``."""
    for size, word in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {word}"
    return f"{seconds} s"


def as_json(entries: Sequence[Entry], issued: Mapping[str, str]) -> list[dict[str, object]]:
    """Every fact of every entry; ``exposed_seconds`` where it is known."""
    rows: list[dict[str, object]] = []
    for entry, exposed in zip(entries, _exposed(entries, issued)):
        row: dict[str, object] = {**entry.facts, "time": entry.time, "event": entry.event}
        row["boot_id"] = entry.boot_id
        if exposed >= 0:
            row["exposed_seconds"] = exposed
        rows.append(row)
    return rows


def _more(entry: Entry, exposed: int) -> str:
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
    if exposed >= 0:
        words.append(f"exposed for {span(exposed)} since {facts.get('advisory') or 'the advisory'}")
    if facts.get("dnf_history"):
        words.append(f"dnf history {facts['dnf_history']}")
    return ", ".join(words)


def rows(entries: Sequence[Entry], issued: Mapping[str, str]) -> list[tuple[str, ...]]:
    """The cells of the table, one line an entry: time, boot, event, patch, seconds it took, what else."""
    found: list[tuple[str, ...]] = []
    for entry, exposed in zip(entries, _exposed(entries, issued)):
        facts = entry.facts
        about = str(facts.get("nevra") or facts.get("module") or "-")
        took = facts.get("seconds")
        spent = f"{took:.1f} s" if isinstance(took, (int, float)) and took else "-"
        found.append((entry.time, entry.boot_id[:8], entry.event, about, spent, _more(entry, exposed)))
    return found
