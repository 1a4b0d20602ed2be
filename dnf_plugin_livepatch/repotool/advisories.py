# SPDX-License-Identifier: GPL-2.0-or-later
"""Advisories for packages that are about to be published.

An advisory is made from the manifests inside the RPMs; an optional advisory.yml wins over them. The
advisory lists every CVE that the (cumulative) patch closes, because dnf reads the advisory of the
newest build only. Ids and issue dates never change once published. Everything else can be corrected. An
advisory of a live patch never suggests a reboot.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import createrepo_c as cr

from ..base import times
from ..base.model import Manifest, Nevra
from ..base.names import decimal
from ..toolkit.errors import ToolError
from .lint.advisories import left_behind, not_joined, rights_kept
from .lint.context import Raised
from .repository.metadata import Update, advisory_view, issued_of, nevra_of, update_of, value_of
from .repository.view import SEVERITIES, Advisory, Package, cve_order
from .settings import DEFAULTS, Settings

_WORDS = {
    "critical": "Critical",
    "important": "Important",
    "high": "Important",
    "moderate": "Moderate",
    "medium": "Moderate",
    "low": "Low",
}
_ATTRIBUTES = (
    "fromstr",
    "status",
    "type",
    "version",
    "id",
    "title",
    "issued_date",
    "updated_date",
    "rights",
    "release",
    "pushcount",
    "severity",
    "summary",
    "description",
    "solution",
)
_CVE_URL = "https://www.cve.org/CVERecord?id="
# The forms of the texts that are made here. Any other text of a published advisory is the publisher's.
_MADE = {
    "title": re.compile(r"Live patch for kernel (\S+(?:, \S+)*)\Z"),
    "summary": re.compile(r"Closes \d+ CVE\(s\) of the running kernel without a reboot\.\Z"),
    "description": re.compile(
        r"(?:Cumulative live patch for kernel \S+\.\n)+It covers these kernel releases"
    ),
    "solution": re.compile(r"Run 'dnf upgrade'\. No reboot is needed\.\Z"),
}
_COVERED = re.compile(r"^Cumulative live patch for kernel (\S+)\.$", re.MULTILINE)
_LEFT_OPEN = re.compile(r"^\* (CVE-[0-9-]+): (.+)$", re.MULTILINE)


class Incoming(NamedTuple):
    """One RPM to be published, with the manifests inside it."""

    package: Package
    manifests: tuple[Manifest, ...]


class Draft(NamedTuple):
    """The content of an advisory before it is written; ``old`` is the published advisory of that id.

    The packages of ``old`` are those that are still in the repository.
    """

    id: str
    entry: Mapping[str, Any]
    items: tuple[Incoming, ...]
    old: Advisory | None = None

    def made(self, name: str) -> str:
        """The published text ``name`` if this tool made it, else ""."""
        text = str(getattr(self.old, name, ""))
        return text if _MADE[name].match(text) else ""

    def text(self, name: str) -> str:
        """The text ``name`` of advisory.yml, now or at the time of the first publish; "" for neither."""
        own = "" if self.made(name) else str(getattr(self.old, name, ""))
        return str(self.entry.get(name) or own)

    @property
    def declared(self) -> set[str]:
        """The CVEs that the given packages and the advisory file name."""
        found = {*self.entry.get("cves", ())}
        found.update(one["id"] for one in self.entry.get("references", ()) if one["type"] == "cve")
        for item in self.items:
            found.update(item.package.own_cves)
            for manifest in item.manifests:
                found.update(manifest.cves)
        return found

    @property
    def names_cves(self) -> bool:
        """Whether the advisory file names CVEs."""
        references = self.entry.get("references", ())
        return "cves" in self.entry or any(one["type"] == "cve" for one in references)

    @property
    def whole(self) -> bool:
        """Whether every package that the published advisory lists, and that is still there, is given again.

        The advisory file then speaks for all of the advisory: what the file no longer names was wrong.
        """
        given = {item.package.nevra for item in self.items}
        return self.old is None or all(item.nevra in given for item in self.old.packages)


def _datetime(text: str) -> datetime.datetime:
    """A moment as createrepo_c wants it."""
    return datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=times.parse(text) or 0)


def severity_word(word: str) -> str:
    """The severity ``word`` in dnf's words, "" for none. Raises ValueError for a word without an equal."""
    if not word or word.lower() == "none":
        return ""
    return _WORDS[word.lower()] if word.lower() in _WORDS else _unknown(word)


