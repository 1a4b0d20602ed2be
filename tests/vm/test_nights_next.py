# SPDX-License-Identifier: GPL-2.0-or-later
"""Nights of an administrator who types the step that ``Next`` names, and finds the state changed."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.vm.support import loading
from tests.vm.support.demo_host import CONF, UNIT, Host
from tests.vm.support.loaded import configure, in_force, rpm, unused

GUARD = "/var/lib/livepatch/guard.json"


def step(host: Host, code: int = 0) -> dict[str, str]:
    """The step of ``livepatch status --json``; the last line of ``livepatch status`` is the same."""
    found: dict[str, str] = host.status(code)["next"]
    last = host.machine.run("livepatch status").out.rstrip("\n").rpartition("\n")[2]
    assert last.startswith("Next           : ") and found["command"] in last, last
    return found


def follow(host: Host, state: str, code: int = 5, status: int = 0) -> dict[str, str]:
    """Type the step of ``state``, which ends with ``status``; the host is in another state then."""
    found = step(host, code)
    assert found["state"] == state, found
    host.run(re.sub("(^|&& )dnf ", r"\1dnf -y ", found["command"]), status)
    after = json.loads(host.machine.run("livepatch status --json").out)["next"]
    assert after != found, f"{found} changed nothing"
    return found


def doctor(host: Host) -> list[str]:
    """The ids of the errors that ``livepatch doctor`` finds; its exit status goes with them."""
    done = host.machine.run("livepatch doctor --json")
    found = [row["id"] for row in json.loads(done.out)["problems"] if row["severity"] == "error"]
    assert done.status == (1 if found else 0)
    return found


def module(host: Host) -> str:
    return host.run("find /usr/lib/modules/$(uname -r)/livepatch -name '*.ko'").strip()


def test_a_broken_patch_and_an_older_good_one_in_the_repository(patched: Host) -> None:
    host = patched
    host.stage("broken")
    text = host.run("dnf -y upgrade", 5)
    assert f"Live patch {host.patch}-1-1.x86_64 is in force" not in text
    bad = host.installed(host.patch)
    assert bad != "1-1" and doctor(host)
    found = follow(host, "bad-older")
    block = f"livepatch block {host.patch}-{bad}.x86_64"
    assert found["command"] == f"{block} && dnf downgrade {host.patch}-1-1.x86_64"
    assert host.installed(host.patch) == "1-1" and host.loaded() == ["livepatch_demo_1"]
    assert not doctor(host) and not host.leaks()
    host.run("dnf -y upgrade")
    assert host.installed(host.patch) == "1-1" and host.loaded() == ["livepatch_demo_1"], "blocked"


def test_a_damaged_module_and_a_patch_unloaded_by_hand(patched: Host) -> None:
    host = patched
    host.run(f"echo >>{module(host)}")
    assert doctor(host) == ["not-at-next-boot"], "in force, and not for long"
    host.run("livepatch unload livepatch_demo_1")
    assert follow(host, "unloaded", 0, 5)["command"] == f"livepatch unblock {host.patch}-1-1.x86_64"
    assert "module-changed" in doctor(host)
    assert follow(host, "damaged")["command"] == f"dnf reinstall {host.patch}-1-1.x86_64"
    assert host.loaded() == ["livepatch_demo_1"] and not doctor(host)


def test_a_patch_that_was_disabled_in_sysfs(patched: Host) -> None:
    host = patched
    host.run("echo 0 >/sys/kernel/livepatch/livepatch_demo_1/enabled")
    host.run("while [ -e /sys/kernel/livepatch/livepatch_demo_1 ]; do sleep 0.2; done")
    assert "module-not-in-force" in doctor(host)
    assert follow(host, "not-loaded")["command"] == "livepatch reconcile"
    assert host.loaded() == ["livepatch_demo_1"] and not doctor(host)


def test_a_patch_that_insmod_loaded_is_in_the_way(host: Host) -> None:
    name = loading.V1.module
    loading.put(host.machine, loading.V1)
    host.run(f"rpm -U --nosignature --notriggers /root/{name}.rpm")
    host.run(f"cp $(rpm -ql lptest | grep ko$) /root/{name}.ko")
    host.run(f"rpm -e --notriggers lptest && insmod /root/{name}.ko")
    host.run("dnf -y upgrade", 5)
    assert "foreign-patch" in doctor(host)
    found = step(host, 5)
    assert found["state"] == "foreign" and f"'rmmod {name}'" in found["note"]
    host.run(found["command"])
    host.run(f"for i in $(seq 300); do rmmod {name} && exit 0; sleep 0.3; done; exit 1")
    host.run("livepatch reconcile")
    assert host.loaded() == ["livepatch_demo_1"] and not doctor(host)


def test_the_guards_file_is_spoiled_and_var_is_read_only(patched: Host) -> None:
    host = patched
    host.run(f"printf '{{' >{GUARD}; livepatch reconcile", 5)
    assert "guard-broken" in doctor(host)
    follow(host, "guard")
    assert host.loaded() == ["livepatch_demo_1"] and not doctor(host)
    text = host.machine.run("livepatch block x-1-1.x86_64")  # a package that is not here may be blocked
    assert text.status == 0
    host.run("livepatch unload livepatch_demo_1")
    state = "/var/lib/livepatch"
    host.run(
        f"cp -a {state} /root/state && mount -t tmpfs none {state} && cp -a /root/state/. {state} && "
        f"mount -o remount,ro {state}"
    )
    refused = host.machine.run(f"livepatch unblock {host.patch}")
    assert refused.status == 1 and "Read-only file system" in refused.err and "Errno" not in refused.err
    assert refused.err.rstrip("\n").rpartition("\n")[2].startswith("  "), "a remedy"
    assert "state-read-only" in doctor(host)


def test_a_health_check_that_fails(host: Host) -> None:
    host.run(f"printf '[main]\\ntransition_timeout = 240\\nhealth_check = /usr/bin/false\\n' >{CONF}")
    host.run(f"dnf -y install {host.patch}", 5)
    assert host.loaded() == [] and doctor(host)
    found = step(host, 5)
    assert found["state"] == "unhealthy", found
    host.run(f"printf '[main]\\ntransition_timeout = 240\\n' >{CONF}")
    host.run(found["command"])
    assert host.loaded() == ["livepatch_demo_1"] and not doctor(host)


def test_one_cve_and_the_words_for_a_stranger(patched: Host) -> None:
    host = patched

    def answer(cve: str) -> tuple[int, dict[str, Any]]:
        done = host.machine.run(f"livepatch cves {cve} --json")
        return done.status, json.loads(done.out)

    code, found = answer("CVE-1900-0001")
    assert (code, found["state"], found["by"]) == (0, "closed-live", "livepatch_demo_1")
    code, found = answer("CVE-1900-0003")
    assert code in (100, 101) and found["fixed_in"]
    code, found = answer("CVE-1999-9999")
    assert (code, found["state"]) == (0, "not-affected")
    host.run("rm /var/lib/livepatch/exposure.json")
    code, found = answer("CVE-1900-0003")
    assert (code, found["state"]) == (102, "unknown")
    assert host.status()["exposure"]["open"] is None
    help_text = host.run("dnf livepatch --help")
    assert all(word in help_text for word in ("reboot-check", "unblock", "update", "doctor"))
    done = host.machine.run("runuser -u nobody -- livepatch block " + host.patch)
    assert done.status == 1 and "needs root" in done.err and "sudo" in done.err, done.err


def test_a_dead_module_holds_the_name(patched: Host) -> None:
    host = patched
    host.run("livepatch unload livepatch_demo_1")
    host.run(f"insmod {module(host)}")
    there = "/sys/kernel/livepatch/livepatch_demo_1"
    host.run(f"until [ $(cat {there}/transition) = 0 ]; do sleep 0.3; done")
    host.run(f"echo 0 >{there}/enabled; {unused('livepatch_demo_1')}")
    host.run(f"livepatch unblock {host.patch}", 5)
    assert "module-name-taken" in doctor(host)
    assert follow(host, "name-taken")["command"] == "rmmod livepatch_demo_1 && livepatch reconcile"
    assert host.loaded() == ["livepatch_demo_1"] and not doctor(host)


def test_a_task_is_in_the_way(host: Host) -> None:
    machine = host.machine
    loading.put(machine, loading.STALLS)
    configure(machine, transition_timeout=5)
    machine.ok("systemd-run -q --unit sleeper python3 -c 'import signal; signal.pause()'")
    pid = machine.ok("systemctl show -P MainPID sleeper").strip()
    machine.ok(f"until grep -q pause /proc/{pid}/stack; do sleep 0.3; done")
    rpm(machine, loading.STALLS, then="systemctl stop livepatch-retry.timer")
    assert "transition-stalled" in doctor(host)
    assert step(host, 5)["state"] == "in-the-way"
    configure(machine)
    machine.ok("systemctl stop sleeper")
    follow(host, "in-the-way")
    assert in_force(machine, loading.STALLS) and not doctor(host)


def test_loading_is_switched_off_and_on_by_boots(patched: Host) -> None:
    """The newer kernel is installed, so a reboot is the step, with the patch in force and without it."""
    host = patched
    assert step(host)["state"] in ("reboot", "boot-loader")
    host.reboot(append="livepatch.enable=0")
    assert host.loaded() == [] and not host.unit_failed()
    host.run(f"dnf -y -q remove $(rpm -q kernel-core-{host.new.version}-{host.new.rpm_release})")
    assert step(host)["state"] == "switched-off"
    host.reboot()
    assert step(host)["state"] != "switched-off" and host.loaded() == ["livepatch_demo_1"]


@pytest.mark.parametrize("known", [True, False])
def test_the_boot_loads_before_the_network(patched: Host, known: bool) -> None:
    """By the list of the boot before; without the list as ever, by the database of the packages."""
    host = patched
    host.run("livepatch reconcile")
    path = "/var/lib/livepatch/inventory.json"
    host.run(f"test -s {path}" if known else f"rm {path}")
    if known:
        # Until the whole run nothing can import rpm, and so nothing can read the database.
        folder = host.run("/usr/bin/python3 -c 'import rpm; print(rpm.__path__[0])'").strip()
        conf = "/etc/systemd/system/livepatch-late.service.d"
        back = f"[Service]\\nExecStartPre=+/usr/bin/mv /root/rpm {folder}\\n"
        host.run(f"mv {folder} /root/rpm; mkdir {conf}; printf '{back}' >{conf}/rpm.conf")
    host.reboot()
    assert host.loaded() == ["livepatch_demo_1"] and not host.leaks()
    network = host.moment("network-pre.target", "ActiveEnterTimestampMonotonic")
    host.run("for i in $(seq 600); do [ -e /run/livepatch/booting ] || exit 0; sleep 0.5; done; exit 1")
    assert 0 < host.patched_at("livepatch_demo_1") <= network / 1e6
    loads = json.loads(host.run("livepatch history --json"))["entries"]
    last = [row for row in loads if row["event"] == "load"][-1]
    assert last["signer"], last
    # The whole run comes behind the target, and finds nothing left to do.
    host.run(
        "for i in $(seq 600); do [ -s /run/livepatch/converged.json ] && exit 0; sleep 0.5; done; exit 1"
    )
    assert network / 1e6 < host.began("livepatch-late.service")
    assert "rpm" not in host.run(f"journalctl --sync; journalctl -b -q --no-pager -u {UNIT} -t livepatch")
    assert not host.unit_failed() and not doctor(host)
    assert "boot" in host.run("systemd-analyze critical-chain network-pre.target")
