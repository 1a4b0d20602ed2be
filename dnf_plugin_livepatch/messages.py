# SPDX-License-Identifier: GPL-2.0-or-later
"""Every refusal and warning of the host side, by stable id, with its remedy. Pure.

An id never changes its meaning and is never used again for another; scripts and docs/messages.md
refer to it. ``text`` says what happened and in which state the host is, ``remedy`` what to do.
``{words}`` are filled in by ``problem()``.
"""

from __future__ import annotations

from typing import Dict, NamedTuple

from .model import Problem


class Message(NamedTuple):
    """One entry of the catalogue; ``severity`` is error, warning or note."""

    severity: str
    text: str
    remedy: str


CATALOGUE: Dict[str, Message] = {
    "config-fault": Message(
        "warning",
        "livepatch.conf: {fault}",
        "Correct the line; livepatch.conf(5) lists the keys and their values.",
    ),
    "module-not-in-force": Message(
        "error",
        "Live patch {nevra} is installed but not in force: the running kernel is still vulnerable.",
        "Run 'livepatch status' for the reason and 'livepatch reconcile' to try again.",
    ),
}


def problem(identifier: str, **facts: object) -> Problem:
    """The Problem for a catalogue entry, its texts filled with ``facts`` made printable."""
    message = CATALOGUE[identifier]
    clean = {
        name: "".join(c if c.isprintable() else "?" for c in str(value)[:500])
        for name, value in facts.items()
    }
    return Problem(
        identifier,
        message.severity,
        message.text.format(**clean),
        message.remedy.format(**clean),
    )
