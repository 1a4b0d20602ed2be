# SPDX-License-Identifier: GPL-2.0-or-later
"""``/etc/dnf/plugins/livepatch.conf``: every key typed, defaulted and checked.

DNF reads ``enabled`` from the same file with libdnf's parser: keys are case-sensitive and a
``#`` inside a value is part of the value. This reader follows those rules, so that both see the
same file. A fault is reported, and never makes the host do more than any reading of the file.
"""

from __future__ import annotations

import os
import re

from . import names, times
from .typed import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from typing import Callable


MAX_BYTES = 65536
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_SEVERITIES = ("", "Low", "Moderate", "Important", "Critical")


class Config(NamedTuple):
    """The configuration; livepatch.conf(5) explains each key. Durations are in seconds."""

    enabled: bool = True
    mode: str = "load"
    when: str = "security"
    kernels: str = "installed"
    repos: tuple[str, ...] = ()
    on_failure: str = "error"
    transition_timeout: int = 60
    settle_time: int = 600
    min_age: int = 0
    cutoff: str = ""
    health_check: tuple[str, ...] = ()
    health_check_timeout: int = 30
    on_withdrawn: str = "warn"
    kernel_update: str = "install"
    hold_below: str = ""
    eol_warn_days: int = 14
    cache_max_age: int = 7 * 86400

    @property
    def withholds(self) -> bool:
        """Does the owner of the host keep live patches out, by their age or by a date?"""
        return bool(self.min_age or self.cutoff)


