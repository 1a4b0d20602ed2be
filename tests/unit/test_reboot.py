# SPDX-License-Identifier: GPL-2.0-or-later
"""Reboot advice: what is asked for, what is not, and what is not known."""

from __future__ import annotations

from pathlib import Path

import pytest

from dnf_plugin_livepatch.base import config
from dnf_plugin_livepatch.base.model import CveState
from dnf_plugin_livepatch.host import look
from dnf_plugin_livepatch.host.cli import main as cli
from dnf_plugin_livepatch.host.files import advisories
from dnf_plugin_livepatch.host.packages.evr import compare
from dnf_plugin_livepatch.host.report import next_step, reboot, status
from dnf_plugin_livepatch.messages.catalogue import problem
from tests.unit.support.reporting import Telling


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Telling:
    return Telling(str(tmp_path), monkeypatch)


def answer(capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = cli.main(["reboot-check"])
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    return code, out


def test_unknown(host: Telling, capsys: pytest.CaptureFixture[str]) -> None:
    code, line = answer(capsys)
    assert code == 102 and "no dnf run" in line


def test_nothing_open(host: Telling, capsys: pytest.CaptureFixture[str]) -> None:
    host.know()
    assert answer(capsys) == (0, "Reboot not needed.\n")


def test_open_cves_ask_only_when_an_installed_kernel_closes_them(
    host: Telling, capsys: pytest.CaptureFixture[str]
) -> None:
    host.know((1000, "Important"), (2000, "Low"))
    host.kernel_installed("6.12.1-1")
    code, line = answer(capsys)
    assert code == 0 and "2 kernel CVEs open" in line and "dnf upgrade" in line
    host.kernel_installed("6.12.2-1")
    code, line = answer(capsys)
    assert code == 100 and "1 kernel CVE closed by the installed kernel 6.12.2-1" in line


def test_a_newer_kernel_whose_cves_are_closed_live_needs_no_reboot(
    host: Telling, capsys: pytest.CaptureFixture[str]
) -> None:
    host.know((1000, "Important"))
    host.kernel_installed("6.12.2-1")
    patch = host.patch("1", "CVE-2026-1000")
    assert answer(capsys)[0] == 100
    host.load(patch)
    code, line = answer(capsys)
    assert code == 0 and "not needed for CVEs: kernel 6.12.2-1 is installed" in line
    host.sysfs(patch.modules[0].name, "transition", "1")
    assert answer(capsys)[0] == 100, "a stalled load closes nothing"


def test_a_bugfix_kernel_above_the_fix_is_compared_as_rpm_does(
    host: Telling, capsys: pytest.CaptureFixture[str]
) -> None:
    host.know((1000, "Important"), (2000, "Low"))
    host.kernel_installed("6.12.10-1")
    assert answer(capsys)[0] == 100


def test_core_packages_updated_after_the_boot_are_named(
    host: Telling, capsys: pytest.CaptureFixture[str]
) -> None:
    host.know()
    host.core_updated("dbus", -5)
    assert answer(capsys)[0] == 0
    host.core_updated("glibc", 5)
    code, line = answer(capsys)
    assert code == 101 and "glibc was updated after the boot" in line and "dbus" not in line
    host.remove_cache()
    assert answer(capsys)[0] == 101, "what is known to be needed is said though CVEs are unknown"


def test_names_from_needs_restarting_count(host: Telling, capsys: pytest.CaptureFixture[str]) -> None:
    host.know()
    host.core_updated("mydaemon", 5)
    assert answer(capsys)[0] == 0
    host.host.put("/etc/dnf/plugins/needs-restarting.d/my.conf", "# mine\nmydaemon\n")
    assert answer(capsys)[0] == 101


def test_on_a_lower_bound_a_newer_kernel_may_fix_more(
    host: Telling, capsys: pytest.CaptureFixture[str]
) -> None:
    host.know((1000, "Low"), quality="lower-bound", reason="no own advisory")
    host.load(host.patch("1", "CVE-2026-1000"))
    code, line = answer(capsys)
    assert code == 0 and "not needed for CVEs of those known" in line, "no reboot could close more"
    host.kernel_installed("6.12.2-1")
    code, line = answer(capsys)
    assert code == 102 and "may fix more than is known: no own advisory" in line


def test_the_fast_comparison_agrees_with_rpms() -> None:
    rows = [CveState(f"CVE-2026-{n}", "open", fixed_in=f"6.12.{n}-1") for n in (2, 2, 3, 10)]

    def never(one: str, other: str) -> int:
        raise AssertionError("not needed here")

    for evr in ("6.12.2-1", "6.12.3-1", "6.12.10-1"):
        slow = tuple(row for row in rows if compare(row.fixed_in, evr) <= 0)
        assert reboot.closed_by(rows, evr, never) == slow
    assert len(reboot.closed_by(rows, "6.12.9-1", compare)) == 3


@pytest.mark.parametrize("text", ["", "btime x\n", "btime 99999999999999999\n", "cpu 1\n"])
def test_a_strange_proc_stat_is_no_boot_time(host: Telling, text: str) -> None:
    host.host.put("/proc/stat", text)
    assert reboot.boot_time(host.paths) == 0


def test_the_newest_installed_build_of_the_same_package() -> None:
    builds = (("kernel-core", "5-9.el9"), ("kernel-core", "5-10.el9"), ("kernel-rt-core", "5-99.el9"))
    assert reboot.newest(builds, "kernel-core-5-9.el9.x86_64", compare) == "5-10.el9"
    assert reboot.newest(builds, "kernel-core-5-10.el9.x86_64", compare) == ""
    assert reboot.newest(builds, "", compare) == ""


@pytest.mark.parametrize(
    ("package", "newer"),
    [
        ("kernel-uki-virt-5-9.el9.x86_64", "5-12.el9"),
        ("kernel-core-5-9.el9.x86_64", "5-12.el9"),
        ("kernel-modules-core-5-9.el9.x86_64", "5-12.el9"),  # what owns the running kernel's folder
        ("kernel-rt-core-5-9.el9.x86_64", "5-99.el9"),
        ("kernel-uek-5-9.el9uek.x86_64", "5-15.el9uek"),
        ("kernel-64k-core-5-9.el9.aarch64", ""),
        ("kernel6.12-5-9.amzn2023.x86_64", "5-10.amzn2023"),
        ("kernel-default-5-9.1.x86_64", ""),
    ],
)
def test_a_build_counts_by_its_kernel_whatever_its_package_is_called(package: str, newer: str) -> None:
    builds = (
        ("kernel6.12", "5-10.amzn2023"),
        ("kernel-core", "5-11.el9"),
        ("kernel-uki-virt", "5-12.el9"),
        ("kernel", "5-13.el9"),
        ("kernel-modules-extra", "5-14.el9"),
        ("kernel-uek-core", "5-15.el9uek"),
        ("kernel-debug-core", "5-98.el9"),
        ("kernel-rt-core", "5-99.el9"),
    )
    assert reboot.newest(builds, package, compare) == newer


def test_a_host_with_a_unified_kernel_image_alone(host: Telling, capsys: pytest.CaptureFixture[str]) -> None:
    known = host.know((1000, "Important"))
    advisories.save(host.paths, known._replace(kernel_package="kernel-uki-virt-6.12.1-1.x86_64"))
    for evr in ("6.12.1-1", "6.12.2-1"):
        header = {"name": "kernel-uki-virt", "evr": evr}
        host.database.rows.append(("providename", "kernel-uname-r", header))
    assert answer(capsys)[0] == 100


def test_a_live_patch_that_only_a_reboot_can_exchange_asks_for_one(host: Telling) -> None:
    host.know()
    host.load(host.patch("1", "CVE-2026-1000"))
    report = status.gather(host.paths, config.Config())
    (row,) = report.patches
    assert reboot.advise(report, "", (), compare).code == 0

    mine = report._replace(patches=(row._replace(state=look.OTHER_BUILD, owner="livepatch"),))
    advice = reboot.advise(mine, "", (), compare)
    assert advice.code == 101 and "reboot needed to downgrade or exchange" in advice.text
    assert str(next_step.step(mine, advice)) == "systemctl reboot"
    others = report._replace(patches=(row._replace(state=look.OTHER_BUILD, owner="package"),))
    assert reboot.advise(others, "", (), compare).code == 0, "they would load theirs again"

    refused = report._replace(problems=(problem("unload-refused", module="lp_1", why="busy"),))
    advice = reboot.advise(refused, "", (), compare)
    assert (
        advice.code == 101
        and "Live patch lp_1 stays in force: the kernel refused to disable it" in advice.text
    )
