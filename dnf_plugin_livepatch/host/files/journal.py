# SPDX-License-Identifier: GPL-2.0-or-later
"""The history of the running kernel: append-only, durable, readable after any crash.

Each line is a JSON object. A line that a crash tore is skipped by the reader and closed off by the next
entry. The file is bounded: past ``MAX_BYTES`` it becomes ``journal.jsonl.1`` and a new file starts.
Everybody may read the file. PRIVATE facts are in a second file, which is root's alone, and the entry names
them. Where journald runs, it gets all facts with a stable MESSAGE_ID: only administrators read the system's
journal.
"""

from __future__ import annotations

import json
import os

from ...base import fields, texts, times
from ...base.names import split_nevra
from ...base.paths import Paths
from ...base.typed import TYPE_CHECKING, NamedTuple
from ..kernel.running import boot_id
from ..read import read_bytes
from . import atomic

if TYPE_CHECKING:
    from typing import Union

    Fact = Union[str, int, float, tuple[str, ...]]


MAX_BYTES = 1 << 20
MAX_LINE = 16384
_TEXT = 2000
_MOST = 1e15  # NaN and infinity are no numbers in JSON, and a float holds no larger integer exactly
#: The facts that only root may read: the stacks of other users' tasks, and what a health check printed.
PRIVATE = ("tasks", "output")
# What joins the two parts of an entry, beside time, event and boot.
_ABOUT = ("module", "nevra")


#: The MESSAGE_ID of each event. ``journalctl MESSAGE_ID=…`` finds them; they never change.
EVENTS: dict[str, str] = {
    "load": "585cc8fef89e43bebdbd4bb91504b211",
    "replace": "4ea55008f3b04718afc229c7ae26d10b",
    "unload": "cf36ab45e2e345d6bbcce6036dc91cd0",
    "reverse": "81132b1bd9c148ddaff0c92f624bd5cd",
    "stall": "d189497519144af38941525297bb981f",
    "fail": "6288760f505148cf818d6a98f586c4e2",
    "good": "b7ce8df5387743f0a65eab092aa49561",
    "block": "95039bb8e7474bfd92633c341402f4d2",
    "unblock": "8869932384df4d9b9b0c70e0ec1bed5e",
    "force": "441414e1ef3c48b3a6f9d81814f4c25b",
    "hold": "0ff144f08a8a49f9adc9ff9db6bcbadd",
    "release": "a3279cea286b4e53995a93952056c19c",
    "adopt": "ce74f63262424c80b58133784ec1ae42",
    "taint": "21e5a7fd6e73414fb8f0a01b890fcc0f",
    "vanish": "73d962d534064ab1ab0a11c7e96d40c3",
}


class Entry(NamedTuple):
    """One line of history.

    ``facts`` are the details: module, nevra, outcome, seconds, advisory, issued, exposed_since, cves,
    reason, by (admin, for a block by hand), kernel, signer (of the package), dnf_history, seen (when what
    vanished was last in force); tasks and output, where root reads. ``private`` names those of the facts
    that the reader may not see.
    """

    time: str
    event: str
    boot_id: str
    facts: dict[str, Fact]


def _text(value: object) -> str:
    return texts.printable(str(value)[:_TEXT])


def _clean(value: object) -> Fact:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, (list, tuple)):
        return tuple(map(_text, value[:512]))
    return _text(value)


def _read_back(value: object) -> Fact | None:
    """Return the fact ``value`` of a line; None for what no writer writes, as JSON has more than facts."""
    if isinstance(value, list):
        return _clean(value) if all(isinstance(item, str) for item in value) else None
    if isinstance(value, (int, float)):
        return _clean(value) if -_MOST < value < _MOST else None
    return _clean(value) if isinstance(value, str) else None


def append(paths: Paths, event: str, **facts: object) -> None:
    """Add ``event`` with its ``facts`` and make it durable. Raises OSError when the disk refuses."""
    clean = {name: _clean(value) for name, value in facts.items() if value not in ("", (), None)}
    record = {"schema": atomic.SCHEMA, "time": times.now(), "event": event, "boot_id": boot_id(paths)}
    private = {name: clean[name] for name in PRIVATE if name in clean}
    public = {name: value for name, value in clean.items() if name not in PRIVATE}
    if private:
        public["private"] = tuple(private)
        about = {name: clean[name] for name in _ABOUT if name in clean}
        _append_line(paths.private_journal, {**private, **about}, record, 0o600)
    _append_line(paths.journal, public, record, 0o644)
    _send_to_journald(paths, event, clean)


def _append_line(path: str, facts: dict[str, Fact], record: dict[str, object], mode: int) -> None:
    line = json.dumps({**facts, **record}, sort_keys=True)
    for name in ("cves", "tasks", "reason"):
        # A line that is cut off is no entry, so the longest facts are left out instead.
        if len(line) > MAX_LINE:
            facts.pop(name, None)
            line = json.dumps({**facts, **record}, sort_keys=True)
    folder = os.path.dirname(path)
    atomic.ensure_dir(folder)
    atomic.step("before append journal")
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    descriptor = os.open(path, flags, mode)
    try:
        status = os.fstat(descriptor)
        ours, size = (status.st_dev, status.st_ino), status.st_size
        if size == 0:
            os.fchmod(descriptor, mode)  # whatever the caller's umask is
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        # A line that an earlier crash tore is closed off. A full disk that cuts this line off is an error.
        left = memoryview((("\n" if torn else "") + line + "\n").encode("ascii"))
        while left:
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    atomic.step("after append journal")
    if size > MAX_BYTES:
        _rotate(path, ours)
    if size > MAX_BYTES or size == 0:
        atomic.sync_dir(folder)


