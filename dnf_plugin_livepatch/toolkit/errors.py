# SPDX-License-Identifier: GPL-2.0-or-later
"""The one error and the one lint finding of both tools. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, NoReturn

from ..base import texts
from .refusals import REFUSALS

#: The severities of a lint finding, the worst first.
SEVERITIES = ("error", "warning", "note")
_LONGEST = 600


class Finding(NamedTuple):
    """One lint result of ``check`` about ``subject``, a module or a package.

    ``waived`` is the reason why a person accepts the result or gave the check another severity, or "".
    """

    check: str
    severity: str
    subject: str
    text: str
    remedy: str
    waived: str = ""


class ToolError(Exception):
    """A reason to stop, from REFUSALS. ``id``, ``text`` and ``remedy`` are ready to print.

    ``findings`` are those of the lint, where the lint is the reason.
    """

    def __init__(self, identifier: str, findings: Sequence[Finding] = (), **facts: object) -> None:
        refusal, clean = REFUSALS[identifier], printable(facts)
        self.id = identifier
        self.text = refusal.text.format(**clean)
        self.remedy = refusal.remedy.format(**clean)
        self.findings = tuple(findings)
        super().__init__(self.text)


def printable(facts: dict[str, object]) -> dict[str, str]:
    """``facts`` as short texts of one line: they come from hostile files and land on a terminal."""
    return {name: texts.printable(str(value).strip())[:_LONGEST] for name, value in facts.items()}


def refuse(identifier: str, **facts: object) -> NoReturn:
    """Raise the ToolError ``identifier``, and hide the error that is being handled."""
    raise ToolError(identifier, (), **facts) from None


def library_missing(error: ModuleNotFoundError) -> ToolError:
    """The error of a tool that ends because Python found no module of the name that ``error`` has."""
    return ToolError("tool-missing", program=f"Python's module {(error.name or '').partition('.')[0]}")
