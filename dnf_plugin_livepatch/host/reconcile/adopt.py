# SPDX-License-Identifier: GPL-2.0-or-later
"""Take over the modules that a package's scriptlet, or its vendor's service at boot, loaded.

Red Hat's packages load their module and leave it in the kernel when they are removed. An adopted module goes
with its package, so that an undo or a downgrade takes effect before the next boot. Adopted are only modules
of profiles that ask for it (``scriptlet``), and only where name and build id are those of an installed
package. Every other module that somebody else loaded stays theirs.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

from ...base.model import InstalledPatch
from ...base.typed import TYPE_CHECKING
from ..files import guard_file
from ..kernel import livepatches
from . import preflight

if TYPE_CHECKING:
    from .context import Run


def adopt(run: Run, patches: Sequence[InstalledPatch]) -> None:
    """Record in the guard's file and in the journal which of the loaded modules belong to ``patches``."""
    if run.config.mode != "load":
        return
    loaded = {patch.module: patch.build_id for patch in livepatches.read(run.paths) if patch.enabled}
    owned = guard_file.read(run.paths).ours(run.kernel.boot_id)
    found = _left_by_scriptlets(run, patches, loaded, owned)
    # The kernel does not show the order of the loads: the modules are taken in the order of sysfs.
    if not found or not _own(run, [(name, found[name]) for name in loaded if name in found]):
        return
    for name, item in found.items():
        cves = next(patch.cves for patch in patches if str(patch.nevra) == item.nevra)
        run.note("load", "", name, item.nevra, "done", 0.0, cves=cves, source="scriptlet")


def _left_by_scriptlets(
    run: Run, patches: Sequence[InstalledPatch], loaded: Mapping[str, str], owned: Container[str]
) -> dict[str, guard_file.Owned]:
    """Return the modules of ``patches`` that are ``loaded`` (build ids by module) and not yet ``owned``."""
    found: dict[str, guard_file.Owned] = {}
    for patch in patches:
        if not patch.scriptlet or patch.kind != "patch" or patch.kernel_release != run.kernel.release:
            continue
        for module in patch.modules:
            build_id = loaded.get(module.name, "")
            if not build_id or module.name in owned or module.name in found:
                continue
            if preflight.module(run.paths, run.kernel, module)[1] == build_id:
                found[module.name] = guard_file.Owned(str(patch.nevra), build_id, run.kernel.boot_id)
    return found


def _own(run: Run, modules: Sequence[tuple[str, guard_file.Owned]]) -> bool:
    """Record ``modules`` as ours, behind those that are ours already.

    Returns whether that could be written.
    """

    def add_owned(guard: guard_file.Guard) -> None:
        last = max((item.place for item in guard.owned.values()), default=0)
        for place, (name, item) in enumerate(modules, last + 1):
            guard.owned[name] = item._replace(place=place)

    return run.change_guard(add_owned)
