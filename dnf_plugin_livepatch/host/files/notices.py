# SPDX-License-Identifier: GPL-2.0-or-later
"""What dnf runs found in the repositories that reconcile and status act on.

``/var/lib/livepatch/notices.json``: live patches that their publisher withdrew, and the kernel update that
is held, with its proof. Written by dnf as root and only when something changed; hostile when read: bounded,
every field checked, and a file with one bad field says nothing.
"""

from __future__ import annotations

import os
import re
from typing import Any, NamedTuple

from ...base.paths import Paths
from ...formats.manifest import CVE
from . import atomic
from .guard_file import NEVRA

MAX_BYTES = 1 << 20
MAX_ITEMS = 4096


class Hold(NamedTuple):
    """A kernel update that a dnf run kept out, for the running kernel ``release``.

    ``kernel`` is its EVR, ``name`` its package, ``since`` when it was first held. ``closed`` are the CVEs
    of the update that were closed live then, ``left`` those that were not.
    """

    release: str
    name: str
    kernel: str
    since: str
    why: str
    closed: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


class Notices(NamedTuple):
    """``withdrawn`` are (NEVRA, reason), ascending."""

    withdrawn: tuple[tuple[str, str], ...] = ()
    hold: Hold | None = None


def _text(value: object, pattern: re.Pattern[str] | None = None) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 2000 or not value.isprintable():
        raise atomic.Broken("notices.json holds a text that is none")
    if pattern is not None and not pattern.match(value):
        raise atomic.Broken(f"notices.json: {value[:60]!r} is not acceptable")
    return value


def _list(value: object) -> list[Any]:
    if not isinstance(value, list) or len(value) > MAX_ITEMS:
        raise atomic.Broken("notices.json holds a list that is none")
    return value


def _hold(data: object) -> Hold:
    if not isinstance(data, dict):
        raise atomic.Broken("notices.json: hold is no object")
    closed, left = (
        tuple(_text(item, CVE) for item in _list(data.get(key, []))) for key in ("closed", "left")
    )
    return Hold(
        _text(data.get("release")),
        _text(data.get("name"), NEVRA),
        _text(data.get("kernel"), NEVRA),
        _text(data.get("since")),
        _text(data.get("why")),
        closed,
        left,
    )


def parse(data: dict[str, Any]) -> Notices:
    """The notices in the file's JSON object. Raises Broken only."""
    pairs = []
    for item in _list(data.get("withdrawn", [])):
        if not isinstance(item, dict):
            raise atomic.Broken("notices.json: withdrawn holds no object")
        pairs.append((_text(item.get("nevra"), NEVRA), _text(item.get("reason"))))
    hold = data.get("hold")
    return Notices(tuple(sorted(pairs)), _hold(hold) if hold is not None else None)


def read(paths: Paths) -> Notices:
    """The notices; none where there is no file or it cannot be believed: then nothing is withdrawn."""
    try:
        data = atomic.read_json(paths.notices, MAX_BYTES)
        return Notices() if data is None else parse(data)
    except atomic.Broken:
        return Notices()


def fault(paths: Paths) -> str:
    """Why the file cannot be believed; "" where it can, or where there is none."""
    try:
        data = atomic.read_json(paths.notices, MAX_BYTES)
        if data is not None:
            parse(data)
    except atomic.Broken as error:
        return str(error)
    return ""


def dump(notices: Notices) -> dict[str, Any]:
    """The file's JSON object for ``notices``."""
    rows = [{"nevra": nevra, "reason": reason} for nevra, reason in notices.withdrawn[:MAX_ITEMS]]
    hold = notices.hold
    data: dict[str, Any] = {"withdrawn": rows}
    if hold is not None:
        closed, left = list(hold.closed[:MAX_ITEMS]), list(hold.left[:MAX_ITEMS])
        data["hold"] = {**hold._asdict(), "closed": closed, "left": left}
    return data


def save(paths: Paths, notices: Notices) -> bool:
    """Write ``notices`` if they are news; whether they were, and could be written.

    A spoiled file is kept beside the new one, as notices.json.spoiled.
    """
    spoiled = bool(fault(paths))
    if not spoiled and notices == read(paths):
        return False
    try:
        if spoiled:
            os.replace(paths.notices, paths.notices + ".spoiled")
        atomic.write_json(paths.notices, dump(notices))
    except OSError:
        return False
    return True
