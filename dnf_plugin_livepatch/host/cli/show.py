# SPDX-License-Identifier: GPL-2.0-or-later
"""The verbs that only read: gather the Report once and print it in the form that was asked for."""

from __future__ import annotations

import os

from ...base.model import CLOSED_LIVE
from ...base.typed import TYPE_CHECKING
from ..packages.evr import compare
from ..report import reboot, status, text
from .context import Refusal

if TYPE_CHECKING:
    from ..files import journal
    from .context import Context

NOT_IN_FORCE = 5


def look(context: Context) -> tuple[status.Report, reboot.Advice]:
    """Return the Report of this host and the reboot advice that follows from it."""
    report = status.gather(context.paths, context.settings, context.faults)
    started = reboot.boot_time(context.paths)
    newer = reboot.newest(report.kernels, report.inputs.kernel_package, compare)
    updated = [name for name, when in report.core if started and when > started]
    return report, _advice(context, report, newer, updated)


def _advice(context: Context, report: status.Report, newer: str, updated: list[str]) -> reboot.Advice:
    """Return the reboot advice, which counts on no boot that did not start the newer kernel before."""
    if not newer:
        return reboot.advise(report, "", updated, compare)
    from ..files import advised
    from ..kernel import boot_loader

    following = boot_loader.next_kernel(context.paths, compare)
    newer, obstacle = reboot.started(report, newer, following.release, following.command, compare)
    advice = reboot.advise(report, newer, updated, compare, obstacle)
    if advice.code != reboot.FOR_CVES or not report.kernel.boot_id:
        return advice
    now = advised.of(report.kernel, newer, following.release)
    if advised.in_vain(context.paths, now):
        why = "a reboot was advised before, and the host came back into the same kernel"
        obstacle = reboot.Obstacle(why, following.command and "grubby --info=DEFAULT", False)
        return reboot.advise(report, newer, updated, compare, obstacle)
    if os.geteuid() == 0 and not context.paths.foreign:
        advised.remember(context.paths, now)
    return advice


def _manifest_functions(report: status.Report) -> dict[str, tuple[tuple[str, str], ...]]:
    return {
        module.name: tuple((f.object, f.name) for f in module.manifest.functions)
        for module in report.modules
        if module.manifest is not None
    }


def show_status(context: Context) -> int:
    """Show the state of this host; return 5 when an installed patch that should be in force is not."""
    report, advice = look(context)
    rows = []
    if context.options.functions:
        from ..kernel.probes import redirections

        patched = [one for patch in report.loaded for one in patch.functions if text.is_patched(patch, one)]
        told = redirections(context.paths, patched)
        rows = text.functions(report.loaded, told, _manifest_functions(report))
    if context.options.json:
        extra = {"functions": rows} if context.options.functions else {}
        context.json({**text.body(report, advice), **extra})
    elif context.options.functions:
        context.lines(text.functions_text(rows) if rows else ["No live patch is loaded."])
    else:
        context.lines(text.status_text(report, advice))
    return NOT_IN_FORCE if report.state == "failed" else 0


def cves(context: Context) -> int:
    """List the CVEs of the running kernel, with --plain those that are not closed, or answer about one."""
    report, advice = look(context)
    if context.options.cve:
        from ..report import next_step, one_cve

        found = one_cve.answer(report, context.options.cve)
        if context.options.json:
            context.json(one_cve.as_json(report, found))
        else:
            step = str(next_step.step(report, advice)) if found.code else ""
            context.lines([found.text, *([f"Next: {step}"] if step else [])])
        return found.code
    if context.options.json:
        context.json({"kernel": report.kernel.release, "exposure": text.exposure_json(report)})
    elif context.options.plain:
        from ..report import exports

        if exports.not_known(report):
            # An empty or short list would read as "nothing is open".
            raise Refusal("cves-unknown", why=report.exposure.reason)
        context.lines(sorted(row.cve for row in report.exposure.rows if row.state != CLOSED_LIVE))
    else:
        context.lines(text.cves_text(report, context.width))
    return 0


def patches(context: Context) -> int:
    """List live patches, installed or loaded."""
    report, _ = look(context)
    if context.options.json:
        context.json({"kernel": report.kernel.release, "patches": text.patches_json(report)})
    else:
        context.lines(text.list_text(report))
    return 0


