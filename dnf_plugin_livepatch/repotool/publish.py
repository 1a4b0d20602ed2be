# SPDX-License-Identifier: GPL-2.0-or-later
"""Changing a repository: a new generation, verified, then one switch; and publish itself."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from typing import Callable, NamedTuple

import createrepo_c as cr

from ..base.model import Nevra
from ..base.names import ARCHES
from ..formats import repository_record
from ..formats.repository_record import Record
from ..toolkit.errors import Finding, ToolError
from . import advisories
from .advisories import Incoming
from .lint import run
from .repository import client, metadata, reading, rpms, signing
from .repository.store import Store, location_of
from .repository.view import MetadataFile, View, arch_of
from .settings import AdvisoryFile, Settings

SOURCE, DEBUG = "source", "debug"


class Outcome(NamedTuple):
    """What one repository became, or would become (``dry_run``)."""

    repository: str
    dry_run: bool
    packages_added: tuple[str, ...] = ()
    packages_removed: tuple[str, ...] = ()
    advisories_added: tuple[str, ...] = ()
    advisories_changed: tuple[str, ...] = ()
    record_changed: tuple[str, ...] = ()
    generation: str = ""
    findings: tuple[Finding, ...] = ()

    @property
    def nothing(self) -> bool:
        """Whether there was nothing to do."""
        return not any(
            (
                self.packages_added,
                self.packages_removed,
                self.advisories_added,
                self.advisories_changed,
                self.record_changed,
            )
        )


class Job(NamedTuple):
    """How to work: ``wait`` seconds for the lock, ``now`` ISO 8601 UTC."""

    settings: Settings
    now: str
    wait: float = 60.0
    dry_run: bool = False

    def on(self, root: str) -> Job:
        """The job for the repository that the caller calls ``root``."""
        return self._replace(settings=self.settings.serving(root))


class State(NamedTuple):
    """What is published now, in createrepo_c's objects by package digest, and its record."""

    packages: dict[str, cr.Package]
    advisories: list[metadata.Update]
    record: Record
    carried: list[tuple[str, str]]


class Next(NamedTuple):
    """What is to be published. ``files`` are (source, location, digest) of RPMs to place.

    ``findings`` are what lint has to say of the change, nothing that forbids it.
    """

    packages: dict[str, cr.Package]
    advisories: list[metadata.Update]
    record: Record
    files: Sequence[tuple[str, str, str]] = ()
    findings: tuple[Finding, ...] = ()


Decide = Callable[[Store, State], Next]


def nevra_of(package: cr.Package) -> Nevra:
    """The NEVRA of a package of the metadata."""
    return Nevra(package.name, package.epoch or "0", package.version, package.release, package.arch)


def load(store: Store) -> State:
    """What ``store`` publishes; nothing for a new one. Raises ToolError."""
    if not store.exists():
        return State({}, [], Record(), [])
    loaded = metadata.load(store.repodata, own=True)
    try:
        record = repository_record.parse(loaded.record) if loaded.record else Record()
    except repository_record.RecordError as error:
        raise ToolError(
            "metadata-unreadable", where=store.root, reason=f"livepatch record: {error}"
        ) from None
    return State(loaded.packages, loaded.updates, record, metadata.carried(store.repodata, loaded.repomd))


def change(root: str, job: Job, decide: Decide) -> Outcome:
    """Under the lock: read, ``decide``, and unless that changes nothing, make it the published state."""
    store = Store(root)
    try:
        with contextlib.nullcontext() if job.dry_run else store.lock(job.wait):
            if not job.dry_run:
                store.sweep(job.settings.grace)
            state = load(store)
            new = decide(store, state)
            outcome = _outcome(store, state, new, job)
            if job.dry_run or (outcome.nothing and store.exists()):
                return outcome
            return outcome._replace(generation=_release(store, state, new, job))
    except OSError as error:
        raise ToolError("disk", reason=f"{error.strerror}: {error.filename or root}") from None
    except cr.CreaterepoCError as error:
        raise ToolError("disk", reason=f"createrepo_c: {error}") from None


def _outcome(store: Store, state: State, new: Next, job: Job) -> Outcome:
    """What the step from ``state`` to ``new`` changes."""
    texts = {update.id: update.text for update in state.advisories}
    return Outcome(
        store.root,
        job.dry_run,
        _names(package for key, package in new.packages.items() if key not in state.packages),
        _names(package for key, package in state.packages.items() if key not in new.packages),
        tuple(update.id for update in new.advisories if update.id not in texts),
        tuple(update.id for update in new.advisories if texts.get(update.id, update.text) != update.text),
        differences(state.record, new.record, job.now),
        findings=new.findings,
    )


def _names(packages: Iterable[cr.Package]) -> tuple[str, ...]:
    return tuple(sorted(str(nevra_of(package)) for package in packages))


