# SPDX-License-Identifier: GPL-2.0-or-later
"""One whole run of reconcile, for when something changed: judge the last boot, converge, ask the clients.

``run`` imports this module only then: a run with nothing to do pays for none of it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial

from ...base.config import Config
from ...base.model import InForce, InstalledPatch, Kernel, ReconcileResult
from ...base.paths import Paths
from ...base.typed import TYPE_CHECKING, NamedTuple
from ...messages.catalogue import not_in_force, problem
from ...messages.message import several
from ...vendors import profiles
from ..clients import patches
from ..files import atomic, guard_file, journal, mailbox, notices, vanished
from ..kernel import livepatches, switches
from ..packages import installed, rpm_lock
from . import adopt, bookkeeping, crash_guard, early, health, take_out, timers, turn, unchanged
from .context import LOCK_SECONDS, RETRY_SECONDS, Run
from .desired import Choice

if TYPE_CHECKING:
    from ...vendors.profile_file import Profile

MAX_TURNS = 4


class _Rounds(NamedTuple):
    """The end of the last round.

    ``before`` is the fingerprint from its start, ``installed_patches`` the packages that it found,
    ``skipped`` the reason why it loaded nothing, "" for none.
    """

    before: str
    installed_patches: tuple[InstalledPatch, ...]
    skipped: str
    choice: Choice
    build_ids: dict[str, str]


def converge(run: Run, stamp: str) -> ReconcileResult:
    """Make the kernel match what is installed, and return the result for the request ``stamp``."""
    paths, kernel = run.paths, run.kernel
    rules, faults = profiles.load(paths.profile_dirs)
    for fault in faults:
        run.add(problem("profile-fault", fault=fault))
    database = early.look(run) or installed.folder(paths)
    try:
        _recall_blocks(run)
        for nevra, why in crash_guard.after_boot(paths, kernel.boot_id):
            run.note("block", "", "", nevra, "done", 0.0, reason=why)
        # A file trigger asks from inside its transaction, before the database lists the new packages.
        if not rpm_lock.wait_idle(database, LOCK_SECONDS):
            return _rpm_under_way(run, stamp, database)
        bookkeeping.ask_due(run)
        last = _rounds(run, run.config, rules, database)
        in_force = turn.in_force_now(run, last.choice.wanted, last.build_ids)
        outside = _ask_clients(run, rules, last.installed_patches)
    except atomic.Broken as error:
        return mailbox.new_result(stamp, kernel, ok=False, problems=(problem("guard-broken", why=error),))
    except OSError as error:
        return mailbox.new_result(
            stamp, kernel, ok=False, problems=(problem("record-unwritable", why=error),)
        )
    _note_missing(run, last.choice, in_force)
    _note_outside(run, rules, outside)
    wanted = last.choice.wanted
    result = mailbox.new_result(
        stamp,
        kernel,
        ok=not any(item.severity == "error" for item in run.problems),
        desired=wanted.nevra if wanted is not None else next(iter(outside.desired), ""),
        in_force=(*in_force, *outside.in_force),
        actions=tuple(run.actions),
        problems=tuple(run.problems),
        skipped=last.skipped,
    )
    _set_timers(paths, run.retry_in, kernel)
    rest = _may_rest(run, result, last.installed_patches, outside)
    unchanged.save(paths, kernel, last.before if rest else None, database)
    return result


def _recall_blocks(run: Run) -> None:
    """Write a lost guard's file anew from the history, and report what is kept out.

    Raises Broken or OSError.
    """
    if os.path.exists(run.paths.guard):
        return
    names = guard_file.change(run.paths, lambda guard: sorted({*guard.blocked(), *guard.unloaded}))
    if names:
        run.add(problem("blocks-recalled", packages=several(names, 10)))


def _rpm_under_way(run: Run, stamp: str, database: str) -> ReconcileResult:
    """Return the result of a run that an RPM transaction keeps from acting, and plan the next run."""
    _set_timers(run.paths, RETRY_SECONDS[0], run.kernel)
    unchanged.save(run.paths, run.kernel, None, database)
    busy = problem("rpm-under-way", seconds=f"{LOCK_SECONDS:.0f}")
    here = turn.in_force_now(run, None, {})
    return mailbox.new_result(stamp, run.kernel, ok=False, in_force=here, problems=(busy,))


def _rounds(run: Run, config: Config, rules: Sequence[Profile], database: str) -> _Rounds:
    """Converge until no set is blocked any more, at most MAX_TURNS times. Raises Broken or OSError."""
    for _ in range(MAX_TURNS):
        before = unchanged.take(run.paths, run.kernel, database)
        found = early.packages(run) or installed.read(
            run.paths, rules, run.kernel.release, run.kernel.build_id
        )
        for fault in found.faults[: installed.MAX_FAULTS]:
            run.add(problem("manifest-unusable", fault=fault))
        off = switches.off(run.paths, rules, found.patches) if config.mode == "load" else ""
        if off:
            run.config = config._replace(mode="install-only")
        if run.at_boot is None:
            _keep_books(run, found)
        choice, build_ids, again = turn.one_round(run, found)
        if not again:
            break
    return _Rounds(before, found.patches, off or switches.mode(config.mode), choice, build_ids)


def _keep_books(run: Run, found: installed.Installed) -> None:
    """Bring the records in line with the packages ``found``, which the run before the network leaves alone.

    The guard forgets packages that are gone, the history learns what vanished, and loaded modules of
    packages here become ours.
    """
    if found.healthy:
        known = [str(patch.nevra) for patch in found.patches]
        guard_file.forget(run.paths, known, lambda nevra: installed.holds(run.paths, nevra))
    _note_vanished(run, found)
    adopt.adopt(run, found)


def _note_vanished(run: Run, found: installed.Installed) -> None:
    """Add to the history the patches that another program took out since the last run of this boot."""
    last = mailbox.read_result(run.paths)
    if last is None or last.boot_id != run.kernel.boot_id:
        return
    here = {str(patch.nevra) for patch in found.patches} if found.healthy else None
    for entry in vanished.since(run.paths, last, livepatches.read(run.paths), here):
        journal.remember(run.paths, entry.event, **entry.facts)


def _ask_clients(run: Run, rules: Sequence[Profile], stock: Sequence[InstalledPatch]) -> patches.Outside:
    """Have vendors' own clients load their packages, after the kernel's own live patches."""
    if run.config.mode != "load" or run.at_boot is not None:
        return patches.Outside()
    boot_id = run.kernel.boot_id
    guard = guard_file.read(run.paths)
    out = {nevra for nevra in guard.unloaded if guard.is_unloaded(nevra, boot_id)} | set(guard.blocked())
    if run.config.on_withdrawn == "revert":
        out |= set(notices.read(run.paths).proved)
    ours = {
        label: item.nevra for label, item in guard.clients.items() if boot_id and item.boot_id == boot_id
    }
    gone = partial(take_out.really_gone, run)
    timeout = run.config.transition_timeout
    done = patches.converge(rules, stock, run.kernel, timeout, out, ours, gone, run.progress)
    if dict(done.ours) != ours:

        def set_clients(guard: guard_file.Guard) -> None:
            guard.clients = {label: guard_file.Owned(nevra, "", boot_id) for label, nevra in done.ours}

        guard_file.change(run.paths, set_clients)
    return done


def _note_missing(run: Run, choice: Choice, in_force: Sequence[InForce]) -> None:
    """Report the chosen set unless each of its modules is in force."""
    if choice.wanted is None:
        return
    verified = {row.module for row in in_force if row.nevra == choice.wanted.nevra}
    if not all(module.name in verified for module in choice.modules):
        run.add(not_in_force(choice.wanted.nevra, in_force))


def _note_outside(run: Run, rules: Sequence[Profile], outside: patches.Outside) -> None:
    """Record the actions of vendors' own clients, and with each load the CVEs that it closes."""
    for item in outside.problems:
        run.add(item)
    for done in outside.actions:
        from . import load_facts

        closes = load_facts.by_client(run.paths, run.kernel, rules, outside.in_force, done)
        run.note(done.verb, done.verb, done.module, done.nevra, done.outcome, done.seconds, **closes)


def _may_rest(
    run: Run, result: ReconcileResult, stock: Sequence[InstalledPatch], outside: patches.Outside
) -> bool:
    """Return whether the next run may skip its work for as long as nothing changes.

    After a run that changed something itself the next run looks once more. So it does after the run before
    the network, which did not read the database. Patches of a vendor's client are known only to that client,
    so with them every run asks again. So does a run while health checks are still to be asked.
    """
    if run.at_boot is not None:
        return False
    entries = guard_file.read(run.paths).entries.values()
    if any(health.open_question(run.config, entry, run.kernel.boot_id) for entry in entries):
        return False
    quiet = result.ok and not result.actions and run.config.mode == "load"
    return quiet and not outside.in_force and all(patch.loader == "kernel" for patch in stock)


def _set_timers(paths: Paths, retry_in: int, kernel: Kernel) -> None:
    """Have systemd run the settle watch while a set settles, and the next run in ``retry_in`` seconds."""
    settling = [
        entry
        for entry in guard_file.read(paths).entries.values()
        if entry.state == "settling" and entry.boot_id == kernel.boot_id
    ]
    if settling:
        timers.watch(paths)
    if retry_in:
        timers.retry(paths, retry_in)
    else:
        timers.no_retry(paths)
