# SPDX-License-Identifier: GPL-2.0-or-later
"""The advisory of each live patch: the entry of the advisory file that it has, and the id. Pure.

A live patch has the first entry that fits. A published id never changes: a live patch that is published
again stays in its advisory.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..base import times
from ..base.model import Nevra
from ..toolkit.errors import ToolError
from .advisories import Draft, Incoming
from .lint.advisories import not_given
from .lint.context import Raised
from .repository.metadata import Update, advisory_view
from .repository.view import Advisory
from .settings import AdvisoryFile, Settings

Entry = Mapping[str, Any]
#: By package: the published advisories that list it.
Listed = Mapping[Nevra, Sequence[Advisory]]
_TEXTS = ("type", "severity", "title", "summary", "description", "solution")


def fits(nevra: Nevra, globs: Iterable[str]) -> bool:
    """Whether the name, name-version-release or NEVRA fits one of ``globs``."""
    names = nevra.name, f"{nevra.name}-{nevra.version}-{nevra.release}", str(nevra)
    return any(fnmatch.fnmatchcase(name, glob) for glob in globs for name in names)


def _entry_for(nevra: Nevra, entries: Sequence[Entry]) -> Entry:
    for entry in entries:
        if fits(nevra, entry.get("packages") or ["*"]):
            return entry
    return {}


def unmatched(file: AdvisoryFile, nevras: Iterable[Nevra]) -> list[str]:
    """The globs in ``file`` that fit none of ``nevras``."""
    globs = dict.fromkeys(glob for entry in file.advisories for glob in entry.get("packages", ()))
    known = tuple(nevras)
    return [glob for glob in globs if not any(fits(nevra, [glob]) for nevra in known)]


def listing(updates: Iterable[Update], nevras: Iterable[Nevra]) -> Listed:
    """The advisories among ``updates`` that list each of ``nevras``."""
    wanted = set(nevras)
    names = {nevra.name for nevra in wanted}
    found: dict[Nevra, list[Advisory]] = {}
    for update in updates:
        view = advisory_view(update.record()) if update.mentions(names) else Advisory("")
        for nevra in {item.nevra for item in view.packages} & wanted:
            found.setdefault(nevra, []).append(view)
    return found


def drafts(items: Iterable[Incoming], file: AdvisoryFile, settings: Settings, listed: Listed) -> list[Draft]:
    """One draft for each advisory that the live patches among ``items`` need. Raises ToolError."""
    found: dict[str, Draft] = {}
    for item in items:
        if item.package.kind != "patch":
            continue
        entry = _entry_for(item.package.nevra, file.advisories)
        name = _id_of(item, entry, settings, listed.get(item.package.nevra, ()))
        before = found.get(name, Draft(name, entry, ()))
        if entry and before.entry and _content(entry) != _content(before.entry):
            fault = f"two entries with other contents are for the advisory {name}"
            raise ToolError("advisory-fault", file=file.path, fault=fault)
        found[name] = before._replace(entry=before.entry or entry, items=(*before.items, item))
    return list(found.values())


def _content(entry: Entry) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key not in ("packages", "id")}


def _id_of(item: Incoming, entry: Entry, settings: Settings, published: Sequence[Advisory]) -> str:
    """The id of the advisory of ``item``; ``published`` are those that list it already. Raises ToolError."""
    nevra = item.package.nevra
    told = {manifest.advisory for manifest in item.manifests if manifest.advisory}
    own = f"{settings.advisory_prefix}:{nevra.name}-{nevra.version}-{nevra.release}"
    wanted = str(entry.get("id") or (min(told) if told else own))
    ids = [advisory.id for advisory in published]
    if not ids or wanted in ids:
        return wanted
    if entry.get("id"):
        raise ToolError("advisory-taken", nevra=nevra, id=wanted, old=ids[0])
    closes = item.package.own_cves or any(manifest.cves for manifest in item.manifests)
    # An advisory of another tool that says nothing of security takes no CVEs.
    kind = str(entry.get("type") or ("security" if closes else ""))
    same = [advisory.id for advisory in published if kind in ("", advisory.type)]
    return same[0] if same else ids[0] if entry else wanted


def unheard(
    file: AdvisoryFile, made: Sequence[Draft], updates: Sequence[Update], patches: Iterable[Nevra]
) -> Iterator[Raised]:
    """The published advisories that ``file`` would change, and that get no package now.

    ``patches`` are the published live patches, ``made`` the drafts of this publish.
    """
    used = {id(draft.entry) for draft in made}
    if all(id(entry) in used for entry in file.advisories):
        return
    chosen = {nevra: _entry_for(nevra, file.advisories) for nevra in patches}
    idle = {nevra: entry for nevra, entry in chosen.items() if entry and id(entry) not in used}
    names = {nevra.name for nevra in idle}
    done = {draft.id for draft in made}
    for update in updates:
        if update.id in done or not update.mentions(names):
            continue
        record = update.record()
        view = advisory_view(record)
        entry = next((idle[item.nevra] for item in view.packages if item.nevra in idle), {})
        other = list(_others(entry, view, record.rights or ""))
        if other:
            yield not_given(view.id, ", ".join(other))


def _others(entry: Entry, view: Advisory, rights: str) -> Iterator[str]:
    """The keys of ``entry`` that say something else than the published advisory ``view``."""
    if entry.get("id", view.id) != view.id:
        yield "id"
    yield from (name for name in _TEXTS if entry.get(name, getattr(view, name)) != getattr(view, name))
    if entry.get("rights", rights) != rights:
        yield "rights"
    if "issued" in entry and times.later(entry["issued"], 0) != view.issued:
        yield "issued"
    if not set(entry.get("cves", ())) <= set(view.cves):
        yield "cves"
    known = {(reference.type, reference.id, reference.href) for reference in view.references}
    if not {(one["type"], one["id"], one["href"]) for one in entry.get("references", ())} <= known:
        yield "references"
