# SPDX-License-Identifier: GPL-2.0-or-later
"""The exposure cache: dnf runs write what the repositories said, everybody may read it.

One JSON file with the ``Inputs`` of the running kernel and of those that may be booted next. It is
hostile when read: bounded, every field checked, and a file with one bad field is no file.
"""

from __future__ import annotations

import re
from typing import Any

from ...base.model import Debt, Unfixable
from ...base.paths import Paths
from ...exposure.compute import EXACT, LOWER_BOUND, UNKNOWN, Inputs
from ...formats.manifest import CVE, RELEASE
from . import atomic

MAX_BYTES = 8 << 20
MAX_KERNELS = 16
MAX_ITEMS = 20000
_STAMP = re.compile(r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]Z\Z")
_DATE = re.compile(r"[0-9]{4}-[01][0-9]-[0-3][0-9](?:T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]Z)?\Z")
_EVR = re.compile(r"(?:[0-9]{1,9}:)?[A-Za-z0-9._+~^]{1,128}-[A-Za-z0-9._+~^]{1,128}\Z")
_NEVRA = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~^:-]{2,511}\Z")


class CacheError(ValueError):
    """The text is no cache that may be believed; str() says why."""


def dump(*kernels: Inputs) -> dict[str, Any]:
    """The cache's JSON object for ``kernels``."""
    entries: list[dict[str, Any]] = []
    for inputs in kernels[:MAX_KERNELS]:
        entry: dict[str, Any] = dict(inputs._asdict())
        entry["repositories"] = [{"id": name, "revision": rev} for name, rev in inputs.repositories]
        entry["debt"] = [row._asdict() for row in inputs.debt]
        entry["cover"] = [{"nevra": nevra, "cves": list(cves)} for nevra, cves in inputs.cover]
        entry["unfixable"] = [item._asdict() for item in inputs.unfixable]
        entries.append(entry)
    return {"kernels": entries}


def _text(data: dict[str, Any], key: str, pattern: re.Pattern[str] | None = None) -> str:
    value = data.get(key, "")
    if not isinstance(value, str) or len(value) > 2000 or not value.isprintable():
        raise CacheError(f"{key} is no short printable text")
    if value and pattern is not None and not pattern.match(value):
        raise CacheError(f"{key} is not acceptable: {value[:60]!r}")
    return value


def _required(data: dict[str, Any], key: str, pattern: re.Pattern[str]) -> str:
    value = _text(data, key, pattern)
    if not value:
        raise CacheError(f"{key} is missing")
    return value


def _objects(data: dict[str, Any], key: str, most: int = MAX_ITEMS) -> list[dict[str, Any]]:
    value = data.get(key, [])
    if not isinstance(value, list) or len(value) > most:
        raise CacheError(f"{key} is no list of at most {most} items")
    if not all(isinstance(item, dict) for item in value):
        raise CacheError(f"{key} holds something that is not an object")
    return value


def _cves(data: dict[str, Any]) -> tuple[str, ...]:
    value = data.get("cves", [])
    if not isinstance(value, list) or len(value) > MAX_ITEMS:
        raise CacheError("cves is no list")
    if not all(isinstance(cve, str) and CVE.match(cve) for cve in value):
        raise CacheError("cves holds something that is no CVE identifier")
    return tuple(value)


def _inputs(data: dict[str, Any]) -> Inputs:
    quality = data.get("quality")
    if quality not in (EXACT, LOWER_BOUND, UNKNOWN):
        raise CacheError("quality is none of exact, lower-bound, unknown")
    return Inputs(
        kernel_release=_required(data, "kernel_release", RELEASE),
        kernel_package=_text(data, "kernel_package", _NEVRA),
        quality=str(quality),
        reason=_text(data, "reason"),
        as_of=_text(data, "as_of", _STAMP),
        repositories=tuple(
            (_text(item, "id"), _text(item, "revision")) for item in _objects(data, "repositories")
        ),
        debt=tuple(
            Debt(
                _required(item, "cve", CVE),
                _text(item, "advisory"),
                _text(item, "severity"),
                _required(item, "fixed_in", _EVR),
                _text(item, "issued", _DATE),
            )
            for item in _objects(data, "debt")
        ),
        cover=tuple((_required(item, "nevra", _NEVRA), _cves(item)) for item in _objects(data, "cover")),
        unfixable=tuple(
            Unfixable(_required(item, "cve", CVE), _text(item, "reason"))
            for item in _objects(data, "unfixable")
        ),
        support_end=_text(data, "support_end", _DATE),
        newest_kernel=_text(data, "newest_kernel", _EVR),
        window_end=_text(data, "window_end", _DATE),
    )


def parse(data: dict[str, Any]) -> tuple[Inputs, ...]:
    """The inputs in the cache's JSON object, one for each kernel. Raises CacheError only."""
    return tuple(_inputs(item) for item in _objects(data, "kernels", MAX_KERNELS))


def save(paths: Paths, *kernels: Inputs) -> bool:
    """Write the cache; False when it cannot be written, as in an unprivileged dnf run."""
    import json

    # One line: json's indenting encoder is not written in C, and every dnf upgrade would pay for it.
    text = json.dumps({"schema": atomic.SCHEMA, **dump(*kernels)}, sort_keys=True) + "\n"
    try:
        atomic.write_bytes(paths.exposure, text.encode("ascii"))
    except OSError:
        return False
    return True


def load(paths: Paths, release: str) -> tuple[Inputs | None, str]:
    """The cached inputs for the kernel ``release``, or None and why there are none."""
    try:
        data = atomic.read_json(paths.exposure, MAX_BYTES)
        kernels = parse(data) if data is not None else ()
    except atomic.Broken as error:
        return None, str(error)
    except CacheError as error:
        return None, f"{paths.exposure} cannot be believed: {error}"
    for inputs in kernels:
        if inputs.kernel_release == release:
            return inputs, ""
    why = f"no dnf run has read the advisories for kernel {release} yet"
    return None, f"{why}; run 'dnf livepatch update --check'"
