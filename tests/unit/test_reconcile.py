# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import os
import shutil

import pytest

from dnf_plugin_livepatch.base import times
from dnf_plugin_livepatch.base.model import ReconcileResult
from dnf_plugin_livepatch.host.files import atomic, guard_file, journal, mailbox
from dnf_plugin_livepatch.host.reconcile import loader
from dnf_plugin_livepatch.host.reconcile import run as reconcile
from tests.unit.support.fakehost import RELEASE, Host, ids, run


@pytest.fixture
def host(tmp_path, monkeypatch):
    return Host(str(tmp_path)).create().attach(monkeypatch)


def verbs(result: ReconcileResult):
    return [(action.verb, action.module, action.outcome) for action in result.actions]


def test_nothing_installed_is_fine(host):
    result = run(host)
    assert result.ok and result.desired == "" and not result.actions and not result.problems


def test_loads_what_is_installed_and_says_so_everywhere(host):
    v1 = host.patch("1")
    host.install(v1)
    stamp = mailbox.request(host.paths)
    result = run(host)
    assert host.running() == ["lp_1"]
    assert result.ok and result.desired == str(v1.nevra) and result.stamp == stamp
    assert verbs(result) == [("load", "lp_1", "done")]
    assert [(row.module, row.nevra, row.cves) for row in result.in_force] == [
        ("lp_1", str(v1.nevra), ("CVE-2026-1000",))
    ]
    assert mailbox.read_result(host.paths) == result
    entry = journal.read(host.paths)[-1]
    assert (entry.event, entry.facts["module"], entry.facts["outcome"]) == ("load", "lp_1", "done")
    assert guard_file.read(host.paths).entries[str(v1.nevra)].state == "settling"


def test_second_run_changes_nothing_and_third_is_the_fast_one(host, monkeypatch):
    host.install(host.patch("1"))
    run(host)
    second = run(host)
    assert second.ok and not second.actions

    def never(*_):
        raise AssertionError("the fast run looked at the packages")

    monkeypatch.setattr("dnf_plugin_livepatch.host.packages.installed.read", never)
    stamp = mailbox.request(host.paths)
    third = run(host)
    assert third.ok and third.stamp == stamp and third.in_force == second.in_force


@pytest.mark.parametrize("what", ["disabled", "rpmdb", "conf", "profile", "block"])
def test_fast_run_notices(host, what):
    host.install(host.patch("1"))
    run(host)
    run(host)
    if what == "disabled":
        host.write(f"{host.paths.klp}/lp_1/enabled", "0")
        host.rmmod("lp_1")
        assert verbs(run(host)) == [("load", "lp_1", "done")]
        return
    if what == "block":
        guard_file.block(host.paths, "lp-1-1.x86_64", "no")
        assert verbs(run(host)) == [("unload", "lp_1", "done")]
        return
    path = {
        "rpmdb": "/var/lib/rpm/rpmdb.sqlite",
        "conf": "/etc/dnf/plugins/livepatch.conf",
        "profile": "/etc/livepatch/profiles.d/x.conf",
    }[what]
    host.install()
    host.put(path, "\n")
    assert verbs(run(host)) == [("unload", "lp_1", "done")]


def test_upgrade_replaces_and_frees_the_old_name(host):
    v1, v2 = host.patch("1"), host.patch("2")
    host.install(v1)
    run(host)
    host.install(v2)
    result = run(host)
    assert verbs(result) == [("replace", "lp_2", "done")]
    assert host.running() == ["lp_2"] and host.modules() == ["lp_2"]


def test_downgrade_puts_the_older_in_force(host):
    v1, v2 = host.patch("1"), host.patch("2")
    for patch in (v1, v2, v1, v2):
        host.install(patch)
        assert run(host).ok
        assert host.running() == [patch.modules[0].name] == host.modules()


def test_remove_unloads(host):
    host.install(host.patch("1"))
    run(host)
    host.install()
    result = run(host)
    assert result.ok and host.modules() == [] and verbs(result) == [("unload", "lp_1", "done")]
    assert guard_file.read(host.paths).copies == [] and not os.path.exists(host.paths.kept_dir(RELEASE))


