# SPDX-License-Identifier: GPL-2.0-or-later
"""Every check of ``lint`` by its id; the rows stand next to the checks. Pure."""

from __future__ import annotations

import re

from . import advisories, metadata, patches
from .context import Check

CATALOGUE: dict[str, Check] = {
    **metadata.CHECKS,
    **advisories.CHECKS,
    **patches.CHECKS,
    "waiver-unused": Check(
        "note",
        "The waiver for {check} no longer waives anything.",
        "A waiver without a finding would silently accept the next finding of that kind.",
        "Remove it.",
    ),
}


def explain(name: str) -> dict[str, str]:
    """The meaning of a finding of the check ``name``, why it matters and what to do, for ``--explain``.

    Facts of a single finding are named in angle brackets.
    """
    check = CATALOGUE[name]
    return {
        "check": name,
        "severity": check.severity,
        "meaning": _general(check.text),
        "why": check.why,
        "remedy": _general(check.remedy),
    }


def _general(text: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: "" if found[1] == "where" else f"<{found[1]}>", text)
