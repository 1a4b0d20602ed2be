# SPDX-License-Identifier: GPL-2.0-or-later
"""The mode of every file that the host side writes, by docs/architecture.md, after a full story."""

from __future__ import annotations

import fnmatch
import io
import json
import os
import re
import shutil
import sys
import tempfile
from typing import Any

import pytest

from dnf_plugin_livepatch.base.model import LOWER_BOUND, Withdrawal
from dnf_plugin_livepatch.exposure.compute import Inputs
from dnf_plugin_livepatch.host import for_planning
from dnf_plugin_livepatch.host.cli import main as cli
from dnf_plugin_livepatch.host.files import advised, advisories, guard_file, journal, mailbox, notices
from dnf_plugin_livepatch.host.kernel import running
from dnf_plugin_livepatch.host.packages import inventory
from dnf_plugin_livepatch.host.reconcile import settle
from tests.unit.support.fakehost import RELEASE, Host, ids, run
from tests.unit.support.reporting import FakeDatabase

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
STACK = "[<0>] secret_wait+0x1/0x2\n[<0>] do_sys_poll+0x3/0x4\n"
SICK = "sh -c 'echo the password is 123; exit 3'"


class Umasked(Host):
    """A host whose kernel and packages write as they do, under whatever umask the product runs."""

    def put(self, path: str, data: str | bytes) -> None:
        before = os.umask(0o022)
        try:
            super().put(path, data)
        finally:
            os.umask(before)


def documented() -> dict[str, int]:
    """Path pattern -> mode, by the table of the files that the product itself writes."""
    with open(os.path.join(TOP, "docs", "architecture.md"), encoding="utf-8") as file:
        rows = re.findall(r"^\| `(/[^`]*)` \| [^|]* \| (0[0-7]{3}) \|", file.read(), re.MULTILINE)
    found = {}
    for path, mode in rows:
        pattern = path.replace("/R/", "/*/").replace("/M.", "/*.").replace("KIND", "*")
        found[pattern] = int(mode, 8)
    return found


def expected(path: str) -> int | None:
    name = re.sub(r"\.(1|spoiled)$", "", path)
    modes = [mode for pattern, mode in documented().items() if fnmatch.fnmatch(name, pattern)]
    return modes[0] if len(modes) == 1 else None


def story(host: Host) -> None:
    """Loads, a stall of others' tasks, a failed check, an unload, dnf runs, a boot: all that writes."""
    for number in ("1", "2"):
        host.install(host.patch(number))
        assert run(host).ok
    for name, text in (("patch_state", "0\n"), ("comm", "cat\n"), ("stack", STACK)):
        host.put(f"/proc/77/task/77/{name}", text)
    host.install(host.patch("3", behave="stall"))
    assert "transition-stalled" in ids(run(host))
    host.config = host.config._replace(health_check=(SICK,))
    host.install(host.patch("4"))
    assert "health-check-failed" in ids(run(host)) and host.running() == ["lp_2"]
    host.config = host.config._replace(health_check=())
    guard_file.block(host.paths, "lp-9-1.x86_64", "never")
    host.put("/proc/uptime", "700.0 1.0\n")
    settle.main(host.paths)
    mailbox.request(host.paths)
    host.put("/run/livepatch/booting", "")
    host.put("/var/lib/livepatch/clean-shutdown", host.boot_id)
    for path in ("/run/livepatch/booting", "/var/lib/livepatch/clean-shutdown"):
        os.chmod(host.paths.at(path), 0o644)  # the shell's touch and umask
    inputs = Inputs(RELEASE, "kernel-core-6.12.1-1.x86_64", LOWER_BOUND, "a test", "2026-11-27T00:00:00Z")
    assert advisories.save(host.paths, inputs)
    with open(host.paths.notices, "w", encoding="ascii") as file:
        file.write("spoiled")
    os.chmod(host.paths.notices, 0o644)
    assert notices.change(
        host.paths, lambda _: notices.Notices((Withdrawal("lp-1-1.x86_64", "bad", "updates", True),))
    )
    advised.remember(host.paths, advised.of(running.running(host.paths), "6.12.1-2", RELEASE))
    for kind in ("quiet", "free"):
        for_planning.remember(host.paths, kind, "a fingerprint")
    inventory.refresh(host.paths, running.running(host.paths))
    host.install(host.patch("2"))
    run(host)
    assert run(host).ok
    size = os.path.getsize(host.paths.private_journal)
    with open(host.paths.private_journal, "ab") as file:
        file.write(b"\n" * (journal.MAX_BYTES - size))
    for number in range(3):
        journal.append(host.paths, "stall", module="lp_3", tasks=(f"{number} cat stack=secret_wait",))


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=lambda umask: f"umask {umask:03o}")
def host(request, monkeypatch):
    folder = tempfile.mkdtemp(dir="/tmp")
    os.chmod(folder, 0o755)
    monkeypatch.setenv("LIVEPATCH_ROOT", folder)
    monkeypatch.setattr(inventory, "_open", lambda paths: FakeDatabase())
    found = Umasked(folder).create().attach(monkeypatch)
    for path in ("/var/lib/livepatch", "/run/livepatch", "/usr/lib/modules"):
        shutil.rmtree(found.paths.at(path), ignore_errors=True)
    os.makedirs(found.paths.at(f"/usr/lib/modules/{RELEASE}/kernel"))
    before = os.umask(request.param)
    try:
        story(found)
    finally:
        os.umask(before)
    yield found
    shutil.rmtree(folder)


