# SPDX-License-Identifier: GPL-2.0-or-later
"""The code blocks of the tutorial: files, commands, and the output that it promises."""

from __future__ import annotations

import os
import re

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
PAGE = os.path.join(TOP, "docs", "tutorial", "first-live-patch.md")
# The folder below the top in which the page has the reader save its files.
FOLDER = "build/tutorial"


def blocks() -> list[tuple[str, str, str]]:
    """(language, name of the file or "", text) of each block of the page, in order."""
    with open(PAGE, encoding="utf-8") as file:
        return re.findall(r"^```(\w*) ?(\S*)\n(.*?)^```$", file.read(), re.MULTILINE | re.DOTALL)


def script() -> str:
    """The commands of the page, in order: one shell, since later ones use variables of earlier ones.

    A block with a name is saved where the page shows it, as the reader does.
    """
    parts = []
    for language, name, text in blocks():
        if name:
            parts.append(f"cat >{FOLDER}/{name} <<'END OF {name}'\n{text}END OF {name}\n")
        elif language == "sh":
            parts.append(text)
    return "".join(parts)


def promised() -> list[str]:
    """The lines that the page promises as output."""
    return [line.strip() for language, _, text in blocks() if not language for line in text.splitlines()]
