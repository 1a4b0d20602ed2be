# SPDX-License-Identifier: GPL-2.0-or-later
"""Source diffs that cannot become a live patch. Pure.

The judgement is by the text of the diff, before minutes of building: assembly, init code, and data
whose new form running code would not have. The engines know more, so only certain cases are refused;
but an engine does not see the layout of a structure that changes under code which it leaves alone.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from ...toolkit.errors import refuse
from .diffs import Diff, FileDiff, Hunk
from .places import DATA, ENUM, FUNCTION, NOWHERE, OUTSIDE, RECORD, Head, Line, side

_INIT = re.compile(r"\b__(?:init|exit|initdata|exitdata|initconst|init_or_module)\b")
_INITCALL = re.compile(r"(?:\w*_?initcall\w*|module_init|module_exit|__setup\w*|early_param)\s*\(")
# Macros that the compiler turns into no code at all.
_ASSERTION = re.compile(
    r"\b(?:BUILD_BUG\w*|static_assert|compiletime_assert|_Static_assert)\("
    r'(?:"(?:[^"\\]|\\.){0,500}"|[^;"]){0,2000}?;'
)
# What changes no layout: words for checkers and the compiler's warnings.
_ANNOTATION = re.compile(
    r"\b(?:__rcu|__user|__iomem|__percpu|__force|__bitwise|__maybe_unused|__must_check|__private"
    r"|(?:__counted_by|__guarded_by|__must_hold)\([^()]*\))"
)
_SPACE = re.compile(r'("(?:[^"\\]|\\.)*(?:"|\Z))|\s+', re.S)
_LOCAL = re.compile(r"\s+static\b[^=;(]{0,200}?\b(\w+)\s*(?:\[[^\]]*\]\s*)*=")
_VARIABLE = re.compile(r"\b(?!__)(\w+)(?:\s*\[[^\]]{0,200}\])*(?:\s+__\w+(?:\([^()]{0,200}\))?)*\s*;?\s*\Z")
_MEMBER = re.compile(r"\b(\w+)((?:\s*\[[^\]]{0,200}\])*(?:\s*:\s*\d+)?\s*;)")
_CALLED = re.compile(r"\b(\w+)\s*\(\s*(\w*)")
_DEFINED = re.compile(r"(?:static\s+)?DEFINE_\w+\(")


class _Group(NamedTuple):
    """One function, type or variable on both sides of a hunk: its head, each side's lines and their text."""

    head: Head
    before: Sequence[Line]
    after: Sequence[Line]
    old: str
    new: str

    def changed(self) -> list[Line]:
        """The lines that stand on one side only."""
        return [line for line in (*self.before, *self.after) if line.sign != " "]


def judge(diff: Diff, path: str, allow_data: bool = False, allow_init: bool = False) -> None:
    """Raise ToolError when ``diff`` surely cannot become a live patch."""
    changed = [file for file in diff.files if any(map(_effect, file.hunks))]
    if not changed:
        refuse("diff-empty", path=path)
    for file in changed:
        if file.name.endswith((".S", ".s", ".asm")):
            refuse("diff-assembly", path=path, name=file.name)
    code = [file for file in changed if file.name.endswith((".c", ".h"))]
    if not code:
        refuse("diff-not-code", path=path)
    for file in code:
        for identifier, what in _faults(file):
            if not (allow_init if identifier == "diff-init" else allow_data):
                refuse(identifier, path=path, name=file.name, what=what.strip()[:100])


def _squeezed(texts: Iterable[str]) -> str:
    """``texts`` without the white space outside of literals."""
    return _SPACE.sub(lambda match: match.group(1) or "", "\n".join(texts))


def _effect(hunk: Hunk) -> bool:
    """Do the sides of ``hunk`` differ by more than white space and comments?"""
    old, new = (_squeezed(line.text for line in side(hunk, sign)) for sign in "-+")
    return old != new


def _faults(file: FileDiff) -> Iterator[tuple[str, str]]:
    """The message id and the text of each head in ``file`` whose change no live patch can make."""
    hunks = [_groups(hunk) for hunk in file.hunks]
    both = [group for groups in hunks for group in groups]
    gone = {_name(group.head) for group in both if group.head.sign == "-"}
    added = {_name(group.head) for group in both if group.head.sign == "+"}
    for group in both:
        other = added if group.head.sign == "-" else gone
        if group.head.sign != " " and _name(group.head) not in other:
            if group.head.sign == "+" and _INITCALL.match(group.head.text):
                yield "diff-init", group.head.text
            continue
        yield from _fault(group)
    yield from _redefined(both)