def _unknown(word: str) -> str:
    raise ValueError(f"severity {word!r} is none of {', '.join(SEVERITIES)}")


def _cves(draft: Draft) -> list[str]:
    found = draft.declared
    if draft.old and not (draft.whole and draft.names_cves):
        found.update(draft.old.cves)
    return sorted(found, key=cve_order)


def _severity(draft: Draft) -> str:
    try:
        words = [severity_word(m.severity) for item in draft.items for m in item.manifests]
    except ValueError as error:
        raise ToolError("advisory-fault", file=draft.id, fault=error) from None
    if draft.old:
        words.append(_WORDS.get(draft.old.severity.lower(), ""))
    told = [word for word in words if word]
    return str(draft.entry.get("severity") or max(told, key=SEVERITIES.index, default=""))


def _kernels(draft: Draft) -> list[str]:
    found = {release for item in draft.items for release in item.package.kernels}
    title = _MADE["title"].match(draft.made("title"))
    found.update(title[1].split(", ") if title else (), _COVERED.findall(draft.made("description")))
    return sorted(found)


def _description(draft: Draft, cves: Sequence[str]) -> str:
    lines = [f"Cumulative live patch for kernel {release}." for release in _kernels(draft)]
    lines.append("It covers these kernel releases and no others, and takes effect without a reboot.")
    if cves:
        lines += ["", "Closed while the kernel runs:", *(f"* {cve}" for cve in cves)]
    unfixable = dict(_LEFT_OPEN.findall(draft.made("description")))
    unfixable.update({u.cve: u.reason for item in draft.items for m in item.manifests for u in m.unfixable})
    unfixable = {cve: reason for cve, reason in unfixable.items() if cve not in cves}
    if unfixable:
        lines += ["", "Not closed by any live patch of this kernel; boot a later kernel for:"]
        lines += [f"* {cve}: {unfixable[cve]}" for cve in sorted(unfixable, key=cve_order)]
    return "\n".join(lines)


def _fill(update: cr.UpdateRecord, draft: Draft, settings: Settings, now: str) -> None:
    """Fill in texts, dates and references; ``_list`` adds the packages."""
    entry, cves = draft.entry, _cves(draft)
    severity = _severity(draft)
    update.id, update.status = draft.id, "final"
    update.type = entry.get("type", "security" if cves else "bugfix")
    update.fromstr = settings.sender
    update.title = draft.text("title") or "Live patch for kernel " + ", ".join(_kernels(draft))
    if severity:
        update.severity = severity
    rights = entry.get("rights") or settings.rights
    if rights:
        update.rights = rights
    update.summary = (
        draft.text("summary") or f"Closes {len(cves)} CVE(s) of the running kernel without a reboot."
    )
    update.description = draft.text("description") or _description(draft, cves)
    update.solution = draft.text("solution") or "Run 'dnf upgrade'. No reboot is needed."
    update.updated_date = _datetime(now)
    given = [dict(reference) for reference in entry.get("references", ())]
    if draft.old:
        ids = {reference["id"] for reference in given}
        replaced = "references" in entry
        given += [
            reference._asdict()
            for reference in draft.old.references
            if reference.id not in ids
            and (reference.id in cves if reference.type == "cve" else not replaced)
        ]
    known = {reference["id"] for reference in given if reference["type"] == "cve"}
    given += [
        {"type": "cve", "id": cve, "href": _CVE_URL + cve, "title": cve} for cve in cves if cve not in known
    ]
    for facts in given:
        update.append_reference(_reference(facts))


def _reference(facts: Mapping[str, str]) -> cr.UpdateReference:
    reference = cr.UpdateReference()
    reference.type, reference.id, reference.href = facts["type"], facts["id"], facts["href"]
    reference.title = facts.get("title") or facts["id"]
    return reference


