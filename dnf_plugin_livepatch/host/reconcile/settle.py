# SPDX-License-Identifier: GPL-2.0-or-later
"""The settle watch: look whether the kernel is well, some time after a live patch was loaded.

livepatch-settle.timer runs this program while a patch settles. An oops whose stack is in the patch blocks
the patch and has reconcile take it out while the kernel still runs. After ``settle_time`` without an oops
the patch is good, once the health checks have passed too.
"""

from __future__ import annotations

import sys

from ...base.config import Config, read
from ...base.paths import Paths
from ...base.typed import NamedTuple
from .. import output
from ..files import atomic, guard_file, journal
from ..kernel import harm, livepatches, oops, running
from . import health, timers

UNPROVED = "a line of the kernel's log names it, and nothing proves an oops in it; it stays"


class Verdict(NamedTuple):
    """The judgement of one settling package.

    ``good`` is True when the package has settled. ``why`` is the reason to block it. Both are empty while
    the watch goes on. ``trouble`` holds the taint bits that the kernel got since the load, ``unproved``
    a line that names the patch in the log alone; both as far as history lacks them.
    """

    nevra: str
    good: bool
    why: str
    trouble: int
    unproved: str


def _judge(
    paths: Paths, config: Config, nevra: str, entry: guard_file.GuardEntry, now: harm.Harm
) -> Verdict:
    """Look for an oops of the patch.

    When ``settle_time`` is over, ask the health checks where that is due.
    """
    lines = oops.since_load(paths, entry.began)
    named = oops.oops_in(lines, entry.modules)
    found = named if harm.proved(entry.harm, now) else ""
    done = running.uptime(paths) - entry.uptime >= config.settle_time
    failed = health.failing(config) if done and not (found or entry.asked) else ""
    why = f"the kernel reported: {found}" if found else f"health check failed: {failed}" if failed else ""
    unproved = "" if found or entry.told else named or oops.mention_in(lines, entry.modules)
    return Verdict(nevra, done and not why, why, now.taint & ~(entry.taint | entry.noted), unproved)


def check(paths: Paths, config: Config) -> tuple[list[str], list[str], bool]:
    """Judge the packages that settle in this boot.

    Returns the newly good ones, the newly blocked ones, and whether any package settles still.
    """
    boot_id = running.boot_id(paths)
    now = harm.read(paths)
    verdicts = [
        _judge(paths, config, nevra, entry, now)
        for nevra, entry in guard_file.read(paths).entries.items()
        if entry.state == "settling" and entry.boot_id == boot_id
    ]
    good = [verdict.nevra for verdict in verdicts if verdict.good]
    named = {verdict.nevra for verdict in verdicts if verdict.unproved}

    def set_good(guard: guard_file.Guard) -> None:
        for nevra, entry in guard.entries.items():
            if entry.state == "settling" and entry.boot_id == boot_id:
                entry = entry._replace(noted=entry.noted | (now.taint & ~entry.taint))
                entry = entry._replace(told=entry.told or nevra in named)
                if nevra in good:
                    entry = entry._replace(state="good", strikes=0, proved=True)
                guard.entries[nevra] = entry

    if any(verdict.good or verdict.trouble or verdict.unproved for verdict in verdicts):
        guard_file.change(paths, set_good)
    for verdict in verdicts:
        if verdict.trouble:
            # Another part of the kernel may be the cause, so the history gets a note and the patch stays.
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


def _killed_half_way(paths: Paths) -> bool:
    """Return whether an earlier run was killed half way.

    A load has no end then, or a module in the kernel belongs to a package that is blocked or has no entry.
    """
    guard = guard_file.read(paths)
    boot_id = running.boot_id(paths)
    known = {nevra for nevra, entry in guard.entries.items() if entry.boot_id == boot_id}
    fine = known.difference(guard.blocked())
    return _any_is(paths, "loading") or any(
        item.nevra not in fine and livepatches.one(paths, module) is not None
        for module, item in guard.ours(boot_id).items()
    )


def _any_is(paths: Paths, state: str) -> bool:
    """Return whether an entry of this boot is in ``state``."""
    boot_id = running.boot_id(paths)
    entries = guard_file.read(paths).entries.values()
    return any(entry.state == state and entry.boot_id == boot_id for entry in entries)


def main(paths: Paths) -> int:
    """Look once, and have reconcile take a patch out of the kernel that the look blocked.

    Returns 5 when reconcile ran and a patch is not in force, and 1 when reconcile could not run; the next
    look tries again then.
    """
    config, _ = read(paths.config)
    code = 0
    try:
        _, blocked, waiting = check(paths, config)
        if blocked or _killed_half_way(paths):
            from . import run

            try:
                code = 0 if run.reconcile(paths, config).ok else 5
            except run.Refused as refused:
                output.show([f"livepatch: {refused.problem.text}"], errors=True)
                return 1
        # The set that reconcile loaded in the place of a blocked one settles now.
        if not (waiting or _any_is(paths, "settling")):
            timers.unwatch(paths)
    except (OSError, atomic.Broken) as error:
        output.show([f"livepatch: {error}"], errors=True)
        return 1
    return code


if __name__ == "__main__":
    sys.exit(main(Paths()))
