# SPDX-License-Identifier: GPL-2.0-or-later
"""The switches by which an administrator keeps installed live patches from being loaded: ours and vendors'.

SUSE's switch is LIVEPATCH=never in /etc/sysconfig/livepatching. A vendor's profile names file, variable and
value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ...base.model import InstalledPatch
from ...base.paths import Paths
from ...base.typed import TYPE_CHECKING
from ..read import read_bytes
from . import running

if TYPE_CHECKING:
    from ...vendors.profile_file import Profile

MAX_TEXT = 1 << 16


def mode(word: str) -> str:
    """Return the reason that ``mode = word`` in livepatch.conf gives against loading; "" for none."""
    return "" if word == "load" else f"mode = {word} in livepatch.conf"


def switched(paths: Paths, rule: Profile) -> str:
    """Return the switch of the profile ``rule`` where it is off, as VARIABLE=VALUE and file, else ""."""
    if not rule.switch:
        return ""
    path, variable, value = rule.switch
    text = read_bytes(paths.at(path), MAX_TEXT).decode("utf-8", "replace")
    start = rf"^[\s\ufeff]*(?:export[ \t]+)?{re.escape(variable)}[ \t]*=[ \t]*"
    pattern = start + r"(['\"]?)([^'\"\s#]*)\1[ \t]*(?:#.*)?\r?$"
    found = re.findall(pattern, text, re.MULTILINE)
    return f"{variable}={value} in {path}" if found and found[-1][1].lower() == value else ""


def off(paths: Paths, rules: Iterable[Profile], patches: Sequence[InstalledPatch]) -> str:
    """Return the switch that is off for ``patches``, newest first, as ``switched`` does, or ""."""
    counted = {patch.profile for patch in patches[:1]}
    found = (switched(paths, rule) for rule in rules if rule.name in counted)
    return next(filter(None, found), "")


def skipped(paths: Paths, word: str, patches: Sequence[InstalledPatch], before: str, missing: bool) -> str:
    """Return why reconcile would load nothing now, with ``mode = word``; "" where it would load.

    ``before`` is the reason in the last result, ``missing`` whether one of ``patches`` is not in force.
    """
    reason = running.environment(paths) or (before if before in running.PRIVATE else "") or mode(word)
    if reason or not (before or missing):
        return reason
    # Vendors' switches are in the profiles. Those are read only where they may hold the reason.
    from ...vendors import profiles

    return off(paths, profiles.load(paths.profile_dirs)[0], patches)
