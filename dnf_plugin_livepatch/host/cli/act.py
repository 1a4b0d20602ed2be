# SPDX-License-Identifier: GPL-2.0-or-later
"""The verbs that change something: reconcile, unload, block, unblock."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from ...base.model import Problem, ReconcileResult
from ...base.typed import TYPE_CHECKING
from ...messages.catalogue import problem
from ...messages.message import several
from .. import output

if TYPE_CHECKING:
    from typing import Callable

    from ..files.mailbox import Progress
    from .context import Context

#: Seconds between two lines about one wait, in a journal.
PAUSE = 29.0


def problem_lines(problems: Sequence[Problem]) -> list[str]:
    """Return findings with their remedies, for a person."""
    lines = []
    for found in problems:
        lines.append(f"{found.severity}: {found.text}")
        if found.remedy:
            lines.append(f"  {found.remedy}")
    return lines


def result_lines(result: ReconcileResult) -> list[str]:
    """Return the lines that a person reads about one reconcile run."""
    lines = []
    for action in result.actions:
        took = f" in {action.seconds:.1f} s" if action.outcome == "done" else ""
        lines.append(f"{action.verb} {action.module}: {action.outcome}{took}")
    for patch in result.in_force:
        number = len(patch.cves)
        cves = f"{number} CVE" + ("" if number == 1 else "s")
        lines.append(f"in force: {patch.nevra or patch.module}, closes {cves}")
    lines += problem_lines(result.problems)
    if result.skipped:
        lines.append(f"skipped: {result.skipped}")
    return lines or ["no live patch is to be in force for this kernel"]


def _progress() -> Progress:
    """Return a printer of a line that is overwritten each time; a journal gets a line each half minute."""
    if sys.stderr.isatty():
        return lambda text: output.progress(text[:200])
    last = [time.monotonic()]

    def now_and_then(text: str) -> None:
        if time.monotonic() - last[0] >= PAUSE:
            last[0] = time.monotonic()
            output.show([text[:200]], errors=True)

    return now_and_then


def _print_result(context: Context, result: ReconcileResult, code: int, before: str = "") -> int:
    from ..files import mailbox

    if sys.stderr.isatty():
        output.progress("")
    if context.options.json:
        context.json({**({"done": before} if before else {}), **mailbox.dump(result)})
    else:
        context.lines([*([before] if before else []), *result_lines(result)])
    return code


def _refused(context: Context, found: Problem) -> int:
    if context.options.json:
        context.json({"problems": [found._asdict()]})
    else:
        output.refusal(found)
    return 1


def refuse_foreign(context: Context) -> int:
    """Refuse to change anything below another root than this machine's."""
    return _refused(context, problem("other-root", root=context.paths.root))


def reconcile(context: Context) -> int:
    """Make the running kernel match the installed live patches; return 5 when one is not in force."""
    return _reconcile(context, [""], context.options.force)


def _reconcile(
    context: Context,
    done: Sequence[str],
    force: bool = False,
    first: Callable[[], None] | None = None,
    urgent: bool = False,
) -> int:
    """Make the change ``first``, and have the kernel follow the packages and the guard's file.

    ``done`` holds one text, which names the change and is printed first; the change may complete the
    text. An ``urgent`` change is made even where another run does not end: the guard's
    file has a lock of its own, and that run writes back nothing of this change.
    """
    from ..kernel import running
    from ..packages import inventory
    from ..reconcile import run

    recorded = []

    def change() -> None:
        if first is not None:
            run.record(first)
            recorded.append(done[0])

    try:
        result = run.reconcile(context.paths, context.settings, force, _progress(), change)
    except run.Refused as refused:
        if urgent and not recorded and refused.problem.id == "reconcile-running":
            try:
                change()
            except run.Refused as unwritten:
                return _refused(context, unwritten.problem)
        if recorded and not context.options.json:
            context.lines(recorded)
        return _refused(context, refused.problem)
    inventory.refresh(context.paths, running.running(context.paths))
    return _print_result(context, result, 0 if result.ok else 5, done[0])


class _Ambiguous(Exception):
    """A name fits several packages; ``problem`` lists them."""

    def __init__(self, name: str, nevras: Sequence[str]) -> None:
        self.problem = problem("name-ambiguous", name=name, packages=several(nevras, 10))
        super().__init__(self.problem.text)


