# SPDX-License-Identifier: GPL-2.0-or-later
"""Running the checks, waiving findings, and printing them as text, JSON or JUnit XML. Pure."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator, Sequence
from xml.sax.saxutils import escape, quoteattr

from ...toolkit import output
from ...toolkit.errors import SEVERITIES, Finding
from ..repository.view import View
from . import advisories, metadata, patches
from .catalogue import CATALOGUE
from .context import Context, Raised, Waiver


def run(view: View, context: Context, waivers: Sequence[Waiver] = ()) -> list[Finding]:
    """Every finding, worst first; a waived finding keeps its place and has the reason."""
    found = findings(_all(view, context), waivers)
    for waiver in waivers:
        if not any(item.waived and item.check == waiver.check for item in found):
            check = CATALOGUE["waiver-unused"]
            text = check.text.format(check=waiver.check)
            found.append(Finding("waiver-unused", check.severity, waiver.subject, text, check.remedy))
    return _sorted(found)


def findings(faults: Iterable[Raised], waivers: Sequence[Waiver] = ()) -> list[Finding]:
    """The findings about ``faults``, worst first, with the texts of the catalogue."""
    found = []
    for raised in faults:
        check = CATALOGUE[raised[0]]
        facts = {name: _plain(value) for name, value in raised[2].items()}
        reason = next(
            (
                w.reason
                for w in waivers
                if w.check == raised[0] and fnmatch.fnmatchcase(raised[1], w.subject)
            ),
            "",
        )
        found.append(
            Finding(
                raised[0],
                check.severity,
                _plain(raised[1]),
                check.text.format(**facts),
                check.remedy.format(**facts),
                reason,
            )
        )
    return _sorted(found)


def _sorted(found: Iterable[Finding]) -> list[Finding]:
    return sorted(
        set(found), key=lambda item: (SEVERITIES.index(item.severity), item.check, item.subject, item.text)
    )


def _all(view: View, context: Context) -> Iterator[Raised]:
    yield from metadata.check(view, context)
    if view.unread:
        return
    yield from advisories.check(view, context)
    yield from patches.check(view, context)


def _plain(value: object) -> str:
    return output.line(str(value)[:400])


def errors(findings: Iterable[Finding]) -> list[Finding]:
    """The findings that stop a publish."""
    return [item for item in findings if item.severity == "error" and not item.waived]


def exit_code(findings: Iterable[Finding], fail_on: str) -> int:
    """3 when a finding that is not waived is as severe as ``fail_on`` or more, else 0."""
    limit = SEVERITIES.index(fail_on)
    return 3 if any(not f.waived and SEVERITIES.index(f.severity) <= limit for f in findings) else 0


def as_text(findings: Sequence[Finding]) -> str:
    """The findings for people: a line each, with the remedy or the reason of the waiver below."""
    lines: list[str] = []
    for item in findings:
        word = f"waived {item.severity}" if item.waived else item.severity
        lines.append(f"{word}: {item.subject}: {item.text} [{item.check}]")
        lines.append(f"    {'Waived: ' + item.waived if item.waived else item.remedy}")
    count = {word: sum(1 for f in findings if f.severity == word and not f.waived) for word in SEVERITIES}
    lines.append(", ".join(f"{number} {word}(s)" for word, number in count.items()))
    return "\n".join(lines) + "\n"


def as_json(view: View, findings: Sequence[Finding]) -> str:
    """The findings for programs."""
    return output.as_json(
        {
            "schema": 1,
            "repository": view.where,
            "packages": len(view.packages),
            "patches": len(view.patches),
            "findings": [item._asdict() for item in findings],
        }
    )


def as_junit(view: View, findings: Sequence[Finding]) -> str:
    """The findings for CI systems: one test case a check, which fails with its findings."""
    by_check: dict[str, list[Finding]] = {}
    for item in findings:
        by_check.setdefault(item.check, []).append(item)
    cases, failures = [], 0
    for name in CATALOGUE:
        told = [item for item in by_check.get(name, []) if not item.waived and item.severity != "note"]
        other = [item for item in by_check.get(name, []) if item not in told]
        body = ""
        if told:
            failures += 1
            text = "\n".join(f"{item.severity}: {item.subject}: {item.text}\n{item.remedy}" for item in told)
            kind, message = quoteattr(told[0].severity), quoteattr(told[0].text)
            body += f"<failure type={kind} message={message}>{escape(text)}</failure>"
        if other:
            text = "\n".join(
                f"{f.severity}: {f.subject}: {f.text}" + (f" Waived: {f.waived}" if f.waived else "")
                for f in other
            )
            body += f"<system-out>{escape(text)}</system-out>"
        cases.append(f'<testcase classname="livepatch-repo.lint" name={quoteattr(name)}>{body}</testcase>')
    head = f'<testsuite name={quoteattr("lint " + view.where)} tests="{len(cases)}" failures="{failures}">'
    return "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', head, *cases, "</testsuite>"]) + "\n"
