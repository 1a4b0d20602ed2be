# SPDX-License-Identifier: GPL-2.0-or-later
"""Child processes of the tool: live progress for a person, everything in the log, nothing by a shell."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .checks import refuse

#: Seconds that an interrupted child has for taking its changes back.
GRACE = 30
# Later ones follow from the first; make's own last word names none of them.
_ERROR = re.compile(r"\berror: |\bERROR: |multiple definition|undefined reference")


class Outcome(NamedTuple):
    """How a child ended: its exit status, the last lines it printed (both streams), its first error."""

    status: int
    tail: list[str]
    first: str = ""

    @property
    def last(self) -> str:
        """The line that says why: the first error, else the last line with 'error' in it, else the last."""
        if self.first:
            return self.first
        wrong = [line for line in self.tail if "error" in line.lower()]
        return (wrong or self.tail or ["it printed nothing"])[-1].strip()


def first_error(lines: Iterable[str]) -> str:
    """The first of ``lines`` with an error of a compiler, linker or engine, "" when there is none."""
    return next((line.strip()[:500] for line in lines if _ERROR.search(line)), "")


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
        """A new step begins."""
        self._title = title
        if self._live is not None:
            self._live.console.print(title, highlight=False, markup=False)
            self._live.update(title)
        elif not self.quiet:
            print(title, file=sys.stderr, flush=True)

    def line(self, text: str) -> None:
        """The child of this step printed ``text``."""
        if self._live is not None:
            from rich.text import Text

            seconds = time.monotonic() - self._started
            clean = "".join(c for c in text.strip() if c.isprintable())
            self._live.update(Text(f"{self._title} ({seconds:.0f} s) {clean[:90]}"))

    def close(self) -> None:
        """The work is over, in whatever way."""
        if self._live is not None:
            self._live.stop()
            self._live = None


class Runner:
    """Runs children in order, all their output into one log file."""

    def __init__(self, log: str, steps: Steps | None = None) -> None:
        self.log = log
        self.steps = steps or Steps(quiet=True)

    def run(self, argv: Sequence[str], cwd: str | None = None, env: dict[str, str] | None = None) -> Outcome:
        """Run ``argv`` with ``env`` on top of ours; never raises for what the child does."""
        tail: deque[str] = deque(maxlen=40)
        first = ""
        with open(self.log, "a", 1, encoding="utf-8", errors="replace") as log:
            log.write("$ " + " ".join(argv) + "\n")
            log.flush()
            try:
                child = subprocess.Popen(
                    list(argv),
                    cwd=cwd,
                    env={**os.environ, "LC_ALL": "C.UTF-8", **(env or {})},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    errors="replace",
                    start_new_session=True,
                )
            except OSError as error:
                log.write(f"{error}\n")
                return Outcome(127, [f"{argv[0]}: {error.strerror}"])
            with child:
                assert child.stdout is not None
                try:
                    for line in child.stdout:
                        log.write(line)
                        tail.append(line[:500])
                        first = first or first_error((line,))
                        self.steps.line(line)
                except BaseException:
                    _end(child)
                    raise
            log.write(f"-> {child.returncode}\n")
        return Outcome(child.returncode, [line for line in tail if line.strip()], first)


def _end(child: subprocess.Popen[str]) -> None:
    """End ``child`` and all that it started; on SIGTERM engines take back what they did to the source."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, number)
            child.wait(GRACE)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def need(program: str, hint: str) -> str:
    """The path of ``program``. Raises ToolError ``program-missing`` with the install ``hint``."""
    found = shutil.which(program)
    if found is None:
        refuse("program-missing", program=program, hint=hint)
    return found
