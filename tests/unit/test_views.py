# SPDX-License-Identifier: GPL-2.0-or-later
"""What a person reads: status at 3 a.m., tables, proof of redirection, colour that carries nothing alone."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import pytest

from dnf_plugin_livepatch.base import config, texts
from dnf_plugin_livepatch.base.config import Config
from dnf_plugin_livepatch.base.model import Debt, Function, LoadedPatch, Unfixable
from dnf_plugin_livepatch.host.files import guard_file
from dnf_plugin_livepatch.host.kernel import running as kernels
from dnf_plugin_livepatch.host.packages.evr import compare
from dnf_plugin_livepatch.host.report import doctor, next_step, reboot, status
from dnf_plugin_livepatch.host.report import text as views
from dnf_plugin_livepatch.vendors import profiles
from tests.unit.support.fakehost import run
from tests.unit.support.reporting import Telling, debt, stamp

CONF, SUSE_FILE = "/etc/dnf/plugins/livepatch.conf", "/etc/sysconfig/livepatching"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Telling:
    return Telling(str(tmp_path), monkeypatch)


def told(
    host: Telling,
    colour: bool = False,
    settings: Config = Config(),  # noqa: B008
) -> tuple[str, str]:
    report = status.gather(host.paths, settings)
    newer = reboot.newest(report.kernels, report.inputs.kernel_package, compare)
    advice = reboot.advise(report, newer, [], compare)
    lines = views.status_text(report, advice)
    return "\n".join(map(texts.drawn, lines) if colour else lines), str(next_step.step(report, advice))


def test_status_names_everything_one_needs(host: Telling) -> None:
    host.know((1000, "Important"), (2000, "Low"), (3000, "Critical"), support_end=stamp(-86400 * 40)[:10])
    patch = host.patch("1", "CVE-2026-1000", unfixable=(Unfixable("CVE-2026-2000", "changes a struct"),))
    host.load(patch)
    text, _ = told(host)
    for words in (
        "6.12.1-1.x86_64",
        "(40 days left)",
        "lp-1-1.x86_64",
        "in force",
        "module lp_1",
        "Closed live    : 1",
        "Open           : 1",
        "CVE-2026-3000",
        "Critical",
        "Reboot only    : 1",
        "changes a struct",
    ):
        assert words in text, words


def unlooked(host: Telling) -> None:
    """Nothing has read the repositories yet."""


def open_without_a_patch(host: Telling) -> None:
    host.know((1000, "Important"))


def installed_and_not_loaded(host: Telling) -> None:
    open_without_a_patch(host)
    host.patch("1", "CVE-2026-1000")


def blocked(host: Telling) -> None:
    open_without_a_patch(host)
    guard_file.block(host.paths, str(host.patch("1", "CVE-2026-1000").nevra), "it crashed")


def unblocked(host: Telling) -> None:
    blocked(host)
    guard_file.unblock(host.paths, str(host.patch("1", "CVE-2026-1000").nevra))


def in_force(host: Telling) -> None:
    open_without_a_patch(host)
    host.load(host.patch("1", "CVE-2026-1000"))


def in_transition(host: Telling) -> None:
    in_force(host)
    host.sysfs("lp_1", "transition", "1")


def disabled(host: Telling) -> None:
    in_force(host)
    host.sysfs("lp_1", "enabled", "0")
    host.kernel_installed("6.12.2-1")


@pytest.mark.parametrize(
    ("state", "action"),
    [
        (unlooked, "dnf livepatch update --check"),
        (open_without_a_patch, "dnf upgrade"),
        (installed_and_not_loaded, "livepatch reconcile"),
        (blocked, "dnf upgrade"),
        (unblocked, "livepatch reconcile"),
        (in_transition, "livepatch status"),
        (disabled, "livepatch reconcile"),
    ],
)
def test_the_next_action_is_one_command(
    host: Telling, state: Callable[[Telling], None], action: str
) -> None:
    state(host)
    assert told(host)[1].startswith(action)


def test_no_number_is_shown_where_no_advisory_was_read(host: Telling) -> None:
    text = told(host)[0]
    for title in ("Closed live    ", "Open           ", "Reboot only    "):
        assert f"{title}: unknown" in text


def test_a_block_is_told_with_its_reason(host: Telling) -> None:
    blocked(host)
    assert "it crashed" in told(host)[0]


def test_with_everything_in_force_there_is_nothing_to_do(host: Telling) -> None:
    in_force(host)
    text, action = told(host)
    assert action == ""
    assert "Next           : nothing to do" in text


OFF = {
    "kill switch": ("/proc/cmdline", "quiet livepatch.enable=0\n", "livepatch.enable=0 is on"),
    "container": ("/run/systemd/container", "docker", "this is a container"),
    "mode": (CONF, "[main]\nmode = install-only\n", "mode = install-only in livepatch.conf"),
    "vendor's switch": (SUSE_FILE, "LIVEPATCH=never\n", f"LIVEPATCH=never in {SUSE_FILE}"),
}


@pytest.mark.parametrize("reconciled", [False, True])
@pytest.mark.parametrize("name", OFF)
def test_why_nothing_is_loaded_is_said(
    host: Telling, monkeypatch: pytest.MonkeyPatch, name: str, reconciled: bool
) -> None:
    suse = profiles.find(profiles.load(("/nonexistent",))[0], "suse")._replace(name="livepatch")
    monkeypatch.setattr(profiles, "load", lambda _: ((suse,), ()))
    host.know((1000, "Important"))
    host.patch("1", "CVE-2026-1000")
    path, text, why = OFF[name]
    host.host.put(path, text)
    settings = config.read(host.paths.config)[0]
    if reconciled:
        host.host.config = settings
        assert why in run(host.host).skipped
    shown, action = told(host, settings=settings)
    report = status.gather(host.paths, settings)
    assert why in report.skipped and f"Not loading    : {report.skipped}\n" in shown
    assert report.state == "attention" and not report.problems
    elsewhere = "livepatch status    (on the host of this container)"
    here = f"livepatch reconcile    (when this is changed, as nothing is loaded: {report.skipped})"
    assert action == (elsewhere if name == "container" else here)
    assert views.body(report, reboot.Advice(0, ""))["skipped"] == report.skipped
    (found,) = (item for item in doctor.examine(host.paths) if why in item.text)
    assert found.id in ("no-place-to-load", "loading-off") and found.severity == "warning"
    host.kernel_installed("6.12.2-1")
    assert told(host, settings=settings)[1] == (elsewhere if name == "container" else "systemctl reboot")
    # Whatever the last run was kept from, what counts is what would keep the next one from it.
    host.host.put(path, "")
    if name != "container":
        assert told(host)[1] == "livepatch reconcile" and "Not loading" not in told(host)[0]
        assert not {item.id for item in doctor.examine(host.paths)} & {"no-place-to-load", "loading-off"}


def test_what_only_root_sees_of_the_place_is_taken_from_its_run(
    host: Telling, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.patch("1", "CVE-2026-1000")
    host.host.put("/run/systemd/container", "docker")
    run(host.host)
    monkeypatch.setattr(kernels, "_container", lambda _: False)
    assert "this is a container" in status.gather(host.paths, Config()).skipped


def test_an_installed_fix_asks_for_the_reboot(host: Telling) -> None:
    host.know((1000, "Important"))
    host.kernel_installed("6.12.2-1")
    assert told(host)[1] == "systemctl reboot"


def test_colour_only_underlines(host: Telling) -> None:
    host.know((1000, "Important"))
    host.patch("1", "CVE-2026-1000")
    plain, bright = told(host)[0], told(host, colour=True)[0]
    assert "\033[" in bright and "\033" not in plain
    import re

    assert re.sub(r"\033\[[0-9;]*m", "", bright) == plain


def test_counts_claim_nothing_that_is_not_known(host: Telling) -> None:
    host.know((1000, "Low"), quality="lower-bound", reason="no advisory lists the running kernel")
    text, _ = told(host)
    assert "Open           : at least 1" in text and "Reboot only    : unknown" in text
    assert "Not complete   : no advisory lists" in text


def test_the_table_of_cves_has_the_dates_where_there_is_room(host: Telling) -> None:
    dated = tuple(
        row._replace(dated="2026-11-01T08:00:00Z", date_kind="updated")
        for row in debt((1000, "Low"), (2000, "High"))
    )
    host.know(debt=(*dated, Debt("CVE-2026-3000", "A-3", "", "6.12.9-1")))
    report = status.gather(host.paths, Config())
    head, *rows, last = views.cves_text(report)
    assert "DATED" in head and [row[head.index("DATED") :][:12].strip() for row in (*rows, last)] == [
        "2026-11-01",
        "-",
        "2026-11-01",
    ]
    widest = max(map(len, (head, *rows, last)))
    assert views.cves_text(report, widest) == [head, *rows, last]
    narrow = views.cves_text(report, widest - 1)
    assert "DATED" not in narrow[0] and "2026-11-01" not in "\n".join(narrow)


A = Function("vmlinux", "a", 1)
LOADED = LoadedPatch(
    "lp",
    True,
    False,
    functions=(A, Function("ext4", "b", 1)),
    patched_objects=("vmlinux",),
)


def test_proof_of_redirection() -> None:
    rows = views.functions([LOADED], {A: True}, {"lp": (("vmlinux", "a"), ("ext4", "b"), ("nfsd", "c"))})
    assert [(r["function"], r["state"], r["sysfs"], r["ftrace"]) for r in rows] == [
        ("a", "redirected", "vmlinux/a,1", True),
        ("b", "pending", "ext4/b,1", False),
        ("c", "pending", "", False),
    ]
    (moving, *_) = views.functions([LOADED._replace(transition=True)], None, {})
    assert (moving["state"], moving["ftrace"]) == ("in-transition", None)
    (off, *_) = views.functions([LOADED._replace(enabled=False)], {A: True}, {})
    assert off["state"] == "pending"
    (denied, *_) = views.functions([LOADED], {A: False}, {})
    assert (denied["state"], denied["ftrace"]) == ("not-redirected", False), "sysfs alone is no proof"
    (hidden, *_) = views.functions([LOADED], {A: None}, {})
    assert (hidden["state"], hidden["ftrace"]) == ("redirected", None), "what is hidden denies nothing"
    assert "not readable" in "\n".join(views.functions_text([moving]))


def test_tables_line_up() -> None:
    assert views.table(("A", "BB"), [("long", "x"), ("", "yy")]) == ["A     BB", "long  x", "      yy"]