def _rotate(path: str, ours: tuple[int, int]) -> None:
    """Begin a new file, unless another writer has: the file ``ours`` is not at its path any more then."""
    try:
        status = os.stat(path)
        if (status.st_dev, status.st_ino) == ours:
            os.rename(path, path + ".1")
    except FileNotFoundError:
        return
    atomic.step("after rotate journal")


def remember(paths: Paths, event: str, **facts: object) -> bool:
    """Append for a caller to whom history is a side matter (a dnf run); return False where that failed."""
    try:
        append(paths, event, **facts)
    except (OSError, ValueError):
        return False
    return True


def _send_to_journald(paths: Paths, event: str, facts: dict[str, Fact]) -> None:
    """Send the event to journald, whose native protocol takes fields; a refusal is ignored."""
    address = paths.at("/run/systemd/journal/socket")
    if event not in EVENTS or not os.path.exists(address):
        return
    import socket

    subject = facts.get("nevra") or facts.get("module") or ""
    words = [f"live patch {subject}: {event}"]
    words += [str(facts[name]) for name in ("outcome", "reason") if name in facts]
    bad = event in ("fail", "stall", "block", "vanish") or facts.get("outcome") not in (None, "done")
    entry = {
        "MESSAGE": ", ".join(words),
        "MESSAGE_ID": EVENTS[event],
        "PRIORITY": "4" if bad else "5",
        "SYSLOG_IDENTIFIER": "livepatch",
    }
    for name, value in facts.items():
        entry["LIVEPATCH_" + name.upper()] = " ".join(value) if isinstance(value, tuple) else str(value)
    # Every value went through _clean, so none has the newline that would start another field.
    text = "".join(f"{name}={value}\n" for name, value in entry.items())
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.settimeout(1.0)
            channel.sendto(text.encode("utf-8"), address)
    except OSError:
        return


def _entry(line: bytes) -> Entry | None:
    if not line or len(line) > MAX_LINE + 1:
        return None
    try:
        data = fields.parsed(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or data.pop("schema", None) != atomic.SCHEMA:
        return None
    head = [data.pop(name, None) for name in ("time", "event", "boot_id")]
    if not all(isinstance(value, str) and len(value) < 100 and value.isprintable() for value in head):
        return None
    facts: dict[str, Fact] = {}
    for name, value in list(data.items())[:64]:
        fact = _read_back(value)
        if fact is not None and name.isidentifier():
            facts[name] = fact
    return Entry(str(head[0]), str(head[1]), str(head[2]), facts)


def read(paths: Paths, limit: int = 1000) -> list[Entry]:
    """Return the last ``limit`` entries, oldest first, without torn or spoiled lines."""
    entries = _entries(paths.journal)[-limit:] if limit > 0 else []
    if not any("private" in entry.facts for entry in entries):
        return entries
    private = {_key(entry): entry.facts for entry in _entries(paths.private_journal)}
    there = [name for name in _names(paths.private_journal) if os.path.exists(name)]
    shut = not all(os.access(name, os.R_OK) for name in there)
    return [entry if shut else _whole(entry, private) for entry in entries]


def _names(path: str) -> tuple[str, str]:
    return path + ".1", path


def _entries(path: str) -> list[Entry]:
    lines = [line for name in _names(path) for line in read_bytes(name, 2 * MAX_BYTES).split(b"\n")]
    return [entry for entry in map(_entry, lines) if entry is not None]


def _key(entry: Entry) -> tuple[object, ...]:
    return (entry.time, entry.event, entry.boot_id, *(entry.facts.get(name) for name in _ABOUT))


def _whole(entry: Entry, private: dict[tuple[object, ...], dict[str, Fact]]) -> Entry:
    """Return ``entry`` with its private facts, as far as they are still there."""
    facts = {name: value for name, value in entry.facts.items() if name != "private"}
    more = private.get(_key(entry), {}) if "private" in entry.facts else {}
    return entry._replace(facts={**facts, **{name: more[name] for name in PRIVATE if name in more}})


def transaction_of(paths: Paths, nevra: str) -> int:
    """Return the id of dnf's last transaction with the package ``nevra``, for audits; 0 for none."""
    import sqlite3

    path = paths.at("/var/lib/dnf/history.sqlite")
    package = split_nevra(nevra)
    if package is None or not os.path.exists(path):
        return 0
    query = (
        "select max(trans_item.trans_id) from rpm join trans_item on trans_item.item_id = rpm.item_id"
        " where rpm.name = ? and rpm.version = ? and rpm.release = ?"
    )
    try:
        database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=0.2)
        try:
            row = database.execute(query, (package.name, package.version, package.release)).fetchone()
        finally:
            database.close()
    except sqlite3.Error:
        return 0
    return row[0] if row and isinstance(row[0], int) else 0
