# SPDX-License-Identifier: GPL-2.0-or-later
"""The decisions of the settle watch: what it records, and when it has reconcile do the rest."""

from __future__ import annotations

import os

import pytest

from dnf_plugin_livepatch.base.config import Config
from dnf_plugin_livepatch.host.files import guard_file, journal, mailbox
from dnf_plugin_livepatch.host.files.guard_file import GuardEntry
from dnf_plugin_livepatch.host.reconcile import health, run, settle
from tests.unit.support.fakehost import Host, ids
from tests.unit.support.fakehost import run as reconciled

ASKS = Config(health_check=("true",), settle_time=600)


@pytest.mark.parametrize(
    ("config", "entry", "uptime", "open_question", "due"),
    [
        (ASKS, GuardEntry("settling", "b", uptime=10.0), 609.0, True, False),
        (ASKS, GuardEntry("settling", "b", uptime=10.0), 610.0, True, True),
        (ASKS, GuardEntry("settling", "b", uptime=10.0, asked=True), 999.0, False, False),
        (ASKS, GuardEntry("settling", "a", uptime=10.0), 999.0, False, False),
        (ASKS, GuardEntry("good", "b", uptime=10.0), 999.0, False, False),
        (Config(), GuardEntry("settling", "b", uptime=10.0), 999.0, False, False),
    ],
)
def test_when_the_health_checks_are_asked(config, entry, uptime, open_question, due):
    assert health.open_question(config, entry, "b") is open_question
    assert health.due(config, entry, "b", uptime) is due


@pytest.fixture
def host(tmp_path, monkeypatch):
    return Host(str(tmp_path)).create().attach(monkeypatch)


@pytest.fixture
def systemd(host: Host, monkeypatch):
    """A host with systemd: each request to reconcile is counted and answered by a run of its own process."""
    asked: list[str] = []

    def ask(paths, timeout, progress=None):
        asked.append("asked")
        os.rmdir(paths.at("/run/systemd/system"))
        answer = reconciled(host)
        os.makedirs(paths.at("/run/systemd/system"))
        return answer

    os.makedirs(host.paths.at("/run/systemd/system"))
    monkeypatch.setattr(mailbox, "ask", ask)
    return asked


def boot_with(host: Host, check: str) -> str:
    """A patch that was loaded at boot, when no check could be asked, and the end of its settle_time."""
    patch = host.patch("1")
    host.install(patch)
    host.put("/run/livepatch/booting", "")
    host.put("/etc/dnf/plugins/livepatch.conf", f"[main]\nhealth_check = {check}\n")
    host.config = host.config._replace(health_check=(check,))
    assert reconciled(host).ok and host.running() == ["lp_1"]
    os.unlink(host.paths.booting)
    return str(patch.nevra)


def never(*args, **more):
    raise AssertionError("reconcile ran in the process of the watch")


def test_a_look_that_finds_nothing_asks_nobody(host, systemd):
    boot_with(host, "true")
    assert settle.main(host.paths) == 0 and systemd == []
    host.put("/proc/uptime", "700.0 1.0\n")
    host.put("/etc/dnf/plugins/livepatch.conf", "")
    assert settle.main(host.paths) == 0 and systemd == [], "no check is configured any more"
    assert guard_file.read(host.paths).entries["lp-1-1.x86_64"].state == "good"


@pytest.mark.parametrize(
    ("check", "code", "state", "running"),
    [
        ("true", 0, "good", ["lp_1"]),
        ("false", 5, "blocked", []),
        ("/tmp/no/such/check", 5, "blocked", []),
        ("true\n  false", 5, "blocked", []),
    ],
)
def test_checks_that_are_due_are_asked_by_reconcile(host, systemd, check, code, state, running):
    nevra = boot_with(host, check.split("\n")[0])
    host.config = host.config._replace(health_check=tuple(check.split("\n  ")))
    host.put("/etc/dnf/plugins/livepatch.conf", f"[main]\nhealth_check =\n  {check}\n")
    host.put("/proc/uptime", "700.0 1.0\n")
    assert settle.main(host.paths) == code and systemd == ["asked"]
    assert guard_file.read(host.paths).entries[nevra].state == state and host.running() == running
    assert settle.main(host.paths) == 0 and systemd == ["asked"], "that was the end of it"


def test_a_reconcile_that_is_killed_before_it_asks_leaves_that_to_the_next_look(host, monkeypatch):
    nevra = boot_with(host, "true")
    host.put("/proc/uptime", "700.0 1.0\n")
    os.makedirs(host.paths.at("/run/systemd/system"))
    monkeypatch.setattr(mailbox, "ask", lambda paths, timeout, progress=None: None)
    monkeypatch.setattr(run, "reconcile", never)
    assert settle.main(host.paths) == 1 and host.watched
    assert guard_file.read(host.paths).entries[nevra].state == "settling"


def test_a_run_with_nothing_to_do_still_asks_what_is_due(host):
    """A run that finds nothing changed may skip its work, but not the question that a boot left open."""
    nevra = boot_with(host, "false")
    for _ in range(3):
        assert reconciled(host).ok
    host.put("/proc/uptime", "700.0 1.0\n")
    assert "patch-blocked" in ids(reconciled(host)) and nevra in guard_file.blocked(host.paths)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to another user")
def test_a_check_that_may_not_be_run_is_told_and_decides_nothing(host, systemd, tmp_path):
    check = tmp_path / "check"
    check.write_text("#!/bin/sh\nexit 1\n")
    check.chmod(0o777)
    patch = host.patch("1")
    host.install(patch)
    host.put("/etc/dnf/plugins/livepatch.conf", f"[main]\nhealth_check = {check}\n")
    host.config = host.config._replace(health_check=(str(check),))
    result = reconciled(host)
    assert result.ok and ids(result) == ["health-check-not-asked"] and host.running() == ["lp_1"]
    assert not guard_file.read(host.paths).entries[str(patch.nevra)].asked
    host.put("/proc/uptime", "700.0 1.0\n")
    assert settle.main(host.paths) == 0 and systemd == ["asked"]
    assert guard_file.read(host.paths).entries[str(patch.nevra)].state == "good"
    # Once root alone can change the file, the next patch is asked about, and the check decides.
    check.chmod(0o755)
    host.install(host.patch("2"))
    assert "health-check-failed" in ids(reconciled(host)) and host.running() == ["lp_1"]
    assert [entry.event for entry in journal.read(host.paths)].count("block") == 1
