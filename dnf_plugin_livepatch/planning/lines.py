# SPDX-License-Identifier: GPL-2.0-or-later
"""The lines that the user reads: notes while planning, the prompt, the outcome of the transaction. Pure.

A line is a text and the level at which the package manager's logger is to have it.
"""

from __future__ import annotations

import logging
import textwrap
from collections.abc import Iterable, Sequence

from ..base.model import (
    CLOSED_LIVE,
    EXACT,
    OPEN,
    REBOOT_ONLY,
    UNKNOWN,
    CveState,
    Exposure,
    InForce,
    Problem,
    ReconcileResult,
)
from ..base.typed import TYPE_CHECKING
from ..exposure import compute, support
from ..exposure.debt import rank
from ..messages import catalogue

if TYPE_CHECKING:
    from typing import TypeAlias

    from ..base.model import Compare
    from ..exposure.compute import Inputs
    from .interface import Host, Patched

_LEVELS = {"error": logging.ERROR, "warning": logging.WARNING}
_MOST = 20
#: Messages that need not be repeated for as long as nothing changes.
ONCE = ("patch-absent", "advisories-gone")
#: Errors that are about no single patch.
_ASIDE = ("profile-fault",)
#: Warnings that are reasons why a patch is not in force.
_KEPT_OUT = ("patch-blocked-by-admin", "patch-unloaded", "patch-reverted")
Line: TypeAlias = "tuple[int, str]"


def reminders(host: Host, inputs: Inputs, patched: Patched) -> list[Problem]:
    """Notes of what is wrong with a live patch in force, and that its support ends."""
    known = host.withdrawn()
    found = [
        catalogue.problem("withdrawn-in-force", nevra=nevra, why=known[nevra])
        for nevra in dict.fromkeys(patch.nevra for patch in patched.in_force)
        if nevra in known
    ]
    promised = inputs.support_end or patched.support_end
    end, days = promised or inputs.window_end, host.settings.eol_warn_days
    due = support.warning(host.kernel.release, end, host.now, days, not promised)
    return [*found, due] if due is not None else found


def line(problem: Problem) -> Line:
    """The log level and the one line for ``problem``."""
    stop = "" if problem.text.endswith((".", "!", "?")) or not problem.remedy else "."
    text = f"livepatch: {problem.text}{stop} {problem.remedy}".rstrip()
    return _LEVELS.get(problem.severity, logging.INFO), text


def prompt_lines(
    inputs: Inputs,
    in_force: Sequence[InForce],
    patch_cves: Iterable[str],
    kernel_evr: str,
    compare: Compare,
    not_loading: str = "",
) -> list[str]:
    """Return the lines that DNF shows before it asks: what the transaction closes, a reboot, and neither.

    ``patch_cves`` are the CVEs that the live patch in the transaction closes. ``kernel_evr`` is the newest
    build of the running kernel's package that will be installed afterwards, "" for none but the running
    one. ``not_loading`` is why no live patch will be loaded, "" where one will.
    """
    lines = [f"Live patching, running kernel {inputs.kernel_release}:"]
    if inputs.quality == UNKNOWN and not inputs.debt:
        return [*lines, f"  CVEs open     : unknown, {inputs.reason}"]
    before = compute.compute(inputs, in_force)
    coming = () if not_loading else tuple(patch_cves)
    after = compute.compute(inputs, [*in_force, InForce("new", "", coming)])
    still = [row for row in after.rows if row.state != CLOSED_LIVE]
    done = {row.cve for row in before.rows if row.state == CLOSED_LIVE}
    now = [row for row in after.rows if row.state == CLOSED_LIVE and row.cve not in done]
    boot = compute.closed_by_boot(after, kernel_evr, compare)
    left = [row for row in still if row not in boot]
    for title, rows in (("Will close", now), ("At next reboot", boot), ("Left open", left)):
        lines.append(f"  {title:<14}: {_summary(rows)}")
    if not_loading:
        lines[1] += f", because nothing is loaded: {not_loading}"
    if done:
        lines.append(f"  {'Closed before':<14}: {len(done)}")
    if inputs.quality != EXACT:
        lines.append(f"  {'Not complete':<14}: {inputs.reason}")
    return lines


def _summary(rows: Sequence[CveState], most: int = 4) -> str:
    more = f" and {len(rows) - most} more" if len(rows) > most else ""
    return f"{len(rows)}: {', '.join(_named(rows, most))}{more}" if rows else "0"


def _named(rows: Sequence[CveState], most: int) -> list[str]:
    """Return the first ``most`` CVEs with their severities, the worst first."""
    ordered = sorted(rows, key=lambda row: (-rank(row.severity), row.cve))
    return [f"{row.cve} ({row.severity})" if row.severity else row.cve for row in ordered[:most]]


def _cves(title: str, rows: Sequence[CveState], most: int) -> list[str]:
    if not rows:
        return []
    named = _named(rows, most)
    if len(rows) > most:
        named.append(f"and {len(rows) - most} more, see 'livepatch cves'")
    return textwrap.wrap(f"  {title}: {', '.join(named)}", 100, subsequent_indent="    ")


def waiting(expected: Sequence[str], leaving: Sequence[str], bound: float) -> str:
    """The line at the beginning of the wait for the kernel to follow."""
    loading, unloading = ", ".join(expected), ", ".join(leaving)
    what = f"Loading live patch {loading}" if expected else f"Taking live patch {unloading} out of force"
    return f"{what} (at most {bound:.0f} s)."


def _whole(result: ReconcileResult, nevra: str) -> bool:
    """Is the patch in force with all its parts? Reconcile reports each one that is not."""
    partly = any(p.id == "module-not-in-force" and p.subject == nevra for p in result.problems)
    return not partly and any(patch.nevra == nevra for patch in result.in_force)


