# SPDX-License-Identifier: GPL-2.0-or-later
"""promote, sign, withdraw and prune: changes to what is published already."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import createrepo_c as cr

from ..base.model import Nevra
from ..formats import repository_record
from ..formats.repository_record import PatchNote, Record, Withdrawn
from ..toolkit.errors import Finding, ToolError
from . import advisories, entries, gate, notes, retention
from .lint import patches
from .lint.catalogue import CATALOGUE
from .lint.context import Raised
from .repository import metadata
from .repository.metadata import nevra_of
from .repository.store import DEBUG, SOURCE, Store, places_of
from .repository.view import Package, advisories_by_package, aside, by_kernel, withdrawn
from .settings import KernelText
from .several import change_all, changes, choosing, each
from .transaction import Change, Job, Next, Outcome, State, admit, change, load


def matching(packages: Iterable[cr.Package], globs: Sequence[str]) -> list[cr.Package]:
    """The packages whose name, name-version-release or NEVRA fits one of ``globs``."""
    return [package for package in packages if entries.fits(nevra_of(package), globs)]


def promote(source: str, target: str, globs: Sequence[str], job: Job) -> list[Outcome]:
    """Publish in ``target`` the same bytes, advisories and issue dates that ``source`` has.

    Live patches that either repository withdrew stay behind, because hosts without the plugin would take
    them. For a target that has such a patch already, the withdrawal comes along. The facts about kernels
    are those of both repositories and of the settings. ``{arch}`` is each architecture of ``source``.
    """
    kernels = job.settings.kernels
    choosing(source, globs, lambda state, glob: bool(matching(state.packages.values(), (glob,))))
    steps = [
        step
        for place, goal in places_of(source, target)
        for step in _promotions(place, goal, globs, kernels)
    ]
    if not steps:
        raise ToolError("no-match", what=" ".join(globs), repo=source)
    return change_all(steps, job.on(target))


def _promotions(
    source: str, target: str, globs: Sequence[str], kernels: Mapping[str, KernelText]
) -> list[tuple[str, Change]]:
    """The steps that promote the fitting packages of ``source`` to ``target``; none where none fits."""
    published = load(Store(source))
    chosen = matching(published.packages.values(), globs)
    behind = _behind(target, chosen)
    left = behind | notes.withdrawn_names(published.record)
    good = [package for package in chosen if str(nevra_of(package)) not in left]
    if not chosen or not (good or Store(target).exists()):
        return []
    origins = {package.rpm_sourcerpm for package in good}
    wanted = {package.pkgId for package in good}
    steps: list[tuple[str, Change]] = []

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
        if not place:
            steps.append((target, _Promotion(state, tuple(group), behind, kernels)))
        elif group:
            steps.append((os.path.join(target, place), _Promotion(state, tuple(group))))
    return steps


def _behind(target: str, packages: Iterable[cr.Package]) -> frozenset[str]:
    """Those of ``packages`` that ``target`` withdrew and has no more: they do not come back as good ones."""
    if not Store(target).exists():
        return frozenset()
    state = load(Store(target))
    there = {str(nevra_of(package)) for package in state.packages.values()}
    given = {str(nevra_of(package)) for package in packages}
    return frozenset(given & notes.withdrawn_names(state.record) - there)


def _origin(package: cr.Package) -> str:
    """The file name of the source package that ``package`` was built from, or is."""
    return str(package.rpm_sourcerpm or package.location_href.rsplit("/", 1)[-1])


class _Promotion(NamedTuple):
    """Packages of the repository ``origin``, as (file, package), with its advisories and notes of them.

    ``behind`` are those that the target withdrew and pruned. ``kernels`` are the settings' texts.
    """

    origin: State
    group: tuple[tuple[str, cr.Package], ...]
    behind: frozenset[str] = frozenset()
    kernels: Mapping[str, KernelText] = {}

    def decide(self, state: State, job: Job) -> Next:
        """The published content and the packages of ``group``. Raises ToolError."""
        packages = dict(state.packages)
        files = admit(packages, self.group)
        coming = [item for item in self.group if item[1].pkgId not in state.packages]
        doubtful = gate.signed(coming, job.settings.keys)
        wanted = {nevra_of(package) for _, package in self.group}
        updates, unlike = self._advisories(state, packages.values(), wanted)
        touched = [package for _, package in self.group]
        views, told = gate.scope(packages.values(), updates, {package.name for package in touched})
        closes = notes.closing(views, advisories_by_package(told), state.record)
        chosen, steps = {str(nevra) for nevra in wanted}, job.settings.rollout
        record = notes.taken(state.record, self.origin.record, chosen, closes, steps, job.now)
        texts = notes.of_arches(self.kernels, {package.arch for package in touched})
        record = notes.stated(record, texts, job.now)
        new = Next(packages, updates, record, files)
        faults = [*doubtful, *unlike, *patches.taken_back(state.record, self.behind)]
        faults += patches.rolled_out(*notes.steady(state.record, chosen, steps, job.now))
        return new._replace(findings=gate.check(state, new, touched, job, faults))

    def _advisories(
        self, state: State, packages: Iterable[cr.Package], wanted: set[Nevra]
    ) -> tuple[list[metadata.Update], list[Raised]]:
        """The published advisories and those of ``wanted``, with the faults. Raises ToolError.

        ``packages`` are those of the target. Where both repositories have an advisory, the texts are those
        of the state that was written later, and the packages those of both.
        """
        there = {nevra_of(package): package for package in packages}
        old = {update.id: place for place, update in enumerate(state.advisories)}
        updates = list(state.advisories)
        faults: list[Raised] = []
        called = {nevra.name for nevra in wanted}
        for update in self.origin.advisories:
            if not update.mentions(called):
                continue
            whole = update.record()
            if not wanted & {item.nevra for item in metadata.advisory_view(whole).packages}:
                continue
            fitting = advisories.restricted(whole, there)
            if update.id not in old:
                updates.append(update if fitting is whole else metadata.update_of(fitting))
                continue
            before = updates[old[update.id]]
            mine = before.record()
            found = advisories.joined(mine, fitting, lambda nevra: _own_cves(there.get(nevra)))
            faults += [*advisories.kept_out(found, mine), *advisories.kept_out(found, whole)]
            same = before if found is mine else update if found is whole else metadata.update_of(found)
            updates[old[update.id]] = same
        return updates, faults


def _own_cves(package: cr.Package | None) -> Iterable[str]:
    """The CVEs that the package itself names; none for a package that is not there."""
    return metadata.package_view(package).own_cves if package else ()


def sign(root: str, job: Job) -> list[Outcome]:
    """Sign the metadata of a repository and its companions again, with the same content."""
    found = []
    for (place,) in places_of(root):
        companions = (os.path.join(place, SOURCE), os.path.join(place, DEBUG))
        found += [*(path for path in companions if Store(path).begun()), place]
    here = job.on(root)
    return each((place, changes([(place, _Again())], here)) for place in found)


class _Again(NamedTuple):
    """The published content once more."""

    def decide(self, state: State, job: Job) -> Next:
        """The published content, to be signed again."""
        return Next(state.packages, state.advisories, state.record, again=True)


def withdraw(root: str, globs: Sequence[str], reason: str, job: Job) -> list[Outcome]:
    """Mark live patches as withdrawn: hosts stop adding them. Packages and advisories stay."""
    places = choosing(root, globs, lambda state, glob: bool(_Withdrawal((glob,), reason).fitting(state)))
    step, here = _Withdrawal(tuple(globs), reason), job.on(root)
    return each((place, changes([(place, step)], here)) for place in places)


class _Withdrawal(NamedTuple):
    """The withdrawal of the live patches that fit ``globs``."""

    globs: tuple[str, ...]
    reason: str

    def fitting(self, state: State) -> list[Package]:
        """The published live patches that fit."""
        views = map(metadata.package_view, matching(state.packages.values(), self.globs))
        return [package for package in views if package.kind == "patch"]

    def decide(self, state: State, job: Job) -> Next:
        """The published content with a withdrawal in each note of a live patch that fits."""
        chosen = self.fitting(state)
        kernels = dict(state.record.kernels)
        for package in chosen:
            for release in package.kernels:
                note = kernels.get(release, repository_record.KernelNote())
                patch = note.patches.get(str(package.nevra), PatchNote())
                if patch.withdrawn is None:
                    patch = patch._replace(withdrawn=Withdrawn(job.now, self.reason))
                kernels[release] = note._replace(patches={**note.patches, str(package.nevra): patch})
        record = Record(job.now, kernels)
        return Next(state.packages, state.advisories, record, findings=_left_without(state, record, chosen))


def _left_without(state: State, record: Record, chosen: Iterable[Package]) -> tuple[Finding, ...]:
    """The kernels of ``chosen`` of which ``record`` leaves no live patch, as findings.

    They are warnings, whatever lint calls them: a bad patch must be withdrawn even if no other is left.
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
    name = "kernel-all-withdrawn"
    check = CATALOGUE[name]
    return tuple(
        Finding(name, "warning", kernel[0], check.text.format(where=aside(kernel)), check.remedy)
        for kernel in bare
    )


