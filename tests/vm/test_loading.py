# SPDX-License-Identifier: GPL-2.0-or-later
"""Loading on a real kernel: every claim is checked in sysfs or by what the kernel does, not by our word."""

from __future__ import annotations

import json
from typing import Any, Dict, List

import loading
import pytest

from vm import qemu
from vm.common import Failure

pytestmark = pytest.mark.vm

PATCHES = [
    loading.V1,
    loading.V2,
    loading.STALLS,
    loading.PANICS,
    loading.CRASHES,
    loading.OOPSES,
    loading.LIES,
]
CONF = "/etc/dnf/plugins/livepatch.conf"
GUARD = "/var/lib/livepatch/guard.json"
# A run is a job of systemd from the request for it to its end.
REST = 'while [ -n "$(systemctl list-jobs --no-legend livepatch-reconcile.service)" ]; do sleep 0.2; done'


@pytest.fixture(scope="module")
def stocked(booted):
    """The booted host with the packages at hand; a snapshot of it, and one with the first in force."""
    booted.reset()
    for patch in PATCHES:
        loading.put(booted.machine, patch)
    booted.machine.save("stocked")
    rpm(booted.machine, loading.V1)
    assert patches(booted.machine) == {"lptest_1": "10"}
    booted.machine.save("first")
    return booted


@pytest.fixture
def machine(stocked):
    """Nothing is loaded or installed yet."""
    stocked.reset("stocked")
    return stocked.machine


@pytest.fixture
def first(stocked):
    """The first patch is in force."""
    stocked.reset("first")
    return stocked.machine


def rpm(machine: qemu.Machine, *patches: loading.Patch, options: str = "") -> None:
    """``rpm -U``, and wait for the run that the file trigger asked for."""
    names = " ".join(f"/root/{patch.module}.rpm" for patch in patches)
    machine.ok(f"rpm -U --nosignature {options} {names}; {REST}")


def result(machine: qemu.Machine) -> Dict[str, Any]:
    data = json.loads(machine.ok("cat /run/livepatch/result.json"))
    assert isinstance(data, dict)
    return data


def ids(machine: qemu.Machine) -> List[str]:
    return [problem["id"] for problem in result(machine)["problems"]]


def patches(machine: qemu.Machine) -> Dict[str, str]:
    """The kernel's own list: module and enabled/transition."""
    text = machine.ok(
        "cd /sys/kernel/livepatch; for m in *; do [ -e $m/enabled ] && "
        "echo $m $(cat $m/enabled)$(cat $m/transition); done; true"
    )
    return dict(line.split() for line in text.splitlines())


def record(machine: qemu.Machine, patch: loading.Patch) -> Dict[str, Any]:
    """What the crash guard holds on ``patch``."""
    found: Dict[str, Any] = json.loads(machine.ok(f"cat {GUARD}"))["records"][patch.nevra]
    return found


def cmdline(machine: qemu.Machine) -> str:
    return machine.ok("cat /proc/cmdline").strip()


def failed(machine: qemu.Machine) -> bool:
    return machine.run("systemctl is-failed -q livepatch-reconcile").status == 0


def test_load_replace_downgrade_remove(machine):
    before = cmdline(machine)
    rpm(machine, loading.V1)
    assert patches(machine) == {"lptest_1": "10"} and cmdline(machine) == "patched by lptest_1"
    assert result(machine)["ok"] and not failed(machine)
    rpm(machine, loading.V2)
    assert patches(machine) == {"lptest_2": "10"} and cmdline(machine) == "patched by lptest_2"
    assert machine.ok("ls /sys/module | grep lptest").split() == ["lptest_2"]
    rpm(machine, loading.V1, options="--oldpackage")
    assert patches(machine) == {"lptest_1": "10"} and cmdline(machine) == "patched by lptest_1"
    machine.ok(f"rpm -e {loading.NAME}; {REST}")
    assert patches(machine) == {} and cmdline(machine) == before
    assert machine.run("ls /sys/module | grep lptest").status == 1
    verbs = [
        entry["event"]
        for entry in map(json.loads, machine.ok("cat /var/lib/livepatch/journal.jsonl").splitlines())
    ]
    assert verbs == ["load", "replace", "replace", "unload"]
    for event in ("load", "unload"):
        assert machine.ok(f"journalctl -q -o cat LIVEPATCH_MODULE=lptest_1 | grep {event}")


def test_stall_is_reversed_named_and_tried_again(first):
    machine = first
    machine.ok(f"printf '[main]\\ntransition_timeout = 9\\n' >{CONF}")
    machine.ok("systemd-run -q --unit sleeper python3 -c 'import signal; signal.pause()'; sleep 2")
    pid = machine.ok("systemctl show -P MainPID sleeper").strip()
    rpm(machine, loading.STALLS)
    assert patches(machine) == {"lptest_1": "10"}, "the previous patch is in force"
    assert cmdline(machine) == "patched by lptest_1"
    assert machine.run("ls -d /sys/module/lptest_3").status != 0
    assert "transition-stalled" in ids(machine) and failed(machine)
    assert f"(pid {pid})" in str(result(machine)["problems"])
    told = record(machine, loading.STALLS)
    assert told["state"] == "stalled" and told["tries"] == 1
    assert machine.ok("systemctl is-active livepatch-retry.timer").strip() == "active"
    machine.ok(f"systemctl stop sleeper; printf '[main]\\ntransition_timeout = 90\\n' >{CONF}")
    machine.ok(f"systemctl start livepatch-retry.service; {REST}")
    assert patches(machine) == {"lptest_3": "10"} and not failed(machine) and result(machine)["ok"]
    assert machine.run("systemctl is-active -q livepatch-retry.timer").status != 0


