# SPDX-License-Identifier: GPL-2.0-or-later
"""Take over loaded modules of packages on this host that no record of this boot calls ours.

Red Hat's packages load their module themselves. A record is lost where guard.json had to be removed. A
module whose build id is that of an installed package's module, or of a kept copy, is the same code whoever
loaded it. An adopted module goes with its package, and a newer one may take its place. Every other module
that somebody else loaded stays theirs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from ...base.model import InstalledPatch
from ...base.typed import TYPE_CHECKING, NamedTuple
from ...messages.catalogue import problem
from ..files import guard_file, journal
from ..kernel import livepatches, module_file
from ..read import read_bytes
from . import preflight

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


def adopt(run: Run, patches: Sequence[InstalledPatch]) -> None:
    """Record in the guard's file and in the journal which of the loaded modules belong to ``patches``."""
    if run.config.mode != "load":
        return
    guard = guard_file.read(run.paths)
    owned = guard.ours(run.kernel.boot_id)
    live = [
        patch
        for patch in livepatches.read(run.paths)
        if patch.enabled and patch.build_id and patch.module not in owned
    ]
    if not live:
        return
    strays = {patch.module: patch.build_id for patch in live}
    found = {**_copied(run, guard, strays), **_installed(run, patches, strays)}
    # A transition that another program began is ended by that program, unless it is our own package's.
    under_way = {patch.module for patch in live if patch.transition}
    # The kernel does not show the order of the loads: the modules are taken in the order of sysfs.
    found = {
        name: found[name]
        for name in strays
        if name in found and (found[name].scriptlet or name not in under_way)
    }
    if not found or not _own(run, found, strays):
        return
    for name, item in found.items():
        if item.scriptlet:
            run.note("load", "", name, item.nevra, "done", 0.0, cves=item.cves, source="scriptlet")
        else:
            run.note("adopt", "adopt", name, item.nevra, "done", 0.0, cves=item.cves)
            run.add(problem("module-adopted", module=name, nevra=item.nevra))


def _installed(run: Run, patches: Sequence[InstalledPatch], strays: Mapping[str, str]) -> dict[str, _Found]:
    """Return which of the loaded ``strays`` (build ids by module) are modules of ``patches``."""
    found: dict[str, _Found] = {}
    for patch in patches:
        if patch.kind != "patch" or patch.loader != "kernel" or patch.kernel_release != run.kernel.release:
            continue
        for module in patch.modules:
            build_id = strays.get(module.name)
            if build_id is None or module.name in found:
                continue
            if preflight.module(run.paths, run.kernel, module)[1] == build_id:
                found[module.name] = _Found(str(patch.nevra), patch.cves, patch.scriptlet)
    return found


def _copied(run: Run, guard: guard_file.Guard, strays: Mapping[str, str]) -> dict[str, _Found]:
    """Return which of the loaded ``strays`` are kept copies.

    The package of a copy stands in the guard's file. Where that file was lost, the history has the package.
    """
    folder = run.paths.kept_dir(run.kernel.release)
    listed = {
        module: item
        for item in guard.copies
        if item.release == run.kernel.release
        for module, _ in item.modules
    }
    found: dict[str, _Found] = {}
    for name, build_id in strays.items():
        path = f"{folder}/{name}.ko"
        if module_file.own_build_id(path) != build_id:
            continue
        if name in listed:
            found[name] = _Found(listed[name].nevra, listed[name].cves)
            continue
        nevra, cves = _loaded_as(run, name)
        if nevra:
            digest = hashlib.sha256(read_bytes(path, module_file.MAX_FILE)).hexdigest()
            copy = guard_file.CopiedSet(nevra, run.kernel.release, ((name, digest),), cves)
            found[name] = _Found(nevra, cves, copy=copy)
    return found


def _loaded_as(run: Run, module: str) -> tuple[str, tuple[str, ...]]:
    """Return the package of which ``module`` was loaded last, by the history, and its CVEs; "" for none."""
    for entry in reversed(journal.read(run.paths)):
        facts = entry.facts
        if entry.event in ("load", "replace", "adopt") and facts.get("module") == module:
            if (facts.get("kernel"), facts.get("outcome")) == (run.kernel.release, "done"):
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
