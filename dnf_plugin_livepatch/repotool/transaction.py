# SPDX-License-Identifier: GPL-2.0-or-later
"""The transaction of a repository: read it, decide, write a generation, verify it, and switch to it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import createrepo_c as cr

from ..base import names, times
from ..base.model import Nevra
from ..formats import record_parts, repository_record
from ..formats.repository_record import Record
from ..toolkit import ticker
from ..toolkit.errors import Finding, ToolError
from .lint import run
from .repository import client, metadata, signing
from .repository.metadata import nevra_of
from .repository.store import MIRRORS, Store, location_of
from .settings import Settings


class Outcome(NamedTuple):
    """The changes to one repository, made or only tried (``dry_run``).

    ``mended`` are files that an earlier run had left behind, or that were lost since. ``signed`` is true
    where the metadata are signed again, with the same content.
    """

    repository: str
    dry_run: bool
    packages_added: tuple[str, ...] = ()
    packages_removed: tuple[str, ...] = ()
    advisories_added: tuple[str, ...] = ()
    advisories_changed: tuple[str, ...] = ()
    record_changed: tuple[str, ...] = ()
    generation: str = ""
    mended: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    signed: bool = False

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
                self.signed,
            )
        )


class Job(NamedTuple):
    """The circumstances of a change: ``wait`` is in seconds for the lock, ``now`` is ISO 8601 UTC.

    Hosts act by moments that are counted from ``now``. ``stamp`` is the moment that goes into the metadata
    for its own sake, so that it can be made again byte for byte; by default ``now`` too.
    """

    settings: Settings
    now: str
    wait: float = 60.0
    dry_run: bool = False
    stamp: str = ""

    def on(self, root: str) -> Job:
        """The job with addresses for the repository ``root``."""
        return self._replace(settings=self.settings.serving(root))


class State(NamedTuple):
    """The published content: createrepo_c's objects by package digest, advisories, and the record."""

    packages: dict[str, cr.Package]
    advisories: list[metadata.Update]
    record: Record
    carried: list[tuple[str, str]]
    revision: int = 0


class Next(NamedTuple):
    """The content to publish. ``files`` are (source, location, digest) of RPMs to place.

    ``findings`` are those of lint that do not forbid the change. With ``again`` the content is signed and
    published even if it is the published one.
    """

    packages: dict[str, cr.Package]
    advisories: list[metadata.Update]
    record: Record
    files: Sequence[tuple[str, str, str]] = ()
    findings: tuple[Finding, ...] = ()
    again: bool = False


class Change(Protocol):
    """A decision about the content of one repository."""

    def decide(self, state: State, job: Job) -> Next:
        """The content to publish, given what is published now. Raises ToolError."""


def load(store: Store) -> State:
    """The content that ``store`` publishes; empty for a new store. Raises ToolError."""
    if not store.unbroken().exists():
        return State({}, [], Record(), [])
    ticker.begin(f"reading {store.root}")
    repodata = metadata.pinned(store.repodata)
    try:
        loaded = metadata.load(repodata, own=True)
        carried = metadata.carried(repodata, loaded.repomd)
    except ToolError as error:
        if repodata != metadata.pinned(store.repodata):
            return load(store)  # another publisher has switched, and removed what was being read
        error.text = error.text.replace(os.path.dirname(repodata), store.root)
        raise
    try:
        record = repository_record.parse(loaded.record) if loaded.record else Record()
    except repository_record.RecordError as error:
        raise ToolError(
            "metadata-unreadable", where=store.root, reason=f"livepatch record: {error}"
        ) from None
    revision = names.decimal(loaded.repomd.revision or "", 11) or 0
    return State(loaded.packages, loaded.updates, record, carried, revision)


