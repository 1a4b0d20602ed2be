# SPDX-License-Identifier: GPL-2.0-or-later
"""One round of reconcile: carry out what ``desired`` planned, guarded and recorded step by step.

Every change of the kernel is framed by durable records, so that whoever comes after a crash at any
point knows what was being done.
"""

from __future__ import annotations

import os
import time
from functools import partial

from ...base import times
from ...base.model import InForce, InstalledModule, Problem
from ...messages.catalogue import problem
from ..files import atomic, guard_file, notices
from ..kernel import harm, livepatches, module_file, running
from ..packages import installed, rpm_lock
from . import bookkeeping, copies, loader, preflight
from .context import Run
from .desired import Choice, Plan, Wanted, best_copy, choose, plan, replaces

LOCK_SECONDS = 30.0
RETRY_SECONDS = (60, 120, 300, 900, 1800, 3600)


def one_round(run: Run, read: installed.Installed) -> tuple[Choice, dict[str, str], bool]:
    """Converge once: the choice that was made, the build ids it should have, and whether something was
    blocked, which makes another turn due."""
    run.installed = read
    boot_id = run.kernel.boot_id
    entries = guard_file.read(run.paths)
    # Where nothing is to be changed by itself, what the publisher took back changes nothing either.
    revert = run.config.on_withdrawn == "revert" and run.config.mode == "load"
    gone = notices.read(run.paths).proved if revert else {}
    modules_of = partial(copies.modules_of, run.paths)
    choice = choose(read, entries, run.kernel.release, boot_id, modules_of, gone)
    for found in choice.problems:
        run.add(found)
    if run.config.mode != "load":
        # Only what the administrator unloads or blocks by hand is acted on.
        choice = Choice(None, False, choice.problems)
    build_ids = _build_ids(run, choice)
    _end_old(run, {module.name for module in choice.wanted.modules} if choice.wanted is not None else set())
    loaded = livepatches.read(run.paths)
    todo = plan(choice, loaded, entries.ours(boot_id), entries, boot_id, build_ids, gone)
    again = False
    if choice.wanted is not None:
        again = _bring(run, choice.wanted, todo, build_ids)
        if not (again or choice.wanted.kept or livepatches.read(run.paths)):
            others = {**gone, choice.wanted.nevra: "could not be loaded"}
            again = _stand_in(
                run, best_copy(guard_file.read(run.paths), run.kernel.release, boot_id, modules_of, others)
            )
    _clear_leftovers(run)
    if not again:
        _take_out(run, choice, todo, build_ids)
    unneeded = choice.known and choice.wanted is None and not read.patches
    if unneeded and entries.kept and _database_fault(run) is None:
        copies.drop(run.paths, run.kernel.release, tuple(item.nevra for item in entries.kept))
    return choice, build_ids, again


def _end_old(run: Run, wanted: set[str]) -> None:
    """End or reverse the transition of a patch of ours that a killed run left and nobody wants any more."""
    ours = guard_file.read(run.paths).ours(run.kernel.boot_id)
    for patch in livepatches.read(run.paths):
        owner = ours.get(patch.module)
        if patch.transition and owner is not None and patch.module not in wanted:
            timeout = run.config.transition_timeout
            result = loader.settle(run.paths, patch.module, owner.build_id, timeout, run.progress)
            if result.outcome == "stalled":
                stuck = result.problem is not None and result.problem.id == "transition-stuck"
                run.note("reverse", "reverse", patch.module, owner.nevra, "failed" if stuck else "done", 0.0)


def _stand_in(run: Run, other: Wanted | None) -> bool:
    """Bring the kept set ``other`` in force where the installed one could not be loaded and nothing else is,
    as after a boot; whether it was blocked for what came of it."""
    if other is None:
        return False
    choice = Choice(other, True, ())
    build_ids = _build_ids(run, choice)
    entries = guard_file.read(run.paths)
    again = _bring(run, other, plan(choice, (), {}, entries, run.kernel.boot_id, build_ids, {}), build_ids)
    if in_force(run, other, build_ids):
        run.add(problem("kept-in-force", nevra=other.nevra))
    return again


