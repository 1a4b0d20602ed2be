# SPDX-License-Identifier: GPL-2.0-or-later
"""The first step out of each state: the table, its document, and the choice of the row."""

from __future__ import annotations

import os
import re
import string
from collections.abc import Callable
from pathlib import Path

import pytest

from dnf_plugin_livepatch.base.config import Config
from dnf_plugin_livepatch.exposure.compute import OnOffer
from dnf_plugin_livepatch.host.files import guard_file
from dnf_plugin_livepatch.host.packages.evr import compare
from dnf_plugin_livepatch.host.report import next_step, reboot, status
from dnf_plugin_livepatch.messages import catalogue, loading, reconcile
from dnf_plugin_livepatch.messages import status as statuses
from tests.unit.support.fakehost import run
from tests.unit.support.reporting import Telling

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DOCUMENT = os.path.join(TOP, "docs", "reference", "next-steps.md")
#: Errors of a verb that refuses before a run, or of doctor: status shows none of them.
OF_VERBS = {
    "need-root",
    "other-root",
    "reconcile-running",
    "no-such-package",
    "vex-empty",
    "unload-not-ours",
    "not-at-next-boot",
    "guard-unwritable",
    "root-missing",
    "option-misplaced",
    "command-ended",
    "output-unwritable",
    "cves-unknown",
    "name-ambiguous",
}


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Telling:
    host = Telling(str(tmp_path), monkeypatch)
    host.know((1000, "Important"), on_offer=OnOffer())
    return host


def step(host: Telling, newer: str = "") -> next_step.Step:
    report = status.gather(host.paths, Config())
    return next_step.step(report, reboot.advise(report, newer, [], compare))


def shown(template: str) -> str:
    """``template`` as the document shows it: each fact is an italic word."""
    parts = ((text, name) for text, name, _, _ in string.Formatter().parse(template))
    return "".join(text + (f"*{name}*" if name else "") for text, name in parts)


def table() -> str:
    """The table of the document."""
    lines = ["| state | the host | Next | note |", "|---|---|---|---|"]
    for key, row in next_step.TABLE.items():
        typed = re.sub(r"\{(\w+)\}", lambda fact: fact.group(1).upper(), row.command)
        command = f"`{typed}`" if typed else "wait" if row.note else "nothing to do"
        if row.command == "{why}":
            command = "the command of the reboot advice"
        lines.append(f"| {key} | {row.state} | {command} | {shown(row.note)} |")
    return "\n".join(lines) + "\n"


def test_the_document_shows_the_table() -> None:
    with open(DOCUMENT, encoding="utf-8") as file:
        assert table() in file.read(), "the table of next-steps.md is not next_step.TABLE:\n" + table()


def test_every_error_that_a_run_can_end_with_has_a_state() -> None:
    topics = {**statuses.STATUS, **reconcile.RECONCILE, **loading.LOADING}
    errors = {name for name, message in topics.items() if message.severity == "error"}
    assert errors - OF_VERBS == set(next_step.OF_PROBLEM) - {"guard-unknown"}
    assert catalogue.CATALOGUE["guard-unknown"].severity == "warning"
    assert set(next_step.OF_PROBLEM.values()) <= {*next_step.TABLE, "bad"}


def test_no_two_states_go_in_a_circle_by_name() -> None:
    """A state whose step is to look again is one that ends without anybody's doing."""
    looks = {key for key, row in next_step.TABLE.items() if row.command.startswith("livepatch status")}
    assert looks == {"container", "moving", "transition"}
    assert not any("doctor" in row.command for row in next_step.TABLE.values())


def test_no_remedy_of_an_error_in_status_names_status() -> None:
    """Whoever reads the remedy has just typed that; a load that goes on ends without anybody's doing."""
    circles = {
        name for name in next_step.OF_PROBLEM if "'livepatch status'" in catalogue.CATALOGUE[name].remedy
    }
    assert circles == {"load-goes-on"}


def refused(host: Telling) -> None:
    host.patch("2", behave="refuse:Unknown symbol in module")


