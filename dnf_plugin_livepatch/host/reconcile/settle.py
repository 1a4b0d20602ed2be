# SPDX-License-Identifier: GPL-2.0-or-later
"""The settle watch: is the kernel well, some time after a live patch was loaded?

Run by livepatch-settle.timer while a patch settles. An oops whose stack is in the patch blocks it and
has reconcile take it out while the kernel still runs; ``settle_time`` without one makes it good, and the
health checks, where they could not be asked when it was loaded.
"""

from __future__ import annotations

import sys

from ...base.config import Config
from ...base.config import read as read_config
from ...base.paths import Paths
from ..files import atomic, guard_file, journal
from ..kernel import livepatches, oops, running
from . import health, timers


def check(paths: Paths, config: Config) -> tuple[list[str], list[str], bool]:
    """Judge what settles in this boot: (newly good, newly blocked, whether something settles still)."""
    boot_id, uptime = running.boot_id(paths), running.uptime(paths)
    good: list[str] = []
    bad: list[tuple[str, str]] = []
    worse: list[tuple[str, int]] = []
    waiting = False
    taint = running.taint(paths) & sum(running.TROUBLE)
    for nevra, record in guard_file.read(paths).records.items():
        if record.state != "settling" or record.boot_id != boot_id:
            continue
        found = oops.of_this_boot(paths, record.modules, record.began)
        done = uptime - record.uptime >= config.settle_time
        failed = health.failing(config) if done and not (found or record.asked) else ""
        if found:
            bad.append((nevra, f"the kernel reported: {found}"))
        elif failed:
            bad.append((nevra, f"health check failed: {failed}"))
        elif done:
            good.append(nevra)
        else:
            waiting = True
        if taint & ~record.taint:
            worse.append((nevra, taint & ~record.taint))

    def work(state_of: guard_file.Guard) -> None:
        for nevra, record in state_of.records.items():
            if record.state == "settling" and record.boot_id == boot_id:
                record = record._replace(taint=record.taint | taint)
                if nevra in good:
                    record = record._replace(state="good", strikes=0, proved=True)
                state_of.records[nevra] = record

    if good or worse:
        guard_file.change(paths, work)
    for nevra, bits in worse:
        # Another part of the kernel may have done it: said, and no reason to take the patch back.
        names = ", ".join(name for bit, name in running.TROUBLE.items() if bits & bit)
        journal.remember(paths, "taint", nevra=nevra, reason=f"since it was loaded the kernel had: {names}")
    for nevra, why in bad:
        guard_file.block(paths, nevra, why, "guard")
        journal.remember(paths, "block", nevra=nevra, outcome="done", reason=why)
    for nevra in good:
        journal.remember(paths, "good", nevra=nevra, outcome="done")
    return good, [nevra for nevra, _ in bad], waiting


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
    config, _ = read_config(paths.config)
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