def _build_ids(run: Run, choice: Choice) -> dict[str, str]:
    """The build ids the wanted modules should have: their manifest's, else their file's own."""
    found = {}
    for module in choice.wanted.modules if choice.wanted is not None else ():
        if module.manifest is not None:
            found[module.name] = module.manifest.build_id
        else:
            found[module.name] = preflight.module(run.paths, run.kernel, module)[1]
    return found


def in_force(run: Run, wanted: Wanted, build_ids: dict[str, str]) -> bool:
    """Whether every module of ``wanted`` is in force now."""
    return all(not loader.verify(run.paths, m.name, build_ids.get(m.name, "")) for m in wanted.modules)


def _bring(run: Run, wanted: Wanted, todo: Plan, build_ids: dict[str, str]) -> bool:
    """Load what is missing of ``wanted``; whether it was blocked for what came of it."""
    for name in todo.taken:
        run.add(problem("module-other-build", module=name, nevra=wanted.nevra))
    if todo.taken:
        return False
    if not (todo.load or todo.pending):
        return bookkeeping.unfinished(run, wanted) and bookkeeping.after_load(run, wanted)
    if todo.foreign and any(replaces(module) for module in todo.load):
        run.add(problem("foreign-patch", module=", ".join(todo.foreign), nevra=wanted.nevra))
        return False
    host = preflight.host(run.paths)
    for found in host:
        run.add(found)
    if preflight.errors(host):
        return False
    before = {
        patch.module for patch in livepatches.read(run.paths) if patch.enabled and not patch.transition
    }
    for module in todo.pending:
        if not _ours(run, module.name):
            # Whoever started this transition ends it.
            fault = loader.await_others(
                run.paths, module.name, build_ids.get(module.name, ""), run.config.transition_timeout
            )
            if fault:
                run.add(problem("module-not-in-force", nevra=wanted.nevra, instead=fault))
                run.retry_in = run.retry_in or RETRY_SECONDS[0]
                return False
            continue
        result = loader.settle(
            run.paths,
            module.name,
            build_ids.get(module.name, ""),
            run.config.transition_timeout,
            run.progress,
            run.force,
        )
        if not _settled(run, wanted, module, result, bool(before)):
            return False
    for module in todo.load:
        if not _load(run, wanted, module, build_ids, bool(before)):
            return bookkeeping.broken_off(run, wanted)
    return bookkeeping.after_load(run, wanted)


def _load(
    run: Run, wanted: Wanted, module: InstalledModule, build_ids: dict[str, str], replacing: bool
) -> bool:
    """Load one module under the guard's protocol; whether it is in force now."""
    busy = _wait_for_others(run)
    if busy is not None:
        run.add(busy)
        run.retry_in = run.retry_in or RETRY_SECONDS[0]
    try:
        descriptor = module_file.open_file(module.path)
    except module_file.ModuleError as error:
        run.add(problem("module-missing", path=module.path, why=error))
        return False
    try:
        findings, build_id = preflight.opened(run.paths, run.kernel, module, descriptor)
        for found in findings:
            run.add(found)
        if preflight.errors(findings) or busy is not None or not _free(run, module.name):
            return False
        try:
            _begin(run, wanted, module, build_id)
        except (OSError, atomic.Broken) as error:
            run.add(problem("state-unwritable", why=error))
            return False
        result = loader.load(
            run.paths,
            descriptor,
            module.name,
            build_ids.get(module.name, ""),
            run.config.transition_timeout,
            run.progress,
            run.force,
        )
    finally:
        os.close(descriptor)
    return _settled(run, wanted, module, result, replacing)


def _free(run: Run, module: str) -> bool:
    """Is the name of ``module`` free in the kernel, if need be since a replaced one is removed?"""
    stays = loader.remove(run.paths, module) if _ours(run, module) else ""
    if stays or livepatches.loaded(run.paths, module):
        run.add(problem("module-stays" if stays else "module-name-taken", module=module, why=stays))
        return False
    return True


def _wait_for_others(run: Run) -> Problem | None:
    """Wait for a transition that is under way to end; the finding that it did not."""
    end = time.monotonic() + run.config.transition_timeout
    while livepatches.transition(run.paths) and time.monotonic() < end:
        time.sleep(0.1)
    return preflight.busy(run.paths)