def another_kernels(host: Telling) -> None:
    host.patch("2", vermagic="6.1.0-1.x86_64 SMP")


def lying(host: Telling) -> None:
    host.patch("2", behave="liar")


BAD = (refused, another_kernels, lying)


@pytest.mark.parametrize("spoil", BAD)
@pytest.mark.parametrize(
    ("offer", "newer", "state", "command"),
    [
        (None, "", "bad-newer", "dnf upgrade"),
        (OnOffer("", "", "lp-3-1.x86_64", builds=("lp-3-1.x86_64",)), "", "bad-newer", "dnf upgrade"),
        (
            OnOffer("", "", "", builds=("lp-2-1.x86_64", "lp-1.5-1.x86_64", "lp-1-1.x86_64")),
            "6.12.9-1",
            "bad-older",
            "livepatch block lp-2-1.x86_64 && dnf downgrade lp-1.5-1.x86_64",
        ),
        (OnOffer("", "", "", builds=("lp-2-1.x86_64",)), "6.12.9-1", "bad-reboot", "systemctl reboot"),
        (OnOffer("", "", "", builds=("lp-2-1.x86_64",)), "", "bad-alone", "livepatch block lp-2-1.x86_64"),
    ],
)
def test_a_bad_patch(
    host: Telling,
    spoil: Callable[[Telling], None],
    offer: OnOffer | None,
    newer: str,
    state: str,
    command: str,
) -> None:
    host.know((1000, "Important"), on_offer=offer)
    spoil(host)
    assert not run(host.host).ok
    assert step(host, newer)[:2] == (state, command)
    if state == "bad-alone":
        guard_file.block(host.paths, "lp-2-1.x86_64", "as advised")
        run(host.host)
        assert step(host).state == "accepted" and step(host).command == ""


@pytest.mark.parametrize("spoil", BAD)
def test_a_downgrade_after_the_block_leads_out(host: Telling, spoil: Callable[[Telling], None]) -> None:
    """The next upgrade does not take the bad one again, and no step asks for that."""
    builds = ("lp-2-1.x86_64", "lp-1.5-1.x86_64")
    host.know((1000, "Important"), on_offer=OnOffer("", "", "", builds=builds))
    spoil(host)
    assert not run(host.host).ok
    assert step(host).command == f"livepatch block {builds[0]} && dnf downgrade {builds[1]}"
    guard_file.block(host.paths, builds[0], "as advised")
    run(host.host)
    assert step(host).state in ("bad-older", "transition")
    host.patch("1.5")
    assert run(host.host).ok and host.host.running() == ["lp_1_5"]
    host.know((1000, "Important"), on_offer=OnOffer("", "", builds[0], builds=builds))
    assert step(host).state in ("fine", "open-for-now") and step(host).command == ""


@pytest.mark.parametrize(
    ("blocked", "state", "command"),
    [
        ((), "bad-newer", "dnf upgrade"),
        (("4",), "bad-older", "livepatch block lp-3-1.x86_64 && dnf downgrade lp-2-1.x86_64"),
        (("4", "2"), "bad-older", "livepatch block lp-3-1.x86_64 && dnf downgrade lp-1-1.x86_64"),
        (("4", "2", "1"), "bad-alone", "livepatch block lp-3-1.x86_64"),
    ],
)
def test_what_this_host_blocked_is_never_proposed(
    host: Telling, blocked: tuple[str, ...], state: str, command: str
) -> None:
    builds = tuple(f"lp-{number}-1.x86_64" for number in (4, 3, 2, 1))
    host.know((1000, "Important"), on_offer=OnOffer("", "", builds[0], builds=builds))
    for number in blocked:
        guard_file.block(host.paths, f"lp-{number}-1.x86_64", "killed the db")
    host.patch("3", behave="liar")
    assert not run(host.host).ok
    assert step(host)[:2] == (state, command)