def _named(context: Context, name: str, verb: str) -> tuple[str, str]:
    """Return the NEVRA and module that ``name`` means for ``verb``; "" for an unknown one.

    A package's name means the installed build, whatever the kernel has; for ``unload`` the build that is in
    the kernel, for ``unblock`` the one that is kept out. Raises _Ambiguous where the name fits several.
    """
    from ..files import atomic, guard_file
    from ..kernel import running
    from ..packages import inventory

    kernel = running.running(context.paths)
    stock = inventory.read(context.paths, kernel)
    installed = [
        (str(patch.nevra), module)
        for patch in stock.patches
        for module in [module.name for module in patch.modules] or [""]
    ]
    try:
        guard = guard_file.read(context.paths)
    except atomic.Broken:
        guard = guard_file.Guard()  # the verb itself reports the spoiled file
    inside = [(item.nevra, module) for module, item in guard.ours(kernel.boot_id).items()]
    copied = [(item.nevra, module) for item in guard.copies for module, _ in item.modules]
    out = {*guard.unloaded, *guard.blocked()}
    tried = [
        (nevra, module) for nevra in out & set(guard.entries) for module in guard.entries[nevra].modules
    ]
    kept_out = [row for row in (*installed, *tried, *copied) if row[0] in out] + [
        (nevra, "") for nevra in out
    ]
    here = set(installed)
    groups = {
        "block": ([*installed, *[row for row in inside if name == row[1]]], [*inside, *copied], kept_out),
        "unload": (inside, installed),
        "unblock": ([row for row in kept_out if row in here], kept_out),
    }
    for group in groups[verb]:
        fitting = [row for row in group if name in _names(*row)]
        nevras = sorted({nevra for nevra, _ in fitting})
        if len(nevras) > 1:
            raise _Ambiguous(name, nevras)
        if fitting:
            return fitting[0]
    return "", ""


def _names(nevra: str, module: str) -> tuple[str, ...]:
    """Return the texts that mean a package: in full, without its architecture, its name, its module."""
    return nevra, nevra.rpartition(".")[0], nevra.rsplit("-", 2)[0], module


def _full(name: str) -> str:
    """Return ``name`` as DNF writes a NEVRA, "" for an incomplete one, which would match no package."""
    from ...base.names import ARCHES, parse_nevra

    try:
        nevra = parse_nevra(name)
    except ValueError:
        return ""
    return str(nevra) if nevra.arch in (*ARCHES, "noarch") else ""


def unload(context: Context) -> int:
    """Take a live patch out of the kernel and keep it out."""
    from ..kernel import livepatches
    from ..reconcile import run

    try:
        name = _named(context, context.options.module, "unload")[1] or context.options.module
        result = run.unload(context.paths, context.settings, name, context.options.this_boot, _progress())
    except (run.Refused, _Ambiguous) as refused:
        return _refused(context, refused.problem)
    gone = livepatches.one(context.paths, name) is None
    return _print_result(context, result, 0 if gone else 1)


def block(context: Context) -> int:
    """Keep a package from being loaded until it is unblocked, and take its modules out of the kernel."""
    from ..files import guard_file, journal

    reason = context.options.reason or "blocked by the administrator"
    asked = context.options.package
    try:
        name = _named(context, asked, "block")[0] or _full(asked)
    except _Ambiguous as found:
        return _refused(context, found.problem)
    if not name:
        why = f"{asked} is no installed or loaded live patch, nor a full name-version-release.arch"
        return _refused(context, problem("no-such-package", why=why))

    done = [f"{name} is blocked: {reason}"]

    def set_blocked() -> None:
        if name in guard_file.read(context.paths).blocked():
            done[0] += " (it was blocked already)"
        guard_file.block(context.paths, name, reason)
        journal.remember(context.paths, "block", nevra=name, outcome="done", reason=reason, by="admin")

    return _reconcile(context, done, first=set_blocked, urgent=True)


def unblock(context: Context) -> int:
    """Let a blocked or unloaded package be loaded again, and load it."""
    from ..files import guard_file, journal
    from ..reconcile import run

    asked = context.options.package
    try:
        name = _named(context, asked, "unblock")[0] or _full(asked) or asked
    except _Ambiguous as found:
        return _refused(context, found.problem)

    def set_free() -> None:
        if not guard_file.unblock(context.paths, name):
            raise run.Refused("no-such-package", why=f"{name} was neither blocked nor unloaded")
        journal.remember(context.paths, "unblock", nevra=name, outcome="done")

    return _reconcile(context, [f"{name} may be loaded again"], first=set_free)
