# SPDX-License-Identifier: GPL-2.0-or-later
"""A Report as text for a person or as a JSON object for a machine. Pure.

Colour adds no information to the words. docs/schemas/ describes the JSON objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ...base.model import (
    CLOSED_LIVE,
    EXACT,
    OPEN,
    REBOOT_ONLY,
    UNKNOWN,
    CveState,
    Function,
    LoadedPatch,
    Problem,
)
from ...base.texts import coloured
from ...base.typed import TYPE_CHECKING
from ...messages import message
from .. import look
from . import next_step
from .reboot import Advice
from .status import Report

if TYPE_CHECKING:
    from typing import Any


_COLOURS = {"ok": "32", "failed": "31;1"}
_STATES = {
    "ok": "OK: every known CVE of the running kernel is closed",
    "failed": "FAILED: an installed live patch is not in force, or the last run went wrong",
    "loading": "LOADING: {which} is being loaded{since}",
    "unloading": "UNLOADING: {which} is being taken out of force{since}",
    "unsupported": "UNSUPPORTED: the running kernel has no live patching",
    "unknown": "UNKNOWN: not enough is known to say that this kernel is safe",
}
_ROW_STATES = {
    look.IN_FORCE: "in force",
    look.TRANSITION: "being loaded: not all tasks run the fixed functions yet",
    look.LOADING: "installed, being loaded",
    look.UNLOADING: "being taken out of force",
    look.NOT_LOADED: "installed, NOT in force: not loaded",
    look.BLOCKED: "installed, NOT in force: blocked",
    look.UNLOADED: "installed, unloaded by the administrator",
    look.WITHDRAWN: "installed, kept out of force: withdrawn by its publisher",
    look.OTHER_BUILD: "installed, NOT in force: another build is loaded",
    look.DISABLED: "loaded, NOT in force: disabled",
    look.FOREIGN: "in force, loaded by others",
    look.SUBSCRIPTION: "subscription only, patches nothing yet",
}
_LEAVING = "being taken out of force: some tasks still run the functions of the patch"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table: the head, then the rows, with aligned columns."""
    lines = [tuple(head), *(tuple(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines]


def count(report: Report, state: str) -> str:
    """Return the number of CVEs in ``state`` as sure as the data is: ``3``, ``at least 3``, ``unknown``."""
    number = len(report.rows(state))
    exposure = report.exposure
    if exposure.quality == EXACT or (state == CLOSED_LIVE and (number or exposure.quality != UNKNOWN)):
        return str(number)
    return f"at least {number}" if number else "unknown"


def _cve_lines(rows: Sequence[CveState], most: int = 8) -> list[str]:
    lines = []
    for row in rows[:most]:
        words = [row.cve, row.severity or "-", row.advisory]
        if row.reason:
            words.append(f"({row.reason})")
        lines.append("    " + "  ".join(words))
    if len(rows) > most:
        lines.append(f"    and {len(rows) - most} more; see 'livepatch cves'")
    return lines


def status_text(report: Report, advice: Advice) -> list[str]:
    """Return the lines of ``livepatch status``."""
    lines = [
        coloured("State          : ", _state(report), _COLOURS.get(report.state, "33")),
        f"Running kernel : {report.kernel.release or 'unknown'}",
        f"Support        : {_support(report)}",
    ]
    if not report.patches:
        nothing = "none installed or loaded" if report.installed_known else "not known"
        lines.append(f"Live patches   : {nothing}")
    for row in report.patches:
        lines.append(f"Live patch     : {row.package or row.module}")
        module = f", module {row.module}" if row.package and row.module else ""
        leaves = row.state == look.TRANSITION and not row.enabled
        text = _LEAVING if leaves else _ROW_STATES[row.state]
        text += (f" ({row.reason})" if row.reason else "") + span(row.since, row.until)
        lines.append(coloured("                 ", text, "" if row.in_force else "33", module))
    if report.skipped:
        lines.append(f"Not loading    : {report.skipped}")
    if report.not_added:
        lines.append(f"Not adding     : {report.not_added}: DNF adds no live patch to an upgrade")
    if report.taints:
        lines.append(f"Taints         : {', '.join(report.taints)}")
    for title, state in (
        ("Closed live", CLOSED_LIVE),
        ("Open", OPEN),
        ("Reboot only", REBOOT_ONLY),
    ):
        rows = report.rows(state)
        code = "31" if rows and state == OPEN else ""
        lines.append(coloured(f"{title:<15}: ", count(report, state), code))
        if state != CLOSED_LIVE:
            lines.extend(_cve_lines(rows))
    if report.exposure.quality != EXACT:
        lines.append(f"Not complete   : {report.exposure.reason}")
    lines.append(f"Reboot         : {'not known' if advice.code == 102 else advice.text}")
    for problem in report.problems:
        code = "31" if problem.severity == "error" else "33"
        lines.append(coloured(f"{problem.severity.capitalize():<15}: ", dated(problem), code))
        if problem.remedy:
            lines.append(f"                 {problem.remedy}")
    if report.retry:
        lines.append(f"Retry          : planned for {report.retry}")
    lines.append(f"Next           : {str(next_step.step(report, advice)) or 'nothing to do'}")
    return lines


def span(since: str, until: str) -> str:
    """Return the time of a change that is under way as the end of a sentence, as far as it is known."""
    return (f" since {since}" if since else "") + (f", until {until} at the latest" if until else "")


def dated(problem: Problem) -> str:
    """Return the text of ``problem``, with the time of an earlier run that found it."""
    return f"{problem.text} (found at {problem.at})" if problem.at else problem.text


def moving(report: Report) -> str:
    """Return the packages, or else the modules, that are being loaded or taken out of force."""
    states = (look.LOADING, look.UNLOADING, look.TRANSITION)
    names = dict.fromkeys(row.package or row.module for row in report.patches if row.state in states)
    return "live patch " + message.several(list(names), 3) if names else "a live patch"


def sentence(words: str) -> str:
    """Return ``words`` with a capital letter and a full stop."""
    return f"{words[0].upper()}{words[1:]}."


def kept_out(report: Report) -> list[str]:
    """Return a text for each thing that keeps a live patch from being installed or loaded on this host."""
    found = [f"nothing is loaded: {report.skipped}"] if report.skipped else []
    found += [f"DNF adds no live patch: {report.not_added}"] if report.not_added else []
    out = {row.package: row for row in report.patches if row.state in (look.UNLOADED, look.BLOCKED)}
    words = {look.UNLOADED: "unloaded by the administrator", look.BLOCKED: "blocked"}
    found += [f"live patch {name} is {words[row.state]}, {row.reason}" for name, row in out.items()]
    return found


def _state(report: Report) -> str:
    if report.state != "attention":
        facts = {"which": moving(report), "since": span(report.since, report.until)}
        return _STATES[report.state].format(**facts)
    number = len(report.rows(OPEN)) + len(report.rows(REBOOT_ONLY))
    if not number:
        return "ATTENTION: see the warnings below"
    return f"ATTENTION: {number} known CVE{'' if number == 1 else 's'} of the running kernel not closed"


def _support(report: Report) -> str:
    if not report.support_end:
        return "end not known"
    days = report.days_left
    if report.support_usual:
        return f"until about {report.support_end[:10]}, the vendor's usual time; no day is promised"
    left = "" if days is None else f" ({message.count(days, 'day')} left)"
    if days is not None and days < 0:
        left = f" (ended {message.count(-days, 'day')} ago)"
    return f"until {report.support_end[:10]}{left}"


def _cve(row: CveState) -> dict[str, Any]:
    data: dict[str, Any] = dict(row._asdict())
    del data["state"]  # the row stands in the list of its state
    return data


def _cves(report: Report, state: str) -> list[dict[str, Any]] | None:
    """Return the CVEs in ``state``; None, never an empty list, where their number is not known."""
    return None if count(report, state) == "unknown" else [_cve(row) for row in report.rows(state)]


def exposure_json(report: Report) -> dict[str, Any]:
    """Return the ``exposure`` object of status and cves."""
    return {
        "quality": report.exposure.quality,
        "reason": report.exposure.reason,
        "as_of": report.exposure.as_of,
        "open": _cves(report, OPEN),
        "closed_live": _cves(report, CLOSED_LIVE),
        "reboot_only": _cves(report, REBOOT_ONLY),
    }


def patches_json(report: Report) -> list[dict[str, Any]]:
    """Return the ``patches`` list of status and list."""
    return [{**row._asdict(), "cves": list(row.cves)} for row in report.patches]


def body(report: Report, advice: Advice) -> dict[str, Any]:
    """Return the object of ``livepatch status --json``, without the schema number."""
    kernel = report.kernel
    return {
        "kernel": {
            "release": kernel.release,
            "arch": kernel.arch,
            "build_id": kernel.build_id,
            "package": report.inputs.kernel_package,
            "livepatch_supported": kernel.livepatch,
            "taints": list(report.taints),
        },
        "state": report.state,
        "since": report.since,
        "until": report.until,
        "patches": patches_json(report),
        "exposure": exposure_json(report),
        "reboot": reboot_json(advice),
        "support": {
            "end": report.support_end,
            "days_left": report.days_left,
            "usual": report.support_usual,
        },
        "retry": report.retry,
        "offered": report.offered._asdict() if report.offered is not None else None,
        "skipped": report.skipped,
        "not_added": report.not_added,
        "problems": [dict(problem._asdict()) for problem in report.problems],
        "next": dict(next_step.step(report, advice)._asdict()),
    }


def reboot_json(advice: Advice) -> dict[str, Any]:
    """Return the ``reboot`` object: ``needed`` is None when that is not known."""
    needed = None if advice.code == 102 else advice.code != 0
    return {"needed": needed, "code": advice.code, "reasons": list(advice.reasons)}


def cves_text(report: Report, width: int = 0) -> list[str]:
    """Return the lines of ``livepatch cves``: a row for each CVE, open CVEs first.

    Where the table would be wider than ``width`` the column of the dates is left out; 0 is no limit.
    """
    order = (OPEN, REBOOT_ONLY, CLOSED_LIVE)
    rows = [row for state in order for row in report.rows(state)]
    exact = report.exposure.quality == EXACT
    lines: list[str] = []
    if rows:
        names = ("CVE", "SEVERITY", "STATE", "FIXED IN", "ADVISORY", "DATED", "BY")
        cells = [
            (
                *(word or "-" for word in (r.cve, r.severity, r.state, r.fixed_in, r.advisory)),
                r.dated[:10] or "-",
                r.by or r.reason,
            )
            for r in rows
        ]
        head, *body_lines = table(names, cells)
        if width and max(map(len, (head, *body_lines))) > width:
            head, *body_lines = table(*_without(5, names, cells))
        codes = ["31" if row.state == OPEN else "" for row in rows]
        lines = [head, *(coloured("", line, code) for line, code in zip(body_lines, codes))]
    elif exact:
        lines = ["No CVE of the running kernel is known."]
    if not exact:
        lines.append(f"Not complete ({report.exposure.quality}): {report.exposure.reason}")
    return lines


def _without(
    column: int, head: Sequence[str], rows: Iterable[Sequence[str]]
) -> tuple[Sequence[str], list[Sequence[str]]]:
    cut = [(*row[:column], *row[column + 1 :]) for row in (head, *rows)]
    return cut[0], list(cut[1:])


def list_text(report: Report) -> list[str]:
    """Return the lines of ``livepatch list``: a row for each live patch."""
    why = [sentence(words) for words in kept_out(report)]
    if not report.patches:
        none = "No live patch is installed or loaded." if report.installed_known else "Not known."
        return [none, *why]
    rows = (
        (row.package or "-", row.module or "-", row.state, row.profile or "-", str(len(row.cves)))
        for row in report.patches
    )
    return [*table(("PACKAGE", "MODULE", "STATE", "PROFILE", "CVES"), rows), *why]


def is_patched(patch: LoadedPatch, function: Function) -> bool:
    """Return whether sysfs shows ``function`` as replaced by ``patch``."""
    return patch.enabled and function.object in patch.patched_objects


def functions(
    loaded: Sequence[LoadedPatch],
    redirected: Mapping[Function, bool | None] | None,
    declared: dict[str, tuple[tuple[str, str], ...]],
) -> list[dict[str, Any]]:
    """Return the proof of redirection for each function of each loaded patch.

    ``state`` is ``redirected`` where sysfs shows the function as patched and ftrace does not deny that, else
    ``not-redirected``. ``redirected`` tells of the patched functions whether ftrace sends them to a live
    patch; the whole is None where only root may see that. ``declared`` are (object, function) of each
    module's manifest. The functions of an object that is not loaded are pending: the kernel patches them
    when the object is loaded.
    """
    found: list[dict[str, Any]] = []
    idle = None if redirected is None else False
    for patch in loaded:
        for function in patch.functions:
            patched = is_patched(patch, function)
            ftrace = redirected.get(function) if patched and redirected is not None else idle
            state = "not-redirected" if ftrace is False else "redirected"
            found.append(
                {
                    "module": patch.module,
                    "object": function.object,
                    "function": function.name,
                    "sysfs": f"{function.object}/{function.name},{function.sympos}",
                    "state": "pending" if not patched else look.TRANSITION if patch.transition else state,
                    "ftrace": ftrace,
                }
            )
        present = {f.object for f in patch.functions if f.object in patch.patched_objects}
        listed = {(function.object, function.name) for function in patch.functions}
        for target, name in declared.get(patch.module, ()):
            if target not in present and (target, name) not in listed:
                found.append(
                    {
                        "module": patch.module,
                        "object": target,
                        "function": name,
                        "sysfs": "",
                        "state": "pending",
                        "ftrace": idle,
                    }
                )
    return found


def functions_text(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the table of ``livepatch status --functions``."""
    ftrace = {None: "not readable", True: "yes", False: "no"}
    return table(
        ("MODULE", "OBJECT", "FUNCTION", "STATE", "SYSFS", "FTRACE"),
        (
            (r["module"], r["object"], r["function"], r["state"], r["sysfs"] or "-", ftrace[r["ftrace"]])
            for r in rows
        ),
    )
