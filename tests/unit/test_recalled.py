# SPDX-License-Identifier: GPL-2.0-or-later
"""A guard's file that is lost: what was kept out stays out, by the history."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dnf_plugin_livepatch.host.cli import main as cli
from dnf_plugin_livepatch.host.files import guard_file, journal
from dnf_plugin_livepatch.host.report import doctor
from tests.unit.support.fakehost import ids, run
from tests.unit.support.reporting import Telling

NEVRA = "lp-1-1.x86_64"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Telling:
    host = Telling(str(tmp_path), monkeypatch)
    host.know((1000, "Important"))
    return host


def by_admin(host: Telling) -> None:
    host.patch("1")
    assert run(host.host).ok and cli.main(["block", "lp", "--reason", "killed the db"]) == 0


def by_health_check(host: Telling) -> None:
    host.host.config = host.host.config._replace(health_check=("/bin/false",))
    host.patch("1")
    assert not run(host.host).ok
    host.host.config = host.host.config._replace(health_check=())


def by_kernel(host: Telling) -> None:
    host.patch("1", behave="liar")
    assert not run(host.host).ok


def by_crash(host: Telling) -> None:
    host.patch("1")
    entry = guard_file.GuardEntry("loading", boot_id=host.host.boot_id, modules=("lp_1",))
    guard_file.change(host.paths, lambda guard: guard.entries.update({NEVRA: entry}))
    host.host.reboot(clean=False)
    assert not run(host.host).ok


WAYS = (by_admin, by_health_check, by_kernel, by_crash)


def lose(host: Telling) -> None:
    os.rename(host.paths.guard, host.paths.guard + ".broken")


@pytest.mark.parametrize("block", WAYS)
@pytest.mark.parametrize("boot", [False, True])
def test_what_was_blocked_stays_out(host: Telling, block: Callable[[Telling], None], boot: bool) -> None:
    block(host)
    before = guard_file.read(host.paths).entries[NEVRA]
    host.host.put("/var/lib/livepatch/guard.json", '{"schema": 1, "reco')
    found = run(host.host)
    assert ids(found) == ["guard-broken"] and host.host.running() == [], "until the file is repaired"
    assert "guard-broken" in [row.id for row in doctor.examine(host.paths)]
    lose(host)
    assert guard_file.blocked(host.paths) == {NEVRA: before.reason}, "status knows it before any run"
    if boot:
        host.host.reboot()
    found = run(host.host)
    assert host.host.running() == [] and "blocks-recalled" in ids(found)
    after = guard_file.read(host.paths).entries[NEVRA]
    assert (after.state, after.by, after.reason) == ("blocked", before.by, before.reason)


def test_a_block_that_was_lifted_is_not_recalled(host: Telling) -> None:
    by_admin(host)
    assert cli.main(["unblock", "lp"]) == 0 and host.host.running() == ["lp_1"]
    lose(host)
    assert guard_file.blocked(host.paths) == {}
    found = run(host.host)
    assert found.ok and "blocks-recalled" not in ids(found) and host.host.running() == ["lp_1"]


def test_a_load_since_shows_that_the_block_was_lifted(host: Telling) -> None:
    """The history has no entry for it: the disk was full then, or the file was removed on purpose."""
    by_admin(host)
    host.patch("2")
    assert run(host.host).ok
    journal.append(host.paths, "load", module="lp_1", nevra=NEVRA, outcome="failed")
    lose(host)
    assert guard_file.blocked(host.paths) == {NEVRA: "killed the db"}
    journal.append(host.paths, "load", module="lp_1", nevra=NEVRA, outcome="done", source="scriptlet")
    assert guard_file.blocked(host.paths) == {NEVRA: "killed the db"}
    journal.append(host.paths, "load", module="lp_1", nevra=NEVRA, outcome="done")
    assert guard_file.blocked(host.paths) == {}


def test_an_unload_for_a_block_shows_the_block(host: Telling) -> None:
    """The entry of the block is lost: the disk was full at that moment."""
    host.patch("1")
    assert run(host.host).ok
    guard_file.block(host.paths, NEVRA, "killed the db")
    run(host.host)
    lose(host)
    assert set(guard_file.blocked(host.paths)) == {NEVRA}
    run(host.host)
    assert host.host.running() == []


def test_another_verb_keeps_the_blocks_of_a_lost_file(host: Telling) -> None:
    by_admin(host)
    lose(host)
    guard_file.block(host.paths, "lp-9-9.x86_64", "another")
    assert set(guard_file.blocked(host.paths)) == {NEVRA, "lp-9-9.x86_64"}


@pytest.mark.parametrize("then", ["nothing", "unblock", "newer"])
def test_an_unload_by_hand_is_recalled(host: Telling, then: str) -> None:
    host.patch("1")
    assert run(host.host).ok and cli.main(["unload", "lp_1"]) == 0
    if then == "unblock":
        assert cli.main(["unblock", "lp"]) == 0
    if then == "newer":
        host.patch("2")
        assert run(host.host).ok and host.host.running() == ["lp_2"]
    lose(host)
    assert guard_file.read(host.paths).unloaded == ({NEVRA: ""} if then == "nothing" else {})
    assert run(host.host).ok
    assert host.host.running() == {"nothing": [], "unblock": ["lp_1"], "newer": ["lp_2"]}[then]


@pytest.mark.parametrize(
    "line", [b"", b"{", b'{"schema": 1}', b'{"event": "block", "schema": 1, "nevra": 5}']
)
def test_a_history_that_tells_nothing_recalls_nothing(host: Telling, line: bytes) -> None:
    host.patch("1")
    host.host.put("/var/lib/livepatch/journal.jsonl", line + b"\n")
    assert run(host.host).ok and host.host.running() == ["lp_1"]


def test_old_events_count_as_well(host: Telling) -> None:
    by_admin(host)
    for _ in range(1500):
        journal.append(host.paths, "good", nevra="x-1-1.noarch")
    lose(host)
    assert NEVRA in guard_file.blocked(host.paths)
