# SPDX-License-Identifier: GPL-2.0-or-later
"""Which live patches this host does not take yet, or not at all, and why. Pure.

Four brakes, each from what a trusted repository or livepatch.conf says: a patch that its publisher
withdrew, one whose roll-out has not reached this host, one younger than ``min_age``, one issued after
``cutoff``. A patch that the user names with its version passes all but the first. All times are ISO 8601
in UTC, where text order is time order.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from typing import NamedTuple

from ..base import times
from ..base.model import Nevra, Problem
from ..formats import repository_record
from ..messages import catalogue

WITHDRAWN, ROLLOUT, AGE, CUTOFF = "withdrawn", "rollout", "min_age", "cutoff"


class Host(NamedTuple):
    """What of this host the brakes depend on; ``min_age`` (seconds) and ``cutoff`` are livepatch.conf's."""

    machine_id: str
    now: str
    min_age: int = 0
    cutoff: str = ""


class Brake(NamedTuple):
    """One patch that is kept out: ``cause`` is one of the words above, ``problem`` tells the user."""

    nevra: str
    cause: str
    problem: Problem


def turn(note: repository_record.PatchNote, nevra: str, host: Host) -> str:
    """When the roll-out reaches this host: "" now or before, ``never`` when no step so far says so."""
    percent = repository_record.share(note, host.now)
    if percent >= 100:
        return ""
    place = repository_record.bucket(host.machine_id, note.advisory or nevra)
    if place < percent:
        return ""
    return next((step.since for step in note.rollout if step.percent > place), "never")


def judge(nevra: str, note: repository_record.PatchNote, issued: str, host: Host) -> Brake | None:
    """Why ``nevra``, issued at ``issued`` ("" for unknown), is kept out; None when it is not."""
    if note.withdrawn is not None:
        facts = {"nevra": nevra, "since": note.withdrawn.since[:10], "why": note.withdrawn.reason}
        return Brake(nevra, WITHDRAWN, catalogue.problem("patch-withdrawn", **facts))
    if host.cutoff and issued[:10] > host.cutoff:
        facts = {"nevra": nevra, "issued": issued[:10], "cutoff": host.cutoff}
        return Brake(nevra, CUTOFF, catalogue.problem("patch-cut-off", **facts))
    waits = []
    due = times.later(issued, host.min_age) if host.min_age and issued else ""
    if due > host.now:
        waits.append((due, AGE, f"it was issued on {issued[:10]} and min_age is not over"))
    start = turn(note, nevra, host)
    if start:
        share = repository_record.share(note, host.now)
        waits.append((start, ROLLOUT, f"its roll-out has reached {share} % of the hosts, not this one"))
    if not waits:
        return None
    until, cause, why = max(waits)  # letters sort after digits: "never" is the latest
    until = "its publisher says so" if until == "never" else until
    return Brake(nevra, cause, catalogue.problem("patch-waits", nevra=nevra, until=until, why=why))


def versioned(specs: Iterable[str], nevra: Nevra) -> bool:
    """Did the user name this very build, with its version?"""
    forms = (f"{nevra.name}-{nevra.version}", f"{nevra.name}-{nevra.evr}", str(nevra))
    return any(
        fnmatch.fnmatchcase(form, spec)
        for spec in specs
        if spec.startswith(nevra.name + "-")
        for form in forms
    )
