# SPDX-License-Identifier: GPL-2.0-or-later
"""Loading on a real kernel: every claim is checked in sysfs or by the kernel's behaviour.

That a boot loads before the network, and the switches on the kernel command line, are in test_boot.py.
"""

from __future__ import annotations

import json
import re

import pytest

from tests.vm.support import loading
from tests.vm.support.loaded import (
    REST,
    SETTLE,
    UNIT,
    cmdline,
    configure,
    erase,
    failed,
    ids,
    in_force,
    modules,
    patches,
    record,
    result,
    rpm,
)
from vm import qemu
from vm.common import Failure

PATCHES = [
    loading.V1,
    loading.V2,
    loading.STALLS,
    loading.PANICS,
    loading.CRASHES,
    loading.OOPSES,
    loading.LIES,
    loading.OTHERS,
]
KO = "/usr/lib/modules/$(uname -r)/livepatch/lptest_1.ko"
# What tells of a stall; the answers are split at SPLIT.
SPLIT = "=>\n"
STALLED = (
    "cut -d' ' -f1 /proc/modules | grep lptest",
    "cat /run/livepatch/result.json",
    "systemctl --failed --plain --no-legend",
    "cat /proc/cmdline",
    "cd /sys/kernel/livepatch; for m in *; do echo $m $(cat $m/enabled $m/transition); done",
    "systemctl is-active livepatch-retry.timer",
    "cat /var/lib/livepatch/guard.json",
    "livepatch history --json",
)


@pytest.fixture(scope="module")
def stocked(booted):
    """The booted host with the packages at hand; a snapshot of it, and one with the first in force."""
    booted.reset()
    for patch in PATCHES:
        loading.put(booted.machine, patch)
    booted.machine.save("stocked")
    rpm(booted.machine, loading.V1)
    assert in_force(booted.machine, loading.V1)
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


def redirected(machine: qemu.Machine) -> bool:
    """Whether ftrace sends the function elsewhere: I says that the instruction pointer is changed."""
    machine.ok("mountpoint -q /sys/kernel/tracing || mount -t tracefs none /sys/kernel/tracing")
    pattern = r"^cmdline_proc_show \([0-9]+\)[ R]* I"
    return machine.run(f"grep -E '{pattern}' /sys/kernel/tracing/enabled_functions").status == 0


def test_load_replace_downgrade_remove(machine):
    before = cmdline(machine)
    assert not redirected(machine)
    rpm(machine, loading.V1)
    assert in_force(machine, loading.V1) and redirected(machine)
    assert result(machine)["ok"] and not failed(machine)
    proof = json.loads(machine.run("livepatch status --functions --json").out)["functions"]
    assert [(row["function"], row["state"], row["ftrace"]) for row in proof] == [
        ("cmdline_proc_show", "redirected", True)
    ]
    rpm(machine, loading.V2)
    assert in_force(machine, loading.V2) and modules(machine) == ["lptest_2"]
    rpm(machine, loading.V1, options="--oldpackage")
    assert in_force(machine, loading.V1)
    erase(machine)
    assert patches(machine) == {} and modules(machine) == [] and cmdline(machine) == before
    assert not redirected(machine)
    lines = machine.ok("cat /var/lib/livepatch/journal.jsonl").splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["load", "replace", "replace", "unload"]
    for event in ("load", "unload"):
        assert machine.ok(f"journalctl --sync; journalctl -qo cat LIVEPATCH_MODULE=lptest_1 | grep {event}")


