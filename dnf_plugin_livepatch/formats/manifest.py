# SPDX-License-Identifier: GPL-2.0-or-later
"""The manifest of a live-patch module: JSON text to Manifest and back, every field checked. Pure.

A manifest comes from an RPM and is hostile until checked: names that reach a path or sysfs must
be plain module or release names, lists and strings are bounded, unknown keys are ignored (a later
schema may add some), a higher schema number is refused.
"""

from __future__ import annotations

import json
import re

from ..base import fields
from ..base.fields import Form
from ..base.model import Function, Manifest, Unfixable
from ..base.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any


SCHEMA = 1
MAX_BYTES = 1 << 20
_TEXT = Form("a printable text of at most 1000 characters", None, 1000)
_ADVISORY = Form("the id of an advisory of at most 200 characters", None, 200)
_SEVERITY = Form("a severity of at most 40 characters", None, 40)
_SYMBOL = Form("the name of a function", re.compile(r"[A-Za-z0-9_.$]{1,511}\Z"))
_OBJECT = Form("vmlinux or the name of a module", re.compile(r"[A-Za-z0-9_-]{1,63}\Z"))
_HEX = Form("16 to 128 hexadecimal digits, two a byte", re.compile(r"(?:[0-9a-f]{2}){8,64}\Z"))
_SRCVERSION = Form("1 to 64 hexadecimal digits in upper case", re.compile(r"[0-9A-F]{1,64}\Z"))
_TIME = Form(
    fields.DATE.expected, re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)?\Z")
)


class ManifestError(ValueError):
    """The text is no manifest that may be acted on; str() names the field and the fault."""


def _function(data: dict[str, Any]) -> Function:
    return Function(
        fields.text(data, "object", _OBJECT),
        fields.text(data, "name", _SYMBOL),
        fields.whole(data, "sympos", 65535, 0),
    )


def _patch(data: dict[str, Any]) -> tuple[str, str]:
    return fields.text(data, "name", _TEXT, empty=True), fields.text(data, "sha256", _TEXT, empty=True)


def _override(data: dict[str, Any]) -> tuple[str, str]:
    return fields.text(data, "check", _TEXT, empty=True), fields.text(data, "reason", _TEXT, empty=True)


def _unfixable(data: dict[str, Any]) -> Unfixable:
    return Unfixable(fields.text(data, "cve", fields.CVE), fields.text(data, "reason", _TEXT, empty=True))


def parse(text: str) -> Manifest:
    """The Manifest in ``text``. Raises ManifestError, never anything else."""
    try:
        return _manifest(fields.document(text, MAX_BYTES, SCHEMA))
    except fields.FieldError as error:
        raise ManifestError(str(error)) from None


def _manifest(data: dict[str, Any]) -> Manifest:
    return Manifest(
        module=fields.text(data, "module", fields.MODULE),
        kernel_release=fields.text(data, "kernel_release", fields.RELEASE),
        build_id=fields.text(data, "build_id", _HEX),
        sha256=fields.maybe(data, "sha256", _HEX),
        srcversion=fields.maybe(data, "srcversion", _SRCVERSION),
        kernel_build_id=fields.maybe(data, "kernel_build_id", _HEX),
        replace=fields.flag(data, "replace", True),
        order=fields.whole(data, "order", fields.MAX_ITEMS - 1, 0),
        functions=fields.each(data, "functions", _function, default=[]),
        patches=fields.each(data, "patches", _patch, default=[]),
        cves=fields.texts(data, "cves", fields.CVE, default=[]),
        unfixable=fields.each(data, "unfixable", _unfixable, default=[]),
        advisory=fields.maybe(data, "advisory", _ADVISORY),
        severity=fields.maybe(data, "severity", _SEVERITY),
        issued=fields.maybe(data, "issued", _TIME),
        support_end=fields.maybe(data, "support_end", _TIME),
        overrides=fields.each(data, "overrides", _override, default=[]),
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
