# SPDX-License-Identifier: GPL-2.0-or-later
"""Source diffs: their headers, the files that they touch, and their hunks. judge.py judges them."""

from __future__ import annotations

import re
from typing import NamedTuple

from ...toolkit.errors import refuse
from ...toolkit.files import contents
from .recipe import merge

MAX_DIFF = 16 << 20
MAX_LINES = 500_000
_LONGEST_PART, _LONGEST_NAME = 255, 1000
_CVE = re.compile(r"\bCVE-[0-9]{4}-[0-9]{4,19}\b")
_FIELD = re.compile(r"([A-Za-z][A-Za-z-]{1,40}):\s*(.*)\Z")
_HUNK = re.compile(r"@@ -[0-9]{1,9}(?:,([0-9]{1,9}))? \+[0-9]{1,9}(?:,([0-9]{1,9}))? @@ ?(.*)", re.S)


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
    # Mail and editors of other systems end lines in CR LF, which patch(1) strips.
    lines = text.replace("\r\n", "\n").split("\n")
    header: list[str] = []
    files: list[FileDiff] = []
    index = 0
    while index < len(lines):
        old = lines[index]
        if old.startswith("--- ") and index + 1 < len(lines) and lines[index + 1].startswith("+++ "):
            names = _name(old, path), _name(lines[index + 1], path)
            hunks, index = _hunks(lines, index + 2, path)
            files.append(FileDiff(names[1] or names[0], hunks))
            continue
        if not files:
            header.append(old)
        elif _HUNK.match(old):
            refuse("diff-no-apply", path=path, why=f"line {index + 1} begins a hunk of no file")
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


def _hunks(lines: list[str], index: int, path: str) -> tuple[tuple[Hunk, ...], int]:
    """The hunks that begin at ``index``, each as long as its head says, and the index after them.

    Whatever follows is not part of the diff, as for patch(1) and git-apply(1). Both take an empty line, and
    patch a line that begins with a tab, for context that lost its space.
    """
    found: list[Hunk] = []
    while index < len(lines):
        match = _HUNK.match(lines[index])
        if match is None:
            break
        left = {"-": int(match.group(1) or 1), "+": int(match.group(2) or 1)}
        index += 1
        rows: list[str] = []
        while index < len(lines) and (any(left.values()) or lines[index][:1] == "\\"):
            line = lines[index]
            if line[:1] in ("", "\t"):
                line = " " + line
            if line[0] not in " +-\\" or any(left[sign] == 0 for sign in _counted(line)):
                break
            for sign in _counted(line):
                left[sign] -= 1
            rows.append(line)
            index += 1
        if any(left.values()):
            refuse(
                "diff-no-apply",
                path=path,
                why=f"line {index + 1} is in a hunk whose numbers it does not fit",
            )
        found.append(Hunk(match.group(3), tuple(rows)))
    return tuple(found), index


def _counted(line: str) -> str:
    """The sides of the diff that a line of a hunk counts for."""
    return {" ": "-+", "\\": ""}.get(line[0], line[0])
