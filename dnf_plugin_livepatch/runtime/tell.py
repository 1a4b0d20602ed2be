# SPDX-License-Identifier: GPL-2.0-or-later
"""The verbs that only read: gather the Report once, show it in the form that was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, FrozenSet, List, Optional, Tuple

from . import reboot, status, views
from .evr import compare

if TYPE_CHECKING:
    from .cli import Context


def look(context: Context) -> Tuple[status.Report, reboot.Advice]:
    """The Report of this host and the reboot advice that follows from it."""
    report = status.gather(context.paths, context.settings, context.faults)
    started = reboot.boot_time(context.paths)
    newer = reboot.newest(report.kernels, report.inputs.kernel_package, compare)
    updated = [name for name, when in report.core if started and when > started]
    return report, reboot.advise(report, newer, updated, compare)


def _code(report: status.Report) -> int:
    return 5 if report.state == "failed" else 0


def traced(context: Context) -> Optional[FrozenSet[str]]:
    """Functions that ftrace has a handler on; None where only root may read that."""
    from . import state

    for path in ("/sys/kernel/tracing/enabled_functions", "/sys/kernel/debug/tracing/enabled_functions"):
        data = state.read_bytes(context.paths.at(path), 1 << 20)
        if data:
            return frozenset(line.split(" ", 1)[0] for line in data.decode("utf-8", "replace").split("\n"))
    return None


def _pending(report: status.Report) -> Dict[str, Tuple[str, ...]]:
    wanted: Dict[str, Tuple[str, ...]] = {}
    for module in report.modules:
        if module.manifest is not None:
            wanted[module.name] = tuple(f"{f.object}/{f.name}" for f in module.manifest.functions)
    return wanted


def show_status(context: Context) -> int:
    """Show the state of this host; 5 when an installed, wanted patch is not in force."""
    report, advice = look(context)
    rows = []
    if context.options.functions:
        rows = views.functions(report.loaded, traced(context), _pending(report))
    if context.options.json:
        data = views.status_json(report, advice)
        if context.options.functions:
            data["functions"] = rows
        context.json(data)
    elif context.options.functions:
        context.lines(views.functions_text(rows))
    else:
        context.lines(views.status_text(report, advice, context.colour))
    return _code(report)


def cves(context: Context) -> int:
    """List the CVEs of the running kernel."""
    report, _ = look(context)
    if context.options.json:
        context.json({"kernel": report.kernel.release, "exposure": views.exposure_json(report)})
    elif context.options.plain:
        context.lines(sorted(row.cve for row in report.exposure.rows if row.state != "closed-live"))
    else:
        context.lines(views.cves_text(report, context.colour))
    return 0


def patches(context: Context) -> int:
    """List live patches, installed or loaded."""
    report, _ = look(context)
    if context.options.json:
        context.json({"patches": views.status_json(report, _)["patches"]})
    else:
        context.lines(views.list_text(report))
    return 0


def reboot_check(context: Context) -> int:
    """One line on whether a reboot is needed; the exit code says it too."""
    report, advice = look(context)
    if context.options.json:
        context.json({"kernel": report.kernel.release, "reboot": views.reboot_json(advice), "text": advice.text})
    else:
        context.lines([f"Reboot {advice.text}."])
    return advice.code


def history(context: Context) -> int:
    """Show the journal, oldest first."""
    from . import journal

    entries = journal.read(context.paths)
    if context.options.json:
        context.json({"entries": [{"time": e.time, "event": e.event, **e.facts} for e in entries]})
        return 0
    rows: List[Tuple[str, ...]] = []
    for entry in entries:
        facts = entry.facts
        about = str(facts.get("nevra") or facts.get("module") or "")
        more = " ".join(str(facts[name]) for name in ("outcome", "reason") if name in facts)
        rows.append((entry.time, entry.event, about, more))
    context.lines(views.table(("TIME", "EVENT", "PATCH", "MORE"), rows) if rows else ["Nothing happened yet."])
    return 0
