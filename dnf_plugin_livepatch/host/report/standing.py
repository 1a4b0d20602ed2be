# SPDX-License-Identifier: GPL-2.0-or-later
"""Which findings of the last reconcile still hold, by what the host is like now.

The last run's result is a record of that moment. A finding that today's facts contradict is left out, and
one that names facts of today is told anew. Each other finding carries the time of the run.
"""

from __future__ import annotations

import errno
import os

from ...base.model import InstalledModule, Kernel, Problem, ReconcileResult
from ...base.paths import Paths
from ...base.typed import TYPE_CHECKING
from ...messages import catalogue, message
from .. import look
from ..kernel import livepatches, running
from ..packages import rpm_lock

if TYPE_CHECKING:
    from typing import Callable

    Rule = Callable[["_Now", Problem], bool]


class _Now:
    """The host now, as far as the rules ask."""

    def __init__(self, paths: Paths, seen: look.Look, result: ReconcileResult) -> None:
        self.paths, self.seen, self.rows = paths, seen, seen.rows
        rows = seen.rows
        self.in_force = {name for row in rows if row.in_force for name in (row.package, row.module)}
        missing = [row for row in rows if row.installed and row.state in look.MISSING]
        self.missing = {name for row in missing for name in (row.package, row.module)}
        if result.desired not in ("", *self.in_force):
            # A kept copy that is not loaded has no row.
            self.missing.add(result.desired)
            self.missing.update(one.module for one in result.actions if one.nevra == result.desired)
        out = [row for row in rows if row.loaded and _is_out(row, seen.guarded)]
        self.left = {name for row in out for name in (row.package, row.module)}
        blocked = seen.guarded.blocked
        kept_out = [row for row in rows if row.package in blocked]
        self.blocked = {name for row in kept_out for name in (row.package, row.module)}.union(blocked)

    @property
    def moving(self) -> bool:
        """Whether a transition is under way."""
        return any(patch.transition for patch in self.seen.loaded)

    @property
    def foreign(self) -> list[str]:
        """The modules that others loaded."""
        return [row.module for row in self.rows if row.owner == "other" and row.loaded]


def _is_out(row: look.PatchRow, guarded: look.Guarded) -> bool:
    """Return whether the package of ``row`` is gone, or is kept out of force."""
    return not row.installed or row.package in guarded.blocked or row.package in guarded.unloaded


def _unwritable(paths: Paths) -> bool:
    """Return whether the file system of a state folder is full or read only."""
    for folder in (paths.state_dir, paths.run_dir):
        try:
            found = os.statvfs(folder)
        except OSError:
            continue
        if found.f_flag & os.ST_RDONLY or not (found.f_bfree and (found.f_ffree or not found.f_files)):
            return True
    return False


def _missing(now: _Now, found: Problem) -> bool:
    return found.subject in now.missing


def _in_force(now: _Now, found: Problem) -> bool:
    return found.subject in now.in_force


def _left(now: _Now, found: Problem) -> bool:
    return found.subject in now.left


def _blocked(now: _Now, found: Problem) -> bool:
    return found.subject in now.blocked


def _unwritten(now: _Now, found: Problem) -> bool:
    causes = map(os.strerror, (errno.ENOSPC, errno.EROFS))
    return _unwritable(now.paths) or not any(cause in found.text for cause in causes)


def _rpm(now: _Now, _: Problem) -> bool:
    return rpm_lock.held(now.paths, now.seen.stock.database)