def test_stall_is_reversed_named_and_tried_again(first):
    machine = first
    configure(machine, transition_timeout=9)
    machine.ok("systemd-run -q --unit sleeper python3 -c 'import signal; signal.pause()'")
    pid = machine.ok("systemctl show -P MainPID sleeper").strip()
    machine.ok(f"until grep -q pause /proc/{pid}/stack; do sleep 0.3; done")
    # The next try comes a minute after the stall: all that it would change is read in the same command.
    shown = rpm(machine, loading.STALLS, then="( " + "; echo '=>'; ".join(STALLED) + " )")
    names, told, units, function, inserted, timer, kept, history = shown.split(SPLIT)
    problems = json.loads(told)["problems"]
    assert "transition-stalled" in [problem["id"] for problem in problems] and UNIT in units, told
    assert names.split() == ["lptest_1"] and inserted.split() == ["lptest_1", "1", "0"], told
    assert function == "patched by lptest_1\n" and timer == "active\n", told
    assert f"(pid {pid})" in str(problems)
    stalled = json.loads(kept)["records"][loading.STALLS.nevra]
    assert stalled["state"] == "stalled" and stalled["tries"] == 1
    stall, reverse = json.loads(history)["entries"][-2:]
    assert (stall["event"], reverse["event"], reverse["outcome"]) == ("stall", "reverse", "done")
    (task,) = [task for task in stall["tasks"] if task.startswith(f"{pid} ")]
    assert "patch_state=0 stack=" in task and "pause" in task.partition("stack=")[2]
    configure(machine)
    machine.ok("systemctl stop sleeper; systemctl start livepatch-retry.service")
    machine.ok("for i in $(seq 900); do [ -e /sys/module/lptest_1 ] || exit 0; sleep 0.3; done; exit 1")
    machine.ok(REST)
    assert in_force(machine, loading.STALLS) and not failed(machine) and result(machine)["ok"]
    assert machine.run("systemctl is-active -q livepatch-retry.timer").status != 0


def test_panic_while_loading_is_skipped_at_next_boot(first):
    machine = first
    with pytest.raises((Failure, OSError)):
        rpm(machine, loading.PANICS)
        machine.ok("true", timeout=5)
    machine.boot()
    assert in_force(machine, loading.V1), "the kept copy; the package holds only the bad one"
    assert modules(machine) == ["lptest_1"]
    assert ids(machine) == ["patch-blocked", "kept-in-force"]
    # The host is up, and says without being asked that something is wrong.
    assert machine.ok("systemctl is-active multi-user.target").strip() == "active"
    assert machine.run("systemctl is-system-running").out.strip() == "degraded" and failed(machine)
    status = machine.run("livepatch status")
    assert status.status == 5 and "went down while it was being loaded" in status.out


def test_oops_while_loading_blocks_at_once(first):
    machine = first
    rpm(machine, loading.CRASHES)
    assert int(machine.ok("cat /proc/sys/kernel/tainted")) & 128, "the kernel did oops"
    assert in_force(machine, loading.V1)
    # RPM's triggers may ask twice; only the first of two runs is the one that crashed.
    assert {"load-crashed", "patch-blocked"} & set(ids(machine)) and failed(machine)
    told = record(machine, loading.CRASHES)
    assert told["state"] == "blocked" and "crashed the program that loaded it" in told["reason"]


def test_good_after_settle_time_and_out_after_an_oops_a_minute_later(first):
    machine = first
    assert machine.ok("systemctl is-active livepatch-settle.timer").strip() == "active"
    configure(machine, "settle_time = 1")
    machine.ok(f"sleep 2; {SETTLE}")
    good = record(machine, loading.V1)
    assert good["state"] == "good" and good["proved"]
    assert machine.run("systemctl is-active -q livepatch-settle.timer").status != 0
    configure(machine, "settle_time = 3600")
    rpm(machine, loading.OOPSES)
    machine.ok("sleep 60")
    assert in_force(machine, loading.OOPSES)
    assert machine.run("cat /proc/version").status != 0, "the reader is killed by the oops"
    # Nobody starts anything: the timer looks every half minute.
    back = "/sys/kernel/livepatch/lptest_1/transition"
    machine.ok(f"for i in $(seq 300); do grep -qs 0 {back} && exit 0; sleep 1; done; exit 1")
    # A oneshot unit is "activating" while it works. A start would join that run, which ends as failed.
    ended = "systemctl show -P ActiveState livepatch-settle.service | grep -vq activating"
    machine.ok(f"until {ended}; do sleep 0.2; done")
    assert in_force(machine, loading.V1), "the kept copy is back"
    machine.ok("systemctl start livepatch-settle.service")
    assert "Linux version" in machine.ok("cat /proc/version")
    assert re.match("the kernel reported: (BUG|Oops)", record(machine, loading.OOPSES)["reason"])


