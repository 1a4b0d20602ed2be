# SPDX-License-Identifier: GPL-2.0-or-later
"""A live patch that its publisher took back: what reconcile does about it, and what status says."""

from __future__ import annotations

from pathlib import Path

import pytest

from dnf_plugin_livepatch.base.config import Config
from dnf_plugin_livepatch.base.model import ReconcileResult, Withdrawal
from dnf_plugin_livepatch.base.paths import Paths
from dnf_plugin_livepatch.host import look
from dnf_plugin_livepatch.host.files import atomic, guard_file, notices
from dnf_plugin_livepatch.host.files.notices import Hold, Notices
from dnf_plugin_livepatch.host.reconcile import run as reconcile
from dnf_plugin_livepatch.host.report import status
from tests.unit.support.fakehost import RELEASE, Host
from tests.unit.support.reporting import Telling, stamp

V1, V2 = "lp-1-1.x86_64", "lp-2-1.x86_64"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host(str(tmp_path)).create().attach(monkeypatch)
    made.config = made.config._replace(on_withdrawn="revert")
    return made


def run(host: Host) -> ReconcileResult:
    return reconcile.reconcile(host.paths, host.config)


def withdraw(paths: Paths, *nevras: str, signed: bool = True) -> None:
    rows = tuple(Withdrawal(nevra, "it oopsed", "base", signed) for nevra in sorted(nevras))
    notices.save(paths, Notices(rows))


def v2_over_v1(host: Host) -> None:
    host.install(host.patch("1"))
    run(host)
    host.install(host.patch("2"))
    run(host)
    run(host)
    assert host.running() == ["lp_2"]


def test_revert_goes_back_to_the_one_before(host: Host) -> None:
    v2_over_v1(host)
    withdraw(host.paths, V2)
    result = run(host)
    assert host.running() == ["lp_1"] and result.ok and result.desired == V1
    assert [problem.id for problem in result.problems] == ["patch-reverted", "kept-in-force"]
    assert run(host).actions == () and host.running() == ["lp_1"]
    host.reboot()
    run(host)
    assert host.running() == ["lp_1"], "and stays there"


def test_metadata_that_nobody_signed_takes_nothing_out(host: Host) -> None:
    v2_over_v1(host)
    withdraw(host.paths, V2, signed=False)
    assert run(host).ok and host.running() == ["lp_2"]


def test_revert_goes_to_none_when_nothing_else_is_good(host: Host) -> None:
    v2_over_v1(host)
    withdraw(host.paths, V1, V2)
    result = run(host)
    assert host.running() == [] and result.ok and result.desired == ""
    assert [(action.verb, action.outcome) for action in result.actions] == [("unload", "done")]


def test_a_newer_one_is_loaded_and_a_withdrawal_taken_back_counts(host: Host) -> None:
    v2_over_v1(host)
    withdraw(host.paths, V1, V2)
    run(host)
    host.install(host.patch("3"))
    assert run(host).desired == "lp-3-1.x86_64" and host.running() == ["lp_3"]
    host.install(host.patch("2"))
    run(host)
    assert host.running() != ["lp_2"]
    withdraw(host.paths)
    run(host)
    assert host.running() == ["lp_2"]


@pytest.mark.parametrize("change", [{"on_withdrawn": "warn"}, {"mode": "install-only"}, {"mode": "report"}])
def test_otherwise_nothing_is_changed(host: Host, change: dict[str, str]) -> None:
    v2_over_v1(host)
    host.config = host.config._replace(**change)  # type: ignore[arg-type]
    withdraw(host.paths, V2)
    assert run(host).actions == () and host.running() == ["lp_2"]


@pytest.mark.parametrize("text", ["", "{", '{"schema": 1, "withdrawn": [{"nevra": "lp-2-1.x86_64"}]}'])
def test_a_spoiled_file_changes_nothing(host: Host, text: str) -> None:
    v2_over_v1(host)
    atomic.write_bytes(host.paths.notices, text.encode())
    assert run(host).ok and host.running() == ["lp_2"]


def test_blocking_by_hand_is_still_said(host: Host) -> None:
    v2_over_v1(host)
    guard_file.block(host.paths, V2, "no")
    withdraw(host.paths, V2)
    assert "patch-blocked-by-admin" in [problem.id for problem in run(host).problems]


@pytest.fixture
def telling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Telling:
    made = Telling(str(tmp_path), monkeypatch)
    made.know((1000, "Important"))
    return made


def ids(report: status.Report) -> list[str]:
    return [problem.id for problem in report.problems]


def test_status_says_what_is_withdrawn_and_in_force(telling: Telling) -> None:
    telling.load(telling.patch("1", "CVE-2026-1000"))
    withdraw(telling.paths, V1)
    report = status.gather(telling.paths, Config())
    assert (report.state, ids(report)) == ("attention", ["withdrawn-in-force"])


def test_one_that_is_kept_out_is_no_failure(telling: Telling) -> None:
    telling.patch("1", "CVE-2026-1000")
    withdraw(telling.paths, V1)
    report = status.gather(telling.paths, Config(on_withdrawn="revert"))
    assert (report.state, [row.state for row in report.patches]) == ("attention", [look.WITHDRAWN])
    assert report.patches[0].reason == "it oopsed" and ids(report) == []
    assert status.gather(telling.paths, Config()).state == "failed", "warn wants it loaded"


@pytest.mark.parametrize(
    ("release", "evr", "said"),
    [(RELEASE, "6.12.9-1", True), (RELEASE, "6.12.2-1", False), ("6.12.0-1.x86_64", "6.12.9-1", False)],
)
def test_a_held_kernel_is_shown_until_it_is_installed(
    telling: Telling, release: str, evr: str, said: bool
) -> None:
    telling.kernel_installed("6.12.2-1")
    notices.save(telling.paths, Notices((), Hold(release, "kernel-core", evr, stamp(60), "it is covered")))
    report = status.gather(telling.paths, Config())
    assert ("kernel-held" in ids(report)) is said
    if said:
        text = next(problem.text for problem in report.problems if problem.id == "kernel-held")
        assert text == f"Kernel update held: {evr}, because it is covered."


@pytest.mark.parametrize(
    ("told", "window", "end"),
    [("2027-01-01", "2029-01-01", "2027-01-01"), ("", "2029-01-01", "2029-01-01"), ("", "", "")],
)
def test_the_publisher_is_asked_before_the_vendors_window(
    telling: Telling, told: str, window: str, end: str
) -> None:
    telling.know((1000, "Important"), support_end=told, window_end=window)
    report = status.gather(telling.paths, Config())
    assert report.support_end == end and (report.days_left is None) is (not end)
