# SPDX-License-Identifier: GPL-2.0-or-later
"""The settle watch: is the kernel well, some time after a live patch was loaded?

Run by livepatch-settle.timer while a patch settles. An oops whose stack is in the patch blocks it and
has reconcile take it out while the kernel still runs; ``settle_time`` without one makes it good, and the
health checks, where they could not be asked when it was loaded.
"""

from __future__ import annotations

import sys

from ...base.config import Config, read
from ...base.paths import Paths
from ...base.typed import NamedTuple
from ..files import atomic, guard_file, journal
from ..kernel import harm, livepatches, oops, running
from . import health, timers

UNPROVED = "a line of the kernel's log names it, and the kernel counted no oops; it stays"


class Verdict(NamedTuple):
    """The judgement of one settling package.

    ``good`` says that it has settled, ``why`` is the reason to block it, both empty while it is watched
    further. ``trouble`` are the taint bits that the kernel got since the load, ``unproved`` is the heading
    of an oops that names the patch in the log alone; both as far as history does not tell them yet.
    """

    nevra: str
    good: bool
    why: str
    trouble: int
    unproved: str


def _judge(paths: Paths, config: Config, nevra: str, entry: guard_file.Record, now: harm.Harm) -> Verdict:
    """Look for an oops of the patch; when ``settle_time`` is over, ask the health checks if still due."""
    named = oops.of_this_boot(paths, entry.modules, entry.began)
    found = named if harm.proved(entry.harm, now) else ""
    done = running.uptime(paths) - entry.uptime >= config.settle_time
    failed = health.failing(config) if done and not (found or entry.asked) else ""
    why = f"the kernel reported: {found}" if found else f"health check failed: {failed}" if failed else ""
    unproved = "" if found or entry.told else named
    return Verdict(nevra, done and not why, why, now.taint & ~(entry.taint | entry.noted), unproved)


def check(paths: Paths, config: Config) -> tuple[list[str], list[str], bool]:
    """Judge what settles in this boot: (newly good, newly blocked, whether something settles still)."""
    boot_id = running.boot_id(paths)
    now = harm.read(paths)
    verdicts = [
        _judge(paths, config, nevra, entry, now)
        for nevra, entry in guard_file.read(paths).records.items()
        if entry.state == "settling" and entry.boot_id == boot_id
    ]
    good = [verdict.nevra for verdict in verdicts if verdict.good]
    named = {verdict.nevra for verdict in verdicts if verdict.unproved}

    def record(entries: guard_file.Guard) -> None:
        for nevra, entry in entries.records.items():
            if entry.state == "settling" and entry.boot_id == boot_id:
                entry = entry._replace(noted=entry.noted | (now.taint & ~entry.taint))
                entry = entry._replace(told=entry.told or nevra in named)
                if nevra in good:
                    entry = entry._replace(state="good", strikes=0, proved=True)
                entries.records[nevra] = entry

    if any(verdict.good or verdict.trouble or verdict.unproved for verdict in verdicts):
        guard_file.change(paths, record)
    for verdict in verdicts:
        if verdict.trouble:
            # Another part of the kernel may be the cause: noted, and no reason to take the patch back.
            reason = f"since it was loaded the kernel had: {harm.named(verdict.trouble)}"
            journal.remember(paths, "taint", nevra=verdict.nevra, reason=reason)
        if verdict.unproved:
            reason = f"{UNPROVED}: {verdict.unproved}"
            journal.remember(paths, "taint", nevra=verdict.nevra, reason=reason)
    bad = [verdict for verdict in verdicts if verdict.why]
    for verdict in bad:
        guard_file.block(paths, verdict.nevra, verdict.why, "guard")
        journal.remember(paths, "block", nevra=verdict.nevra, outcome="done", reason=verdict.why)
    for nevra in good:
        journal.remember(paths, "good", nevra=nevra, outcome="done")
    return good, [verdict.nevra for verdict in bad], any(not (v.good or v.why) for v in verdicts)


def _left(paths: Paths) -> bool:
    """Was an earlier run killed half way? Then a load has no end, or what is in the kernel is blocked or has
    no record."""
    now = guard_file.read(paths)
    boot_id = running.boot_id(paths)
    known = {nevra for nevra, record in now.records.items() if record.boot_id == boot_id}
    fine = known.difference(now.blocked())
    return _any(paths, "loading") or any(
        item.nevra not in fine and livepatches.one(paths, module) is not None
        for module, item in now.ours(boot_id).items()
    )


def _any(paths: Paths, word: str) -> bool:
    """Is a record of this boot in the state ``word``?"""
    boot_id = running.boot_id(paths)
    records = guard_file.read(paths).records.values()
    return any(record.state == word and record.boot_id == boot_id for record in records)


def main(paths: Paths) -> int:
    """One look; a patch that is blocked by it is taken out of the kernel.

    5 when reconcile had to be run and one is not in force, 1 when it could not run: then it is tried again
    by the next look.
    """
    config, _ = read(paths.config)
    code = 0
    try:
        _, blocked, waiting = check(paths, config)
        if blocked or _left(paths):
            from . import run

            try:
                code = 0 if run.reconcile(paths, config).ok else 5
            except run.Refused as refused:
                print(f"livepatch: {refused.problem.text}", file=sys.stderr)
                return 1
        # What reconcile put in the place of a blocked one settles now.
        if not (waiting or _any(paths, "settling")):
            timers.unwatch(paths)
    except (OSError, atomic.Broken) as error:
        print(f"livepatch: {error}", file=sys.stderr)
        return 1
    return code


if __name__ == "__main__":
    sys.exit(main(Paths()))
