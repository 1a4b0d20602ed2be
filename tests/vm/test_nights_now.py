# SPDX-License-Identifier: GPL-2.0-or-later
"""Nights of an administrator who asks what is the matter now: each story uses public commands alone."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.vm.support import loading
from tests.vm.support.demo_host import CONF, Host
from tests.vm.support.loaded import REST, configure, erase, ids, in_force, patches, result, rpm, unused
from vm.qemu import Machine

GATE = loading.COVERS
TRANSITION = f"/sys/kernel/livepatch/{GATE.module}/transition"


@pytest.fixture(scope="module")
def stocked(booted: Host) -> Host:
    """The booted host with the packages at hand, and the gate."""
    booted.reset()
    for patch in (loading.V1, loading.V2, loading.STALLS, GATE):
        loading.put(booted.machine, patch)
    loading.put_gate(booted.machine)
    booted.run("dnf -y makecache")  # with the key of the repository
    assert "Operation aborted" in booted.run("dnf --assumeno upgrade", status=1), "the advisories are known"
    booted.machine.save("nights-now")
    return booted


@pytest.fixture
def machine(stocked: Host) -> Machine:
    stocked.reset("nights-now")
    return stocked.machine


def ask(machine: Machine, verb: str) -> tuple[int, str]:
    """Exit status and both outputs of ``livepatch VERB``."""
    done = machine.run(f"livepatch {verb}", 120)
    return done.status, done.out + done.err


def state(machine: Machine) -> dict[str, Any]:
    """The object of ``livepatch status --json``."""
    found = json.loads(machine.run("livepatch status --json", 120).out)
    assert isinstance(found, dict)
    return found


def told(machine: Machine) -> dict[str, tuple[int, str]]:
    """The words of every form in which an administrator or a monitor reads the state."""
    return {verb: ask(machine, verb) for verb in ("status", "check", "motd", "metrics", "list")}


def test_a_load_that_takes_its_time_is_no_alarm(machine: Machine) -> None:
    """The pager is silent while tasks move to the new code; who looks reads what is loaded, and how long."""
    machine.ok(
        "insmod /root/lpgate.ko && systemd-run -q --unit task cat /proc/gate;"
        " until grep -qs gate_show /proc/$(systemctl show -P MainPID task)/stack; do sleep 0.3; done;"
        f" rpm -U --nosignature /root/{GATE.module}.rpm;"
        f" until grep -qs 1 {TRANSITION}; do sleep 0.3; done"
    )
    words, found = told(machine), state(machine)
    assert machine.ok(f"cat {TRANSITION}") == "1\n"
    assert found["state"] == "loading" and found["since"] < found["until"]
    # The repository has another one.
    assert {row["id"] for row in found["problems"]} <= {"patch-not-taken"}, found["problems"]
    until = f"since {found['since']}, until {found['until']} at the latest"
    code, text = words["status"]
    assert code == 0 and "LOADING" in text and "FAILED" not in text and until in text, text
    code, text = words["check"]
    assert code == 1 and GATE.nevra in text and f"being loaded {until}" in text, text
    assert GATE.nevra in words["motd"][1] and until in words["motd"][1], words["motd"]
    assert 'livepatch_state{state="loading"} 1' in words["metrics"][1]
    assert "livepatch_change_deadline_seconds " in words["metrics"][1]
    machine.ok(f"cat /proc/gate-open; until grep -qs 0 {TRANSITION}; do sleep 0.3; done; ( {REST} )")
    assert in_force(machine, GATE)
    assert ask(machine, "status")[1].count("LOADING") == 0


def test_a_removal_that_takes_its_time_is_no_alarm(machine: Machine) -> None:
    """A task sleeps in the patched function: the unload waits for it, and nothing calls that a load."""
    machine.ok("insmod /root/lpgate.ko")
    rpm(machine, GATE)
    assert in_force(machine, GATE)
    shut = f"/sys/module/{GATE.module}/parameters/shut"
    text = machine.ok(
        f"echo 1 >{shut}; systemd-run -q --unit sleeper cat /proc/gate;"
        " until grep -qs new_gate_show /proc/$(systemctl show -P MainPID sleeper)/stack; do sleep 0.3; done;"
        f" (livepatch unload {GATE.module} >/root/unload.txt 2>&1; echo $? >/root/unload.rc) &"
        f" until grep -qs 1 {TRANSITION}; do sleep 0.1; done;"
        ' livepatch status; echo "=> $?"; livepatch check; echo "=> $?"'
    )
    assert machine.ok(f"cat {TRANSITION}; echo 0 >{shut}") == "1\n"
    assert text.count("=> 0\n") == 1, text
    words, line = text.split("=> 0\n")
    assert "State          : UNLOADING: " in words and "FAILED" not in words, text
    assert "fixed functions" not in words and " at the latest" in words, text
    assert line.endswith("=> 1\n") and GATE.nevra in line and "being taken out of force" in line, line
    machine.ok("until [ -s /root/unload.rc ]; do sleep 0.3; done")
    assert patches(machine) == {} and machine.ok("cat /root/unload.rc") == "0\n"
    code, text = ask(machine, "status")
    assert "unloaded by the administrator" in text and "UNLOADING" not in text, text


def test_the_foreign_patch_of_yesterday_is_gone_and_so_is_its_error(machine: Machine) -> None:
    """Somebody tried a module by hand; ours could not be loaded. It is out again, by hand as well."""
    ko = f"/usr/lib/modules/$(uname -r)/livepatch/{loading.V1.module}.ko"
    configure(machine, "mode = install-only")
    rpm(machine, loading.V1, "", f"cp {ko} /root/tried.ko")
    erase(machine)
    configure(machine)
    machine.ok(
        f"insmod /root/tried.ko;"
        f" until grep -qs 0 /sys/kernel/livepatch/{loading.V1.module}/transition; do sleep 0.3; done"
    )
    rpm(machine, loading.V2)
    code, text = ask(machine, "status")
    assert code == 5 and f"would put {loading.V1.module} out of force" in text, text
    machine.ok(
        f"echo 0 >/sys/kernel/livepatch/{loading.V1.module}/enabled;"
        f" {unused(loading.V1.module)};"
        f" rmmod {loading.V1.module}"
    )
    code, text = ask(machine, "status")
    assert code == 5 and "would put" not in text and loading.V1.module not in text, text
    assert "installed but not in force" in text
    machine.ok("livepatch reconcile")
    assert in_force(machine, loading.V2) and ask(machine, "status")[0] == 0


def test_a_function_with_a_second_name_is_redirected(machine: Machine) -> None:
    """ftrace calls the patched system call by an alias; the address is the same, and nobody is alarmed."""
    rpm(machine, loading.STALLS)
    assert in_force(machine, loading.STALLS)
    lines = machine.ok("grep -E 'R? I' /sys/kernel/tracing/enabled_functions")
    assert loading.STALLS.function not in lines, f"the kernel calls it by its own name: {lines}"
    assert "function-not-redirected" not in ids(machine), ids(machine)
    assert "does not redirect" not in ask(machine, "status")[1]

    def function() -> tuple[str, bool | None]:
        (row,) = json.loads(machine.ok("livepatch status --functions --json"))["functions"]
        return row["state"], row["ftrace"]

    assert function() == ("redirected", True)
    machine.ok("sysctl -q kernel.kptr_restrict=2")
    assert function() == ("redirected", None)
    assert "not readable" in ask(machine, "status --functions")[1]


@pytest.mark.parametrize("switch", ["mode = install-only", "mode = report", "boot"])
def test_what_keeps_a_patch_out_is_said_wherever_it_is_missing(stocked: Host, switch: str) -> None:
    """A colleague turned loading off last week. The one on duty asks why nothing is closed."""
    stocked.reset("nights-now")
    machine = stocked.machine
    reason = f"{switch} in livepatch.conf"
    if switch == "boot":
        stocked.reboot(append="livepatch.enable=0")
        reason = "livepatch.enable=0 is on the kernel command line"
    else:
        configure(machine, switch)
    rpm(machine, loading.V1)
    assert patches(machine) == {}
    words = told(machine)
    for verb in ("status", "list", "check", "motd"):
        assert reason in words[verb][1], (verb, words[verb])


def test_a_plan_promises_only_what_will_be_loaded(stocked: Host) -> None:
    """The question is asked before anything is closed, and with loading off nothing will be."""
    stocked.reset("nights-now")
    machine = stocked.machine
    text = stocked.run("dnf --assumeno upgrade", status=1)
    assert re.search(r"^  Will close +: 1: CVE-1900-0001", text, re.MULTILINE), text
    assert "Closed now" not in text, text
    configure(machine, "mode = install-only")
    text = stocked.run("dnf --assumeno upgrade", status=1)
    assert re.search(
        r"^  Will close +: 0, because nothing is loaded: mode = install-only in livepatch.conf$",
        text,
        re.MULTILINE,
    ), text
    configure(machine, "enabled = 0")
    for verb in ("status", "check", "motd"):
        assert "enabled = 0 in livepatch.conf" in ask(machine, verb)[1], verb
    assert CONF


def test_unloaded_for_this_boot_says_so(machine: Machine) -> None:
    rpm(machine, loading.V1)
    machine.ok(f"livepatch unload {loading.V1.module} --this-boot")
    words = told(machine)
    for verb in ("status", "list", "check", "motd"):
        assert "until the next boot" in words[verb][1], (verb, words[verb])
    machine.ok(f"livepatch unblock {loading.V1.nevra}; livepatch unload {loading.V1.module}")
    assert "until 'livepatch unblock'" in ask(machine, "status")[1]


def test_a_patch_that_vanished_behind_our_back_is_in_the_history(machine: Machine) -> None:
    """Somebody disabled the patch through sysfs. The question is when it was last in force."""
    rpm(machine, loading.V1)
    assert in_force(machine, loading.V1)
    seen = result(machine)["finished"]
    folder = f"/sys/kernel/livepatch/{loading.V1.module}"
    machine.ok(f"sleep 2; echo 0 >{folder}/enabled; while [ -e {folder} ]; do sleep 0.3; done")
    code, text = ask(machine, "history")
    assert f"last seen in force at {seen}" in text and "vanish" in text, text
    machine.ok("livepatch reconcile")
    assert in_force(machine, loading.V1)
    for _ in range(2):
        entries = json.loads(machine.ok("livepatch history --json"))["entries"]
        events = [entry["event"] for entry in entries]
        assert events.count("vanish") == 1 and events[-1] == "load", events
        machine.ok("livepatch reconcile")
    (entry,) = [entry for entry in entries if entry["event"] == "vanish"]
    assert (entry["module"], entry["nevra"], entry["seen"]) == (loading.V1.module, loading.V1.nevra, seen)


def test_a_patch_that_vanished_before_a_reboot_is_in_the_history_of_the_next_boot(stocked: Host) -> None:
    """Nothing looked at the patches between the hand that disabled one and the reboot of the night."""
    stocked.reset("nights-now")
    machine = stocked.machine
    rpm(machine, loading.V1)
    assert in_force(machine, loading.V1)
    seen = result(machine)["finished"]
    folder = f"/sys/kernel/livepatch/{loading.V1.module}"
    machine.ok(f"sleep 2; echo 0 >{folder}/enabled; while [ -e {folder} ]; do sleep 0.3; done")
    stocked.reboot()
    machine.ok(f"until grep -qs 0 {folder}/transition; do sleep 0.3; done")
    assert in_force(machine, loading.V1)
    entries = json.loads(machine.ok("livepatch history --json"))["entries"]
    (entry,) = [entry for entry in entries if entry["event"] == "vanish"]
    assert (entry["module"], entry["nevra"], entry["seen"]) == (loading.V1.module, loading.V1.nevra, seen)
    assert "in force at the shutdown: none" in entry["reason"], entry
    stocked.reboot()
    events = [entry["event"] for entry in json.loads(machine.ok("livepatch history --json"))["entries"]]
    assert events.count("vanish") == 1, events


def test_the_taints_that_matter_are_in_status(machine: Machine) -> None:
    rpm(machine, loading.V1)
    bits = int(machine.ok("cat /proc/sys/kernel/tainted"))
    text = ask(machine, "status")[1]
    assert bits & 32768 and "Taints         : " in text and "live patched (K)" in text, (bits, text)
    assert state(machine)["kernel"]["taints"], bits
