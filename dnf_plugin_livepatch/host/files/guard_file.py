# SPDX-License-Identifier: GPL-2.0-or-later
"""The crash guard: what may be loaded, after all that happened. docs/explanation/state-machine.md draws it.

Each package has one record, by NEVRA: ``loading`` (durable before insmod: no record, no load),
``settling``, ``good``, ``stalled``, ``idle`` or ``blocked``. Beside the records the file holds which
modules of this boot are ours, what the administrator unloaded, and which sets are kept.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable

from ...base import fields, times
from ...base.names import NEVRA
from ...base.paths import Paths
from ...base.typed import TYPE_CHECKING, NamedTuple
from ..kernel.harm import Harm
from . import atomic

if TYPE_CHECKING:
    from typing import Any, Callable, TypeVar

    _T = TypeVar("_T")


MAX_RECORDS = 2048
STATES = ("loading", "settling", "good", "stalled", "idle", "blocked")


class Record(NamedTuple):
    """The state of one package. ``uptime`` is when it was loaded, in seconds of boot ``boot_id``, and
    ``began`` when its loading began: an oops from then on may be its own.

    ``strikes`` counts boots that ended without a shutdown while it settled; ``by`` is who blocked it
    (``guard`` or ``admin``); ``tries`` and ``retry_at`` belong to ``stalled``; ``proved`` is set once it has
    been good once, ``asked`` that the health checks passed in this boot; ``taint``,
    ``oopses`` and ``warnings`` are the kernel's counts from before it was loaded (``kernel/harm.py``).
    ``noted`` are taint bits since then that history tells already, ``told`` that it tells of a line in the
    kernel's log that names the patch without proof.
    """

    state: str
    boot_id: str = ""
    since: str = ""
    uptime: float = 0.0
    began: float = 0.0
    modules: tuple[str, ...] = ()
    strikes: int = 0
    reason: str = ""
    by: str = ""
    tries: int = 0
    retry_at: str = ""
    proved: bool = False
    asked: bool = False
    taint: int = 0
    oopses: int = -1
    warnings: int = -1
    noted: int = 0
    told: bool = False

    @property
    def harm(self) -> Harm:
        """The kernel's counts from before it was loaded."""
        return Harm(self.taint, self.oopses, self.warnings)

    def before(self, uptime: float, now: Harm) -> Record:
        """The record with its loading begun at ``uptime``, when the kernel counted ``now``."""
        taint, oopses, warnings = now
        return self._replace(
            began=uptime, taint=taint, oopses=oopses, warnings=warnings, noted=0, told=False
        )


class Owned(NamedTuple):
    """A module that this project loaded in boot ``boot_id``; ``place`` is its place in the order.

    In ``Guard.clients``: what a vendor's client loaded because we asked, by its profile; no build id.
    """

    nevra: str
    build_id: str
    boot_id: str
    place: int = 0


class Kept(NamedTuple):
    """A set of modules that was in force, of which copies are kept: (module, sha256 of the copy)."""

    nevra: str
    release: str
    modules: tuple[tuple[str, str], ...]
    cves: tuple[str, ...] = ()


class Guard:
    """The content of guard.json, open to change inside ``change``."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.owned: dict[str, Owned] = {}
        self.clients: dict[str, Owned] = {}
        self.held: dict[str, str] = {}
        self.kept: list[Kept] = []

    def blocked(self) -> dict[str, str]:
        """NEVRA and reason of every blocked package."""
        return {nevra: record.reason for nevra, record in self.records.items() if record.state == "blocked"}

    def ours(self, boot_id: str) -> dict[str, Owned]:
        """The modules that were loaded by us in the boot ``boot_id``."""
        return {module: item for module, item in self.owned.items() if boot_id and item.boot_id == boot_id}

    def holds(self, nevra: str, boot_id: str) -> bool:
        """Whether the administrator unloaded ``nevra`` for good or for this boot."""
        return self.held.get(nevra, "-") in ("", boot_id)


def _record(data: dict[str, Any]) -> Record:
    return Record(
        state=fields.choice(data, "state", STATES),
        boot_id=fields.text(data, "boot_id", default=""),
        since=fields.text(data, "since", default=""),
        uptime=_number(data, "uptime"),
        began=_number(data, "began" if "began" in data else "uptime"),
        modules=fields.texts(data, "modules", fields.MODULE, default=[]),
        strikes=int(_number(data, "strikes")),
        reason=fields.text(data, "reason", default=""),
        by=fields.text(data, "by", default=""),
        tries=int(_number(data, "tries")),
        retry_at=fields.text(data, "retry_at", default=""),
        proved=data.get("proved") is True,
        asked=data.get("asked") is True,
        taint=int(_number(data, "taint")),
        oopses=_count(data, "oopses"),
        warnings=_count(data, "warnings"),
        noted=int(_number(data, "noted")),
        told=data.get("told") is True,
    )


def _number(data: dict[str, Any], key: str) -> float:
    return fields.number(data, key, below=1e12, default=0)


def _count(data: dict[str, Any], key: str) -> int:
    return -1 if data.get(key, -1) == -1 else int(_number(data, key))


def _owned(data: dict[str, Any]) -> Owned:
    return Owned(
        fields.text(data, "nevra", fields.NEVRA, empty=True),
        fields.text(data, "build_id", fields.HEX, empty=True),
        fields.text(data, "boot_id", empty=True),
        int(_number(data, "place")),
    )


def _copy(pair: list[Any]) -> tuple[str, str]:
    return fields.text(pair, 0, fields.MODULE), fields.text(pair, 1, fields.HEX)


def _kept(data: dict[str, Any]) -> Kept:
    return Kept(
        fields.text(data, "nevra", fields.NEVRA, empty=True),
        fields.text(data, "release", fields.RELEASE, empty=True),
        fields.rows(data, "modules", _copy, 2, default=[]),
        fields.texts(data, "cves", fields.CVE, default=[]),
    )


def read(paths: Paths) -> Guard:
    """The guard's state; empty where there is no file yet. Raises Broken for one that is spoiled."""
    data = atomic.read_json(paths.guard)
    return Guard() if data is None else _load(data)


