# SPDX-License-Identifier: GPL-2.0-or-later
"""The one way out of the host side: every text for a person passes through here on its way to a terminal.

Texts of others lose their control characters here, and characters that the terminal's encoding lacks become
question marks, so that no text ends the command that prints it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from ..base import texts
from ..base.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO

    from ..base.model import Problem


def write(text: str) -> None:
    """Print ``text``, which may have several lines and ends with a line feed of its own."""
    _send(sys.stdout, texts.plain(text))


def show(lines: Iterable[str], errors: bool = False, colour: bool = False) -> None:
    """Print each of ``lines`` as one line, on standard error if ``errors``, in its colour if ``colour``."""
    form = texts.drawn if colour else texts.line
    _send(sys.stderr if errors else sys.stdout, "".join(form(item) + "\n" for item in lines))


def refusal(found: Problem) -> None:
    """Print the message ``found`` and its remedy on standard error, as the end of a command."""
    show([f"livepatch: {found.text}", f"  {found.remedy}"], errors=True)


def progress(text: str) -> None:
    """Write ``text`` over the last line of the terminal on standard error; "" wipes the line."""
    _send(sys.stderr, "\r\033[K" + texts.line(text))
    sys.stderr.flush()


def _send(stream: TextIO, text: str) -> None:
    stream.write(texts.encodable(text, stream.encoding or "utf-8"))