def _ours(run: Run, module: str) -> bool:
    return module in guard_file.read(run.paths).ours(run.kernel.boot_id)


def _begin(run: Run, wanted: Wanted, module: InstalledModule, build_id: str) -> None:
    """Write down, durably, what is about to be loaded. No record, no load."""
    # RPM leaves it to the kernel when what it unpacked reaches the disk. After a power cut the database
    # would list a module that is an empty file, and no upgrade repairs that.
    atomic.sync_file(module.path)
    atomic.sync_file(f"{run.paths.manifest_dir(run.kernel.release)}/{module.name}.json")

    def begin(entries: guard_file.Guard) -> None:
        old = entries.records.get(wanted.nevra, guard_file.Record("idle"))
        uptime = running.uptime(run.paths)
        if old.state != "loading" or old.boot_id != run.kernel.boot_id:
            # Of a set, and of a run that was killed, from its first module on.
            old = old.before(uptime, harm.read(run.paths))
        entries.records[wanted.nevra] = old._replace(
            state="loading",
            boot_id=run.kernel.boot_id,
            since=times.now(),
            uptime=uptime,
            modules=tuple(item.name for item in wanted.modules),
            reason="",
        )
        place = max((item.place for item in entries.owned.values()), default=0) + 1
        entries.owned[module.name] = guard_file.Owned(wanted.nevra, build_id, run.kernel.boot_id, place)

    guard_file.change(run.paths, begin)


def _settled(
    run: Run, wanted: Wanted, module: InstalledModule, result: loader.Outcome, replacing: bool
) -> bool:
    """Record how a load ended; whether the module is in force."""
    from . import load_facts

    if result.problem is not None and result.problem.id == "module-name-taken":
        return _overtaken(run, wanted, module, result.problem)
    run.add(result.problem)
    verb = "replace" if replacing and replaces(module) else "load"
    told = module.manifest
    facts = load_facts.facts(run.paths, run.kernel, (InForce(module.name, wanted.nevra, wanted.cves),))
    facts["source"] = "kept" if wanted.kept else "package"
    if told is not None:
        facts.update(advisory=told.advisory, issued=told.issued)
        if told.issued:
            facts["exposed_since"], facts["exposed_since_kind"] = "", ""  # one entry, one date
    if result.problem is not None:
        facts["reason"] = result.problem.text
    if result.forced:
        run.note("force", "", module.name, wanted.nevra, result.outcome, result.seconds)
    if result.outcome == "done":
        facts["signer"] = "" if wanted.kept else installed.signer(run.paths, wanted.nevra)
        run.seconds[module.name] = result.seconds
        run.note(verb, verb, module.name, wanted.nevra, "done", result.seconds, **facts)
        return True
    if result.outcome == "stalled":
        _note_stall(run, wanted, module, result, verb, facts)
    else:
        run.note("fail", verb, module.name, wanted.nevra, "failed", result.seconds, **facts)
        _after_failure(run, wanted, module, result)
    return False


def _note_stall(
    run: Run,
    wanted: Wanted,
    module: InstalledModule,
    result: loader.Outcome,
    verb: str,
    facts: dict[str, object],
) -> None:
    """Record a transition that stalled and was reversed, and plan the next try."""
    entry = guard_file.read(run.paths).records.get(wanted.nevra, guard_file.Record("idle"))
    pause = RETRY_SECONDS[min(entry.tries, len(RETRY_SECONDS) - 1)]
    facts["tasks"] = tuple(
        f"{task.pid} {task.comm} patch_state={task.patch_state} stack={task.frames}" for task in result.tasks
    )
    run.note("stall", verb, module.name, wanted.nevra, "stalled", result.seconds, **facts)
    stuck = result.problem is not None and result.problem.id == "transition-stuck"
    run.note("reverse", "reverse", module.name, wanted.nevra, "failed" if stuck else "done", 0.0)
    when = times.moment(time.time() + pause)
    tries = entry.tries + 1
    bookkeeping.change(run, wanted.nevra, module.name, state="stalled", tries=tries, retry_at=when)
    run.retry_in = pause


