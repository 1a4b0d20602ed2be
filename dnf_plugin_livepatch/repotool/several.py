# SPDX-License-Identifier: GPL-2.0-or-later
"""Changes of several repositories: those that are meant, and all of them or each by its own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence

import createrepo_c as cr

from ..toolkit.errors import Finding, ToolError
from .lint import run
from .repository.store import Store, places_of
from .transaction import Change, Job, LintRefused, Outcome, State, change, load


def choosing(
    root: str, globs: Iterable[str], fits: Callable[[State, str], bool], called: str = ""
) -> list[str]:
    """The repositories of ``root`` in which any of ``globs`` fits, and those that cannot be read now.

    Raises ToolError for a glob that fits in none of them; ``called`` then stands for the glob.
    """
    left, found, unread = dict.fromkeys(globs), [], False
    for (place,) in places_of(root):
        try:
            state = load(Store(place))
        except (ToolError, OSError, cr.CreaterepoCError):
            found.append(place)
            unread = True
            continue
        here = [glob for glob in dict.fromkeys(globs) if fits(state, glob)]
        if here:
            found.append(place)
        for glob in here:
            left.pop(glob, None)
    if left and not unread:
        raise ToolError("no-match", what=called or next(iter(left)), repo=root)
    return found


def change_all(steps: Sequence[tuple[str, Change]], job: Job) -> list[Outcome]:
    """Change several repositories in order; none of them when lint refuses any."""
    if len(steps) > 1:
        tried(steps, job)
    return each([("", changes(steps, job))])


def tried(steps: Iterable[tuple[str, Change]], job: Job, but: Sequence[type[ToolError]] = ()) -> None:
    """Try ``steps`` and change nothing. Raises LintRefused, and any ToolError that is none of ``but``."""
    for place, step in () if job.dry_run else steps:
        found: tuple[Finding, ...] = ()
        with contextlib.suppress(*but):
            found = change(place, job._replace(dry_run=True), step).findings
        if run.errors(found):
            raise LintRefused(found)


def changes(steps: Iterable[tuple[str, Change]], job: Job) -> Iterator[Outcome]:
    """Change several repositories one after the other, up to the first that fails."""
    for place, step in steps:
        yield change(place, job, step)


def each(works: Iterable[tuple[str, Iterator[Outcome]]]) -> list[Outcome]:
    """The outcomes of all ``works`` by repository, of which one that fails keeps no other from being done.

    Raises the first ToolError in the end, or Partly where any repository was changed.
    """
    done: list[Outcome] = []
    failed: list[tuple[str, ToolError]] = []
    for place, work in works:
        try:
            for outcome in work:
                done.append(outcome)
        except ToolError as error:
            failed.append((place, error))
    if failed and any((not one.nothing or one.mended) and not one.dry_run for one in done):
        raise Partly(done, failed)
    if failed:
        raise failed[0][1]
    return done


class Partly(ToolError):
    """Some repositories were changed, whose ``outcomes`` these are, and others could not be."""

    def __init__(self, outcomes: Sequence[Outcome], failed: Sequence[tuple[str, ToolError]]) -> None:
        there = ", ".join(one.repository for one in outcomes)
        texts = [(place, error.text) for place, error in failed]
        reasons = [text if place in text else f"{place}: {text}" for place, text in texts]
        super().__init__("partly", done=there, reason="; ".join(reasons))
        self.outcomes = tuple(outcomes)
