# SPDX-License-Identifier: GPL-2.0-or-later
"""The settle watch: look whether the kernel is well, some time after a live patch was loaded.

livepatch-settle.timer runs this program while a patch settles. The program only looks, and records its
verdict. An oops whose stack is in the patch blocks the patch. After ``settle_time`` without an oops the
patch is good, once the health checks have passed too. Reconcile takes a blocked patch out of the kernel, and
asks the health checks.
"""

from __future__ import annotations

import os
import sys

from ...base import times
from ...base.config import Config, read
from ...base.model import ReconcileResult
from ...base.paths import Paths
from ...base.typed import NamedTuple
from ...messages.catalogue import problem
from .. import output
from ..files import atomic, guard_file, journal, mailbox
from ..kernel import harm, livepatches, oops, running
from . import health, timers

UNPROVED = "a line of the kernel's log names it, and nothing proves an oops in it; it stays"


class Verdict(NamedTuple):
    """The judgement of one settling package.

    ``good`` is True when the package has settled. ``why`` is the reason to block it. Both are empty while
    the watch goes on. ``trouble`` holds the taint bits that the kernel got since the load, ``unproved``
    a line that names the patch in the log alone; both as far as history lacks them. ``entry`` is what was
    judged.
    """

    nevra: str
    good: bool
    why: str
    trouble: int
    unproved: str
    entry: guard_file.GuardEntry

    @property
    def news(self) -> bool:
        """Whether anything of the verdict is to be recorded."""
        return bool(self.good or self.why or self.trouble or self.unproved)


def _judge(
    paths: Paths, config: Config, nevra: str, entry: guard_file.GuardEntry, now: harm.Harm
) -> Verdict:
    """Look for an oops of the patch, and whether its time is over with no health check left to ask."""
    lines = oops.since_load(paths, entry.began)
    named = oops.oops_in(lines, entry.modules)
    found = named if harm.proved(entry.harm, now) else ""
    done = running.uptime(paths) - entry.uptime >= config.settle_time
    why = f"the kernel reported: {found}" if found else ""
    unproved = "" if found or entry.told else named or oops.mention_in(lines, entry.modules)
    good = done and not why and not health.open_question(config, entry, entry.boot_id)
    return Verdict(nevra, good, why, now.taint & ~(entry.taint | entry.noted), unproved, entry)


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
    verdicts = [verdict for verdict in verdicts if not verdict.news or _recorded(paths, verdict, now)]
    for verdict in verdicts:
        if verdict.trouble:
            # Another part of the kernel may be the cause, so the history gets a note and the patch stays.
            reason = f"since it was loaded the kernel had: {harm.named(verdict.trouble)}"
            journal.remember(paths, "taint", nevra=verdict.nevra, reason=reason)
        if verdict.unproved:
            reason = f"{UNPROVED}: {verdict.unproved}"
            journal.remember(paths, "taint", nevra=verdict.nevra, reason=reason)
        if verdict.why:
            journal.remember(paths, "block", nevra=verdict.nevra, outcome="done", reason=verdict.why)
        if verdict.good:
            journal.remember(paths, "good", nevra=verdict.nevra, outcome="done")
    good = [verdict.nevra for verdict in verdicts if verdict.good]
    bad = [verdict.nevra for verdict in verdicts if verdict.why]
    return good, bad, any(not (verdict.good or verdict.why) for verdict in verdicts)


def _recorded(paths: Paths, verdict: Verdict, now: harm.Harm) -> bool:
    """Record ``verdict``; return False where the entry is another by now.

    The watch takes no turn: an administrator may have blocked the package since the look, or a reconcile
    may have loaded another one. Their word holds, and the next look judges what they left.
    """

    def take(guard: guard_file.Guard) -> bool:
        entry = guard.entries.get(verdict.nevra)
        if entry != verdict.entry:
            return False
        entry = entry._replace(noted=entry.noted | (now.taint & ~entry.taint))
        entry = entry._replace(told=entry.told or bool(verdict.unproved))
        if verdict.good:
            entry = entry._replace(state="good", strikes=0, proved=True)
        if verdict.why:
            entry = entry._replace(state="blocked", reason=verdict.why, by="guard", since=times.now())
        guard.entries[verdict.nevra] = entry
        return True

    return guard_file.change(paths, take)


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


def _health_is_due(paths: Paths, config: Config) -> bool:
    """Return whether the health checks are to be asked about a package now."""
    boot_id, uptime = running.boot_id(paths), running.uptime(paths)
    entries = guard_file.read(paths).entries.values()
    return any(health.due(config, entry, boot_id, uptime) for entry in entries)


def _ask(paths: Paths, config: Config) -> ReconcileResult | None:
    """Have reconcile run, as every other caller does, and return its answer; None for no answer.

    Without systemd reconcile runs in this process.
    """
    if os.path.isdir(paths.at("/run/systemd/system")):
        return mailbox.ask(paths, mailbox.answer_within(config))
    from . import run

    try:
        return run.reconcile(paths, config)
    except run.Refused as refused:
        output.refusal(refused.problem)
        return None


def main(paths: Paths) -> int:
    """Look, and have reconcile take out what the look blocked, or ask the health checks that are due.

    Returns 5 when reconcile ran and a patch is not in force, and 1 when reconcile could not run; the next
    look tries again then.
    """
    config, _ = read(paths.config)
    code = 0
    try:
        _, blocked, waiting = check(paths, config)
        due = _health_is_due(paths, config)
        if blocked or due or _killed_half_way(paths):
            answer = _ask(paths, config)
            if answer is None:
                return 1
            code = 0 if answer.ok else 5
        if due:  # with the answer of the checks the patch may be good now
            waiting = check(paths, config)[2]
        # The set that reconcile loaded in the place of a blocked one settles now.
        if not (waiting or _any_is(paths, "settling")):
            timers.unwatch(paths)
    except (OSError, atomic.Broken) as error:
        broken = isinstance(error, atomic.Broken)
        output.refusal(problem("guard-broken" if broken else "record-unwritable", why=error))
        return 1
    return code


if __name__ == "__main__":
    sys.exit(main(Paths()))
