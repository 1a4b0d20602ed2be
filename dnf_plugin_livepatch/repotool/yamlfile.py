# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading a YAML file with known keys only: bounded, typed, each fault named by its place."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from typing import Any, Callable

from ..base import times

MAX_BYTES = 4 << 20
Check = Callable[[object, str], Any]
_SPAN = re.compile(r"([0-9]{1,6})([mhdw])\Z")
_SECONDS = {"m": 60, "h": 3600, "d": 86400, "w": 604800}


class Fault(ValueError):
    """A fault in a file, with its place; the caller adds the name of the file."""


def load(path: str) -> dict[str, Any]:
    """The mapping in a YAML file. Raises Fault."""
    import yaml

    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise Fault(error.strerror or "cannot be read") from None
    if len(data) > MAX_BYTES:
        raise Fault(f"larger than {MAX_BYTES} bytes")
    if re.search(rb"[0-9:_]{200}", data):
        raise Fault("a number of more than 200 digits")
    if re.search(rb"(?m)(?:^|[\s,\[{:-])[&*][A-Za-z0-9_]", data):
        raise Fault("anchors and aliases are not used here")
    try:
        found = yaml.safe_load(data)
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        raise Fault("not YAML: " + " ".join(str(error).split())[:200]) from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise Fault("not a mapping of keys to values")
    return found


def mapping(data: object, where: str, keys: Mapping[str, Check]) -> dict[str, Any]:
    """``data`` with each value checked. Raises Fault for an unknown key too."""
    if not isinstance(data, dict):
        raise Fault(f"{where} is no mapping")
    for key in data:
        if key not in keys:
            raise Fault(f"{where}: unknown key {str(key)[:40]!r}; known are {', '.join(keys)}")
    return {key: keys[key](value, f"{where}: {key}") for key, value in data.items()}


def text(limit: int = 200, lines: bool = False) -> Check:
    """A printable text of 1 to ``limit`` characters, on one line unless ``lines``."""

    def check(value: object, where: str) -> str:
        plain = value.replace("\n", " ") if lines and isinstance(value, str) else value
        if not isinstance(plain, str) or not 0 < len(plain) <= limit or not plain.isprintable():
            raise Fault(f"{where} is no printable text of 1 to {limit} characters")
        return str(value)

    return check


def pattern(rule: re.Pattern[str], what: str) -> Check:
    """A text that fits ``rule``."""

    def check(value: object, where: str) -> str:
        if not isinstance(value, str) or not rule.match(value):
            raise Fault(f"{where} is {what}, not {str(value)[:60]!r}")
        return value

    return check


def choice(*words: str) -> Check:
    """One of ``words``."""

    def check(value: object, where: str) -> str:
        if value not in words:
            raise Fault(f"{where} is one of {', '.join(words)}, not {str(value)[:40]!r}")
        return str(value)

    return check


def number(least: int, most: int) -> Check:
    """An integer from ``least`` to ``most``."""

    def check(value: object, where: str) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise Fault(f"{where} is a number from {least} to {most}, not {str(value)[:40]!r}")
        return value

    return check


def time(value: object, where: str) -> str:
    """A date or a moment in UTC; YAML's own date types are accepted."""
    if isinstance(value, datetime.datetime):
        if value.tzinfo is not None:
            try:
                value = value.astimezone(datetime.timezone.utc).replace(tzinfo=None)
            except OverflowError:
                raise Fault(f"{where} is a moment before the year 1 or after 9999") from None
        value = value.isoformat(timespec="seconds") + "Z"
    elif isinstance(value, datetime.date):
        value = value.isoformat()
    if not isinstance(value, str) or not times.DATE.match(value) or times.parse(value) is None:
        raise Fault(f"{where} is a date or a moment such as 2026-11-22T21:00:00Z, not {str(value)[:40]!r}")
    return value


def span(value: object, where: str) -> int:
    """A duration such as 30m, 12h, 2d or 1w, in seconds."""
    found = _SPAN.match(value) if isinstance(value, str) else None
    if value == 0:
        return 0
    if not found:
        raise Fault(f"{where} is a duration such as 12h or 2d, not {str(value)[:40]!r}")
    return int(found[1]) * _SECONDS[found[2]]


def listing(item: Check, limit: int = 4096) -> Check:
    """A list of at most ``limit`` items, each checked by ``item``."""

    def check(value: object, where: str) -> list[Any]:
        if not isinstance(value, list) or len(value) > limit:
            raise Fault(f"{where} is no list of at most {limit} items")
        return [item(entry, f"{where}[{index}]") for index, entry in enumerate(value)]

    return check


def record(keys: Mapping[str, Check], required: tuple[str, ...] = ()) -> Check:
    """A mapping with these ``keys``, of which some are ``required``."""

    def check(value: object, where: str) -> dict[str, Any]:
        found = mapping(value, where, keys)
        for key in required:
            if key not in found:
                raise Fault(f"{where}: {key} is missing")
        return found

    return check


def table(key: re.Pattern[str], item: Check) -> Check:
    """A mapping whose keys fit ``key`` and whose values ``item`` checks."""

    def check(value: object, where: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise Fault(f"{where} is no mapping")
        for name in value:
            if not isinstance(name, str) or not key.match(name):
                raise Fault(f"{where}: {str(name)[:60]!r} cannot be used here")
        return {name: item(entry, f"{where}: {name}") for name, entry in value.items()}

    return check