def change(root: str, job: Job, step: Change) -> Outcome:
    """Let ``step`` decide under the lock, and publish its decision unless that changes nothing."""
    store = Store(root)
    before = store.current()
    try:
        with contextlib.nullcontext() if job.dry_run else store.lock(job.wait):
            before = store.current()  # another publisher may have worked while this one waited
            if store.foreign() and not job.settings.address(store.root):
                raise ToolError("mirrorlist-foreign", repo=store.root)
            if not job.dry_run:
                store.sweep(job.settings.grace)
            state = load(store)
            ticker.begin("deciding")
            new = step.decide(state, job)
            if new.record != state.record:
                made = max(job.stamp or job.now, state.record.generated)
                new = new._replace(record=new.record._replace(generated=made))
                _check_record(new.record, store.root)
            outcome = _outcome(store, state, new, job)
            if outcome.nothing and store.exists() and _otherwise(store, job.settings):
                outcome = outcome._replace(signed=True)
            lost = [one for one in new.files if one[2] in state.packages and not store.holds(one[1], one[2])]
            outcome = outcome._replace(mended=tuple(location for _, location, _ in lost))
            if job.dry_run:
                return outcome
            if outcome.nothing and store.exists():
                for source, location, checksum in lost:
                    store.place(source, location, checksum)
                late = store.mirror(job.settings.address(store.root))
                return outcome._replace(mended=(*outcome.mended, *[MIRRORS] * late))
            return outcome._replace(generation=_release(store, state, new, job))
    except OSError as error:
        failure = "disk" if store.current() == before else "disk-published"
        raise ToolError(failure, reason=f"{error.strerror}: {error.filename or root}", repo=root) from None
    except cr.CreaterepoCError as error:
        raise ToolError("disk", reason=f"createrepo_c: {error}") from None


def _otherwise(store: Store, settings: Settings) -> bool:
    """Whether the settings want another compression or key than the published metadata have."""
    how = settings.compression
    wanted = {metadata.ENDINGS[name] for name in (("gz", how) if how == "zck" else (how,))}
    records = metadata.repomd_of(store.repodata).records
    written = [record.location_href or "" for record in records if record.type in ("primary", "primary_zck")]
    if {os.path.splitext(location)[1] for location in written} != wanted:
        return True
    return not signing.same_key(store.repodata, settings.sign_with, settings.gpg_home)


def _check_record(record: Record, root: str) -> None:
    """Raise ToolError ``record-refused`` for a record that a host would refuse, or read as another."""
    try:
        text = repository_record.dump(record)
        same = repository_record.parse(text) == record
        seen = record_parts.cut([text.encode("ascii")], record.kernels)
        same = same and repository_record.parse(seen) == record
    except ValueError as error:
        raise ToolError("record-refused", repo=root, reason=error) from None
    if not same:
        raise ToolError("record-refused", repo=root, reason="it comes back changed")


class LintRefused(ToolError):
    """Lint found errors in the content to be published; ``findings`` are all its findings."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        super().__init__("lint-refused", count=len(run.errors(findings)))
        self.findings = findings


def admit(
    packages: dict[str, cr.Package], group: Iterable[tuple[str, cr.Package]]
) -> list[tuple[str, str, str]]:
    """Add the packages of ``group``, which come as (file, package), and return the files to place.

    The file of a package that is published already is among them: it may have been lost since. Raises
    ToolError when a package differs from the published package of its name.
    """
    known = {nevra_of(package): key for key, package in packages.items()}
    files = []
    for path, package in group:
        nevra = nevra_of(package)
        if known.setdefault(nevra, package.pkgId) != package.pkgId:
            raise ToolError("rpm-replaced", nevra=nevra)
        if package.pkgId not in packages:
            package.location_href = location_of(_file_name(path, nevra), package.pkgId)
            packages[package.pkgId] = package
        there = packages[package.pkgId]
        if not there.location_base and metadata.safe(there.location_href) == there.location_href:
            files.append((path, there.location_href, package.pkgId))
    return files


def _file_name(path: str, nevra: Nevra) -> str:
    """The name under which the RPM at ``path`` is published: its own, if clients take it for an RPM's."""
    name = os.path.basename(path)
    return name if name.endswith(".rpm") else f"{nevra._replace(epoch='0')}.rpm"


