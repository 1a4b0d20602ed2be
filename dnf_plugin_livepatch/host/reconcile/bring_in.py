# SPDX-License-Identifier: GPL-2.0-or-later
"""Bring one set of modules in force, under the guard's protocol, and record how each load ended."""

from __future__ import annotations

import os
import time

from ...base import times
from ...base.model import InForce, InstalledModule, Problem
from ...messages.catalogue import problem
from ..files import atomic, guard_file, notices
from ..kernel import harm, livepatches, module_file, running
from . import bookkeeping, loader, preflight
from .context import RETRY_SECONDS, Run
from .desired import LoadPlan, Wanted, in_the_way, replaces


def bring_in(run: Run, wanted: Wanted, todo: LoadPlan, build_ids: dict[str, str]) -> bool:
    """Load what is missing of ``wanted``. Return whether the set was blocked for what came of it."""
    if not (todo.taken or todo.load or todo.pending):
        return bookkeeping.unfinished(run, wanted) and bookkeeping.after_load(run, wanted)
    obstacles = _obstacles(run, wanted, todo)
    for found in obstacles:
        run.add(found)
    if preflight.errors(obstacles):
        return False
    replacing = any(patch.enabled and not patch.transition for patch in livepatches.read(run.paths))
    for module in todo.pending:
        if not _finish(run, wanted, module, build_ids.get(module.name, ""), replacing):
            return False
    for module in todo.load:
        if not _load(run, wanted, module, build_ids.get(module.name, ""), replacing):
            return bookkeeping.broken_off(run, wanted)
    return bookkeeping.after_load(run, wanted)


def _obstacles(run: Run, wanted: Wanted, todo: LoadPlan) -> tuple[Problem, ...]:
    """Return the findings about kernel and host; an error among them forbids every load of the set."""
    others = in_the_way(wanted, todo)
    if others:
        return others
    doubtful = todo.load and not wanted.from_copy and wanted.nevra in notices.read(run.paths).unproved
    signer = preflight.signer(run.paths, run.kernel.release, wanted.nevra) if doubtful else ()
    return (*preflight.host(run.paths), *signer)


def _finish(run: Run, wanted: Wanted, module: InstalledModule, build_id: str, replacing: bool) -> bool:
    """Wait for the transition of a module that is in the kernel.

    Returns whether the module is in force then.
    """
    timeout = run.config.transition_timeout
    if _ours(run, module.name):
        result = loader.settle(run.paths, module.name, build_id, timeout, run.progress, run.force)
        return _record_outcome(run, wanted, module, result, replacing)
    # Another program started this transition, and that program ends it.
    fault = loader.await_others(run.paths, module.name, build_id, timeout)
    if fault:
        run.add(problem("module-not-in-force", nevra=wanted.nevra, instead=fault))
        run.retry_soon()
    return not fault


def _load(run: Run, wanted: Wanted, module: InstalledModule, expected: str, replacing: bool) -> bool:
    """Load one module, which should have the build id ``expected``. Return whether it is in force then."""
    if _ours(run, module.name) and livepatches.coming(run.paths, module.name):
        # A run that was killed left an insmod that lives.
        timeout = run.config.transition_timeout
        if not loader.await_loading(run.paths, module.name, timeout, run.progress):
            entry = guard_file.read(run.paths).entries.get(wanted.nevra)
            since = entry.since if entry is not None else "an earlier run"
            run.add(problem("load-goes-on", nevra=wanted.nevra, since=since))
            run.retry_soon()
            return False
        if livepatches.one(run.paths, module.name) is not None:
            return _finish(run, wanted, module, expected, replacing)
    busy = _wait_for_others(run)
    if busy is not None:
        run.add(busy)
        run.retry_soon()
    try:
        descriptor = module_file.open_file(module.path)
    except module_file.ModuleError as error:
        run.add(problem("module-missing", path=module.path, why=error))
        return False
    try:
        # From here on the file is this descriptor: the file that is checked is the one that is loaded.
        with preflight.opened(run.paths, run.kernel, module, descriptor) as seen:
            for found in seen.found:
                run.add(found)
            if preflight.errors(seen.found) or busy is not None or not _free(run, module.name):
                return False
            try:
                if not _begin(run, wanted, module, seen.build_id):
                    return False
            except (OSError, atomic.Broken) as error:
                run.add(problem("state-unwritable", why=error))
                return False
            timeout = run.config.transition_timeout
            result = loader.load(
                run.paths, seen.plain, module.name, expected, timeout, run.progress, run.force
            )
    finally:
        os.close(descriptor)
    return _record_outcome(run, wanted, module, result, replacing)


def _free(run: Run, module: str) -> bool:
    """Is the name of ``module`` free in the kernel, if need be once its replaced bearer is removed?"""
    stays = loader.remove(run.paths, module) if _ours(run, module) else ""
    if stays or livepatches.loaded(run.paths, module):
        run.add(problem("module-stays" if stays else "module-name-taken", module=module, why=stays))
        return False
    return True


def _wait_for_others(run: Run) -> Problem | None:
    """Wait for a transition that is under way to end. Return the finding where it did not."""
    end = time.monotonic() + run.config.transition_timeout
    while livepatches.transition(run.paths) and time.monotonic() < end:
        time.sleep(0.1)
    return preflight.busy(run.paths)


def _ours(run: Run, module: str) -> bool:
    return module in guard_file.read(run.paths).ours(run.kernel.boot_id)


