# SPDX-License-Identifier: GPL-2.0-or-later
"""The crash guard's file: which live patches may be loaded, after all that happened on this host.

docs/explanation/state-machine.md draws the states. Each package has one entry, by NEVRA: ``loading``
(durable before insmod: no entry, no load), ``settling``, ``good``, ``stalled``, ``idle`` or ``blocked``.
Beside the entries the file lists the modules that reconcile loaded in this boot, the packages that the
administrator unloaded, and the sets of modules that are copied.
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


MAX_ENTRIES = 2048
#: The events of the history that are read for a lost file, and the length of a reason.
MAX_RECALLED, MAX_REASON = 1 << 16, 1000
STATES = ("loading", "settling", "good", "stalled", "idle", "blocked")


class GuardEntry(NamedTuple):
    """The state of one package.

    ``uptime`` is when the package was loaded, in seconds of boot ``boot_id``. ``began`` is when its loading
    began: an oops from then on may be its own. ``strikes`` counts the boots that ended without a shutdown
    while the package settled. ``by`` is who blocked the package (``guard`` or ``admin``). ``tries`` and
    ``retry_at`` belong to ``stalled``. ``proved`` is set once the package has been good. ``asked`` is set
    when the health checks passed in this boot. ``taint``, ``oopses`` and ``warnings`` are the kernel's
    counts from before the load (``kernel/harm.py``). ``noted`` are the taint bits since then that history
    tells already. ``told`` is set once history tells of an oops in the log that nothing proves.
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

    def before(self, uptime: float, now: Harm) -> GuardEntry:
        """The record with its loading begun at ``uptime``, when the kernel counted ``now``."""
        taint, oopses, warnings = now
        return self._replace(
            began=uptime, taint=taint, oopses=oopses, warnings=warnings, noted=0, told=False
        )


class Owned(NamedTuple):
    """A module that reconcile loaded in boot ``boot_id``; ``place`` is its place in the order of loads.

    In ``Guard.clients``: the package that a vendor's client loaded on request, without a build id.
    """

    nevra: str
    build_id: str
    boot_id: str
    place: int = 0


class CopiedSet(NamedTuple):
    """A set of modules that was in force and was copied; ``modules`` are (module, sha256 of the copy)."""

    nevra: str
    release: str
    modules: tuple[tuple[str, str], ...]
    cves: tuple[str, ...] = ()


class Guard:
    """The content of guard.json, open to change inside ``change``.

    ``entries`` are by NEVRA, ``owned`` by module, ``clients`` by the label of the profile. ``unloaded`` maps
    the NEVRA of each package that the administrator unloaded to the boot for which that holds, "" for good.
    """

    def __init__(self) -> None:
        self.entries: dict[str, GuardEntry] = {}
        self.owned: dict[str, Owned] = {}
        self.clients: dict[str, Owned] = {}
        self.unloaded: dict[str, str] = {}
        self.copies: list[CopiedSet] = []

    def blocked(self) -> dict[str, str]:
        """Return NEVRA and reason of every blocked package."""
        return {nevra: entry.reason for nevra, entry in self.entries.items() if entry.state == "blocked"}

    def ours(self, boot_id: str) -> dict[str, Owned]:
        """Return the modules that reconcile loaded in the boot ``boot_id``."""
        return {module: item for module, item in self.owned.items() if boot_id and item.boot_id == boot_id}

    def is_unloaded(self, nevra: str, boot_id: str) -> bool:
        """Return whether the administrator unloaded ``nevra``, for good or for this boot."""
        return self.unloaded.get(nevra, "-") in ("", boot_id)