def prune(root: str, keep: int, job: Job) -> list[Outcome]:
    """Drop live patches that later ones replace; their files go when no generation lists them."""
    here = job.on(root)
    return each((place, _prune(place, keep, here)) for (place,) in places_of(root))


def _prune(root: str, keep: int, job: Job) -> Iterator[Outcome]:
    """Prune one repository, and then the sources and debugging data of the dropped patches."""
    places = [os.path.join(root, SOURCE), os.path.join(root, DEBUG)]
    patches = _PruneOfPatches(keep, any(Store(place).begun() for place in places))
    yield change(root, job, patches)
    companions = _PruneOfCompanions(frozenset(patches.sources))
    yield from changes([(place, companions) for place in places if Store(place).begun()], job)


class _PruneOfPatches:
    """Drops live patches that later ones replace; ``sources`` are then their own source packages.

    With ``before`` they are those of the patches too that an earlier run dropped, whose end it did not see.
    """

    def __init__(self, keep: int, before: bool = False) -> None:
        self._keep = keep
        self._before = before
        self.sources: set[str] = set()

    def decide(self, state: State, job: Job) -> Next:
        """The published content without the replaced patches."""
        views = {key: metadata.package_view(package) for key, package in state.packages.items()}
        replaced = set(retention.droppable(tuple(views.values()), state.record, self._keep))
        drop = {key for key, view in views.items() if view in replaced}
        used = {view.source for key, view in views.items() if key not in drop}
        self.sources = {views[key].source for key in drop}
        self.sources |= _sources_of_old(state) if self._before else set()
        self.sources -= used
        return _without(state, drop, job)


