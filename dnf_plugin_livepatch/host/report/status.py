# SPDX-License-Identifier: GPL-2.0-or-later
"""The state of this host, gathered once for status, cves, metrics, check and the other verbs.

The reader looks at sysfs, the state files and (through ``inventory``) the rpm database. It changes nothing
and needs no privileges, no repository and no dnf. ``judge`` is the pure part.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Sequence

from ...base import times
from ...base.config import Config
from ...base.model import (
    CLOSED_LIVE,
    EXACT,
    UNKNOWN,
    CveState,
    Exposure,
    Hold,
    InstalledModule,
    Kernel,
    LoadedPatch,
    Offered,
    Problem,
    ReconcileResult,
    Unfixable,
)
from ...base.names import same_kernel
from ...base.paths import Paths
from ...base.typed import NamedTuple
from ...exposure import compute, support
from ...exposure.compute import Inputs
from ...exposure.debt import rank
from ...messages import catalogue
from .. import look

#: States of a host on which a live patch is just being loaded or taken out.
MOVING = ("loading", "unloading")
#: States of a patch that is just being loaded or taken out.
_MOVES = (look.LOADING, look.UNLOADING, look.TRANSITION)
#: How often a host is looked at whose runs end while it is looked at.
MAX_LOOKS = 3


class Report(NamedTuple):
    """All facts that the verbs print. ``state`` is ok, attention, loading, unloading, failed, unsupported or
    unknown. ``since`` is when the load or removal under way began and ``until`` when it ends at the latest,
    "" where none is or that is not known.

    ``beyond`` are CVEs that the patches in force close and no advisory for the kernel lists.
    ``modules`` are those of the installed patches; ``kernels`` and ``core`` are ``Inventory``'s.
    ``days_left`` counts to the end of live-patch support, None where that is not known. ``support_usual``:
    that end is only the vendor's usual time, which nobody promised.
    ``retry`` is when systemd tries a stalled load again, "" for never.
    ``offered`` is a live patch that dnf runs saw and did not install, None for none.
    ``held`` are the packages of a kernel update that dnf runs hold, as arguments of dnf.
    ``skipped`` is why nothing is loaded here, such as the kill switch; "" where loading is on.
    ``not_added`` is why DNF adds no live patch to an upgrade, "" where it does.
    ``taints`` are the kernel's taints that matter to live patching, each in words.
    ``unfixable`` are the CVEs that no live patch can close, as the patches and the repositories say.
    ``blocked`` are the packages, installed or not, that this host blocks or that were withdrawn.
    """

    now: str
    kernel: Kernel
    inputs: Inputs
    exposure: Exposure
    beyond: tuple[CveState, ...]
    patches: tuple[look.PatchRow, ...]
    loaded: tuple[LoadedPatch, ...]
    modules: tuple[InstalledModule, ...]
    kernels: tuple[tuple[str, str], ...]
    core: tuple[tuple[str, int], ...]
    installed_known: bool
    state: str
    support_end: str
    days_left: int | None
    retry: str
    skipped: str
    problems: tuple[Problem, ...]
    since: str = ""
    until: str = ""
    not_added: str = ""
    taints: tuple[str, ...] = ()
    offered: Offered | None = None
    support_usual: bool = False
    held: str = ""
    unfixable: tuple[Unfixable, ...] = ()
    blocked: tuple[str, ...] = ()

    def rows(self, state: str) -> tuple[CveState, ...]:
        """Return the CVEs in ``state``, worst severity first."""
        found = [row for row in (*self.exposure.rows, *self.beyond) if row.state == state]
        return tuple(sorted(found, key=lambda row: (-rank(row.severity), row.cve)))


def beyond(exposure: Exposure, rows: Iterable[look.PatchRow]) -> tuple[CveState, ...]:
    """Return the CVEs that the patches in force close and no advisory above the running kernel lists."""
    listed = {row.cve for row in exposure.rows}
    found = {cve: row.module for row in rows if row.in_force for cve in row.cves if cve not in listed}
    return tuple(CveState(cve, CLOSED_LIVE, by=module) for cve, module in sorted(found.items()))


def judge(
    kernel: Kernel,
    rows: Sequence[look.PatchRow],
    exposure: Exposure,
    installed_known: bool,
    problems: Sequence[Problem],
    skipped: str,
    accepted: Container[str] = (),
) -> str:
    """Return the one word for the whole host: the worst that is true. ``accepted`` is ``Guarded``'s."""
    severities = {problem.severity for problem in problems}
    wanted = [
        row
        for row in rows
        if row.installed
        and row.state not in (look.SUBSCRIPTION, look.UNLOADED, look.WITHDRAWN)
        and not (row.state == look.BLOCKED and row.package in accepted)
    ]
    out = [] if skipped else [row for row in wanted if not row.in_force]
    if "error" in severities or any(row.state not in _MOVES for row in out):
        return "failed"
    if any(row.state == look.LOADING or (row.state == look.TRANSITION and row.enabled) for row in out):
        return "loading"
    # A patch that is being taken out is in force until the kernel has begun.
    leaving = [row for row in rows if row.state == look.UNLOADING]
    ours = (row for row in rows if row.owner == "livepatch" and not row.installed)
    if out or leaving or any(row.state == look.TRANSITION for row in ours):
        return "unloading"
    if not kernel.release:
        return "unknown"
    if not kernel.livepatch:
        return "unsupported"
    if not installed_known or exposure.quality == UNKNOWN:
        return "unknown"
    if "warning" in severities or any(row.state != CLOSED_LIVE for row in exposure.rows):
        return "attention"
    return "ok" if exposure.quality == EXACT else "unknown"


