# SPDX-License-Identifier: GPL-2.0-or-later
"""``make demo``: a real kernel with an open CVE, one ``dnf upgrade``, the same kernel without it.

Every claim is checked in the guest's kernel. The demo ends with 1 when a claim does not hold.
"""

from __future__ import annotations

import sys

from . import picture, qemu
from .common import Failure, Progress
from .kernels import Choice

WIDTH = 79
_SECRET = qemu.SECRET.split("=")[1]


def _title(text: str) -> None:
    print(
        f"\n\033[1m== {text} ".ljust(WIDTH + 4, "=") + "\033[0m"
        if sys.stdout.isatty()
        else f"\n== {text} ".ljust(WIDTH, "="),
        flush=True,
    )


def _print(_: int, data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _show(machine: qemu.Machine, command: str) -> str:
    """Run ``command`` in the guest and print it as a terminal shows it; returns the output."""
    print(f"[root@demo ~]# {command}", flush=True)
    done = machine.run(command, each=_print)
    if done.status:
        raise Failure(f"`{command}` ended with {done.status}")
    return done.out + done.err


def _check(holds: bool, claim: str) -> None:
    if not holds:
        raise Failure(f"this does not hold: {claim}")
    print(f"   checked: {claim}", flush=True)


def _compare(command: str, printed: str, choice: Choice) -> None:
    missing = picture.check(command, printed, choice.old.release, choice.new.release)
    if missing:
        print(f"\n`{command}` did not print this part of the README:\n{missing}", file=sys.stderr)
    _check(not missing, f"the README shows what `{command}` prints")


def demo(machine: qemu.Machine) -> None:
    """Run the story. Raises Failure where a claim does not hold."""
    choice = machine.files.choice
    machine.boot()
    boot_id = machine.ok("cat /proc/sys/kernel/random/boot_id")

    _title("A host with an open CVE")
    print("Demonstration CVE-1900-0001: every user can read a secret in /proc/cmdline.")
    _check(_show(machine, "uname -r").strip() == choice.old.release, "the older kernel runs")
    _check(_SECRET in _show(machine, "cat /proc/cmdline"), "the secret can be read")
    _check(not _show(machine, "ls -A /sys/kernel/livepatch").strip(), "no live patch is loaded")

    _title("The one command")
    text = _show(machine, "dnf -y upgrade")
    newer = f"kernel-core-{choice.new.version}-{choice.new.rpm_release}"
    _check(newer in text, "the newer kernel was installed")
    _check("klp-patch-" in text, "a live patch was installed with it")
    _check("CVEs closed now: CVE-1900-0001" in text, "the command named the CVE that it closed")
    _check("CVEs open until a reboot" in text, "and those that wait for the newer kernel")
    _check("could not finish" not in text, "the plugin had no fault")
    _compare("dnf upgrade", text, choice)

    _title("The same kernel, without the CVE")
    _check(_SECRET not in _show(machine, "cat /proc/cmdline"), "the secret can be read no more")
    _show(machine, "uptime -p; uname -r")
    _check(machine.ok("uname -r").strip() == choice.old.release, "the older kernel still runs")
    _check(machine.ok("cat /proc/sys/kernel/random/boot_id") == boot_id, "there was no reboot")

    _title("What the kernel says, what livepatch says")
    state = _show(machine, "grep -r . /sys/kernel/livepatch/*/enabled /sys/kernel/livepatch/*/transition")
    _check("enabled:1" in state, "the patch is enabled")
    _check("transition:0" in state, "every task runs the patched functions")
    text = _show(machine, "livepatch status")
    _check("in force" in text, "livepatch status says so too")
    _compare("livepatch status", text, choice)
    print("\nThe newer kernel waits for a reboot, whenever that suits. For a look of your own:")
    print("make vm CMD='dnf -y upgrade; livepatch cves'")


def main() -> int:
    """Build the host and run the story on it; returns the exit status."""
    Progress.shown = True
    try:
        with qemu.Machine(qemu.build()) as machine:
            demo(machine)
    except Failure as failure:
        print(f"\ndemo: FAILED: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
