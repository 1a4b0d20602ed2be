# SPDX-License-Identifier: GPL-2.0-or-later
"""Fingerprints of files, folders and the rpm database: texts that change whenever these do.

A fingerprint may only err towards "changed": then the caller looks again.
"""

from __future__ import annotations

import os

_DATABASE = ("rpmdb.sqlite", "rpmdb.sqlite-wal", "Packages.db", "Packages", "Index.db")


def file_state(path: str) -> str:
    """A text that changes with every change of the file ``path``; "-" for none."""
    try:
        status = os.stat(path)
    except OSError:
        return "-"
    # No ctime: RPM sets the owner of its database anew whenever root opens it.
    return f"{status.st_ino}.{status.st_mtime_ns}.{status.st_size}"


def names(folder: str) -> list[str]:
    """The names in ``folder``, ascending and bounded; "-" alone where it cannot be read."""
    try:
        return sorted(os.listdir(folder))[:4096]
    except OSError:
        return ["-"]


def database_state(folder: str) -> str:
    """A text that changes with every change of the rpm database in ``folder``."""
    return "\n".join(file_state(f"{folder}/{name}") for name in _DATABASE)


def folder_state(folder: str) -> str:
    """A text that changes with every change of the files in ``folder``."""
    return "\n".join(
        [file_state(folder), *(name + file_state(f"{folder}/{name}") for name in names(folder))]
    )
