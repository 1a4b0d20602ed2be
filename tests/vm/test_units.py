# SPDX-License-Identifier: GPL-2.0-or-later
"""The services as narrow as their work allows, and all of that work still done."""

from __future__ import annotations

import json
import re

import pytest

from tests.vm.support import loading
from tests.vm.support.loaded import CONF, SETTLE, configure, failed, ids, in_force, record, result, rpm

#: The highest exposure that `systemd-analyze security` may print, times ten.
LIMITS = {
    "livepatch-boot": 30,
    "livepatch-late": 30,
    "livepatch-shutdown": 30,
    "livepatch-settle": 30,
    "livepatch-reconcile": 50,
    "dnf-livepatch": 70,
}
#: A health check that tells where it runs.
CHECK = """\
#!/bin/sh
exec >>/tmp/seen
readlink /proc/self/ns/net /proc/self/ns/mnt
sed -nE 's/^(CapBnd|Seccomp|NoNewPrivs):\\s*//p' /proc/self/status
cat /root/of-the-home
printf '%s|' "$@"
echo
"""
#: What a service may do, told by a drop-in that has it do that in the place of its work.
PROBE = """\
#!/bin/sh
exec >/run/livepatch/probe 2>&1
dd if=/dev/kmsg of=/dev/null iflag=nonblock bs=8k count=1 2>/dev/null && echo kmsg
cat /proc/sys/kernel/tainted /sys/kernel/oops_count >/dev/null && echo counts
ls /sys/fs/pstore /var/lib/systemd/pstore >/dev/null 2>&1 && echo pstore
cat /proc/{pid}/stack | grep -q . && cat /proc/{pid}/patch_state >/dev/null && echo stack
tr '\\0' '\\n' </proc/1/environ >/dev/null && echo first
touch /usr/lib/modules/probe 2>/dev/null && echo modules && rm /usr/lib/modules/probe
touch /var/lib/livepatch/probe && echo state && rm /var/lib/livepatch/probe
touch /etc/probe 2>/dev/null && echo etc
touch /root/probe 2>/dev/null && echo home
head -c 1 /dev/vda >/dev/null 2>&1 && echo disk
exec 3<>/dev/tcp/127.0.0.1/22 && echo net
unshare -m true 2>/dev/null && echo mount
exit 0
"""


#: What scriptlets of packages do, which DNF runs.
SCRIPTLET = """\
#!/bin/sh
exec >/run/scriptlet 2>&1
modprobe loop && echo module
mount -t tmpfs none /mnt && echo mount
touch /root/suid && chmod 4755 /root/suid && echo suid
mknod /root/device b 7 0 && head -c 1 /dev/vda >/dev/null && echo device
sysctl -qw kernel.panic=0 && echo sysctl
chown 65534 /root/suid && chroot / true && echo root
unshare -mn true && echo rpm
setpriv --reuid=65534 --clear-groups true && nice -n -5 true && echo user
readlink /proc/1/exe >/dev/null && echo first
exit 0
"""


@pytest.fixture(scope="module")
def stocked(booted):
    booted.reset()
    for patch in (loading.V1, loading.V2):
        loading.put(booted.machine, patch)
    booted.machine.ok(f"cat >/root/check.sh <<'END'\n{CHECK}END\nchmod 755 /root/check.sh")
    booted.machine.ok("echo of the home >/root/of-the-home; chmod 600 /root/of-the-home")
    booted.machine.save("units")
    return booted


@pytest.fixture
def machine(stocked):
    stocked.reset("units")
    return stocked.machine


def test_each_service_is_narrow(host, record_property):
    told = []
    for unit, most in LIMITS.items():
        text = host.run(f"systemd-analyze security --no-pager --threshold={most} {unit}.service")
        told.append(re.findall(rf"level for {unit}.service: ([0-9.]+)", text)[0])
        assert float(told[-1]) * 10 <= most
    scores = ", ".join(f"{unit} {score}" for unit, score in zip(LIMITS, told))
    record_property("told", f"exposure of the services in the virtual machine: {scores}")
    print(scores)
    errors = host.run(
        "journalctl --sync;"
        " journalctl -b -q --no-pager -t systemd | grep -E 'livepatch.*(Unknown|Failed|ignor)'; true"
    )
    assert errors == ""


@pytest.mark.parametrize(
    ("unit", "can"),
    [
        ("livepatch-reconcile", "kmsg counts pstore stack first modules state"),
        ("livepatch-settle", "kmsg counts pstore state"),
    ],
)
def test_a_service_can_do_its_work_and_nothing_else(machine, unit, can):
    pid = machine.ok(
        "systemd-run -q --uid=65534 --unit=other sleep 1000; pid=$(systemctl show -P MainPID other);"
        " until grep -qx sleep /proc/$pid/comm; do sleep 0.1; done; echo $pid"
    ).strip()
    machine.ok(f"mkdir -p /var/lib/systemd/pstore; cat >/root/probe.sh <<'END'\n{PROBE.format(pid=pid)}END")
    # Below /root only the reconcile service can see a file.
    machine.ok(
        "install -m 755 /root/probe.sh /usr/local/bin/probe; "
        f"mkdir -p /run/systemd/system/{unit}.service.d; "
        "printf '[Service]\\nExecStart=\\nExecStart=/bin/bash /usr/local/bin/probe\\n' "
        f">/run/systemd/system/{unit}.service.d/probe.conf; systemctl daemon-reload; systemctl start {unit}"
    )
    told = machine.ok("cat /run/livepatch/probe")
    done = [line for line in told.split("\n") if line.isalpha()]
    assert done == can.split(), told


