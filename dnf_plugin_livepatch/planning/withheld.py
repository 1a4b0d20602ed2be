# SPDX-License-Identifier: GPL-2.0-or-later
"""The live patches that this host does not take yet, or not at all, and why. Pure.

Four causes, each from a record of a trusted repository or from livepatch.conf: the publisher withdrew the
patch, its roll-out has not reached this host, it is younger than ``min_age``, it was issued after
``cutoff``. A patch that the user names with its version passes all but the first. All times are ISO 8601
in UTC, where text order is time order.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Container, Iterable, Mapping, Sequence

from ..base import times
from ..base.model import Advisory, Nevra, Problem
from ..base.typed import NamedTuple
from ..formats import repository_record
from ..messages import catalogue
from .facts import Facts, Notes
from .interface import Package
from .request import Asked
from .survey import Survey, blocked_here

WITHDRAWN, ROLLOUT, AGE, CUTOFF = "withdrawn", "rollout", "min_age", "cutoff"
#: The causes that livepatch.conf makes, which no copy in another repository ends.
_OWN = (AGE, CUTOFF)
# The words for the date that counts as the date of issue.
ISSUED, BUILT, SEEN = "issued", "built", "first seen here"


class Limits(NamedTuple):
    """The host's own part in the decision; ``min_age`` (seconds) and ``cutoff`` are livepatch.conf's."""

    machine_id: str
    now: str
    min_age: int = 0
    cutoff: str = ""


class Withheld(NamedTuple):
    """One patch that is kept out: ``cause`` is one of the words above, ``problem`` tells the user."""

    nevra: str
    cause: str
    problem: Problem


def rollout_start(note: repository_record.PatchNote, nevra: str, limits: Limits) -> str:
    """When the roll-out reaches this host: "" now or before, ``never`` when no step so far says so."""
    percent = repository_record.share(note, limits.now)
    if percent >= 100:
        return ""
    place = repository_record.bucket(limits.machine_id, note.advisory or nevra)
    if place < percent:
        return ""
    return next((step.since for step in note.rollout if step.percent > place), "never")


def judge(
    nevra: str, note: repository_record.PatchNote, issued: str, how: str, limits: Limits
) -> Withheld | None:
    """Why ``nevra``, issued at ``issued`` ("" for unknown), is kept out; None when it is not.

    ``how`` is the word for that date.
    """
    if note.withdrawn is not None:
        facts = {"nevra": nevra, "since": note.withdrawn.since[:10], "why": note.withdrawn.reason}
        return Withheld(nevra, WITHDRAWN, catalogue.problem("patch-withdrawn", **facts))
    if limits.cutoff and issued[:10] > limits.cutoff:
        facts = {"nevra": nevra, "how": how, "issued": issued[:10], "cutoff": limits.cutoff}
        return Withheld(nevra, CUTOFF, catalogue.problem("patch-cut-off", **facts))
    waits = []
    due = times.later(issued, limits.min_age) if limits.min_age else ""
    if due > limits.now:
        waits.append((due, AGE, f"it was {how} on {issued[:10]} and min_age is not over"))
    start = rollout_start(note, nevra, limits)
    if start:
        share = repository_record.share(note, limits.now)
        waits.append((start, ROLLOUT, f"its roll-out has reached {share} % of the hosts, not this one"))
    if not waits:
        return None
    until, cause, why = max(waits)  # letters sort after digits: "never" is the latest
    until = "its publisher says so" if until == "never" else until
    return Withheld(nevra, cause, catalogue.problem("patch-waits", nevra=nevra, until=until, why=why))


def versioned(specs: Iterable[str], nevra: Nevra) -> bool:
    """Did the user name this very build, with its version?"""
    forms = (f"{nevra.name}-{nevra.version}", f"{nevra.name}-{nevra.evr}", str(nevra))
    return any(
        fnmatch.fnmatchcase(form, spec)
        for spec in specs
        if spec.startswith(nevra.name + "-")
        for form in forms
    )


def explained(one: Survey, withheld: Mapping[str, Withheld], blocked: Mapping[str, str]) -> Survey:
    """The survey with the reason why the newest patch is hidden, where planning hides it."""
    if one.target.excluded is None:
        return one
    hidden = str(one.target.excluded)
    if hidden in withheld:
        problem = withheld[hidden].problem
    elif hidden in blocked:
        problem = blocked_here(hidden, blocked[hidden])
    else:
        return one
    return one._replace(target=one.target._replace(withheld=problem))


def kept_out(facts: Facts, releases: Sequence[str], asked: Asked) -> dict[str, Withheld]:
    """The live patches of the kernels ``releases`` on offer that are kept out, by NEVRA.

    A patch that the specs name with its version is let in, but a withdrawn one only by a command that takes
    exactly what it names. A patch that several trusted repositories offer is kept out only if each copy is.
    """
    host, settings, notes = facts.host, facts.host.settings, facts.notes(releases)
    found: dict[str, Withheld] = {}
    free: set[str] = set()
    limits = Limits(host.machine_id, host.now, settings.min_age, settings.cutoff)
    rows = [
        _Row(package, _heard(facts, notes, release, package), release)
        for release in releases
        if settings.withholds or _interesting(notes, release)
        for package, match in facts.known(release)
        if not package.installed and match.kind == "patch"
    ]
    dates = _dates(facts, rows) if settings.withholds and rows else {}
    for package, note, release in rows:
        nevra = str(package.nevra)
        verdict = judge(nevra, note, *dates.get(nevra, ("", ISSUED)), limits)
        named = versioned(asked.specs, package.nevra)
        if verdict is not None and (not named or (verdict.cause == WITHDRAWN and not asked.exact)):
            if nevra not in found or verdict.cause in _OWN:
                found[nevra] = verdict
        elif package.repo in facts.trust_in(release).repositories:
            free.add(nevra)
    return {nevra: found[nevra] for nevra in found if nevra not in free or found[nevra].cause in _OWN}


class _Row(NamedTuple):
    """A patch on offer for the kernel ``release``, and its record's note."""

    package: Package
    note: repository_record.PatchNote
    release: str


