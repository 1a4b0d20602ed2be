# SPDX-License-Identifier: GPL-2.0-or-later
"""Findings that would keep a live patch from being loaded on this host, before one is. Changes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from ...base import config
from ...base.model import Problem, Trusted
from ...base.paths import Paths
from ...messages.catalogue import problem
from ...vendors import profiles
from ..files import atomic, guard_file, notices
from ..kernel import running, switches
from ..packages import installed, inventory
from ..reconcile import health, preflight
from ..reconcile.desired import wanted_set

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

    ``faults`` are those of the configuration. A file that only root may read makes no finding here.
    """
    kernel = running.running(paths)
    found: list[Problem] = [problem("config-fault", fault=fault) for fault in faults]
    reason = running.environment(paths)
    if reason:
        found.append(problem("no-place-to-load", why=reason))
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
    try:
        guarded = guard_file.read(paths)
    except atomic.Broken as error:
        found.append(problem("guard-broken", why=error))
    else:
        # The findings are the packages that an administrator or a crash keeps out; the chosen set is not
        # used.
        here = installed.Installed(stock.patches, stock.healthy, stock.why)
        gone = noticed.proved if settings.on_withdrawn == "revert" else {}
        out = wanted_set(here, guarded, kernel.release, kernel.boot_id, lambda copied: (), gone)
        found += out.problems if stock.healthy else ()
    for patch in stock.patches:
        if str(patch.nevra) in noticed.unproved:
            found += preflight.signer(paths, kernel.release, str(patch.nevra))
        # A vendor's own client loads from its own folders: only modules that reconcile loads are checked.
        for module in patch.modules if patch.loader == "kernel" else ():
            found += preflight.module(paths, kernel, module)[0]
    found.append(_trust(noticed.trusted))
    order = ("error", "warning", "note")
    return tuple(sorted(dict.fromkeys(found), key=lambda item: order.index(item.severity)))
