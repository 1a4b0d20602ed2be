# SPDX-License-Identifier: GPL-2.0-or-later
"""The guard's entry for the set that reconcile brings in force, and the steps that follow a load."""

from __future__ import annotations

import os

from ...base import times
from ...base.typed import TYPE_CHECKING
from ...messages.catalogue import problem
from ...messages.message import fact, several
from ..files import atomic, guard_file
from ..kernel import harm, livepatches, oops, probes, running
from . import copies, health

if TYPE_CHECKING:
    from .context import Run
    from .desired import Wanted


def change(run: Run, nevra: str, module: str, **fields: object) -> None:
    """Change ``fields`` of the entry of ``nevra``, and disown ``module`` if the kernel does not have it.

    An entry that was blocked meanwhile, by the settle watch, stays as it is.
    """

    def update(guard: guard_file.Guard) -> None:
        old = guard.entries.get(nevra, guard_file.GuardEntry("idle", boot_id=run.kernel.boot_id))
        if old.state != "blocked":
            guard.entries[nevra] = old._replace(**fields)  # type: ignore[arg-type]
        if module and not livepatches.loaded(run.paths, module):
            guard.owned.pop(module, None)

    run.change_guard(update)


def block(run: Run, nevra: str, why: str, output: str = "") -> bool:
    """Block ``nevra`` and add the reason to the history; return False where the block cannot be recorded.

    ``output`` is that of a health check.
    """
    try:
        guard_file.block(run.paths, nevra, why, "guard")
    except (OSError, atomic.Broken) as error:
        run.add(problem("record-unwritable", why=error))
        return False
    run.note("block", "", "", nevra, "done", 0.0, reason=why, output=output)
    return True


def retire(run: Run, wanted: str) -> None:
    """Mark every settling or stalled package except ``wanted`` idle.

    The modules of such a package are no longer in the kernel, so a later crash is not evidence against it.
    """

    def set_idle(guard: guard_file.Guard) -> None:
        for nevra, entry in guard.entries.items():
            if nevra != wanted and entry.state in ("settling", "stalled"):
                guard.entries[nevra] = entry._replace(state="idle", tries=0, retry_at="")

    run.change_guard(set_idle)


def unfinished(run: Run, wanted: Wanted) -> bool:
    """Return whether ``after_load`` is still due for this set, which is in force.

    The step is due after a run that was killed. It is due too where a package's own scriptlet loaded the
    set, of which the guard has no entry from this boot.
    """
    boot_id = run.kernel.boot_id
    guard = guard_file.read(run.paths)
    entry = guard.entries.get(wanted.nevra)
    if entry is not None and entry.boot_id == boot_id:
        return entry.state == "loading"
    return all(module.name in guard.ours(boot_id) for module in wanted.modules)


def broken_off(run: Run, wanted: Wanted) -> bool:
    """End the record of a set of which a module could not be loaded. Return whether the set was blocked.

    The modules of the set that did load are watched as settling, so that a later crash is not counted as a
    crash during the load. While the kernel is still loading one of them, the record stays.
    """
    guard = guard_file.read(run.paths)
    entry = guard.entries.get(wanted.nevra)
    under_way = any(livepatches.coming(run.paths, module.name) for module in wanted.modules)
    if entry is not None and entry.state == "loading" and not under_way:
        inside = any(livepatches.loaded(run.paths, module.name) for module in wanted.modules)
        uptime = running.uptime(run.paths)
        change(run, wanted.nevra, "", state="settling" if inside else "idle", uptime=uptime)
    return wanted.nevra in guard.blocked()


