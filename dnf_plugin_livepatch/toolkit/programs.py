# SPDX-License-Identifier: GPL-2.0-or-later
"""Other programs: argument lists, never a shell; a clean locale; one kind of error.

``run`` is for short programs, whose output the caller reads. A ``Runner`` is for long ones: a person sees
their progress, and a log keeps all that they print.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, NamedTuple

from . import output
from .errors import ToolError, refuse
from .progress import Steps

#: Seconds after which ``run`` gives a program up.
TIMEOUT = 600.0
#: Seconds that an interrupted child has for taking its changes back.
GRACE = 30
_PYTHON = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP")
# Later errors follow from the first, and make's own last line names no error.
_ERROR = re.compile(r"\berror: |\bERROR: |multiple definition|undefined reference")


def need(program: str, hint: str) -> str:
    """The path of ``program``. Raises ToolError ``program-missing`` with the install ``hint``."""
    found = shutil.which(program)
    if found is None:
        refuse("program-missing", program=program, hint=hint)
    return found


def run(
    argv: Sequence[str], stdin: bytes | None = None, check: bool = True
) -> subprocess.CompletedProcess[bytes]:
    """Run ``argv`` to its end; with ``check`` a non-zero exit is a ToolError that quotes stderr."""
    try:
        done = subprocess.run(
            argv,
            input=stdin if stdin is not None else b"",
            capture_output=True,
            timeout=TIMEOUT,
            env=_environment(),
            check=False,
        )
    except FileNotFoundError:
        raise ToolError("tool-missing", program=argv[0]) from None
    except subprocess.TimeoutExpired:
        raise ToolError("tool-failed", program=argv[0], reason=f"no end after {TIMEOUT:.0f} s") from None
    if check and done.returncode != 0:
        reason = done.stderr.decode("utf-8", "replace").strip() or f"exit status {done.returncode}"
        raise ToolError("tool-failed", program=argv[0], reason=reason[-500:])
    return done


def _environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of every child: that of the tool, with English messages, and ``more``.

    The caller's folders of Python modules stay here: a child such as gpg or rpmbuild runs Python of its own.
    """
    mine = {name: value for name, value in os.environ.items() if name not in _PYTHON}
    return {**mine, "LC_ALL": "C.UTF-8", **(more or {})}


def open_log(path: str) -> IO[str]:
    """The log at ``path``, to append to; a new one is its owner's alone, as a build's output may be secret.

    Raises OSError.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    return open(descriptor, "a", 1, encoding="utf-8", errors="replace")


class Outcome(NamedTuple):
    """The end of a child: its exit status, the last lines of its output, and the first error in it."""

    status: int
    tail: list[str]
    first: str = ""

    @property
    def last(self) -> str:
        """The line with the reason: the first error, else the last line with 'error', else the last."""
        if self.first:
            return self.first
        wrong = [line for line in self.tail if "error" in line.lower()]
        return (wrong or self.tail or ["it printed nothing"])[-1].strip()


def first_error(lines: Iterable[str]) -> str:
    """The first of ``lines`` with an error of a compiler, linker or engine, "" when there is none."""
    return next((line.strip()[:500] for line in lines if _ERROR.search(line)), "")


class Runner:
    """Runs children in order, all their output into one log file."""

    def __init__(self, log: str, steps: Steps | None = None) -> None:
        self.log = log
        self.steps = steps or Steps(quiet=True)

    def run(self, argv: Sequence[str], cwd: str | None = None, env: dict[str, str] | None = None) -> Outcome:
        """Run ``argv`` with ``env`` added to the environment; never raises for a failure of the child."""
        tail: deque[str] = deque(maxlen=40)
        first = ""
        with open_log(self.log) as log:
            log.write(output.line("$ " + " ".join(argv)) + "\n")
            log.flush()
            with contextlib.ExitStack() as held:
                held.enter_context(_interrupts_later())
                try:
                    child = subprocess.Popen(
                        list(argv),
                        cwd=cwd,
                        env=_environment(env),
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
                        held.close()
                        for line in child.stdout:
                            log.write(output.line(line.rstrip("\n").expandtabs()) + "\n")
                            tail.append(line[:500])
                            first = first or first_error((line,))
                            self.steps.line(line)
                    except BaseException:
                        _end(child)
                        raise
            log.write(f"-> {child.returncode}\n")
        return Outcome(child.returncode, [line for line in tail if line.strip()], first)


@contextlib.contextmanager
def _interrupts_later() -> Iterator[None]:
    """Deliver SIGINT and SIGTERM at the end of the context.

    Popen forgets the child that runs already when an interrupt comes before its return, and the child
    would go on alone.
    """
    came: list[int] = []
    handlers = {}
    # Only the main thread may set handlers. What is ignored stays so, as a child inherits that.
    if threading.current_thread() is threading.main_thread():
        found = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        handlers = {number: handler for number, handler in found.items() if callable(handler)}
    for number in handlers:
        signal.signal(number, lambda number, _frame: came.append(number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


def _end(child: subprocess.Popen[str]) -> None:
    """End ``child`` and all that it started; on SIGTERM engines take back what they did to the source."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, number)
            child.wait(GRACE)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue
