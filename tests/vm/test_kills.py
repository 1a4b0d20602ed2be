# SPDX-License-Identifier: GPL-2.0-or-later
"""Processes that die at any call, and two processes at once: the next run leads to the same state.

KILLS=N takes N of the calls of each scenario, spread evenly. `make test-trials` takes all, those of dnf too.
"""

from __future__ import annotations

import os
from typing import NamedTuple

import pytest

from tests.vm.support import kills, loading
from tests.vm.support.loaded import UNIT, in_force, modules, patches
from vm import qemu

LIMIT = os.environ.get("KILLS", "2")


class Scenario(NamedTuple):
    """The patch in force before, the transaction that reconcile has not seen, the patch in force after."""

    before: loading.Patch | None
    transaction: str
    after: loading.Patch | None


SCENARIOS = {
    "load": Scenario(None, "rpm -U --nosignature /root/lptest_1.rpm", loading.V1),
    "replace": Scenario(loading.V1, "rpm -U --nosignature /root/lptest_2.rpm", loading.V2),
    "remove": Scenario(loading.V1, f"rpm -e {loading.NAME}", None),
}


@pytest.fixture(scope="module")
def stocked(booted):
    """The host with the package files, and a snapshot of it."""
    booted.reset()
    for patch in (loading.V1, loading.V2):
        loading.put(booted.machine, patch)
    booted.machine.save("kills")
    return booted


def silently(machine: qemu.Machine, transaction: str) -> None:
    """Run a transaction that reconcile is not called for."""
    machine.ok(f"systemctl mask --now -q {UNIT}; {transaction}; systemctl unmask -q {UNIT}")


def ended(machine: qemu.Machine, after: loading.Patch | None) -> bool:
    """Whether ``after`` and nothing else is in the kernel."""
    if after is None:
        return not patches(machine) and not modules(machine)
    return in_force(machine, after) and modules(machine) == [after.module]


def sample(found: list[kills.Kill]) -> list[kills.Kill]:
    """All, or LIMIT of them."""
    if LIMIT == "all" or len(found) <= int(LIMIT):
        return found
    # The one in the middle of each of as many parts.
    number = int(LIMIT)
    return [found[(2 * index + 1) * len(found) // (2 * number)] for index in range(number)]


@pytest.mark.parametrize("name", SCENARIOS)
def test_killed_at_a_call_then_run_again(stocked, name, record_property):
    scenario, machine = SCENARIOS[name], stocked.machine
    stocked.reset("kills")
    if scenario.before is not None:
        silently(machine, f"rpm -U --nosignature /root/{scenario.before.module}.rpm")
        machine.ok(kills.COMMAND)
        assert ended(machine, scenario.before)
    silently(machine, scenario.transaction)
    machine.save("due-" + name)
    found = kills.own(machine.ok(kills.survey()))
    assert ended(machine, scenario.after)
    if LIMIT == "all":
        stocked.reset("due-" + name)
        found += kills.children(machine.ok(kills.survey_children()))
    assert {"rename", "fsync", "write"} <= {kill.call for kill in found}
    chosen = sample(found)
    spared, wrong = [], []
    for kill in chosen:
        stocked.reset("due-" + name)
        if machine.ok(kill.command()).strip() != "killed":
            spared.append(kill)
        again = machine.run(kills.COMMAND)
        if again.status or not ended(machine, scenario.after):
            wrong.append((kill, again.status, again.out + again.err, patches(machine), modules(machine)))
            print(f"{name}: {wrong[-1]}")
    told = f"{name}: {len(found)} calls, {len(chosen) - len(spared)} times killed at one of them"
    told += f", {len(wrong)} of those did not converge"
    print(told)
    record_property("told", told)
    assert not wrong
    # How often a child is waited for depends on the time: such a call need not happen again.
    steady = [kill for kill in spared if kill.call != "wait4"]
    assert len(steady) <= len(chosen) // 10 and len(spared) < len(chosen), spared


def test_two_reconciles_at_once(stocked):
    machine = stocked.machine
    stocked.reset("kills")
    silently(machine, SCENARIOS["load"].transaction)
    both = f'for i in 1 2; do {kills.COMMAND} >/tmp/$i 2>&1 & pids="$pids $!"; done; '
    done = machine.run(both + "for pid in $pids; do wait $pid || exit 1; done; cat /tmp/1 /tmp/2")
    assert done.status == 0, done.out + done.err
    assert ended(machine, loading.V1)
    assert machine.ok("dmesg | grep -c 'enabling patch'").strip() == "1", "loaded once"


KILL_DNF = r"""
import subprocess, sys
dnf = subprocess.Popen(["dnf", "-y", "upgrade"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
seen = b""
while sys.argv[1].encode() not in seen:
    byte = dnf.stdout.read(1)
    if not byte:
        sys.exit("dnf never said so: " + seen.decode())
    seen += byte
dnf.kill()
dnf.wait()
"""


def test_two_upgrades_at_once(host):
    both = 'for i in 1 2; do (dnf -y upgrade; echo "status=$?") >/tmp/$i 2>&1 & pids="$pids $!"; done; '
    host.run(both + "wait $pids")
    texts = [host.run(f"cat /tmp/{number}") for number in (1, 2)]
    good = [text for text in texts if "status=0" in text]
    assert any("is in force" in text for text in good), texts
    for text in texts:
        assert "Traceback" not in text
        # DNF resolves before it locks, and says so itself when another one was quicker.
        assert text in good or "is already installed" in text, text
    assert host.loaded() == ["livepatch_demo_1"] and not host.leaks() and not host.unit_failed()
    assert host.machine.ok("dmesg | grep -c 'enabling patch'").strip() == "1", "loaded once"
    assert "Nothing to do" in host.run("dnf -y upgrade")


if LIMIT == "all":

    @pytest.mark.parametrize(
        "moment",
        ["Dependencies resolved", "Running transaction\n", "Verifying", "Loading live patch", "Complete!"],
    )
    def test_dnf_killed_then_run_again(host, moment, record_property):
        host.run(f"cat >/tmp/kill.py <<'END'\n{KILL_DNF}\nEND\npython3 /tmp/kill.py '{moment}'")
        host.run("dnf -y upgrade")
        host.run("rpm --verifydb")
        host.comes(["livepatch_demo_1"])
        assert not host.leaks() and host.installed(host.patch) == "1-1"
        assert host.installed(f"kernel-core-{host.new.version}-{host.new.rpm_release}")
        told = f"dnf killed at {moment.strip()!r}: the next upgrade ended as an undisturbed one"
        print(told)
        record_property("told", told)