def _begin(run: Run, wanted: Wanted, module: InstalledModule, build_id: str) -> bool:
    """Write down, durably, which module is about to be loaded: no record, no load.

    Returns False where the set was blocked since it was chosen. Raises OSError or Broken.
    """
    # RPM lets the kernel choose when the files it unpacked reach the disk. After a power cut the database
    # would list a module that is an empty file, and no upgrade repairs that.
    atomic.sync_file(module.path)
    atomic.sync_file(f"{run.paths.manifest_dir(run.kernel.release)}/{module.name}.json")

    def begin(guard: guard_file.Guard) -> bool:
        old = guard.entries.get(wanted.nevra, guard_file.GuardEntry("idle"))
        if old.state == "blocked":
            return False
        uptime = running.uptime(run.paths)
        if old.state != "loading" or old.boot_id != run.kernel.boot_id:
            # Both stay as they were before the first module of the set, also after a run that was killed.
            old = old.before(uptime, harm.read(run.paths))
        guard.entries[wanted.nevra] = old._replace(
            state="loading",
            boot_id=run.kernel.boot_id,
            since=times.now(),
            uptime=uptime,
            modules=tuple(item.name for item in wanted.modules),
            reason="",
        )
        place = max((item.place for item in guard.owned.values()), default=0) + 1
        guard.owned[module.name] = guard_file.Owned(wanted.nevra, build_id, run.kernel.boot_id, place)
        return True

    return guard_file.change(run.paths, begin)


def _record_outcome(
    run: Run, wanted: Wanted, module: InstalledModule, result: loader.Outcome, replacing: bool
) -> bool:
    """Record how the load of ``module`` ended. Return whether the module is in force."""
    if result.problem is not None and result.problem.id == "module-name-taken":
        return _overtaken(run, wanted, module, result.problem)
    run.add(result.problem)
    verb = "replace" if replacing and replaces(module) else "load"
    facts = _facts(run, wanted, module)
    if result.problem is not None:
        facts["reason"] = result.problem.text
    if result.forced:
        run.note("force", "", module.name, wanted.nevra, result.outcome, result.seconds)
    if result.outcome == "done":
        facts["signer"] = "" if wanted.from_copy else run.signer(wanted.nevra)
        run.seconds[module.name] = result.seconds
        run.note(verb, verb, module.name, wanted.nevra, "done", result.seconds, **facts)
        return True
    if result.outcome == "stalled":
        _note_stall(run, wanted, module, result, verb, facts)
    else:
        run.note("fail", verb, module.name, wanted.nevra, "failed", result.seconds, **facts)
        _after_failure(run, wanted, module, result)
    return False


def _facts(run: Run, wanted: Wanted, module: InstalledModule) -> dict[str, object]:
    """Return what the journal records of a load of ``module``: its CVEs, dates, and where it came from."""
    from . import load_facts

    facts = load_facts.facts(run.paths, run.kernel, (InForce(module.name, wanted.nevra, wanted.cves),))
    facts["source"] = "kept" if wanted.from_copy else "package"
    declared = module.manifest
    if declared is not None:
        facts.update(advisory=declared.advisory, issued=declared.issued)
        if declared.issued:
            facts["exposed_since"], facts["exposed_since_kind"] = "", ""  # one entry, one date
    return facts


def _note_stall(
    run: Run,
    wanted: Wanted,
    module: InstalledModule,
    result: loader.Outcome,
    verb: str,
    facts: dict[str, object],
) -> None:
    """Record a transition that stalled and was reversed, and plan the next try."""
    entry = guard_file.read(run.paths).entries.get(wanted.nevra, guard_file.GuardEntry("idle"))
    pause = RETRY_SECONDS[min(entry.tries, len(RETRY_SECONDS) - 1)]
    facts["tasks"] = tuple(
        f"{task.pid} {task.comm} patch_state={task.patch_state} stack={task.frames}" for task in result.tasks
    )
    run.note("stall", verb, module.name, wanted.nevra, "stalled", result.seconds, **facts)
    run.note("reverse", "reverse", module.name, wanted.nevra, "failed" if result.stuck else "done", 0.0)
    when = times.moment(time.time() + pause)
    tries = entry.tries + 1
    bookkeeping.change(run, wanted.nevra, module.name, state="stalled", tries=tries, retry_at=when)
    run.retry_in = pause


def _after_failure(run: Run, wanted: Wanted, module: InstalledModule, result: loader.Outcome) -> None:
    """Block a set whose module killed its loader, or is in the kernel and wrong; else leave the set idle."""
    crashed = result.outcome == "crashed"
    if not crashed and livepatches.one(run.paths, module.name) is None:
        bookkeeping.change(run, wanted.nevra, module.name, state="idle")
        return
    why = result.problem.text.rstrip(".") if result.problem is not None else result.outcome
    bookkeeping.block(run, wanted.nevra, why)
    if not crashed:
        loader.unload(run.paths, module.name, run.config.transition_timeout, run.progress)


def _overtaken(run: Run, wanted: Wanted, module: InstalledModule, taken: Problem) -> bool:
    """Give up a module that another program loaded first, as kpatch.service does at boot.

    Returns whether that is the same build and in force.
    """
    disowned: list[guard_file.Owned] = []

    def disown(guard: guard_file.Guard) -> None:
        if module.name in guard.owned:
            disowned.append(guard.owned.pop(module.name))

    run.change_guard(disown)
    bookkeeping.change(run, wanted.nevra, "", state="idle")
    expected = disowned[0].build_id if disowned else ""
    fault = loader.await_others(run.paths, module.name, expected, run.config.transition_timeout)
    if fault:
        run.add(taken)
    return not fault
