# SPDX-License-Identifier: GPL-2.0-or-later
"""kernels: the facts about published kernels, changed without a package in hand."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import createrepo_c as cr

from ..toolkit.errors import ToolError
from . import gate, notes
from .repository import metadata
from .settings import KernelText
from .several import changes, choosing, each, tried
from .transaction import Job, Next, Outcome, State


class Facts(NamedTuple):
    """The facts to state. ``texts`` are those of the settings; without any, ``text`` holds for each kernel.

    ``globs`` choose among the kernels. ``fixable`` are CVEs that are no longer called unfixable, and
    ``endless`` takes the end of support back.
    """

    globs: tuple[str, ...] = ()
    texts: Mapping[str, KernelText] = {}
    text: KernelText = KernelText()
    fixable: tuple[str, ...] = ()
    endless: bool = False

    def wanted(self, state: State) -> dict[str, KernelText]:
        """The texts by kernel, for the kernels of the repository."""
        views = [metadata.package_view(package) for package in state.packages.values()]
        if self.texts:
            arches = {view.nevra.arch for view in views if view.nevra.arch not in ("src", "nosrc")}
            texts: Mapping[str, KernelText] = notes.of_arches(self.texts, arches)
        else:
            known = {release for view in views for release in view.kernels}
            texts = dict.fromkeys(sorted({*known, *state.record.kernels}), self.text)
        return {release: text for release, text in texts.items() if self._fits(release)}

    def _fits(self, release: str) -> bool:
        return not self.globs or any(fnmatch.fnmatchcase(release, glob) for glob in self.globs)

    def decide(self, state: State, job: Job) -> Next:
        """The published content with the facts in the notes of the kernels."""
        texts = self.wanted(state)
        record = notes.stated(state.record, texts, job.now, self.fixable, self.endless)
        new = Next(state.packages, state.advisories, record)
        touched = _of_kernels(state.packages.values(), texts)
        return new._replace(findings=gate.check(state, new, touched, job))


def _of_kernels(packages: Iterable[cr.Package], releases: Mapping[str, object]) -> list[cr.Package]:
    """The packages that patch one of ``releases``."""
    return [
        package
        for package in packages
        if any(release in releases for release in metadata.package_view(package).kernels)
    ]


def state(root: str, facts: Facts, job: Job) -> list[Outcome]:
    """Write ``facts`` into the record of the repository ``root``. Raises ToolError."""
    places = choosing(
        root,
        facts.globs or ("*",),
        lambda state, glob: bool(facts._replace(globs=(glob,)).wanted(state)),
        "" if facts.globs else "'kernels' in the settings",
    )
    here = job.on(root)
    if len(places) > 1:
        tried([(place, facts) for place in places], here, (ToolError,))
    return each((place, changes([(place, facts)], here)) for place in places)
