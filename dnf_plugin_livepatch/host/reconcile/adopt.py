# SPDX-License-Identifier: GPL-2.0-or-later
"""Take over loaded modules of packages on this host that no record of this boot calls ours.

Red Hat's packages load their module themselves. A record is lost where guard.json had to be removed. A
module whose build id is that of the installed package that should be in force is the same code whoever
loaded it. A module of any other set, such as a kept copy, is taken over only where the history shows that
reconcile loaded it in this boot and nothing put it out of force since: a person who goes back to an older
patch by hand, or loads what is kept out, has decided so. An adopted module goes with its package, and a
newer one may take its place. Every other module that somebody else loaded stays theirs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from ...base import names
from ...base.model import InstalledPatch, Kernel, LoadedPatch, Problem
from ...base.paths import Paths
from ...base.typed import TYPE_CHECKING, NamedTuple
from ...messages.catalogue import problem
from ..files import guard_file, journal, notices
from ..kernel import livepatches, module_file
from ..packages import installed
from ..read import read_bytes
from . import preflight
from .desired import Choice, wanted_set

if TYPE_CHECKING:
    from .context import Run


class _Found(NamedTuple):
    """The package of a loaded module. ``copy`` is the kept copy that no list has any more, if any.

    ``scriptlet`` is True where the package's own scriptlet loads its module.
    """

    nevra: str
    cves: tuple[str, ...]
    scriptlet: bool = False
    copy: guard_file.CopiedSet | None = None


def look(
    paths: Paths,
    kernel: Kernel,
    guard: guard_file.Guard,
    patches: Sequence[InstalledPatch],
    choice: Choice,
    loaded: Sequence[LoadedPatch],
) -> tuple[dict[str, _Found], tuple[Problem, ...]]:
    """Return which of the modules ``loaded`` are to be taken over, and what is wrong with others. No change.

    ``choice`` is that of ``desired.wanted_set``. What a person loaded of a set that is kept out is reported.
    """
    owned = guard.ours(kernel.boot_id)
    live = [patch for patch in loaded if patch.enabled and patch.build_id and patch.module not in owned]
    strays = {patch.module: patch.build_id for patch in live}
    if not strays:
        return {}, ()
    history = journal.read(paths)
    known = {
        **_copied(paths, kernel, guard, strays, history),
        **_installed(paths, kernel, patches, strays),
    }
    wanted = choice.wanted.nevra if choice.wanted is not None and not choice.wanted.from_copy else ""
    # A transition that another program began is ended by that program, unless it is our own package's.
    under_way = {patch.module for patch in live if patch.transition}
    mine: dict[str, _Found] = {}
    others: list[Problem] = []
    # The kernel does not show the order of the loads: the modules are taken in the order of sysfs.
    for name in strays:
        item = known.get(name)
        if item is None:
            continue
        ours = item.nevra == wanted or _lost(history, kernel.boot_id, item.nevra, name)
        if item.scriptlet or (ours and name not in under_way):
            mine[name] = item
        elif item.nevra in guard.blocked() or guard.is_unloaded(item.nevra, kernel.boot_id):
            others.append(problem("kept-out-by-hand", module=name, nevra=item.nevra))
    return mine, tuple(others)


def _lost(history: Sequence[journal.Entry], boot_id: str, nevra: str, module: str) -> bool:
    """Return whether only the record is lost of ``module``, by the history of this boot. Pure.

    Reconcile loaded the module then, and nothing that is known put the module out of force since.
    """
    ours = False
    for entry in history:
        facts = entry.facts
        own = facts.get("module") == module
        if entry.boot_id != boot_id:
            continue
        if entry.event in ("load", "replace", "adopt") and facts.get("outcome") == "done":
            ours = own or (ours and (entry.event != "replace" or facts.get("nevra") == nevra))
        elif entry.event in ("unload", "reverse", "vanish") and own:
            ours = False
    return ours


def adopt(run: Run, here: installed.Installed) -> None:
    """Record in the guard's file and in the journal which of the loaded modules belong to packages here."""
    if run.config.mode != "load":
        return
    guard, kernel = guard_file.read(run.paths), run.kernel
    gone = notices.read(run.paths).proved if run.config.on_withdrawn == "revert" else {}
    choice = wanted_set(here, guard, kernel.release, kernel.boot_id, lambda copied: (), gone)
    loaded = livepatches.read(run.paths)
    strays = {patch.module: patch.build_id for patch in loaded}
    found, others = look(run.paths, kernel, guard, here.patches, choice, loaded)
    for one in others:
        run.add(one)
    if not found or not _own(run, found, strays):
        return
    for name, item in found.items():
        if item.scriptlet:
            run.note("load", "", name, item.nevra, "done", 0.0, cves=item.cves, source="scriptlet")
        else:
            run.note("adopt", "adopt", name, item.nevra, "done", 0.0, cves=item.cves)
            run.add(problem("module-adopted", module=name, nevra=item.nevra))