def test_an_older_build_that_is_the_installed_one_is_not_offered(host: Telling) -> None:
    host.know((1000, "Important"), on_offer=OnOffer("", "", "", builds=("lp-1-1.x86_64",)))
    refused(host)
    assert not run(host.host).ok and step(host).state == "bad-alone"


def damage(host: Telling, path: str) -> None:
    with open(path, "ab") as file:
        file.write(b"x")


@pytest.mark.parametrize("harm", [damage, lambda host, path: os.unlink(path)])
def test_a_damaged_module_is_installed_again(host: Telling, harm: Callable[[Telling, str], None]) -> None:
    patch = host.patch("2")
    harm(host, patch.modules[0].path)
    assert not run(host.host).ok
    assert step(host).command == f"dnf reinstall {patch.nevra}"
    host.host.install(patch)
    assert run(host.host).ok and step(host).state in ("fine", "open-for-now")


def test_a_foreign_patch_is_taken_out_by_the_two_commands(host: Telling) -> None:
    foreign = host.host.patch("7", name="theirs")
    host.host.install(foreign)
    assert host.host.insmod(foreign.modules[0].path)[0] == 0
    patch = host.patch("2")
    assert not run(host.host).ok
    found = step(host)
    assert found.state == "foreign" and found.command == "echo 0 >/sys/kernel/livepatch/theirs_7/enabled"
    assert "'rmmod theirs_7'" in found.note
    host.host.write(f"{host.paths.klp}/theirs_7/enabled", "0")
    assert host.host.rmmod("theirs_7")[0] == 0
    assert run(host.host).ok and host.host.running() == [patch.modules[0].name]


def test_a_name_that_a_dead_module_holds_is_freed(host: Telling) -> None:
    patch = host.patch("2")
    assert host.host.insmod(patch.modules[0].path)[0] == 0
    host.host.write(f"{host.paths.klp}/lp_2/enabled", "0")
    assert not run(host.host).ok
    assert step(host).command == "rmmod lp_2 && livepatch reconcile"


def test_the_guards_file_is_put_aside(host: Telling) -> None:
    host.patch("2")
    host.host.put("/var/lib/livepatch/guard.json", "{")
    assert not run(host.host).ok
    path = "/var/lib/livepatch/guard.json"
    assert step(host).command == f"mv {path} {path}.broken && livepatch reconcile"
    os.rename(host.paths.guard, host.paths.guard + ".broken")
    assert run(host.host).ok


def test_the_rpm_database_is_rebuilt(host: Telling) -> None:
    host.patch("2")
    host.host.put("/rpmdb-broken", "")
    assert not run(host.host).ok and step(host).state == "database"


def test_a_disk_is_made_writable_first(host: Telling, monkeypatch: pytest.MonkeyPatch) -> None:
    from dnf_plugin_livepatch.host.files import storage

    host.patch("2", behave="refuse:Unknown symbol in module")
    assert not run(host.host).ok

    class Room:
        f_flag, f_bfree, f_frsize, f_files, f_ffree = 0, 0, 4096, 0, 0

    real = os.statvfs
    monkeypatch.setattr(os, "statvfs", lambda path: Room if "/var" in path else real(path))
    assert storage.fault(host.paths).id == "state-full"  # type: ignore[union-attr]
    assert step(host).command == "dnf clean all"
    Room.f_bfree, Room.f_files = 1 << 20, 10
    assert storage.fault(host.paths).id == "state-full", "no inode is free"  # type: ignore[union-attr]
    Room.f_flag = os.ST_RDONLY
    assert step(host).command.startswith("mount -o remount,rw /")
    Room.f_flag, Room.f_ffree = 0, 5
    assert storage.fault(host.paths) is None and step(host).state == "bad-alone"


def test_a_stalled_load_and_an_unloaded_patch(host: Telling) -> None:
    host.patch("2", behave="stall")
    assert not run(host.host).ok and step(host).state == "in-the-way"
    nevra = str(host.patch("3").nevra)
    assert run(host.host).ok
    guard_file.keep_unloaded(host.paths, nevra, "")
    run(host.host)
    assert step(host).command == f"livepatch unblock {nevra}"