def test_reboot_loads_again(host):
    host.install(host.patch("1"))
    run(host)
    host.reboot()
    assert host.running() == []
    assert run(host).ok and host.running() == ["lp_1"]


def test_broken_database_unloads_nothing(host):
    host.install(host.patch("1"))
    run(host)
    host.put("/rpmdb-broken", "")
    result = run(host)
    assert not result.ok and "rpmdb-unreadable" in ids(result) and host.running() == ["lp_1"]


def test_broken_database_at_boot_loads_the_kept_copy(host):
    host.install(host.patch("1"))
    run(host)
    host.reboot()
    host.put("/rpmdb-broken", "")
    result = run(host)
    assert not result.ok and host.running() == ["lp_1"]


def test_damaged_database_proves_no_absence(host, monkeypatch):
    host.install(host.patch("1"))
    run(host)
    host.install()
    monkeypatch.setattr("dnf_plugin_livepatch.host.packages.installed.damage", lambda *_: "page 7 is torn")
    result = run(host)
    assert ids(result) == ["rpmdb-unreadable"] and host.running() == ["lp_1"]


def test_what_others_loaded_is_never_touched(host):
    theirs = host.patch("7", name="theirs")
    host.install(theirs)
    host.insmod(theirs.modules[0].path)
    host.install()
    result = run(host)
    assert result.ok and host.running() == ["theirs_7"] and not result.actions
    assert [(row.module, row.nevra) for row in result.in_force] == [("theirs_7", "")]


def test_a_replace_would_put_theirs_out_of_force(host):
    theirs, v1 = host.patch("7", name="theirs"), host.patch("1")
    host.install(theirs)
    host.insmod(theirs.modules[0].path)
    host.install(v1)
    result = run(host)
    assert not result.ok and "foreign-patch" in ids(result) and host.running() == ["theirs_7"]


def test_wanted_patch_that_others_loaded_is_in_force_and_taken_over(host):
    v1 = host.patch("1")
    host.install(v1)
    host.insmod(v1.modules[0].path)
    result = run(host)
    assert result.ok and verbs(result) == [("adopt", "lp_1", "done")] and ids(result) == ["module-adopted"]
    assert result.in_force[0].nevra == str(v1.nevra)
    result = run(host)
    assert result.ok and not result.actions and ids(result) == [], "told once"
    host.install()
    assert run(host).ok and host.running() == []


def test_set_loads_in_order_and_unloads_in_reverse(host, monkeypatch):
    patch = host.patch("1", "lp_b", "lp_a", "lp_c", replace=False)
    host.install(patch)
    assert verbs(run(host)) == [("load", name, "done") for name in ("lp_b", "lp_a", "lp_c")]
    host.install()
    assert verbs(run(host)) == [("unload", name, "done") for name in ("lp_c", "lp_a", "lp_b")]


def test_set_upgrade_keeps_what_both_have(host):
    host.install(host.patch("1", "lp_a", replace=False))
    run(host)
    v2 = host.patch("2", "lp_b", replace=False)
    both = v2._replace(modules=(host.patch("1", "lp_a", replace=False).modules[0], *v2.modules))
    host._files[str(both.nevra)] += host._files["lp-1-1.x86_64"]
    host.install(both)
    result = run(host)
    assert result.ok and verbs(result) == [("load", "lp_b", "done")]
    assert host.running() == ["lp_a", "lp_b"]


def test_stall_is_reversed_and_the_old_patch_stays(host):
    v1, v2 = host.patch("1"), host.patch("2", behave="stall")
    host.install(v1)
    run(host)
    host.put("/proc/77/task/78/patch_state", "0\n")
    host.put("/proc/77/task/78/comm", "sleeper\n")
    host.install(v2)
    result = run(host)
    assert not result.ok and host.running() == ["lp_1"] == host.modules()
    assert verbs(result) == [("replace", "lp_2", "stalled"), ("reverse", "lp_2", "done")]
    assert "sleeper (pid 77)" in result.problems[0].text
    record = guard_file.read(host.paths).entries[str(v2.nevra)]
    assert record.state == "stalled" and record.tries == 1 and record.retry_at > times.now()
    host.put("/no-stall", "")
    assert run(host).ok and host.running() == ["lp_2"]


