# SPDX-License-Identifier: GPL-2.0-or-later
"""The ``livepatch`` record of a repository: JSON text to Record and back, every field checked. Pure.

A repository may carry, beside updateinfo, one repomd record of type ``livepatch`` that holds
what stock metadata cannot: until when a kernel gets live patches, which of its CVEs no live patch can
close and why, when a patch was issued, to what share of the hosts it is offered yet, and which
patches were withdrawn. ``livepatch-repo`` writes it, the DNF plugin reads it:

    text = repo.get_metadata_content("livepatch")      # "" where the repository has none
    note = parse(text, release).kernels.get(release)   # None without an entry for this kernel
    patch = note.patches.get(str(nevra))               # by str(model.Nevra), epoch left out when 0

Whatever the record leaves out is unknown, never bad. The text comes from a network: it is bounded,
names and times must match a pattern, unknown keys are ignored (a later schema may add some), a higher
schema number is refused. With ``releases`` only those kernels' parts are checked and returned, so that
the cost does not grow with a repository of many kernels. docs/schemas/livepatch-record-1.schema.json
describes the same for other programs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from ..base import fields
from ..base.fields import Form
from ..base.model import Unfixable
from ..base.typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from typing import Any


SCHEMA = 1
MAX_BYTES = 8 << 20
#: Objects, lists and texts in all, since each takes far more memory than it has characters.
MAX_KERNELS = 20000
ADVISORY = re.compile(r"[!-~]{1,200}\Z")
_ADVISORY = Form("the id of an advisory", ADVISORY)
_REASON = Form("a printable text of 1 to 1000 characters", None, 1000)


class RecordError(ValueError):
    """The text is no record that may be acted on; str() names the field and the fault."""


class Step(NamedTuple):
    """From ``since`` on, ``percent`` (0 to 100) of the hosts are offered the patch."""

    since: str
    percent: int


class Withdrawn(NamedTuple):
    """The publisher took the patch back at ``since``, and why."""

    since: str
    reason: str


class PatchNote(NamedTuple):
    """The entry of one live-patch package.

    ``issued`` is when the patch was first published, ``advisory`` the id of its advisory ("" for unknown).
    ``rollout`` is in order of time; empty means everybody. ``withdrawn`` is None for a patch that stands.
    """

    issued: str = ""
    rollout: tuple[Step, ...] = ()
    withdrawn: Withdrawn | None = None
    advisory: str = ""


class KernelNote(NamedTuple):
    """The entry of one kernel release.

    ``support_end`` is the last day (a date, UTC) or the moment up to which live patches are made for
    the kernel, "" for unknown. ``patches`` maps a NEVRA, as ``str(model.Nevra)`` writes it, to its note.
    """

    support_end: str = ""
    unfixable: tuple[Unfixable, ...] = ()
    patches: Mapping[str, PatchNote] = {}


class Record(NamedTuple):
    """The whole record; ``kernels`` maps a kernel release (``uname -r``) to its note.

    ``generated`` is when the record was written ("" for unknown).
    """

    generated: str = ""
    kernels: Mapping[str, KernelNote] = {}


def share(patch: PatchNote, now: str) -> int:
    """The percentage of the hosts that are offered ``patch`` at ``now`` (ISO 8601, UTC, ``Z``)."""
    if not patch.rollout:
        return 100
    return max((step.percent for step in patch.rollout if step.since <= now), default=0)


def bucket(machine_id: str, fix: str) -> int:
    """This host's place, 0 to 99, in the rollout of ``fix``: always the same, and different for each fix.

    ``fix`` is the id of an advisory, so that later builds for the advisory, and builds for other kernels,
    come to the same hosts first. For a patch whose advisory the record does not name, ``fix`` is the NEVRA.
    """
    import hashlib  # only a repository with a rollout pays for this import

    digest = hashlib.sha256(f"{machine_id}\0{fix}".encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:8], "big") % 100


def supported(note: KernelNote, now: str) -> bool | None:
    """Whether live patches are still made for the kernel at ``now``; None without a date."""
    if not note.support_end:
        return None
    return now[: len(note.support_end)] <= note.support_end


def _unfixable(data: dict[str, Any]) -> Unfixable:
    return Unfixable(fields.text(data, "cve", fields.CVE), fields.text(data, "reason", _REASON))


def _step(data: dict[str, Any]) -> Step:
    return Step(fields.text(data, "since", fields.MOMENT), fields.whole(data, "percent", 100))


def _withdrawn(data: dict[str, Any]) -> Withdrawn:
    return Withdrawn(fields.text(data, "since", fields.MOMENT), fields.text(data, "reason", _REASON))


def _patch(data: dict[str, Any]) -> PatchNote:
    back = data.get("withdrawn") is not None
    return PatchNote(
        issued=fields.maybe(data, "issued", fields.MOMENT),
        rollout=tuple(sorted(fields.each(data, "rollout", _step, default=[]))),
        withdrawn=fields.inside(data, "withdrawn", _withdrawn) if back else None,
        advisory=fields.text(data, "advisory", _ADVISORY, ""),
    )


def _kernel(data: dict[str, Any]) -> KernelNote:
    return KernelNote(
        support_end=fields.maybe(data, "support_end", fields.DATE),
        unfixable=fields.each(data, "unfixable", _unfixable, default=[]),
        patches=fields.mapping(data, "patches", fields.NEVRA, _patch, default={}),
    )


def check(text: str) -> None:
    """Is ``text`` within the bounds of a record? They hold for its writers as for its readers.

    Raises FieldError.
    """
    if len(text) > MAX_BYTES:
        raise fields.FieldError(f"larger than {MAX_BYTES >> 20} MiB")
    fields.measure(text)


def parse(text: str, *releases: str) -> Record:
    """The Record in ``text``; with ``releases`` only those kernels' parts. Raises RecordError only."""
    try:
        check(text)
        data = fields.document(text, MAX_BYTES, SCHEMA)
        kernels = fields.object_of(data, "kernels", MAX_KERNELS, {})
        if releases:
            kernels = {name: kernels[name] for name in releases if name in kernels}
        found = fields.mapping({"kernels": kernels}, "kernels", fields.RELEASE, _kernel, MAX_KERNELS)
        return Record(fields.maybe(data, "generated", fields.MOMENT), found)
    except fields.FieldError as error:
        raise RecordError(str(error)) from None


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