def _result(paths: Paths, kernel: Kernel) -> ReconcileResult | None:
    from ..files import mailbox

    result = mailbox.read_result(paths)
    if result is None or (kernel.boot_id and result.boot_id != kernel.boot_id):
        return None
    return result


def _inputs(paths: Paths, settings: Config, release: str, now: str) -> Inputs:
    import time

    from ..files import advisories

    inputs, why = advisories.load(paths, release)
    if inputs is None:
        return compute.unknown(release, why)
    oldest = times.moment(time.time() - settings.cache_max_age)
    return compute.aged(inputs, now, oldest)


def _held(seen: look.Look, release: str) -> Hold | None:
    """Return the kernel update that dnf runs hold, unless it was installed since."""
    hold = seen.noticed.hold
    if hold is None or hold.release != release:
        return None
    kernels = seen.stock.kernels
    return (
        None if any(evr == hold.kernel and same_kernel(name, hold.name) for name, evr in kernels) else hold
    )


def _noticed(seen: look.Look, hold: Hold | None) -> list[Problem]:
    """Return the findings of dnf runs: patches in force that were withdrawn, and a held kernel update."""
    withdrawn = seen.noticed.reasons
    names = dict.fromkeys(row.package for row in seen.rows if row.in_force and row.package in withdrawn)
    found = [catalogue.problem("withdrawn-in-force", nevra=name, why=withdrawn[name]) for name in names]
    if hold is not None:
        facts = {"kernel": hold.kernel, "name": hold.whole, "why": hold.why}
        found.append(catalogue.problem("kernel-held", **facts))
    return found


def _offered(seen: look.Look, release: str) -> Offered | None:
    """Return the live patch on offer that dnf runs left out, unless it came here since, or is kept out."""
    found = seen.noticed.offered
    here = {str(patch.nevra) for patch in seen.stock.patches}
    out = {*seen.guarded.blocked, *seen.noticed.reasons, *here}
    return found if found is not None and found.release == release and found.nevra not in out else None


def _unwritable(paths: Paths) -> list[Problem]:
    """Return why the next run could not write its records, which would keep every load from being made."""
    from ..files import storage

    fault = storage.fault(paths)
    return [fault] if fault is not None else []


