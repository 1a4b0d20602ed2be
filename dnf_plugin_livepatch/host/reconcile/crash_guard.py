# SPDX-License-Identifier: GPL-2.0-or-later
"""The verdict on live patches after a boot, by the table of docs/explanation/state-machine.md."""

from __future__ import annotations

from ...base import times
from ...base.paths import Paths
from ..files import guard_file, journal, shutdown_note, vanished
from ..kernel import oops

STRIKES = 2


def judge(entry: guard_file.GuardEntry, clean: bool, found: str) -> guard_file.GuardEntry:
    """Return the entry that follows ``entry`` when its boot is over. Pure.

    ``clean`` is True where the boot ended with a shutdown, ``found`` is the evidence of an oops. A crash
    while loading blocks. A crash while settling blocks with evidence or the second time, because one power
    cut of a rack must not block a good fix everywhere. A package that has been good before is blocked by
    evidence, or by two boots in a row that ended while it was being loaded.
    """
    if entry.state in ("loading", "settling"):
        loading = entry.state == "loading"
        blocking = entry._replace(state="blocked", by="guard", since=times.now())
        if found:
            return blocking._replace(reason=found)
        if clean or (entry.proved and not loading):
            return entry._replace(state="idle")
        strikes = entry.strikes + 1
        if loading and not entry.proved:
            return blocking._replace(reason="the host went down while it was being loaded", strikes=strikes)
        if strikes >= STRIKES:
            why = "it was being loaded" if loading else "it settled (settle_time)"
            return blocking._replace(
                reason=f"the host went down {strikes} times while {why}", strikes=strikes
            )
        return entry._replace(state="idle", strikes=strikes)
    if entry.state == "stalled":
        return entry._replace(state="idle", tries=0, retry_at="")
    return entry


def _tell_unproved(paths: Paths, nevra: str, record: guard_file.GuardEntry) -> None:
    """Have history tell of an oops in journald's record of a boot, which nothing proves any more."""
    named = oops.in_journal(paths, record.modules, record.boot_id)
    if named:
        reason = f"the log of the boot that went down names it, without a dump of the kernel: {named}"
        journal.remember(paths, "taint", nevra=nevra, reason=reason)


def after_boot(paths: Paths, boot_id: str) -> list[tuple[str, str]]:
    """Judge the entries that earlier boots left behind. Return (NEVRA, reason) of each package this blocks.

    Without a boot id nothing is judged, because every entry would look like another boot's.
    """
    if not boot_id:
        return []
    guard = guard_file.read(paths)
    stale = [
        (nevra, entry)
        for nevra, entry in guard.entries.items()
        if entry.state in ("loading", "settling", "stalled") and entry.boot_id != boot_id
    ]
    if not stale and all(item.boot_id == boot_id for item in guard.owned.values()):
        return []
    ended = shutdown_note.read(paths).boot_id
    gone = vanished.before_shutdown(paths)
    verdicts: dict[str, guard_file.GuardEntry] = {}
    for nevra, entry in stale:
        clean = bool(entry.boot_id) and ended == entry.boot_id
        looked = not clean and entry.state != "stalled"
        found = oops.of_past_boots(paths, entry.modules, entry.since) if looked else ""
        verdicts[nevra] = judge(entry, clean, found)
        if looked and verdicts[nevra].state != "blocked":
            _tell_unproved(paths, nevra, entry)

    def take_verdicts(guard: guard_file.Guard) -> None:
        for nevra, verdict in verdicts.items():
            if guard.entries.get(nevra, verdict).state != "blocked":
                guard.entries[nevra] = verdict
        guard.owned = guard.ours(boot_id)
        guard.unloaded = {nevra: until for nevra, until in guard.unloaded.items() if until in ("", boot_id)}

    guard_file.change(paths, take_verdicts)
    for one in gone:
        journal.remember(paths, one.event, **one.facts)
    return [(nevra, entry.reason) for nevra, entry in verdicts.items() if entry.state == "blocked"]
