# SPDX-License-Identifier: GPL-2.0-or-later
"""The file system of the durable records: whether a record could be written there now. Writes nothing."""

from __future__ import annotations

import os

from ...base.model import Problem
from ...base.paths import Paths
from ...messages.catalogue import problem

#: Records are a few KiB, and each is written beside its old version.
LEAST_BYTES = 64 << 10
LEAST_FILES = 4


def fault(paths: Paths) -> Problem | None:
    """Return why no record can be written below /var/lib/livepatch, None where one can."""
    folder = paths.state_dir
    while folder not in ("", "/") and not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    try:
        room = os.statvfs(folder or "/")
    except OSError:
        return None
    if room.f_flag & os.ST_RDONLY:
        return problem("state-read-only", place=_mount_point(folder))
    full = room.f_bfree * room.f_frsize < LEAST_BYTES or (room.f_files and room.f_ffree < LEAST_FILES)
    return problem("state-full", place=_mount_point(folder)) if full else None


def _mount_point(folder: str) -> str:
    while not os.path.ismount(folder) and os.path.dirname(folder) != folder:
        folder = os.path.dirname(folder)
    return folder