def _sources_of_old(state: State) -> set[str]:
    """The source packages of all builds that the advisories or the record know, here or dropped."""
    found = {
        f"{name.rsplit('.', 1)[0]}.src.rpm" for n in state.record.kernels.values() for name in n.patches
    }
    for update in state.advisories:
        for collection in update.record().collections:
            for item in collection.packages:
                found.add(item.src or f"{item.name}-{item.version}-{item.release}.src.rpm")
    return found


class _PruneOfCompanions(NamedTuple):
    """Drops the source packages ``sources`` and the debugging data built from them."""

    sources: frozenset[str]

    def decide(self, state: State, job: Job) -> Next:
        """The published content without the packages that belong to ``sources``."""
        drop = {key for key, package in state.packages.items() if _origin(package) in self.sources}
        return _without(state, drop, job)


def _without(state: State, drop: set[str], job: Job) -> Next:
    """The content of ``state`` without the packages ``drop``.

    The record still speaks of withdrawn packages, so that nobody publishes one again as good, and of the
    others while their kernel has a live patch: an issue date never changes.
    """
    names = {str(nevra_of(state.packages[key])) for key in drop}
    views = (metadata.package_view(package) for key, package in state.packages.items() if key not in drop)
    patched = {release for view in views if view.kind == "patch" for release in view.kernels}
    kernels = {
        release: note._replace(
            patches={
                n: p for n, p in note.patches.items() if release in patched or p.withdrawn or n not in names
            }
        )
        for release, note in state.record.kernels.items()
    }
    record = state.record if kernels == dict(state.record.kernels) else Record(job.now, kernels)
    rest = {key: package for key, package in state.packages.items() if key not in drop}
    return Next(rest, state.advisories, record)
