# SPDX-License-Identifier: GPL-2.0-or-later
"""What to add to the user's transaction, and what to say about the rest. Pure.

The adapter (``dnf4/packages.py``) describes the situation; ``decide()`` answers with a plan. The plan can
only ever add live-patch packages for kernels that are installed or being installed: it has no
words for removing, replacing or holding back anything else.
"""

from __future__ import annotations

from typing import NamedTuple

from ..base.model import Nevra, Problem
from ..messages import catalogue

NONE, ALL, NAMED = "none", "all", "named"


class Request(NamedTuple):
    """What the user asked DNF for.

    ``kind``: ``none`` (not an upgrade, or no place for us: ``why`` says which), ``all`` (bare
    upgrade) or ``named`` (upgrade of given packages). ``security`` is True when the upgrade is limited
    to security updates, ``filtered`` when it is limited by any advisory filter, that one included.
    """

    kind: str
    why: str = ""
    security: bool = False
    filtered: bool = False


class Candidate(NamedTuple):
    """One available live-patch build that is newer than what the host will have anyway.

    ``trusted``: it comes from where this host takes kernels. ``gpgcheck``: its repository's
    packages are verified. ``secures``: it closes an open CVE of its kernel. ``passes``: one of its own
    advisories passes the user's filters. ``named``: the user named it. ``wrong``: why it is not what it
    looks like, "" when it is.
    """

    nevra: Nevra
    repo: str
    kind: str = "patch"
    trusted: bool = True
    gpgcheck: bool = True
    secures: bool = False
    passes: bool = False
    named: bool = False
    wrong: str = ""


class Target(NamedTuple):
    """One kernel that shall be patched: ``release``, and whether it is the one that runs.

    ``candidates`` come newest first. ``has`` is the live patch the host will have for this kernel without
    us (installed, or in the user's transaction already). ``excluded`` is a newer one that the
    configuration hides; ``brake`` says so where it is this project that hides it. ``open_cves`` is how many
    CVEs of this kernel are known to be open.
    """

    release: str
    running: bool
    candidates: tuple[Candidate, ...] = ()
    has: Nevra | None = None
    excluded: Nevra | None = None
    open_cves: int = 0
    brake: Problem | None = None


class Situation(NamedTuple):
    """Everything a decision depends on; ``mode`` and ``when`` are livepatch.conf's.

    ``cannot`` is why nothing can be loaded into the running kernel here, "" when it can.
    """

    request: Request
    mode: str = "load"
    when: str = "security"
    targets: tuple[Target, ...] = ()
    cannot: str = ""


class Choice(NamedTuple):
    """For kernel ``release``: add the first of ``candidates`` that resolves."""

    release: str
    candidates: tuple[Candidate, ...]


class Plan(NamedTuple):
    """Packages to add, and what to tell the user."""

    choices: tuple[Choice, ...] = ()
    notes: tuple[Problem, ...] = ()


def wanted(candidate: Candidate, request: Request, when: str) -> bool:
    """Does this request of the user take ``candidate`` along?"""
    if request.kind == NONE:
        return False
    if request.filtered:
        if not (candidate.passes or (request.security and candidate.secures)):
            return False
    if request.kind == ALL or candidate.named:
        return True
    return when == "always" or (when == "security" and candidate.secures)


def decide(situation: Situation) -> Plan:
    """The plan for ``situation``. With ``mode = report`` it adds nothing and says what it would have."""
    if situation.request.kind == NONE:
        return Plan()
    choices: list[Choice] = []
    notes: list[Problem] = []
    for target in situation.targets:
        choice, said = _for_target(target, situation)
        notes.extend(said)
        if choice is None:
            continue
        first = choice.candidates[0]
        if target.running and situation.cannot:
            notes.append(catalogue.problem("patch-no-place", nevra=first.nevra, why=situation.cannot))
        elif situation.mode == "report":
            notes.append(catalogue.problem("patch-offered", nevra=first.nevra, repo=first.repo))
        else:
            choices.append(choice)
    return Plan(tuple(choices), tuple(notes))


def _for_target(target: Target, situation: Situation) -> tuple[Choice | None, list[Problem]]:
    """The choice for one kernel, and at most one note: the newest thing that stands in the way."""
    usable: list[Candidate] = []
    note: Problem | None = None
    for candidate in target.candidates:
        if candidate.kind == "empty" or not wanted(candidate, situation.request, situation.when):
            continue
        refusal = _refusal(candidate)
        if refusal is None:
            usable.append(candidate)
        elif note is None and not usable:
            note = refusal
    if note is None and target.brake is not None:
        note = target.brake
    if note is None and target.excluded is not None and not usable:
        note = catalogue.problem("patch-excluded", nevra=target.excluded)
    if note is None and not usable and _bare(target, situation):
        note = catalogue.problem("patch-absent", release=target.release, count=target.open_cves)
    return (Choice(target.release, tuple(usable)) if usable else None), [note] if note else []


def _refusal(candidate: Candidate) -> Problem | None:
    if candidate.wrong:
        return catalogue.problem("patch-wrong", nevra=candidate.nevra, why=candidate.wrong)
    if not candidate.trusted:
        return catalogue.problem("patch-untrusted", nevra=candidate.nevra, repo=candidate.repo)
    if not candidate.gpgcheck:
        return catalogue.problem("patch-no-gpgcheck", nevra=candidate.nevra, repo=candidate.repo)
    return None


def _bare(target: Target, situation: Situation) -> bool:
    """A running kernel with open CVEs that could be patched, and no live patch at all for it."""
    return (
        target.running
        and target.has is None
        and not any(candidate.kind != "empty" for candidate in target.candidates)
        and target.open_cves > 0
        and situation.request.kind == ALL
        and not situation.cannot
    )
