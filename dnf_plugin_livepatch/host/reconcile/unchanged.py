# SPDX-License-Identifier: GPL-2.0-or-later
"""The check whether anything has changed since reconcile last had nothing left to do.

The check costs a few dozen stat() calls. A wrong answer may only be "changed": a whole run looks again then.
"""

from __future__ import annotations

import os

from ... import __version__
from ...base.model import Kernel
from ...base.paths import Paths
from ..files import atomic
from ..packages import fingerprint, rpm_lock
from ..read import read_text


def take(paths: Paths, kernel: Kernel, database: str) -> str:
    """Return a text that changes with every fact on which reconcile bases its decisions."""
    parts = [__version__, kernel.release, kernel.build_id, kernel.boot_id, database]
    parts.append(fingerprint.database_state(database))
    parts += [
        fingerprint.file_state(paths.config),
        fingerprint.file_state(paths.guard),
        fingerprint.file_state(paths.notices),
    ]
    for folder in (*paths.profile_dirs, paths.manifest_dir(kernel.release)):
        parts.append(fingerprint.folder_state(folder))
    for module in fingerprint.names(paths.klp):
        parts.append(module)
        parts += [read_text(f"{paths.klp}/{module}/{name}", 8) for name in ("enabled", "transition")]
    return "\n".join(parts)


def unchanged(paths: Paths, kernel: Kernel) -> bool:
    """Return whether everything is as it was when ``save`` was called in this boot."""
    try:
        data = atomic.read_json(paths.converged)
    except atomic.Broken:
        return False
    if data is None or not kernel.boot_id:
        return False
    database, before = data.get("database"), data.get("fingerprint")
    if not isinstance(database, str) or not isinstance(before, str) or not database.isprintable():
        return False
    if rpm_lock.busy(database):
        return False
    return take(paths, kernel, database) == before


def save(paths: Paths, kernel: Kernel, before: str | None, database: str) -> None:
    """Remember ``before`` as the state with nothing left to do; None forgets the state.

    ``before`` was taken when the run began, so that the next run sees every change that came during this
    run.
    """
    if before is None:
        try:
            atomic.step("before unlink converged")
            os.unlink(paths.converged)
            atomic.step("after unlink converged")
        except FileNotFoundError:
            pass
        return
    atomic.write_json(paths.converged, {"database": database, "fingerprint": before}, dict)
