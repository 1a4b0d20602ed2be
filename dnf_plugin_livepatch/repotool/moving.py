# SPDX-License-Identifier: GPL-2.0-or-later
"""promote, withdraw and prune: what happens to packages that are published already."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Callable

import createrepo_c as cr

from ..formats import repository_record
from ..formats.repository_record import PatchNote, Record, Withdrawn
from ..toolkit.errors import Finding, ToolError
from . import advisories, retention
from .lint.catalogue import CATALOGUE
from .publish import (
    DEBUG,
    SOURCE,
    Decide,
    Job,
    Next,
    Outcome,
    State,
    admit,
    change,
    change_all,
    gate,
    load,
    nevra_of,
)
from .repository import metadata
from .repository.store import Store, places_of
from .repository.view import Package, aside, by_kernel, withdrawn


def matching(packages: Iterable[cr.Package], globs: Sequence[str]) -> list[cr.Package]:
    """Those whose name, name-version-release or NEVRA fits one of ``globs``."""
    return [package for package in packages if advisories.fits(nevra_of(package), globs)]


def promote(source: str, target: str, globs: Sequence[str], job: Job) -> list[Outcome]:
    """Publish in ``target`` the same bytes, advisories and issue dates that ``source`` has.

    What was withdrawn stays behind, since hosts without the plugin would take it, but its withdrawal comes
    along for a target that has it already. ``{arch}`` in both is each architecture that ``source`` has.
    """
    steps = [step for place, goal in places_of(source, target) for step in _promotion(place, goal, globs)]
    if not steps:
        raise ToolError("no-match", what=" ".join(globs), repo=source)
    return change_all(steps, job.on(target))


def _promotion(source: str, target: str, globs: Sequence[str]) -> list[tuple[str, Callable[[Job], Decide]]]:
    """The steps that promote what fits from one repository to another; none where nothing does."""
    published = load(Store(source))
    chosen = matching(published.packages.values(), globs)
    good = [package for package in chosen if str(nevra_of(package)) not in _withdrawn(published.record)]
    if not chosen or not (good or Store(target).exists()):
        return []
    origins = {package.rpm_sourcerpm for package in good}
    wanted = {package.pkgId for package in good}
    steps: list[tuple[str, Callable[[Job], Decide]]] = []

    def taking(state: State, group: list[tuple[str, cr.Package]]) -> Callable[[Job], Decide]:
        return lambda how: lambda _store, there: _take(there, state, group, how)

    for place in (SOURCE, DEBUG, ""):
        start = Store(os.path.join(source, place) if place else source)
        if not start.exists():
            continue
        state = load(start)
        group = [
            (start.at(metadata.safe(package.location_href)), package)
            for package in state.packages.values()
            if (package.pkgId in wanted if not place else _origin(package) in origins)
        ]
        if group or not place:
            steps.append((os.path.join(target, place) if place else target, taking(state, group)))
    return steps


def _withdrawn(record: Record) -> set[str]:
    """The NEVRAs of what was taken back for any kernel."""
    notes = (item for note in record.kernels.values() for item in note.patches.items())
    return {nevra for nevra, patch in notes if patch.withdrawn}


def _origin(package: cr.Package) -> str:
    """The file name of the source package that ``package`` was built from, or is."""
    return str(package.rpm_sourcerpm or package.location_href.rsplit("/", 1)[-1])


def _take(there: State, state: State, group: list[tuple[str, cr.Package]], job: Job) -> Next:
    packages = dict(there.packages)
    files = admit(packages, group)
    names = {nevra_of(package) for package in packages.values()}
    old = {update.id: place for place, update in enumerate(there.advisories)}
    updates = list(there.advisories)
    wanted = {nevra_of(package) for _, package in group}
    for update in state.advisories:
        if not update.mentions({nevra.name for nevra in wanted}):
            continue
        whole = update.record()
        if not wanted & {item.nevra for item in metadata.advisory_view(whole).packages}:
            continue
        fitting = advisories.restricted(whole, names)
        if fitting is not whole:
            update = metadata.update_of(fitting)
        if update.id in old:
            updates[old[update.id]] = update
        else:
            updates.append(update)
    record = _note_taken(there.record, state.record, {str(nevra) for nevra in wanted}, job)
    new = Next(packages, updates, record, files)
    return new._replace(findings=gate(there, new, [package for _, package in group], job))


def _note_taken(record: Record, source: Record, nevras: set[str], job: Job) -> Record:
    """The notes of ``nevras`` come along: issue dates as they are, a rollout of the target's own.

    So do the withdrawals of all that is noted already.
    """
    kernels = dict(record.kernels)
    for release, note in source.kernels.items():
        taken = {
            nevra: patch._replace(rollout=advisories.rollout(job.settings.rollout, job.now))
            for nevra, patch in note.patches.items()
            if nevra in nevras
        }
        old = kernels.get(release, repository_record.KernelNote())
        known = {
            nevra: patch._replace(
                withdrawn=patch.withdrawn or note.patches.get(nevra, PatchNote()).withdrawn
            )
            for nevra, patch in old.patches.items()
        }
        if taken:
            kernels[release] = note._replace(
                support_end=note.support_end or old.support_end, patches={**taken, **known}
            )
        elif known != old.patches:
            kernels[release] = old._replace(patches=known)
    changed = kernels != dict(record.kernels)
    return Record(job.now if changed or not record.generated else record.generated, kernels)


def withdraw(root: str, globs: Sequence[str], reason: str, job: Job) -> list[Outcome]:
    """Mark live patches as taken back: hosts stop adding them. Packages and advisories stay."""

    def fitting(state: State) -> list[Package]:
        views = map(metadata.package_view, matching(state.packages.values(), globs))
        return [package for package in views if package.kind == "patch"]

    def decide(_store: Store, state: State) -> Next:
        chosen = fitting(state)
        kernels = dict(state.record.kernels)
        for package in chosen:
            for release in package.kernels:
                note = kernels.get(release, repository_record.KernelNote())
                patch = note.patches.get(str(package.nevra), PatchNote())
                if patch.withdrawn is None:
                    patch = patch._replace(withdrawn=Withdrawn(job.now, reason))
                kernels[release] = note._replace(patches={**note.patches, str(package.nevra): patch})
        record = Record(job.now, kernels)
        return Next(state.packages, state.advisories, record, findings=_left_without(state, record, chosen))

    places = [place for (place,) in places_of(root) if fitting(load(Store(place)))]
    if not places:
        raise ToolError("no-match", what=" ".join(globs), repo=root)
    return [change(place, job.on(root), decide) for place in places]


def _left_without(state: State, record: Record, chosen: Iterable[Package]) -> tuple[Finding, ...]:
    """The kernels of ``chosen`` of which ``record`` leaves no live patch, as findings.

    Warnings, whatever lint calls them: to take a bad patch back is right even where no other is there.
    """
    views = tuple(metadata.package_view(package) for package in state.packages.values())
    groups = by_kernel(tuple(view for view in views if view.kind == "patch"))
    touched = {package.nevra for package in chosen}
    bare = [
        kernel
        for kernel, group in sorted(groups.items())
        if any(package.nevra in touched for package in group)
        and all(withdrawn(record, kernel[0], package) for package in group)
    ]
    check = "kernel-all-withdrawn"
    _, text, remedy = CATALOGUE[check]
    return tuple(
        Finding(check, "warning", kernel[0], text.format(where=aside(kernel)), remedy) for kernel in bare
    )


def prune(root: str, keep: int, job: Job) -> list[Outcome]:
    """Take live patches out that later ones replace; the files go when no generation lists them."""
    return [outcome for (place,) in places_of(root) for outcome in _prune(place, keep, job.on(root))]


def _prune(root: str, keep: int, job: Job) -> list[Outcome]:
    gone: set[str] = set()

    def decide(store: Store, state: State) -> Next:
        views = {key: metadata.package_view(package) for key, package in state.packages.items()}
        if store.root == os.path.abspath(root):
            drop = {
                key
                for key, view in views.items()
                if view in retention.droppable(tuple(views.values()), state.record, keep)
            }
            stay = {view.source for key, view in views.items() if key not in drop}
            gone.update(views[key].source for key in drop if views[key].source not in stay)
        else:
            drop = {
                key
                for key, view in views.items()
                if (view.source or view.location.rsplit("/", 1)[-1]) in gone
            }
        names = {str(views[key].nevra) for key in drop}
        kernels = {
            release: note._replace(patches={n: p for n, p in note.patches.items() if n not in names})
            for release, note in state.record.kernels.items()
        }
        record = Record(job.now, kernels) if drop else state.record
        rest = {key: package for key, package in state.packages.items() if key not in drop}
        return Next(rest, state.advisories, record)

    places = [root, os.path.join(root, SOURCE), os.path.join(root, DEBUG)]
    return [change(place, job, decide) for place in places if place == root or Store(place).exists()]
