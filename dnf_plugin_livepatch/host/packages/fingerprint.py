# SPDX-License-Identifier: GPL-2.0-or-later
"""Fingerprints of files, folders and the rpm database: texts that change whenever these do.

A fingerprint may change without need, and then the caller looks again; it must never stay the same by
mistake.
"""

from __future__ import annotations

import os

_DATABASE = ("rpmdb.sqlite", "rpmdb.sqlite-wal", "Packages.db", "Packages", "Index.db")


def file_state(path: str) -> str:
    """Return a text that changes with every change of the file ``path``; "-" for none."""
    try:
        status = os.stat(path)
    except OSError:
        return "-"
    # The ctime is left out: RPM sets the owner of its database anew whenever root opens the database.
    return f"{status.st_ino}.{status.st_mtime_ns}.{status.st_size}"


def names(folder: str) -> list[str]:
    """Return the names in ``folder``, ascending and bounded; "-" alone where it cannot be read."""
    try:
        return sorted(os.listdir(folder))[:4096]
    except OSError:
        return ["-"]


def database_state(folder: str) -> str:
    """Return a text that changes with every change of the rpm database in ``folder``."""
    return "\n".join(file_state(f"{folder}/{name}") for name in _DATABASE)


def folder_state(folder: str) -> str:
    """Return a text that changes with every change of the files in ``folder``."""
    return "\n".join(
        [file_state(folder), *(name + file_state(f"{folder}/{name}") for name in names(folder))]
    )
