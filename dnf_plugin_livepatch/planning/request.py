# SPDX-License-Identifier: GPL-2.0-or-later
"""The user's request to the package manager. Pure, and cheap to import: many dnf commands need it."""

from __future__ import annotations

from collections.abc import Mapping

from ..base.typed import NamedTuple

NONE, ALL, NAMED = "none", "all", "named"


class Asked(NamedTuple):
    """The user's request to the package manager.

    ``kind`` is none (no upgrade, or no place for live patches: ``why`` tells which), all or named.
    ``filters`` are the advisory filters in effect, by hawkey's names without modifiers (``advisory``,
    ``advisory_bug``, ``advisory_cve``, ``advisory_severity``, ``advisory_type``). ``security``: only
    security updates are wanted. ``exact``: the command takes the builds that its specs name, rather than
    the newest ones. ``running_only``: no other kernel than the running one is to be patched.
    ``opaque``: only packages are wanted that the package manager alone can tell.
    """

    kind: str
    why: str = ""
    specs: tuple[str, ...] = ()
    filters: Mapping[str, frozenset[str]] = {}
    security: bool = False
    exact: bool = False
    running_only: bool = False
    opaque: bool = False

    @property
    def filtered(self) -> bool:
        """Is the upgrade limited by any advisory filter?"""
        return self.security or self.opaque or bool(self.filters)

    @property
    def bare(self) -> bool:
        """Is everything to be upgraded, with no package, advisory, CVE or bug named?"""
        return self.kind == ALL and not any(
            self.filters.get(key) for key in ("advisory", "advisory_cve", "advisory_bug")
        )