def test_kprobe_on_the_target_is_named(machine):
    assert not redirected(machine)
    machine.ok(
        "echo 'p:watch cmdline_proc_show' >/sys/kernel/tracing/kprobe_events; "
        "echo 1 >/sys/kernel/tracing/events/kprobes/watch/enable"
    )
    rpm(machine, loading.V1)
    assert in_force(machine, loading.V1) and result(machine)["ok"]
    probed = [problem for problem in result(machine)["problems"] if problem["id"] == "function-probed"]
    assert len(probed) == 1 and probed[0]["severity"] == "warning"
    assert "kprobe kprobes/watch at cmdline_proc_show+0x" in probed[0]["text"]


def test_refused_before_the_kernel_sees_it(machine):
    machine.ok(f"systemctl mask --now {UNIT}")
    machine.ok(f"rpm -U --nosignature /root/lptest_1.rpm; cp -p {KO} /root/good.ko; systemctl unmask {UNIT}")
    for spoil, wanted in (
        (f"printf x >>{KO}", "module-changed"),
        (f"cp -p /root/good.ko {KO}; chmod 666 {KO}", "module-writable"),
    ):
        assert machine.run(f"{spoil}; systemctl start {UNIT}").status != 0
        assert wanted in ids(machine) and patches(machine) == {} and failed(machine)
        assert machine.run("dmesg | grep lptest").status == 1
    machine.ok(f"chmod 644 {KO}; systemctl start {UNIT}")
    assert in_force(machine, loading.V1) and not failed(machine)
    for patch, wanted in ((loading.LIES, "module-build-id"), (loading.OTHERS, "kernel-build-id")):
        rpm(machine, patch)
        assert wanted in ids(machine) and failed(machine)
        assert in_force(machine, loading.V1) and modules(machine) == ["lptest_1"]
        assert machine.run(f"dmesg | grep {patch.module}").status == 1


def test_unsigned_module_under_sig_enforce_is_refused_at_boot(first):
    machine = first
    machine.reboot(append="module.sig_enforce=1")
    assert "module-unsigned" in ids(machine) and patches(machine) == {} and failed(machine)
    assert "module.sig_enforce=1" in cmdline(machine), "the kernel's own function answers"
    assert machine.ok("systemctl is-active multi-user.target").strip() == "active", "the host is up"
    # The kernel's own refusal.
    direct = machine.run(f"insmod {KO}")
    assert direct.status != 0 and ("Key was rejected" in direct.err or "Required key" in direct.err)


def test_failing_health_check_goes_back(first):
    machine = first
    configure(machine, "health_check = grep -q lptest_1 /proc/cmdline")
    rpm(machine, loading.V2)
    assert in_force(machine, loading.V1)
    # The second trigger of the transaction may have a run of its own, which finds the patch blocked.
    assert "health check failed: " in record(machine, loading.V2)["reason"] and failed(machine)


def test_what_others_loaded_is_never_touched(machine):
    machine.ok(f"systemctl mask {UNIT} && rpm -U --nosignature /root/lptest_1.rpm && cp {KO} /root")
    machine.ok(f"rpm -e {loading.NAME} && systemctl unmask {UNIT} && insmod /root/lptest_1.ko")
    machine.ok("until [ $(cat /sys/kernel/livepatch/lptest_1/transition) = 0 ]; do sleep 0.3; done")
    rpm(machine, loading.V2)
    assert in_force(machine, loading.V1) and "foreign-patch" in ids(machine)
    erase(machine)
    assert in_force(machine, loading.V1)


def test_unload_sticks_over_reboot(first):
    machine = first
    machine.ok("livepatch unload lptest_1")
    assert patches(machine) == {}
    machine.reboot()
    assert patches(machine) == {}
    machine.ok(f"livepatch unblock {loading.V1.nevra}; livepatch reconcile")
    assert in_force(machine, loading.V1)


def test_no_record_no_load(machine):
    state = "/var/lib/livepatch"
    machine.ok(f"mount -t tmpfs -o size=4k none {state}; head -c 8192 /dev/zero >{state}/x; true")
    rpm(machine, loading.V1)
    assert patches(machine) == {} and "state-unwritable" in ids(machine) and failed(machine)
    machine.ok(f"umount {state}; mount --bind /var /var && mount -o remount,bind,ro /var")
    assert machine.run(f"systemctl start {UNIT}").status != 0
    assert patches(machine) == {} and "state-unwritable" in ids(machine) and failed(machine)
    machine.ok(f"umount /var; systemctl start {UNIT}")
    assert in_force(machine, loading.V1) and not failed(machine)
