# SPDX-License-Identifier: GPL-2.0-or-later
"""What the rpm database holds that status needs: live patches, kernels, what was updated when."""

from __future__ import annotations

from typing import NamedTuple, Tuple

from ..model import InstalledPatch, Kernel
from ..paths import Paths
from ..releases import kernel_packages


class Inventory(NamedTuple):
    """What is installed. ``healthy`` is False, with ``why``, when the database could not be read.

    ``patches`` are those for one kernel release, ``kernels`` the installed kernels as (name, EVR),
    ``core`` the packages whose update needs a reboot with their INSTALLTIME.
    """

    patches: Tuple[InstalledPatch, ...] = ()
    healthy: bool = False
    why: str = ""
    kernels: Tuple[Tuple[str, str], ...] = ()
    core: Tuple[Tuple[str, int], ...] = ()


def read(paths: Paths, kernel: Kernel) -> Inventory:
    """What is installed, for ``kernel``; asks the rpm database."""
    from .. import profiles
    from . import installed

    known, _ = profiles.load(paths.profile_dirs)
    found = installed.read(paths, known, kernel.release, kernel.build_id)
    if not found.healthy:
        return Inventory(found.patches, False, found.why)
    kernels, core = _others(paths, kernel.release)
    return Inventory(found.patches, True, "", kernels, core)


def _others(paths: Paths, release: str) -> "Tuple[Tuple[Tuple[str, str], ...], Tuple[Tuple[str, int], ...]]":
    import rpm

    from .reboot import watched

    database = rpm.TransactionSet(paths.root)
    kernels = set()
    core = set()
    for tag, key in (("providename", "kernel-uname-r"), *(("name", n) for n in kernel_packages(release))):
        for header in database.dbMatch(tag, key):
            kernels.add((str(header["name"]), str(header["evr"])))
    for name in sorted(watched(paths)):
        for header in database.dbMatch("name", name):
            core.add((name, int(header["installtime"])))
    return tuple(sorted(kernels)), tuple(sorted(core))
