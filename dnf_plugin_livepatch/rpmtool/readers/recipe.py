# SPDX-License-Identifier: GPL-2.0-or-later
"""The recipe of one package: all facts, besides the sources, that decide its bytes. Pure.

``livepatch.json`` in the source RPM is its JSON form. By it a build farm makes the package again, and the
next cumulative package builds upon it. The file comes out of an RPM, so every field is checked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from ...base import fields, times
from ...base.fields import FieldError, Form
from ...base.model import Unfixable
from ...base.names import CVE, cve_order
from ...toolkit.errors import SEVERITIES, refuse
from .lint_catalogue import LINT

SCHEMA = 1
MAX_BYTES = 4 << 20
MAX_EPOCH = 10**11
KINDS = ("diff", "source", "module", "empty")
#: The programs that make a module; module/engines.py runs them.
ENGINES = ("kbuild", "kpatch-build", "klp-build")
PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,199}\Z")
_RPM_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~]{0,63}\Z")
_NAME = Form("a plain name of at most 200 characters", PLAIN)
_VERSION = Form("an RPM version or release", _RPM_VERSION)
_SHA256 = Form("64 hexadecimal digits", re.compile(r"[0-9a-f]{64}\Z"))
_BUILD_ID = Form("a build id of at most 128 characters", None, 128)
_ADVISORY = Form("the id of an advisory of at most 200 characters", None, 200)
_SEVERITY = Form("a severity of at most 40 characters", None, 40)
_REASON = Form("a printable text of at most 1000 characters", None, 1000)


class Override(NamedTuple):
    """A lint check whose severity the builder changed, and why."""

    check: str
    severity: str
    reason: str


class Input(NamedTuple):
    """One source file of the package; ``cves`` are those that its own header names."""

    name: str
    sha256: str
    cves: tuple[str, ...] = ()


class Recipe(NamedTuple):
    """All that decides a package. ``kind``: diff, source (klp C code), module (prebuilt) or empty.

    ``epoch`` is SOURCE_DATE_EPOCH in seconds. ``modules`` are the module names in load order.
    ``cves`` are all that the package fixes; ``inputs`` are in the order of application.
    ``functions`` are those that the built modules patch, for the next package; they decide nothing.
    """

    kind: str
    kernel_release: str
    arch: str
    name: str
    version: str
    release: str
    epoch: int
    engine: str = ""
    modules: tuple[str, ...] = ()
    replace: bool = True
    inputs: tuple[Input, ...] = ()
    cves: tuple[str, ...] = ()
    unfixable: tuple[Unfixable, ...] = ()
    dropped: tuple[Unfixable, ...] = ()
    overrides: tuple[Override, ...] = ()
    depends: tuple[str, ...] = ()
    advisory: str = ""
    severity: str = ""
    issued: str = ""
    support_end: str = ""
    kernel_build_id: str = ""
    functions: tuple[str, ...] = ()


def cve(text: str) -> str:
    """``text`` as a CVE identifier in upper case. Raises ToolError ``cve-invalid``."""
    found = text.strip().upper()
    if not CVE.match(found):
        refuse("cve-invalid", text=text[:60])
    return found


def reasoned(text: str, option: str) -> Unfixable:
    """``CVE=REASON`` as given to ``option``. Raises ToolError."""
    identifier, equals, reason = text.partition("=")
    if not equals or not reason.strip() or not reason.isprintable() or len(reason) > 1000:
        refuse("metadata-invalid", what=f"{option} {text[:60]}: not of the form CVE=REASON")
    return Unfixable(cve(identifier), reason.strip())


def override(text: str) -> Override:
    """``ID=SEVERITY:REASON`` as given to --override. Raises ToolError ``override-invalid``."""
    check, equals, rest = text.partition("=")
    severity, colon, reason = rest.partition(":")
    why = ""
    if not equals or not colon or not reason.strip():
        why = "not of the form ID=SEVERITY:REASON"
    elif check not in LINT:
        why = "no such check"
    elif severity not in SEVERITIES:
        why = f"{severity} is no severity"
    elif not reason.isprintable() or len(reason) > 900:
        why = "the reason is too long or not printable"
    if why:
        refuse("override-invalid", text=text[:80], why=why)
    return Override(check, severity, reason.strip())


def date(text: str, option: str) -> str:
    """An ISO 8601 date, or time in UTC, unchanged. Raises ToolError."""
    if text and not times.DATE.match(text):
        refuse("metadata-invalid", what=f"{option} {text[:40]}: not YYYY-MM-DD[THH:MM:SSZ]")
    return text


def version(text: str, option: str) -> str:
    """An RPM version or release, unchanged. Raises ToolError."""
    if not _RPM_VERSION.match(text):
        refuse("metadata-invalid", what=f"{option} {text[:40]}: no RPM version or release")
    return text


def word(text: str, option: str, limit: int) -> str:
    """A printable text of at most ``limit`` characters, unchanged. Raises ToolError."""
    if len(text) > limit or not text.isprintable():
        refuse("metadata-invalid", what=f"{option}: not a printable text of at most {limit} characters")
    return text


def merge(groups: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The distinct identifiers of ``groups``, sorted by year and number."""
    found = {item for group in groups for item in group}
    return tuple(sorted(found, key=cve_order))