def _release(store: Store, state: State, new: Next, job: Job) -> str:
    settings = job.settings
    if not settings.keys:
        raise ToolError("no-keys")
    generation = store.begin()
    done = False
    try:
        store.list_packages(generation, (package.location_href for package in new.packages.values()))
        for source, location, checksum in new.files:
            store.place(source, location, checksum)
        repodata = os.path.join(generation, "repodata")
        text = repository_record.dump(new.record)
        metadata.write(
            repodata,
            new.packages.values(),
            new.advisories,
            text,
            state.carried,
            settings.compression,
            int(advisories.moment(job.now).timestamp()),
        )
        signing.sign(repodata, settings.sign_with, settings.gpg_home)
        store.link_old(generation, settings.grace)
        _verify(store, generation, state, new, text, settings)
        store.switch(store.seal(generation), settings.address(store.root))
        done = True
    finally:
        with contextlib.nullcontext() if done else contextlib.suppress(OSError):
            store.sweep(settings.grace)
    return os.path.basename(os.path.dirname(os.path.realpath(store.repodata)))


def _size(store: Store, location: str) -> int:
    """The size of a file of the repository, -1 for none."""
    try:
        return os.stat(store.at(metadata.safe(location))).st_size
    except OSError:
        return -1


def _verify(store: Store, generation: str, state: State, new: Next, record: str, settings: Settings) -> None:
    """Every file is there, and dnf reads all that is new as it is meant."""
    for package in new.packages.values():
        if not package.location_base and _size(store, package.location_href) != package.size_package:
            raise ToolError("client-refused", reason=f"{package.location_href} is missing or cut short")
    fresh = [nevra_of(package) for key, package in new.packages.items() if key not in state.packages]
    told: dict[Nevra, list[str]] = {}
    before = {update.id: update.text for update in state.advisories}
    for update in new.advisories:
        if before.get(update.id) != update.text:
            view = metadata.advisory_view(update.record())
            for item in view.packages:
                told.setdefault(item.nevra, []).extend(view.cves)
    wanted = {nevra: told[nevra] for nevra in fresh if nevra in told and nevra.arch not in ("src", "nosrc")}
    client.check(generation, settings.keys, fresh, wanted, record)


