# SPDX-License-Identifier: GPL-2.0-or-later
"""The recipe of one package: everything but the sources that decides its bytes. Pure.

``livepatch.json`` in the source RPM is its JSON form. It lets a build farm make the package again and
lets the next cumulative package build upon it. It comes out of an RPM, so every field is checked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from ...base.model import Unfixable
from ...base.names import CVE, MODULE, RELEASE
from ...toolkit.errors import SEVERITIES, refuse
from .lint_checks import LINT

SCHEMA = 1
MAX_BYTES = 4 << 20
KINDS = ("diff", "source", "module", "empty")
PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,199}\Z")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~]{0,63}\Z")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)?\Z")


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
    ``functions`` are what the built modules patch, for the package after this one; they decide nothing.
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
    if text and not _DATE.match(text):
        refuse("metadata-invalid", what=f"{option} {text[:40]}: not YYYY-MM-DD[THH:MM:SSZ]")
    return text


def version(text: str, option: str) -> str:
    """An RPM version or release, unchanged. Raises ToolError."""
    if not _VERSION.match(text):
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
    return tuple(sorted(found, key=lambda item: [int(part) for part in item.split("-")[1:]]))


def dump(recipe: Recipe) -> str:
    """``recipe`` as JSON, the same bytes for the same recipe."""
    data: dict[str, Any] = {"schema": SCHEMA, **recipe._asdict()}
    for key in ("inputs", "unfixable", "dropped", "overrides"):
        data[key] = [item._asdict() for item in data[key]]
    return json.dumps(data, indent=1, sort_keys=True) + "\n"


def _strings(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > 4096 or not all(isinstance(item, str) for item in value):
        raise ValueError("a list of texts is none")
    return tuple(value)


def _reasons(value: Any) -> tuple[Unfixable, ...]:
    return tuple(reasoned(f"{item['cve']}={item['reason']}", "recipe") for item in value)


def parse(text: str, path: str) -> Recipe:
    """The Recipe in ``text``, from the source RPM ``path``. Raises ToolError ``base-unfit``."""
    try:
        data = json.loads(text)
        if data["schema"] != SCHEMA:
            raise ValueError(f"schema {data['schema']} is not known")
        inputs: list[Input] = []
        for item in data["inputs"]:
            if not PLAIN.match(item["name"]) or not re.match(r"[0-9a-f]{64}\Z", item["sha256"]):
                raise ValueError("an input has an unacceptable name or digest")
            inputs.append(Input(item["name"], item["sha256"], tuple(cve(c) for c in _strings(item["cves"]))))
        recipe = Recipe(
            kind=str(data["kind"]),
            kernel_release=str(data["kernel_release"]),
            arch=str(data["arch"]),
            name=str(data["name"]),
            version=version(data["version"], "version"),
            release=version(data["release"], "release"),
            epoch=int(data["epoch"]),
            engine=str(data["engine"]),
            modules=_strings(data["modules"]),
            replace=bool(data["replace"]),
            inputs=tuple(inputs),
            cves=tuple(cve(item) for item in _strings(data["cves"])),
            unfixable=_reasons(data["unfixable"]),
            dropped=_reasons(data["dropped"]),
            overrides=tuple(
                override(f"{item['check']}={item['severity']}:{item['reason']}")
                for item in data["overrides"]
            ),
            depends=_strings(data["depends"]),
            advisory=word(data["advisory"], "advisory", 200),
            severity=word(data["severity"], "severity", 40),
            issued=date(data["issued"], "issued"),
            support_end=date(data["support_end"], "support_end"),
            kernel_build_id=word(data["kernel_build_id"], "kernel_build_id", 128),
            functions=_strings(data.get("functions", [])),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        refuse("base-unfit", path=path, why=f"its recipe is broken: {str(error)[:80]}")
    sound = recipe.kind in KINDS and RELEASE.match(recipe.kernel_release) and PLAIN.match(recipe.name)
    if not sound or not all(MODULE.match(name) for name in recipe.modules) or not PLAIN.match(recipe.arch):
        refuse("base-unfit", path=path, why="its recipe holds unacceptable names")
    return recipe
