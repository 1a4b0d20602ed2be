# SPDX-License-Identifier: GPL-2.0-or-later
"""A repository's generations: their names, which sort by time, and the files that each of them needs."""

from __future__ import annotations

import os
import re
import time

from ...base import times
from .metadata import load

LIST = "packages.list"
_STAMP = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})T([0-9]{2})([0-9]{2})([0-9]{2})\.([0-9]{6})Z")
_OURS = re.compile(r"Packages/[0-9a-f]{16}/[^/]+\Z")


def names(folder: str) -> list[str]:
    """The names in ``folder``, sorted; none where it is missing."""
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []


def listed(generation: str) -> set[str]:
    """The RPMs of a generation that this tool placed and may therefore remove.

    A generation without a list of its own, such as a folder that another tool made, has its metadata read.
    Raises ToolError when that cannot be read.
    """
    try:
        with open(os.path.join(generation, LIST), encoding="utf-8", errors="replace") as file:
            found = {line.rstrip("\n") for line in file}
    except FileNotFoundError:
        repodata = os.path.join(generation, "repodata")
        if not os.path.isfile(os.path.join(repodata, "repomd.xml")):
            return set()
        found = {package.location_href or "" for package in load(repodata).packages.values()}
    return {item for item in found if _OURS.match(item)}


def stamp(microseconds: int) -> str:
    """A moment as the first part of a generation's name; the names sort by time."""
    moment = times.later(times.EPOCH, microseconds // 10**6)
    return moment.rstrip("Z").replace("-", "").replace(":", "") + f".{microseconds % 10**6:06d}Z"


def moment(name: str) -> int:
    """The moment in a generation's name in microseconds since the epoch; 0 for a name without one."""
    found = _STAMP.match(name)
    began = times.parse("{}-{}-{}T{}:{}:{}Z".format(*found.groups()[:6])) if found else None
    return 0 if found is None or began is None else began * 10**6 + int(found.group(7))


def age(name: str) -> float:
    """Seconds since the generation ``name`` began; 0 for a name without a time."""
    return time.time() - moment(name) / 1e6 if moment(name) else 0.0
