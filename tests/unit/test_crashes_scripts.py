# SPDX-License-Identifier: GPL-2.0-or-later
"""SIGKILL at every command of the two shell scripts and at every step of the journal's rotation."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from functools import partial

import pytest

from dnf_plugin_livepatch.host.files import atomic, guard_file, journal, mailbox, shutdown_note
from tests.unit.support.fakehost import QUICK, Host, run
from tests.unit.support.killing import killed_at, outcome, sound, steps

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
COMMANDS = ("cat", "date", "mkdir", "mv", "printf", "rm", "sync", "systemctl")
# Each command of the script, the shell's own too, with a cut before and after it. The file that a command is
# to write is there, and empty, when the cut before it comes.
SHIM = '{0}() {{ cut "before {0}"; command {0} "$@"; set -- $?; cut "after {0}"; return $1; }}\n'
PROGRAMS = {
    "cut": 'echo "$1" >>"$COUNT"; [ "$(wc -l <"$COUNT")" -ne "$AT" ] || kill -KILL 0',
    "systemctl": '[ "$1" != is-system-running ] || echo stopping',
    "systemd-detect-virt": "exit 1",
}
FILES = f"/usr/share/livepatch/R/lp_2.json\n/usr/lib/modules/R/livepatch/lp_2.ko\n{'/usr/bin/x' * 9000}\n"


class Script:
    """A script of libexec/ below the root of a host."""

    def __init__(self, name: str, host: Host, *words: str, stdin: str = "") -> None:
        self.host, self.words, self.stdin = host, words, stdin
        with open(os.path.join(TOP, "libexec", name), encoding="ascii") as file:
            text = file.read()
        text, moved = re.subn(r"/(?=(?:run|proc|sys|var/lib)/)(?<=[ =(]/)", host.root + "/", text)
        assert moved >= 2, "the script's paths have not been moved"
        host.put("/bin/script", "".join(map(SHIM.format, COMMANDS)) + text)
        for program, body in PROGRAMS.items():
            host.put("/bin/" + program, f"#!/bin/sh\n{body}\n")
            os.chmod(host.paths.at("/bin/" + program), 0o755)
        os.makedirs(host.paths.at("/run/systemd/system"), exist_ok=True)

    def run(self, at: int = 0) -> list[str]:
        """Run it, killed at its ``at``-th cut; the names of the cuts it came to."""
        count = self.host.paths.at("/bin/count")
        self.host.put("/bin/count", "")
        environment = {"PATH": self.host.paths.at("/bin") + ":/usr/bin:/bin", "COUNT": count, "AT": str(at)}
        done = subprocess.run(
            ["sh", self.host.paths.at("/bin/script"), *self.words],
            input=self.stdin,
            text=True,
            env=environment,
            start_new_session=True,
            capture_output=True,
            check=False,
        )
        assert done.returncode == (-signal.SIGKILL if at else 0), done.stderr
        with open(count, encoding="ascii") as file:
            return file.read().splitlines()


@pytest.fixture
def fresh(monkeypatch):
    """Makes a host with v1 in force."""
    folder = tempfile.mkdtemp(prefix="lp-crash-", dir=QUICK)
    root = folder + "/root"

    def make() -> Host:
        shutil.rmtree(root, ignore_errors=True)
        host = Host(root).create().attach(monkeypatch)
        host.install(host.patch("1"))
        mailbox.request(host.paths)
        run(host)
        return host

    yield make
    shutil.rmtree(folder)


@pytest.mark.parametrize("words, stdin", [(("in",), FILES), (("postun",), "")])
def test_the_file_trigger_killed_anywhere_then_reconciled(fresh, words, stdin, record_property):
    host = fresh()
    old = mailbox.current(host.paths)
    found = Script("livepatch-trigger", host, *words, stdin=stdin).run()
    assert mailbox.current(host.paths) != old and "before systemctl" in found
    for number in range(1, len(found) + 1):
        host = fresh()
        old = mailbox.current(host.paths)
        host.install(host.patch("2"))
        Script("livepatch-trigger", host, *words, stdin=stdin).run(number)
        stamp = mailbox.current(host.paths)
        assert stamp == old or re.fullmatch(r"[0-9]{10,}-[0-9]+", stamp), found[number - 1]
        result = run(host)
        assert (result.stamp, host.running()) == (stamp, ["lp_2"]), found[number - 1]
        sound(host)
        mailbox.request(host.paths)
        left = [name for name in os.listdir(host.paths.run_dir) if name.startswith(".request")]
        assert left == [], "the next request clears away what the killed one left"
    told = f"file trigger, {words[0]}: killed at each of {len(found)} places, the next reconcile converged"
    record_property("told", told)


def _marked(host: Host) -> bool:
    return shutdown_note.read(host.paths).boot_id == host.boot_id


@pytest.mark.parametrize("word, before, after", [("stop", False, True), ("start", True, False)])
def test_the_note_of_a_shutdown_killed_anywhere(fresh, word, before, after, record_property):
    """``start`` takes back the note that a soft reboot left in this boot."""

    def prepared() -> Host:
        host = fresh()
        host.put("/var/lib/livepatch/clean-shutdown", (host.boot_id if before else "another") + "\n")
        return host

    host = prepared()
    found = Script("livepatch-mark-shutdown", host, word).run()
    assert _marked(host) is after
    seen = []
    for number in range(1, len(found) + 1):
        host = prepared()
        Script("livepatch-mark-shutdown", host, word).run(number)
        seen.append(_marked(host))
        text = shutdown_note.read(host.paths).boot_id
        assert text in ("another", host.boot_id, *([""] if after is False else [])), found[number - 1]
        host.reboot(clean=False)
        run(host)
        sound(host)
        record = guard_file.read(host.paths).entries["lp-1-1.x86_64"]
        assert record.strikes == (0 if seen[-1] else 1), "a boot counts as crashed but for the note"
        assert host.running() == ["lp_1"] and not guard_file.blocked(host.paths)
    assert (seen[0], seen[-1]) == (before, after) and sum(map(bool.__xor__, seen, seen[1:])) == 1
    told = f"killed at each of {len(found)} places, the next boot loaded the patch"
    record_property("told", f"note of a shutdown, {word}: {told}")


@pytest.mark.parametrize("way", ["disabled", "replaced", "stays", "unloaded", "crash"])
def test_the_next_boot_tells_what_others_took_out_before_the_shutdown(fresh, way):
    host = fresh()
    last = mailbox.read_result(host.paths)
    if way == "unloaded":
        guard_file.keep_unloaded(host.paths, "lp-1-1.x86_64", host.boot_id)
    if way != "stays":
        shutil.rmtree(f"{host.paths.klp}/lp_1")
    if way == "replaced":
        host.put("/sys/kernel/livepatch/theirs/enabled", "1\n")
    Script("livepatch-mark-shutdown", host, "stop").run()
    note = shutdown_note.read(host.paths)
    assert (
        note.in_force == {"stays": ("lp_1",), "replaced": ("theirs",)}.get(way, ()) and note.result == last
    )
    if way == "crash":
        os.unlink(host.paths.clean_shutdown)
    host.reboot(clean=False)
    for _ in range(2):
        run(host)
    found = [entry.facts for entry in journal.read(host.paths) if entry.event == "vanish"]
    assert len(found) == (way in ("disabled", "replaced"))
    for facts in found:
        there = "theirs" if way == "replaced" else "none"
        assert (facts["nevra"], facts["seen"]) == ("lp-1-1.x86_64", last.finished)
        assert facts["reason"] == f"last seen in force at {last.finished}; in force at the shutdown: {there}"
    assert host.running() == ["lp_1"] and not guard_file.blocked(host.paths)


@pytest.mark.parametrize("text", ["", "\n\n{}", "ID", "ID\nlp_2", "ID\n\n{}", "ID\nx\n[1]", "ID\n\n{"])
def test_a_damaged_note_of_a_shutdown_tells_nothing(fresh, text):
    host = fresh()
    host.put("/var/lib/livepatch/clean-shutdown", text.replace("ID", host.boot_id))
    host.reboot(clean=False)
    run(host)
    assert not [entry for entry in journal.read(host.paths) if entry.event == "vanish"]
    assert host.running() == ["lp_1"] and not guard_file.blocked(host.paths)


def _entries(host: Host) -> list[str]:
    found = journal.read(host.paths, 1 << 30)
    return [str(entry.facts.get("reason")) for entry in found if entry.event == "x"]


def test_the_rotation_of_the_journal_killed_anywhere(fresh, monkeypatch, record_property):
    rename = os.rename

    def counted(source: str, target: str) -> None:
        # Where the journal marks no step of its own.
        turned = target.endswith(".jsonl.1")
        if turned:
            atomic.step("before rename journal")
        rename(source, target)
        if turned:
            atomic.step("after rename journal")

    def prepared() -> Host:
        host = fresh()
        line: dict[str, object] = {"schema": 1, "time": "2026-11-01T00:00:00Z", "event": "x", "boot_id": "b"}
        line["more"] = "y" * 9000
        with open(host.paths.journal, "a", encoding="ascii") as file:
            for number in range(journal.MAX_BYTES // 9000 + 1):
                file.write(json.dumps({**line, "reason": str(number)}) + "\n")
        host.install(host.patch("2"))
        return host

    monkeypatch.setattr(os, "rename", counted)
    host = prepared()
    wanted = _entries(host)
    found = steps(partial(run, host))
    assert _entries(host) == wanted and os.path.exists(host.paths.journal + ".1")
    after = outcome(host)
    # What comes before the first entry is another test's.
    first = found.index("before append journal") + 1
    assert "after rename journal" in found[first:]
    for number in range(first, len(found) + 1):
        host = prepared()
        killed_at(partial(run, host), number)
        run(host)
        run(host)
        sound(host)
        assert _entries(host) == wanted, f"history lost at step {number}: {found[number - 1]}"
        assert outcome(host) == after, f"killed at step {number}: {found[number - 1]}"
    cuts = len(found) - first + 1
    record_property("told", f"rotation of the journal: killed at each of {cuts} steps, no entry lost")