def test_every_file_has_the_mode_of_the_table(host: Host) -> None:
    seen = set()
    for top in ("/var/lib/livepatch", "/run/livepatch", f"/usr/lib/modules/{RELEASE}/livepatch-kept"):
        for folder, _, names in os.walk(host.paths.at(top)):
            assert os.stat(folder).st_mode & 0o777 == 0o755, folder
            for name in names:
                path = os.path.join(folder, name)[len(host.root) :]
                mode = os.stat(host.paths.at(path)).st_mode & 0o777
                assert expected(path) == mode, f"{path} has mode {mode:04o}, documented is {expected(path)}"
                seen.add(path)
    written = {path for path in documented() if path.startswith(("/var", "/run"))}
    assert {path for path in written if not any(fnmatch.fnmatch(one, path) for one in seen)} == set()
    assert {"/var/lib/livepatch/journal-private.jsonl.1", "/var/lib/livepatch/notices.json.spoiled"} <= seen
    for path in seen:
        if expected(path) == 0o644 and not path.endswith(".ko"):
            with open(host.paths.at(path), encoding="utf-8") as file:
                text = file.read()
            assert "secret_wait" not in text and "password is 123\n" not in text, path
            assert not re.search(r"(?<!echo the )password", text), path


def read_as(user: int, *words: str) -> tuple[int, str]:
    """Exit status and output of ``livepatch`` in a process of ``user``."""
    cli.main(list(words))  # imports what the verb needs, which the user may not be able to read
    end, start = os.pipe()
    child = os.fork()
    if not child:
        code = 99
        try:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
            sys.stdout = io.TextIOWrapper(os.fdopen(start, "wb"), write_through=True)
            code = cli.main(list(words))
        finally:
            os._exit(code)
    os.close(start)
    with os.fdopen(end, encoding="utf-8") as file:
        text = file.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), text


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_everybody_reads_all_but_what_is_private(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("status", "cves", "list", "history", "check", "metrics", "motd", "reboot-check"):
        code, text = read_as(65534, verb)
        capsys.readouterr()
        assert code == cli.main([verb]) and text, text
        mine = capsys.readouterr().out
        if verb != "history":
            assert [row for row in mine.split("\n") if "since" not in row] == [
                row for row in text.split("\n") if "since" not in row
            ], verb
    whole = json.loads(output(capsys, "history", "--json"))["entries"]
    public = json.loads(read_as(65534, "history", "--json")[1])["entries"]
    capsys.readouterr()
    assert [row["event"] for row in whole] == [row["event"] for row in public]
    hidden = [(row["event"], row["private"]) for row in public if "private" in row]
    assert ("stall", ["tasks"]) in hidden and ("block", ["output"]) in hidden
    assert not any("private" in row for row in whole)
    told = {key: value for row in whole for key, value in row.items() if key in journal.PRIVATE}
    assert told["output"] == "the password is 123" and "secret_wait" in str(told["tasks"])
    assert not any(key in row for row in public for key in journal.PRIVATE)
    text = read_as(65534, "history")[1]
    assert "output for root only" in text and "tasks for root only" in text and "exit status 3" in text


def output(capsys: Any, *words: str) -> str:
    capsys.readouterr()
    cli.main(list(words))
    return str(capsys.readouterr().out)
