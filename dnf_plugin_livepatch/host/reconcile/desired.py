# SPDX-License-Identifier: GPL-2.0-or-later
"""The decision which live patches should be in force, and which changes lead there. Pure.

``wanted_set`` chooses among what is installed, blocked, unloaded by hand and copied. ``load_plan`` compares
the choice with the kernel. No other code decides what is loaded or unloaded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...base.model import InstalledModule, InstalledPatch, LoadedPatch, Problem
from ...base.typed import TYPE_CHECKING, NamedTuple
from ...messages.catalogue import problem
from ...messages.message import several
from ..files.guard_file import CopiedSet, Guard, Owned
from ..packages.installed import Installed

if TYPE_CHECKING:
    from typing import Callable


class Wanted(NamedTuple):
    """The set that should be in force; ``from_copy`` where its modules are copies, not a package's files."""

    nevra: str
    modules: tuple[InstalledModule, ...]
    cves: tuple[str, ...]
    from_copy: bool = False


class Choice(NamedTuple):
    """The set that should be in force, None for none. ``known`` is False where the packages are unknown."""

    wanted: Wanted | None
    known: bool
    problems: tuple[Problem, ...]

    @property
    def modules(self) -> tuple[InstalledModule, ...]:
        """The modules that should be in force."""
        return self.wanted.modules if self.wanted is not None else ()


class Unload(NamedTuple):
    """One module to take out; ``cause`` is gone, blocked, held (by hand), withdrawn or superseded."""

    module: str
    nevra: str
    cause: str


class LoadPlan(NamedTuple):
    """The changes to make in the kernel.

    ``pending`` are wanted modules whose transition is under way already. ``foreign`` are patches that others
    loaded. ``taken`` are wanted modules of which the kernel has another build.
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
    modules_of: Callable[[CopiedSet], tuple[InstalledModule, ...]],
    withdrawn: Mapping[str, str],
) -> Wanted | None:
    """Return the best copied set that may be loaded: a set that proved good before any other."""
    out = {**guard.blocked(), **withdrawn}
    fit = [
        item
        for item in guard.copies
        if item.release == release and item.nevra not in out and not guard.is_unloaded(item.nevra, boot_id)
    ]
    fit.sort(key=lambda item: item.nevra not in guard.entries or not guard.entries[item.nevra].proved)
    for item in fit:
        modules = modules_of(item)
        if modules:
            return Wanted(item.nevra, modules, item.cves, True)
    return None


def wanted_set(
    installed: Installed,
    guard: Guard,
    release: str,
    boot_id: str,
    modules_of: Callable[[CopiedSet], tuple[InstalledModule, ...]],
    withdrawn: Mapping[str, str],
) -> Choice:
    """Choose the set that should be in force for the kernel ``release`` in boot ``boot_id``.

    ``withdrawn`` holds NEVRA and reason of the packages that their publisher withdrew and that have to stay
    out of force.
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
        if nevra in blocked:
            admin = guard.entries[nevra].by == "admin"
            name = "patch-blocked-by-admin" if admin else "patch-blocked"
            problems.append(problem(name, nevra=nevra, why=blocked[nevra] or "no reason given"))
        if guard.is_unloaded(nevra, boot_id):
            # Unloading by hand means that no other set takes the place of this one.
            return Choice(None, True, (*problems, problem("patch-unloaded", nevra=nevra)))
        if nevra in blocked:
            continue
        if nevra in withdrawn:
            problems.append(problem("patch-reverted", nevra=nevra, why=withdrawn[nevra]))
        elif not patch.modules:
            problems.append(problem("patch-without-module", nevra=nevra, release=release))
        else:
            return Choice(_of_package(patch), True, tuple(problems))
    wanted = best_copy(guard, release, boot_id, modules_of, withdrawn) if patches else None
    if wanted is not None:
        problems.append(problem("kept-in-force", nevra=wanted.nevra))
    return Choice(wanted, True, tuple(problems))


def load_plan(
    choice: Choice,
    loaded: Sequence[LoadedPatch],
    ours: dict[str, Owned],
    guard: Guard,
    boot_id: str,
    build_ids: dict[str, str],
    withdrawn: Mapping[str, str],
) -> LoadPlan:
    """Return the changes that lead from ``loaded`` to ``choice``.

    ``build_ids`` are the wanted modules' build ids, by module.
    """
    present = {patch.module: patch for patch in loaded}
    own = {
        name
        for name, item in ours.items()
        if name in present and item.build_id in ("", present[name].build_id)
    }
    load: list[InstalledModule] = []
    pending: list[InstalledModule] = []
    taken: list[str] = []
    for module in choice.modules:
        patch = present.get(module.name)
        build_id = build_ids.get(module.name, "")
        if patch is None:
            load.append(module)
        elif build_id and patch.build_id and build_id != patch.build_id:
            taken.append(module.name)
        elif patch.transition and not patch.enabled:
            load.append(module)  # a reversal that has not ended: the module is loaded anew after it
        elif patch.transition or not patch.enabled:
            pending.append(module)
    names = {module.name for module in choice.modules}
    unwanted = sorted(own - names, key=lambda name: -ours[name].place)
    causes = [(name, _why_unload(choice, ours[name].nevra, guard, boot_id, withdrawn)) for name in unwanted]
    return LoadPlan(
        load=tuple(load),
        pending=tuple(pending),
        unload=tuple(Unload(name, ours[name].nevra, cause) for name, cause in causes if cause),
        foreign=tuple(sorted(set(present) - own - names)),
        taken=tuple(taken),
    )


def _why_unload(choice: Choice, nevra: str, guard: Guard, boot_id: str, withdrawn: Mapping[str, str]) -> str:
    """Return the cause for which a module of ``nevra`` is unloaded that is not wanted; "" where it stays."""
    if guard.is_unloaded(nevra, boot_id):
        return "held"
    if nevra in guard.blocked():
        return "blocked"
    if nevra in withdrawn and not choice.modules:
        return "withdrawn"
    if choice.known:
        return "superseded" if choice.modules else "gone"
    return ""


def replaces(module: InstalledModule) -> bool:
    """Return whether loading ``module`` puts every other patch out of force.

    Without a manifest the module counts as cumulative, the default of the tools that build modules.
    """
    return module.manifest is None or module.manifest.replace


def in_the_way(wanted: Wanted, todo: LoadPlan) -> tuple[Problem, ...]:
    """Return the errors about loaded patches that keep the set ``wanted`` out; () for none."""
    if todo.taken:
        return tuple(problem("module-other-build", module=name, nevra=wanted.nevra) for name in todo.taken)
    if todo.foreign and any(replaces(module) for module in todo.load):
        return (problem("foreign-patch", module=several(todo.foreign, 10), nevra=wanted.nevra),)
    return ()