class _Moves(NamedTuple):
    """The rows with what is under way, since when, and until when at most; ``asked`` is ``UnderWay``'s."""

    rows: tuple[look.PatchRow, ...]
    since: str = ""
    until: str = ""
    asked: bool = False


def _moves(paths: Paths, settings: Config, seen: look.Look, result: ReconcileResult | None) -> _Moves | None:
    """Return what a reconcile or an RPM transaction is changing now; None where neither is under way."""
    from ..files import mailbox
    from ..packages import rpm_lock

    # An RPM transaction asks for the load of what it has installed at its end: the lock is looked at first.
    new = seen.missing and (result is None or result.desired not in seen.missing)
    installing = new and rpm_lock.held(paths, seen.stock.database)
    busy = mailbox.under_way(paths, result)
    if busy is not None:
        until = times.later(busy.since, int(mailbox.bound(settings)))
        rows = look.under_way(seen.rows, seen.guarded, busy.since, until)
        return _Moves(rows, busy.since, until, busy.asked)
    if installing:
        return _Moves(look.under_way(seen.rows, seen.guarded, "", ""), asked=True)
    return None


def _begun(rows: Sequence[look.PatchRow], moves: _Moves | None) -> str:
    """Return when the change under way began, by the run or, after a run that was killed, by its record."""
    if moves is not None:
        return moves.since
    return min((row.since for row in rows if row.since), default="")


def _overdue(
    paths: Paths, settings: Config, seen: look.Look, rows: Sequence[look.PatchRow], now: str
) -> list[Problem]:
    """Return the load or removal that has not ended in its time; ``rows`` are those of ``seen`` with moves.

    A load that the kernel is at work on counts from its own record, whatever run waits for it now.
    """
    from ..files import mailbox
    from ..kernel import livepatches

    found: list[Problem] = []
    for row, was in zip(rows, seen.rows):
        inside = bool(row.module) and livepatches.coming(paths, row.module)
        began = (was.since if inside else "") or row.since
        until = times.later(began, int(mailbox.bound(settings)))
        if row.state in _MOVES and until and until < now:
            name = "load-overdue" if inside else "change-overdue"
            found.append(catalogue.problem(name, nevra=row.package or row.module, since=began, until=until))
    return sorted(found, key=lambda problem: problem.id != "load-overdue")[:1]


def _vanished(rows: Sequence[look.PatchRow], result: ReconcileResult | None) -> tuple[look.PatchRow, ...]:
    """Return ``rows``, with the last time at which a missing patch was seen in force as the reason."""
    was = {(one.nevra, one.module) for one in result.in_force} if result is not None else set()
    gone = (look.NOT_LOADED, look.DISABLED)
    return tuple(
        row._replace(reason=f"last seen in force at {result.finished}")
        if result is not None and row.state in gone and (row.package, row.module) in was
        else row
        for row in rows
    )


def _file_faults(paths: Paths, kernel: Kernel, seen: look.Look, known: Sequence[Problem]) -> list[Problem]:
    """Return what speaks against the files of the missing patches and is not ``known``."""
    from . import standing

    ids = {problem.id for problem in known}
    return [problem for problem in standing.files(paths, kernel, seen) if problem.id not in ids]


def gather(paths: Paths, settings: Config, faults: Sequence[str] = ()) -> Report:
    """Gather the Report of this host; ``faults`` are the configuration's. Never raises for bad files.

    Where a run of reconcile ends meanwhile, its patch may have been looked at before the load, and the run
    after its end. That would be a false alarm, so the host is then looked at once more.
    """
    for _ in range(MAX_LOOKS):
        before = _last_run(paths)
        report = _gather(paths, settings, faults)
        if _last_run(paths) == before:
            break
    return report


