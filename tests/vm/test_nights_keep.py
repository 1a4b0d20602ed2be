# SPDX-License-Identifier: GPL-2.0-or-later
"""Nights of an administrator: a block during a load, a wrong name, a lost file, a removal, a failed unit.

Each story uses public commands alone, and looks at the kernel, at exit statuses, and at the words that the
administrator reads.
"""

from __future__ import annotations

import base64
import json
import os
import re

import pytest

from tests.vm.support import loading
from tests.vm.support.demo_host import Host
from tests.vm.support.loaded import CONF, REST, UNIT, configure, failed, in_force, patches, rpm
from vm import image
from vm.common import ROOT
from vm.qemu import Machine, Result

PATCHES = (loading.V1, loading.V2, loading.STALLS, loading.LIES)
GUARD = "/var/lib/livepatch/guard.json"
#: A task that no transition of STALLS passes.
SLEEPER = (
    "systemd-run -q --unit sleeper python3 -c 'import signal; signal.pause()' &&"
    " until grep -q pause /proc/$(systemctl show -P MainPID sleeper)/stack; do sleep 0.3; done"
)


@pytest.fixture(scope="module")
def stocked(booted: Host) -> Host:
    """The host with the first patch in force, the packages at hand, and those of the product."""
    booted.reset()
    for patch in PATCHES:
        loading.put(booted.machine, patch)
    booted.machine.ok("mkdir -p /root/product")
    for number, path in enumerate(image.project()):
        with open(path, "rb") as file:
            data = base64.b64encode(file.read())
        assert booted.machine.run(f"base64 -d >/root/product/{number}.rpm", stdin=data).status == 0
    configure(booted.machine)
    rpm(booted.machine, loading.V1)
    assert in_force(booted.machine, loading.V1)
    booted.machine.save("nights-keep")
    return booted


@pytest.fixture
def machine(stocked: Host) -> Machine:
    stocked.reset("nights-keep")
    return stocked.machine


def guard(machine: Machine) -> dict[str, str]:
    """The blocked packages and the reasons, as the file has them."""
    records = json.loads(machine.ok(f"cat {GUARD}"))["records"]
    return {nevra: row["reason"] for nevra, row in records.items() if row["state"] == "blocked"}


def said(done: Result) -> str:
    return done.out + done.err


def test_a_block_during_the_load_of_the_patch_holds(machine: Machine) -> None:
    """The new patch is suspected while its transition still waits for a task. It must go and stay away."""
    configure(machine, transition_timeout=40)
    machine.ok(SLEEPER)
    transition = f"/sys/kernel/livepatch/{loading.STALLS.module}/transition"
    # The kernel wakes the task after 15 seconds: the block follows in the same command.
    done = machine.run(
        f"rpm -U --nosignature /root/{loading.STALLS.module}.rpm;"
        f" until grep -qs 1 {transition}; do sleep 0.1; done;"
        f" livepatch block {loading.NAME} --reason 'killed the db'"
    )
    print(said(done))
    assert done.status == 0 and "waiting for the reconcile that is under way" in said(done)
    assert f"{loading.STALLS.nevra} is blocked: killed the db" in done.out
    assert (
        f"in force: {loading.V1.nevra}" in done.out and f"in force: {loading.STALLS.nevra}" not in done.out
    )
    assert guard(machine) == {loading.STALLS.nevra: "killed the db"}
    assert patches(machine) == {loading.V1.module: "10"}

    machine.ok("systemctl stop sleeper; livepatch reconcile")
    assert patches(machine) == {loading.V1.module: "10"}, "also when nothing is in its way any more"
    assert "killed the db" in said(machine.run("livepatch status"))


