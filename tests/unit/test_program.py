# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs of others, run by the one runner: its bounds hold whatever they do."""

import os
import signal
import subprocess
import tempfile
import time

import pytest

from dnf_plugin_livepatch.base.config import Config
from dnf_plugin_livepatch.host import program
from dnf_plugin_livepatch.host.reconcile import health


def failing(*commands, timeout=20):
    answer = health.ask(Config(health_check=commands, health_check_timeout=timeout))
    assert answer.not_asked == ()
    return answer.failed + (f" ({answer.output})" if answer.output else "")


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


def gone(pid, seconds=60.0):
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


@pytest.mark.parametrize("child", ["sleep 300", "yes"])
def test_a_health_check_that_leaves_a_child_behind_has_passed(pids, child):
    started = time.monotonic()
    assert failing(f"sh -c '{child} & echo $! > {pids}; exit 0'") == ""
    assert time.monotonic() - started < 60


def test_a_health_check_is_told_by_its_exit_status_and_the_end_of_its_output():
    said = failing("true", "sh -c 'yes x | head -c 3000000; echo sick; exit 3'")
    assert "exit status 3" in said and said.endswith("sick)") and len(said) < 400
    assert "cannot be run" in failing("/nonexistent/check") and "No closing" in failing("sh -c 'x")
    assert "signal 9" in failing("sh -c 'kill -9 $$'")


def test_a_health_check_that_hangs_ends_with_all_that_it_started(pids):
    said = failing(f"sh -c 'sleep 300 & echo $! > {pids}; wait'", timeout=3)
    assert "within 3 seconds" in said
    assert gone(int(pids.read_text()))


def test_what_cannot_even_be_killed_does_not_hold_us_up(pids, monkeypatch):
    """SIGKILL changes nothing for a process in the kernel's uninterruptible sleep; here it is not sent."""
    monkeypatch.setattr(program, "KILL_SECONDS", 0.5)
    monkeypatch.setattr(os, "killpg", lambda group, number: None)
    started = time.monotonic()
    with pytest.raises(program.Unusable, match="within 1 second.*could not be killed"):
        program.run(("/bin/sh", "-c", f"echo $$ > {pids}; exec sleep 300"), 1)
    assert time.monotonic() - started < 60
    assert "could not be killed" in failing(f"sh -c 'echo $$ >> {pids}; exec sleep 300'", timeout=1)
    assert time.monotonic() - started < 120


def test_an_interrupted_run_leaves_no_program_behind(pids, monkeypatch):
    def interrupt(self):
        while not pids.exists() or not pids.read_text().strip():
            time.sleep(0.05)
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "poll", interrupt)
    with pytest.raises(KeyboardInterrupt):
        program.run(("/bin/sh", "-c", f"echo $$ > {pids}; exec sleep 300"), 20)
    assert gone(int(pids.read_text()))


@pytest.fixture
def folder():
    """A folder of root's that nobody else can write to, below a sticky one."""
    with tempfile.TemporaryDirectory(dir="/tmp") as path:
        yield path


def script(path, text="#!/bin/sh\necho ran\n", mode=0o755, owner=0):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    os.chmod(path, mode)
    os.chown(path, owner, owner)
    return path


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to other users")


@needs_root
@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda f: script(f"{f}/a/check"), ""),
        (lambda f: script(f"{f}/a/check", mode=0o6755), ""),
        (lambda f: script(f"{f}/a/check", mode=0o775), "a/check can be written by others"),
        (lambda f: script(f"{f}/a/check", mode=0o757), "a/check can be written by others"),
        (lambda f: script(f"{f}/a/check", owner=65534), "a/check belongs to user 65534"),
        (lambda f: os.chmod(os.path.dirname(script(f"{f}/a/check")), 0o777), "/a can be written by others"),
        (lambda f: os.chmod(os.path.dirname(script(f"{f}/a/check")), 0o1777), ""),
        (lambda f: os.chown(os.path.dirname(script(f"{f}/a/check")), 65534, 0), "/a belongs to user 65534"),
        (lambda f: os.makedirs(f"{f}/a/check"), "a/check is no regular file"),
        (lambda f: os.symlink("/usr/bin/env", mkdir(f"{f}/a") + "/check"), ""),
        (lambda f: os.symlink("../b/x/../real", link_to(f, 0)), ""),
        (lambda f: os.symlink("../b/x/../real", link_to(f, 0o777)), "/b can be written by others"),
        # The last file is fine, and so are its folders, but not the folder of the link in the middle.
        (lambda f: os.symlink(f"{f}/c/middle", link_through(f)), "/c belongs to user 65534"),
        (lambda f: os.lchown(link_of_others(f), 65534, 65534), "a/check belongs to user 65534"),
    ],
)
def test_root_runs_only_a_file_that_root_alone_can_change(folder, spoil, why):
    spoil(folder)
    path = f"{folder}/a/check"
    found = program.changeable(path)
    assert found.startswith(folder) and why in found if why else found == "", found
    answer = health.ask(Config(health_check=(f"{path} A=B true",), health_check_timeout=20))
    assert [problem.id for problem in answer.not_asked] == ["health-check-not-asked"] * bool(why)
    assert answer.failed == "" and (not why or why in answer.not_asked[0].text)
    if why:
        with pytest.raises(program.NotAsked, match=why):
            program.run_foreign((path,), 5)


