# SPDX-License-Identifier: GPL-2.0-or-later
"""Source diffs: their headers, the files and functions that they touch, and what cannot be patched live.

The judgement is by the text of the diff, before minutes of building: assembly, init code, and data
whose new form running code would not have. The engines know more, so only certain cases are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from ...toolkit.errors import refuse
from ...toolkit.files import contents
from .recipe import merge

MAX_DIFF = 16 << 20
MAX_LINES = 500_000
# Longer lines are no code that a person wrote; the patterns below would take the square of their length.
_LONGEST = 4096
_LONGEST_PART, _LONGEST_NAME = 255, 1000
_CVE = re.compile(r"\bCVE-[0-9]{4}-[0-9]{4,19}\b")
_FIELD = re.compile(r"([A-Za-z][A-Za-z-]{1,40}):\s*(.*)\Z")
_HUNK = re.compile(r"@@ -[0-9]+(?:,[0-9]+)? \+[0-9]+(?:,[0-9]+)? @@ ?(.*)")
_INIT = re.compile(r"\b__(?:init|exit|initdata|exitdata|initconst)\b")
_STATIC = re.compile(
    r"(?:static\s+|const\s+|volatile\s+|struct\s+\w+\s+|unsigned\s+|DEFINE_\w+\()[\w\s*]*\w+\s*(?:\[[^\]]*\]\s*)?(?:=|;)"
)
_FUNCTION = re.compile(r"[A-Za-z_][\w\s*]*\([^;]*\Z|[A-Za-z_][\w\s*]*\([^;]*\)\s*\{?\s*\Z")


class Hunk(NamedTuple):
    """One hunk: the line that diff printed after @@, and the lines with their sign."""

    context: str
    lines: tuple[str, ...]


class FileDiff(NamedTuple):
    """The changes to one file, by its name below the tree."""

    name: str
    hunks: tuple[Hunk, ...]


class Diff(NamedTuple):
    """A diff as read: ``fields`` are DEP-3 and git headers in lower case, ``cves`` those it names."""

    fields: dict[str, str]
    cves: tuple[str, ...]
    files: tuple[FileDiff, ...]


def read_diff(path: str) -> Diff:
    """The Diff in the file ``path``. Raises ToolError when it names a file outside of the tree."""
    return parse(contents(path, MAX_DIFF, "diff-no-apply").decode("utf-8", "replace"), path)


def _name(line: str, path: str) -> str:
    """The file of a ``---`` or ``+++`` line without its first component; "" for /dev/null."""
    name = line[4:].split("\t")[0].strip()
    if name == "/dev/null":
        return ""
    parts = name.split("/")
    long = len(name) > _LONGEST_NAME or any(
        len(part.encode("utf-8", "replace")) > _LONGEST_PART for part in parts
    )
    if name.startswith("/") or ".." in parts or len(parts) < 2 or not name.isprintable() or long:
        refuse("diff-unsafe-path", path=path, name=name)
    return "/".join(parts[1:])


def parse(text: str, path: str) -> Diff:
    """The Diff in ``text``, called ``path`` in messages. Raises ToolError."""
    if text.count("\n") > MAX_LINES:
        refuse("diff-no-apply", path=path, why=f"it has more than {MAX_LINES} lines")
    lines = text.split("\n")
    header: list[str] = []
    files: list[FileDiff] = []
    index = 0
    while index < len(lines):
        old = lines[index]
        if old.startswith("--- ") and index + 1 < len(lines) and lines[index + 1].startswith("+++ "):
            names = _name(old, path), _name(lines[index + 1], path)
            hunks, index = _hunks(lines, index + 2)
            files.append(FileDiff(names[1] or names[0], hunks))
            continue
        if not files:
            header.append(old)
        index += 1
    fields: dict[str, str] = {}
    for line in header:
        match = _FIELD.match(line)
        if match:
            fields.setdefault(match.group(1).lower(), match.group(2).strip())
    return Diff(fields, _cves(header), tuple(files))


def _cves(header: list[str]) -> tuple[str, ...]:
    """The CVEs that fields of the header name; running text may name others in passing."""
    found = []
    for line in header:
        match = _FIELD.match(line)
        if match and match.group(1).lower() in (
            "cve",
            "subject",
            "fixes-cve",
            "bug",
            "bug-cve",
            "x-cve",
            "security",
        ):
            found += _CVE.findall(match.group(2).upper())
    return merge([found])


def _hunks(lines: list[str], index: int) -> tuple[tuple[Hunk, ...], int]:
    found: list[Hunk] = []
    while index < len(lines):
        match = _HUNK.match(lines[index])
        if match is None:
            break
        index += 1
        start = index
        while (
            index < len(lines)
            and lines[index][:1] in (" ", "+", "-", "\\")
            and not (
                lines[index].startswith("--- ")
                and index + 1 < len(lines)
                and lines[index + 1].startswith("+++ ")
            )
        ):
            index += 1
        found.append(Hunk(match.group(1), tuple(lines[start:index])))
    return tuple(found), index


def _strip(line: str) -> str:
    if len(line) > _LONGEST:
        return line[1:].strip()
    return re.sub(r"/\*.*?\*/|//.*|^\s*\*.*", "", line[1:]).strip()


def _outside(hunk: Hunk) -> Iterator[str]:
    """Changed lines of ``hunk`` that lie outside of every function, as far as the diff shows."""
    inside = bool(_FUNCTION.match(hunk.context[:_LONGEST].strip()))
    for line in hunk.lines:
        body = line[1 : _LONGEST + 1]
        if body.startswith("}"):
            inside = False
        elif body.startswith("{") or (body[:1].isalpha() and body.rstrip().endswith("{") and "(" in body):
            inside = True
        elif body[:1].isalpha() and _STATIC.match(body):
            inside = False
        if line[:1] in "+-" and not inside and body[:1].isalpha():
            yield line


def judge(diff: Diff, path: str, allow_data: bool = False) -> None:
    """Raise ToolError when ``diff`` surely cannot become a live patch."""
    changed = [(file, hunk) for file in diff.files for hunk in file.hunks if any(_effect(hunk))]
    if not changed:
        refuse("diff-empty", path=path)
    code = False
    for file, hunk in changed:
        if file.name.endswith((".S", ".s", ".asm")):
            refuse("diff-assembly", path=path, name=file.name)
        if not file.name.endswith((".c", ".h")):
            continue
        code = True
        signature = [hunk.context] + [line[1:] for line in hunk.lines if line[1:2].isalpha()]
        init = next((text for text in signature if _INIT.search(text)), "")
        only_init = init and not any("(" in text and not _INIT.search(text) for text in signature)
        if only_init:
            refuse("diff-init", path=path, name=file.name, what=init.strip()[:100])
        if not allow_data:
            _data(file, hunk, path)
    if not code:
        refuse("diff-not-code", path=path)


def _effect(hunk: Hunk) -> Iterator[bool]:
    """For the added lines and for the removed ones: do they differ by more than white space and comments?"""
    for sign, other in (("+", "-"), ("-", "+")):
        mine = "".join("".join(_strip(line).split()) for line in hunk.lines if line[:1] == sign)
        theirs = "".join("".join(_strip(line).split()) for line in hunk.lines if line[:1] == other)
        yield mine != theirs


def _data(file: FileDiff, hunk: Hunk, path: str) -> None:
    for line in _outside(hunk):
        if line[:1] == "-" and _STATIC.match(line[1 : _LONGEST + 1]) and "(" not in line.split("=")[0]:
            refuse("diff-data", path=path, name=file.name, what=line[1:].strip()[:100])
    context = hunk.context[:_LONGEST].strip()
    if re.match(
        r"(?:static\s+|typedef\s+)?(?:const\s+)?(?:struct|union|enum)\s+\w*\s*\{?\Z", context
    ) or re.match(r"(?:static|const)\b[^()]*=\s*\{?\Z", context):
        ended = any(line[1:].startswith("}") for line in hunk.lines)
        if not ended:
            refuse("diff-data", path=path, name=file.name, what=context[:100])
