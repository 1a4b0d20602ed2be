# SPDX-License-Identifier: GPL-2.0-or-later
"""The crash guard: what may be loaded, after all that happened. docs/state-machine.md draws it.

Each package has one record, by NEVRA: ``loading`` (durable before insmod: no record, no load),
``settling``, ``good``, ``stalled``, ``idle`` or ``blocked``. Beside the records the file holds which
modules of this boot are ours, what the administrator unloaded, and which sets are kept.
"""

from __future__ import annotations

import fcntl
import os
import re
from typing import Any, Callable, NamedTuple, TypeVar

from ...base.paths import Paths
from ...formats.manifest import CVE, MODULE, RELEASE
from . import atomic as state

STATES = ("loading", "settling", "good", "stalled", "idle", "blocked")
MAX_ITEMS = 4096
NEVRA = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~^:-]{2,511}\Z")
_HEX = re.compile(r"[0-9a-f]{16,128}\Z")
_T = TypeVar("_T")


class Record(NamedTuple):
    """What is known of one package. ``uptime`` is when it was loaded, in seconds of boot ``boot_id``, and
    ``began`` when its loading began: an oops from then on may be its own.

    ``strikes`` counts boots that ended without a shutdown while it settled; ``by`` tells who blocked it
    (``guard`` or ``admin``); ``tries`` and ``retry_at`` belong to ``stalled``; ``proved`` says that it has
    been good once, ``asked`` that the health checks passed in this boot; ``taint`` are the kernel's taint
    bits from before it was loaded.
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


def _text(value: object, pattern: re.Pattern[str] | None = None, limit: int = 2000) -> str:
    if not isinstance(value, str) or len(value) > limit or not value.isprintable():
        raise state.Broken("guard.json holds a text that is none")
    if pattern is not None and value and not pattern.match(value):
        raise state.Broken(f"guard.json: {value[:60]!r} is not acceptable")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e12:
        raise state.Broken("guard.json holds a number that is none")
    return float(value)


def _list(value: object) -> list[Any]:
    if not isinstance(value, list) or len(value) > MAX_ITEMS:
        raise state.Broken("guard.json holds a list that is none")
    return value


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict) or len(value) > MAX_ITEMS:
        raise state.Broken("guard.json holds an object that is none")
    return value


def _record(value: object) -> Record:
    data = _object(value)
    if data.get("state") not in STATES:
        raise state.Broken("guard.json holds a state that is none")
    texts = {name: _text(data.get(name, "")) for name in ("boot_id", "since", "reason", "by", "retry_at")}
    return Record(
        state=str(data["state"]),
        uptime=_number(data.get("uptime", 0)),
        began=_number(data.get("began", data.get("uptime", 0))),
        modules=tuple(_text(item, MODULE) for item in _list(data.get("modules", []))),
        strikes=int(_number(data.get("strikes", 0))),
        tries=int(_number(data.get("tries", 0))),
        proved=data.get("proved") is True,
        asked=data.get("asked") is True,
        taint=int(_number(data.get("taint", 0))),
        **texts,
    )


def _kept(value: object) -> Kept:
    data = _object(value)
    pairs = []
    for item in _list(data.get("modules", [])):
        if not isinstance(item, list) or len(item) != 2 or not item[0] or not item[1]:
            raise state.Broken("guard.json: a kept module is no pair")
        pairs.append((_text(item[0], MODULE), _text(item[1], _HEX)))
    cves = tuple(_text(item, CVE) for item in _list(data.get("cves", [])))
    return Kept(_text(data.get("nevra"), NEVRA), _text(data.get("release"), RELEASE), tuple(pairs), cves)


def read(paths: Paths) -> Guard:
    """The guard's state; empty where there is no file yet. Raises Broken for one that is spoiled."""
    data = state.read_json(paths.guard)
    guard = Guard()
    if data is None:
        return guard
    for nevra, value in _object(data.get("records", {})).items():
        guard.records[_text(nevra, NEVRA)] = _record(value)
    for key, owned in (("owned", guard.owned), ("clients", guard.clients)):
        for module, value in _object(data.get(key, {})).items():
            item = _object(value)
            owned[_text(module, MODULE)] = Owned(
                _text(item.get("nevra"), NEVRA),
                _text(item.get("build_id"), _HEX),
                _text(item.get("boot_id")),
                int(_number(item.get("place", 0))),
            )
    for nevra, until in _object(data.get("held", {})).items():
        guard.held[_text(nevra, NEVRA)] = _text(until)
    guard.kept = [_kept(value) for value in _list(data.get("kept", []))]
    return guard


def change(paths: Paths, function: Callable[[Guard], _T]) -> _T:
    """Read, let ``function`` change, write: one at a time. Raises Broken, or OSError: nothing changed."""
    state.ensure_dir(paths.run_dir)
    lock = os.open(paths.run_dir + "/guard.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        guard = read(paths)
        before = _dump(guard)
        answer = function(guard)
        after = _dump(guard)
        if after != before:
            state.write_json(paths.guard, after)
        return answer
    finally:
        os.close(lock)


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
    except state.Broken:
        return {}


def block(paths: Paths, nevra: str, reason: str, by: str = "admin") -> None:
    """Never load ``nevra`` again until it is unblocked. Raises ValueError for what is no NEVRA."""
    if not NEVRA.match(nevra):
        raise ValueError(f"{nevra[:80]!r} is no package")
    clean = "".join(c if c.isprintable() else " " for c in reason)[:1000]

    def work(guard: Guard) -> None:
        old = guard.records.get(nevra, Record("idle"))
        guard.records[nevra] = old._replace(state="blocked", reason=clean, by=by, since=state.now())

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
