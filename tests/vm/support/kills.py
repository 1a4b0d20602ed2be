# SPDX-License-Identifier: GPL-2.0-or-later
"""SIGKILL at system calls that change something, in a real `livepatch reconcile`, by strace's injection.

strace kills a process when it enters its n-th call of one kind. All that the process did before is done,
that call is not. Killing it at each of its changing calls is thus also killing it after each but the last.
"""

from __future__ import annotations

import re
from typing import NamedTuple

# The calls of the program itself that change files, start and await children, or write to journald.
OWN = "mkdir,unlink,rename,fchmod,ftruncate,fsync,fdatasync,write,flock,sendto,fork,vfork,clone,clone3,wait4"
# Of its children (insmod, rmmod, systemctl); exit_group comes when their work is done.
CHILDREN = ("finit_module", "delete_module", "sendmsg", "exit_group")
COMMAND = "livepatch reconcile"
_STRACE = "PYTHONDONTWRITEBYTECODE=1 strace -qq -o /tmp/strace"
_CALL = re.compile(r"^(?:\d+ +)?([a-z_0-9]+)\((.*)")
_STATE = ("/var/lib/livepatch", "/run/livepatch", "/sys/", "/usr/lib/modules")


class Kill(NamedTuple):
    """The ``number``-th ``call`` of the program, or with ``child`` of whichever child comes to it first."""

    call: str
    number: int
    what: str
    child: bool = False

    def command(self) -> str:
        """The shell command that runs reconcile and kills it there; prints ``killed`` or ``spared``."""
        follow = "-f --seccomp-bpf " if self.child else ""
        inject = f"-e trace={self.call} -e inject={self.call}:signal=KILL:when={self.number}"
        return (
            f"{_STRACE} {follow}{inject} {COMMAND} >/dev/null 2>&1;"
            " grep -q 'killed by SIGKILL' /tmp/strace && echo killed || echo spared"
        )


def survey() -> str:
    """The shell command that runs reconcile undisturbed and prints its calls."""
    return f"{_STRACE} -y -s 40 -e trace={OWN} {COMMAND} >/dev/null 2>&1; cat /tmp/strace"


def survey_children() -> str:
    """The same for what the children do."""
    calls = ",".join(CHILDREN)
    return f"{_STRACE} -f --seccomp-bpf -e trace={calls} {COMMAND} >/dev/null 2>&1; cat /tmp/strace"


def own(trace: str) -> list[Kill]:
    """Every call in ``trace`` that changes something outside of the process."""
    counts: dict[str, int] = {}
    found = []
    for line in trace.splitlines():
        match = _CALL.match(line)
        if not match:
            continue
        call, rest = match.groups()
        counts[call] = counts.get(call, 0) + 1
        if call == "write" and not any(f"<{top}" in rest for top in _STATE):
            continue
        found.append(Kill(call, counts[call], rest[:70]))
    return found


def children(trace: str) -> list[Kill]:
    """One for each kind of call that a child makes: strace counts for each process anew."""
    calls = {match.group(1) for match in map(_CALL.match, trace.splitlines()) if match}
    return [Kill(call, 1, "by a child", True) for call in CHILDREN if call in calls]
