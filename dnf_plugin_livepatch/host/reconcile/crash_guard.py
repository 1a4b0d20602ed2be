# SPDX-License-Identifier: GPL-2.0-or-later
"""The verdict on live patches after a boot, by the table of docs/explanation/state-machine.md."""

from __future__ import annotations

from ...base import times
from ...base.paths import Paths
from ..files import guard_file, journal
from ..kernel import oops
from ..read import read_text

STRIKES = 2


def judge(record: guard_file.Record, clean: bool, found: str) -> guard_file.Record:
    """What becomes of ``record`` when its boot is over: ``clean`` by a shutdown, ``found`` as evidence.

    Pure. A crash while loading blocks. A crash while settling blocks with evidence or the second time,
    because one power cut of a rack must not block a good fix everywhere. One that has been good before
    is blocked by evidence, or by two boots in a row that ended while it was being loaded.
    """
    if record.state in ("loading", "settling"):
        loading = record.state == "loading"
        blocking = record._replace(state="blocked", by="guard", since=times.now())
        if found:
            return blocking._replace(reason=found)
        if clean or (record.proved and not loading):
            return record._replace(state="idle")
        strikes = record.strikes + 1
        if loading and not record.proved:
            return blocking._replace(reason="the host went down while it was being loaded", strikes=strikes)
        if strikes >= STRIKES:
            why = "it was being loaded" if loading else "it settled (settle_time)"
            return blocking._replace(
                reason=f"the host went down {strikes} times while {why}", strikes=strikes
            )
        return record._replace(state="idle", strikes=strikes)
    if record.state == "stalled":
        return record._replace(state="idle", tries=0, retry_at="")
    return record


def _tell_unproved(paths: Paths, nevra: str, record: guard_file.Record) -> None:
    """Have history tell of an oops in journald's record of a boot, which nothing proves any more."""
    named = oops.in_journal(paths, record.modules, record.boot_id)
    if named:
        reason = f"the log of the boot that went down names it, without a dump of the kernel: {named}"
        journal.remember(paths, "taint", nevra=nevra, reason=reason)


def after_boot(paths: Paths, boot_id: str) -> list[tuple[str, str]]:
    """Judge what earlier boots left behind; (NEVRA, reason) of each package this blocks.

    Without a boot id nothing is judged: every record would look like another boot's.
    """
    if not boot_id:
        return []
    guard = guard_file.read(paths)
    stale = [
        (nevra, record)
        for nevra, record in guard.records.items()
        if record.state in ("loading", "settling", "stalled") and record.boot_id != boot_id
    ]
    if not stale and all(item.boot_id == boot_id for item in guard.owned.values()):
        return []
    ended = read_text(paths.clean_shutdown, 64)
    verdicts: dict[str, guard_file.Record] = {}
    for nevra, record in stale:
        clean = bool(record.boot_id) and ended == record.boot_id
        looked = not clean and record.state != "stalled"
        found = oops.of_past_boots(paths, record.modules, record.since) if looked else ""
        verdicts[nevra] = judge(record, clean, found)
        if looked and verdicts[nevra].state != "blocked":
            _tell_unproved(paths, nevra, record)

    def take_verdicts(guard: guard_file.Guard) -> None:
        for nevra, verdict in verdicts.items():
            if guard.records.get(nevra, verdict).state != "blocked":
                guard.records[nevra] = verdict
        guard.owned = guard.ours(boot_id)
        guard.held = {nevra: until for nevra, until in guard.held.items() if until in ("", boot_id)}

    guard_file.change(paths, take_verdicts)
    return [(nevra, record.reason) for nevra, record in verdicts.items() if record.state == "blocked"]