def test_dnf_updates_by_its_timer_and_its_scriptlets_can_do_their_work(host):
    host.run("systemctl start dnf-livepatch.service")
    assert host.installed(host.patch) == "1-1"
    assert host.loaded() == ["livepatch_demo_1"] and not host.leaks() and not host.unit_failed()
    host.run(
        f"cat >/usr/local/bin/scriptlet <<'END'\n{SCRIPTLET}END\n"
        "mkdir -p /run/systemd/system/dnf-livepatch.service.d; "
        "printf '[Service]\\nExecStart=\\nExecStart=/bin/sh /usr/local/bin/scriptlet\\n' "
        ">/run/systemd/system/dnf-livepatch.service.d/scriptlet.conf; "
        "systemctl daemon-reload; systemctl start dnf-livepatch.service"
    )
    told = host.run("cat /run/scriptlet")
    assert told.split() == "module mount suid device sysctl root rpm user first".split(), told
    assert "none /mnt tmpfs" in host.run("cat /proc/mounts"), "the mount is the host's"


def asks(machine, command: str) -> None:
    """Add a health check to the configuration, quotes and all."""
    machine.ok(f"cat >>{CONF} <<'END'\nhealth_check = {command}\nEND")


def seen(machine) -> list[str]:
    return machine.ok("cat /tmp/seen; rm -f /tmp/seen").splitlines()


def test_a_load_its_health_check_and_a_settle_that_ends_good(machine):
    configure(machine, "settle_time = 3600")
    asks(machine, "/root/check.sh 'a  $HOME $$ b' %n")
    limits = "sed -nE 's/^(CapBnd|Seccomp|NoNewPrivs):\\s*//p' /proc/1/status"
    first = machine.ok(f"readlink /proc/1/ns/net /proc/1/ns/mnt; {limits}").splitlines()
    rpm(machine, loading.V1)
    assert in_force(machine, loading.V1) and result(machine)["ok"] and not failed(machine)
    assert seen(machine) == [*first, "of the home", "a  $HOME $$ b|%n|"]
    assert record(machine, loading.V1)["asked"] is True
    configure(machine, "settle_time = 1", "health_check = /root/check.sh")
    machine.ok(f"sleep 2; {SETTLE}")
    assert record(machine, loading.V1)["state"] == "good"
    assert machine.run("ls /tmp/seen").status != 0, "it was asked when the patch was loaded"
    assert machine.run("systemctl is-active -q livepatch-settle.timer").status != 0


def test_a_check_that_boot_did_not_ask_is_asked_outside_too(machine):
    configure(machine, "settle_time = 1", "health_check = /root/check.sh")
    machine.ok("touch /run/livepatch/booting")
    rpm(machine, loading.V1)
    assert in_force(machine, loading.V1) and not record(machine, loading.V1)["asked"]
    machine.ok(f"rm /run/livepatch/booting; sleep 2; {SETTLE}")
    assert "of the home" in seen(machine)
    assert record(machine, loading.V1)["state"] == "good" and in_force(machine, loading.V1)

    # Its successor gets a check that fails, and what that prints is for root.
    configure(machine, "settle_time = 3600", "health_check = true")
    machine.ok("touch /run/livepatch/booting")
    rpm(machine, loading.V2)
    machine.ok("printf '#!/bin/sh\\necho the password is 123; exit 3\\n' >/root/bad; chmod 700 /root/bad")
    configure(machine, "settle_time = 1", "health_check = /root/bad")
    machine.run(f"rm /run/livepatch/booting; sleep 2; {SETTLE}")
    assert in_force(machine, loading.V1), "the kept copy"
    assert record(machine, loading.V2)["reason"] == "health check failed: /root/bad: exit status 3"
    (blocked,) = [
        entry
        for entry in json.loads(machine.ok("livepatch history --json"))["entries"]
        if entry["event"] == "block"
    ]
    assert blocked["output"] == "the password is 123"
    nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups"
    told = machine.ok(f"{nobody} livepatch history; {nobody} livepatch status; true")
    assert "password" not in told and "output for root only" in told and "exit status 3" in told
    assert machine.run(f"{nobody} grep -rsq password /var/lib/livepatch /run/livepatch").status != 0


def test_a_check_that_hangs_ends_and_one_that_others_can_change_is_not_asked(machine):
    configure(machine, "health_check_timeout = 3")
    asks(machine, "sh -c 'sleep 1234 & wait'")
    rpm(machine, loading.V1)
    assert "health-check-failed" in ids(machine) and not in_force(machine, loading.V1)
    assert "did not end within 3 seconds" in record(machine, loading.V1)["reason"]
    # A killed process may need a moment for its end.
    machine.ok("for i in $(seq 300); do pgrep -f 'sleep 123[4]' || exit 0; sleep 0.2; done; exit 1")
    machine.ok("install -m 777 /root/check.sh /usr/local/bin/check")
    configure(machine, "health_check = check")
    rpm(machine, loading.V2)
    assert in_force(machine, loading.V2) and not failed(machine)
    assert "health-check-not-asked" in ids(machine)
    assert machine.run("ls /tmp/seen").status != 0