def mkdir(path):
    os.makedirs(path, exist_ok=True)
    return path


def link_to(top, mode):
    """A link in a/ to a file in b/, whose folder has ``mode``; returns where the link is to be."""
    script(f"{top}/b/real")
    mkdir(f"{top}/b/x")
    if mode:
        os.chmod(f"{top}/b", mode)
    return mkdir(f"{top}/a") + "/check"


def link_through(top):
    os.symlink("/usr/bin/true", mkdir(f"{top}/c") + "/middle")
    os.chown(f"{top}/c", 65534, 65534)
    return mkdir(f"{top}/a") + "/check"


def link_of_others(top):
    os.symlink("/usr/bin/true", mkdir(f"{top}/a") + "/check")
    return f"{top}/a/check"


@needs_root
def test_links_that_lead_nowhere_are_no_programs(folder):
    os.symlink("b", f"{folder}/a")
    os.symlink("a", f"{folder}/b")
    for path in (f"{folder}/a", f"{folder}/none", f"{script(folder + '/file')}/below"):
        with pytest.raises(OSError):
            program.changeable(path)
        assert "cannot be run" in failing(path)


def test_the_first_word_is_looked_for_in_the_path(folder, monkeypatch):
    script(f"{folder}/first/check", mode=0o644)
    script(f"{folder}/second/check", text='#!/bin/sh\necho "$0" "$1"\n', owner=os.geteuid())
    monkeypatch.setenv("PATH", f"{folder}/first::{folder}/second:/usr/bin:/bin")
    assert program.run_foreign(("check", "a b"), 20) == (0, f"{folder}/second/check a b\n")
    assert "cannot be run" in failing("no-such-check-anywhere")


@pytest.fixture
def systemd(folder, monkeypatch):
    """A stand-in of systemd-run, which notes its arguments; what it does with the program is the test's."""

    def make(then):
        text = f'#!/bin/sh\nprintf "%s\\n" "$@" >{folder}/words\n{then}\n'
        script(f"{folder}/bin/systemd-run", text=text, owner=os.geteuid())
        monkeypatch.setenv("PATH", f"{folder}/bin:{os.environ['PATH']}")
        monkeypatch.setenv(program.CONFINED, "1")

    return make


RUN_IT = 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"'


def test_a_confined_service_has_systemd_run_the_program(folder, systemd):
    systemd(RUN_IT)
    assert (
        failing("sh -c 'echo sick; exit 3'", timeout=7) == "sh -c 'echo sick; exit 3': exit status 3 (sick)"
    )
    with open(f"{folder}/words", encoding="ascii") as file:
        words = file.read().splitlines()
    assert {"--wait", "--pipe", "--collect", "--quiet", "--property=RuntimeMaxSec=7"} <= set(words)
    assert words[-2:] == ["-c", "echo sick; exit 3"]
    assert failing("sh -c 'yes x | head -c 3000000; echo end; exit 4'").endswith("end)")
    assert program.run_foreign(("echo", "a $HOME"), 20, {"PATH": "/usr/bin:/bin"})[1] == "a $$HOME\n"


def test_systemd_ends_a_program_that_is_waited_for_too(folder, systemd):
    """Else one that was given up would go on in its unit, and load a patch afterwards."""
    systemd(RUN_IT)
    assert program.run_foreign(("true",), 3, still=lambda _: None, longest=9.0) == (0, "")
    with open(f"{folder}/words", encoding="ascii") as file:
        assert "--property=RuntimeMaxSec=9" in file.read().splitlines()


@pytest.mark.parametrize(
    ("then", "failed", "asked"),
    [
        ("echo 'Failed to start transient unit: Transaction is destructive.' >&2; exit 1", False, False),
        ("echo 'Failed to connect to bus: No such file or directory'; exit 1", False, False),
        ("sleep 3.2; echo 'Failed to start transient unit: Connection timed out'; exit 1", False, False),
        ('printf "\\002Failed to connect to the service"; exit 1', True, True),
        ('printf "\\002"; exit 0', False, True),
        ('printf "\\002"; sleep 3.2; exit 1', True, True),
    ],
)  # fmt: skip
def test_what_systemd_did_not_run_was_not_asked(systemd, then, failed, asked):
    systemd(then)
    answer = health.ask(Config(health_check=("true",), health_check_timeout=3))
    assert (bool(answer.failed), not answer.not_asked) == (failed, asked)
    assert ("within 3 seconds" in answer.failed) is (asked and "sleep" in then)


def test_where_systemd_run_is_missing_or_killed_nothing_was_asked(systemd, monkeypatch):
    systemd("kill -9 $$")
    check = Config(health_check=("/usr/bin/env",), health_check_timeout=20)
    killed = health.ask(check)
    monkeypatch.setenv("PATH", "/nowhere")
    missing = health.ask(check)
    for answer in (killed, missing):
        assert answer.failed == "" and [found.id for found in answer.not_asked] == ["health-check-not-asked"]
    assert "signal 9" in killed.not_asked[0].text and "cannot be run" in missing.not_asked[0].text