def test_panic_while_loading_is_skipped_at_next_boot(first):
    machine = first
    with pytest.raises((Failure, OSError)):
        rpm(machine, loading.PANICS)
        machine.ok("true", timeout=5)
    machine.boot()
    assert patches(machine) == {"lptest_1": "10"}, "the kept copy; the package holds only the bad one"
    assert machine.run("ls -d /sys/module/lptest_4").status != 0
    assert ids(machine) == ["patch-blocked", "kept-in-force"] and failed(machine)
    status = machine.run("livepatch status")
    assert status.status == 5 and "went down while it was being loaded" in status.out


def test_oops_while_loading_blocks_at_once(first):
    machine = first
    rpm(machine, loading.CRASHES)
    assert patches(machine) == {"lptest_1": "10"}
    assert "load-crashed" in ids(machine) and failed(machine)
    assert record(machine, loading.CRASHES)["state"] == "blocked"


def test_oops_later_takes_the_patch_out(first):
    machine = first
    rpm(machine, loading.OOPSES)
    assert patches(machine) == {"lptest_6": "10"}
    assert machine.ok("systemctl is-active livepatch-settle.timer").strip() == "active"
    assert machine.run("cat /proc/version").status != 0, "the reader is killed by the oops"
    machine.ok("systemctl start livepatch-settle.service")
    assert patches(machine) == {"lptest_1": "10"}, "the kept copy is back"
    assert "Linux version" in machine.ok("cat /proc/version")
    assert "BUG" in record(machine, loading.OOPSES)["reason"]


def test_settled_patch_is_good(first):
    machine = first
    machine.ok(f"printf '[main]\\ntransition_timeout = 90\\nsettle_time = 1\\n' >{CONF}")
    machine.ok("systemctl start livepatch-settle.service")
    told = record(machine, loading.V1)
    assert told["state"] == "good" and told["proved"]
    assert machine.run("systemctl is-active -q livepatch-settle.timer").status != 0


def test_kprobe_on_the_target_is_named(machine):
    machine.ok(
        "mountpoint -q /sys/kernel/tracing || mount -t tracefs none /sys/kernel/tracing; "
        "echo 'p:watch cmdline_proc_show' >/sys/kernel/tracing/kprobe_events; "
        "echo 1 >/sys/kernel/tracing/events/kprobes/watch/enable"
    )
    rpm(machine, loading.V1)
    assert patches(machine) == {"lptest_1": "10"} and result(machine)["ok"]
    probed = [p for p in result(machine)["problems"] if p["id"] == "function-probed"]
    assert len(probed) == 1 and "cmdline_proc_show" in probed[0]["text"]


@pytest.mark.parametrize(
    "patch, spoil, wanted",
    [
        (loading.LIES, "", "module-build-id"),
        (loading.V1, "printf x >>/usr/lib/modules/$(uname -r)/livepatch/lptest_1.ko", "module-changed"),
        (loading.V1, "chmod 666 /usr/lib/modules/$(uname -r)/livepatch/lptest_1.ko", "module-writable"),
    ],
)
def test_refused_before_the_kernel_sees_it(machine, patch, spoil, wanted):
    machine.ok("systemctl mask --now livepatch-reconcile.service")
    rpm(machine, patch)
    machine.ok(f"{spoil or 'true'}; systemctl unmask livepatch-reconcile.service")
    assert machine.run("systemctl start livepatch-reconcile.service").status != 0
    assert wanted in ids(machine) and patches(machine) == {} and failed(machine)
    assert machine.run(f"dmesg | grep {patch.module}").status == 1


def test_unsigned_module_under_sig_enforce_is_refused_at_boot(first):
    machine = first
    machine.reboot(append="module.sig_enforce=1")
    assert "module-unsigned" in ids(machine) and patches(machine) == {} and failed(machine)
    assert machine.run("systemctl is-active -q multi-user.target").status == 0, "the host is up all the same"
    # What the kernel itself would have said.
    direct = machine.run("insmod /usr/lib/modules/$(uname -r)/livepatch/lptest_1.ko")
    assert direct.status != 0 and ("Key was rejected" in direct.err or "Required key" in direct.err)


def test_failing_health_check_goes_back(first):
    machine = first
    machine.ok(
        "printf '[main]\\ntransition_timeout = 90\\nhealth_check = grep -q lptest_1 /proc/cmdline\\n' "
        f">{CONF}"
    )
    rpm(machine, loading.V2)
    assert patches(machine) == {"lptest_1": "10"} and cmdline(machine) == "patched by lptest_1"
    assert "health-check-failed" in ids(machine) and failed(machine)


def test_what_others_loaded_is_never_touched(machine):
    machine.ok(
        "mkdir /root/theirs; cd /root/theirs; rpm2cpio ../lptest_1.rpm | cpio -idm 2>/dev/null; "
        "insmod $(find . -name lptest_1.ko); sleep 10"
    )
    rpm(machine, loading.V2)
    assert list(patches(machine)) == ["lptest_1"] and "foreign-patch" in ids(machine)
    machine.ok(f"rpm -e {loading.NAME}; {REST}")
    assert patches(machine) == {"lptest_1": "10"}


def test_removed_state_and_full_disk(machine):
    machine.ok(
        "mount -t tmpfs -o size=4k none /var/lib/livepatch; "
        "head -c 8192 /dev/zero >/var/lib/livepatch/x; true"
    )
    rpm(machine, loading.V1)
    assert patches(machine) == {} and "state-unwritable" in ids(machine), "no record, no load"
    machine.ok("umount /var/lib/livepatch; livepatch reconcile")
    assert patches(machine) == {"lptest_1": "10"}