def _entry(data: dict[str, Any]) -> GuardEntry:
    return GuardEntry(
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


def _copied_module(pair: list[Any]) -> tuple[str, str]:
    return fields.text(pair, 0, fields.MODULE), fields.text(pair, 1, fields.HEX)


def _copied_set(data: dict[str, Any]) -> CopiedSet:
    return CopiedSet(
        fields.text(data, "nevra", fields.NEVRA, empty=True),
        fields.text(data, "release", fields.RELEASE, empty=True),
        fields.rows(data, "modules", _copied_module, 2, default=[]),
        fields.texts(data, "cves", fields.CVE, default=[]),
    )


def read(paths: Paths) -> Guard:
    """Return the guard's state; where there is no file, what the history tells of a lost one.

    Raises Broken for a spoiled file.
    """
    data = atomic.read_json(paths.guard)
    return _recalled(paths) if data is None else _load(data)


def _recalled(paths: Paths) -> Guard:
    """Return the blocks and unloads of the history that no later event lifted.

    The history does not tell for how long an unload holds: a recalled one holds until it is lifted.
    """
    guard = Guard()
    if not os.path.exists(paths.journal):
        return guard
    from . import journal

    for entry in journal.read(paths, MAX_RECALLED):
        facts = {name: str(value) for name, value in entry.facts.items()}
        nevra, reason = facts.get("nevra", ""), facts.get("reason", "")[:MAX_REASON]
        loaded = entry.event in ("load", "replace") and facts.get("outcome") == "done"
        if not NEVRA.match(nevra) or facts.get("source") == "scriptlet":
            continue
        if entry.event == "block":
            by = "admin" if facts.get("by") == "admin" else "guard"
            guard.entries[nevra] = GuardEntry("blocked", since=entry.time, reason=reason, by=by)
        elif entry.event == "unload" and reason == "blocked":  # the entry of the block itself may be lost
            known = GuardEntry("blocked", since=entry.time, reason="it was blocked before", by="guard")
            guard.entries.setdefault(nevra, known)
        elif entry.event == "unload" and reason == "held":
            guard.unloaded[nevra] = ""
        elif entry.event == "unblock" or loaded:
            guard.entries.pop(nevra, None)
            guard.unloaded.pop(nevra, None)
        if loaded:
            guard.unloaded.clear()  # no other patch is loaded while an installed one is unloaded by hand
    return guard


def _load(data: dict[str, Any]) -> Guard:
    guard = Guard()
    try:
        # The keys in the file are older than the names of the attributes, and stay.
        guard.entries = fields.mapping(data, "records", fields.NEVRA, _entry, default={})
        guard.owned = fields.mapping(data, "owned", fields.MODULE, _owned, default={})
        guard.clients = fields.mapping(data, "clients", fields.MODULE, _owned, default={})
        unloaded = fields.object_of(data, "held", default={})
        for nevra in unloaded:
            guard.unloaded[fields.check(nevra, fields.NEVRA)] = fields.text(unloaded, nevra, empty=True)
        guard.copies = list(fields.each(data, "kept", _copied_set, default=[]))
    except fields.FieldError as error:
        raise atomic.Broken(f"guard.json: {error}") from None
    return guard


def change(paths: Paths, function: Callable[[Guard], _T]) -> _T:
    """Read the file, let ``function`` change the guard, and write the file; return the function's answer.

    Only one process changes the file at a time. Raises Broken or OSError; nothing was changed then.
    """
    atomic.ensure_dir(paths.run_dir)
    lock = os.open(paths.run_dir + "/guard.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        guard = read(paths)
        before = _dump(guard)
        answer = function(guard)
        lost = not os.path.exists(paths.guard) and bool(guard.entries or guard.unloaded)
        if lost or _dump(guard) != before:
            _bound(guard)
            atomic.write_json(paths.guard, _dump(guard), _load)
        return answer
    finally:
        os.close(lock)


def _bound(guard: Guard) -> None:
    """Keep the entries within MAX_ENTRIES: those that decide nothing go first, older ones before newer."""
    spare = len(guard.entries) - MAX_ENTRIES
    if spare <= 0:
        return
    held = {item.nevra for item in guard.owned.values()} | {item.nevra for item in guard.copies}

    def worth(nevra: str) -> tuple[bool, bool, str, str]:
        entry = guard.entries[nevra]
        return nevra in held, entry.state in ("blocked", "loading", "settling"), entry.since, nevra

    for nevra in sorted(guard.entries, key=worth)[:spare]:
        del guard.entries[nevra]


def forget(paths: Paths, known: Iterable[str], installed: Callable[[str], bool]) -> None:
    """Drop the entries of packages that are gone, by a database that could be read.

    ``known`` are NEVRAs that are there, ``installed`` is asked about others. Blocked packages stay known, as
    a repository may offer them again.
    """
    there = set(known)
    guard = read(paths)
    there.update(item.nevra for item in (*guard.owned.values(), *guard.clients.values()))
    there.update(item.nevra for item in guard.copies)
    gone = {
        nevra: entry
        for nevra, entry in guard.entries.items()
        if nevra not in there and entry.state in ("good", "idle", "stalled") and not installed(nevra)
    }
    if gone:

        def drop(guard: Guard) -> None:
            for nevra, entry in gone.items():
                if guard.entries.get(nevra) == entry:  # another program may have blocked it since
                    del guard.entries[nevra]

        change(paths, drop)


def _dump(guard: Guard) -> dict[str, Any]:
    return {
        "records": {nevra: entry._asdict() for nevra, entry in guard.entries.items()},
        "owned": {module: item._asdict() for module, item in guard.owned.items()},
        "clients": {label: item._asdict() for label, item in guard.clients.items()},
        "held": dict(guard.unloaded),
        "kept": [item._asdict() for item in guard.copies],
    }


def blocked(paths: Paths) -> dict[str, str]:
    """Return NEVRA and reason of every blocked package; none where the file is spoiled."""
    try:
        return read(paths).blocked()
    except atomic.Broken:
        return {}


def block(paths: Paths, nevra: str, reason: str, by: str = "admin") -> None:
    """Keep ``nevra`` from being loaded until it is unblocked.

    A block of the administrator's stays the administrator's, whatever the guard finds. Raises ValueError
    for a text that is no NEVRA.
    """
    if not NEVRA.match(nevra):
        raise ValueError(f"{nevra[:80]!r} is no package")
    clean = "".join(c if c.isprintable() else " " for c in reason)[:MAX_REASON]

    def set_blocked(guard: Guard) -> None:
        old = guard.entries.get(nevra, GuardEntry("idle"))
        if (old.state, old.by, by) != ("blocked", "admin", "guard"):
            guard.entries[nevra] = old._replace(state="blocked", reason=clean, by=by, since=times.now())

    change(paths, set_blocked)


def unblock(paths: Paths, nevra: str) -> bool:
    """Let a blocked or unloaded ``nevra`` be loaded again; return False when it was neither."""

    def set_free(guard: Guard) -> bool:
        found = guard.unloaded.pop(nevra, None) is not None
        if nevra in guard.blocked():
            del guard.entries[nevra]
            found = True
        return found

    return change(paths, set_free)


def keep_unloaded(paths: Paths, nevra: str, until: str) -> None:
    """Keep ``nevra`` unloaded in the boot with the id ``until``, or with "" until it is unblocked."""

    def set_unloaded(guard: Guard) -> None:
        guard.unloaded[nevra] = until

    change(paths, set_unloaded)
