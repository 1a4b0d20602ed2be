# SPDX-License-Identifier: GPL-2.0-or-later
"""Speaks to dnf's user: everything goes through DNF's loggers, never to stdout directly.

`-q`, log files and the JSON of API users depend on that.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable

from ..base.model import Problem
from ..base.typed import TYPE_CHECKING
from ..host import output
from ..planning import lines
from .log import LOG

if TYPE_CHECKING:
    from typing import Any, Callable


class Voice:
    """Says each thing once in a dnf run, however often DNF resolves."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def say(self, problems: Iterable[Problem]) -> None:
        """Log each of ``problems`` in one line, with its remedy."""
        self.lines(map(lines.line, problems))

    def lines(self, rows: Iterable[tuple[int, str]]) -> None:
        """Log ``rows`` of level and text unless they were logged before."""
        for level, text in rows:
            if text not in self._said:
                self._said.add(text)
                LOG.log(level, "%s", text)


class Waiting:
    """On a terminal of a person, one line with the seconds waited, written over and over and then gone."""

    def __init__(self, cli: Any, text: str) -> None:
        command = getattr(cli, "command", None)
        self.shown = bool(command is not None and cli.base.conf.debuglevel > 0 and sys.stderr.isatty())
        self._start = time.monotonic()
        LOG.info("%s", text)

    def __enter__(self) -> Callable[[str], None] | None:
        return self._progress if self.shown else None

    def __exit__(self, *_: object) -> None:
        if self.shown:
            self._write("")

    def _progress(self, text: str) -> None:
        self._write(f"{text}, {time.monotonic() - self._start:.0f} s")

    def _write(self, text: str) -> None:
        try:
            output.progress(text)
        except OSError:  # a terminal that has gone away is no failure to load
            self.shown = False
