# SPDX-License-Identifier: GPL-2.0-or-later
"""Two actors on a fake host: the second begins at a chosen step of the first, in a process of its own.

The first one goes on once the second has ended, or sleeps because it waits for its turn.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import time
from typing import Callable, NamedTuple

from dnf_plugin_livepatch.host.files import atomic, guard_file
from tests.unit.support.fakehost import Host
from tests.unit.support.killing import outcome

Work = Callable[[Host], int]
#: Seconds until an actor that does not end counts as hanging.
PATIENCE = 60.0


class Told(NamedTuple):
    """What an actor told as the state: its exit status, what it said of a package, and what is in force."""

    status: int
    claim: str
    in_force: tuple[str, ...]


def told(work: Work, host: Host) -> Told:
    """Do ``work`` and return what it told."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(io.StringIO()):
        status = work(host)
    lines = text.getvalue().splitlines()
    claims = [line for line in lines if " is blocked: " in line or line.endswith(" may be loaded again")]
    in_force = re.findall(r"^in force: (\S+),", text.getvalue(), re.MULTILINE)
    return Told(status, "".join(claims[:1]), tuple(in_force))


def ended(host: Host) -> tuple[object, ...]:
    """Where the host ended, with the reasons of the blocks and who blocked."""
    entries = guard_file.read(host.paths).entries
    reasons = [(nevra, row.reason, row.by) for nevra, row in entries.items() if row.state == "blocked"]
    return (*outcome(host), sorted(reasons))


def _sleeps(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] == "S"
    except OSError:
        return False


class _Other:
    """The second actor, in a child; ``result`` is what it told, once it has ended."""

    def __init__(self, work: Work, host: Host) -> None:
        self.result: Told | None = None
        self.read, write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            atomic.hook = None
            # A lock that the first one holds is held by every copy of its descriptor.
            os.closerange(3, write)
            os.closerange(write + 1, 4096)
            try:
                os.write(write, json.dumps(told(work, host)).encode())
            finally:
                os._exit(0)
        os.close(write)
        asleep = 0
        end = time.monotonic() + PATIENCE
        while asleep < 3 and time.monotonic() < end and not self.over():
            time.sleep(0.0005)
            asleep = asleep + 1 if _sleeps(self.pid) else 0

    def over(self) -> bool:
        """Whether it has ended; takes up its result then."""
        if self.result is None and os.waitpid(self.pid, os.WNOHANG)[0]:
            with open(self.read, "rb") as pipe:
                text = pipe.read()
            assert text, "the second actor died"
            status, claim, in_force = json.loads(text)
            self.result = Told(status, claim, tuple(in_force))
        return self.result is not None

    def join(self) -> Told:
        end = time.monotonic() + PATIENCE
        while not self.over():
            assert time.monotonic() < end, "the second actor hangs"
            time.sleep(0.001)
        assert self.result is not None
        return self.result


class Race(NamedTuple):
    """What both told. ``last`` is what the one told that ended last, None where that is not known."""

    first: Told
    second: Told
    last: Told | None
    waited: bool


def race(first: Work, second: Work, host: Host, step: int) -> Race | None:
    """Begin ``second`` at the step number ``step`` of ``first``; None where there is no such step."""
    others: list[_Other] = []
    left = [step]

    def hook(_: str) -> None:
        left[0] -= 1
        if left[0] == 0:
            others.append(_Other(second, host))

    atomic.hook = hook
    try:
        mine = told(first, host)
    finally:
        atomic.hook = None
        over = bool(others) and others[0].over()
    if not others:
        return None
    other = others[0]
    waited = not over
    theirs = other.join()
    return Race(mine, theirs, theirs if waited else None, waited)
