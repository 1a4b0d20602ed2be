# SPDX-License-Identifier: GPL-2.0-or-later
"""The manifest of a live-patch module: JSON text to Manifest and back, every field checked. Pure.

A manifest comes from an RPM and is hostile until checked: names that reach a path or sysfs must
be plain module or release names, lists and strings are bounded, unknown keys are ignored (a later
schema may add some), a higher schema number is refused.
"""

from __future__ import annotations

import json
import re
from typing import Any

from ..base.model import Function, Manifest, Unfixable

SCHEMA = 1
MAX_BYTES = 1 << 20
MAX_ITEMS = 4096
MODULE = re.compile(r"[A-Za-z0-9_]{1,55}\Z")
RELEASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~^-]{0,127}\Z")
CVE = re.compile(r"CVE-[0-9]{4}-[0-9]{4,19}\Z")
_SYMBOL = re.compile(r"[A-Za-z0-9_.$]{1,511}\Z")
_OBJECT = re.compile(r"[A-Za-z0-9_-]{1,63}\Z")
_HEX = re.compile(r"(?:[0-9a-f]{2}){8,64}\Z")
_SRCVERSION = re.compile(r"[0-9A-F]{1,64}\Z")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)?\Z")


class ManifestError(ValueError):
    """The text is no manifest that may be acted on; str() says which field and why."""


def _string(data: dict[str, Any], key: str, pattern: re.Pattern[str], required: bool) -> str:
    value = data.get(key)
    if value in (None, ""):
        if required:
            raise ManifestError(f"{key} is missing")
        return ""
    if not isinstance(value, str) or not pattern.match(value):
        raise ManifestError(f"{key} is not acceptable: {str(value)[:60]!r}")
    return value


def _text(value: object, where: str, limit: int = 1000) -> str:
    if not isinstance(value, str) or len(value) > limit or not value.isprintable():
        raise ManifestError(f"{where} is not a printable text of at most {limit} characters")
    return value


def _list(data: dict[str, Any], key: str) -> list[Any]:
    value = data.get(key, [])
    if not isinstance(value, list) or len(value) > MAX_ITEMS:
        raise ManifestError(f"{key} is not a list of at most {MAX_ITEMS} items")
    return value


def _pairs(data: dict[str, Any], key: str, first: str, second: str) -> tuple[tuple[str, str], ...]:
    pairs = []
    for item in _list(data, key):
        if not isinstance(item, dict):
            raise ManifestError(f"{key} holds something that is not an object")
        pairs.append((_text(item.get(first), f"{key}.{first}"), _text(item.get(second), f"{key}.{second}")))
    return tuple(pairs)


def _cve(value: object, where: str) -> str:
    if not isinstance(value, str) or not CVE.match(value):
        raise ManifestError(f"{where}: {str(value)[:40]!r} is no CVE identifier")
    return value


def _function(item: object) -> Function:
    if not isinstance(item, dict):
        raise ManifestError("functions holds something that is not an object")
    sympos = item.get("sympos", 0)
    if not isinstance(sympos, int) or isinstance(sympos, bool) or not 0 <= sympos < 65536:
        raise ManifestError("functions.sympos is no small number")
    try:
        return Function(_string(item, "object", _OBJECT, True), _string(item, "name", _SYMBOL, True), sympos)
    except ManifestError as error:
        raise ManifestError(f"functions.{error}") from None


def _flag(data: dict[str, Any], key: str, default: bool) -> bool:
    value = data.get(key, default)
    if not isinstance(value, bool):
        raise ManifestError(f"{key} is neither true nor false")
    return value


def parse(text: str) -> Manifest:
    """The Manifest in ``text``. Raises ManifestError, never anything else."""
    if len(text) > MAX_BYTES:
        raise ManifestError(f"larger than {MAX_BYTES} characters")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"not JSON: {str(error)[:80]}") from None
    if not isinstance(data, dict):
        raise ManifestError("not a JSON object")
    if not isinstance(data.get("schema"), int) or not 1 <= data["schema"] <= SCHEMA:
        raise ManifestError(f"schema {str(data.get('schema'))[:20]} is not known, up to {SCHEMA} is")
    order = data.get("order", 0)
    if not isinstance(order, int) or isinstance(order, bool) or not 0 <= order < MAX_ITEMS:
        raise ManifestError("order is no small number")
    return Manifest(
        module=_string(data, "module", MODULE, True),
        kernel_release=_string(data, "kernel_release", RELEASE, True),
        build_id=_string(data, "build_id", _HEX, True),
        sha256=_string(data, "sha256", _HEX, False),
        srcversion=_string(data, "srcversion", _SRCVERSION, False),
        kernel_build_id=_string(data, "kernel_build_id", _HEX, False),
        replace=_flag(data, "replace", True),
        order=order,
        functions=tuple(_function(item) for item in _list(data, "functions")),
        patches=_pairs(data, "patches", "name", "sha256"),
        cves=tuple(_cve(item, "cves") for item in _list(data, "cves")),
        unfixable=tuple(
            Unfixable(_cve(cve, "unfixable"), reason)
            for cve, reason in _pairs(data, "unfixable", "cve", "reason")
        ),
        advisory=_text(data.get("advisory") or "", "advisory", 200),
        severity=_text(data.get("severity") or "", "severity", 40),
        issued=_string(data, "issued", _TIME, False),
        support_end=_string(data, "support_end", _TIME, False),
        overrides=_pairs(data, "overrides", "check", "reason"),
    )


def dump(manifest: Manifest) -> str:
    """``manifest`` as JSON text, the same bytes for the same manifest (reproducible packages)."""
    data: dict[str, Any] = {"schema": SCHEMA, **manifest._asdict()}
    data["functions"] = [function._asdict() for function in manifest.functions]
    data["patches"] = [{"name": name, "sha256": digest} for name, digest in manifest.patches]
    data["cves"] = list(manifest.cves)
    data["unfixable"] = [item._asdict() for item in manifest.unfixable]
    data["overrides"] = [{"check": check, "reason": reason} for check, reason in manifest.overrides]
    return json.dumps(data, indent=1, sort_keys=True) + "\n"