def _outcome(store: Store, state: State, new: Next, job: Job) -> Outcome:
    """The changes from ``state`` to ``new``."""
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
        signed=new.again,
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
        for source, location, checksum in ticker.over(new.files, "putting packages in place"):
            store.place(source, location, checksum)
        ticker.begin("writing the metadata")
        repodata = os.path.join(generation, "repodata")
        text = repository_record.dump(new.record)
        metadata.write(
            repodata,
            new.packages.values(),
            new.advisories,
            text,
            state.carried,
            settings.compression,
            # A client that compares revisions must not take the new state for an older one.
            max(times.parse(job.stamp or job.now) or 0, state.revision + 1),
        )
        signing.sign(repodata, settings.sign_with, settings.gpg_home)
        ticker.begin("reading the result as DNF does")
        store.link_old(generation, settings.grace)
        _verify(store, generation, state, new, text, settings)
        store.switch(store.seal(generation), settings.address(store.root))
        done = True
    finally:
        ticker.begin("removing what no client needs any more")
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
    """Check that new files are there, and that dnf reads all new content as meant. Raises ToolError.

    A file that was lost before keeps no fix and no withdrawal away: lint tells of the file.
    """
    added = [package for key, package in new.packages.items() if key not in state.packages]
    for package in added:
        if not package.location_base and _size(store, package.location_href) != package.size_package:
            raise ToolError("client-refused", reason=f"{package.location_href} is missing or cut short")
    fresh = [nevra_of(package) for package in added]
    told: dict[Nevra, list[str]] = {}
    before = {update.id: update.text for update in state.advisories}
    for update in new.advisories:
        if before.get(update.id) != update.text:
            view = metadata.advisory_view(update.record())
            for item in view.packages:
                told.setdefault(item.nevra, []).extend(view.cves)
    wanted = {nevra: told[nevra] for nevra in fresh if nevra in told and nevra.arch not in ("src", "nosrc")}
    client.check(generation, settings.keys, fresh, wanted, record)


def _offered(patch: repository_record.PatchNote, now: str) -> str:
    """The share of the hosts that a live patch is offered to, now and later; "" for all hosts at once."""
    if not patch.rollout:
        return ""
    later = (f"{step.percent}% from {step.since}" for step in patch.rollout if step.since > now)
    return ", " + ", ".join([f"offered to {repository_record.share(patch, now)}% now", *later])


def differences(old: Record, new: Record, now: str) -> tuple[str, ...]:
    """The changes of the record, one line each; rollouts as they are at ``now``."""
    found = []
    for release, note in sorted(new.kernels.items()):
        before = old.kernels.get(release, repository_record.KernelNote())
        if note.support_end != before.support_end:
            found.append(f"{release}: support ends {note.support_end or 'on an unknown day'}")
        if note.unfixable != before.unfixable:
            found.append(f"{release}: {len(note.unfixable)} CVE(s) that no live patch closes")
        for nevra, patch in sorted(note.patches.items()):
            was = before.patches.get(nevra)
            if patch.withdrawn and not (was and was.withdrawn):
                found.append(f"{nevra}: withdrawn, {patch.withdrawn.reason}")
            elif was is None:
                found.append(f"{nevra}: issued {patch.issued}{_offered(patch, now)}")
            elif was.rollout != patch.rollout:
                found.append(
                    f"{nevra}: another rollout{_offered(patch, now) or ', offered to all hosts now'}"
                )
    gone = [
        n
        for r, note in old.kernels.items()
        for n in note.patches
        if r not in new.kernels or n not in new.kernels[r].patches
    ]
    return (*found, *(f"{nevra}: no longer noted" for nevra in sorted(gone)))