def parts_of(
    root: str, items: Sequence[tuple[str, cr.Package]]
) -> list[tuple[str, list[tuple[str, cr.Package]]]]:
    """Where each incoming (path, package) belongs: sources and debugging data first, then the rest.

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


def _place(package: cr.Package) -> str:
    if package.arch in ("src", "nosrc"):
        return SOURCE
    return DEBUG if package.name.endswith(("-debuginfo", "-debugsource")) else ""


def publish(root: str, paths: Sequence[str], job: Job, file: AdvisoryFile) -> list[Outcome]:
    """Publish the RPM files ``paths``. Raises ToolError, and then nothing has changed."""
    if not job.settings.keys:
        raise ToolError("no-keys")
    items = [(path, rpms.read(path, "")) for path in dict.fromkeys(paths)]
    for path, (state, detail) in rpms.signatures([path for path, _ in items], job.settings.keys).items():
        if state != "good":
            raise ToolError("rpm-signature", file=path, reason=detail)
    _all_matched(root, [package for _, package in items], file)

    def adding(group: list[tuple[str, cr.Package]]) -> Callable[[Job], Decide]:
        return lambda how: lambda _store, state: _add(state, group, how, file)

    return change_all([(place, adding(group)) for place, group in parts_of(root, items)], job.on(root))


def _all_matched(root: str, packages: Iterable[cr.Package], file: AdvisoryFile) -> None:
    """Raise ToolError for a glob of ``file`` that fits no live patch given, there, or once there.

    An entry passed over would leave the advisory with another id, and ids stay for good.
    """
    views = map(metadata.package_view, packages)
    known = [view.nevra for view in views if view.kind == "patch"]
    if not advisories.unmatched(file, known):
        return
    for place in dict.fromkeys(root.replace("{arch}", arch) for arch in ARCHES):
        if Store(place).exists():
            view = reading.read(place, ())
            known += [package.nevra for package in view.patches]
            known += [item.nevra for advisory in view.advisories for item in advisory.packages]
    for glob in advisories.unmatched(file, known):
        fault = f"packages: {glob!r} fits no live patch of this publish or of {root}"
        raise ToolError("advisory-fault", file=file.path, fault=fault)


def change_all(steps: Sequence[tuple[str, Callable[[Job], Decide]]], job: Job) -> list[Outcome]:
    """Change several repositories in order; none of them when lint refuses any."""
    if len(steps) > 1 and not job.dry_run:
        trial = job._replace(dry_run=True)
        for place, decide in steps:
            found = change(place, trial, decide(trial)).findings
            if run.errors(found):
                raise LintRefused(found)
    return [change(place, job, decide(job)) for place, decide in steps]


def _add(state: State, group: list[tuple[str, cr.Package]], job: Job, file: AdvisoryFile) -> Next:
    packages = dict(state.packages)
    files = admit(packages, group)
    incoming = []
    for path, package in group:
        view = metadata.package_view(packages[package.pkgId])
        incoming.append(Incoming(view, rpms.manifests(path, view.files)))
    settings = job.settings
    updates, added, changed = advisories.merge(
        state.advisories, advisories.drafts(incoming, file, settings), settings, job.now
    )
    told_of = {
        str(item.nevra): (view.issued, view.id)
        for view in (metadata.advisory_view(u.record()) for u in updates if u.id in {*added, *changed})
        for item in view.packages
    }
    steps = settings.rollout if file.rollout is None else file.rollout
    # Each repository tells of the kernels that its hosts may run; those of sources have no hosts.
    arches = {package.arch for _, package in group if not _place(package)}
    texts = {
        release: text
        for release, text in {**settings.kernels, **file.kernels}.items()
        if arches and (arch_of(release) in ("", *arches) or arches == {"noarch"})
    }
    record = advisories.note(state.record, incoming, texts, steps, told_of, job.now)
    new = Next(packages, updates, record, files)
    return new._replace(findings=gate(state, new, [package for _, package in group], job))


def admit(
    packages: dict[str, cr.Package], group: Iterable[tuple[str, cr.Package]]
) -> list[tuple[str, str, str]]:
    """Add the packages of ``group``, which come as (file, package), and return the files to place.

    Raises ToolError when one of them has another content under a name that is published already.
    """
    known = {nevra_of(package): key for key, package in packages.items()}
    files = []
    for path, package in group:
        nevra = nevra_of(package)
        if known.setdefault(nevra, package.pkgId) != package.pkgId:
            raise ToolError("rpm-replaced", nevra=nevra)
        if package.pkgId not in packages:
            package.location_href = location_of(path, package.pkgId)
            files.append((path, package.location_href, package.pkgId))
            packages[package.pkgId] = package
    return files


def gate(state: State, new: Next, touched: Iterable[cr.Package], job: Job) -> tuple[Finding, ...]:
    """What lint finds in the touched packages, others of their names, and their advisories.

    Only what was not wrong before: an old fault must not keep a fix away. Raises LintRefused.
    """
    names = {package.name for package in touched}
    before = _lint(state.packages, state.advisories, state.record, state.record, names, job)
    after = _lint(new.packages, new.advisories, new.record, state.record, names, job)
    known = {(item.check, item.subject) for item in before}
    found = tuple(item for item in after if (item.check, item.subject) not in known)
    if run.errors(found) and not job.dry_run:
        raise LintRefused(found)
    return found


def _lint(
    packages: dict[str, cr.Package],
    updates: Iterable[metadata.Update],
    record: Record,
    published: Record,
    names: set[str],
    job: Job,
) -> list[Finding]:
    views = tuple(metadata.package_view(package) for package in packages.values() if package.name in names)
    ids = {view.nevra for view in views}
    kernels = {release for view in views for release in view.kernels}
    naming = (metadata.advisory_view(update.record()) for update in updates if update.mentions(names))
    part = Record(record.generated, {key: note for key, note in record.kernels.items() if key in kernels})
    view = View(
        "publish",
        "",
        views,
        tuple(advisory for advisory in naming if any(item.nevra in ids for item in advisory.packages)),
        (MetadataFile("updateinfo", "updateinfo", "updateinfo", "sha256"),),
        part,
    )
    ends = {release: text.support_end for release, text in job.settings.kernels.items() if text.support_end}
    found = run.run(view, run.Context(job.now, supported=ends, published=published), job.settings.waivers)
    return [item for item in found if item.check not in ("waiver-unused", "record-patch-unknown")]


class LintRefused(ToolError):
    """lint found errors in what was to be published; ``findings`` are all of them."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        super().__init__("lint-refused", findings, count=len(run.errors(findings)))


def _offered(patch: repository_record.PatchNote, now: str) -> str:
    """To what share of the hosts a live patch is offered, now and later; "" for all of them at once."""
    if not patch.rollout:
        return ""
    later = (f"{step.percent}% from {step.since}" for step in patch.rollout if step.since > now)
    return ", " + ", ".join([f"offered to {repository_record.share(patch, now)}% now", *later])


def differences(old: Record, new: Record, now: str) -> tuple[str, ...]:
    """What changed in the record, one line each; rollouts as they stand at ``now``."""
    found = []
    for release, note in sorted(new.kernels.items()):
        before = old.kernels.get(release, repository_record.KernelNote())
        if note.support_end != before.support_end:
            found.append(f"{release}: support ends {note.support_end}")
        if note.unfixable != before.unfixable:
            found.append(f"{release}: {len(note.unfixable)} CVE(s) that no live patch closes")
        for nevra, patch in sorted(note.patches.items()):
            was = before.patches.get(nevra)
            if patch.withdrawn and not (was and was.withdrawn):
                found.append(f"{nevra}: withdrawn, {patch.withdrawn.reason}")
            elif was is None:
                found.append(f"{nevra}: issued {patch.issued}{_offered(patch, now)}")
    gone = [
        n
        for r, note in old.kernels.items()
        for n in note.patches
        if r not in new.kernels or n not in new.kernels[r].patches
    ]
    return (*found, *(f"{nevra}: no longer noted" for nevra in sorted(gone)))
