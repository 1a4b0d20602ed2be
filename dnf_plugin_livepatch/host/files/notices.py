# SPDX-License-Identifier: GPL-2.0-or-later
"""Findings of dnf runs that reconcile and status act on: withdrawn patches, a held kernel, an offer.

The file is ``/var/lib/livepatch/notices.json``. dnf writes it as root, and only when something changed.
Readers take it as hostile: the size is bounded, every field is checked, and a file with one bad field counts
as absent.
"""

from __future__ import annotations

import fcntl
import os
import time

from ...base import fields
from ...base.model import Hold, Offered, Trusted, Withdrawal
from ...base.paths import Paths
from ...base.typed import TYPE_CHECKING, NamedTuple
from . import atomic

if TYPE_CHECKING:
    from typing import Any, Callable


# How long a dnf run waits for another: a change takes a moment, and DNF never hangs for one.
_TRIES, _PAUSE = 100, 0.02
MAX_BYTES = 1 << 20
MAX_WITHDRAWN = 512
MAX_REASON = 300
MAX_UNPROVED = 256
MAX_SEEN = 512


class Notices(NamedTuple):
    """The withdrawn live patches, by NEVRA and repository, the kernel update that is held, and the live
    patch that is offered and not taken.

    ``seen`` are NEVRAs of patches on offer, each with the moment of the first run that saw it.
    ``trusted`` are the trusted repositories, None where no run has looked for them.
    """

    withdrawn: tuple[Withdrawal, ...] = ()
    hold: Hold | None = None
    unproved: tuple[str, ...] = ()
    trusted: tuple[Trusted, ...] | None = None
    offered: Offered | None = None
    seen: tuple[tuple[str, str], ...] = ()

    @property
    def reasons(self) -> dict[str, str]:
        """NEVRA and reason of each patch that any repository withdrew."""
        return {row.nevra: row.reason for row in reversed(self.withdrawn)}

    @property
    def proved(self) -> dict[str, str]:
        """The same of signed metadata alone: nothing is taken out of force upon anybody's word."""
        return {row.nevra: row.reason for row in reversed(self.withdrawn) if row.signed}


def _withdrawn(data: dict[str, Any]) -> Withdrawal:
    return Withdrawal(
        fields.text(data, "nevra", fields.NEVRA),
        fields.text(data, "reason"),
        fields.text(data, "repository", default=""),
        fields.flag(data, "signed", False),
    )


def _trusted(data: dict[str, Any]) -> Trusted:
    return Trusted(
        fields.text(data, "repository"),
        fields.choice(data, "why", ("origin", "named", "listed")),
        fields.flag(data, "claims"),
        fields.flag(data, "signed"),
    )


def _seen(data: dict[str, Any]) -> tuple[str, str]:
    return fields.text(data, "nevra", fields.NEVRA), fields.text(data, "since", fields.MOMENT)


def _hold(data: dict[str, Any]) -> Hold:
    return Hold(
        fields.text(data, "release"),
        fields.text(data, "name", fields.NEVRA),
        fields.text(data, "kernel", fields.NEVRA),
        fields.text(data, "since"),
        fields.text(data, "why"),
        fields.texts(data, "closed", fields.CVE, default=[]),
        fields.texts(data, "left", fields.CVE, default=[]),
        fields.texts(data, "names", fields.NEVRA, default=[]),
    )


def _offered(data: dict[str, Any]) -> Offered:
    return Offered(
        fields.text(data, "release", fields.RELEASE),
        fields.text(data, "nevra", fields.NEVRA),
        fields.text(data, "repo"),
        fields.text(data, "since", fields.MOMENT),
    )


def parse(data: dict[str, Any]) -> Notices:
    """Return the notices in the file's JSON object. Raises Broken only."""
    try:
        withdrawn = fields.each(data, "withdrawn", _withdrawn, default=[])
        unproved = fields.texts(data, "unproved", fields.NEVRA, default=[])
        trusted = fields.each(data, "trusted", _trusted) if "trusted" in data else None
        seen = fields.each(data, "seen", _seen, MAX_SEEN, [])
        hold = None
        if data.get("hold") is not None:
            hold = fields.inside(data, "hold", _hold)
        offered = None
        if data.get("offered") is not None:
            offered = fields.inside(data, "offered", _offered)
    except fields.FieldError as error:
        raise atomic.Broken(f"notices.json: {error}") from None
    return Notices(tuple(sorted(withdrawn)), hold, unproved, trusted, offered, seen)


def read(paths: Paths) -> Notices:
    """Return the notices; without a file, or with a spoiled one, there are none and nothing is withdrawn."""
    try:
        data = atomic.read_json(paths.notices, MAX_BYTES)
        return Notices() if data is None else parse(data)
    except atomic.Broken:
        return Notices()


def fault(paths: Paths) -> str:
    """Return why the file cannot be believed; "" where it can, or where there is none."""
    try:
        data = atomic.read_json(paths.notices, MAX_BYTES)
        if data is not None:
            parse(data)
    except atomic.Broken as error:
        return str(error)
    return ""


def dump(notices: Notices) -> dict[str, Any]:
    """Return the file's JSON object for ``notices``."""
    rows = [
        {**row._asdict(), "reason": row.reason[:MAX_REASON]} for row in notices.withdrawn[:MAX_WITHDRAWN]
    ]
    hold = notices.hold
    data: dict[str, Any] = {"withdrawn": rows, "unproved": list(notices.unproved[-MAX_UNPROVED:])}
    if notices.trusted is not None:
        data["trusted"] = [row._asdict() for row in notices.trusted[: fields.MAX_ITEMS]]
    if notices.offered is not None:
        data["offered"] = notices.offered._asdict()
    data["seen"] = [{"nevra": nevra, "since": since} for nevra, since in notices.seen[-MAX_SEEN:]]
    if hold is not None:
        lists = {"closed": hold.closed, "left": hold.left, "names": hold.names}
        bounded = {key: list(items[: fields.MAX_ITEMS]) for key, items in lists.items()}
        data["hold"] = {**hold._asdict(), **bounded}
    return data


def change(paths: Paths, function: Callable[[Notices], Notices]) -> bool:
    """Write what ``function`` makes of the notices, as ``save`` does, and return its answer.

    Two dnf runs may find something at the same time: the file stays locked from the read to the write.
    """
    try:
        atomic.ensure_dir(paths.run_dir)
        lock = os.open(paths.run_dir + "/notices.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return False
    try:
        for _ in range(_TRIES):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                time.sleep(_PAUSE)
            else:
                return save(paths, function(read(paths)))
        return False
    finally:
        os.close(lock)


def save(paths: Paths, notices: Notices) -> bool:
    """Write ``notices`` where they are news; return whether they were, and could be written.

    A spoiled file is kept beside the new one, as notices.json.spoiled.
    """
    spoiled = bool(fault(paths))
    if not spoiled and parse(dump(notices)) == read(paths):
        return False
    try:
        if spoiled:
            os.replace(paths.notices, paths.notices + ".spoiled")
        atomic.write_json(paths.notices, dump(notices), parse, MAX_BYTES)
    except OSError:
        return False
    return True
