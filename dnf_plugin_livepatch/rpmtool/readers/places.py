# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the lines of a hunk stand in their C file: in a function, a type, an initializer or outside. Pure.

A hunk shows a few lines of a file that is not at hand. Kernel code begins and ends each function, type and
variable in the first column (Documentation/process/coding-style.rst), so the lines that begin there tell the
place of the others. The title, which `diff -p` prints after @@, tells it only of lines above the first of
these, and may be of something that ended above the hunk.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .diffs import Hunk

FUNCTION, RECORD, ENUM, DATA, OUTSIDE, PREPROCESSOR = "function", "record", "enum", "data", "outside", "cpp"
# Longer lines are no code that a person wrote; the patterns below would take the square of their length.
LONGEST = 4096

_LITERAL = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\Z)|' + r"'(?:[^'\\]|\\.){1,8}'")
_LABEL = re.compile(r"[A-Za-z_]\w*\s*:(?!:)")
_MARGIN = re.compile(r"(?:if|for|while|switch|return|goto|case|default|do|else)\b")
_ATTRIBUTE = re.compile(r"__(?:attribute__|aligned|section)\s*\((?:[^()]|\([^()]*\))*\)")
_RECORD = re.compile(r"(?:typedef\s+|static\s+|const\s+)*(struct|union|enum)\b[^()=;]*\Z")
_STATEMENT = re.compile(
    r"(?:if|for|while|switch|return|goto|break|continue|case|default|do|else)\b|\}\s*else\b"
    r"|(?!struct_group|static_assert|__attribute__|__aligned)[a-z_]\w*\s*\([^*]"
    r"|[^.=;{}\[][^=;{}]*[^=!<>]=[^=].*;|[^;=]*(?:\+\+|--)"
)
_ENTRY = re.compile(r"\.\w+\s*=|\[\w+\]\s*=|\{.*\}")


class Head(NamedTuple):
    """The beginning of a function, a type or a variable: its ``kind``, its text on one line.

    ``sign`` is "+" when the diff adds it, "-" when the diff removes it.
    """

    kind: str
    text: str
    sign: str = " "


class Line(NamedTuple):
    """One line of a side of the diff: ``sign``, ``text`` without comments, and where it stands.

    ``begins``: it belongs to the head itself, such as a signature or a whole declaration.
    """

    sign: str
    text: str
    head: Head
    begins: bool


NOWHERE = Head(OUTSIDE, "")


def plain(lines: Iterable[str]) -> list[str]:
    """``lines`` without comments. A comment may begin above the first line or end below the last."""
    found: list[str] = []
    inside, above = False, 0
    for number, line in enumerate(lines):
        text, rest = "", line[:LONGEST]
        while rest:
            if inside:
                _, ended, rest = rest.partition("*/")
                inside = not ended
                continue
            marks = [at for at in (rest.find("/*"), rest.find("//"), rest.find('"')) if at >= 0]
            at = min(marks, default=-1)
            if at < 0:
                text, rest = text + rest, ""
            elif rest[at] == '"':
                literal = _LITERAL.match(rest, at)
                end = literal.end() if literal else at + 1
                text, rest = text + rest[:end], rest[end:]
            elif rest.startswith("//", at):
                text, rest = text + rest[:at], ""
            else:
                text, rest, inside = text + rest[:at] + " ", rest[at + 2 :], True
        if "*/" in text and "/*" not in line:
            # The comment began above: everything so far belongs to it.
            above, text = number, text.partition("*/")[2]
        found.append(text.rstrip())
    found[:above] = [""] * above
    # The middle of a comment whose ends both lie beyond the hunk.
    return ["" if re.match(r"\s+\*(?:\s|\Z)", text) else text for text in found]


def kind_of(text: str, opened: bool) -> str:
    """What begins with ``text``; ``opened`` when its brace was seen."""
    bare = _ATTRIBUTE.sub("", text)
    before = bare.partition("{")[0].strip()
    record = _RECORD.match(before)
    if record and (opened or "{" in bare):
        return ENUM if record.group(1) == "enum" else RECORD
    if "=" in before:
        return DATA
    if "(" in before:
        return FUNCTION
    return DATA if opened and "=" in bare else OUTSIDE


def side(hunk: Hunk, sign: str) -> list[Line]:
    """The lines of the old (``sign`` "-") or the new ("+") file, as far as the hunk shows them."""
    rows = [line for line in hunk.lines if line[:1] in (" ", sign)]
    texts = plain(line[1:] for line in rows)
    walk = _Walk(texts, _title(hunk.context))
    return [walk.line(row[:1], text) for row, text in zip(rows, texts)]


class _Walk:
    """The state of a walk down one side of a hunk.

    ``head`` is what the present line belongs to. ``reading`` is the text of a head that has not ended yet,
    and ``depth`` counts its open brackets. ``body``: the walk is between the head's braces. ``nested``
    counts the blocks there whose braces stand in the first column.
    """

    def __init__(self, texts: Sequence[str], title: Head) -> None:
        self.head, self.body = _start(texts, title)
        self.reading = "" if self.body else self.head.text
        self.depth = self.nested = 0
        self.continued = False

    def line(self, sign: str, text: str) -> Line:
        """The next line and its place."""
        if self.continued or text.startswith("#"):
            self.continued = text.endswith("\\")
            return Line(sign, text, Head(PREPROCESSOR, text, sign), False)
        if self.body and text[:1] == ("}" if self.nested else "{"):
            # A block of a function whose braces stand in the first column.
            self.nested += 1 if text[0] == "{" else -1
            return Line(sign, text, self.head, False)
        if text[:1] == "}":
            ended, self.head, self.reading, self.body = self.head, NOWHERE, "", False
            return Line(sign, text, ended, False)
        starts = _starts(text)
        idle = not (self.body or self.reading or starts or text[:1] == "{")
        if not text or idle or (self.body and not starts):
            return Line(sign, text, self.head if self.body or self.reading else NOWHERE, False)
        return self._head(sign, _LITERAL.sub('""', text), starts)

    def _head(self, sign: str, text: str, starts: bool) -> Line:
        """A line of a head, or one that lies outside of all."""
        if self.body or (starts and (not self.reading or self.reading.endswith(")"))):
            self.reading, self.depth, self.nested, self.body = "", 0, 0, False
            self.head = Head(OUTSIDE, "", sign)
        if len(self.reading) < LONGEST:
            self.reading = f"{self.reading} {text}".strip()
        self.depth += sum(map(text.count, "({[")) - sum(map(text.count, ")}]"))
        opens = text[:1] == "{"
        kind = kind_of(self.reading, "{" in self.reading)
        self.head = Head(FUNCTION if opens and kind == OUTSIDE else kind, self.reading, self.head.sign)
        found = Line(sign, text, self.head, True)
        if opens or ("{" in self.reading and self.depth > 0):
            self.body, self.reading = True, ""
        elif self.depth <= 0 and (text.endswith((";", "}")) or _complete(text)):
            self.head, self.reading = NOWHERE, ""
        return found


def _starts(text: str) -> bool:
    """Does a line in the first column begin something, rather than being a label or a statement there?"""
    if not (text[:1].isalpha() or text[:1] in ("_", "$")):
        return False
    return not (_LABEL.match(text) or _MARGIN.match(text))


def _complete(text: str) -> bool:
    """Is this a macro that stands alone and needs no semicolon, such as EXPORT_SYMBOL(x)?"""
    return bool(re.match(r"(?!SYSCALL_DEFINE|BPF_CALL)[A-Z][A-Z0-9_]*\(.*\)\Z", text))


def _title(context: str) -> Head:
    """What the title of a hunk begins. The title may be cut off."""
    text = _LITERAL.sub('""', context[:LONGEST]).strip()
    if not text or text.endswith(";") or _complete(text):
        return NOWHERE
    if not _starts(text):
        return Head(FUNCTION, "")
    return Head(kind_of(text, "(" not in text), text)


def _start(texts: Sequence[str], title: Head) -> tuple[Head, bool]:
    """What the first line belongs to, and whether that line is in its body.

    The first line that begins in the first column tells it, then the look of the lines above that one, then
    the title.
    """
    above: list[str] = []
    margin = ""
    for text in texts:
        if text[:1] in ("}", "{") or _starts(text):
            margin = text
            break
        if _LABEL.match(text) or _MARGIN.match(text):
            return title if title.kind == FUNCTION else Head(FUNCTION, ""), True
        if text and text[:1] != "#":
            above.append(text.strip())
    if margin[:1] == "{":
        return title, _look(above) == FUNCTION
    if margin and margin[:1] != "}":
        return NOWHERE, False
    kind = FUNCTION if margin == "}" else _look(above)
    if title.kind == OUTSIDE:
        kind = kind or (RECORD if margin else "")
        return (Head(kind, ""), True) if kind else (NOWHERE, False)
    if (kind == FUNCTION) == (title.kind == FUNCTION) or not (kind or margin):
        return title, True
    # The title is of something that ended above the hunk: a function ends in "}", all else in "};".
    return Head(kind or (title.kind if title.kind != FUNCTION else RECORD), ""), True


def _look(lines: Sequence[str]) -> str:
    """What a body with these lines looks like: "" where they tell nothing."""
    bare = [_LITERAL.sub('""', line) for line in lines]
    if any(map(_STATEMENT.match, bare)):
        return FUNCTION
    if any(map(_ENTRY.match, bare)):
        return DATA
    declared = [line for line in bare if line.endswith(";") and "=" not in line]
    return RECORD if len(declared) >= 4 and len(declared) == len(bare) else ""
