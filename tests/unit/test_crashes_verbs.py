# SPDX-License-Identifier: GPL-2.0-or-later
"""SIGKILL and power cuts at every step of what changes the host beside reconcile: the settle watch and the
verbs of the command. The host ends as if the killed one had done its work or had never begun.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from functools import partial
from typing import Callable, NamedTuple

import pytest

from dnf_plugin_livepatch.host.cli import main as cli
from dnf_plugin_livepatch.host.files import guard_file, mailbox
from dnf_plugin_livepatch.host.packages import inventory
from dnf_plugin_livepatch.host.reconcile import copies as kept
from dnf_plugin_livepatch.host.reconcile import settle
from tests.unit.support.fakehost import QUICK, Host, run
from tests.unit.support.killing import killed_at, outcome, sound, steps
from tests.unit.support.reporting import FakeDatabase

OOPS = "4,1,999000000,-;BUG: x\n4,2,999000000,-; f+0x1/0x2 [{module}]\n4,3,999000000,-;---[ end trace ]---\n"


class Case(NamedTuple):
    """What is killed; ``watched`` when the settle watch has it done in the end, by its timer alone."""

    prepare: Callable[[Host], None]
    work: Callable[[Host], object]
    watched: bool = False


def _v1(host: Host) -> None:
    host.install(host.patch("1"))
    run(host)


def _v2_over_v1(host: Host) -> None:
    _v1(host)
    host.install(host.patch("2"))
    run(host)


def _v2_blocked(host: Host) -> None:
    _v2_over_v1(host)
    guard_file.block(host.paths, "lp-2-1.x86_64", "for a test")
    run(host)


def _unloaded(host: Host) -> None:
    _v1(host)
    guard_file.keep_unloaded(host.paths, "lp-1-1.x86_64", "")
    run(host)


def _settled(host: Host) -> None:
    _v1(host)
    host.put("/proc/uptime", "700.0 1.0\n")


def _oops(host: Host) -> None:
    _v2_over_v1(host)
    host.put("/dev/kmsg", OOPS.format(module="lp_2"))
    host.die()


def _watch(host: Host) -> int:
    return settle.main(host.paths)


def _verb(*words: str) -> Callable[[Host], int]:
    return lambda host: cli.main(list(words))


CASES: dict[str, Case] = {
    "settle watch, all is well": Case(_settled, _watch, True),
    "settle watch, an oops": Case(_oops, _watch, True),
    "unload": Case(_v1, _verb("unload", "lp_1")),
    "unload --this-boot": Case(_v1, _verb("unload", "lp_1", "--this-boot")),
    "unload of what replaced another": Case(_v2_over_v1, _verb("unload", "lp_2")),
    "block": Case(_v2_over_v1, _verb("block", "lp-2-1.x86_64")),
    "unblock": Case(_v2_blocked, _verb("unblock", "lp-2-1.x86_64")),
    "unblock of what was unloaded": Case(_unloaded, _verb("unblock", "lp-1-1.x86_64")),
}


@pytest.fixture
def fresh(monkeypatch):
    """Makes the host of a case anew."""
    folder = tempfile.mkdtemp(prefix="lp-crash-", dir=QUICK)
    root = folder + "/root"
    monkeypatch.setattr(inventory, "_open", lambda paths: FakeDatabase())
    monkeypatch.setenv("LIVEPATCH_ROOT", root)

    def make(case: Case) -> Host:
        shutil.rmtree(root, ignore_errors=True)
        host = Host(root).create().attach(monkeypatch)
        host.put("/etc/dnf/plugins/livepatch.conf", "[main]\ntransition_timeout = 0\n")
        case.prepare(host)
        return host

    yield make
    shutil.rmtree(folder)


def _reconciled(host: Host) -> None:
    run(host)
    run(host)


def _looked(host: Host) -> None:
    """The timer goes on as long as it runs."""
    for _ in range(3):
        if host.watched:
            settle.main(host.paths)


@pytest.mark.parametrize("name", CASES)
def test_killed_anywhere_then_reconciled(fresh, name, record_property):
    case = CASES[name]
    host = fresh(case)
    _reconciled(host)
    before = outcome(host)
    host = fresh(case)
    found = steps(partial(case.work, host))
    _reconciled(host)
    after = outcome(host)
    assert before != after and len(found) >= 4
    ended: list[bool] = []
    for number in range(1, len(found) + 1):
        host = fresh(case)
        killed_at(partial(case.work, host), number)
        _reconciled(host)
        sound(host)
        assert outcome(host) in (before, after), f"killed at step {number}: {found[number - 1]}"
        ended.append(outcome(host) == after)
        if case.watched:
            _looked(host)
            assert outcome(host) == after, f"killed at step {number}: {found[number - 1]}"
    assert ended == sorted(ended), "once it is recorded it stays so"
    kept_on = f"{ended.count(True)} of them after the decision was recorded, which holds"
    record_property("told", f"{name}: killed at each of {len(found)} steps, all converged; {kept_on}")


@pytest.mark.parametrize("name", [name for name in CASES if CASES[name].watched])
def test_the_next_look_does_what_a_killed_one_left(fresh, name, record_property):
    """By the timer alone: nobody asks for a reconcile."""
    case = CASES[name]
    host = fresh(case)
    found = steps(partial(case.work, host))
    after = outcome(host)
    for number in range(1, len(found) + 1):
        host = fresh(case)
        killed_at(partial(case.work, host), number)
        _looked(host)
        # What was replaced may lie in the kernel still, out of force; the next reconcile clears it away.
        ended = outcome(host)
        assert (ended[0], *ended[2:]) == (after[0], *after[2:]), f"killed at {number}: {found[number - 1]}"
        states = {record.state for record in guard_file.read(host.paths).entries.values()}
        assert "loading" not in states, "a load without its end"
        assert host.watched == ("settling" in states)
    record_property("told", f"{name}: killed at each of {len(found)} steps, the next look did the rest")


def test_a_look_that_reconcile_refuses_leaves_the_patch_to_the_next(fresh, monkeypatch):
    """Another run holds the lock for longer than the look waits."""
    host = fresh(CASES["settle watch, an oops"])
    monkeypatch.setattr(mailbox, "bound", lambda config: -1.0)
    lock = os.open(host.paths.lock, os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    assert settle.main(host.paths) == 1
    assert host.running() == ["lp_2"] and host.watched
    os.close(lock)
    _looked(host)
    assert host.running() == ["lp_1"] and "lp-2-1.x86_64" in guard_file.blocked(host.paths)


def _due(host: Host) -> list[str]:
    """The modules that should be in force, by the records alone."""
    now = guard_file.read(host.paths)
    (patch,) = host.packages().patches
    held = {nevra for nevra in now.unloaded if now.is_unloaded(nevra, host.boot_id)}
    out = {*now.blocked(), *held}
    if str(patch.nevra) not in out:
        return [module.name for module in patch.modules]
    if str(patch.nevra) in held:
        return []
    copies = [item for item in now.copies if item.nevra not in out]
    return [module.name for module in kept.modules_of(host.paths, copies[0])] if copies else []


@pytest.mark.parametrize("name", CASES)
def test_power_cut_anywhere_then_boot(fresh, name, record_property):
    case = CASES[name]
    found = steps(partial(case.work, fresh(case)))
    for number in range(1, len(found) + 1):
        host = fresh(case)
        killed_at(partial(case.work, host), number)
        host.reboot(clean=False)
        _reconciled(host)
        sound(host)
        assert host.running() == _due(host), f"power cut at step {number}: {found[number - 1]}"
    record_property("told", f"{name}: power cut at each of {len(found)} steps, what should be is in force")
