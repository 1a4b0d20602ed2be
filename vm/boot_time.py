# SPDX-License-Identifier: GPL-2.0-or-later
"""``python3 -m vm.boot_time [BOOTS]``: how long a boot waits for live patches, with the RPMs in build/rpm.

The demo host is booted BOOTS times (default 3) without a live-patch package, and BOOTS times with one. Each
boot prints a line: seconds of livepatch-boot.service, when network-pre.target was reached, when the function
was patched, when multi-user.target was reached. The critical chain of the last boot of each kind follows.

With VM_ACCEL='tcg -icount shift=1' the clock of the guest counts instructions, two nanoseconds each, and a
busy host does not change the numbers.
"""

from __future__ import annotations

import re
import sys

from . import qemu

KINDS = (("no package", "livepatch reconcile"), ("one patch", "dnf -y -q upgrade"))
#: Prints the microseconds since boot of the moments; systemd has them as `systemd-analyze blame` shows them.
MOMENTS = (
    "for moment in InactiveExit/livepatch-boot.service ActiveEnter/livepatch-boot.service "
    "ActiveEnter/network-pre.target ActiveEnter/multi-user.target; do "
    "systemctl show -P ${moment%%/*}TimestampMonotonic ${moment##*/}; done"
)


def _measure(machine: qemu.Machine, kind: str) -> None:
    """Boot the same kernel again, and print the line of the boot."""
    machine.reboot()
    begin, end, network, target = (int(word) / 1e6 for word in machine.ok(MOMENTS).split())
    log = machine.ok("dmesg | grep 'livepatch:.*patching complete'; true")
    patched = [float(found) for found in re.findall(r"^\[ *([0-9.]+)\].*complete", log, re.MULTILINE)]
    print(
        f"{kind}: livepatch-boot {end - begin:.2f} s, network-pre.target at {network:.2f} s, "
        f"patched at {f'{patched[0]:.2f} s' if patched else '-'}, multi-user.target at {target:.2f} s",
        flush=True,
    )


def main() -> int:
    """Measure both kinds of host; returns the exit status."""
    boots = int(sys.argv[1]) if sys.argv[1:] else 3
    with qemu.Machine(qemu.build()) as machine:
        machine.boot()
        for kind, command in KINDS:
            machine.ok(command)
            for _ in range(boots):
                _measure(machine, kind)
            print(machine.ok("systemd-analyze critical-chain --no-pager livepatch-boot.service"))
            print(machine.ok("systemd-analyze blame --no-pager | grep livepatch"), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
