# SPDX-License-Identifier: GPL-2.0-or-later
"""The ``livepatch`` record of a repository: JSON text to Record and back, every field checked. Pure.

A repository may carry, beside updateinfo, one repomd record of type ``livepatch`` that tells hosts
what stock metadata cannot: until when a kernel gets live patches, which of its CVEs no live patch can
close and why, when a patch was issued, to what share of the hosts it is offered yet, and which
patches were withdrawn. ``livepatch-repo`` writes it, the DNF plugin reads it:

    text = repo.get_metadata_content("livepatch")      # "" where the repository has none
    note = record.parse(text, release).kernels.get(release)
    if note is not None:
        patch = note.patches.get(str(nevra))           # str(model.Nevra), epoch left out when 0
        if patch is not None and not record.offered(patch, machine_id, now): ...

Whatever the record leaves out is unknown, never bad. The text comes from a network: it is bounded,
names and times must match a pattern, unknown keys are ignored (a later schema may add some), a higher
schema number is refused. With ``releases`` only those kernels' parts are checked and returned, so that
the cost does not grow with a repository of many kernels. docs/schemas/livepatch-record-1.schema.json
says the same for other programs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..base.model import Unfixable
from .manifest import CVE, RELEASE

SCHEMA = 1
MAX_BYTES = 32 << 20
MAX_KERNELS = 20000
MAX_ITEMS = 4096
NEVRA = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~^:-]{2,511}\Z")
_STAMP = re.compile(r"[0-9]{4}-[0-1][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]Z\Z")
_DATE = re.compile(r"[0-9]{4}-[0-1][0-9]-[0-3][0-9]\Z")
ADVISORY = re.compile(r"[!-~]{1,200}\Z")


class RecordError(ValueError):
    """The text is no record that may be acted on; str() says which field and why."""


class Step(NamedTuple):
    """From ``since`` on, ``percent`` (0 to 100) of the hosts are offered the patch."""

    since: str
    percent: int


class Withdrawn(NamedTuple):
    """The publisher took the patch back at ``since``, and why."""

    since: str
    reason: str


class PatchNote(NamedTuple):
    """What the repository says of one live-patch package.

    ``issued`` is when it was first published, ``advisory`` the id of its advisory ("" for unknown).
    ``rollout`` is in order of time; empty means everybody. ``withdrawn`` is None for a patch that stands.
    """

    issued: str = ""
    rollout: tuple[Step, ...] = ()
    withdrawn: Withdrawn | None = None
    advisory: str = ""


class KernelNote(NamedTuple):
    """What the repository says of one kernel release.

    ``support_end`` is the last day (a date, UTC) or the moment up to which live patches are made for
    it, "" for unknown. ``patches`` maps a NEVRA, as ``str(model.Nevra)`` writes it, to its note.
    """

    support_end: str = ""
    unfixable: tuple[Unfixable, ...] = ()
    patches: Mapping[str, PatchNote] = {}


class Record(NamedTuple):
    """The whole record; ``kernels`` maps a kernel release (``uname -r``) to its note.

    ``generated`` is when it was written ("" for unknown).
    """

    generated: str = ""
    kernels: Mapping[str, KernelNote] = {}


def share(patch: PatchNote, now: str) -> int:
    """How many percent of the hosts are offered ``patch`` at ``now`` (ISO 8601, UTC, ``Z``)."""
    if not patch.rollout:
        return 100
    return max((step.percent for step in patch.rollout if step.since <= now), default=0)


def bucket(machine_id: str, fix: str) -> int:
    """This host's place, 0 to 99, in the rollout of ``fix``: stable, and another for every one.

    ``fix`` is the id of an advisory, so that what is built again for it, and for other kernels, comes to the
    same hosts first; the NEVRA of a patch whose advisory the record does not name.
    """
    import hashlib  # only a repository with a rollout pays for this import

    digest = hashlib.sha256(f"{machine_id}\0{fix}".encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:8], "big") % 100


def offered(patch: PatchNote, nevra: str, machine_id: str, now: str) -> bool:
    """Whether the host with ``machine_id`` may take ``patch`` now: not withdrawn, and its turn."""
    if patch.withdrawn is not None:
        return False
    percent = share(patch, now)
    return percent >= 100 or bucket(machine_id, patch.advisory or nevra) < percent


def supported(note: KernelNote, now: str) -> bool | None:
    """Whether live patches are still made for the kernel at ``now``; None where nothing is said."""
    if not note.support_end:
        return None
    return now[: len(note.support_end)] <= note.support_end


def _object(value: object, where: str, limit: int) -> dict[str, Any]:
    if not isinstance(value, dict) or len(value) > limit:
        raise RecordError(f"{where} is no object of at most {limit} entries")
    return value


def _list(value: object, where: str) -> list[Any]:
    if not isinstance(value, list) or len(value) > MAX_ITEMS:
        raise RecordError(f"{where} is no list of at most {MAX_ITEMS} items")
    return value


def _time(value: object, where: str, date: bool = False) -> str:
    if value in (None, ""):
        return ""
    if isinstance(value, str) and (_STAMP.match(value) or (date and _DATE.match(value))):
        return value
    raise RecordError(f"{where} is no time in UTC: {str(value)[:40]!r}")


def _moment(value: object, where: str) -> str:
    text = _time(value, where)
    if not text:
        raise RecordError(f"{where} is missing")
    return text


def _reason(value: object, where: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 1000 or not value.isprintable():
        raise RecordError(f"{where} is no printable text of 1 to 1000 characters")
    return value


def _unfixable(value: object) -> Unfixable:
    item = _object(value, "unfixable", MAX_ITEMS)
    cve = item.get("cve")
    if not isinstance(cve, str) or not CVE.match(cve):
        raise RecordError(f"unfixable: {str(cve)[:40]!r} is no CVE identifier")
    return Unfixable(cve, _reason(item.get("reason"), "unfixable.reason"))


def _step(value: object) -> Step:
    item = _object(value, "rollout", MAX_ITEMS)
    percent = item.get("percent")
    if not isinstance(percent, int) or isinstance(percent, bool) or not 0 <= percent <= 100:
        raise RecordError(f"rollout.percent is not 0 to 100: {str(percent)[:20]!r}")
    return Step(_moment(item.get("since"), "rollout.since"), percent)


def _patch(value: object) -> PatchNote:
    data = _object(value, "patches", MAX_ITEMS)
    withdrawn = None
    if data.get("withdrawn") is not None:
        item = _object(data["withdrawn"], "withdrawn", MAX_ITEMS)
        withdrawn = Withdrawn(
            _moment(item.get("since"), "withdrawn.since"), _reason(item.get("reason"), "withdrawn.reason")
        )
    advisory = data.get("advisory", "")
    if not isinstance(advisory, str) or (advisory and not ADVISORY.match(advisory)):
        raise RecordError(f"advisory is no id: {str(advisory)[:40]!r}")
    return PatchNote(
        issued=_time(data.get("issued"), "issued"),
        rollout=tuple(sorted(_step(item) for item in _list(data.get("rollout", []), "rollout"))),
        withdrawn=withdrawn,
        advisory=advisory,
    )


def _kernel(value: object) -> KernelNote:
    data = _object(value, "kernels", MAX_ITEMS)
    patches = {}
    for nevra, note in _object(data.get("patches", {}), "patches", MAX_ITEMS).items():
        if not NEVRA.match(nevra):
            raise RecordError(f"patches: {nevra[:60]!r} is no package")
        patches[nevra] = _patch(note)
    return KernelNote(
        support_end=_time(data.get("support_end"), "support_end", date=True),
        unfixable=tuple(_unfixable(item) for item in _list(data.get("unfixable", []), "unfixable")),
        patches=patches,
    )


def parse(text: str, *releases: str) -> Record:
    """The Record in ``text``; with ``releases`` only those kernels' parts. Raises RecordError only."""
    if len(text) > MAX_BYTES:
        raise RecordError(f"larger than {MAX_BYTES} characters")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"not JSON: {str(error)[:80]}") from None
    data = _object(data, "the record", MAX_ITEMS)
    schema = data.get("schema")
    if not isinstance(schema, int) or isinstance(schema, bool) or not 1 <= schema <= SCHEMA:
        raise RecordError(f"schema {str(schema)[:20]} is not known, up to {SCHEMA} is")
    kernels = {}
    for name, value in _object(data.get("kernels", {}), "kernels", MAX_KERNELS).items():
        if releases and name not in releases:
            continue
        if not RELEASE.match(name):
            raise RecordError(f"kernels: {name[:60]!r} is no kernel release")
        kernels[name] = _kernel(value)
    return Record(_time(data.get("generated"), "generated"), kernels)


def _patch_data(note: PatchNote) -> dict[str, Any]:
    data: dict[str, Any] = {}
    if note.issued:
        data["issued"] = note.issued
    if note.advisory:
        data["advisory"] = note.advisory
    if note.rollout:
        data["rollout"] = [step._asdict() for step in note.rollout]
    if note.withdrawn is not None:
        data["withdrawn"] = note.withdrawn._asdict()
    return data


def _kernel_data(note: KernelNote) -> dict[str, Any]:
    data: dict[str, Any] = {"patches": {nevra: _patch_data(patch) for nevra, patch in note.patches.items()}}
    if note.support_end:
        data["support_end"] = note.support_end
    if note.unfixable:
        data["unfixable"] = [item._asdict() for item in note.unfixable]
    return data


def dump(record: Record) -> str:
    """``record`` as JSON text, the same bytes for the same record; what is unknown is left out."""
    data: dict[str, Any] = {
        "schema": SCHEMA,
        "kernels": {release: _kernel_data(note) for release, note in record.kernels.items()},
    }
    if record.generated:
        data["generated"] = record.generated
    return json.dumps(data, sort_keys=True, separators=(",", ":")) + "\n"
