# SPDX-License-Identifier: GPL-2.0-or-later
"""The run before the network: load from the list that the boot before left, without the rpm database.

Most of the work of a run is to open the database. The list holds the packages, the digests of their modules
and their signers. The list counts while the files of the database, the profiles and the kernel are as they
were when the list was written, and while each module is the file that the list describes. The guard, the
switches and every check of a load are as in any run. livepatch-late.service has a whole run made once the
host is up.
"""

from __future__ import annotations

import os

from ..kernel import livepatches
from ..packages import inventory
from ..packages.installed import Installed
from . import preflight
from .context import Run


def look(run: Run) -> str:
    """Take the list, if this run is the one before the network and the list holds all that has to be loaded.

    Returns the folder of the rpm database then, else "".
    """
    if run.force or not os.path.exists(run.paths.booting) or livepatches.read(run.paths):
        return ""
    found = inventory.at_boot(run.paths, run.kernel)
    if found is None:
        return ""
    # A vendor's own client, and a package whose scriptlet loads, are asked with the database at hand.
    if any(patch.loader != "kernel" or patch.scriptlet for patch in found.stock.patches):
        return ""
    modules = [module for patch in found.stock.patches for module in patch.modules]
    if any(preflight.errors(preflight.module(run.paths, run.kernel, module)[0]) for module in modules):
        return ""
    run.at_boot = found
    return found.stock.database


def packages(run: Run) -> Installed | None:
    """Return the packages of the list that ``look`` took; None for none."""
    if run.at_boot is None:
        return None
    return Installed(run.at_boot.stock.patches, True, "", (), run.at_boot.stock.database)
