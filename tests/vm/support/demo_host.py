# SPDX-License-Identifier: GPL-2.0-or-later
"""The demo host as the tests see it: what they ask its kernel, its rpm database and its DNF."""

from __future__ import annotations

import json
import re
import time
from typing import Any

from vm import qemu
from vm.kernels import Kernel

SECRET = qemu.SECRET.split("=")[1]
# Snapshots: as booted, and with the first live patch in force.
SETTLED = "ready"
PATCHED = "patched"
CONF = "/etc/dnf/plugins/livepatch.conf"
UNIT = "livepatch-reconcile.service"


def patch_name(kernel: Kernel) -> str:
    """The name of the live-patch package for ``kernel``."""
    return "klp-patch-" + re.sub(r"[^A-Za-z0-9-]", "_", kernel.release)


class Host:
    """The questions of the tests to the guest: to its kernel, its rpm database and its DNF."""

    def __init__(self, machine: qemu.Machine) -> None:
        self.machine = machine
        self.old, self.new, self.dashes = machine.files.choice
        self.patch = patch_name(self.old)
        # The file of its first version in the repository.
        self.file = f"/srv/demo/updates/Packages/*/{self.patch}-1-1.*.rpm"

    def reset(self, snapshot: str = SETTLED) -> None:
        """Go back to ``snapshot``, by default to the freshly booted host."""
        self.machine.boot(self.old, snapshot=snapshot)

    def run(self, command: str, status: int = 0, timeout: float = 600) -> str:
        """Run ``command``, which has to end with ``status``; returns stdout and stderr together."""
        done = self.machine.run(command, timeout)
        text = done.out + done.err
        assert done.status == status, f"{command}: exit status {done.status}, not {status}:\n{text}"
        assert "could not finish" not in text, f"{command}: a fault of the plugin:\n{text}"
        return text

    def stage(self, name: str) -> None:
        """Change the content of the repository to that of the stage ``name``."""
        self.run(f"demo-stage {name}")

    def reboot(self, kernel: Kernel | None = None, append: str = "") -> None:
        """Shut down in order and boot ``kernel`` (default: the same one) from the same disk."""
        self.machine.reboot(kernel, append)

    def comes(self, modules: list[str], seconds: float = 120) -> None:
        """Wait until exactly ``modules`` are in force, after a command that does not wait for the load."""
        end = time.monotonic() + seconds
        while (found := self.loaded()) != modules or self.modules() != modules:
            assert time.monotonic() < end, f"in force are {found}, in the kernel {self.modules()}"
            time.sleep(1)

    def leaks(self) -> bool:
        """Whether /proc/cmdline shows the secret (CVE-1900-0001)."""
        text = self.run("cat /proc/cmdline")
        assert "demo.secret=" in text
        return SECRET in text

    def tells_builder(self) -> bool:
        """Whether /proc/version shows the builder of the kernel (CVE-1900-0003)."""
        return "gcc" in self.run("cat /proc/version")

    def loaded(self) -> list[str]:
        """Names of the live patches that the kernel has enabled and whose transition is over."""
        text = self.run(
            "cd /sys/kernel/livepatch; for p in $(ls); do echo $p $(cat $p/enabled $p/transition); done"
        )
        return [line.split()[0] for line in text.splitlines() if line.split()[1:] == ["1", "0"]]

    def modules(self) -> list[str]:
        """Names of the demo's modules that are in the kernel, enabled or not."""
        return re.findall(r"^(livepatch_demo_\d+) ", self.run("cat /proc/modules"), re.MULTILINE)

    def installed(self, name: str) -> str:
        """Version and release of the installed package ``name``, "" when it is not installed."""
        done = self.machine.run(f"rpm -q --qf '%{{VERSION}}-%{{RELEASE}}' {name}")
        return done.out if done.status == 0 else ""

    def unit_failed(self) -> bool:
        """Whether the last run of the reconcile unit failed."""
        return self.machine.run(f"systemctl is-failed -q {UNIT}").status == 0

    def moment(self, unit: str, name: str) -> int:
        """The time ``name`` that systemd keeps of ``unit``, in microseconds since boot."""
        return int(self.run(f"systemctl show -P {name} {unit}"))

    def began(self, unit: str) -> float:
        """The time of the journal's first line about ``unit``, in seconds since boot.

        systemd forgets the times of a unit that has ended and that nothing refers to.
        """
        line = self.run(f"journalctl -b -q --no-pager -o short-monotonic -u {unit} | head -1")
        return float(line.partition("]")[0].strip("[ "))

    def patched_at(self, module: str) -> float:
        """The time of the kernel's line that ``module`` is in force, in seconds since boot."""
        line = self.run(f"dmesg | grep \"livepatch: '{module}': patching complete\" | head -1")
        return float(line.partition("]")[0].strip("[ "))

    def status(self, code: int = 0) -> dict[str, Any]:
        """The object that ``livepatch status --json`` prints; the command has to end with ``code``."""
        done = self.machine.run("livepatch status --json")
        assert done.status == code, done.out + done.err
        answer: dict[str, Any] = json.loads(done.out)
        return answer

    def boot_id(self) -> str:
        """The id of this boot; each boot has another."""
        return self.run("cat /proc/sys/kernel/random/boot_id")
