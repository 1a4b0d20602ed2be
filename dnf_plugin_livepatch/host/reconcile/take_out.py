# SPDX-License-Identifier: GPL-2.0-or-later
"""Take live patches out of the kernel that should not be in force any more.

Only modules that reconcile loaded are touched. The absence of a package counts only where a healthy rpm
database shows it.
"""

from __future__ import annotations

from ...base.model import Problem
from ...messages.catalogue import problem
from ..files import guard_file
from ..kernel import livepatches
from ..packages import installed, rpm_lock
from . import bookkeeping, loader
from .context import LOCK_SECONDS, Run
from .desired import Choice, LoadPlan


def end_unwanted_transition(run: Run, wanted: set[str]) -> None:
    """End or reverse a transition that a killed run left, where its module is ours and not ``wanted``."""
    ours = guard_file.read(run.paths).ours(run.kernel.boot_id)
    for patch in livepatches.read(run.paths):
        owner = ours.get(patch.module)
        if patch.transition and owner is not None and patch.module not in wanted:
            timeout = run.config.transition_timeout
            result = loader.settle(run.paths, patch.module, owner.build_id, timeout, run.progress)
            if result.outcome == "stalled":
                outcome = "failed" if result.stuck else "done"
                run.note("reverse", "reverse", patch.module, owner.nevra, outcome, 0.0)


def take_out(run: Run, choice: Choice, todo: LoadPlan, build_ids: dict[str, str]) -> None:
    """Unload the modules that ``todo`` lists, each only while its cause still holds."""
    present = {patch.module for patch in livepatches.read(run.paths)}
    for item in todo.unload:
        if item.module not in present:
            continue
        if item.cause == "superseded" and not (
            choice.modules and loader.all_in_force(run.paths, choice.modules, build_ids)
        ):
            continue
        if item.cause == "gone" and not really_gone(run, item.nevra):
            continue
        result = loader.unload(run.paths, item.module, run.config.transition_timeout, run.progress)
        run.add(result.problem)
        reason = result.problem.text if result.problem is not None else item.cause
        run.note("unload", "unload", item.module, item.nevra, result.outcome, result.seconds, reason=reason)
        if result.outcome == "stalled":
            run.retry_soon()
    if todo.unload and not livepatches.read(run.paths):
        bookkeeping.retire(run, "")
    clear_leftovers(run)


def clear_leftovers(run: Run) -> None:
    """Remove our modules that a replace put out of force: a later load needs their names."""
    ours = guard_file.read(run.paths).ours(run.kernel.boot_id)
    gone = []
    for module, item in ours.items():
        if livepatches.one(run.paths, module) is None:
            if item.build_id in ("", livepatches.build_id(run.paths, module)):
                loader.remove(run.paths, module)
            if not livepatches.loaded(run.paths, module):
                gone.append(module)
    if not gone:
        return

    def disown(guard: guard_file.Guard) -> None:
        for module in gone:
            guard.owned.pop(module, None)

    run.change_guard(disown)


def database_fault(run: Run) -> Problem | None:
    """Return why a package that the rpm database does not list may be installed; None where it cannot be."""
    folder = run.installed.database
    if not rpm_lock.wait_idle(folder, LOCK_SECONDS):
        run.retry_soon()
        return problem("rpm-busy")
    why = installed.damage(folder)
    return problem("rpmdb-unreadable", why=why) if why else None


def really_gone(run: Run, nevra: str) -> bool:
    """Return whether ``nevra`` is absent from an rpm database that a thorough check finds sound."""
    fault = database_fault(run)
    if fault is not None:
        run.add(fault)
        return False
    # By name, not by profile: a profile that lost its file must not make its packages look removed.
    if installed.holds(run.paths, nevra):
        run.add(problem("patch-unrecognised", nevra=nevra))
        return False
    return True
