# SPDX-License-Identifier: GPL-2.0-or-later
"""The verbs that change something: reconcile, unload, block, unblock."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, List

from ..model import Problem, ReconcileResult

if TYPE_CHECKING:
    from .cli import Context


def _problem(problem: Problem) -> List[str]:
    return [f"{problem.severity}: {problem.text}"] + ([f"  {problem.remedy}"] if problem.remedy else [])


def result_lines(result: ReconcileResult) -> List[str]:
    """What a person reads of one reconcile run."""
    lines = []
    for action in result.actions:
        took = f" in {action.seconds:.1f} s" if action.outcome == "done" else ""
        lines.append(f"{action.verb} {action.module}: {action.outcome}{took}")
    for patch in result.in_force:
        lines.append(f"in force: {patch.nevra or patch.module}, closes {len(patch.cves)} CVEs")
    for problem in result.problems:
        lines += _problem(problem)
    if result.skipped:
        lines.append(f"skipped: {result.skipped}")
    return lines or ["no live patch is installed for this kernel"]


def reconcile(context: Context) -> int:
    """Make the running kernel match the installed live patches; 5 when one is not in force."""
    from . import reconcile as work
    from . import request

    progress = None
    if sys.stderr.isatty():
        def progress(text: str) -> None:
            print(f"\r{text}", end="", file=sys.stderr, flush=True)

    result = work.reconcile(context.paths, context.settings, context.options.force, progress)
    if context.options.json:
        context.json(request.dump(result))
    else:
        context.lines(result_lines(result))
    return 0 if result.ok else 5
