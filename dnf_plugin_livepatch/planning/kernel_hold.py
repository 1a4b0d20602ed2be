# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a kernel update may stay out of a bare upgrade, with the proof. Pure.

``hold-when-covered`` holds only what is proved: the exposure is exact, everything installed to patch the
running kernel is in force, and each CVE that the update fixes is closed live or of a severity below
``hold_below``. Whatever is not known lets the kernel in. The proof is judged anew in every dnf run, so
that a hold ends as soon as one of its conditions does. All packages of one kernel build are held together.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from ..base import times
from ..base.model import CLOSED_LIVE, EXACT, CveState, Exposure, Hold, Problem
from ..base.typed import TYPE_CHECKING, NamedTuple
from ..exposure.compute import Inputs
from ..exposure.debt import rank, rated
from ..messages import catalogue
from .facts import Facts
from .interface import Package, Patched

if TYPE_CHECKING:
    from ..base.model import Compare


INSTALL, COVERED, ALWAYS = "install", "hold-when-covered", "hold"


class Situation(NamedTuple):
    """All that the decision depends on.

    ``policy``, ``hold_below`` and ``eol_warn_days`` are livepatch.conf's.

    ``support_usual``: ``support_end`` is only the vendor's usual time.

    ``kernel`` is the EVR of the newest kernel offered. ``in_force`` are the packages of the live patches in
    force, ``absent`` those that should be and are not, ``withdrawn`` those in force that were withdrawn.
    """

    policy: str
    kernel: str
    inputs: Inputs
    exposure: Exposure
    in_force: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()
    support_end: str = ""
    support_usual: bool = False
    now: str = ""
    hold_below: str = ""
    eol_warn_days: int = 14


class Verdict(NamedTuple):
    """``hold`` and ``why``; of the update's CVEs ``closed`` are closed live, ``left`` are not."""

    hold: bool
    why: str
    closed: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


def decide(situation: Situation, compare: Compare) -> Verdict:
    """Whether the kernels up to ``situation.kernel`` may be held."""
    rows = [row for row in situation.exposure.rows if compare(row.fixed_in, situation.kernel) <= 0]
    closed = tuple(row.cve for row in rows if row.state == CLOSED_LIVE)
    still = [row for row in rows if row.state != CLOSED_LIVE]
    left = tuple(row.cve for row in still)
    if situation.policy == ALWAYS:
        return Verdict(True, f"kernel_update = hold; {_open(situation, left)}", closed, left)
    why = _doubt(situation) if situation.policy == COVERED else "kernel_update = install"
    if why:
        return Verdict(False, why, closed, left)
    needed = [row for row in still if not _low(row, situation.hold_below)]
    if needed:
        named = ", ".join(row.cve for row in needed[:4]) + (" and more" if len(needed) > 4 else "")
        return Verdict(False, f"it closes {named}, which no live patch in force does", closed, left)
    text = f"live patch {', '.join(situation.in_force)} closes {_count(closed)} that it fixes"
    if left:
        text += f" and leaves {_count(left)} below {situation.hold_below} open"
    return Verdict(True, text, closed, left)


def _open(situation: Situation, left: Sequence[str]) -> str:
    if situation.exposure.quality != EXACT:
        return f"what it would close is not fully known ({situation.exposure.reason})"
    return f"it would close {_count(left)}" if left else "nothing that it fixes is open"


def _count(cves: Sequence[str]) -> str:
    return f"{len(cves)} CVE" + ("" if len(cves) == 1 else "s")


def _low(row: CveState, below: str) -> bool:
    return bool(below) and rated(row.severity) and rank(row.severity) < rank(below)


def _doubt(situation: Situation) -> str:
    """Why coverage is not proved, "" when only the CVEs themselves are left to look at."""
    if situation.absent:
        return f"live patch {situation.absent[0]} is not in force"
    if not situation.in_force:
        return "no live patch is in force"
    if situation.withdrawn:
        return f"live patch {situation.withdrawn[0]} was withdrawn by its publisher"
    if situation.exposure.quality != EXACT:
        return f"what it fixes is not fully known ({situation.exposure.reason})"
    end = situation.support_end
    days = times.days_between(situation.now, end)
    if days is not None and days <= situation.eol_warn_days:
        about = "usually end about" if situation.support_usual else "end on"
        return f"live patches for kernel {situation.inputs.kernel_release} {about} {end[:10]}"
    return ""


def offered(facts: Facts) -> list[Package]:
    """The kernels that may be installed and are newer than each installed one of this kind, newest first."""
    running, compare = facts.running, facts.manager.compare
    if running is None:
        return []
    builds = [one.nevra.evr for one in facts.kernels() if one.installed]
    newest = max([running.nevra.evr, *builds], key=functools.cmp_to_key(compare))
    found = list(facts.manager.newer_kernels(facts.kernel_names(), running.nevra.arch, newest))
    found.sort(key=functools.cmp_to_key(facts.newer), reverse=True)
    return found


def hold(
    facts: Facts, kernels: Sequence[Package], inputs: Inputs, patched: Patched, exposure: Exposure
) -> tuple[Hold | None, Sequence[Package], Problem, str]:
    """The hold of the ``kernels`` on offer (newest first) and all that is to be hidden for it, or None.

    The problem tells the user that the kernel is held, or that it is not; last comes the reason.
    """
    host, manager = facts.host, facts.manager
    nevra, settings, known = kernels[0].nevra, host.settings, host.withdrawn()
    situation = Situation(
        policy=settings.kernel_update,
        kernel=nevra.evr,
        inputs=inputs,
        exposure=exposure,
        in_force=patched.packages,
        absent=patched.absent,
        withdrawn=tuple(name for name in patched.packages if name in known),
        support_end=inputs.support_end or patched.support_end or inputs.window_end,
        now=host.now,
        hold_below=settings.hold_below,
        eol_warn_days=settings.eol_warn_days,
    )
    promised = inputs.support_end or patched.support_end
    verdict = decide(situation._replace(support_usual=not promised), manager.compare)
    members = manager.built_with(kernels) if verdict.hold else ()
    why = manager.why_not_without(members) if verdict.hold else verdict.why
    if why or not verdict.hold:
        return None, (), catalogue.problem("kernel-not-held", kernel=nevra.evr, why=why), why
    found = Hold(
        host.kernel.release,
        nevra.name,
        nevra.evr,
        situation.now,
        verdict.why,
        verdict.closed,
        verdict.left,
        tuple(sorted(manager.installed({package.nevra.name for package in members}))),
    )
    facts_of = {"kernel": nevra.evr, "name": found.whole, "why": verdict.why}
    return found, members, catalogue.problem("kernel-held", **facts_of), verdict.why
