# SPDX-License-Identifier: GPL-2.0-or-later
"""Reconcile after crashes, oopses, failing checks and rivals."""

from __future__ import annotations

import fcntl
import os
import shutil

import pytest

from dnf_plugin_livepatch.host import after_transaction
from dnf_plugin_livepatch.host.files import guard_file, journal, mailbox
from dnf_plugin_livepatch.host.packages import rpm_lock
from dnf_plugin_livepatch.host.reconcile import loader, settle
from tests.unit.support.fakehost import Host, Panic, ids, module_file, run


@pytest.fixture
def host(tmp_path, monkeypatch):
    return Host(str(tmp_path)).create().attach(monkeypatch)


def test_crash_while_loading_blocks_at_next_boot(host):
    v1, bad = host.patch("1"), host.patch("2", behave="panic")
    host.install(v1)
    run(host)
    host.install(bad)
    with pytest.raises(Panic):
        run(host)
    host.reboot(clean=False)
    result = run(host)
    assert host.running() == ["lp_1"], "the kept copy of the last good patch"
    assert ids(result) == ["patch-blocked", "kept-in-force"] and not result.ok
    assert str(bad.nevra) in guard_file.blocked(host.paths)
    assert [entry.event for entry in journal.read(host.paths)][-2:] == ["block", "load"]


@pytest.mark.parametrize("behave", ["refuse:Invalid argument", "stall"])
def test_after_a_boot_the_kept_patch_stands_in_for_one_that_does_not_load(host, behave):
    v1, bad = host.patch("1"), host.patch("2", behave=behave)
    host.install(v1)
    run(host)
    host.install(bad)
    assert not run(host).ok and host.running() == ["lp_1"]
    host.reboot()
    result = run(host)
    assert host.running() == ["lp_1"] and not result.ok
    assert "kept-in-force" in ids(result) and [row.nevra for row in result.in_force] == [str(v1.nevra)]
    # It is tried again, and the one in force stays.
    assert not run(host).ok and host.running() == ["lp_1"]
    host.install(host.patch("3"))
    assert run(host).ok and host.running() == ["lp_3"]


def test_orderly_shutdown_while_loading_blocks_nothing(host):
    bad = host.patch("2", behave="panic")
    host.install(bad)
    with pytest.raises(Panic):
        run(host)
    host.reboot(clean=True)
    assert guard_file.blocked(host.paths) == {}
    with pytest.raises(Panic):
        run(host)


def test_one_power_cut_while_settling_blocks_nothing_two_do(host):
    v1 = host.patch("1")
    host.install(v1)
    run(host)
    host.reboot(clean=False)
    assert run(host).ok and host.running() == ["lp_1"]
    host.reboot(clean=False)
    result = run(host)
    assert host.running() == [] and "patch-blocked" in ids(result)


def test_power_cut_after_it_is_good_blocks_nothing(host):
    v1 = host.patch("1")
    host.install(v1)
    run(host)
    host.put("/proc/uptime", "700.0 1.0\n")
    assert settle.check(host.paths, host.config) == ([str(v1.nevra)], [], False)
    for _ in range(4):
        host.reboot(clean=False)
        assert run(host).ok and host.running() == ["lp_1"]


OOPS = """\
4,1,{at},-;BUG: kernel NULL pointer dereference, address: 0000000000000000
4,2,{at},-;Modules linked in: {linked}
4,3,{at},-;RIP: 0010:cmdline_proc_show+0x5/0x30 [{module}]
4,4,{at},-;---[ end trace 0000000000000000 ]---
"""


@pytest.mark.parametrize(
    "at, module, blocked",
    [(12_000_000, "lp_2", True), (1_000_000, "lp_2", False), (12_000_000, "ext4", False)],
)
def test_oops_later_takes_the_patch_out(host, at, module, blocked):
    v1, v2 = host.patch("1"), host.patch("2")
    host.install(v1)
    run(host)
    host.install(v2)
    run(host)
    host.put("/dev/kmsg", OOPS.format(at=at, module=module, linked="lp_2 ext4"))
    host.die()
    _, bad, waiting = settle.check(host.paths, host.config)
    assert (bad == [str(v2.nevra)]) is blocked and waiting is not blocked
    run(host)
    assert host.running() == (["lp_1"] if blocked else ["lp_2"])


