# SPDX-License-Identifier: GPL-2.0-or-later
"""A person sees where a verb of livepatch-repo is; a program on standard output sees nothing of it."""

import contextlib
import fcntl
import json
import os
import pty
import subprocess
import sys
import time

import pytest

from dnf_plugin_livepatch.toolkit import ticker
from tests.tools.support.published import V1
from tests.tools.support.repositories import ENV, ROOT, signing, tool

CLEAR = "\r\x1b[K"


@contextlib.contextmanager
def held(repo):
    """Another publisher at work."""
    with open(repo / ".livepatch-repo.lock", "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def on_a_terminal(*argv):
    """(status, standard output, the bytes that a terminal for standard error got) of livepatch-repo."""
    ours, theirs = pty.openpty()
    command = [sys.executable, ROOT / "bin" / "livepatch-repo", *argv]
    child = subprocess.Popen(list(map(str, command)), env=ENV, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    seen = b""
    with contextlib.suppress(OSError):  # EIO: the last writer is gone
        while block := os.read(ours, 4096):
            seen += block
    told = child.communicate(timeout=60)[0].decode()
    os.close(ours)
    return child.returncode, told, seen.decode()


VERBS = {
    "withdraw": lambda repo: ["withdraw", "--repo", repo, "--reason", "oops", V1],
    "prune": lambda repo: ["prune", "--repo", repo, "--keep", "1"],
    "promote": lambda repo: ["promote", "--from", repo, "--to", repo],
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_that_waits_says_so_without_a_terminal(repo, key, verb):
    with held(repo):
        done = tool(*VERBS[verb](repo), *signing(key), "--wait", "8", "--json", check=False)
    lines = done.stderr.splitlines()
    told = [line for line in lines if "waiting for another publisher of" in line]
    assert done.returncode == 1 and told and str(repo) in told[0] and "\r" not in done.stderr
    assert json.loads(done.stdout)["error"]["id"] == "locked"


def test_on_a_terminal_one_line_is_written_anew_and_taken_away(repo, key):
    with held(repo):
        status, told, seen = on_a_terminal(*VERBS["withdraw"](repo), *signing(key), "--wait", "5")
    assert status == 1 and told == ""
    progress, clear, rest = seen.rpartition(CLEAR)
    assert progress.count(CLEAR + "livepatch-repo: waiting") >= 2 and clear
    assert "\n" not in progress, "the line stays one line"
    assert rest.startswith("livepatch-repo: ") and "[locked]" in rest and "waiting for" not in rest


def test_results_on_a_terminal_come_after_the_line_is_gone(repo, key):
    status, told, seen = on_a_terminal("verify", "--repo", repo, "--key", key.public)
    assert status == 0 and "error(s)" in told and CLEAR not in told
    assert not seen or seen.endswith(CLEAR)


def test_a_run_that_is_over_at_once_prints_no_progress(repo, key, capfd):
    with ticker.shown("livepatch-repo"):
        for _ in ticker.over([1, 2], "counting"):
            pass
    assert capfd.readouterr().err == ""


def test_the_parts_of_a_step_are_counted_and_lines_are_few(capfd, monkeypatch):
    monkeypatch.setattr(ticker, "FIRST", 0.0)
    monkeypatch.setattr(ticker, "EVERY", 0.3)
    start = time.monotonic()
    with ticker.shown("livepatch-repo"):
        for _ in ticker.over(list(range(30)), "counting"):
            time.sleep(0.05)
    most = (time.monotonic() - start) / 0.3 + 1
    ticker.begin("nobody looks any more")
    lines = capfd.readouterr().err.splitlines()
    assert 2 <= len(lines) <= most
    assert all(line.startswith("livepatch-repo: counting, ") and " of 30 (" in line for line in lines)


def test_a_long_call_into_c_hides_no_line(capfd, monkeypatch):
    """metadata.quiet points standard error elsewhere while createrepo_c works."""
    from dnf_plugin_livepatch.repotool.repository import metadata

    monkeypatch.setattr(ticker, "FIRST", 0.0)
    with ticker.shown("livepatch-repo"), metadata.quiet():
        ticker.begin("reading")
    assert "livepatch-repo: reading (" in capfd.readouterr().err


def test_a_full_disk_behind_standard_error_stops_nothing(monkeypatch):
    monkeypatch.setattr(ticker, "FIRST", 0.0)
    saved, full = os.dup(2), os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, 2)
    try:
        with ticker.shown("livepatch-repo"):
            ticker.begin("reading")
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(full)
