# SPDX-License-Identifier: GPL-2.0-or-later
"""dnf upgrade and similar commands on a real kernel: patches in force afterwards, output, exit status."""

from __future__ import annotations

import json

import pytest

from tests.vm.support.demo_host import patch_name
from vm import picture

DROP_IN = "/etc/systemd/system/livepatch-reconcile.service.d"


@pytest.mark.smoke
def test_upgrade_closes_the_cve_without_a_reboot(host):
    boot_id = host.boot_id()
    assert host.leaks() and host.loaded() == []
    text = host.run("dnf -y upgrade")
    assert not host.leaks()
    assert host.loaded() == ["livepatch_demo_1"]
    patched = host.run("cd /sys/kernel/livepatch/livepatch_demo_1/vmlinux && ls -d */")
    assert [name.partition(",")[0] for name in patched.split()] == ["cmdline_proc_show"]
    assert host.installed(host.patch) == "1-1"
    newer = f"{host.new.version}-{host.new.rpm_release}"
    assert host.installed(f"kernel-core-{newer}")
    assert "CVEs closed now: CVE-1900-0001" in text and "Complete!" in text
    # The prompt and the closing lines name the same CVEs for the next reboot.
    assert "At next reboot: 2: CVE-1900-0002" in text and "CVEs still open" not in text
    assert f"CVEs open until a reboot into kernel {newer}: CVE-1900-0002" in text
    assert host.boot_id() == boot_id
    assert host.run("uname -r").strip() == host.old.release
    # The kernel to be booted next is protected too.
    assert host.installed(patch_name(host.new)) == "1-1"
    assert not host.unit_failed()
    entry = json.loads(host.run("livepatch history --json"))["entries"][-1]
    assert entry["event"] == "load" and "Key ID" in entry["signer"]
    last = host.run("dnf history list last | awk '/^ *[0-9]/ {print $1}'").strip()
    assert str(entry["dnf_history"]) == last, "the transaction that brought the patch"
    # The README shows both outputs, word for word.
    for command, printed in (("dnf upgrade", text), ("livepatch status", host.run("livepatch status"))):
        assert picture.check(command, printed, host.old.release, host.new.release) == "", printed
    # Nothing is left to do, and a second upgrade changes nothing.
    again = host.run("dnf -y upgrade")
    assert "Nothing to do" in again
    assert host.loaded() == ["livepatch_demo_1"]


def test_first_patch_that_the_repository_ever_has(host):
    host.stage("kernel")
    text = host.run("dnf -y upgrade")
    assert host.leaks() and host.loaded() == [] and host.installed(host.patch) == ""
    assert "kernel-core" in text
    host.stage("updates")
    host.run("dnf -y upgrade")
    assert not host.leaks()
    assert host.loaded() == ["livepatch_demo_1"]


def test_second_patch_replaces_the_first_at_once(patched):
    host = patched
    assert host.tells_builder()
    host.stage("v2")
    # Between the two patches the secret must never show.
    text = host.run(f"cat >/tmp/watch.py <<'END'\n{WATCH}\nEND\npython3 /tmp/watch.py")
    assert "the secret never showed in" in text
    assert not host.leaks() and not host.tells_builder()
    assert host.loaded() == ["livepatch_demo_2"]
    # The replaced module would be in the way of loading it again one day.
    assert host.modules() == ["livepatch_demo_2"]
    assert host.installed(host.patch) == "2-1"


def test_broken_patch_leaves_the_previous_one_in_force(patched):
    host = patched
    host.stage("broken")
    text = host.run("dnf -y upgrade", status=5)
    assert host.installed(host.patch) == "3-1", "the transaction itself must be done"
    assert "Complete!" in text, "dnf's own summary must still be printed"
    assert host.loaded() == ["livepatch_demo_1"]
    assert not host.leaks()
    assert host.unit_failed()
    host.status(code=5)
    # A later upgrade repeats the warning, also when it has nothing to do.
    again = host.run("dnf -y upgrade")
    assert f"{host.patch}-3-1.x86_64 is installed but not in force" in again
    assert "livepatch_demo_1 is in force instead" in again


def test_patch_for_another_kernel_is_not_loaded(patched):
    host = patched
    host.stage("vermagic")
    text = host.run("dnf -y upgrade", status=5)
    assert "Complete!" in text
    assert host.loaded() == ["livepatch_demo_1"] and not host.leaks()
    assert "livepatch_demo_4" not in host.modules()
    assert host.unit_failed()


def test_dnf_automatic_loads_too(host):
    text = host.run("""cat >/etc/dnf/automatic.conf <<END
[commands]
upgrade_type = default
random_sleep = 0
network_online_timeout = 0
download_updates = yes
apply_updates = yes
[emitters]
emit_via = stdio
[email]
[base]
END
python3 -c 'import sys; from dnf.automatic.main import main; sys.exit(main(["/etc/dnf/automatic.conf"]))'""")
    assert "klp-patch" in text, "its mail lists the live patch"
    assert host.installed(host.patch) == "1-1"
    assert host.loaded() == ["livepatch_demo_1"] and not host.leaks()


def test_plain_rpm_loads_through_the_file_trigger(host):
    host.run(f"rpm -U {host.file}")
    # The trigger does not wait: nothing may hold up an rpm transaction.
    host.comes(["livepatch_demo_1"])
    assert not host.leaks()
    host.run(f"rpm -e {host.patch}")
    host.comes([])
    assert host.leaks()


WATCH = r"""
import subprocess, sys, time
dnf = subprocess.Popen(["dnf", "-y", "-q", "upgrade"])
looks = 0
while dnf.poll() is None:
    looks += 1
    if "swordfish" in open("/proc/cmdline").read():
        sys.exit("the secret showed")
    time.sleep(0.02)
print("the secret never showed in", looks, "looks")
sys.exit(dnf.wait())
"""

INTERRUPT = r"""
import signal, subprocess, sys
dnf = subprocess.Popen(["dnf", "-y", "upgrade"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
seen = b""
while b"Loading live patch" not in seen:
    byte = dnf.stdout.read(1)
    if not byte:
        sys.exit("dnf never waited: " + seen.decode())
    seen += byte
dnf.send_signal(signal.SIGINT)
rest = dnf.stdout.read()
print((seen + rest).decode())
sys.exit(dnf.wait())
"""


def test_interrupt_while_waiting_leaves_the_transaction_finished(host):
    host.run(
        f"mkdir -p {DROP_IN} && printf '[Service]\\nExecStartPre=/bin/sleep 15\\n' >{DROP_IN}/slow.conf"
    )
    host.run("systemctl daemon-reload")
    done = host.machine.run(f"cat >/tmp/interrupt.py <<'END'\n{INTERRUPT}\nEND\npython3 /tmp/interrupt.py")
    text = done.out + done.err
    assert "Loading live patch" in text, text
    assert "Complete!" in text and "Traceback" not in text, text
    assert host.installed(host.patch) == "1-1"
    assert host.installed(f"kernel-core-{host.new.version}-{host.new.rpm_release}")
    assert "Success" in host.run("dnf history info last | grep -i 'return-code'")
    # The load goes on without dnf.
    host.comes(["livepatch_demo_1"])
    assert not host.leaks()


def test_report_mode_changes_nothing_in_the_kernel(host):
    host.run("printf '[main]\\nmode = report\\n' >/etc/dnf/plugins/livepatch.conf")
    host.run("dnf -y upgrade")
    assert host.installed(host.patch) == "" and host.loaded() == [] and host.leaks()
