# SPDX-License-Identifier: GPL-2.0-or-later
"""The output of `livepatch history`: the journal as a table for people, or with every fact as JSON."""

from __future__ import annotations

import calendar
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

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


class Exposed(NamedTuple):
    """How long a host was exposed to what a load closed; -1 ``seconds`` where that is not known.

    ``kind`` is the date of the advisory that counts: ``issued``, or ``updated``, the only one that libdnf
    knows. An advisory is updated after it was issued, so the host was exposed for at least that long.
    """

    seconds: int
    kind: str = ""


def exposed(entry: Entry, dated: Mapping[str, tuple[str, str]]) -> Exposed:
    """The time from the advisory of a loaded patch until the patch was in force.

    The date in the patch's own manifest counts first, then the date noted with the load. ``dated`` are date
    and kind of each CVE's advisory, for loads from before any dnf run had read the advisories.
    """
    if entry.event not in ("load", "replace") or entry.facts.get("outcome") != "done":
        return Exposed(-1)
    cves = entry.facts.get("cves")
    known = sorted(dated[cve] for cve in cves if dated.get(cve, ("",))[0]) if isinstance(cves, tuple) else []
    start, kind = known[0] if known else ("", "")
    if entry.facts.get("issued"):
        start, kind = str(entry.facts["issued"]), "issued"
    elif entry.facts.get("exposed_since"):
        start, kind = str(entry.facts["exposed_since"]), str(entry.facts.get("date_kind") or "updated")
    try:
        form = "%Y-%m-%dT%H:%M:%SZ" if "T" in start else "%Y-%m-%d"
        since = calendar.timegm(time.strptime(start, form))
        return Exposed(
            max(calendar.timegm(time.strptime(entry.time, "%Y-%m-%dT%H:%M:%SZ")) - since, 0), kind
        )
    except ValueError:
        return Exposed(-1)


def _exposed(entries: Sequence[Entry], dated: Mapping[str, tuple[str, str]]) -> list[Exposed]:
    """``exposed`` of each entry, known only for the first load of a patch.

    When a patch is loaded again after a reboot, the host was not exposed all the time between.
    """
    seen = set()
    found = []
    for entry in entries:
        key = (entry.facts.get("nevra"), entry.facts.get("module"))
        own = Exposed(-1) if key in seen else exposed(entry, dated)
        if own.seconds >= 0:
            seen.add(key)
        found.append(own)
    return found


def span(seconds: int) -> str:
    """A length of time as an operator would say it: ``40 s``, ``35 min``, ``7 h``, ``12 days``."""
    for size, word in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {word}"
    return f"{seconds} s"


def as_json(entries: Sequence[Entry], dated: Mapping[str, tuple[str, str]]) -> list[dict[str, object]]:
    """Every fact of every entry; ``exposed_seconds`` and ``date_kind`` where they are known."""
    rows: list[dict[str, object]] = []
    for entry, own in zip(entries, _exposed(entries, dated)):
        row: dict[str, object] = {**entry.facts, "time": entry.time, "event": entry.event}
        row["boot_id"] = entry.boot_id
        if own.seconds >= 0:
            row["exposed_seconds"], row["date_kind"] = own
        rows.append(row)
    return rows


def _more(entry: Entry, own: Exposed) -> str:
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
    if own.seconds >= 0:
        least = "" if own.kind == "issued" else "at least "
        since = facts.get("advisory") or "the advisory"
        words.append(f"exposed for {least}{span(own.seconds)} since {since}")
    if facts.get("dnf_history"):
        words.append(f"dnf history {facts['dnf_history']}")
    return ", ".join(words)


def rows(entries: Sequence[Entry], dated: Mapping[str, tuple[str, str]]) -> list[tuple[str, ...]]:
    """The cells of the table, one line an entry: time, boot, event, patch, seconds it took, what else."""
    found: list[tuple[str, ...]] = []
    for entry, own in zip(entries, _exposed(entries, dated)):
        facts = entry.facts
        about = str(facts.get("nevra") or facts.get("module") or "-")
        took = facts.get("seconds")
        spent = f"{took:.1f} s" if isinstance(took, (int, float)) and took else "-"
        found.append((entry.time, entry.boot_id[:8], entry.event, about, spent, _more(entry, own)))
    return found