#: The rules that ask for the subject of a finding.
_BY_SUBJECT = (_missing, _in_force, _left, _blocked)
#: When a finding of the last run still holds. One that is not listed holds until the next run.
_RULES: dict[str, Rule] = {
    **dict.fromkeys(
        (
            *("transition-stalled", "module-other-build", "module-name-taken", "patch-without-module"),
            *("load-no-key", "load-bad-signature", "load-not-permitted", "load-wrong-format"),
            *("load-unknown-symbol", "load-busy", "load-incompatible", "load-refused", "load-goes-on"),
            *("module-unsigned", "kernel-build-id", "module-key-unknown", "signer-differs"),
            *("client-absent", "client-failed"),
        ),
        _missing,
    ),
    **dict.fromkeys(
        ("patch-blocked", "patch-blocked-by-admin", "health-check-failed", "oops-while-loading"), _blocked
    ),
    **dict.fromkeys(("load-crashed", "load-not-verified"), _blocked),
    **dict.fromkeys(("unload-stalled", "unload-refused", "patch-unrecognised", "client-left"), _left),
    **dict.fromkeys(("not-kept", "kept-in-force", "kept-out-by-hand", "function-not-redirected"), _in_force),
    **dict.fromkeys(("state-unwritable", "record-unwritable", "journal-unwritable"), _unwritten),
    **dict.fromkeys(("rpm-busy", "rpm-under-way"), _rpm),
    **dict.fromkeys(("transition-running", "transition-stuck"), lambda now, _: now.moving),
    "module-stays": lambda now, found: (
        livepatches.loaded(now.paths, found.subject) and found.subject not in now.in_force
    ),
    "patch-unloaded": lambda now, found: found.subject in now.seen.guarded.unloaded,
    "patch-reverted": lambda now, found: any(
        row.package == found.subject and row.state == look.WITHDRAWN for row in now.rows
    ),
    "function-probed": lambda now, _: bool(now.in_force),
    "target-pending": _in_force,
    "guard-broken": lambda now, _: bool(now.seen.guard_fault),
    "rpmdb-unreadable": lambda now, _: not now.seen.stock.healthy,
    "rival-product": lambda now, _: bool(running.other_products(now.paths)),
}


def _anew(now: _Now, found: Problem) -> Problem | None:
    """Tell ``found`` with the facts of now; None for a finding that only the run can know."""
    if found.id == "module-not-in-force" and now.seen.stock.healthy:
        return catalogue.not_in_force(found.subject, now.seen.in_force)
    if found.id == "foreign-patch":
        others = message.several(now.foreign, 10)
        return catalogue.problem("foreign-patch", nevra=found.subject, module=others)
    return None


def standing(paths: Paths, seen: look.Look, result: ReconcileResult) -> list[Problem]:
    """Return the findings of ``result`` that still hold, each with the time of the run unless told anew.

    A finding about a module's file holds for as long as no file of a missing patch was changed.
    """
    now = _Now(paths, seen, result)
    kept: list[Problem] = []
    modules = _missing_modules(seen)
    touched = not modules or any(_newer(module.path, paths.result) for module in modules)
    for found in result.problems:
        if found.id in _ABOUT_FILES and touched:
            continue
        if found.id == "module-not-in-force" and found.subject not in now.missing:
            continue
        if found.id == "foreign-patch" and not (now.foreign and _missing(now, found)):
            continue
        rule = _RULES.get(found.id)
        if rule is None or (rule in _BY_SUBJECT and not found.subject) or rule(now, found):
            kept.append(_anew(now, found) or found._replace(at=result.finished))
    return kept


#: Findings that ``preflight.module`` has from the file alone.
_ABOUT_FILES = frozenset(
    "module-missing module-writable module-unusable module-unchecked module-changed module-no-livepatch"
    " module-other-name module-vermagic module-build-id".split()
)


def _newer(path: str, than: str) -> bool:
    """Return whether the file ``path`` was changed after ``than`` was written, or is gone."""
    try:
        return os.stat(path).st_ctime_ns > os.stat(than).st_mtime_ns
    except OSError:
        return True


def _missing_modules(seen: look.Look) -> list[InstalledModule]:
    """Return the modules that reconcile would load of the packages that should be in force and are not."""
    return [
        module
        for patch in seen.stock.patches
        if patch.loader == "kernel" and str(patch.nevra) in seen.missing
        for module in patch.modules
    ]


def files(paths: Paths, kernel: Kernel, seen: look.Look) -> list[Problem]:
    """Return what speaks now against the modules of the packages that should be in force, by their files.

    A file that only root may read makes no finding for others.
    """
    from ..reconcile import preflight

    modules = [
        module
        for module in _missing_modules(seen)
        if os.access(module.path, os.R_OK) or not os.path.exists(module.path)
    ]
    found = [one for module in modules for one in preflight.module(paths, kernel, module)[0]]
    return [one for one in found if one.severity == "error"]