def sick(host):
    """Patch 2 over patch 1, and an oops in it; where systemd was asked to run what."""
    v1, v2 = host.patch("1"), host.patch("2")
    for patch in (v1, v2):
        host.install(patch)
        run(host)
    host.put("/dev/kmsg", OOPS.format(at=12_000_000, module="lp_2", linked="lp_2"))
    host.die()
    return str(v2.nevra)


def test_a_look_that_could_not_take_it_out_leaves_that_to_the_next_one(host, monkeypatch):
    bad, stopped = sick(host), []
    monkeypatch.setattr(settle.timers, "unwatch", lambda paths: stopped.append("watch"))
    lock = os.open(host.paths.lock, os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    monkeypatch.setattr(mailbox, "bound", lambda config: 0.1)
    assert settle.main(host.paths) == 1 and bad in guard_file.blocked(host.paths)
    assert host.running() == ["lp_2"] and stopped == []
    os.close(lock)
    assert settle.main(host.paths) == 5 and host.running() == ["lp_1"] and stopped == [], "lp_1 settles now"
    assert settle.main(host.paths) == 0 and host.running() == ["lp_1"]


def test_what_was_unblocked_while_it_was_in_force_is_watched_anew(host):
    bad = sick(host)
    guard_file.block(host.paths, bad, "the lock was busy")
    guard_file.unblock(host.paths, bad)  # and then the run was killed
    host.put("/dev/kmsg", "")
    assert settle.main(host.paths) == 0
    assert guard_file.read(host.paths).entries[bad].state == "settling" and host.watched
    host.put("/dev/kmsg", OOPS.format(at=12_000_000, module="lp_2", linked="lp_2"))
    host.die()
    assert settle.main(host.paths) == 5 and host.running() == ["lp_1"]


def test_trouble_that_names_no_patch_is_told_once_and_changes_nothing(host):
    v1 = host.patch("1")
    host.put("/proc/sys/kernel/tainted", "4608\n")
    host.install(v1)
    run(host)
    for taint in (4608, 36992, 36992):
        host.put("/proc/sys/kernel/tainted", f"{taint}\n")
        assert settle.main(host.paths) == 0
    told = [entry for entry in journal.read(host.paths) if entry.event == "taint"]
    assert [entry.facts["nevra"] for entry in told] == [str(v1.nevra)]
    assert "oops" in told[0].facts["reason"] and "warning" not in told[0].facts["reason"]
    assert host.running() == ["lp_1"] and guard_file.blocked(host.paths) == {}


@pytest.mark.parametrize(("check", "well"), [("true", True), ("sh -c 'echo sick; exit 3'", False)])
def test_health_that_could_not_be_asked_at_boot_is_asked_before_the_patch_is_good(host, check, well):
    v1 = host.patch("1")
    host.install(v1)
    host.put("/run/livepatch/booting", "")
    host.put("/etc/dnf/plugins/livepatch.conf", f"[main]\nhealth_check = {check}\n")
    host.config = host.config._replace(health_check=(check,))
    assert run(host).ok and host.running() == ["lp_1"]
    assert settle.check(host.paths, host.config) == ([], [], True), "not before settle_time"
    host.put("/proc/uptime", "700.0 1.0\n")
    assert settle.main(host.paths) == (0 if well else 5)
    assert host.running() == (["lp_1"] if well else [])
    reason = guard_file.blocked(host.paths).get(str(v1.nevra), "")
    assert reason.endswith("exit status 3") is not well
    (last,) = [entry for entry in journal.read(host.paths) if entry.event == ("good" if well else "block")]
    assert last.facts.get("output") == (None if well else "sick")


def test_a_transaction_that_does_not_end_is_no_success(host, monkeypatch):
    v1, v2 = host.patch("1"), host.patch("2")
    host.install(v1)
    run(host)
    host.install(v2)
    monkeypatch.setattr(rpm_lock, "wait_idle", lambda folder, seconds: False)
    result = run(host)
    assert not result.ok and ids(result) == ["rpm-under-way"] and host.running() == ["lp_1"]
    assert [patch.module for patch in result.in_force] == ["lp_1"]
    monkeypatch.undo()


def test_the_stack_of_a_task_in_the_way_is_kept(host):
    host.install(host.patch("1", behave="stall"))
    host.put("/proc/77/task/77/patch_state", "0\n")
    host.put("/proc/77/task/77/comm", "sleeper\n")
    stack = "[<0>] do_nanosleep+0x67/0x190\n[<0>] cmdline_proc_show+0x20/0x30 [lp_0]\n"
    host.put("/proc/77/task/77/stack", stack)
    assert not run(host).ok
    stall, reverse = journal.read(host.paths)
    assert stall.facts["tasks"] == ("77 sleeper patch_state=0 stack=do_nanosleep < cmdline_proc_show",)
    assert (reverse.event, reverse.facts["outcome"]) == ("reverse", "done")


DUMP = """\
Panic#1 Part1
<1>[   12.000001] BUG: kernel NULL pointer dereference, address: 0000000000000000
<4>[   12.000020] RIP: 0010:show+0x5/0x30 [lp_1]
<0>[   12.000400] Kernel panic - not syncing: Fatal exception
"""


def test_evidence_in_pstore_blocks_the_first_time(host):
    v1 = host.patch("1")
    host.install(v1)
    run(host)
    host.reboot(clean=False)
    host.put("/sys/fs/pstore/dmesg-efi-1", DUMP)
    result = run(host)
    assert "patch-blocked" in ids(result) and host.running() == []


def test_loader_killed_by_an_oops_blocks_at_once(host):
    v2 = host.patch("2", behave="crash")
    host.install(v2)
    result = run(host)
    assert "load-crashed" in ids(result) and str(v2.nevra) in guard_file.blocked(host.paths)
    assert "patch-blocked" in ids(run(host))


def test_wrong_build_id_in_the_kernel_is_taken_out_and_blocked(host):
    v1, liar = host.patch("1"), host.patch("2", behave="liar")
    host.install(v1)
    run(host)
    host.install(liar)
    result = run(host)
    assert "load-not-verified" in ids(result) and not result.ok
    assert str(liar.nevra) in guard_file.blocked(host.paths)
    assert host.running() == ["lp_1"]


def test_failing_health_check_goes_back(host):
    v1, v2 = host.patch("1"), host.patch("2")
    host.install(v1)
    run(host)
    host.install(v2)
    host.config = host.config._replace(health_check=("true", "sh -c 'echo sick; exit 3'"))
    result = run(host)
    assert "health-check-failed" in ids(result)
    assert guard_file.blocked(host.paths)[str(v2.nevra)].endswith("exit status 3")
    host.config = host.config._replace(health_check=())
    assert host.running() == ["lp_1"]


def test_a_health_check_that_fails_at_boot_blocks_nothing(host):
    v1 = host.patch("1")
    host.install(v1)
    run(host)
    host.put("/proc/uptime", "700.0 1.0\n")
    settle.check(host.paths, host.config)
    host.config = host.config._replace(health_check=("false",))
    host.reboot()
    assert run(host).ok and host.running() == ["lp_1"], "it has proved good before"
    host.install(host.patch("2"))
    host.reboot()
    host.put("/run/livepatch/booting", "")
    assert run(host).ok and host.running() == ["lp_2"], "what it asks about is not up yet"
    os.unlink(host.paths.booting)
    host.install(host.patch("3"))
    assert not run(host).ok and host.running() == ["lp_1"], "back to the one that has proved good"


@pytest.mark.parametrize("same", [True, False])
def test_somebody_else_is_faster(host, monkeypatch, same):
    v1 = host.patch("1")
    host.install(v1)
    real = loader.insert

    def insert(paths, descriptor, *more):
        theirs = f"/proc/self/fd/{descriptor}"
        if not same:
            host.put("/theirs.ko", module_file("lp_1", "ab" * 20, replace="1"))
            theirs = host.paths.at("/theirs.ko")
        assert host.insmod(theirs)[0] == 0
        return real(paths, descriptor, *more)

    monkeypatch.setattr(loader, "insert", insert)
    result = run(host)
    assert host.running() == ["lp_1"] and guard_file.blocked(host.paths) == {}
    assert guard_file.read(host.paths).owned == {}
    assert result.ok is same and ("module-name-taken" in ids(result)) is not same


@pytest.mark.parametrize("ends", ["live", "gone", "coming"])
def test_a_load_that_a_killed_run_left_is_waited_for_and_never_undone(host, monkeypatch, ends):
    """An insmod of an earlier run lives: the module is in the kernel, and its init has not ended."""
    patch = host.patch("1")
    host.install(patch)
    module = patch.modules[0]

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as first:
        first.setattr(loader, "insert", killed)
        with pytest.raises(KeyboardInterrupt):
            run(host)
    host.put(f"/sys/module/{module.name}/initstate", "coming\n")
    host.put(f"/sys/module/{module.name}/refcnt", "1\n")

    def over(*_):
        if ends == "coming":
            return False
        shutil.rmtree(f"{host.paths.modules}/{module.name}")
        if ends == "live":
            assert host.insmod(module.path) == (0, "")
        return True

    monkeypatch.setattr(loader, "await_loading", over)
    result = run(host)
    assert guard_file.blocked(host.paths) == {}
    if ends == "coming":
        assert ids(result)[0] == "load-goes-on" and "since 20" in result.problems[0].text
        assert guard_file.read(host.paths).entries[str(patch.nevra)].state == "loading"
    else:
        assert result.ok and host.running() == ["lp_1"]


def test_dnf_is_answered_that_the_load_goes_on(host, monkeypatch):
    patch = host.patch("1")
    host.install(patch)
    monkeypatch.setattr(mailbox, "ask", lambda *_: None)
    assert after_transaction.ask(host.paths, 1.0, None) is None, "nothing is under way"

    def slow(*_):
        answer = after_transaction.ask(host.paths, 1.0, None)
        assert answer is not None and not answer.ok and ids(answer) == ["load-goes-on"]
        assert str(patch.nevra) in answer.problems[0].text
        return 1, "could not insert module x: Cannot allocate memory"

    monkeypatch.setattr(loader, "insert", slow)
    run(host)
    assert after_transaction.ask(host.paths, 1.0, None) is None, "nor is it now"


def test_kept_copy_survives_a_database_that_reads_empty(host, monkeypatch):
    host.install(host.patch("1"))
    run(host)
    host.install()
    with monkeypatch.context() as damaged:
        damaged.setattr("dnf_plugin_livepatch.host.packages.installed.damage", lambda *_: "page 7 is torn")
        host.reboot()
        run(host)
    assert guard_file.read(host.paths).copies


def test_a_transition_that_somebody_else_began_is_left_to_them(host):
    v1 = host.patch("1", behave="stall")
    host.install(v1)
    host.insmod(v1.modules[0].path)
    host.config = host.config._replace(transition_timeout=0.2)
    result = run(host)
    assert host.modules() == ["lp_1"] and "module-not-in-force" in ids(result) and not result.ok
    host.put("/sys/kernel/livepatch/lp_1/transition", "0\n")
    assert run(host).ok and host.running() == ["lp_1"]


def test_a_transition_of_others_that_ends_while_it_is_waited_for(host, monkeypatch):
    v1 = host.patch("1", behave="stall")
    host.install(v1)
    host.insmod(v1.modules[0].path)
    waited = loader.await_others

    def end(*args):
        host.put("/sys/kernel/livepatch/lp_1/transition", "0\n")
        return waited(*args)

    monkeypatch.setattr(loader, "await_others", end)
    result = run(host)
    assert result.ok and [row.nevra for row in result.in_force] == [str(v1.nevra)]


def test_half_a_set_is_watched_and_a_power_cut_does_not_block_it(host):
    v1 = host.patch("1", "one", "two", replace=False)
    host.install(v1)
    good = open(v1.modules[1].path, "rb").read()
    with open(v1.modules[1].path, "ab") as file:
        file.write(b"spoiled")
    assert not run(host).ok and host.running() == ["one"]
    assert guard_file.read(host.paths).entries[str(v1.nevra)].state == "settling"
    host.reboot(clean=False)
    with open(v1.modules[1].path, "wb") as file:
        file.write(good)
    assert run(host).ok and host.running() == ["one", "two"]


def test_what_changed_while_it_was_checked_is_not_kept_as_the_last_good_one(host):
    v1 = host.patch("1")
    host.install(v1)
    host.config = host.config._replace(health_check=(f"/bin/rm {v1.modules[0].path}",))
    assert "not-kept" in ids(run(host)) and guard_file.read(host.paths).copies == []
