# SPDX-License-Identifier: GPL-2.0-or-later
"""Why a live patch that a transaction brings would not be loaded after it. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from .facts import Facts
from .interface import Package, Patched


def not_loading(facts: Facts, patched: Patched, coming: Iterable[Package]) -> str:
    """Why none of the live patches ``coming`` will be loaded, "" where one will as far as is known."""
    host = facts.host
    mode = host.settings.mode
    why = host.cannot or ("" if mode == "load" else f"mode = {mode} in livepatch.conf")
    if why:
        return why
    names = {str(package.nevra) for package in coming}
    owners = {
        row.match.profile for row in facts.known(host.kernel.release) if str(row.package.nevra) in names
    }
    off = dict(patched.off)
    if owners and owners.issubset(off):
        return off[min(owners)]
    rules = [rule for rule in host.profiles if rule.name in owners]
    if patched.foreign and rules and all(rule.cumulative and not rule.client for rule in rules):
        loaded = ", ".join(patched.foreign[:3])
        return f"another program loaded {loaded}, which the patch would put out of force"
    return ""
