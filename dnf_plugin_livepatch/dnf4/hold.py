# SPDX-License-Identifier: GPL-2.0-or-later
"""Keep a kernel update out of a bare upgrade: find its packages, try it, exclude them.

All packages of one kernel build go together. Two trial solves of the whole upgrade, with and without them,
tell whether anything else would change; a kernel module package that needs the new kernel, for one, lets
the kernel in. The goal that DNF works with is not touched, so that nothing has to be taken back from it.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from ..base.names import kernel_packages
from ..exposure import support
from ..host import look
from ..host.files import journal, notices
from ..messages import catalogue
from ..planning import kernel_hold, withheld
from . import packages as goal

if TYPE_CHECKING:
    from ..planning.planner import Session


def apply(session: Session, allow_erasing: bool) -> None:
    """Hold the kernels on offer if the policy wants and proves it; say which, and remember the proof."""
    package = goal.running_package(session.base, session.kernel.release)
    if package is None or session.cannot:
        return
    kernels = offered(session.base, package, session.kernel.release)
    held, why = None, "no kernel newer than the installed ones is offered"
    if kernels:
        held, why = _hold(session, kernels, allow_erasing)
    if os.geteuid() == 0:
        before = notices.read(session.paths)
        old = before.hold
        if held and old and (old.release, old.kernel) == (held.release, held.kernel):
            held = held._replace(since=old.since)
        if notices.save(session.paths, before._replace(hold=held)):
            _note(session, old, held, why)


def _note(session: Session, old: notices.Hold | None, new: notices.Hold | None, why: str) -> None:
    """Have history tell which kernel is held from now on or no longer, and the proof or the reason."""
    if new is not None and (old is None or (old.kernel, old.why) != (new.kernel, new.why)):
        facts = {"nevra": f"{new.name}-{new.kernel}", "reason": new.why, "cves": new.closed}
        journal.remember(session.paths, "hold", kernel=new.release, **facts)
    if new is None and old is not None:
        facts = {"nevra": f"{old.name}-{old.kernel}", "reason": why}
        journal.remember(session.paths, "release", kernel=old.release, **facts)


def _hold(session: Session, kernels: list[Any], allow_erasing: bool) -> tuple[notices.Hold | None, str]:
    """What is held, or None and why not."""
    session.read_inputs()
    seen = session.look_at_kernel()
    nevra = goal.nevra_of(kernels[0])
    inputs, settings = session.inputs, session.config
    now = withheld.moment(time.time())
    good = (look.IN_FORCE, look.SUBSCRIPTION)
    patches = tuple(dict.fromkeys(row.package for row in seen.rows if row.in_force and row.package))
    known = dict(notices.read(session.paths).withdrawn)
    situation = kernel_hold.Situation(
        policy=settings.kernel_update,
        kernel=nevra.evr,
        inputs=inputs,
        exposure=session.exposure(session.in_force),
        in_force=patches,
        absent=tuple(row.package for row in seen.rows if row.installed and row.state not in good),
        withdrawn=tuple(name for name in patches if name in known),
        support_end=support.support_end(inputs, seen.stock.patches),
        now=now,
        hold_below=settings.hold_below,
        eol_warn_days=settings.eol_warn_days,
    )
    verdict = kernel_hold.decide(situation, session.base.sack.evr_cmp)
    why = "" if verdict.hold else verdict.why
    if not why:
        why = keep_out(session.base, members(session.base, kernels), allow_erasing)
    if why:
        session.voice.tell([catalogue.problem("kernel-not-held", kernel=nevra.evr, why=why)])
        return None, why
    facts = {"kernel": nevra.evr, "name": nevra.name, "why": verdict.why}
    session.voice.tell([catalogue.problem("kernel-held", **facts)])
    release = session.kernel.release
    proof = notices.Hold(release, nevra.name, nevra.evr, now, verdict.why, verdict.closed, verdict.left)
    return proof, verdict.why


def offered(base: Any, running: Any, release: str) -> list[Any]:
    """The kernels on offer that are newer than each installed one of this kind, newest first."""
    names = [running.name, *kernel_packages(release)]
    kernels = base.sack.query().filterm(name=names, arch=running.arch)
    newest = running.evr
    for package in kernels.installed():
        if base.sack.evr_cmp(package.evr, newest) > 0:
            newest = package.evr
    found = [package for package in kernels.available() if base.sack.evr_cmp(package.evr, newest) > 0]
    found.sort(key=goal._order, reverse=True)
    return found


def members(base: Any, kernels: list[Any]) -> list[Any]:
    """Every visible package that was built together with one of ``kernels``, those included."""
    found: dict[Any, None] = {}
    for evr, source in sorted({(package.evr, package.sourcerpm or "") for package in kernels}):
        query = base.sack.query().available().filterm(evr=evr)
        for package in query.filterm(sourcerpm=source) if source else ():
            found[package] = None
    found.update(dict.fromkeys(kernels))
    return list(found)


def keep_out(base: Any, packages: list[Any], allow_erasing: bool) -> str:
    """Exclude ``packages``, unless the rest of a bare upgrade would change: then why not, else ""."""
    before = _upgrade(base, allow_erasing)
    if before is None:
        return "the upgrade cannot be resolved as it is"
    chosen = base.sack.query().filterm(pkg=packages)
    base.sack.add_excludes(chosen)
    why = "the trial did not end"
    try:
        why = _differs(before, _upgrade(base, allow_erasing), {str(package) for package in packages})
    finally:
        if why:
            base.sack.remove_excludes(chosen)
    return why


def _differs(before: Any, after: Any, held: set[str]) -> str:
    if after is None:
        return "other updates need it"
    lost = sorted(before["upgrades"] - after["upgrades"] - held)
    if lost:
        return f"{lost[0]} needs it"
    more = sorted(name for key in before for name in after[key] - before[key] - held)
    return f"{more[0]} would change without it" if more else ""


def _upgrade(base: Any, allow_erasing: bool) -> dict[str, frozenset[str]] | None:
    """What a bare upgrade would do, on a goal of its own; None when it cannot be resolved."""
    import dnf.goal

    saved = base._goal
    trial = dnf.goal.Goal(base.sack)
    trial.protect_running_kernel = saved.protect_running_kernel
    base._goal = trial
    try:
        # The class's own method: that of the object may be watched.
        type(base).upgrade_all(base)
    finally:
        base._goal = saved
    solved = trial.run(
        allow_uninstall=allow_erasing,
        force_best=base.conf.best,
        ignore_weak_deps=not base.conf.install_weak_deps,
    )
    return goal._outcome(trial) if solved else None
