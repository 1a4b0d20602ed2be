# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import os

import pytest

from dnf_plugin_livepatch.base.paths import Paths
from dnf_plugin_livepatch.host.kernel import harm
from dnf_plugin_livepatch.host.kernel import running as kernel
from tests.unit.support.fakehost import RELEASE, Host


@pytest.fixture
def host(tmp_path):
    return Host(str(tmp_path)).create()


def test_running(host):
    found = kernel.running(host.paths)
    assert (found.release, found.build_id, found.boot_id, found.livepatch) == (
        RELEASE,
        "aa" * 20,
        host.boot_id,
        True,
    )


def test_this_machine_s_own_kernel():
    found = kernel.running(Paths("/"))
    assert found.release == os.uname().release and len(found.boot_id) == 36


def test_nothing_readable(tmp_path):
    paths = Paths(str(tmp_path))
    found = kernel.running(paths)
    assert (found.release, found.build_id, found.boot_id, found.livepatch) == ("", "", "", False)
    assert (kernel.lockdown(paths), kernel.sig_enforce(paths), kernel.uptime(paths)) == ("", False, 0.0)
    assert harm.read(paths) == harm.Harm(0, -1, -1)


def test_values(host):
    host.put("/sys/kernel/security/lockdown", "none [integrity] confidentiality\n")
    host.put("/sys/module/module/parameters/sig_enforce", "Y\n")
    assert kernel.lockdown(host.paths) == "integrity"
    assert kernel.sig_enforce(host.paths) and kernel.uptime(host.paths) == 10.0


@pytest.mark.parametrize("release", ["../../etc", "a b", "6.1\x1b[2J", "", "x" * 300])
def test_a_hostile_release_is_unknown(host, release):
    host.put("/proc/sys/kernel/osrelease", release)
    assert kernel.running(host.paths).release == ""


@pytest.mark.parametrize(
    "line, switch",
    [
        ("quiet livepatch.enable=0", "livepatch.enable=0"),
        ("kpatch.enable=0", "kpatch.enable=0"),
        ("ro livepatch.enable=off quiet", "livepatch.enable=off"),
        ('livepatch.enable="0"', 'livepatch.enable="0"'),
        ("livepatch.enable=1 kpatch.enable=yes", ""),
        ("xlivepatch.enable=0 livepatch.enable=01", ""),
    ],
)
def test_kill_switch(host, line, switch):
    host.put("/proc/cmdline", line + "\n")
    assert kernel.killed(host.paths) == switch


def test_environ_of_init_tells_a_container(host):
    host.put("/proc/1/environ", b"HOME=/\0container=podman\0")
    assert "container" in kernel.environment(host.paths)
    host.put("/proc/1/environ", b"HOME=/\0xcontainer=podman\0")
    assert kernel.environment(host.paths) == ""


FULL, NONE = "000001ffffffffff", "00000000a80425fb"  # NONE is the set that Docker leaves


@pytest.mark.parametrize(
    ("pid", "rights", "ids", "reason"),
    [
        ("self", (FULL, FULL), "0 0 4294967295", ""),
        ("self", (NONE, NONE), "0 0 4294967295", kernel.UNABLE),
        ("self", (FULL, NONE), "0 0 4294967295", kernel.UNABLE),
        ("self", (FULL, FULL), "0 1000 1", kernel.UNABLE),  # rootless: all rights, in a namespace of its own
        ("self", ("odd", "odd"), "", ""),
        ("1", (FULL, NONE), "0 0 4294967295", ""),  # systemd's services have the rights
        ("1", (NONE, NONE), "0 0 4294967295", kernel.UNABLE),
    ],
)
def test_the_right_to_load_modules_is_asked_for(host, monkeypatch, pid, rights, ids, reason):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    bounding, effective = rights
    host.put(f"/proc/{pid}/status", f"Name:\tx\nCapEff:\t{effective}\nCapBnd:\t{bounding}\n")
    host.put(f"/proc/{pid}/uid_map", f"         {ids}\n")
    if pid == "1":
        os.makedirs(host.paths.at("/run/systemd/system"))
    assert kernel.environment(host.paths) == reason


def test_a_sysfs_that_is_read_only_can_enable_nothing(host, monkeypatch):
    monkeypatch.setattr(kernel, "_read_only", lambda path: path == host.paths.klp)
    assert kernel.environment(host.paths) == kernel.UNABLE
    os.makedirs(host.paths.at("/run/systemd/system"))
    assert kernel.environment(host.paths) == "", "a service has a /sys of its own"


@pytest.mark.parametrize(("text", "reason"), [("1\n", kernel.LOCKED), ("0\n", ""), ("", "")])
def test_modules_that_are_disabled(host, text, reason):
    host.put("/proc/sys/kernel/modules_disabled", text)
    assert kernel.environment(host.paths) == reason