def _installed(
    paths: Paths, kernel: Kernel, patches: Sequence[InstalledPatch], strays: Mapping[str, str]
) -> dict[str, _Found]:
    """Return which of the loaded ``strays`` (build ids by module) are modules of ``patches``."""
    found: dict[str, _Found] = {}
    for patch in patches:
        if patch.kind != "patch" or patch.loader != "kernel" or patch.kernel_release != kernel.release:
            continue
        for module in patch.modules:
            build_id = strays.get(module.name)
            if build_id is None or module.name in found:
                continue
            if preflight.module(paths, kernel, module)[1] == build_id:
                found[module.name] = _Found(str(patch.nevra), patch.cves, patch.scriptlet)
    return found


def _copied(
    paths: Paths,
    kernel: Kernel,
    guard: guard_file.Guard,
    strays: Mapping[str, str],
    history: Sequence[journal.Entry],
) -> dict[str, _Found]:
    """Return which of the loaded ``strays`` are kept copies.

    The package of a copy stands in the guard's file. Where that file was lost, the history has the package.
    """
    folder = paths.kept_dir(kernel.release)
    listed = {
        module: item for item in guard.copies if item.release == kernel.release for module, _ in item.modules
    }
    found: dict[str, _Found] = {}
    for name, build_id in strays.items():
        path = f"{folder}/{name}.ko"
        if not names.MODULE.match(name) or module_file.own_build_id(path) != build_id:
            continue
        if name in listed:
            found[name] = _Found(listed[name].nevra, listed[name].cves)
            continue
        nevra, cves = _loaded_as(history, kernel.release, name)
        if nevra:
            digest = hashlib.sha256(read_bytes(path, module_file.MAX_FILE)).hexdigest()
            copy = guard_file.CopiedSet(nevra, kernel.release, ((name, digest),), cves)
            found[name] = _Found(nevra, cves, copy=copy)
    return found


def _loaded_as(history: Sequence[journal.Entry], release: str, module: str) -> tuple[str, tuple[str, ...]]:
    """Return the package of which ``module`` was loaded last, by the history, and its CVEs; "" for none."""
    for entry in reversed(history):
        facts = entry.facts
        if entry.event in ("load", "replace", "adopt") and facts.get("module") == module:
            if (facts.get("kernel"), facts.get("outcome")) == (release, "done"):
                cves = facts.get("cves", ())
                return str(facts.get("nevra", "")), cves if isinstance(cves, tuple) else ()
    return "", ()


def _own(run: Run, found: Mapping[str, _Found], build_ids: Mapping[str, str]) -> bool:
    """Record the modules ``found`` as ours, behind those that are ours already.

    Returns whether that could be written.
    """

    def add_owned(guard: guard_file.Guard) -> None:
        last = max((item.place for item in guard.owned.values()), default=0)
        for place, (name, item) in enumerate(found.items(), last + 1):
            guard.owned[name] = guard_file.Owned(item.nevra, build_ids[name], run.kernel.boot_id, place)
            if item.copy is not None:
                guard.copies.append(item.copy)

    return run.change_guard(add_owned)