def reboot_check(context: Context) -> int:
    """Print a line on whether a reboot is needed, and return the exit code that means the same."""
    report, advice = look(context)
    if context.options.json:
        reasons = text.reboot_json(advice)
        context.json({"kernel": report.kernel.release, "reboot": reasons, "text": advice.text})
    else:
        context.lines([f"Reboot {advice.text}."])
    return advice.code


def show_history(context: Context) -> int:
    """Show the journal, oldest first."""
    from ..files import advisories, journal
    from ..kernel import running
    from ..report import history

    entries = [*journal.read(context.paths), *_vanished(context)]
    inputs = advisories.load(context.paths, running.running(context.paths).release)[0]
    debt = {row.cve: row for row in inputs.debt} if inputs is not None else {}
    if context.options.json:
        context.json({"entries": history.as_json(entries, debt)})
        return 0
    head = ("TIME", "BOOT", "EVENT", "PATCH", "TOOK", "MORE")
    rows = history.rows(entries, debt)
    context.lines(text.table(head, rows) if rows else ["No live patch was ever loaded here."])
    return 0


def _vanished(context: Context) -> list[journal.Entry]:
    """Return the patches that vanished since the last reconcile, as entries that are in no file yet.

    Reconcile writes such an entry when it next runs.
    """
    from ..files import mailbox, vanished
    from ..kernel import livepatches, running

    result = mailbox.read_result(context.paths)
    if result is None or result.boot_id != running.boot_id(context.paths):
        return []
    return vanished.since(context.paths, result, livepatches.read(context.paths), None)


def doctor(context: Context) -> int:
    """Look for faults that would keep a live patch from being loaded; return 1 when there is an error."""
    if context.options.profiles:
        from . import profiles

        return profiles.doctor(context)
    from ..report.doctor import examine
    from .act import problem_lines

    found = examine(context.paths, context.faults)
    if context.options.json:
        context.json({"problems": [problem._asdict() for problem in found]})
    else:
        clear = all(problem.severity == "note" for problem in found)
        good = ["Nothing is in the way of live patches on this host."] if clear else []
        context.lines([*good, *problem_lines(found)])
    return 1 if any(problem.severity == "error" for problem in found) else 0


def _effective_by_client(context: Context, report: status.Report) -> str:
    """Return the release that a vendor's own client, such as Ksplice's, reports as reached; "" for none."""
    from ...vendors import profiles
    from ..clients import client

    if context.paths.foreign:
        return ""
    names = {row.profile for row in report.patches if row.in_force}
    for profile in profiles.load(context.paths.profile_dirs)[0] if names else ():
        if profile.name in names and profile.client is not None and profile.client.effective:
            release = client.state(profile, report.kernel).effective
            if release:
                return release
    return ""


def _from_uname(option: str) -> str:
    """Return uname(1)'s answer for ``option``, since distributions differ in processor and platform."""
    from .. import program

    try:
        code, answer = program.run(("uname", option), 5)
    except program.Unusable:
        return "unknown"
    return "unknown" if code else answer.strip()


def uname(context: Context) -> int:
    """Print what uname(1) prints, with the release whose security level the running kernel has reached."""
    from ...exposure.compute import effective

    report, _ = look(context)
    names = os.uname()
    release = _effective_by_client(context, report) or effective(report.inputs, report.exposure)
    release = release or report.kernel.release
    if context.options.json:
        context.json({"running": report.kernel.release, "effective": release})
        return 0
    words = {
        "s": names.sysname,
        "n": names.nodename,
        "r": release,
        "v": names.version,
        "m": names.machine,
        "p": "",
        "i": "",
        "o": "GNU/Linux",
    }
    if context.paths.foreign:  # this machine's names are not that root's
        words.update(dict.fromkeys("nvm", "unknown"), r=release or "unknown")
    chosen = vars(context.options)
    shown = [letter for letter in words if chosen[letter] or chosen["a"]] or ["s"]
    for letter in {"p", "i"}.intersection(shown):
        words[letter] = "unknown" if context.paths.foreign else _from_uname("-" + letter)
        if words[letter] == "unknown" and chosen["a"]:
            shown.remove(letter)  # uname -a leaves them out too
    context.lines([" ".join(words[letter] for letter in shown)])
    return 0
