# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may read a published folder: whoever may read its top, whatever the umask of the publisher is."""

from __future__ import annotations

import os
import stat


def make(folder: str) -> None:
    """Make a folder that everybody may read; one that is there keeps its mode."""
    if not os.path.isdir(folder):
        os.makedirs(folder, exist_ok=True)
        os.chmod(folder, 0o755)


def share(path: str, top: str) -> None:
    """Let everybody read ``path`` who may read the folder ``top``."""
    mode, like = os.stat(path).st_mode, os.stat(top).st_mode
    wanted = mode | (like & (0o055 if stat.S_ISDIR(mode) else 0o044))
    if wanted != mode:
        os.chmod(path, stat.S_IMODE(wanted))