def _after_failure(run: Run, wanted: Wanted, module: InstalledModule, result: loader.Outcome) -> None:
    """Block a set whose module is in the kernel and wrong, or killed its loader; else leave it idle."""
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

    True if it is the same build and in force.
    """
    build_ids: list[str] = []

    def disown(entries: guard_file.Guard) -> None:
        owned = entries.owned.pop(module.name, None)
        build_ids.append(owned.build_id if owned is not None else "")

    try:
        guard_file.change(run.paths, disown)
    except (OSError, atomic.Broken) as error:
        run.add(problem("record-unwritable", why=error))
    bookkeeping.change(run, wanted.nevra, "", state="idle")
    expected = build_ids[0] if build_ids else ""
    fault = loader.await_others(run.paths, module.name, expected, run.config.transition_timeout)
    if fault:
        run.add(taken)
    return not fault


def _clear_leftovers(run: Run) -> None:
    """Remove our modules that a replace put out of force: their names must be free for a later load."""
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

    def disown(entries: guard_file.Guard) -> None:
        for module in gone:
            entries.owned.pop(module, None)

    try:
        guard_file.change(run.paths, disown)
    except (OSError, atomic.Broken) as error:
        run.add(problem("record-unwritable", why=error))


def _take_out(run: Run, choice: Choice, todo: Plan, build_ids: dict[str, str]) -> None:
    """Unload what is ours and not wanted any more; absence in a damaged database proves nothing."""
    present = {patch.module for patch in livepatches.read(run.paths)}
    for item in todo.unload:
        if item.module not in present:
            continue
        if item.cause == "superseded" and not (choice.wanted and in_force(run, choice.wanted, build_ids)):
            continue
        if item.cause == "gone" and not really_gone(run, item.nevra):
            continue
        result = loader.unload(run.paths, item.module, run.config.transition_timeout, run.progress)
        run.add(result.problem)
        reason = result.problem.text if result.problem is not None else item.cause
        run.note("unload", "unload", item.module, item.nevra, result.outcome, result.seconds, reason=reason)
        if result.outcome == "stalled":
            run.retry_in = run.retry_in or RETRY_SECONDS[0]
    if todo.unload and not livepatches.read(run.paths):
        bookkeeping.retire(run, "")
    _clear_leftovers(run)


def _database_fault(run: Run) -> Problem | None:
    """Why what the database does not list may be installed all the same; None when it is not."""
    folder = run.installed.database
    if not rpm_lock.wait_idle(folder, LOCK_SECONDS):
        run.retry_in = run.retry_in or RETRY_SECONDS[0]
        return problem("rpm-busy")
    why = installed.damage(folder)
    return problem("rpmdb-unreadable", why=why) if why else None


def really_gone(run: Run, nevra: str) -> bool:
    """Look again, in earnest, before the absence of the package ``nevra`` is believed."""
    fault = _database_fault(run)
    if fault is not None:
        run.add(fault)
        return False
    # By name, not by profile: a profile that lost its file must not make its packages look removed.
    if installed.holds(run.paths, nevra):
        run.add(problem("patch-unrecognised", nevra=nevra))
        return False
    return True


def in_force_now(run: Run, wanted: Wanted | None, build_ids: dict[str, str]) -> tuple[InForce, ...]:
    """Every patch in force, ours and others', with what is known of it."""
    entries = guard_file.read(run.paths)
    ours = entries.ours(run.kernel.boot_id)
    kept_cves = {item.nevra: item.cves for item in entries.kept}
    names = {module.name: module for module in wanted.modules} if wanted is not None else {}
    found = []
    for patch in livepatches.read(run.paths):
        if not patch.enabled or patch.transition:
            continue
        nevra = ""
        cves: tuple[str, ...] = ()
        if (
            wanted is not None
            and patch.module in names
            and not loader.verify(run.paths, patch.module, build_ids.get(patch.module, ""))
        ):
            told = names[patch.module].manifest
            nevra, cves = wanted.nevra, told.cves if told is not None else wanted.cves
        elif patch.module in ours and ours[patch.module].build_id in ("", patch.build_id):
            nevra = ours[patch.module].nevra
            cves = kept_cves.get(nevra, ())
        found.append(InForce(patch.module, nevra, cves, round(run.seconds.get(patch.module, 0.0), 3)))
    return tuple(found)
