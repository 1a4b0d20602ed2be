# SPDX-License-Identifier: GPL-2.0-or-later
"""An unprivileged user forges oopses of live patches in the kernel's log, all the time, on two kernels.

The patch is loaded, settles, and is loaded again at the boot after a crash. History tells of the forgery
once for each load. A real oops in a live patch, in the midst of the forgery, takes that patch out.
"""

from __future__ import annotations

import inspect
import json
import re
import time
from typing import Any

import pytest

from tests.vm.support import forger, loading
from tests.vm.support.demo_host import Host, patch_name
from tests.vm.support.loaded import REST, configure, patches
from vm.qemu import Machine

MODULE = "livepatch_demo_1"
OOPSES = loading.OOPSES
AS_NOBODY = "setpriv --reuid 65534 --regid 65534 --clear-groups"
WATCH = "systemctl start livepatch-settle.service"
# The kernel then still has the first messages of a boot after thousands of others.
MEMORY = "log_buf_len=4M"
# Before everything else in a boot, so that it forges before the first load.
UNIT = f"""\
[Unit]
DefaultDependencies=no
Before=sysinit.target

[Service]
ExecStart={AS_NOBODY} python3 /usr/local/lib/forger.py {MODULE} {OOPSES.module}
LimitCORE=0

[Install]
WantedBy=sysinit.target
"""
# A message of each kind, from the first character that the kernel printed to the last.
FORGED = (
    rf"tmpfs: Unknown parameter 'BUG: a\+0x1/0x2 \[{MODULE}\]'",
    rf"cgroup2: Unknown parameter 'BUG: a\+0x1/0x2 \[{MODULE}\]'",
    rf"tmpfs: Unknown parameter '\\x0aBUG: .*\\x0a forged_report\+0x5/0x30 \[{MODULE}\]\\x0a.*'",
    rf"tmpfs: Unknown parameter '\\x014BUG: .*\\x0a\\x014 forged_report\+0x5/0x30 \[{MODULE}\]\\x0a.*'",
    rf"tmpfs: Unknown parameter ''\\x0akernel BUG at .*\\x0a\\x09forged_tab\+0x1/0x2 \[{MODULE}\]\\x0a''",
    rf"tmpfs: Unknown parameter '\\x0d RIP: 0010:forged_return\+0x1/0x2 \[{MODULE}\]'",
    r"tmpfs: Unknown parameter 'BUG: kernel NULL pointer dereference address: 0000000000000000'",
    rf"tmpfs: Unknown parameter ' forged_report\+0x5/0x30 \[{MODULE}\]'",
    rf"BUG: forged\[\d+\]: segfault at 0 .* in 0x2 \[{MODULE}\]\[.*",
    r"BUG: level\[\d+\]: segfault at 0 .*",
    r"BUG: joined\[\d+\]: segfault at 0 .*",
    r"Oops: forged\[\d+\]: segfault at 0 .*",
    r"RIP: 0010:x\+0x1\[\d+\]: segfault at 0 .*",
    r" f\+0x1/0x2 \[\[\d+\]: segfault at 0 .*",
    rf"traps: BUG: forged\[\d+\] trap invalid opcode .* in 0x2 \[{MODULE}\]\[.*",
)


# Prints /dev/kmsg as it is. The kernel answers with an error where it has overwritten the next message.
READ_LOG = """python3 -c '
import os
log = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
while True:
    try:
        os.write(1, os.read(log, 8192))
    except BrokenPipeError:
        continue
    except BlockingIOError:
        break
'"""


def messages(machine: Machine) -> list[tuple[float, str]]:
    """Uptime and text of the messages that the kernel itself printed and still has."""
    found = []
    for line in machine.ok(READ_LOG).splitlines():
        record = re.match(r"[0-7],\d+,(\d+),[^;]*;(.*)", line)
        if record:
            found.append((int(record[1]) / 1e6, record[2]))
    return found


def forged_at(machine: Machine, module: str = MODULE) -> list[float]:
    """The uptimes of the forged messages that the kernel still has."""
    return [at for at, text in messages(machine) if f"+0x1/0x2 [{module}]" in text]


