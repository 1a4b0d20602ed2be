# SPDX-License-Identifier: GPL-2.0-or-later
"""Modules that a package's own scriptlet, or its vendor's service at boot, loaded: they go with the package.

Red Hat's packages load their module and leave it in the kernel when they go, so that without this neither
undo nor a downgrade would do anything before the next boot. Only for profiles that say so (``scriptlet``),
and only the very module of an installed package, by name and build id; what else others loaded stays theirs.
"""

from __future__ import annotations

from collections.abc import Iterable

from ...base.model import InstalledPatch
from ...base.typed import TYPE_CHECKING
from ...messages.catalogue import problem
from ..files import atomic, guard_file
from ..kernel import livepatches
from . import preflight

if TYPE_CHECKING:
    from .context import Run


def adopt(run: Run, patches: Iterable[InstalledPatch]) -> None:
    """Note in the guard's file, and in the journal, which of the loaded modules belong to ``patches``."""
    if run.config.mode != "load":
        return
    boot_id = run.kernel.boot_id
    live = {patch.module: patch.build_id for patch in livepatches.read(run.paths) if patch.enabled}
    known = guard_file.read(run.paths).ours(boot_id)
    found: dict[str, guard_file.Owned] = {}
    for patch in patches:
        if not patch.scriptlet or patch.kind != "patch" or patch.kernel_release != run.kernel.release:
            continue
        for module in patch.modules:
            build_id = live.get(module.name, "")
            if not build_id or module.name in known or module.name in found:
                continue
            if preflight.module(run.paths, run.kernel, module)[1] == build_id:
                found[module.name] = guard_file.Owned(str(patch.nevra), build_id, boot_id)
    if not found:
        return

    def work(state_of: guard_file.Guard) -> None:
        place = max((item.place for item in state_of.owned.values()), default=0)
        for name in live:  # in the order in which sysfs was read: the kernel's own order is not told
            if name in found:
                place += 1
                state_of.owned[name] = found[name]._replace(place=place)

    try:
        guard_file.change(run.paths, work)
    except (OSError, atomic.Broken) as error:
        run.add(problem("record-unwritable", why=error))
        return
    for name, item in found.items():
        cves = next(patch.cves for patch in patches if str(patch.nevra) == item.nevra)
        run.note("load", "", name, item.nevra, "done", 0.0, cves=cves, source="scriptlet")