def test_a_reversal_that_takes_long_is_waited_for(host, monkeypatch):
    host.install(host.patch("1"))
    run(host)
    host.install(host.patch("2", behave="stall"))
    slow = host._sysfs("lp_2", "enabled")
    monkeypatch.setattr(loader, "_write", lambda path, value: host.put(slow, value + "\n") or "")
    assert [problem.id for problem in run(host).problems][0] == "transition-stuck"
    assert host.loaded() == {"lp_1": ("1", "0"), "lp_2": ("0", "1")}
    again = run(host)
    assert [problem.id for problem in again.problems][0] == "transition-running" and not again.actions
    shutil.rmtree(host.paths.klp + "/lp_2")  # it ended; the module stays behind
    host.put("/no-stall", "")
    assert run(host).ok and host.running() == ["lp_2"]


def test_force_ends_a_stall_only_when_asked(host):
    host.install(host.patch("1", behave="stall"))
    assert not run(host).ok
    result = run(host, force=True)
    assert result.ok and host.running() == ["lp_1"]
    assert [entry.event for entry in journal.read(host.paths)] == ["stall", "reverse", "force", "load"]


def test_block_takes_out_and_unblock_brings_back(host):
    v1 = host.patch("1")
    host.install(v1)
    run(host)
    guard_file.block(host.paths, str(v1.nevra), "odd")
    result = run(host)
    assert result.ok and host.running() == [] and ids(result) == ["patch-blocked-by-admin"]
    assert guard_file.unblock(host.paths, str(v1.nevra)) and run(host).ok and host.running() == ["lp_1"]


@pytest.mark.parametrize("this_boot", [False, True])
def test_unload_sticks(host, this_boot):
    v1, v2 = host.patch("1"), host.patch("2")
    host.install(v1)
    run(host)
    host.install(v2)
    run(host)
    result = reconcile.unload(host.paths, host.config, "lp_2", this_boot)
    assert result.ok and host.running() == [], "and the kept lp_1 does not take its place"
    assert run(host).ok and host.running() == []
    host.reboot()
    assert run(host).ok and host.running() == (["lp_2"] if this_boot else [])
    assert guard_file.unblock(host.paths, str(v2.nevra))
    assert run(host).ok and host.running() == ["lp_2"]


@pytest.mark.parametrize("this_boot", [False, True])
def test_an_unload_for_a_downgrade_keeps_no_later_upgrade_out(host, this_boot):
    """The kernel may refuse v1 beside the states of v2, and the remedy is to unload v2 by hand."""
    v1, v2 = host.patch("1"), host.patch("2")
    host.install(v2)
    run(host)
    host.install(v1)
    result = reconcile.unload(host.paths, host.config, "lp_2", this_boot)
    assert result.ok and host.running() == ["lp_1"]
    host.install(v2)
    assert run(host).ok and host.running() == ["lp_2"]


def test_unload_refuses_what_others_loaded(host):
    theirs = host.patch("7", name="theirs")
    host.install(theirs)
    host.insmod(theirs.modules[0].path)
    with pytest.raises(reconcile.Refused, match="did not load it in this boot"):
        reconcile.unload(host.paths, host.config, "theirs_7")


@pytest.mark.parametrize("mode", ["install-only", "report"])
def test_mode_leaves_the_kernel_alone(host, mode):
    v1, v2 = host.patch("1"), host.patch("2")
    host.install(v1)
    run(host)
    host.config = host.config._replace(mode=mode)
    for patches in ((v2,), ()):
        host.install(*patches)
        result = run(host)
        assert result.ok and host.running() == ["lp_1"] and mode in result.skipped
    reconcile.unload(host.paths, host.config, "lp_1")
    assert host.running() == []


@pytest.mark.parametrize(
    "path, text, why",
    [
        ("/proc/cmdline", "quiet livepatch.enable=0", "livepatch.enable=0"),
        ("/proc/cmdline", "kpatch.enable=0 quiet", "kpatch.enable=0"),
        ("/run/systemd/container", "docker", "container"),
        ("/proc/vmcore", "x", "kdump"),
        ("/system-update", "x", "offline"),
    ],
)
def test_places_where_nothing_is_loaded(host, path, text, why):
    host.install(host.patch("1"))
    host.put(path, text)
    result = run(host)
    assert result.ok and why in result.skipped and host.running() == []