def after_load(run: Run, wanted: Wanted) -> bool:
    """Ask the health checks of a set that is in force, copy its modules, and let it settle.

    Returns whether the set was blocked. The guard's entry stays ``loading`` until the end, so that the next
    run goes on where this one was killed.
    """
    retire(run, wanted.nevra)
    # A set that was in force before passed when it was new: a check that fails now has another cause. At
    # boot the services that the checks ask about are not there yet: the settle watch asks the checks later.
    entry = guard_file.read(run.paths).entries.get(wanted.nevra, guard_file.GuardEntry("idle"))
    known = wanted.from_copy or entry.proved
    booting = os.path.exists(run.paths.booting)
    uptime = running.uptime(run.paths)
    mine = entry.state == "loading" and entry.boot_id == run.kernel.boot_id
    if not mine:  # somebody else loaded the set: earlier trouble is not known to come from it
        entry = entry.before(uptime, harm.read(run.paths))
    answer = health.Answer() if known or booting else health.ask(run.config)
    failed = answer.failed
    for found in answer.not_asked:
        run.add(found)
    reported = ""
    if mine and harm.proved(entry.harm, harm.read(run.paths)):
        reported = oops.of_this_boot(run.paths, entry.modules, entry.began)
    if failed or reported:
        why = f"the kernel reported: {reported}" if reported else f"health check failed: {failed}"
        out = block(run, wanted.nevra, why, "" if reported else answer.output)
        then = "The patch is blocked and taken back" if out else "The patch stays in force"
        name = "oops-while-loading" if reported else "health-check-failed"
        run.add(problem(name, nevra=wanted.nevra, why=reported or failed, then=then))
        return out
    _examine(run, wanted)
    _keep_copies(run, wanted)
    change(
        run,
        wanted.nevra,
        "",
        state="settling",
        tries=0,
        retry_at="",
        since=times.now(),
        uptime=running.uptime(run.paths),
        began=entry.began,
        boot_id=run.kernel.boot_id,
        # A module that was in the kernel before the load began is watched for an oops as well.
        modules=tuple(module.name for module in wanted.modules),
        asked=known or not (booting or answer.not_asked),
        taint=entry.taint,
        oopses=entry.oopses,
        warnings=entry.warnings,
        noted=entry.noted,
        told=entry.told,
    )
    return wanted.nevra in guard_file.read(run.paths).blocked()


def ask_due(run: Run) -> None:
    """Ask the health checks about each package that has lived ``settle_time`` unasked; block on a failure.

    A check that cannot be asked this time either is not waited for any longer.
    """
    uptime, boot_id = running.uptime(run.paths), run.kernel.boot_id
    entries = guard_file.read(run.paths).entries
    due = [nevra for nevra, entry in entries.items() if health.due(run.config, entry, boot_id, uptime)]
    answer = health.ask(run.config) if due else health.Answer()
    for found in answer.not_asked:
        run.add(found)
    for nevra in due:
        if answer.failed:
            block(run, nevra, f"health check failed: {answer.failed}", answer.output)
        else:
            change(run, nevra, "", asked=True)


def _examine(run: Run, wanted: Wanted) -> None:
    """Report functions that the kernel does not redirect, and probes on functions that it redirects."""
    idle = probes.not_redirected(run.paths, [module.name for module in wanted.modules])
    if idle:
        run.add(problem("function-not-redirected", nevra=wanted.nevra, functions=several(idle, 10)))
    for module in wanted.modules:
        # Where no manifest named the functions before the load, the kernel lists them now.
        loaded = livepatches.one(run.paths, module.name) if module.manifest is None else None
        for found in probes.on_functions(run.paths, loaded) if loaded is not None else ():
            run.add(found)


def _keep_copies(run: Run, wanted: Wanted) -> None:
    """Copy the modules, so that the copies can be loaded when a newer package fails."""
    try:
        why = copies.keep(run.paths, wanted.nevra, run.kernel.release, wanted.modules, wanted.cves)
        copies.drop_removed_kernels(run.paths, run.kernel.release)
    except (OSError, atomic.Broken) as error:
        why = fact(error)
    if why:
        run.add(problem("not-kept", nevra=wanted.nevra, why=why))