def _list(
    update: cr.UpdateRecord, packages: Iterable[Package], old: Iterable[cr.UpdateCollectionPackage]
) -> None:
    collection = cr.UpdateCollection()
    collection.shortname, collection.name = "livepatch", "Live patches"
    for item in old:
        collection.append(item)
    for package in sorted(packages, key=lambda one: one.nevra):
        item = cr.UpdateCollectionPackage()
        nevra = package.nevra
        item.name, item.epoch, item.version = nevra.name, nevra.epoch or "0", nevra.version
        item.release, item.arch, item.src = nevra.release, nevra.arch, package.source
        item.filename = package.location.rsplit("/", 1)[-1]
        item.sum, item.sum_type = package.checksum, cr.SHA256
        collection.append(item)
    update.append_collection(collection)


def _issued(draft: Draft) -> str:
    """The issue date of the draft as a moment, "" where nothing gives one. Raises ToolError."""
    told = {manifest.issued for item in draft.items for manifest in item.manifests if manifest.issued}
    text = str(draft.entry.get("issued") or (min(told) if told else ""))
    found = times.later(text, 0)
    if text and not found:
        raise ToolError("advisory-fault", file=draft.id, fault=f"issued {text}: no such day")
    return found


def _still(old: Advisory, there: Container[Nevra]) -> Advisory:
    """``old`` with those of its packages that are ``there``; with all of them where none is."""
    left = tuple(item for item in old.packages if item.nevra in there)
    return old._replace(packages=left) if left else old


def merge(
    existing: Sequence[Update],
    made: Iterable[Draft],
    settings: Settings,
    now: str,
    stamp: str = "",
    there: Container[Nevra] = (),
) -> tuple[list[Update], list[str], list[str]]:
    """All advisories after this publish, the ids that are new, and those that changed.

    A published advisory keeps its id, type, issue date and packages. It also keeps whatever the draft
    leaves empty. Its texts cover the old packages too. A correction in the advisory file is applied to an
    advisory without new packages too. An advisory without an issue date is issued ``now``; ``stamp`` (by
    default ``now`` too) is when it was written. ``there`` are the packages of the repository. Raises
    ToolError.
    """
    result, index = list(existing), {update.id: place for place, update in enumerate(existing)}
    added, changed = [], []
    for draft in made:
        issued = _issued(draft)
        update = cr.UpdateRecord()
        packages = [item.package for item in draft.items]
        if draft.id not in index:
            _fill(update, draft, settings, stamp or now)
            update.version = "1"
            update.issued_date = _datetime(issued or now)
            _list(update, packages, ())
            index[draft.id] = len(result)
            result.append(update_of(update))
            added.append(draft.id)
            continue
        old = result[index[draft.id]].record()
        view = advisory_view(old)
        _fill(update, draft._replace(old=_still(view, there)), settings, stamp or now)
        if old.rights and not draft.entry.get("rights"):
            update.rights = old.rights
        if old.fromstr and settings.sender == DEFAULTS.sender:
            update.fromstr = old.fromstr
        if view.type != update.type:
            raise ToolError("advisory-changed", id=draft.id, field="type")
        if draft.entry.get("issued") and issued != issued_of(old):
            raise ToolError("advisory-changed", id=draft.id, field="issue date")
        listed = {item.nevra for item in view.packages}
        new = [package for package in packages if package.nevra not in listed]
        if not new and set(draft.declared) <= set(view.cves) and not _corrected(draft, update, old):
            continue
        update.version = _next(old)
        update.issued_date = _datetime(issued_of(old) or now)
        _list(update, new, _listed(old))
        result[index[draft.id]] = update_of(update)
        changed.append(draft.id)
    return result, added, changed


def number(update: cr.UpdateRecord) -> int:
    """The version of an advisory, which rises with each change; 1 for a version that is no number."""
    found = decimal(update.version or "", 19)
    return 1 if found is None else found


def _rank(update: cr.UpdateRecord) -> tuple[str, int]:
    """The order of the states of one advisory: by the time of the writing, then by the version."""
    return advisory_view(update).updated, number(update)


def _next(update: cr.UpdateRecord) -> str:
    return str(number(update) + 1)


def _corrected(draft: Draft, update: cr.UpdateRecord, old: cr.UpdateRecord) -> bool:
    """Whether the publisher's files make another ``update`` than the published ``old``."""
    return update.fromstr != old.fromstr or bool(draft.entry) and _content(update) != _content(old)