def test_kernel_without_live_patching(host):
    os.rmdir(host.paths.klp)
    assert "no live patching" in run(host).skipped


@pytest.mark.parametrize(
    "spoil, wanted",
    [
        (lambda host, path: host.put(path, b"tampered"), "module-unusable"),
        (lambda host, path: open(host.paths.at(path), "ab").write(b"x"), "module-changed"),
        (lambda host, path: os.unlink(host.paths.at(path)), "module-missing"),
        (lambda host, path: os.chmod(host.paths.at(path), 0o666), "module-writable"),
        (lambda host, path: host.put("/sys/module/module/parameters/sig_enforce", "Y\n"), "module-unsigned"),
        (
            lambda host, path: host.put("/sys/kernel/security/lockdown", "none [integrity]\n"),
            "module-unsigned",
        ),
        (lambda host, path: host.put("/sys/module/kcare/x", ""), "rival-product"),
        (lambda host, path: host.put("/sys/module/lp_1/initstate", "live"), "module-name-taken"),
        (lambda host, path: host.put("/var/lib/livepatch/guard.json", "{"), "guard-broken"),
    ],
)
def test_refused_before_the_kernel_is_asked(host, spoil, wanted):
    patch = host.patch("1")
    host.install(patch)
    spoil(host, f"/usr/lib/modules/{RELEASE}/livepatch/lp_1.ko")
    result = run(host)
    assert not result.ok and wanted in ids(result) and host.running() == [] and not result.actions


@pytest.mark.parametrize(
    "errno, wanted",
    [
        ("Required key not available", "load-no-key"),
        ("Invalid module format", "load-wrong-format"),
        ("Cannot allocate memory", "load-refused"),
    ],
)
def test_refused_by_the_kernel(host, errno, wanted):
    patch = host.patch("1", behave="refuse:" + errno)
    host.install(patch)
    result = run(host)
    assert not result.ok and wanted in ids(result) and guard_file.blocked(host.paths) == {}
    assert journal.read(host.paths)[-1].event == "fail"


def test_package_of_a_vendor_without_manifest(host):
    host.install(host.patch("1", vendor=True))
    assert run(host).ok and host.running() == ["lp_1"]


def test_empty_subscription_package_wants_nothing(host):
    host.install(host.patch("1")._replace(kind="empty"))
    assert run(host).ok and host.running() == []


def test_no_record_no_load(host, monkeypatch):
    host.install(host.patch("1"))
    run(host)
    host.install(host.patch("2"))

    def full(path, data, mode=0o644):
        if path == host.paths.guard:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic, "write_bytes", full)
    result = run(host)
    assert not result.ok and "state-unwritable" in ids(result) and host.running() == ["lp_1"]


def test_request_during_a_run_is_answered_by_the_same_run(host, monkeypatch):
    host.install(host.patch("1"))
    stamps = []

    def late(what):
        if what == "before insmod" and not stamps:
            host.install(host.patch("1"), host.patch("2"))
            stamps.append(mailbox.request(host.paths))

    monkeypatch.setattr(atomic, "hook", late)
    result = run(host)
    assert result.stamp == stamps[0] and host.running() == ["lp_2"]


def test_a_second_reconcile_waits_and_gives_up_with_a_reason(host, monkeypatch):
    lock = reconcile._lock(host.paths, 0)
    try:
        with pytest.raises(reconcile.Refused, match="Another reconcile"):
            reconcile._lock(host.paths, 0.2)
    finally:
        os.close(lock)
    assert run(host).ok


def test_files_are_durable_before_the_record(host, monkeypatch):
    synced = []

    def sync(path):
        assert not guard_file.read(host.paths).entries, "the record came first"
        synced.append(os.path.basename(path))

    monkeypatch.setattr(atomic, "sync_file", sync)
    host.install(host.patch("1"))
    run(host)
    assert synced == ["lp_1.ko", "lp_1.json"] and host.running() == ["lp_1"]
