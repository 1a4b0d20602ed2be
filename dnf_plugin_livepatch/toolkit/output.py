# SPDX-License-Identifier: GPL-2.0-or-later
"""The one way out of both tools: every line and every JSON text for a person passes through here.

Names, texts and reasons come from strangers' repositories and packages. A control character among them could
rewrite a terminal, and a bidirectional one could make a line read as another.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from typing import Any, TextIO

from ..base.texts import encodable, line, plain
from .errors import library_missing

__all__ = ["as_json", "line", "plain", "reader_gone", "show", "unusable", "write"]


def values(data: Any) -> Any:
    """``data`` for JSON, with every text in it, the names of fields included, as ``plain`` makes it."""
    if isinstance(data, str):
        return plain(data)
    if isinstance(data, dict):
        return {values(key): values(value) for key, value in data.items()}
    return [values(item) for item in data] if isinstance(data, (list, tuple)) else data


def as_json(data: Any, sort: bool = False) -> str:
    """``data`` as indented JSON in ASCII, with a line feed at its end."""
    return json.dumps(values(data), indent=1, sort_keys=sort) + "\n"


def show(lines: Iterable[str], errors: bool = False) -> None:
    """Print each of ``lines`` as one line, on standard error if ``errors``.

    Characters that the encoding of the terminal lacks become question marks.
    """
    write("".join(line(item) + "\n" for item in lines), errors)


def write(text: str, errors: bool = False) -> None:
    """Print ``text``, which may have several lines and ends with a line feed of its own."""
    stream: TextIO = sys.stderr if errors else sys.stdout
    stream.write(encodable(plain(text), stream.encoding or "ascii"))
    stream.flush()


def unusable(program: str, error: ModuleNotFoundError) -> int:
    """Print that ``program`` could not even be imported, as JSON if asked for; returns the exit status 1."""
    why = library_missing(error)
    if "--json" in sys.argv:
        write(as_json({"schema": 1, "error": {"id": why.id, "text": why.text, "remedy": why.remedy}}))
    show([f"{program}: {why.text} [{why.id}]", f"  {why.remedy}"], errors=True)
    return 1


def reader_gone() -> None:
    """Forget standard output: its reader went away, as ``livepatch-rpm lint --list | head`` does."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
