# SPDX-License-Identifier: GPL-2.0-or-later
"""Live patches that another program took out of force: what vanished, and when it was last seen in force.

The last reconcile's result holds what was in force at its end. Where sysfs no longer shows a patch, and no
run of reconcile and no verb took it out, somebody else did: by sysfs, rmmod, or a patch that replaces all.
The result is lost at a reboot. The note of an orderly shutdown keeps it for the next boot; after a crash
nothing tells that a patch vanished.
"""

from __future__ import annotations

from collections.abc import Container, Sequence

from ...base import times
from ...base.model import InForce, LoadedPatch, ReconcileResult
from ...base.paths import Paths
from . import atomic, guard_file, journal, shutdown_note

EVENT = "vanish"


def vanished(
    result: ReconcileResult,
    loaded: Sequence[LoadedPatch],
    guard: guard_file.Guard,
    history: Sequence[journal.Entry],
) -> list[InForce]:
    """Return the patches of ``result``, the last of this boot, that others took out since.

    A patch that is kept out, a load that is under way or was broken off, and an event of ``history`` since
    that result explain an absence. A patch that is in ``history`` as vanished already is not returned again.
    """
    boot_id = result.boot_id
    if any(entry.state == "loading" and entry.boot_id == boot_id for entry in guard.entries.values()):
        return []
    here = {patch.module for patch in loaded if patch.enabled}
    out = {nevra for nevra in guard.unloaded if guard.is_unloaded(nevra, boot_id)} | set(guard.blocked())
    events = [row for row in history if row.boot_id == boot_id and row.time >= result.finished]
    ours = {str(row.facts.get("module")) for row in events if row.event in ("unload", EVENT)}
    replaced = any(row.event == "replace" and row.time > result.finished for row in events)
    known = guard.ours(boot_id)
    return [
        one
        for one in result.in_force
        if one.module in known and one.module not in here | ours and one.nevra not in out and not replaced
    ]


def since(
    paths: Paths,
    result: ReconcileResult,
    loaded: Sequence[LoadedPatch],
    installed: Container[str] | None,
    when: str = "now",
) -> list[journal.Entry]:
    """Return an entry, not written yet, for each patch that vanished since ``result``.

    ``loaded`` are the patches that the kernel has, or had at the moment ``when``. ``installed`` are the
    NEVRAs of the installed packages, None where they are not known.
    """
    here = sorted(patch.module for patch in loaded if patch.enabled)
    if all(one.module in here for one in result.in_force):
        return []
    try:
        gone = vanished(result, loaded, guard_file.read(paths), journal.read(paths))
    except atomic.Broken:
        return []
    found = []
    for one in gone:
        if installed is not None and one.nevra not in installed:
            continue
        reason = f"last seen in force at {result.finished}"
        if here or when != "now":
            reason += f"; in force {when}: {', '.join(here) or 'none'}"
        facts: dict[str, journal.Fact] = {"module": one.module, "nevra": one.nevra, "reason": reason}
        facts.update(seen=result.finished, kernel=result.kernel_release)
        found.append(journal.Entry(times.now(), EVENT, result.boot_id, facts))
    return found


def before_shutdown(paths: Paths) -> list[journal.Entry]:
    """Return an entry, not written yet, for each patch that vanished before the last orderly shutdown.

    The guard's file has to be as that boot left it.
    """
    note = shutdown_note.read(paths)
    if note.result is None:
        return []
    loaded = [LoadedPatch(module, True, False) for module in note.in_force]
    return since(paths, note.result, loaded, None, "at the shutdown")
