# SPDX-License-Identifier: GPL-2.0-or-later
"""The progress of one verb on standard error: the present step, how much of it is done, and the seconds.

A program shows its progress while ``shown`` lasts. The steps tell where they are by ``begin`` and ``over``,
which do nothing at any other time.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO, TypeVar

from ..base.texts import encodable
from . import output

Item = TypeVar("Item")
#: Seconds before the first line that stays, and between two of them.
FIRST, EVERY = 2.0, 5.0
#: Seconds between two states of the line that a terminal shows.
_BLINK = 0.25


class _Ticker:
    """Shows one process's progress: on a terminal one line written anew, elsewhere a line now and then."""

    def __init__(self, program: str, stream: TextIO) -> None:
        self._program = program
        # The stream is a copy of standard error, because the tools point the latter elsewhere at times.
        self._stream = stream
        self._terminal = stream.isatty()
        self._started = time.monotonic()
        self._next = self._started + (_BLINK if self._terminal else FIRST)
        self._title, self._total, self._done, self._shown = "", 0, 0, False
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def begin(self, title: str, total: int) -> None:
        """Begin a step of ``total`` parts; 0 where nobody knows how many."""
        with self._lock:
            self._title, self._total, self._done = title, total, 0
        self._show()

    def advance(self, count: int) -> None:
        """Count ``count`` parts of the step as done."""
        self._done += count

    def _run(self) -> None:
        while not self._end.wait(_BLINK):
            self._show()

    def _show(self) -> None:
        with self._lock:
            now = time.monotonic()
            if now < self._next or not self._title or self._end.is_set():
                return
            self._next = now + (_BLINK if self._terminal else EVERY)
            count = f", {min(self._done, self._total)} of {self._total}" if self._total else ""
            text = output.line(f"{self._program}: {self._title}{count} ({now - self._started:.0f} s)")
            if self._terminal:
                text = "\r\033[K" + text[: self._columns() - 1]
                self._shown = True
            self._write(text + ("" if self._terminal else "\n"))

    def _columns(self) -> int:
        """The width of the terminal: a longer line could not be taken away again."""
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or 80
        except OSError:
            return 80

    def _write(self, text: str) -> None:
        # A terminal that is gone, or a full disk behind standard error, is no reason to stop a publish.
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(encodable(text, self._stream.encoding or "ascii"))
            self._stream.flush()

    def close(self) -> None:
        """Take the line away again."""
        self._end.set()
        self._thread.join()
        if self._shown:
            self._write("\r\033[K")
        with contextlib.suppress(OSError, ValueError):
            self._stream.close()


_present: list[_Ticker] = []


@contextlib.contextmanager
def shown(program: str) -> Iterator[None]:
    """Show the progress of ``program`` until the end of the context, or until ``hide``."""
    hide()
    try:
        # Line by line, and never in the way of the program's own output.
        stream = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace")
    except OSError:  # standard error is closed
        yield
        return
    _present.append(_Ticker(program, stream))
    try:
        yield
    finally:
        hide()


def hide() -> None:
    """Show no more progress: the program is about to print its results."""
    while _present:
        _present.pop().close()


def begin(title: str, total: int = 0) -> None:
    """Begin the step ``title``; ``total`` is the number of its parts, 0 where nobody knows."""
    for one in _present:
        one.begin(title, total)


def advance(count: int = 1) -> None:
    """Count ``count`` parts of the present step as done."""
    for one in _present:
        one.advance(count)


def over(items: Iterable[Item], title: str) -> Iterator[Item]:
    """Each of ``items``, as the parts of the step ``title``."""
    begin(title, len(items) if isinstance(items, Sequence) else 0)
    for item in items:
        yield item
        advance()
