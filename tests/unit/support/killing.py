# SPDX-License-Identifier: GPL-2.0-or-later
"""Kill what works on a fake host at each call that changes it. ``state.step`` marks those calls."""

from __future__ import annotations

import os
import signal
from typing import Callable

from dnf_plugin_livepatch.host.files import atomic, guard_file, journal, mailbox
from tests.unit.support.fakehost import Host

Work = Callable[[], object]


def steps(work: Work) -> list[str]:
    """The names of the steps of an undisturbed ``work``."""
    found: list[str] = []
    atomic.hook = found.append
    try:
        work()
    finally:
        atomic.hook = None
    return found


def killed_at(work: Work, number: int) -> None:
    """Do ``work`` in a child that gets SIGKILL at its ``number``-th step."""
    child = os.fork()
    if child == 0:
        left = [number]

        def hook(_: str) -> None:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        atomic.hook = hook
        try:
            silent = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silent, 1)
            os.dup2(silent, 2)
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, (
        f"step {number} was never reached"
    )


def sound(host: Host) -> None:
    """What holds after any crash: every file can be read, nothing blocked is loaded, the answer is there."""
    guard = guard_file.read(host.paths)
    journal.read(host.paths)
    assert mailbox.read_result(host.paths) is not None
    for module in host.loaded():
        owner = guard.owned.get(module)
        assert owner is None or owner.nevra not in guard.blocked()


def outcome(host: Host) -> tuple[object, ...]:
    """Where a host ended: what is in force and in the kernel, blocked, held, and proved good."""
    now = guard_file.read(host.paths)
    good = sorted(nevra for nevra, record in now.entries.items() if record.state == "good")
    return host.running(), host.modules(), sorted(now.blocked()), sorted(now.unloaded), good
