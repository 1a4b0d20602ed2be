# SPDX-License-Identifier: GPL-2.0-or-later
"""publish: signed RPMs become packages, advisories and notes of a repository."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import createrepo_c as cr

from ..base.model import Nevra
from ..base.names import ARCHES
from ..toolkit import ticker
from ..toolkit.errors import ToolError
from . import advisories, entries, gate, notes
from .advisories import Incoming
from .lint import patches
from .lint.context import Raised
from .repository import metadata, reading, rpms
from .repository.metadata import nevra_of
from .repository.store import DEBUG, SOURCE, Store
from .repository.view import advisories_by_package
from .settings import AdvisoryFile
from .several import change_all
from .transaction import Change, Job, Next, Outcome, State, admit


def publish(
    root: str, paths: Sequence[str], job: Job, file: AdvisoryFile, again: bool = False
) -> list[Outcome]:
    """Publish the RPM files ``paths``. Raises ToolError, and then nothing has changed.

    With ``again`` a build that was withdrawn and pruned comes back; it stays withdrawn.
    """
    if not job.settings.keys:
        raise ToolError("no-keys")
    given = list(dict.fromkeys(paths))
    items = [(path, rpms.read(path, "")) for path in ticker.over(given, "reading packages")]
    doubtful = gate.signed(items, job.settings.keys)
    _all_matched(root, [package for _, package in items], file)
    steps: list[tuple[str, Change]] = []
    for place, group in parts_of(root, items):
        names = {str(nevra_of(package)) for _, package in group}
        weak = tuple(fault for fault in doubtful if fault[1] in names)
        steps.append((place, _Addition(tuple(group), file, again, weak)))
    return change_all(steps, job.on(root))


def _all_matched(root: str, packages: Iterable[cr.Package], file: AdvisoryFile) -> None:
    """Refuse a glob in the advisory file that matches no live patch, given now or published now or earlier.

    An entry that is passed over would leave the advisory with another id, and ids never change.
    Raises ToolError.
    """
    if not any(entry.get("packages") for entry in file.advisories):
        return
    views = map(metadata.package_view, packages)
    known = [view.nevra for view in views if view.kind == "patch"]
    if not entries.unmatched(file, known):
        return
    for place in dict.fromkeys(root.replace("{arch}", arch) for arch in ARCHES):
        if Store(place).exists():
            view = reading.read(place, ())
            known += [package.nevra for package in view.patches]
            known += [item.nevra for advisory in view.advisories for item in advisory.packages]
    for glob in entries.unmatched(file, known):
        fault = f"packages: {glob!r} fits no live patch of this publish or of {root}"
        raise ToolError("advisory-fault", file=file.path, fault=fault)


def parts_of(
    root: str, items: Sequence[tuple[str, cr.Package]]
) -> list[tuple[str, list[tuple[str, cr.Package]]]]:
    """The repository of each incoming (path, package): sources and debugging data first, then the rest.

    ``{arch}`` in ``root`` is each package's architecture; noarch and source packages go to all.
    """
    arches = sorted({p.arch for _, p in items if p.arch not in ("noarch", "src", "nosrc")}) or ["noarch"]
    found: list[tuple[str, list[tuple[str, cr.Package]]]] = []
    for arch in arches if "{arch}" in root else [""]:
        base = root.replace("{arch}", arch)
        mine = [item for item in items if not arch or item[1].arch in (arch, "noarch", "src", "nosrc")]
        for place in (SOURCE, DEBUG, ""):
            group = [item for item in mine if _place(item[1]) == place]
            if group:
                found.append((os.path.join(base, place) if place else base, group))
    return found


def _patches(state: State) -> Iterator[Nevra]:
    """The published live patches."""
    views = map(metadata.package_view, state.packages.values())
    return (view.nevra for view in views if view.kind == "patch")


def _place(package: cr.Package) -> str:
    if package.arch in ("src", "nosrc"):
        return SOURCE
    return DEBUG if package.name.endswith(("-debuginfo", "-debugsource")) else ""


class _Addition(NamedTuple):
    """Incoming packages, as (file, package), that join one repository with their advisories and notes."""

    group: tuple[tuple[str, cr.Package], ...]
    file: AdvisoryFile
    again: bool = False
    weak: tuple[Raised, ...] = ()

    def decide(self, state: State, job: Job) -> Next:
        """The published content and the new packages. Raises ToolError."""
        packages = dict(state.packages)
        back = self._withdrawn(state)
        files = admit(packages, self.group)
        incoming = []
        for path, package in ticker.over(self.group, "reading manifests"):
            view = metadata.package_view(packages[package.pkgId])
            incoming.append(Incoming(view, rpms.manifests(path, view.files)))
        ticker.begin("writing advisories and checking the result")
        settings = job.settings
        listed = entries.listing(state.advisories, (item.package.nevra for item in incoming))
        drafts = entries.drafts(incoming, self.file, settings, listed)
        there = {nevra_of(package) for package in packages.values()}
        faults = [*back, *self.weak, *advisories.kept(state.advisories, drafts, settings, there)]
        faults += entries.unheard(self.file, drafts, state.advisories, _patches(state))
        updates, added, changed = advisories.merge(
            state.advisories, drafts, settings, job.now, job.stamp, there
        )
        news = {*added, *changed}
        told_of = {
            str(item.nevra): (view.issued, view.id)
            for view in (metadata.advisory_view(u.record()) for u in updates if u.id in news)
            for item in view.packages
        }
        asked = self.file.rollout is not None
        steps = settings.rollout if self.file.rollout is None else self.file.rollout
        names = {item.package.nevra.name for item in incoming}
        views, told = gate.scope(packages.values(), updates, names)
        closes = notes.closing(views, advisories_by_package(told), state.record)
        record = notes.published(state.record, incoming, closes, steps, told_of, job.now, asked)
        # The record is about the kernels of the hosts that use the repository. Sources have no hosts.
        arches = {package.arch for _, package in self.group if not _place(package)}
        texts = notes.of_arches({**settings.kernels, **self.file.kernels}, arches)
        record = notes.stated(record, texts, job.now)
        new = Next(packages, updates, record, files)
        touched = [package for _, package in self.group]
        given = {str(item.package.nevra) for item in incoming}
        if not asked:
            faults += patches.rolled_out(*notes.steady(state.record, given, steps, job.now))
        return new._replace(findings=gate.check(state, new, touched, job, faults))

    def _withdrawn(self, state: State) -> Iterable[Raised]:
        """The faults about withdrawn builds among the incoming. Raises ToolError for one that was pruned."""
        given = {str(nevra_of(package)): package.pkgId for _, package in self.group}
        found = list(patches.taken_back(state.record, given))
        for _check, nevra, facts in found:
            if given[nevra] not in state.packages and not self.again:
                raise ToolError("rpm-withdrawn", (), nevra=nevra, **facts)
        return found
