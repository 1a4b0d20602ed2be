# SPDX-License-Identifier: GPL-2.0-or-later
"""Every refusal and warning of the host side, by stable id, with its remedy. Pure.

An id never changes its meaning, and the id of a removed message is never used again: scripts and
docs/reference/messages.md refer to the ids. Each topic has a module with its messages. ``problem()`` fills a
message in.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..base.model import InForce, Problem
from .loading import LOADING
from .message import Message, fact
from .planning import PLANNING
from .reconcile import RECONCILE
from .status import STATUS

CATALOGUE: dict[str, Message] = {**STATUS, **PLANNING, **RECONCILE, **LOADING}


def problem(identifier: str, **facts: object) -> Problem:
    """Return the Problem for a catalogue entry, its texts filled with ``facts`` made printable.

    The subject of the Problem is the fact ``nevra``, or else ``module``, or else ``place``, a mount point.
    """
    message = CATALOGUE[identifier]
    clean = {name: fact(value) for name, value in facts.items()}
    return Problem(
        identifier,
        message.severity,
        message.text.format(**clean),
        message.remedy.format(**clean),
        str(clean.get("nevra") or clean.get("module") or clean.get("place") or ""),
    )


def not_in_force(nevra: str, in_force: Iterable[InForce]) -> Problem:
    """Return the problem of a patch ``nevra`` that is not in force while the patches ``in_force`` are."""
    others = sorted({patch.nevra or patch.module for patch in in_force} - {nevra})
    instead = ", ".join(others) + " is in force instead" if others else "the kernel is still vulnerable"
    return problem("module-not-in-force", nevra=nevra, instead=instead)