def _fault(group: _Group) -> Iterator[tuple[str, str]]:
    """The fault of one group whose head stood before and stands afterwards, if it has any."""
    kind, text = group.head.kind, group.head.text
    if kind in (FUNCTION, DATA) and (_INIT.search(text) or _INITCALL.match(text)):
        if _ASSERTION.sub("", group.old) != _ASSERTION.sub("", group.new):
            yield "diff-init", text
    elif kind == DATA or (kind == RECORD and not _renamed(group)) or (kind == ENUM and not _appended(group)):
        body = [line for line in group.changed() if line.text]
        if group.old != group.new and group.head.sign == " ":
            yield "diff-data", text or (body[0].text if body else "")
    elif kind == FUNCTION:
        yield from _locals(group.changed())


def _groups(hunk: Hunk) -> list[_Group]:
    """The heads of ``hunk`` with changed lines, in order."""
    rows: dict[tuple[str, str, str], tuple[list[Line], list[Line]]] = {}
    for number, sign in enumerate("-+"):
        for line in side(hunk, sign):
            if line.head is not NOWHERE:
                head = line.head
                key = (head.kind, _name(head), head.sign)
                rows.setdefault(key, ([], []))[number].append(line)
    found = []
    for old, new in rows.values():
        head = (new or old)[-1].head
        texts = [_squeezed(_ANNOTATION.sub("", line.text) for line in lines) for lines in (old, new)]
        found.append(_Group(head, old, new, texts[0], texts[1]))
    return found


@functools.lru_cache(maxsize=4096)
def _name(head: Head) -> str:
    """The name that ``head`` gives to what it begins."""
    text = head.text
    if _DEFINED.match(text):
        return text.partition("(")[2].rstrip(");= ").split(",")[-1].strip()
    if head.kind in (RECORD, ENUM):
        return text.partition("{")[0].strip()
    if head.kind == FUNCTION:
        match = _CALLED.search(text)
        if match is None:
            return ""
        return match.group(0) if match.group(1).isupper() else match.group(1)
    found = _VARIABLE.search(text.partition("{")[0].partition("=")[0].strip())
    return found.group(1) if found else text


def _appended(group: _Group) -> bool:
    """Were constants only added behind the last one of an enumeration?"""
    tail = next((number for number, line in enumerate(group.after) if line.sign == "+"), len(group.after))
    return not any(line.sign == "-" for line in group.before) and all(
        line.sign == "+" or line.text.startswith("}") or not line.text for line in group.after[tail:]
    )


def _renamed(group: _Group) -> bool:
    """Did members only get new names? Each keeps its type and place, and no name is another member's."""
    sides = (group.before, group.after)
    forms = [_squeezed(_MEMBER.sub(r"\2", line.text) for line in rows) for rows in sides]
    found = [[_MEMBER.search(line.text) for line in rows if line.sign != " "] for rows in sides]
    old, new = ({match.group(1) for match in rows if match} for rows in found)
    return forms[0] == forms[1] and not old & new


def _locals(lines: Iterable[Line]) -> Iterator[tuple[str, str]]:
    """Static variables of functions that begin with another value."""
    values: dict[str, dict[str, str]] = {"-": {}, "+": {}}
    for line in lines:
        match = _LOCAL.match(line.text)
        if match:
            values[line.sign][match.group(1)] = line.text
    for name in sorted(values["-"].keys() & values["+"].keys()):
        if _squeezed([values["-"][name]]) != _squeezed([values["+"][name]]):
            yield "diff-data", values["-"][name]


def _redefined(groups: Iterable[_Group]) -> Iterator[tuple[str, str]]:
    """Types and variables that the diff takes away and puts back in another form."""
    texts: dict[tuple[str, str], dict[str, str]] = {}
    for group in groups:
        head = group.head
        fixed = head.kind in (RECORD, ENUM, DATA) or _is_variable(head)
        if head.sign == " " or not fixed or _INIT.search(head.text):
            continue
        key = ("type" if head.kind in (RECORD, ENUM) else "variable", _name(head))
        texts.setdefault(key, {})[head.sign] = group.old if head.sign == "-" else group.new
    for (_, name), sides in texts.items():
        if len(sides) == 2 and sides["-"] != sides["+"]:
            yield "diff-data", name


def _is_variable(head: Head) -> bool:
    """Is this declaration one of a variable or a type name, not of a function or of another file's?"""
    text = head.text
    if head.kind != OUTSIDE and not (head.kind == FUNCTION and _DEFINED.match(text)):
        return False
    return (
        text.endswith(";")
        and not text.startswith(("extern", "struct ", "union ", "enum "))
        or (text.endswith(";") and bool(re.match(r"(?:struct|union|enum)\s+\w+\s+\**\w", text)))
    )