def _load(data: dict[str, Any]) -> Guard:
    guard = Guard()
    try:
        guard.records = fields.mapping(data, "records", fields.NEVRA, _record, default={})
        guard.owned = fields.mapping(data, "owned", fields.MODULE, _owned, default={})
        guard.clients = fields.mapping(data, "clients", fields.MODULE, _owned, default={})
        held = fields.object_of(data, "held", default={})
        for nevra in held:
            guard.held[fields.check(nevra, fields.NEVRA)] = fields.text(held, nevra, empty=True)
        guard.kept = list(fields.each(data, "kept", _kept, default=[]))
    except fields.FieldError as error:
        raise atomic.Broken(f"guard.json: {error}") from None
    return guard


def change(paths: Paths, function: Callable[[Guard], _T]) -> _T:
    """Read, let ``function`` change, write: one at a time. Raises Broken, or OSError: nothing changed."""
    atomic.ensure_dir(paths.run_dir)
    lock = os.open(paths.run_dir + "/guard.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        guard = read(paths)
        before = _dump(guard)
        answer = function(guard)
        after = _dump(guard)
        if after != before:
            _bound(guard)
            atomic.write_json(paths.guard, _dump(guard), _load)
        return answer
    finally:
        os.close(lock)


def _bound(guard: Guard) -> None:
    """Keep the records within MAX_RECORDS: those that decide nothing go first, older ones before newer."""
    spare = len(guard.records) - MAX_RECORDS
    if spare <= 0:
        return
    held = {item.nevra for item in guard.owned.values()} | {item.nevra for item in guard.kept}

    def worth(nevra: str) -> tuple[bool, bool, str, str]:
        record = guard.records[nevra]
        return nevra in held, record.state in ("blocked", "loading", "settling"), record.since, nevra

    for nevra in sorted(guard.records, key=worth)[:spare]:
        del guard.records[nevra]


def forget(paths: Paths, known: Iterable[str], installed: Callable[[str], bool]) -> None:
    """Drop the records of packages that are gone, by a database that could be read.

    ``known`` are NEVRAs that are there, ``installed`` is asked about others. Blocked packages stay known, as
    a repository may offer them again.
    """
    there = set(known)
    guard = read(paths)
    there.update(item.nevra for item in (*guard.owned.values(), *guard.clients.values()))
    there.update(item.nevra for item in guard.kept)
    gone = [
        nevra
        for nevra, record in guard.records.items()
        if nevra not in there and record.state in ("good", "idle", "stalled") and not installed(nevra)
    ]
    if gone:

        def drop(guard: Guard) -> None:
            for nevra in gone:
                guard.records.pop(nevra, None)

        change(paths, drop)


def _dump(guard: Guard) -> dict[str, Any]:
    return {
        "records": {nevra: record._asdict() for nevra, record in guard.records.items()},
        "owned": {module: item._asdict() for module, item in guard.owned.items()},
        "clients": {label: item._asdict() for label, item in guard.clients.items()},
        "held": dict(guard.held),
        "kept": [item._asdict() for item in guard.kept],
    }


def blocked(paths: Paths) -> dict[str, str]:
    """NEVRA and reason of every blocked package; a broken file blocks nothing for a mere reader."""
    try:
        return read(paths).blocked()
    except atomic.Broken:
        return {}


def block(paths: Paths, nevra: str, reason: str, by: str = "admin") -> None:
    """Never load ``nevra`` again until it is unblocked. Raises ValueError for what is no NEVRA."""
    if not NEVRA.match(nevra):
        raise ValueError(f"{nevra[:80]!r} is no package")
    clean = "".join(c if c.isprintable() else " " for c in reason)[:1000]

    def work(guard: Guard) -> None:
        old = guard.records.get(nevra, Record("idle"))
        guard.records[nevra] = old._replace(state="blocked", reason=clean, by=by, since=times.now())

    change(paths, work)


def unblock(paths: Paths, nevra: str) -> bool:
    """Let ``nevra`` be loaded again, whether it was blocked or unloaded; False when it was neither."""

    def work(guard: Guard) -> bool:
        found = guard.held.pop(nevra, None) is not None
        if nevra in guard.blocked():
            del guard.records[nevra]
            found = True
        return found

    return change(paths, work)


def hold(paths: Paths, nevra: str, until: str) -> None:
    """Keep ``nevra`` unloaded: ``until`` is the id of the boot it holds for, "" until it is unblocked."""

    def work(guard: Guard) -> None:
        guard.held[nevra] = until

    change(paths, work)
