# SPDX-License-Identifier: GPL-2.0-or-later
"""The Report over trees of sysfs and state files, good, stalled, foreign, broken and hostile."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from dnf_plugin_livepatch.base.config import Config
from dnf_plugin_livepatch.base.model import (
    CLOSED_LIVE,
    OPEN,
    REBOOT_ONLY,
    UNKNOWN,
    InForce,
    InstalledPatch,
    ReconcileResult,
    Unfixable,
)
from dnf_plugin_livepatch.exposure import compute
from dnf_plugin_livepatch.host import look
from dnf_plugin_livepatch.host.cli import main as cli
from dnf_plugin_livepatch.host.files import atomic as state
from dnf_plugin_livepatch.host.files import guard_file, mailbox
from dnf_plugin_livepatch.host.kernel import livepatches
from dnf_plugin_livepatch.host.kernel import running as kernels
from dnf_plugin_livepatch.host.packages import inventory
from dnf_plugin_livepatch.host.report import next_step, reboot, status
from tests.unit.support.fakehost import RELEASE, ids, run
from tests.unit.support.reporting import Telling, stamp


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Telling:
    return Telling(str(tmp_path), monkeypatch)


def gather(host: Telling, settings: Config = Config()) -> status.Report:  # noqa: B008
    return status.gather(host.paths, settings)


def counts(report: status.Report) -> tuple[int, int, int]:
    return tuple(  # type: ignore[return-value]
        sum(row.state == name for row in report.exposure.rows) for name in (OPEN, CLOSED_LIVE, REBOOT_ONLY)
    )


def test_a_host_of_which_nothing_is_known_says_so(host: Telling) -> None:
    report = gather(host)
    assert report.state == "unknown" and report.exposure.quality == UNKNOWN
    assert "no dnf run" in report.exposure.reason


def test_a_lower_bound_that_is_all_closed_is_not_called_ok(host: Telling) -> None:
    host.know((1000, "Low"), quality="lower-bound", reason="no own advisory")
    assert gather(host).state == "attention"
    host.load(host.patch("1", "CVE-2026-1000"))
    assert gather(host).state == "unknown"
    host.know((1000, "Low"))
    assert gather(host).state == "ok"


def test_before_and_after_the_load(host: Telling) -> None:
    host.know((1000, "Important"), (2000, "Low"))
    before = gather(host)
    assert (before.state, counts(before)) == ("attention", (2, 0, 0))
    patch = host.patch("1", "CVE-2026-1000", unfixable=(Unfixable("CVE-2026-2000", "changes a struct"),))
    installed = gather(host)
    assert (installed.state, counts(installed)) == ("failed", (1, 0, 1)), "installed but not loaded is open"
    assert [problem.id for problem in installed.problems] == ["module-not-in-force"]
    host.load(patch)
    after = gather(host)
    assert (after.state, counts(after)) == ("attention", (0, 1, 1))
    (row,) = after.patches
    assert row.in_force and row.owner == "livepatch" and row.enabled and row.transition is False
    assert after.rows(REBOOT_ONLY)[0].reason == "changes a struct"


def test_all_closed_is_ok(host: Telling) -> None:
    host.know((1000, "Important"))
    host.load(host.patch("1", "CVE-2026-1000"))
    report = gather(host)
    assert (report.state, counts(report)) == ("ok", (0, 1, 0))


@pytest.mark.parametrize(
    "name, value, state, whole",
    [("transition", "1", look.TRANSITION, "loading"), ("enabled", "0", look.DISABLED, "failed")],
)
def test_a_patch_that_is_not_in_force_closes_nothing(
    host: Telling, name: str, value: str, state: str, whole: str
) -> None:
    host.know((1000, "Important"))
    patch = host.patch("1", "CVE-2026-1000")
    host.load(patch)
    host.sysfs(patch.modules[0].name, name, value)
    report = gather(host)
    assert (report.patches[0].state, report.state, counts(report)) == (state, whole, (1, 0, 0))


def test_another_build_under_the_same_name_closes_nothing(host: Telling) -> None:
    host.know((1000, "Important"))
    patch = host.patch("1", "CVE-2026-1000", behave="liar")
    host.load(patch)
    report = gather(host)
    assert (report.patches[0].state, report.state, counts(report)) == (
        look.OTHER_BUILD,
        "failed",
        (1, 0, 0),
    )


def _same_name(host: Telling) -> tuple[InstalledPatch, InstalledPatch]:
    """Two builds of a vendor who names every module alike and ships no manifest; the older is in force."""
    old, new = (host.host.patch(version, "livepatch", vendor=True) for version in "12")
    cover = ((str(old.nevra), ("CVE-2026-1000",)), (str(new.nevra), ("CVE-2026-1000", "CVE-2026-2000")))
    host.know((1000, "Important"), (2000, "Important"), cover=cover)
    host.host.install(old)
    assert run(host.host).ok
    assert gather(host).state == "attention" and counts(gather(host)) == (1, 1, 0)
    host.host.install(new)
    return old, new


@pytest.mark.parametrize("remembered", [False, True])
def test_another_build_of_a_vendor_without_manifests_closes_nothing(host: Telling, remembered: bool) -> None:
    _, new = _same_name(host)
    assert ids(run(host.host)) == ["module-other-build", "module-not-in-force"]
    if remembered:
        inventory.refresh(host.paths, kernels.running(host.paths))
        os.unlink(new.modules[0].path)
    report = gather(host)
    assert (report.patches[0].state, report.state, counts(report)) == (
        look.OTHER_BUILD,
        "failed",
        (2, 0, 0),
    )
    assert not look.look(host.paths, report.kernel, report.inputs.cover).in_force, "no kernel may be held"
    assert compute.effective(report.inputs, report.exposure) == RELEASE


def test_an_inventory_without_build_ids_is_read_as_not_knowing_them(host: Telling) -> None:
    _, new = _same_name(host)
    kernel = kernels.running(host.paths)
    inventory.refresh(host.paths, kernel)
    with open(host.paths.inventory, encoding="utf-8") as file:
        data = json.load(file)
    assert data["patches"][0]["modules"][0].pop("build_id")
    state.write_json(host.paths.inventory, data, dict)
    (patch,) = inventory.read(host.paths, kernel).patches
    assert patch == new and patch.modules[0].build_id == ""
    assert gather(host).patches[0].state == look.IN_FORCE


def test_what_came_in_place_of_a_blocked_patch_of_the_same_name(host: Telling) -> None:
    old, new = _same_name(host)
    guard_file.block(host.paths, str(new.nevra), "it crashed here", "guard")
    assert run(host.host).in_force[0].nevra == str(old.nevra)
    report = gather(host)
    states = [(row.package, row.state) for row in report.patches]
    assert states == [(str(new.nevra), look.BLOCKED), (str(old.nevra), look.IN_FORCE)]
    assert counts(report) == (1, 1, 0)


def test_a_patch_of_others_is_shown_and_closes_nothing_that_is_not_known(host: Telling) -> None:
    host.know((1000, "Important"))
    host.load(host.patch("1", "CVE-2026-1000"), ours=False)
    host.host.install()
    report = gather(host)
    (row,) = report.patches
    assert (row.owner, row.package, row.state, row.in_force) == ("other", "", look.FOREIGN, True)
    assert counts(report) == (1, 0, 0) and report.state == "attention"


def test_a_patch_stays_known_when_its_package_is_gone(host: Telling) -> None:
    host.know((1000, "Important"))
    patch = host.patch("1", "CVE-2026-1000")
    host.load(patch)
    fact = InForce(patch.modules[0].name, str(patch.nevra), ("CVE-2026-1000",))
    result = ReconcileResult("1-1", host.host.boot_id, stamp(), RELEASE, True, str(patch.nevra), (fact,))
    state.write_json(host.paths.result, mailbox.dump(result), dict)
    host.host.install()
    report = gather(host)
    assert (report.patches[0].package, report.patches[0].installed) == (str(patch.nevra), False)
    assert counts(report) == (0, 1, 0)


def test_a_result_of_an_earlier_boot_is_not_believed(host: Telling) -> None:
    host.know((1000, "Important"))
    problem = {"id": "load-refused", "severity": "error", "text": "old", "remedy": ""}
    result = ReconcileResult("1-1", host.host.boot_id, stamp(), RELEASE, False, "")
    state.write_json(host.paths.result, {**mailbox.dump(result), "problems": [problem]}, dict)
    assert gather(host).state == "failed"
    host.host.put("/proc/sys/kernel/random/boot_id", "00000099-0000-4000-8000-000000000000\n")
    assert gather(host).state == "attention"


def test_blocked_and_unloaded_by_the_administrator(host: Telling) -> None:
    host.know((1000, "Important"))
    patch = host.patch("1", "CVE-2026-1000")
    guard_file.keep_unloaded(host.paths, str(patch.nevra), "")
    held = gather(host)
    assert (held.patches[0].state, held.state) == (look.UNLOADED, "attention"), "as asked for is no failure"
    advice = reboot.Advice(100, "needed", ("kernel",))
    assert f"unblock {patch.nevra} " in str(next_step.step(held, advice)), "a reboot would leave it out too"
    guard_file.unblock(host.paths, str(patch.nevra))
    guard_file.block(host.paths, str(patch.nevra), "it crashed here", "guard")
    blocked = gather(host)
    assert (blocked.patches[0].state, blocked.patches[0].reason) == (look.BLOCKED, "it crashed here")
    assert blocked.state == "failed" and counts(blocked) == (1, 0, 0)
    guard_file.block(host.paths, str(patch.nevra), "so be it")
    accepted = gather(host)
    assert (accepted.patches[0].state, accepted.patches[0].reason) == (look.BLOCKED, "so be it")
    assert accepted.state == "attention" and counts(accepted) == (1, 0, 0)


def test_with_the_older_patch_in_force_again_a_block_by_the_administrator_is_no_failure(
    host: Telling, capsys: pytest.CaptureFixture[str]
) -> None:
    host.know((1000, "Important"))
    new = host.host.patch("2")
    for patch in (host.host.patch("1"), new):
        host.host.install(patch)
        assert run(host.host).ok
    assert cli.main(["block", str(new.nevra), "--reason", "we do not want it"]) == 0
    assert cli.main(["reconcile"]) == 0 and host.host.running() == ["lp_1"]
    capsys.readouterr()
    assert cli.main(["status"]) == 0 and cli.main(["check"]) == 1, "a warning, as long as it is blocked"
    out = capsys.readouterr().out
    assert "NOT in force: blocked (we do not want it)" in out and "LIVEPATCH WARNING" in out
    assert gather(host).state == "attention" and counts(gather(host)) == (0, 1, 0)


def test_the_stall_of_a_removed_package_is_no_retry(host: Telling) -> None:
    host.host.install(host.host.patch("1", behave="stall"))
    assert ids(run(host.host))[0] == "transition-stalled"
    assert gather(host).retry
    host.host.put("/rpmdb-broken", "")
    assert gather(host).retry, "what cannot be seen may be installed"
    os.unlink(host.paths.at("/rpmdb-broken"))
    host.host.install()
    assert run(host.host).ok and gather(host).retry == ""


def test_the_stall_of_a_kept_copy_is_a_retry(host: Telling) -> None:
    old, new = host.host.patch("1"), host.host.patch("2")
    for patch in (old, new):
        host.host.install(patch)
        assert run(host.host).ok
    guard_file.block(host.paths, str(new.nevra), "it crashed here", "guard")

    def stall(now: guard_file.Guard) -> None:
        now.entries[str(old.nevra)] = guard_file.GuardEntry(
            "stalled", host.host.boot_id, retry_at=stamp(-60)
        )

    guard_file.change(host.paths, stall)
    assert gather(host).retry


def test_a_set_of_modules_without_manifests_counts_only_as_a_whole(host: Telling) -> None:
    patch = host.host.patch("1", "one", "two", vendor=True, replace=False)
    host.host.install(patch)
    host.know((1000, "Important"), cover=((str(patch.nevra), ("CVE-2026-1000",)),))
    assert host.host.insmod(patch.modules[0].path)[0] == 0
    assert counts(gather(host)) == (1, 0, 0)
    assert host.host.insmod(patch.modules[1].path)[0] == 0
    assert counts(gather(host)) == (0, 1, 0)


def test_an_unreadable_rpm_database_is_unknown(host: Telling) -> None:
    host.know((1000, "Important"))
    host.host.put("/rpmdb-broken", "")
    report = gather(host)
    assert report.state == "unknown" and not report.installed_known
    assert [problem.id for problem in report.problems] == ["inventory-unknown"]


def test_a_kernel_without_live_patching(host: Telling) -> None:
    host.know((1000, "Important"))
    os.rmdir(host.paths.klp)
    assert gather(host).state == "unsupported"


HOSTILE = (
    "",
    "{",
    "[]",
    '"x"',
    "null",
    '{"schema": 1}',
    '{"schema": 99, "kernels": []}',
    '{"schema": 1, "kernels": 7}',
    '{"schema": 1, "kernels": [{}]}',
    "[" * 100000,
    "\0" * 5000,
    "\u202e" * 9000,
)


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("name", ["exposure", "guard", "result", "inventory", "journal", "config"])
def test_hostile_state_files_never_make_it_look_safe(host: Telling, name: str, text: str) -> None:
    path = getattr(host.paths, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    host.know((1000, "Important"))
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    report = gather(host)
    if name == "exposure":
        assert report.exposure.quality == UNKNOWN and report.state == "unknown"
    else:
        assert counts(report) == (1, 0, 0) and report.state in ("attention", "unknown")


@pytest.mark.parametrize("name", ["exposure", "guard", "result", "inventory"])
def test_a_fifo_or_a_folder_in_their_place_hangs_nobody(host: Telling, name: str) -> None:
    path = getattr(host.paths, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    os.mkfifo(path)
    gather(host)
    os.unlink(path)
    os.mkdir(path)
    gather(host)


@pytest.mark.parametrize(
    "days, state, problem",
    [(100, "ok", ""), (10, "attention", "support-ends"), (-3, "attention", "support-ended")],
)
def test_end_of_support(host: Telling, days: int, state: str, problem: str) -> None:
    host.know(support_end=stamp(-days * 86400)[:10])
    report = gather(host, Config(eol_warn_days=14))
    assert (report.state, report.days_left) == (state, days)
    assert [found.id for found in report.problems] == ([problem] if problem else [])


def test_a_stale_cache_is_unknown(host: Telling) -> None:
    host.know((1000, "Important"), as_of=stamp(8 * 86400))
    report = gather(host, Config(cache_max_age=7 * 86400))
    assert report.state == "unknown" and counts(report) == (1, 0, 0)


# --- the remembered inventory ---


def test_what_is_installed_is_remembered_until_it_changes(
    host: Telling, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch = host.patch("1", "CVE-2026-1000")
    host.kernel_installed("6.12.2-1")
    host.core_updated("glibc", 5)
    kernel = kernels.running(host.paths)
    fresh = inventory.look(host.paths, kernel)
    inventory.refresh(host.paths, kernel)
    looks = []
    original = inventory.look
    monkeypatch.setattr(inventory, "look", lambda *args: looks.append(1) or original(*args))  # type: ignore[func-returns-value]
    assert inventory.read(host.paths, kernel) == fresh and not looks
    assert fresh.kernels == (("kernel-core", "6.12.2-1"),) and fresh.core == (("glibc", 1000000005),)
    assert fresh.patches[0].nevra == patch.nevra
    host.host.put("/var/lib/rpm/rpmdb.sqlite", "changed")
    inventory.read(host.paths, kernel)
    assert len(looks) == 1
    inventory.refresh(host.paths, kernel)
    inventory.read(host.paths, kernel._replace(release="other"))
    assert len(looks) == 3, "another kernel's inventory is another one"


def test_a_forged_inventory_is_not_taken(host: Telling) -> None:
    kernel = kernels.running(host.paths)
    host.patch("1", "CVE-2026-1000")
    inventory.refresh(host.paths, kernel)
    with open(host.paths.inventory, encoding="utf-8") as file:
        good = json.load(file)
    fresh = inventory.look(host.paths, kernel)
    for change in (
        {"patches": [{}]},
        {"patches": "x"},
        {"patches": [7]},
        {"kernels": [["a"]]},
        {"core": [["glibc", -1]]},
        {"patches": [{**good["patches"][0], "nevra": [1, 2, 3, 4, 5]}]},
        {
            "patches": [
                {
                    **good["patches"][0],
                    "modules": [{"name": "m", "path": "/p", "digest": "", "manifest": "{}"}],
                }
            ]
        },
    ):
        state.write_json(host.paths.inventory, {**good, **change}, dict)
        assert inventory.read(host.paths, kernel) == fresh, change


def test_the_fake_kernel_is_read_as_the_real_one(host: Telling) -> None:
    host.load(host.patch("1"))
    (patch,) = livepatches.read(host.paths)
    assert patch.enabled and patch.functions and patch.patched_objects == ("vmlinux",)
