# SPDX-License-Identifier: GPL-2.0-or-later
"""Findings that keep a live patch of this host from being in force, or would at the next load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...base import config
from ...base.model import InstalledPatch, Kernel, LoadedPatch, Problem, Trusted
from ...base.paths import Paths
from ...messages.catalogue import problem
from ...vendors import profiles
from ..files import atomic, guard_file, notices, storage
from ..kernel import running, switches
from ..packages import installed, inventory
from ..reconcile import adopt, health, preflight
from ..reconcile.desired import in_the_way, load_plan, wanted_set
from . import status

_WHY = {
    "origin": "the running kernel came from it",
    "named": "livepatch.conf names it",
    "listed": "it lists the running kernel, whose origin is unknown",
}


def _trust(trusted: Sequence[Trusted] | None) -> Problem:
    """Return the note on which repositories are trusted, why, and for what."""
    if not trusted:
        return problem("trust-unknown" if trusted is None else "trust-none")
    sources = ", ".join(f"{row.repository} ({_WHY[row.why]})" for row in trusted)
    claims = ", ".join(row.repository for row in trusted if row.claims) or "none"
    signed = ", ".join(row.repository for row in trusted if row.claims and row.signed) or "none"
    return problem("trust-known", sources=sources, claims=claims, signed=signed)


def examine(paths: Paths, faults: Sequence[str] = ()) -> tuple[Problem, ...]:
    """Return findings about place, switches, host, state files and every installed module, worst first.

    ``faults`` are those of the configuration. A file that only root may read makes no finding here. The
    errors that ``status`` shows are among the findings: no run that went wrong leaves doctor content.
    """
    kernel = running.running(paths)
    found: list[Problem] = [problem("config-fault", fault=fault) for fault in faults]
    reason = running.environment(paths)
    if reason:
        found.append(problem("no-place-to-load", why=reason))
    unwritable = None if paths.foreign else storage.fault(paths)
    found += [unwritable] if unwritable is not None else []
    found += preflight.host(paths)
    busy = preflight.busy(paths)
    if busy is not None:
        found.append(busy)
    stock, noticed = inventory.look(paths, kernel), notices.read(paths)
    settings = config.read(paths.config)[0]
    found += () if paths.foreign else health.refused(settings)
    off = switches.mode(settings.mode)
    off = off or switches.off(paths, profiles.load(paths.profile_dirs)[0], stock.patches)
    if off:
        found.append(problem("loading-off", why=off))
    if not stock.healthy:
        found.append(problem("inventory-unknown", why=stock.why))
    report = status.gather(paths, settings)
    try:
        guarded = guard_file.read(paths)
    except atomic.Broken as error:
        found.append(problem("guard-broken", why=error))
    else:
        gone = noticed.proved if settings.on_withdrawn == "revert" else {}
        found += (
            _choice(paths, kernel, stock, guarded, gone, report.loaded) if not off and not reason else ()
        )
    in_force = {row.package for row in report.patches if row.in_force}
    for patch in stock.patches:
        found += _of_patch(paths, kernel, patch, noticed, str(patch.nevra) in in_force)
    known = {(item.id, item.subject) for item in found}
    errors = (item for item in report.problems if item.severity == "error")
    found += [item for item in errors if (item.id, item.subject) not in known]
    found.append(_trust(noticed.trusted))
    order = ("error", "warning", "note")
    return tuple(sorted(dict.fromkeys(found), key=lambda item: order.index(item.severity)))


def _choice(
    paths: Paths,
    kernel: Kernel,
    stock: inventory.Inventory,
    guarded: guard_file.Guard,
    gone: Mapping[str, str],
    loaded: Sequence[LoadedPatch],
) -> tuple[Problem, ...]:
    """Return the packages that are kept out by hand or by a crash, and the loaded patches in the way."""
    here = installed.Installed(stock.patches, stock.healthy, stock.why)
    choice = wanted_set(here, guarded, kernel.release, kernel.boot_id, lambda copied: (), gone)
    mine, others = adopt.look(paths, kernel, guarded, stock.patches, choice, loaded)
    adopted = {name: guard_file.Owned(item.nevra, "", kernel.boot_id) for name, item in mine.items()}
    ours = {**guarded.ours(kernel.boot_id), **adopted}
    builds = {module.name: module.build_id for module in choice.modules}
    todo = load_plan(choice, loaded, ours, guarded, kernel.boot_id, builds, gone)
    found = [*(choice.problems if stock.healthy else ()), *others]
    if choice.wanted is not None:
        found += in_the_way(choice.wanted, todo)
    return tuple(found)


def _of_patch(
    paths: Paths, kernel: Kernel, patch: InstalledPatch, noticed: notices.Notices, in_force: bool
) -> list[Problem]:
    """Return the findings about the files of ``patch``; of one in force they count for the next boot."""
    nevra = str(patch.nevra)
    found: list[Problem] = []
    if nevra in noticed.unproved:
        found += preflight.signer(paths, kernel.release, nevra)
    # A vendor's own client loads from its own folders: only modules that reconcile loads are checked.
    for module in patch.modules if patch.loader == "kernel" else ():
        found += preflight.module(paths, kernel, module)[0]
    if not in_force:
        return found
    return [
        problem("not-at-next-boot", nevra=nevra, why=item.text, how=item.remedy)
        if item.severity == "error"
        else item
        for item in found
    ]
