# SPDX-License-Identifier: GPL-2.0-or-later
"""Texts of others, made fit for a terminal, a log or a file. Pure.

Names, reasons and outputs come from repositories, packages, other programs and the kernel's log. A control
character among them could rewrite a terminal, and a bidirectional one could make a line read as another.
"""

from __future__ import annotations

INSTEAD = "?"


def printable(text: str, instead: str = " ") -> str:
    """``text`` with ``instead`` in the place of each character that cannot be printed, line feeds too."""
    return text if text.isprintable() else "".join(c if c.isprintable() else instead for c in text)


def line(text: str) -> str:
    """``text`` as one line: a question mark stands for each unprintable character and for line feeds."""
    return printable(text, INSTEAD)


def plain(text: str) -> str:
    """``text`` with a question mark for each unprintable character; its line feeds stay."""
    return "\n".join(map(line, text.split("\n")))


def encodable(text: str, coding: str) -> str:
    """``text`` with a question mark for each character that the encoding ``coding`` lacks."""
    return text.encode(coding, "replace").decode(coding)


class Coloured(str):
    """A line whose characters from ``begin`` to ``end`` have the colour ``code`` on a terminal of colours.

    The line itself holds no code, so that no text of others can pass for one.
    """

    begin = 0
    end = 0
    code = ""


def coloured(before: str, text: str, code: str, after: str = "") -> str:
    """The line of the three texts, of which ``text`` has the colour ``code``; "" is no colour."""
    whole = Coloured(before + text + after)
    whole.begin, whole.end, whole.code = len(before), len(before) + len(text), code
    return whole


def drawn(text: str) -> str:
    """``text`` as one line, with the codes of its colour where it has one."""
    clean = line(text)
    if not (isinstance(text, Coloured) and text.code):
        return clean
    shown = f"\033[{text.code}m{clean[text.begin : text.end]}\033[0m"
    return clean[: text.begin] + shown + clean[text.end :]