def closing(
    result: ReconcileResult | None,
    expected: Sequence[str],
    before: Exposure,
    after: Exposure,
    kernel_evr: str,
    compare: Compare,
) -> tuple[list[Line], bool]:
    """The lines for the end of loading, and whether all that is ``expected`` (NEVRAs) is in force.

    ``before`` is the exposure from before the transaction, ``after`` the one with what is in force now;
    ``kernel_evr`` is the newest installed build of the running kernel's package, "" for the running one.
    """
    if not expected:
        return [], True
    if result is None:
        return [line(catalogue.problem("load-unanswered", nevra=nevra)) for nevra in expected], False
    if result.skipped:
        why = result.skipped
        return [line(catalogue.problem("load-skipped", nevra=nevra, why=why)) for nevra in expected], True
    missing = [nevra for nevra in expected if not _whole(result, nevra)]
    problems = list(result.problems)
    reasons = [p for p in problems if p.id in _KEPT_OUT and p.subject in missing]
    if not any(p.severity == "error" and p.id not in _ASIDE for p in problems):
        told = {p.subject for p in reasons}
        problems += [
            catalogue.not_in_force(nevra, result.in_force) for nevra in missing if nevra not in told
        ]
    if len(missing) == len(expected):
        return [line(p) for p in problems if p.severity == "error" or p in reasons], False
    parts = [patch for patch in result.in_force if patch.nevra in expected]
    lines: list[Line] = []
    for nevra in expected:
        if nevra not in missing:
            seconds = sum(patch.seconds for patch in parts if patch.nevra == nevra)
            took = f", transition {seconds:.1f} s" if seconds else ""
            lines.append((logging.INFO, f"Live patch {nevra} is in force{took}."))
    lines += [(logging.INFO, text) for text in _outcome(parts, before, after, kernel_evr, compare)]
    return [*lines, *map(line, problems)], not missing


def removed(
    result: ReconcileResult | None,
    leaving: Sequence[str],
    before: Patched,
    in_force: Sequence[InForce],
    exposed: Exposure,
    after: Exposure,
) -> tuple[list[Line], bool]:
    """The lines on live patches whose packages were removed, and whether nothing went wrong with them.

    ``before`` are the live patches before the transaction and ``exposed`` the exposure then; ``in_force``
    and ``after`` are both of now.
    """
    if not leaving or (result is not None and result.skipped):
        return kept(leaving, before, result.skipped if result is not None else ""), True
    if result is None:
        return [line(catalogue.problem("unload-unanswered", nevra=nevra)) for nevra in leaving], False
    here = {patch.module for patch in in_force}
    mine = [(module, package) for module, package in before.modules if package in leaving]
    # An error about another patch is no failure of this transaction, nor is it the reason for anything here.
    about = {"", *leaving, *(module for module, _ in mine)}
    problems = [p for p in result.problems if p.subject in about]
    stays = any(module in here for module, _ in mine)
    errors = [p for p in problems if p.severity == "error" and p.id not in _ASIDE and (p.subject or stays)]
    why = [line(p) for p in problems if p in errors or p.severity == "warning"]
    lines: list[Line] = []
    for nevra in leaving:
        modules = [module for module, package in mine if package == nevra]
        still = [module for module in modules if module in here]
        if not still:
            text = "is out of force" if modules else "was not in force"
            lines.append((logging.INFO, f"Live patch {nevra} {text}."))
        elif not why:
            facts = {"nevra": nevra, "modules": ", ".join(still)}
            lines.append(line(catalogue.problem("removed-in-force", **facts)))
    closed = {row.cve for row in exposed.rows if row.state == CLOSED_LIVE}
    closed -= {cve for patch in before.in_force if patch.module in here for cve in patch.cves}
    again = [row for row in after.rows if row.cve in closed and row.state != CLOSED_LIVE]
    lines += [(logging.INFO, text) for text in _cves("CVEs open again", again, _MOST)]
    return [*lines, *why], not errors


def kept(leaving: Sequence[str], before: Patched, why: str) -> list[Line]:
    """The lines on live patches whose packages were removed where nothing is taken out of force, and why."""
    lines: list[Line] = []
    for nevra in leaving:
        modules = ", ".join(module for module, package in before.modules if package == nevra)
        if modules:
            facts = {"nevra": nevra, "modules": modules, "why": why}
            lines.append(line(catalogue.problem("unload-skipped", **facts)))
    return lines


def _outcome(
    parts: Sequence[InForce],
    before: Exposure,
    after: Exposure,
    kernel_evr: str,
    compare: Compare,
) -> list[str]:
    """The lines with the CVEs: closed now by ``parts``, and what is left."""
    done = {row.cve for row in before.rows if row.state == CLOSED_LIVE}
    told = {row.cve for row in after.rows}
    closed = [row for row in after.rows if row.state == CLOSED_LIVE and row.cve not in done]
    declared = sorted({cve for patch in parts for cve in patch.cves})
    if after.quality != EXACT:
        closed += [CveState(cve, CLOSED_LIVE) for cve in declared if cve not in told]
    boot = compute.closed_by_boot(after, kernel_evr, compare)
    left = [row for row in after.rows if row not in boot]
    still = [row for row in left if row.state == OPEN]
    never = [row for row in left if row.state == REBOOT_ONLY]
    texts = [
        *_cves("CVEs closed now", closed, len(closed)),
        *_cves(f"CVEs open until a reboot into kernel {kernel_evr}", boot, _MOST),
        *_cves("CVEs still open", still, _MOST),
        *_cves("CVEs that only a newer kernel closes", never, _MOST),
    ]
    if after.quality != EXACT:
        texts.append(f"  There may be more open: {after.reason}")
    return texts