def _heard(facts: Facts, notes: Notes, release: str, package: Package) -> repository_record.PatchNote:
    heard = facts.trust_in(release).claims | {package.repo}
    return patch_note(notes, release, str(package.nevra), heard)


def patch_note(notes: Notes, release: str, nevra: str, heard: Container[str]) -> repository_record.PatchNote:
    """The note of one patch by the repositories ``heard``; a withdrawal outweighs what others say.

    A repository whose word proves nothing is heard on the packages that it offers, and on no others.
    """
    found = [
        said.note.patches[nevra]
        for said in notes.get(release, ())
        if said.repository in heard and nevra in said.note.patches
    ]
    return next(
        (note for note in found if note.withdrawn), found[0] if found else repository_record.PatchNote()
    )


def free(notes: Notes, releases: Sequence[str]) -> bool:
    """Does no record keep a patch of these kernels out, now or at any other time?"""
    return not any(_interesting(notes, release) for release in releases)


def _interesting(notes: Notes, release: str) -> bool:
    return any(
        patch.withdrawn is not None or patch.rollout
        for said in notes.get(release, ())
        for patch in said.note.patches.values()
    )


def _dates(facts: Facts, rows: Sequence[_Row]) -> dict[str, tuple[str, str]]:
    """By NEVRA, the date that counts as that of the patch's issue, and the word for this date.

    The date is that of its record, else the first one on which an advisory with this very build was issued,
    else that of its build. None of them is believed beyond the day on which this host first saw the patch:
    some publishers renew their dates every day. The date of an advisory's last change is never used. Only a
    repository that is trusted for the kernel shows a patch: others could name it before there is one.
    """
    listed = {str(row.package.nevra): facts.listed(row.package, older=False) for row in rows}
    claimed = _claimed(facts, rows, listed)
    shown = {
        str(row.package.nevra)
        for row in rows
        if row.package.repo in facts.trust_in(row.release).repositories
    }
    seen = facts.host.first_seen(sorted(shown))
    dated = []
    for row in rows:
        nevra, built = str(row.package.nevra), times.moment(row.package.build_time)
        days = [one.issued or claimed.get(one.id, "") for one in listed[nevra]]
        day = row.note.issued or min(filter(None, days), default="")
        date, how = (day, ISSUED) if day else (built, BUILT)
        # A clock that went wrong here makes no patch older than its build, and a builder's none younger.
        bound = max(
            (seen.get(nevra, facts.host.now), SEEN), (built if built <= facts.host.now else "", BUILT)
        )
        dated.append((_strangeness(facts, row), nevra, bound if bound[0] < date else (date, how)))
    # Of equal copies the latest date counts: no copy elsewhere ends the wait.
    dated.sort(key=lambda one: one[2], reverse=True)
    dated.sort(key=lambda one: one[0])
    found: dict[str, tuple[str, str]] = {}
    for _, nevra, day_and_word in dated:
        found.setdefault(nevra, day_and_word)
    return found


def _strangeness(facts: Facts, row: _Row) -> tuple[bool, bool]:
    """Order the copies of one build: repositories whose word counts first, then other trusted ones."""
    trust, repository = facts.trust_in(row.release), row.package.repo
    return repository not in trust.claims, repository not in trust.repositories


def _claimed(facts: Facts, rows: Sequence[_Row], listed: Mapping[str, Sequence[Advisory]]) -> dict[str, str]:
    """The days of issue by advisory, as the trusted repositories' own texts tell them."""
    wanted: dict[str, set[str]] = {}
    for row in rows:
        ids = {one.id for one in listed[str(row.package.nevra)] if not one.issued}
        for name in facts.trust_in(row.release).repositories if ids and not row.note.issued else ():
            wanted.setdefault(name, set()).update(ids)
    found: dict[str, str] = {}
    for repo in facts.repositories:
        if repo.has_advisories and not repo.left_out and repo.id in wanted:
            try:
                days = facts.manager.issued(repo.id, sorted(wanted[repo.id]))
            except (OSError, UnicodeError, MemoryError):
                continue  # the dates of the builds are left
            for identifier, day in days.items():
                found[identifier] = min(found.get(identifier, day), day)
    return found
