# SPDX-License-Identifier: GPL-2.0-or-later
"""``/etc/dnf/plugins/livepatch.conf``: every key typed, defaulted and checked.

DNF reads ``enabled`` from the same file with libdnf's parser: keys are case-sensitive and a
``#`` inside a value is part of the value. This reader follows those rules, so that both see the
same file. A bad value falls back to its default and is reported.
"""

from __future__ import annotations

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


def parse(text: str) -> tuple[Config, tuple[str, ...]]:
    """The configuration in ``text``, and one line for each fault in it."""
    values: dict[str, str] = {}
    faults: list[str] = []
    section, key = "", ""
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if not stripped or stripped[0] in "#;":
            continue
        if line[0] in " \t" and key:
            values[key] += "\n" + stripped
            continue
        key = ""
        if stripped[0] == "[":
            section = stripped.strip("[]")
            continue
        name, equals, value = stripped.partition("=")
        name = name.strip()
        if not equals or not section:
            faults.append(f"line {number}: {'no section before it' if equals else 'no ='}")
        elif section != "main":
            faults.append(f"line {number}: [{section[:40]}] is not known, only [main] is")
        elif name not in _KEYS:
            faults.append(f"line {number}: {name[:40]!r} is no key of livepatch.conf")
        else:
            key = name
            values[key] = value.strip()
    config = Config()
    for name, text_value in values.items():
        try:
            config = config._replace(**{name: _KEYS[name](text_value)})  # type: ignore[arg-type]
        except ValueError as error:
            faults.append(f"{name}: {error}; {getattr(config, name)!r} is used")
    return config, tuple(faults)


def read(path: str) -> tuple[Config, tuple[str, ...]]:
    """The configuration in the file at ``path`` and its faults. A missing file is the defaults."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return Config(), ()
    except OSError as error:
        return Config(), (f"{path}: {error.strerror}; defaults are used",)
    if len(data) > MAX_BYTES:
        return Config(), (f"{path}: larger than {MAX_BYTES} bytes; defaults are used",)
    config, faults = parse(data.decode("utf-8", "replace"))
    return config, tuple(f"{path}: {fault}" for fault in faults)
