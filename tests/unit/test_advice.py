# SPDX-License-Identifier: GPL-2.0-or-later
"""Advice that can help: the next step, and the end of support where nobody promised one."""

from __future__ import annotations

from pathlib import Path

import pytest

from dnf_plugin_livepatch.base.config import Config
from dnf_plugin_livepatch.base.model import Hold
from dnf_plugin_livepatch.exposure.compute import OnOffer
from dnf_plugin_livepatch.host.files import guard_file, notices
from dnf_plugin_livepatch.host.packages.evr import compare
from dnf_plugin_livepatch.host.report import exports, next_step, reboot, status
from dnf_plugin_livepatch.host.report import text as views
from tests.unit.support.fakehost import RELEASE
from tests.unit.support.reporting import Telling, stamp


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Telling:
    return Telling(str(tmp_path), monkeypatch)


def told(host: Telling) -> tuple[str, str]:
    """The text of status, and its next step."""
    report = status.gather(host.paths, Config())
    advice = reboot.advise(report, "", [], compare)
    return "\n".join(views.status_text(report, advice)), str(next_step.step(report, advice))


NOTHING = "no command helps yet: no enabled repository offers a kernel or a live patch that fixes "


@pytest.mark.parametrize(
    ("offered", "action"),
    [
        (None, "dnf upgrade"),
        (OnOffer(), NOTHING + "them"),
        (OnOffer("6.12.2-1"), "dnf upgrade"),
        (OnOffer("6.12.1-2"), NOTHING + "them"),
        (
            OnOffer("", "6.12.3-1"),
            "no command helps yet: DNF's excludes (see excludepkgs= and versionlock) hide",
        ),
        (OnOffer("6.12.1-2", "6.12.1-3"), NOTHING + "them"),
        (OnOffer("", "", "lp-1-9.x86_64"), "dnf upgrade"),
        (
            OnOffer(kept="lp-1-9.x86_64", why="Live patch lp-1-9.x86_64 is not added: mode = report."),
            "no command helps yet: live patch lp-1-9.x86_64 is not added: mode = report",
        ),
        (
            OnOffer("", "6.12.3-1", prefers="vip"),
            "no command helps yet: by its priority, DNF prefers vip to the repository of kernel 6.12.3-1",
        ),
    ],
)
def test_an_upgrade_is_advised_where_it_would_install_a_fix(
    host: Telling, offered: OnOffer | None, action: str
) -> None:
    host.know((1000, "Low"), (1001, "Critical"), on_offer=offered)
    text, step = told(host)
    assert step.startswith(action)
    reboot = next(line for line in text.splitlines() if line.startswith("Reboot  "))
    assert ("run 'dnf upgrade'" in reboot) is (action == "dnf upgrade")


def test_a_patch_on_offer_that_is_installed_is_no_fix(host: Telling) -> None:
    host.know((1000, "Low"), on_offer=OnOffer("", "", str(host.patch("1", "CVE-2026-9000").nevra)))
    host.load(host.patch("1", "CVE-2026-9000"))
    assert told(host)[1] == NOTHING + "it"


def test_a_patch_that_was_blocked_by_hand_waits_for_a_newer_one(host: Telling) -> None:
    nevra = str(host.patch("1", "CVE-2026-1000").nevra)
    guard_file.block(host.paths, nevra, "it slowed the database")
    host.know((1000, "Low"), on_offer=OnOffer())
    step = told(host)[1]
    assert step.startswith("no command helps yet: ") and "'livepatch unblock' ends the block" in step
    host.know((1000, "Low"), on_offer=OnOffer("", "", "lp-9-1.x86_64"))
    assert told(host)[1].startswith("dnf upgrade ")


@pytest.mark.parametrize(
    ("names", "command"),
    [
        ((), "dnf upgrade kernel-core"),
        (("kernel-core",), "dnf upgrade kernel-core"),
        (("kernel", "kernel-core", "kernel-modules"), "dnf upgrade kernel kernel-core kernel-modules"),
    ],
)
def test_a_held_kernel_is_upgraded_by_all_of_its_names(
    host: Telling, names: tuple[str, ...], command: str
) -> None:
    host.know((1000, "Low"), on_offer=OnOffer("6.12.2-1"))
    since, why = "2026-11-22T00:00:00Z", "kernel_update = hold"
    hold = Hold(RELEASE, "kernel-core", "6.12.2-1", since, why, names=names)
    assert notices.save(host.paths, notices.Notices(hold=hold))
    assert told(host)[1] == command
    report = status.gather(host.paths, Config())
    (problem,) = [one for one in report.problems if one.id == "kernel-held"]
    assert problem.remedy == f"'{command}' installs it anyway."


@pytest.mark.parametrize(
    ("promised", "window", "line", "usual"),
    [
        ("2099-01-01", "2098-01-01", "until 2099-01-01 (", False),
        ("", "2098-01-01", "until about 2098-01-01, the vendor's usual time; no day is promised", True),
        ("", "2020-01-01", "until about 2020-01-01, the vendor's usual time", True),
        ("2020-01-01", "", "until 2020-01-01 (ended ", False),
        ("", "", "end not known", False),
    ],
)
def test_an_end_that_nobody_promised_is_marked(
    host: Telling, promised: str, window: str, line: str, usual: bool
) -> None:
    host.know((1000, "Low"), support_end=promised, window_end=window)
    report = status.gather(host.paths, Config())
    shown = next(text for text in told(host)[0].splitlines() if text.startswith("Support"))
    assert line in shown and ("days left" in shown) is (promised == "2099-01-01")
    assert views.body(report, reboot.Advice(0, ""))["support"]["usual"] is usual
    number = exports.check(report, reboot.Advice(0, ""))[1]
    assert ("usual_support_days=" in number) is usual
    metrics = exports.metrics(report, reboot.Advice(0, ""))
    assert ("livepatch_support_end_usual" in metrics.replace("# ", "")) is bool(promised or window)
    ids = {problem.id for problem in report.problems if problem.id.startswith("support")}
    assert ids == ({"support-may-have-ended" if usual else "support-ended"} if "2020" in line else set())


def test_one_day_is_one_day(host: Telling) -> None:
    host.know(support_end=stamp(-86400)[:10])
    assert "(1 day left)" in told(host)[0]
