# SPDX-License-Identifier: GPL-2.0-or-later
"""The processes that keep a transition from ending, as /proc shows them.

The kernel moves one thread at a time. An idle CPU runs a thread of its own, which has no entry in /proc.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence

from ...base import names
from ...base.paths import Paths
from ...base.typed import NamedTuple
from ...messages.message import several
from ..read import read_text

MAX_PROCESSES = 20
#: Processes that a message names; the others are counted.
NAMED = 5
_SCAN_SECONDS = 5.0
_FRAME = re.compile(r"\] (\S+?)\+0x")
_FRAMES = 12
#: Ranges of CPUs in one list of the kernel.
_RANGES = 256
#: The field of /proc/PID/stat behind the name that holds the CPU (proc(5): processor).
_CPU = 36
_LISTS = (
    ("isolated", "/sys/devices/system/cpu/isolated"),
    ("nohz_full", "/sys/devices/system/cpu/nohz_full"),
)


class Task(NamedTuple):
    """A process of which ``threads`` threads keep a transition from ending.

    ``pid`` is the id of the process, not of a thread. ``comm``, ``patch_state``, ``stack`` and ``cpu`` are
    those of its first such thread. ``stack`` is "" where the caller may not read it. ``cpu`` is a CPU that
    is kept free of other work, "" for any other.
    """

    pid: int
    comm: str
    patch_state: int
    stack: str
    threads: int = 1
    cpu: str = ""

    @property
    def frames(self) -> str:
        """The functions of the thread's stack, the innermost first."""
        return " < ".join(_FRAME.findall(self.stack)[:_FRAMES])

    def __str__(self) -> str:
        threads = f", a thread and {self.threads - 1} more" if self.threads > 1 else ""
        return f"{self.comm} (pid {self.pid}{threads}{', on CPU ' + self.cpu if self.cpu else ''})"


class Found(NamedTuple):
    """The processes in the way, ``more`` of them beyond those in ``tasks``.

    ``complete`` is False where the search was ended before it had seen all processes. ``quiet`` names the
    CPUs that are kept free of other work, "" for none.
    """

    tasks: tuple[Task, ...] = ()
    more: int = 0
    complete: bool = True
    quiet: str = ""

    def __str__(self) -> str:
        if not self.tasks and not self.more and not self.complete:
            return "a process that was not found, as not all processes were looked at"
        if not self.tasks and not self.more:
            where = f"; isolated from other work: {self.quiet}" if self.quiet else ""
            return (
                f"the idle task of a CPU, which /proc does not show, or a task that has ended since{where}"
            )
        text = several(list(map(str, self.tasks)), NAMED, len(self.tasks) + self.more, "process|processes")
        return text if self.complete else text + " and perhaps others, as not all processes were looked at"

    @property
    def remedy(self) -> str:
        """The way to speed the transition up, for a person to read, as the first half of a sentence."""
        if self.tasks or self.more:
            return "stop these processes"
        if not self.complete:
            return "stop busy processes"
        return "give each CPU N a moment of work ('taskset -c N true')"


def _kept_free(paths: Paths) -> tuple[str, frozenset[str]]:
    """Return the CPUs that run nothing unasked, for a person to read, and their numbers."""
    texts: list[str] = []
    cpus: set[str] = set()
    for word, path in _LISTS:
        text = read_text(paths.at(path), 4096)
        for part in text.split(",")[:_RANGES]:
            first, _, last = part.partition("-")
            low, high = names.decimal(first, 4), names.decimal(last or first, 4)
            if low is not None and high is not None:
                cpus.update(map(str, range(low, high + 1)))
        if cpus and text not in ("", "(null)"):
            texts.append(f"CPU {text} ({word})")
    return ", ".join(texts)[:100], frozenset(cpus)


def _cpu(folder: str) -> str:
    """Return the CPU that the thread in ``folder`` ran on last; "" for unknown."""
    fields = read_text(folder + "/stat", 4096).rpartition(") ")[2].split()
    return fields[_CPU] if len(fields) > _CPU else ""


def in_the_way(paths: Paths, module: str) -> Found:
    """Return the processes that hold up the transition of ``module``, MAX_PROCESSES of them by name."""
    enabled = read_text(f"{paths.klp}/{module}/enabled", 8)
    waiting = "0" if enabled == "1" else "1"
    quiet, free = _kept_free(paths)
    end = time.monotonic() + _SCAN_SECONDS
    proc = paths.at("/proc")
    found: list[Task] = []
    more = 0
    try:
        pids = sorted(int(name) for name in os.listdir(proc) if names.decimal(name, 9) is not None)
    except OSError:
        return Found(complete=False, quiet=quiet)
    for pid in pids:
        if time.monotonic() > end:
            return Found(tuple(found), more, False, quiet)
        late = _late_threads(f"{proc}/{pid}/task", waiting)
        if late and len(found) < MAX_PROCESSES:
            folder = f"{proc}/{pid}/task/{late[0]}"
            cpu = _cpu(folder)
            comm, stack = read_text(folder + "/comm", 64), read_text(folder + "/stack", 4096)
            found.append(Task(pid, comm, int(waiting), stack, len(late), cpu if cpu in free else ""))
        elif late:
            more += 1
    return Found(tuple(found), more, True, quiet)


def _late_threads(folder: str, waiting: str) -> Sequence[str]:
    try:
        threads = sorted(name for name in os.listdir(folder) if names.decimal(name, 9) is not None)
    except OSError:
        return ()
    return [thread for thread in threads if read_text(f"{folder}/{thread}/patch_state", 8) == waiting]
