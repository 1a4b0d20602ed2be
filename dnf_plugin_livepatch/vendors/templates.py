# SPDX-License-Identifier: GPL-2.0-or-later
"""The naming rules of profiles: one text with named fields, read in both directions. Pure.

A rule such as ``kpatch-patch-{kver:_}-{krel:_}`` takes a name apart (``parse``) and puts one
together (``render``), so the two directions cannot drift apart. Rules hold no regular expressions:
each field has a fixed shape with bounded repeats, at most MAX_LOOSE fields may be followed by a sign
that the field could hold itself, a match is anchored at both ends, and texts longer than MAX_TEXT never
match. So no rule can be made to run long.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from ..base.names import ARCHES

MAX_TEXT = 256
MAX_FIELDS = 12
MAX_LOOSE = 2
_ARCH = "|".join(sorted(ARCHES, key=len, reverse=True))
_DOTTED = r"[0-9]{1,9}(?:\.[0-9]{1,9})"
_HEAD = r"[0-9][A-Za-z0-9._+~^]{0,60}"
# ``release`` is a whole ``uname -r``; the others are its parts and what else names hold.
FIELDS: dict[str, str] = {
    "release": r"[0-9]{1,9}\.[0-9]{1,9}[A-Za-z0-9._+~^-]{0,108}",
    "kver": _DOTTED + "{1,5}",
    "krel": _DOTTED + "{0,9}",
    "dist": rf"(?:\.(?!(?:{_ARCH})(?![A-Za-z0-9_]))[a-z][A-Za-z0-9_]{{0,30}}){{1,4}}",
    "arch": f"(?:{_ARCH})",
    "variant": r"(?:\+[a-z0-9][a-z0-9_-]{0,30})?",
    "flavour": r"[0-9]{0,3}[a-z][a-z0-9]{0,19}",
    "base": _HEAD + r"-[0-9][A-Za-z0-9._+~^]{0,60}",
    "build_id": r"(?:[0-9a-f]{2}){8,32}",
    "number": r"[0-9]{1,9}",
    "word": r"[A-Za-z0-9_]{1,60}",
    "label": r"[A-Za-z0-9_-]{1,60}",
    "any": r"[A-Za-z0-9._+~^-]{1,120}",
}
# These fields do not describe the kernel: they match anything of their shape and render as *.
ANONYMOUS = ("number", "word", "label", "any")
# The signs that each field may hold beside letters and digits. A literal that begins with one of these signs
# leaves open where the field ends.
_INSIDE = {
    "release": "._+~^-",
    "kver": ".",
    "krel": ".",
    "dist": "._",
    "variant": "+_-",
    "base": "._+~^-",
    "word": "_",
    "label": "_-",
    "any": "._+~^-",
}
_FIELD = re.compile(r"\{([a-z_]+)(:_)?\}")


@lru_cache(maxsize=256)
def tokens(rule: str) -> tuple[tuple[str, str, bool], ...]:
    """``rule`` as (literal before, field, dots are underscores); the last field is "".

    Raises ValueError when the rule is too long, names an unknown field or has a stray brace.
    """
    if not rule or len(rule) > MAX_TEXT:
        raise ValueError(f"a rule has 1 to {MAX_TEXT} characters")
    found, end = [], 0
    for field in _FIELD.finditer(rule):
        if field[1] not in FIELDS:
            raise ValueError(f"{{{field[1]}}} is no field; known are {', '.join(FIELDS)}")
        found.append((rule[end : field.start()], field[1], bool(field[2])))
        end = field.end()
    found.append((rule[end:], "", False))
    if len(found) - 1 > MAX_FIELDS:
        raise ValueError(f"more than {MAX_FIELDS} fields")
    if any(brace in literal for literal, _, _ in found for brace in "{}"):
        raise ValueError("a brace that belongs to no field")
    loose = 0
    for (_, left, underscored), (literal, right, _) in zip(found, found[1:]):
        if right and not literal and (right not in ("dist", "variant") or left == right):
            raise ValueError(f"nothing between {{{left}}} and {{{right}}}")
        inside = "_" if underscored else _INSIDE.get(left, "")
        loose += bool(literal) and (literal[0].isalnum() or literal[0] in inside) and left != "arch"
    if loose > MAX_LOOSE:
        raise ValueError("too many fields whose end is not clear: part them by signs they cannot hold")
    return tuple(found)


@lru_cache(maxsize=256)
def _pattern(rule: str) -> re.Pattern[str]:
    parts, seen = [], set()
    *described, (tail, _, _) = tokens(rule)
    for literal, field, underscored in described:
        parts.append(re.escape(literal))
        shape = FIELDS[field].replace(r"\.", "_") if underscored else FIELDS[field]
        if field in ANONYMOUS:
            parts.append(shape)
        elif field in seen:
            parts.append(f"(?P={field})")
        else:
            seen.add(field)
            parts.append(f"(?P<{field}>{shape})")
    return re.compile("".join(parts) + re.escape(tail) + r"\Z")


def fields(rule: str) -> frozenset[str]:
    """The fields of ``rule`` that describe the kernel."""
    return frozenset(field for _, field, _ in tokens(rule) if field and field not in ANONYMOUS)


def parse(rule: str, text: str) -> dict[str, str] | None:
    """The fields of ``text`` by ``rule``, written as in ``uname -r``; None when it does not fit."""
    parts = tokens(rule)
    if len(text) > MAX_TEXT or not text.startswith(parts[0][0]) or not text.endswith(parts[-1][0]):
        return None
    found = _pattern(rule).match(text)
    if not found:
        return None
    values = found.groupdict()
    for _, field, underscored in parts:
        if underscored:
            values[field] = values[field].replace("_", ".")
    if values.get("variant"):
        values["variant"] = values["variant"].replace("_", "-")
    return values


def render(rule: str, values: Mapping[str, str], capability: bool = False) -> str:
    """``rule`` filled with ``values``; ``*`` stands for every field that has none.

    In a ``capability`` a dash inside {variant} is written as an underscore.
    """
    text = ""
    for literal, field, underscored in tokens(rule):
        value = values.get(field, "*") if field else ""
        if underscored:
            value = value.replace(".", "_")
        if field == "variant" and capability:
            value = value.replace("-", "_")
        text += literal + value
    return text