def forge(machine: Machine) -> None:
    """Start the forger, in this boot and early in each later one, and wait until every kind was printed."""
    assert machine.run(f"{AS_NOBODY} sh -c 'echo BUG: >/dev/kmsg'").status != 0, "no user may write there"
    machine.run("cat >/usr/local/lib/forger.py", stdin=inspect.getsource(forger).encode())
    machine.run("cat >/etc/systemd/system/forger.service", stdin=UNIT.encode())
    machine.ok("systemctl enable -q --now forger.service")
    missing, end = set(FORGED), time.monotonic() + 180
    while missing:
        assert time.monotonic() < end, f"the kernel did not print {missing}"
        time.sleep(2)
        texts = [text for _, text in messages(machine)]
        missing = {kind for kind in missing if not any(re.fullmatch(kind, text) for text in texts)}


def entry(machine: Machine, nevra: str) -> dict[str, Any]:
    """The guard's durable entry of the package ``nevra``."""
    found = json.loads(machine.ok("cat /var/lib/livepatch/guard.json"))["records"][nevra]
    assert isinstance(found, dict)
    return found


def told(machine: Machine, nevra: str) -> list[str]:
    """What history tells of this boot's log and the package ``nevra``."""
    boot = machine.ok("cat /proc/sys/kernel/random/boot_id").strip()
    entries = json.loads(machine.ok("livepatch history --json"))["entries"]
    return [
        row["reason"]
        for row in entries
        if row["boot_id"] == boot and row["event"] == "taint" and row["nevra"] == nevra
    ]


def assert_stays(machine: Machine, nevra: str, module: str) -> None:
    """The watch looks again and again while the log is forged. The patch stays; history tells it once."""
    machine.ok(f"{WATCH}; sleep 3; {WATCH}; sleep 3; {WATCH}")
    assert patches(machine) == {module: "10"}
    assert entry(machine, nevra)["state"] == "settling"
    (reason,) = told(machine, nevra)
    assert reason.startswith(
        "a line of the kernel's log names it, and nothing proves an oops in it; it stays: "
    )
    assert f"[{module}]" in reason
    assert forged_at(machine, module)[-1] > entry(machine, nevra)["uptime"] + 5, "forged after the load too"


@pytest.mark.parametrize("series", ["6.12", "6.1"])
def test_a_forged_oops_takes_nothing_out_and_a_real_one_does(host: Host, series: str) -> None:
    machine, kernel = host.machine, host.old
    if series == "6.1":
        kernel = host.dashes
        core = f"kernel-core-{kernel.version}-{kernel.rpm_release}"
        host.run(f"dnf -y -q --setopt=best=0 install {core} && sync")
        machine.boot(kernel, MEMORY)
    assert machine.ok("uname -r").startswith(series + ".")
    nevra = f"{patch_name(kernel)}-1-1.x86_64"
    forge(machine)

    # During a load.
    assert host.loaded() == []
    host.run("dnf -y -q upgrade --exclude=kernel-core")
    assert host.loaded() == [MODULE]
    forged, loaded = forged_at(machine), entry(machine, nevra)
    assert forged[0] < loaded["began"] and forged[-1] > loaded["began"]
    assert_stays(machine, nevra, MODULE)

    # At the boot after a crash while the patch settled.
    machine.ok("sync")
    machine.boot(kernel, MEMORY)
    assert host.loaded() == [MODULE]
    again = entry(machine, nevra)
    assert again["strikes"] == 1 and again["boot_id"] != loaded["boot_id"]
    assert forged_at(machine)[0] < again["began"], "forged before the first load of the boot"
    assert_stays(machine, nevra, MODULE)

    # Until it has settled.
    configure(machine, "settle_time = 1")
    machine.ok(WATCH)
    good = entry(machine, nevra)
    assert good["state"] == "good" and good["proved"] and len(told(machine, nevra)) == 1
    assert host.loaded() == [MODULE]

    # The control: the same watch, the same forgery, a real oops.
    configure(machine, "settle_time = 3600")
    if series == "6.1":
        # As on older kernels, which have no counts: the taint bits are the proof there.
        machine.ok("cd /sys/kernel; for i in oops warn; do mount --bind /dev/null ${i}_count; done")
    loading.put(machine, OOPSES, kernel)
    machine.ok(f"rpm -e {patch_name(kernel)}; rpm -U --nosignature /root/{OOPSES.module}.rpm && ( {REST} )")
    assert (entry(machine, OOPSES.nevra)["oopses"] == -1) is (series == "6.1")
    assert_stays(machine, OOPSES.nevra, OOPSES.module)
    machine.run(f"cat /proc/version; {WATCH}")
    assert OOPSES.module not in patches(machine)
    blocked = entry(machine, OOPSES.nevra)
    assert blocked["state"] == "blocked" and blocked["by"] == "guard"
    assert re.match(r"the kernel reported: (BUG|Oops): ", blocked["reason"])
