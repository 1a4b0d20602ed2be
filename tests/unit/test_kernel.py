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
