# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs of others, run by the one runner: its bounds hold whatever they do."""

import os
import signal
import subprocess
import time

import pytest

from dnf_plugin_livepatch.base.config import Config
from dnf_plugin_livepatch.host import program
from dnf_plugin_livepatch.host.reconcile import health


def failing(*commands, timeout=20):
    return health.failing(Config(health_check=commands, health_check_timeout=timeout))


@pytest.fixture
def pids(tmp_path):
    """A file where a test's children note their ids; what is left of them is ended after it."""
    file = tmp_path / "pids"
    yield file
    for pid in file.read_text().split():
        try:
            os.kill(int(pid), signal.SIGKILL)
        except ProcessLookupError:
            pass


def gone(pid, seconds=5.0):
    """Whether the process ends within ``seconds``; one that nobody has reaped yet has ended too."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii") as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("child", ["sleep 30", "yes"])
def test_a_health_check_that_leaves_a_child_behind_has_passed(pids, child):
    started = time.monotonic()
    assert failing(f"sh -c '{child} & echo $! > {pids}; exit 0'") == ""
    assert time.monotonic() - started < 10


def test_a_health_check_is_told_by_its_exit_status_and_the_end_of_its_output():
    said = failing("true", "sh -c 'yes x | head -c 3000000; echo sick; exit 3'")
    assert "exit status 3" in said and said.endswith("sick)") and len(said) < 400
    assert "cannot be run" in failing("/nonexistent/check") and "No closing" in failing("sh -c 'x")
    assert "signal 9" in failing("sh -c 'kill -9 $$'")


def test_a_health_check_that_hangs_ends_with_all_that_it_started(pids):
    said = failing(f"sh -c 'sleep 30 & echo $! > {pids}; wait'", timeout=1)
    assert "within 1 second" in said
    assert gone(int(pids.read_text()))


def test_what_cannot_even_be_killed_does_not_hold_us_up(pids, monkeypatch):
    """SIGKILL changes nothing for a process in the kernel's uninterruptible sleep; here it is not sent."""
    monkeypatch.setattr(program, "KILL_SECONDS", 0.5)
    monkeypatch.setattr(os, "killpg", lambda group, number: None)
    started = time.monotonic()
    with pytest.raises(program.Unusable, match="within 1 second.*could not be killed"):
        program.run(("/bin/sh", "-c", f"echo $$ > {pids}; exec sleep 30"), 1)
    assert time.monotonic() - started < 10
    assert "could not be killed" in failing(f"sh -c 'echo $$ >> {pids}; exec sleep 30'", timeout=1)
    assert time.monotonic() - started < 20


def test_an_interrupted_run_leaves_no_program_behind(pids, monkeypatch):
    def interrupt(self):
        while not pids.exists() or not pids.read_text().strip():
            time.sleep(0.05)
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "poll", interrupt)
    with pytest.raises(KeyboardInterrupt):
        program.run(("/bin/sh", "-c", f"echo $$ > {pids}; exec sleep 30"), 20)
    assert gone(int(pids.read_text()))
