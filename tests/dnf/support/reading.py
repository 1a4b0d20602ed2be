# SPDX-License-Identifier: GPL-2.0-or-later
"""The exposure inputs that a real DNF base yields, without a plugin in between."""

from __future__ import annotations

from typing import Any

from dnf_plugin_livepatch.base.model import Kernel
from dnf_plugin_livepatch.dnf4.solver import Dnf
from dnf_plugin_livepatch.exposure.compute import Inputs
from dnf_plugin_livepatch.host.for_planning import Machine
from dnf_plugin_livepatch.planning import inputs
from dnf_plugin_livepatch.planning.facts import Facts, Trust


def facts(base: Any, kernel: Kernel, trusted: frozenset[str] | None = None) -> Facts:
    """The facts for ``kernel``; ``trusted`` are the repositories that are believed, None for all."""
    host = Machine()
    host.kernel = kernel
    found = Facts(Dnf(base), host)
    enabled = frozenset(repo.id for repo in base.repos.iter_enabled())
    believed = enabled if trusted is None else trusted
    found._trust[kernel.release] = Trust(believed, believed)
    return found


def inputs_of(base: Any, kernel: Kernel, trusted: frozenset[str] | None = None) -> Inputs:
    """The inputs of the exposure of ``kernel``."""
    return inputs.read(facts(base, kernel, trusted))[0]