def _content(update: cr.UpdateRecord) -> tuple[object, ...]:
    """The parts of an advisory that a correction may change."""
    view = advisory_view(update)
    texts = view.title, view.severity, view.summary, view.description, view.solution, update.rights or ""
    return (*texts, sorted(view.references))


def kept(
    existing: Sequence[Update], made: Iterable[Draft], settings: Settings, there: Container[Nevra] = ()
) -> Iterator[Raised]:
    """The parts of published advisories that stay although the publisher's files say otherwise.

    CVEs that the advisory file no longer names stay, because packages that are not given may have brought
    them. Rights stay, because the settings' are for new advisories.
    """
    published = {update.id: update for update in existing}
    for draft in made:
        if draft.id not in published:
            continue
        update = published[draft.id].record()
        if settings.rights and update.rights and not draft.entry.get("rights"):
            if settings.rights != update.rights:
                yield rights_kept(draft.id)
        if not draft.names_cves:
            continue
        old = _still(advisory_view(update), there)
        draft = draft._replace(old=old)
        listed = {item.nevra for item in old.packages}
        given = {item.package.nevra for item in draft.items}
        left = sorted(set(old.cves) - draft.declared, key=cve_order)
        if left and not draft.whole and given <= listed:
            missing = ", ".join(sorted(map(str, listed - given)))
            yield left_behind(draft.id, ", ".join(left), missing)


def restricted(update: cr.UpdateRecord, names: Container[Nevra]) -> cr.UpdateRecord:
    """``update`` with only the packages in ``names``; the same object if these are all of its packages."""
    items = _listed(update)
    fitting = [item for item in items if nevra_of(item) in names]
    return update if len(fitting) == len(items) else _copy(update, fitting)


def joined(
    ours: cr.UpdateRecord, theirs: cr.UpdateRecord, own: Callable[[Nevra], Iterable[str]]
) -> cr.UpdateRecord:
    """The published advisory ``ours`` with the packages of ``theirs``, its state in another repository.

    The texts are those of the state that was written later; the very object if nothing is added to it.
    ``own`` gives the CVEs that a package names: those of an added package are added too. Raises ToolError.
    """
    for field, one, other in (
        ("type", ours.type, theirs.type),
        ("issue date", issued_of(ours), issued_of(theirs)),
    ):
        if one != other:
            raise ToolError("advisory-changed", id=ours.id, field=field)
    later, earlier = (ours, theirs) if _rank(ours) > _rank(theirs) else (theirs, ours)
    items = _listed(later)
    known = {nevra_of(item) for item in items}
    more = [item for item in _listed(earlier) if nevra_of(item) not in known]
    behind = later is theirs and number(theirs) <= number(ours) and _content(theirs) != _content(ours)
    if not more and not behind:
        return later
    found = _copy(later, [*items, *more])
    there = {one.id: one for one in earlier.references if one.type == "cve"}
    wanted = {cve for item in more for cve in own(nevra_of(item))} - {*advisory_view(later).cves}
    for cve in sorted(wanted, key=cve_order):
        facts = {"type": "cve", "id": cve, "href": _CVE_URL + cve}
        found.append_reference(there.get(cve) or _reference(facts))
    found.version = str(max(number(later), number(earlier)) + 1)
    return found


def kept_out(update: cr.UpdateRecord, other: cr.UpdateRecord) -> Iterator[Raised]:
    """The CVEs and the severity of ``other``, another state of the advisory, that ``update`` lacks."""
    view, old = advisory_view(update), advisory_view(other)
    left = [cve for cve in old.cves if cve not in view.cves]
    if left:
        yield not_joined(view.id, ", ".join(left))
    if old.severity not in ("", view.severity):
        yield not_joined(view.id, f"the severity {old.severity}")


def _listed(update: cr.UpdateRecord) -> list[cr.UpdateCollectionPackage]:
    return [item for collection in update.collections for item in collection.packages]


def _copy(update: cr.UpdateRecord, items: Iterable[cr.UpdateCollectionPackage]) -> cr.UpdateRecord:
    """``update`` with the packages ``items``."""
    found = cr.UpdateRecord()
    for name in _ATTRIBUTES:
        value = value_of(update, name)
        if value is not None:
            setattr(found, name, value)
    for reference in update.references:
        found.append_reference(reference)
    _list(found, (), items)
    return found