def _last_run(paths: Paths) -> tuple[int, int]:
    """Return two numbers of the last run's result that another run's result has not."""
    try:
        found = os.stat(paths.result)
    except OSError:
        return 0, 0
    return found.st_ino, found.st_mtime_ns


def _gather(paths: Paths, settings: Config, faults: Sequence[str]) -> Report:
    from ..kernel import harm, running, switches

    now = times.now()
    kernel = running.running(paths)
    result = _result(paths, kernel)
    inputs = _inputs(paths, settings, kernel.release, now)
    seen = look.look(paths, kernel, inputs.cover, result, settings.on_withdrawn == "revert")
    stock, rows, missing = seen.stock, seen.rows, seen.missing
    unfixable = support.unfixable(stock.patches)
    exposure = compute.compute(inputs, seen.in_force, unfixable)
    before = result.skipped if result else ""
    skipped = switches.skipped(paths, settings.mode, stock.patches, before, bool(missing))
    moves = None if skipped or paths.foreign else _moves(paths, settings, seen, result)
    rows, missing = (rows, missing) if moves is None else (moves.rows, ())
    rows = _vanished(rows, result)
    end = support.support_end(inputs, stock.patches)
    usual = bool(end) and not support.promised(inputs, stock.patches)
    days = times.days_between(now, end) if end else None
    problems: list[Problem] = []
    # The last run's findings are no news of the run that is under way.
    if result is not None and result.problems and not (moves is not None and moves.asked):
        from . import standing

        problems += standing.standing(paths, seen, result)
    problems += _overdue(paths, settings, seen, rows, now)
    problems += [catalogue.problem("config-fault", fault=fault) for fault in faults]
    if seen.guard_fault:
        problems.append(catalogue.problem("guard-unknown", why=seen.guard_fault))
    if seen.notices_fault:
        problems.append(catalogue.problem("notices-unknown", why=seen.notices_fault))
    if not stock.healthy:
        problems.append(catalogue.problem("inventory-unknown", why=stock.why))
    if not skipped and not any(problem.severity == "error" for problem in problems):
        problems += [catalogue.not_in_force(name, seen.in_force) for name in missing]
    if missing and not skipped:
        problems += _file_faults(paths, kernel, seen, problems)
    if not paths.foreign and any(problem.severity == "error" for problem in problems):
        problems += _unwritable(paths)
    due = support.warning(kernel.release, end, now, settings.eol_warn_days, usual)
    problems += [due] if due is not None else []
    hold = _held(seen, kernel.release)
    problems += _noticed(seen, hold)
    offered = _offered(seen, kernel.release)
    if offered is not None:
        asked_for = settings.mode == "report"
        facts = {"nevra": offered.nevra, "repo": offered.repo, "since": offered.since}
        problems.append(catalogue.problem("patch-offered" if asked_for else "patch-not-taken", **facts))
    state = judge(kernel, rows, exposure, stock.healthy, problems, skipped, seen.guarded.accepted)
    return Report(
        now=now,
        kernel=kernel,
        inputs=inputs,
        exposure=exposure,
        beyond=beyond(exposure, seen.rows),
        patches=rows,
        loaded=seen.loaded,
        modules=tuple(module for patch in stock.patches for module in patch.modules),
        kernels=stock.kernels,
        core=stock.core,
        installed_known=stock.healthy,
        state=state,
        support_end=end,
        days_left=days,
        retry=seen.guarded.retry if seen.guarded.retry > now else "",
        skipped=skipped,
        problems=tuple(problems),
        since=_begun(rows, moves) if state in MOVING else "",
        until=moves.until if moves is not None and state in MOVING else "",
        not_added="" if settings.enabled else "enabled = 0 in livepatch.conf",
        taints=() if paths.foreign else harm.taints(paths),
        offered=offered,
        support_usual=usual,
        held=hold.whole if hold is not None else "",
        unfixable=(*unfixable, *inputs.unfixable),
        blocked=tuple(seen.guarded.blocked) + tuple(seen.noticed.reasons),
    )