def duration(text: str) -> int:
    """Seconds of ``90``, ``30s``, ``10m``, ``24h``, ``7d`` or ``2w``. Raises ValueError."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in _UNITS else (text, "s")
    count = names.decimal(number, 9)
    if count is None:
        raise ValueError(f"{text!r} is no duration such as 90, 10m, 24h or 7d")
    return count * _UNITS[unit]


def _boolean(text: str) -> bool:
    word = text.lower()
    if word in ("1", "yes", "true", "on"):
        return True
    if word in ("0", "no", "false", "off"):
        return False
    raise ValueError(f"{text!r} is neither 1 nor 0")


def _choice(*words: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text not in words:
            raise ValueError(f"{text!r} is none of: {', '.join(w or '(empty)' for w in words)}")
        return text

    return check


def _items(text: str) -> tuple[str, ...]:
    return tuple(text.replace(",", " ").split())


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.split("\n") if line.strip())


def _date(text: str) -> str:
    if text and not (len(text) == 10 and times.DATE.match(text)):
        raise ValueError(f"{text!r} is no date such as 2026-11-22")
    return text


def _count(text: str) -> int:
    number = names.decimal(text, 6)
    if number is None:
        raise ValueError(f"{text!r} is no whole number")
    return number


_KEYS: dict[str, Callable[[str], object]] = {
    "enabled": _boolean,
    "mode": _choice("load", "install-only", "report"),
    "when": _choice("security", "always", "named"),
    "kernels": _choice("running", "installed"),
    "repos": _items,
    "on_failure": _choice("error", "warn"),
    "transition_timeout": duration,
    "settle_time": duration,
    "min_age": duration,
    "cutoff": _date,
    "health_check": _lines,
    "health_check_timeout": duration,
    "on_withdrawn": _choice("warn", "revert"),
    "kernel_update": _choice("install", "hold-when-covered", "hold"),
    "hold_below": _choice(*_SEVERITIES),
    "eol_warn_days": _count,
    "cache_max_age": duration,
}


#: The values of a key from the most careful on: one that stands in a doubtful place, or that is no value at
#: all, never makes the host do more than any reading of the file.
_CAREFUL: dict[str, tuple[object, ...]] = {
    "enabled": (False, True),
    "mode": ("report", "install-only", "load"),
    "when": ("named", "security", "always"),
    "kernels": ("running", "installed"),
}
#: Keys that keep patches out. Where one is not understood, nothing is added or loaded.
_LIMITS = ("enabled", "repos", "min_age", "cutoff")
_REPORT = "report"
_BREAK = re.compile(r"\r\n|\r|\n")
_SECTION = re.compile(r"\[\s*([^\]]*?)\s*(?:\]|\Z)(.*)", re.DOTALL)
#: A line that is meant to set a key, in whatever way it is spelled.
_MEANT = re.compile(r"\W*(?:(?:export|set)\s+)?([A-Za-z_-]+)\s*[=:\s]\s*(.*)\Z", re.DOTALL)


class _Reading:
    """The configuration as far as it was read, and its faults. ``sure`` are the keys that have a value."""

    def __init__(self) -> None:
        self.config = Config()
        self.faults: list[str] = []
        self.sure: set[str] = set()

    def take(self, key: str, text: str, doubt: bool) -> None:
        """Take ``text`` as the value of ``key``; with ``doubt`` only where that makes the host do less."""
        try:
            value = _KEYS[key](text)
        except ValueError as error:
            value = self._front(key, text)
            if value is None:
                self._fall_back(key)
                used = f"mode = {_REPORT}" if key in _LIMITS else repr(getattr(self.config, key))
                self.faults.append(f"{key}: {error}; {used} is used")
                return
            self.faults.append(f"{key}: {error}; {value!r} is used")
        if not doubt and key in self.sure and getattr(self.config, key) != value:
            self.faults.append(f"{key}: given more than once, and not with one value")
            doubt = True
        if doubt:
            self._less(key, value)
        else:
            self.config = self.config._replace(**{key: value})  # type: ignore[arg-type]
        self.sure.add(key)

    def _front(self, key: str, text: str) -> object:
        """Return the value before a comment or a line that continues it; None where there is none."""
        front = text.partition("\n")[0].partition(" #")[0].strip()
        try:
            return _KEYS[key](front) if front != text else None
        except ValueError:
            return None

    def _fall_back(self, key: str) -> None:
        if key in _LIMITS:
            self.config = self.config._replace(mode=_REPORT)
        elif key in _CAREFUL:
            self.config = self.config._replace(**{key: _CAREFUL[key][0]})  # type: ignore[arg-type]

    def _less(self, key: str, value: object) -> None:
        """Take a doubtful ``value`` where it makes the host do less; nothing tells that of a limit."""
        old = getattr(self.config, key)
        if key in _CAREFUL:
            value = min(old, value, key=_CAREFUL[key].index)
        elif key == "min_age":
            value = max(old, value)
        elif key == "cutoff" and not old:
            pass
        elif key == "health_check":
            value = tuple(dict.fromkeys((*old, *value)))  # type: ignore[misc]
        elif key in _LIMITS and value != old:
            value = value if old == getattr(Config(), key) else old
            self.config = self.config._replace(mode=_REPORT)
        elif key in self.sure:
            pass  # the last one counts, as with libdnf
        else:
            return
        self.config = self.config._replace(**{key: value})  # type: ignore[arg-type]


def _meaning(line: str) -> tuple[str, str]:
    """Return the key that ``line`` is meant to set and its value, ("", "") where that is none."""
    meant = _MEANT.match(line)
    if not meant:
        return "", ""
    key, value = meant.group(1).lower().replace("-", "_"), meant.group(2).strip()
    if key in ("disable", "disabled"):
        try:
            key, value = "enabled", str(not _boolean(value))
        except ValueError:
            key = "enabled"
    key = "enabled" if key == "enable" else key
    return (key, value) if key in _KEYS else ("", "")


def parse(text: str) -> tuple[Config, tuple[str, ...]]:
    """The configuration in ``text``, and one line for each fault in it.

    A line in a doubtful place, such as one without a section before it, counts where it makes the host do
    less.
    """
    reading = _Reading()
    section, key = "", ""
    lines: list[str] = []
    found: list[tuple[str, list[str], bool]] = []
    for number, line in enumerate(_BREAK.split(text), 1):
        stripped = line.strip().strip("\ufeff\0").strip()
        if not stripped or stripped[0] in "#;":
            continue
        name, value = _meaning(stripped)
        if line[0] in " \t" and key:
            lines.append(stripped)
            if name:
                reading.faults.append(f"line {number}: {name} is indented, and part of {key} above it")
                found.append((name, [value], True))
            continue
        key = ""
        header = _SECTION.match(stripped)
        if header:
            section = header.group(1)
            behind = header.group(2).strip()
            if behind and behind[0] not in "#;":
                reading.faults.append(f"line {number}: text behind [{section[:40]}]")
                name, value = _meaning(behind)
                if name:
                    found.append((name, [value], True))
            continue
        exact, equals, plain = stripped.partition("=")
        exact = exact.strip()
        if not equals or not section:
            why = "no section before it" if equals else "no ="
            reading.faults.append(f"line {number}: {why}")
        elif section != "main":
            reading.faults.append(f"line {number}: [{section[:40]}] is not known, only [main] is")
        elif exact not in _KEYS:
            reading.faults.append(f"line {number}: {exact[:40]!r} is no key of livepatch.conf")
        else:
            key, lines = exact, [plain.strip()]
            found.append((key, lines, False))
            continue
        if name:
            found.append((name, [value], True))
    for name, lines, doubt in sorted(found, key=lambda row: row[2]):
        reading.take(name, "\n".join(lines), doubt)
    return reading.config, tuple(reading.faults)


def _decoded(data: bytes) -> str:
    """The text of a file in UTF-8, with or without a mark, or UTF-16; other bytes are kept as they are."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    return data.decode("utf-8", "surrogateescape").replace("\0", "")


def read(path: str) -> tuple[Config, tuple[str, ...]]:
    """The configuration in the file at ``path`` and its faults. A missing file is the defaults.

    What a file that cannot be read forbids is unknown, so that nothing is added or loaded.
    """
    unknown = Config(mode=_REPORT)
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        if os.path.lexists(path):
            return unknown, (f"{path}: a link to a file that is not there; mode = {_REPORT} is used",)
        return Config(), ()
    except OSError as error:
        return unknown, (f"{path}: {error.strerror}; mode = {_REPORT} is used",)
    if len(data) > MAX_BYTES:
        return unknown, (f"{path}: larger than {MAX_BYTES} bytes; mode = {_REPORT} is used",)
    config, faults = parse(_decoded(data))
    return config, tuple(f"{path}: {fault}" for fault in faults)