def dump(recipe: Recipe) -> str:
    """``recipe`` as JSON, the same bytes for the same recipe."""
    data: dict[str, Any] = {"schema": SCHEMA, **recipe._asdict()}
    for key in ("inputs", "unfixable", "dropped", "overrides"):
        data[key] = [item._asdict() for item in data[key]]
    return json.dumps(data, indent=1, sort_keys=True) + "\n"


def again(recipe: Recipe, text: str) -> None:
    """Raise ToolError ``not-readable-again`` unless ``text`` gives ``recipe`` to its readers."""
    try:
        same = _recipe(fields.document(text, MAX_BYTES, SCHEMA)) == recipe
    except FieldError as error:
        refuse("not-readable-again", what=f"The recipe of {recipe.name}", why=error)
    if not same:
        refuse("not-readable-again", what=f"The recipe of {recipe.name}", why="it comes back changed")


def parse(text: str, path: str) -> Recipe:
    """The Recipe in ``text``, from the source RPM ``path``. Raises ToolError ``base-unfit``."""
    try:
        return _recipe(fields.document(text, MAX_BYTES, SCHEMA))
    except FieldError as error:
        refuse("base-unfit", path=path, why=f"its recipe is broken: {error}")


def _recipe(data: dict[str, Any]) -> Recipe:
    return Recipe(
        kind=fields.choice(data, "kind", KINDS),
        kernel_release=fields.text(data, "kernel_release", fields.RELEASE),
        arch=fields.text(data, "arch", _NAME),
        name=fields.text(data, "name", _NAME),
        version=fields.text(data, "version", _VERSION),
        release=fields.text(data, "release", _VERSION),
        epoch=fields.whole(data, "epoch", MAX_EPOCH),
        engine=fields.choice(data, "engine", ("", *ENGINES)),
        modules=fields.texts(data, "modules", fields.MODULE),
        replace=fields.flag(data, "replace"),
        inputs=fields.each(data, "inputs", _input),
        cves=fields.texts(data, "cves", fields.CVE),
        unfixable=fields.each(data, "unfixable", _unfixable),
        dropped=fields.each(data, "dropped", _unfixable),
        overrides=fields.each(data, "overrides", _override),
        depends=fields.texts(data, "depends"),
        advisory=fields.text(data, "advisory", _ADVISORY, empty=True),
        severity=fields.text(data, "severity", _SEVERITY, empty=True),
        issued=fields.text(data, "issued", fields.DATE, empty=True),
        support_end=fields.text(data, "support_end", fields.DATE, empty=True),
        kernel_build_id=fields.text(data, "kernel_build_id", _BUILD_ID, empty=True),
        functions=fields.texts(data, "functions", default=[]),
    )


def _input(data: dict[str, Any]) -> Input:
    return Input(
        fields.text(data, "name", _NAME),
        fields.text(data, "sha256", _SHA256),
        fields.texts(data, "cves", fields.CVE),
    )


def _unfixable(data: dict[str, Any]) -> Unfixable:
    return Unfixable(fields.text(data, "cve", fields.CVE), fields.text(data, "reason", _REASON))


def _override(data: dict[str, Any]) -> Override:
    check = fields.text(data, "check")
    if check not in LINT:
        raise FieldError("there is no such check", "check")
    return Override(check, fields.choice(data, "severity", SEVERITIES), fields.text(data, "reason", _REASON))
