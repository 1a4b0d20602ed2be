# SPDX-License-Identifier: GPL-2.0-or-later
"""Which live patches should be in force, and what has to change for that. Pure.

``choose`` picks the wanted set from what is installed, blocked, unloaded by hand and kept; ``plan``
compares it with the kernel. Nobody else decides what is loaded or unloaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...base.model import InstalledModule, InstalledPatch, LoadedPatch, Problem
from ...base.typed import TYPE_CHECKING, NamedTuple
from ...messages.catalogue import problem
from ..files.guard_file import Guard, Kept, Owned
from ..packages.installed import Installed

if TYPE_CHECKING:
    from typing import Callable


class Wanted(NamedTuple):
    """The set that should be in force. ``kept`` says that it comes from our copies, not from a package."""

    nevra: str
    modules: tuple[InstalledModule, ...]
    cves: tuple[str, ...]
    kept: bool = False


class Choice(NamedTuple):
    """``wanted`` is None when nothing should be in force. ``known`` is False when nobody can tell."""

    wanted: Wanted | None
    known: bool
    problems: tuple[Problem, ...]


class Unload(NamedTuple):
    """One module to take out; ``cause`` is gone, blocked, held, withdrawn or superseded."""

    module: str
    nevra: str
    cause: str


class Plan(NamedTuple):
    """What to change. ``pending`` are wanted modules whose transition is under way already.

    ``foreign`` are patches that others loaded, ``taken`` wanted modules whose name another build has.
    """

    load: tuple[InstalledModule, ...] = ()
    pending: tuple[InstalledModule, ...] = ()
    unload: tuple[Unload, ...] = ()
    foreign: tuple[str, ...] = ()
    taken: tuple[str, ...] = ()


def _of_package(patch: InstalledPatch) -> Wanted:
    return Wanted(str(patch.nevra), patch.modules, patch.cves)


def best_copy(
    guard: Guard,
    release: str,
    boot_id: str,
    modules_of: Callable[[Kept], tuple[InstalledModule, ...]],
    withdrawn: Mapping[str, str],
) -> Wanted | None:
    """The best kept set that may be loaded: one that proved good before one that did not."""
    out = {**guard.blocked(), **withdrawn}
    fit = [
        item
        for item in guard.kept
        if item.release == release and item.nevra not in out and not guard.holds(item.nevra, boot_id)
    ]
    fit.sort(key=lambda item: item.nevra not in guard.records or not guard.records[item.nevra].proved)
    return Wanted(fit[0].nevra, modules_of(fit[0]), fit[0].cves, True) if fit else None


def choose(
    installed: Installed,
    guard: Guard,
    release: str,
    boot_id: str,
    modules_of: Callable[[Kept], tuple[InstalledModule, ...]],
    withdrawn: Mapping[str, str],
) -> Choice:
    """The set that should be in force for the kernel ``release`` in boot ``boot_id``.

    ``withdrawn`` are NEVRA and reason of the packages that shall not be, as their publisher withdrew them.
    """
    if not installed.healthy:
        found = (problem("rpmdb-unreadable", why=installed.why),)
        if guard.ours(boot_id):
            return Choice(None, False, found)
        return Choice(best_copy(guard, release, boot_id, modules_of, withdrawn), False, found)
    blocked = guard.blocked()
    problems: list[Problem] = []
    patches = [
        patch
        for patch in installed.patches
        if patch.kernel_release == release and patch.kind == "patch" and patch.loader == "kernel"
    ]
    for patch in patches:
        nevra = str(patch.nevra)
        if guard.holds(nevra, boot_id):
            # Unloading by hand means that nothing takes its place either.
            return Choice(None, True, (*problems, problem("patch-unloaded", nevra=nevra)))
        if nevra in blocked:
            admin = guard.records[nevra].by == "admin"
            name = "patch-blocked-by-admin" if admin else "patch-blocked"
            problems.append(problem(name, nevra=nevra, why=blocked[nevra] or "no reason given"))
        elif nevra in withdrawn:
            problems.append(problem("patch-reverted", nevra=nevra, why=withdrawn[nevra]))
        elif not patch.modules:
            problems.append(problem("patch-without-module", nevra=nevra, release=release))
        else:
            return Choice(_of_package(patch), True, tuple(problems))
    wanted = best_copy(guard, release, boot_id, modules_of, withdrawn) if patches else None
    if wanted is not None:
        problems.append(problem("kept-in-force", nevra=wanted.nevra))
    return Choice(wanted, True, tuple(problems))


def plan(
    choice: Choice,
    loaded: Sequence[LoadedPatch],
    ours: dict[str, Owned],
    guard: Guard,
    boot_id: str,
    build_ids: dict[str, str],
    withdrawn: Mapping[str, str],
) -> Plan:
    """How to get from ``loaded`` to ``choice``. ``build_ids`` tells those of the wanted modules' files."""
    present = {patch.module: patch for patch in loaded}
    own = {
        name
        for name, item in ours.items()
        if name in present and item.build_id in ("", present[name].build_id)
    }
    modules = choice.wanted.modules if choice.wanted is not None else ()
    load: list[InstalledModule] = []
    pending: list[InstalledModule] = []
    taken: list[str] = []
    for module in modules:
        patch = present.get(module.name)
        build_id = build_ids.get(module.name, "")
        if patch is None:
            load.append(module)
        elif build_id and patch.build_id and build_id != patch.build_id:
            taken.append(module.name)
        elif patch.transition and not patch.enabled:
            load.append(module)  # a reversal that has not ended; what is on its way out is loaded anew
        elif patch.transition or not patch.enabled:
            pending.append(module)
    names = {module.name for module in modules}
    blocked = guard.blocked()
    unload: list[Unload] = []
    for name in sorted(own - names, key=lambda name: -ours[name].place):
        nevra = ours[name].nevra
        if guard.holds(nevra, boot_id):
            unload.append(Unload(name, nevra, "held"))
        elif nevra in blocked:
            unload.append(Unload(name, nevra, "blocked"))
        elif nevra in withdrawn and not modules:
            unload.append(Unload(name, nevra, "withdrawn"))
        elif choice.known:
            unload.append(Unload(name, nevra, "superseded" if modules else "gone"))
    return Plan(
        load=tuple(load),
        pending=tuple(pending),
        unload=tuple(unload),
        foreign=tuple(sorted(set(present) - own - names)),
        taken=tuple(taken),
    )


def replaces(module: InstalledModule) -> bool:
    """Whether loading ``module`` puts every other patch out of force; the builders' default where unsaid."""
    return module.manifest is None or module.manifest.replace
