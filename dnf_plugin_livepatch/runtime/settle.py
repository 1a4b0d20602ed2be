# SPDX-License-Identifier: GPL-2.0-or-later
"""The settle watch: is the kernel well, some time after a live patch was loaded?

Run by livepatch-settle.timer while a patch settles. An oops whose stack is in the patch blocks it and
has reconcile take it out while the kernel still runs; ``settle_time`` without one makes it good.
"""

from __future__ import annotations

import sys
from typing import List, Tuple

from ..config import read as read_config
from ..paths import Paths
from . import evidence, guard, journal, state, timers
from . import kernel as kernels


def check(paths: Paths, settle_time: float) -> Tuple[List[str], List[str], bool]:
    """Judge what settles in this boot: (newly good, newly blocked, whether something settles still)."""
    boot_id, uptime = kernels.boot_id(paths), kernels.uptime(paths)
    good: List[str] = []
    bad: List[Tuple[str, str]] = []
    waiting = False
    for nevra, record in guard.read(paths).records.items():
        if record.state != "settling" or record.boot_id != boot_id:
            continue
        found = evidence.of_this_boot(paths, record)
        if found:
            bad.append((nevra, found))
        elif uptime - record.uptime >= settle_time:
            good.append(nevra)
        else:
            waiting = True

    def work(state_of: guard.Guard) -> None:
        for nevra in good:
            record = state_of.records.get(nevra)
            if record is not None and record.state == "settling" and record.boot_id == boot_id:
                state_of.records[nevra] = record._replace(state="good", strikes=0, proved=True)

    if good:
        guard.change(paths, work)
    for nevra, found in bad:
        guard.block(paths, nevra, f"the kernel reported: {found}", "guard")
        journal.remember(paths, "block", nevra=nevra, outcome="done", reason=found)
    for nevra in good:
        journal.remember(paths, "good", nevra=nevra, outcome="done")
    return good, [nevra for nevra, _ in bad], waiting


def main(paths: Paths) -> int:
    """One look; a patch that is blocked by it is taken out of the kernel. 1 when the state is unusable."""
    config, _ = read_config(paths.config)
    try:
        _, blocked, waiting = check(paths, config.settle_time)
        if not waiting:
            timers.unwatch(paths)
        if blocked:
            from . import reconcile

            try:
                reconcile.reconcile(paths, config)
            except reconcile.Refused as refused:
                print(f"livepatch: {refused.problem.text}", file=sys.stderr)
                return 1
    except (OSError, state.Broken) as error:
        print(f"livepatch: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Paths()))