def test_a_name_means_the_installed_build(machine: Machine) -> None:
    """The newest one is broken, and the copy of the one before keeps the host safe."""
    rpm(machine, loading.LIES)
    assert in_force(machine, loading.V1)
    done = machine.run(f"livepatch block {loading.NAME} --reason broken")
    print(said(done))
    assert done.status == 0 and f"{loading.LIES.nevra} is blocked: broken" in done.out
    assert list(guard(machine)) == [loading.LIES.nevra] and in_force(machine, loading.V1)


def test_the_way_out_of_a_lost_guard_file(machine: Machine) -> None:
    """The advice for a spoiled guard.json is to remove it. The next upgrade must not end in a dead end."""
    machine.ok(f"rm {GUARD}")
    out = rpm(machine, loading.V2, then="livepatch history")
    assert in_force(machine, loading.V2), machine.run("livepatch reconcile")
    assert re.search(f"adopt +{re.escape(loading.V1.nevra)}", out), out
    assert not failed(machine)


def test_the_product_is_removed_and_comes_back(machine: Machine) -> None:
    """What was blocked stays blocked, nothing but history and blocks stays behind, and it is said."""
    rpm(machine, loading.V2)
    machine.ok(f"livepatch block {loading.NAME} --reason 'killed the db'")
    assert in_force(machine, loading.V1)
    with open(os.path.join(ROOT, "etc", "livepatch.conf"), "rb") as file:
        assert machine.run(f"cat >{CONF}", stdin=file.read()).status == 0, "as the package has it"
    done = machine.run("dnf -y remove livepatch-runtime", 600)
    print(said(done))
    assert done.status == 0 and "not found" not in said(done)
    assert f"{loading.V1.module} stays in force until the next boot" in said(done)
    assert "history and the blocks stay in /var/lib/livepatch" in said(done)
    (last,) = machine.ok("dnf history list last | tail -1").splitlines()
    assert last.rsplit("|", 1)[1].split() == ["2"], f"two packages, and no mark of trouble: {last}"
    left = machine.ok(
        "find /usr /etc /var /run -xdev -path '*livepatch*' ! -path '/usr/share/livepatch/*'"
        " ! -path '/usr/lib/modules/*/livepatch/*' ! -path '/var/cache/*' ! -path '/run/systemd/*'"
        " -type f | while read f; do rpm -qf $f >/dev/null 2>&1 || echo $f; done"
    ).split()
    print(left)
    assert [path for path in left if not path.startswith("/var/lib/livepatch/")] == [], left
    assert {path.rsplit("/", 1)[1] for path in left} == {"guard.json", "journal.jsonl"}, left

    out = machine.ok(f"rpm -U --nosignature /root/product/*.rpm && livepatch reconcile; ( {REST} ); true")
    print(out)
    assert guard(machine) == {loading.V2.nevra: "killed the db"} and in_force(machine, loading.V1)
    machine.ok(f"livepatch unblock {loading.NAME}")
    assert in_force(machine, loading.V2), "the way on is open"
    machine.ok("rpm -V livepatch-runtime python3-dnf-plugin-livepatch")


def test_a_host_that_installs_only_does_so_without_the_plugin(machine: Machine) -> None:
    configure(machine, "mode = install-only")
    done = machine.run("dnf -y remove python3-dnf-plugin-livepatch", 600)
    assert done.status == 0, said(done)
    out = rpm(machine, loading.V2, then="livepatch reconcile; true")
    assert patches(machine) == {loading.V1.module: "10"}, out
    assert "mode = install-only" in out


def test_a_repair_by_hand_clears_the_failure(machine: Machine) -> None:
    """Fleets watch the unit. An unblock that puts everything right is the end of the alarm."""
    configure(machine, "health_check = grep -q lptest_1 /proc/cmdline")
    rpm(machine, loading.V2)
    assert in_force(machine, loading.V1) and failed(machine)
    configure(machine)
    done = machine.run(f"livepatch unblock {loading.NAME}")
    assert done.status == 0 and in_force(machine, loading.V2), said(done)
    assert not failed(machine), machine.ok(f"systemctl status {UNIT}; true")
