# SPDX-License-Identifier: GPL-2.0-or-later
"""The candidates to add for one kernel, and the notes on the rest. Pure.

``decide()`` answers with a verdict that can only ever add live-patch packages for a kernel that is
installed or being installed: it has no words for removing, replacing or holding back anything else.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping

from ..base.model import Advisory, Nevra, Problem
from ..base.typed import NamedTuple
from ..exposure.debt import alike
from ..messages import catalogue
from .interface import Package
from .request import ALL, NONE, Asked


class Candidate(NamedTuple):
    """One available live-patch build that is newer than what the host will have anyway.

    ``trusted``: it comes from where this host takes kernels. ``gpgcheck``: its repository's
    packages are verified. ``secures``: it closes an open CVE of its kernel. ``passes``: one of its own
    advisories passes the user's filters. ``named``: the user named it. ``wrong``: why it is not what it
    looks like, "" when it is. ``doubt`` is why its repository is not trusted, a clause. ``outranked`` is the
    repository that DNF prefers, "" for none: DNF itself would not take this build. ``untold``: neither an
    advisory nor the package says what it closes. ``barred``: why the loader would always refuse it, "" when
    it would not.
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
    doubt: str = ""
    outranked: str = ""
    untold: bool = False
    barred: str = ""


class Target(NamedTuple):
    """One kernel that shall be patched: ``release``, and whether it is the one that runs.

    ``candidates`` come newest first. ``has`` is the live patch the host will have for this kernel without
    us (installed, or in the user's transaction already). ``excluded`` is a newer one that the
    configuration hides; ``withheld`` says why where it is this project that hides it. ``open_cves`` is how
    many CVEs of this kernel are known to be open.
    """

    release: str
    running: bool
    candidates: tuple[Candidate, ...] = ()
    has: Nevra | None = None
    excluded: Nevra | None = None
    open_cves: int = 0
    withheld: Problem | None = None


class Situation(NamedTuple):
    """Everything a decision depends on; ``mode`` and ``when`` are livepatch.conf's.

    ``cannot`` is why nothing can be loaded into the running kernel here, "" when it can.
    """

    asked: Asked
    target: Target
    mode: str = "load"
    when: str = "security"
    cannot: str = ""


class Verdict(NamedTuple):
    """Add the first of ``take`` that resolves, and tell the user ``notes``."""

    take: tuple[Candidate, ...] = ()
    notes: tuple[Problem, ...] = ()


def wanted(candidate: Candidate, asked: Asked, when: str) -> bool:
    """Does this request of the user take ``candidate`` along?"""
    if asked.kind == NONE:
        return False
    if asked.filtered:
        if not (candidate.passes or (asked.security and candidate.secures)):
            return False
    if asked.kind == ALL or candidate.named:
        return True
    return when == "always" or (when == "security" and candidate.secures)


def decide(situation: Situation) -> Verdict:
    """The verdict on ``situation``. With ``mode = report`` it takes nothing and says what it would have."""
    if situation.asked.kind == NONE:
        return Verdict()
    target = situation.target
    usable, notes = _judge(target, situation)
    if not usable:
        return Verdict((), tuple(notes))
    first = usable[0]
    if target.running and situation.cannot:
        notes.append(catalogue.problem("patch-no-place", nevra=first.nevra, why=situation.cannot))
    elif situation.mode == "report":
        notes.append(catalogue.problem("patch-offered", nevra=first.nevra, repo=first.repo))
    else:
        return Verdict(tuple(usable), tuple(notes))
    return Verdict((), tuple(notes))


def _judge(target: Target, situation: Situation) -> tuple[list[Candidate], list[Problem]]:
    """The candidates that may be added, and at most one note: the newest thing that stands in the way."""
    usable: list[Candidate] = []
    note: Problem | None = None
    for candidate in target.candidates:
        if candidate.kind == "empty":
            continue
        if not wanted(candidate, situation.asked, situation.when):
            if note is None and not usable and _unjudged(candidate, situation):
                note = catalogue.problem("patch-unjudged", nevra=candidate.nevra)
            continue
        reason = refusal(candidate)
        if reason is None:
            usable.append(candidate)
        elif note is None and not usable:
            note = reason
    if note is None and target.withheld is not None:
        note = target.withheld
    if note is None and target.excluded is not None and not usable:
        note = catalogue.problem("patch-excluded", nevra=target.excluded)
    if note is None and not usable and _bare(target, situation):
        note = catalogue.problem("patch-absent", release=target.release, count=target.open_cves)
    return usable, [note] if note else []


def _unjudged(candidate: Candidate, situation: Situation) -> bool:
    """Is ``candidate`` left out only since nothing tells whether it passes the filter of kinds or CVEs?"""
    asked = situation.asked
    by_kind = asked.security or asked.opaque or set(asked.filters) - {"advisory", "advisory_bug"}
    without = asked._replace(filters={}, security=False, opaque=False)
    good = candidate.untold and refusal(candidate) is None
    return bool(good and by_kind and wanted(candidate, without, situation.when))


def refusal(candidate: Candidate) -> Problem | None:
    """Why ``candidate`` may not be added whatever was asked for; None when it may."""
    facts = {"nevra": candidate.nevra, "repo": candidate.repo}
    if candidate.wrong:
        return catalogue.problem("patch-wrong", nevra=candidate.nevra, why=candidate.wrong)
    if not candidate.trusted:
        return catalogue.problem("patch-untrusted", why=candidate.doubt, **facts)
    if not candidate.gpgcheck:
        return catalogue.problem("patch-no-gpgcheck", **facts)
    if candidate.outranked:
        return catalogue.problem("patch-outranked", other=candidate.outranked, **facts)
    if candidate.barred:
        return catalogue.problem("patch-no-place", nevra=candidate.nevra, why=candidate.barred)
    return None


def _bare(target: Target, situation: Situation) -> bool:
    """A running kernel with open CVEs that could be patched, and no live patch at all for it."""
    return (
        target.running
        and target.has is None
        and not any(candidate.kind != "empty" for candidate in target.candidates)
        and target.open_cves > 0
        and situation.asked.kind == ALL
        and not situation.cannot
    )


def names(specs: Iterable[str], nevra: Nevra) -> bool:
    """Did the user name this package, by name, with version, or by a pattern?"""
    forms = (
        nevra.name,
        f"{nevra.name}.{nevra.arch}",
        f"{nevra.name}-{nevra.evr}",
        str(nevra),
    )
    return any(fnmatch.fnmatchcase(form, spec) for spec in specs for form in forms)


def named(specs: Iterable[str], package: Package) -> bool:
    """Did the user name this package as in ``names``, or by a capability of it?"""
    asked = {" ".join(spec.split()) for spec in specs}
    given = {text for capability in package.provides for text in (capability, capability.partition(" ")[0])}
    return bool(asked & given) or names(asked, package.nevra)


def passes(filters: Mapping[str, frozenset[str]], advisories: Iterable[Advisory]) -> bool:
    """Does one of these advisories pass the filters in effect, "security" left aside?

    Whether a patch is a security update is judged by the CVEs that are open, not by the advisory's own word.
    """
    for advisory in advisories:
        facts = {
            ("advisory_type", "" if advisory.type == "security" else advisory.type),
            ("advisory", advisory.id),
            *(("advisory_cve", cve) for cve in advisory.cves),
            *(("advisory_bug", bug) for bug in advisory.bugs),
        }
        if any(value and value in filters.get(key, ()) for key, value in facts):
            return True
        if any(alike(advisory.severity, word) for word in filters.get("advisory_severity", ())):
            return True
    return False
