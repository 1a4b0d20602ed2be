# SPDX-License-Identifier: GPL-2.0-or-later
"""Installing the packages of loading.py on the demo host, and what its kernel then shows."""

from __future__ import annotations

import json
from typing import Any

from tests.vm.support import loading
from vm.qemu import Machine

CONF = "/etc/dnf/plugins/livepatch.conf"
UNIT = "livepatch-reconcile.service"
# The run that answers the last request is over.
REST = (
    "for i in $(seq 900); do"
    ' grep -qsF "$(cat /run/livepatch/request)" /run/livepatch/result.json &&'
    f' [ "$(systemctl show -P ActiveState {UNIT})" != activating ] && exit 0; sleep 0.3; done; exit 1'
)
# A run of the settle watch. A start joins the run under way, which may have read an older configuration.
SETTLE = (
    'while [ "$(systemctl show -P ActiveState livepatch-settle.service)" = activating ]; do sleep 0.2; done;'
    " systemctl start livepatch-settle.service"
)


def put(machine: Machine, path: str, text: str) -> None:
    """Write ``text`` to the guest's file ``path``."""
    done = machine.run(f"install -D /dev/stdin {path}", stdin=text.encode())
    assert done.status == 0, done.err


def configure(machine: Machine, *lines: str, transition_timeout: int = 240) -> None:
    """Write the configuration; the time-out is enough for an emulated processor on a busy machine."""
    text = "\\n".join(("[main]", f"transition_timeout = {transition_timeout}", *lines))
    machine.ok(f"printf '{text}\\n' >{CONF}")


def rpm(machine: Machine, patch: loading.Patch, options: str = "", then: str = "true") -> str:
    """``rpm -U``, and wait for the run that the file trigger asked for.

    Returns the output of ``then``, which runs before anything else can have changed: on a busy machine, the
    minute until a stalled load is tried again is over after a few commands.
    """
    return machine.ok(f"rpm -U --nosignature {options} /root/{patch.module}.rpm && ( {REST} ) && {then}")


def erase(machine: Machine) -> None:
    """``rpm -e``, and wait for the run that the file trigger asked for."""
    machine.ok(f"rpm -e {loading.NAME} && {{ {REST}; }}")


def result(machine: Machine) -> dict[str, Any]:
    data = json.loads(machine.ok("cat /run/livepatch/result.json"))
    assert isinstance(data, dict)
    return data


def ids(machine: Machine) -> list[str]:
    return [problem["id"] for problem in result(machine)["problems"]]


def record(machine: Machine, patch: loading.Patch) -> dict[str, Any]:
    """The guard's durable record of ``patch``."""
    found = json.loads(machine.ok("cat /var/lib/livepatch/guard.json"))["records"][patch.nevra]
    assert isinstance(found, dict)
    return found


def patches(machine: Machine) -> dict[str, str]:
    """The kernel's own list: module and enabled/transition."""
    text = machine.ok(
        "cd /sys/kernel/livepatch; for m in *; do [ -e $m/enabled ] && "
        "echo $m $(cat $m/enabled)$(cat $m/transition); done; true"
    )
    return dict(line.split() for line in text.splitlines())


def unused(module: str) -> str:
    """The shell command that waits until rmmod can take ``module``.

    The kernel lets the module go a moment after the folder of its live patch.
    """
    return f"until grep -qsx 0 /sys/module/{module}/refcnt; do sleep 0.2; done"


def modules(machine: Machine) -> list[str]:
    """Our modules that are in the kernel, patching or not."""
    return machine.ok("ls /sys/module | grep lptest || true").split()


def cmdline(machine: Machine) -> str:
    return machine.ok("cat /proc/cmdline").strip()


def in_force(machine: Machine, patch: loading.Patch) -> bool:
    """Whether ``patch`` and no other is in the kernel, and what /proc/cmdline calls is its function."""
    alone = patches(machine) == {patch.module: "10"}
    if patch.function != "cmdline_proc_show":
        return alone
    return alone and cmdline(machine) == f"patched by {patch.module}"


def failed(machine: Machine) -> bool:
    """Whether systemd shows the failure, as monitoring sees it."""
    return UNIT in machine.ok("systemctl --failed --plain --no-legend")
