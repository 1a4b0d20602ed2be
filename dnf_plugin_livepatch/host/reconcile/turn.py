# SPDX-License-Identifier: GPL-2.0-or-later
"""One round of reconcile: carry out the plan of ``desired``, and verify what is in force then.

Every change of the kernel stands between durable records, so that after a crash at any point the next run
knows what was being done.
"""

from __future__ import annotations

from functools import partial

from ...base.model import InForce, InstalledModule
from ...messages.catalogue import problem
from ..files import guard_file, notices
from ..kernel import livepatches
from ..packages import installed
from . import copies, loader, preflight
from .bring_in import bring_in
from .context import Run
from .desired import Choice, Wanted, best_copy, load_plan, wanted_set
from .take_out import clear_leftovers, database_fault, end_unwanted_transition, take_out


def one_round(run: Run, read: installed.Installed) -> tuple[Choice, dict[str, str], bool]:
    """Converge once.

    Returns the choice, the build ids that the chosen modules should have, and whether a set was blocked,
    which makes another round due.
    """
    run.installed = read
    boot_id = run.kernel.boot_id
    guard = guard_file.read(run.paths)
    # A withdrawal takes a patch out of force only where reconcile may change the kernel unasked.
    revert = run.config.on_withdrawn == "revert" and run.config.mode == "load"
    withdrawn = notices.read(run.paths).proved if revert else {}
    modules_of = partial(copies.modules_of, run.paths)
    choice = wanted_set(read, guard, run.kernel.release, boot_id, modules_of, withdrawn)
    for found in choice.problems:
        run.add(found)
    if run.config.mode != "load":
        # Only what the administrator unloads or blocks by hand is acted on.
        choice = Choice(None, False, choice.problems)
    build_ids = _build_ids(run, choice)
    end_unwanted_transition(run, {module.name for module in choice.modules})
    loaded = livepatches.read(run.paths)
    todo = load_plan(choice, loaded, guard.ours(boot_id), guard, boot_id, build_ids, withdrawn)
    again = False
    if choice.wanted is not None:
        again = bring_in(run, choice.wanted, todo, build_ids)
        if not (again or choice.wanted.from_copy or livepatches.read(run.paths)):
            out = {**withdrawn, choice.wanted.nevra: "could not be loaded"}
            now = guard_file.read(run.paths)
            again = _stand_in(run, best_copy(now, run.kernel.release, boot_id, modules_of, out))
    clear_leftovers(run)
    if not again:
        take_out(run, choice, todo, build_ids)
    unneeded = choice.known and choice.wanted is None and not read.patches and run.at_boot is None
    if unneeded and guard.copies and database_fault(run) is None:
        copies.drop(run.paths, run.kernel.release, tuple(item.nevra for item in guard.copies))
    return choice, build_ids, again


def _stand_in(run: Run, other: Wanted | None) -> bool:
    """Bring the copied set ``other`` in force where the installed set could not be loaded.

    The caller has seen that no other patch is in force, as after a boot. Returns whether ``other`` was
    blocked for what came of it.
    """
    if other is None:
        return False
    choice = Choice(other, True, ())
    build_ids = _build_ids(run, choice)
    guard = guard_file.read(run.paths)
    todo = load_plan(choice, (), {}, guard, run.kernel.boot_id, build_ids, {})
    again = bring_in(run, other, todo, build_ids)
    if loader.all_in_force(run.paths, other.modules, build_ids):
        run.add(problem("kept-in-force", nevra=other.nevra))
    return again


def _build_ids(run: Run, choice: Choice) -> dict[str, str]:
    """Return the build ids that the wanted modules should have: their manifest's, else their file's own."""
    found = {}
    for module in choice.modules:
        if module.manifest is not None:
            found[module.name] = module.manifest.build_id
        else:
            found[module.name] = preflight.module(run.paths, run.kernel, module)[1]
    return found


def in_force_now(run: Run, wanted: Wanted | None, build_ids: dict[str, str]) -> tuple[InForce, ...]:
    """Return every patch in force, ours and others', with what is known of it."""
    guard = guard_file.read(run.paths)
    ours = guard.ours(run.kernel.boot_id)
    copied_cves = {item.nevra: item.cves for item in guard.copies}
    names: dict[str, InstalledModule] = {m.name: m for m in wanted.modules} if wanted is not None else {}
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
            declared = names[patch.module].manifest
            nevra, cves = wanted.nevra, declared.cves if declared is not None else wanted.cves
        elif patch.module in ours and ours[patch.module].build_id in ("", patch.build_id):
            nevra = ours[patch.module].nevra
            cves = copied_cves.get(nevra, ())
        found.append(InForce(patch.module, nevra, cves, round(run.seconds.get(patch.module, 0.0), 3)))
    return tuple(found)
