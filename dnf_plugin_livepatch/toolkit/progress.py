# SPDX-License-Identifier: GPL-2.0-or-later
"""The progress of a long work, for the person at the terminal."""

from __future__ import annotations

import sys
import time

from . import output


class Steps:
    """Tells a person where the work is: one line a step, and on a terminal the child's last line."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self._live = None
        self._title = ""
        self._started = time.monotonic()
        if not quiet and sys.stderr.isatty():
            try:
                from rich.console import Console
                from rich.status import Status
            except ImportError:
                return
            self._live = Status("", console=Console(stderr=True))
            self._live.start()

    def step(self, title: str) -> None:
        """Begin the step ``title``, and print the title."""
        self._title = output.line(title)
        if self._live is not None:
            from rich.text import Text

            # A text, not a string: rich reads names in brackets as markup.
            self._live.console.print(Text(self._title))
            self._live.update(Text(self._title))
        elif not self.quiet:
            output.show([title], errors=True)

    def line(self, text: str) -> None:
        """Show ``text``, the last line of this step's child, on a terminal."""
        if self._live is not None:
            from rich.text import Text

            seconds = time.monotonic() - self._started
            self._live.update(Text(f"{self._title} ({seconds:.0f} s) {output.line(text.strip())[:90]}"))

    def close(self) -> None:
        """End the live display, however the work ended."""
        if self._live is not None:
            self._live.stop()
            self._live = None
