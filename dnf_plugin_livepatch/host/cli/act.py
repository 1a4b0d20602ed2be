# SPDX-License-Identifier: GPL-2.0-or-later
"""The verbs that change something: reconcile, unload, block, unblock."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from ...base.model import Problem, ReconcileResult
from ...base.typed import TYPE_CHECKING
from ...messages.catalogue import problem
from .. import output

if TYPE_CHECKING:
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
        output.show([f"livepatch: {found.text}", f"  {found.remedy}"], errors=True)
    return 1


def refuse_foreign(context: Context) -> int:
    """Refuse to change anything below another root than this machine's."""
    return _refused(context, problem("other-root", root=context.paths.root))


def reconcile(context: Context) -> int:
    """Make the running kernel match the installed live patches; return 5 when one is not in force."""
    return _reconcile(context, "", context.options.force)


def _reconcile(context: Context, done: str, force: bool = False) -> int:
    """Have the kernel follow the packages and the guard's file; print ``done``, the change before, first."""
    from ..kernel import running
    from ..packages import inventory
    from ..reconcile import run

    try:
        result = run.reconcile(context.paths, context.settings, force, _progress())
    except run.Refused as refused:
        if done and not context.options.json:
            context.lines([done])
        return _refused(context, refused.problem)
    inventory.refresh(context.paths, running.running(context.paths))
    return _print_result(context, result, 0 if result.ok else 5, done)


def _named(context: Context, name: str, out: bool = False) -> tuple[str, str]:
    """Return the NEVRA and module that ``name`` (either, or a package's name) means; "" for an unknown one.

    With ``out`` a blocked or unloaded package comes first, otherwise one that is in the kernel.
    """
    from ..files import atomic, guard_file
    from ..kernel import running
    from ..packages import inventory

    known: list[tuple[str, str]] = []
    try:
        guard = guard_file.read(context.paths)
        kept_out = [(nevra, "") for nevra in (*guard.unloaded, *guard.blocked())]
        owned = [(item.nevra, module) for module, item in guard.owned.items()]
        known = [*kept_out, *owned] if out else [*owned, *kept_out]
    except atomic.Broken:
        pass  # the verb itself reports the spoiled file
    stock = inventory.read(context.paths, running.running(context.paths))
    for patch in stock.patches:
        known += [(str(patch.nevra), module.name) for module in patch.modules] or [(str(patch.nevra), "")]
    for nevra, module in known:
        if name in (nevra, module, nevra.rsplit("-", 2)[0]):
            return nevra, module
    return "", ""


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

    name = _named(context, context.options.module)[1] or context.options.module
    try:
        result = run.unload(context.paths, context.settings, name, context.options.this_boot, _progress())
    except run.Refused as refused:
        return _refused(context, refused.problem)
    gone = livepatches.one(context.paths, name) is None
    return _print_result(context, result, 0 if gone else 1)


def block(context: Context) -> int:
    """Keep a package from being loaded until it is unblocked, and take its modules out of the kernel."""
    from ..files import atomic, guard_file, journal

    reason = context.options.reason or "blocked by the administrator"
    asked = context.options.package
    name = _named(context, asked)[0] or _full(asked)
    if not name:
        why = f"{asked} is no installed or loaded live patch, nor a full name-version-release.arch"
        return _refused(context, problem("no-such-package", why=why))
    try:
        guard_file.block(context.paths, name, reason)
    except ValueError as error:
        broken = isinstance(error, atomic.Broken)
        return _refused(context, problem("guard-broken" if broken else "no-such-package", why=error))
    journal.remember(context.paths, "block", nevra=name, outcome="done", reason=reason)
    return _reconcile(context, f"{name} is blocked: {reason}")


def unblock(context: Context) -> int:
    """Let a blocked or unloaded package be loaded again, and load it."""
    from ..files import atomic, guard_file, journal

    asked = context.options.package
    name = _named(context, asked, out=True)[0] or _full(asked) or asked
    try:
        changed = guard_file.unblock(context.paths, name)
    except atomic.Broken as error:
        return _refused(context, problem("guard-broken", why=error))
    if not changed:
        return _refused(context, problem("no-such-package", why=f"{name} was neither blocked nor unloaded"))
    journal.remember(context.paths, "unblock", nevra=name, outcome="done")
    return _reconcile(context, f"{name} may be loaded again")
