# SPDX-License-Identifier: GPL-2.0-or-later
"""The guard's record of the set that reconcile brings in force, and what follows when it is."""

from __future__ import annotations

import os

from ...base import times
from ...base.typed import TYPE_CHECKING
from ...messages.catalogue import problem
from ..files import atomic, guard_file
from ..kernel import harm, livepatches, oops, probes, running
from . import copies, health

if TYPE_CHECKING:
    from .context import Run
    from .desired import Wanted


def change(run: Run, nevra: str, module: str, **fields: object) -> None:
    """Change the record of ``nevra``, and disown ``module`` when it is not in the kernel."""

    def update(entries: guard_file.Guard) -> None:
        old = entries.records.get(nevra, guard_file.Record("idle", boot_id=run.kernel.boot_id))
        entries.records[nevra] = old._replace(**fields)  # type: ignore[arg-type]
        if module and not livepatches.loaded(run.paths, module):
            entries.owned.pop(module, None)

    try:
        guard_file.change(run.paths, update)
    except (OSError, atomic.Broken) as error:
        run.add(problem("record-unwritable", why=error))


def block(run: Run, nevra: str, why: str) -> bool:
    """Keep ``nevra`` out from now on, and tell history why; False where that cannot be recorded."""
    try:
        guard_file.block(run.paths, nevra, why, "guard")
    except (OSError, atomic.Broken) as error:
        run.add(problem("record-unwritable", why=error))
        return False
    run.note("block", "", "", nevra, "done", 0.0, reason=why)
    return True


def retire(run: Run, wanted: str) -> None:
    """Mark every settling or stalled package except ``wanted`` idle.

    Its modules are no longer in the kernel, so a later crash is not evidence against it.
    """

    def set_idle(entries: guard_file.Guard) -> None:
        for nevra, record in entries.records.items():
            if nevra != wanted and record.state in ("settling", "stalled"):
                entries.records[nevra] = record._replace(state="idle", tries=0, retry_at="")

    try:
        guard_file.change(run.paths, set_idle)
    except (OSError, atomic.Broken) as error:
        run.add(problem("record-unwritable", why=error))


def unfinished(run: Run, wanted: Wanted) -> bool:
    """Is this set, which is in force, still to be asked for its health, kept and watched?

    So it is after a run that was killed, and where a package's own scriptlet loaded it, which no record
    of this boot tells of.
    """
    boot_id = run.kernel.boot_id
    entries = guard_file.read(run.paths)
    record = entries.records.get(wanted.nevra)
    if record is not None and record.boot_id == boot_id:
        return record.state == "loading"
    return all(module.name in entries.ours(boot_id) for module in wanted.modules)


def broken_off(run: Run, wanted: Wanted) -> bool:
    """A set could not be loaded to its end; whether it was blocked for it.

    Modules of the set that did load are watched as settling, so that a later crash is not counted as a
    crash during the load.
    """
    entries = guard_file.read(run.paths)
    record = entries.records.get(wanted.nevra)
    if record is not None and record.state == "loading":
        inside = any(livepatches.loaded(run.paths, module.name) for module in wanted.modules)
        uptime = running.uptime(run.paths)
        change(run, wanted.nevra, "", state="settling" if inside else "idle", uptime=uptime)
    return wanted.nevra in entries.blocked()


def after_load(run: Run, wanted: Wanted) -> bool:
    """The set is in force: ask the health checks, keep copies, let it settle; whether it was blocked.

    The record says ``loading`` until the end, so that a run that is killed here is taken up again.
    """
    retire(run, wanted.nevra)
    # What was in force before passed when it was new: what fails now has another cause. And at boot the
    # services that are asked about are not there yet: the settle watch asks then.
    record = guard_file.read(run.paths).records.get(wanted.nevra, guard_file.Record("idle"))
    known = wanted.kept or record.proved
    booting = os.path.exists(run.paths.booting)
    uptime = running.uptime(run.paths)
    mine = record.state == "loading" and record.boot_id == run.kernel.boot_id
    if not mine:  # somebody else loaded it: what was before is not known to be its doing
        record = record.before(uptime, harm.read(run.paths))
    failed = "" if known or booting else health.failing(run.config)
    reported = ""
    if mine and harm.proved(record.harm, harm.read(run.paths)):
        reported = oops.of_this_boot(run.paths, record.modules, record.began)
    if failed or reported:
        why = f"the kernel reported: {reported}" if reported else f"health check failed: {failed}"
        out = block(run, wanted.nevra, why)
        then = "It is blocked and taken back" if out else "It stays in force"
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
        began=record.began,
        boot_id=run.kernel.boot_id,
        # What was in the kernel before this record began is watched for an oops as well.
        modules=tuple(module.name for module in wanted.modules),
        asked=known or not booting,
        taint=record.taint,
        oopses=record.oopses,
        warnings=record.warnings,
        noted=record.noted,
        told=record.told,
    )
    return False


def _examine(run: Run, wanted: Wanted) -> None:
    """Report functions that the kernel does not redirect, and probes on those that it does."""
    idle = probes.not_redirected(run.paths, [module.name for module in wanted.modules])
    if idle:
        run.add(problem("function-not-redirected", nevra=wanted.nevra, functions=", ".join(idle)))
    for module in wanted.modules:
        # Where no manifest named the functions before, the kernel does now.
        loaded = livepatches.one(run.paths, module.name) if module.manifest is None else None
        for found in probes.on_functions(run.paths, loaded) if loaded is not None else ():
            run.add(found)


def _keep_copies(run: Run, wanted: Wanted) -> None:
    """Keep copies of the modules, so that they can be loaded when a newer package fails."""
    try:
        why = copies.keep(run.paths, wanted.nevra, run.kernel.release, wanted.modules, wanted.cves)
        copies.tidy(run.paths, run.kernel.release)
    except (OSError, atomic.Broken) as error:
        why = str(error)
    if why:
        run.add(problem("not-kept", nevra=wanted.nevra, why=why))
