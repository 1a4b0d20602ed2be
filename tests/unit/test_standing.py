# SPDX-License-Identifier: GPL-2.0-or-later
"""What the last run found and what is so now: status tells the present, and dates what only a run knows."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from dnf_plugin_livepatch.base.model import InForce, Problem
from dnf_plugin_livepatch.host import look
from dnf_plugin_livepatch.host.cli import main
from dnf_plugin_livepatch.host.files import atomic, guard_file, journal, mailbox
from dnf_plugin_livepatch.host.kernel import running
from dnf_plugin_livepatch.host.report import standing
from dnf_plugin_livepatch.messages import catalogue
from tests.unit.support.fakehost import run
from tests.unit.support.reporting import Telling, stamp

FINISHED = "2026-11-26T23:59:01Z"
NEVRA, MODULE = "lp-1-1.x86_64", "lp_1"


@pytest.fixture
def host(tmp_path, monkeypatch) -> Iterator[Telling]:
    made = Telling(str(tmp_path), monkeypatch)
    made.know((1000, "Important"))
    yield made


def answered(host: Telling, *problems: Problem, **facts: Any) -> None:
    """The result of a run of last night."""
    kernel = running.running(host.paths)
    result = mailbox.new_result("1-1", kernel, ok=not problems, problems=problems, **facts)
    atomic.write_json(host.paths.result, mailbox.dump(result._replace(finished=FINISHED)), mailbox.load)


def status(capsys) -> dict[str, Any]:
    main.main(["status", "--json"])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def found(capsys) -> dict[str, str]:
    """The ids of the findings, each with the time of the run that made it."""
    return {problem["id"]: problem["at"] for problem in status(capsys)["problems"]}


def shown(capsys, verb: str) -> str:
    main.main([verb])
    return str(capsys.readouterr().out)


def of(identifier: str, **facts: Any) -> Problem:
    words = {"nevra": NEVRA, "module": MODULE, "timeout": 60, "tasks": "sleep (12)", "how": "x", "why": "y"}
    words.update(path="p", release="r", output="o", signer="s", function="f", probe="p", functions="f")
    words.update(
        targets="ext4", since="s", seconds=9, rival="K", then="t", how="h", told="t", found="f", **facts
    )
    return catalogue.problem(identifier, **words)


NOT_LOADED = ("transition-stalled", "load-refused", "load-no-key", "load-goes-on", "load-unknown-symbol")


@pytest.mark.parametrize("identifier", [*NOT_LOADED, "patch-without-module", "load-incompatible"])
def test_the_reason_of_a_failed_load_stands_until_the_patch_is_in_or_gone(host, capsys, identifier) -> None:
    patch = host.patch("1", "CVE-2026-1000")
    answered(host, of(identifier))
    assert found(capsys) == {identifier: FINISHED}
    line = f"(found at {FINISHED})"
    assert line in shown(capsys, "status") and line in shown(capsys, "check")
    host.load(patch)
    assert found(capsys) == {} and status(capsys)["state"] == "ok"
    shutil.rmtree(f"{host.paths.klp}/{MODULE}")
    host.host.install()
    assert found(capsys) == {}


def test_a_patch_that_is_not_in_force_is_told_of_now(host, capsys) -> None:
    host.patch("1", "CVE-2026-1000")
    answered(host, catalogue.not_in_force(NEVRA, (InForce("x", "other-9-9.x86_64"),)))
    (problem,) = status(capsys)["problems"]
    assert problem["at"] == "" and "still vulnerable" in problem["text"], "the other one is gone"


@pytest.mark.parametrize("gone", [True, False])
def test_a_foreign_patch_is_in_the_way_as_long_as_it_is_there(host, capsys, gone) -> None:
    other = host.patch("9")
    host.load(other, ours=False)
    host.patch("1", "CVE-2026-1000")
    host.host.install(host.patch("1", "CVE-2026-1000"))
    answered(host, catalogue.problem("foreign-patch", nevra=NEVRA, module="an_older_one"))
    if gone:
        shutil.rmtree(f"{host.paths.klp}/{other.modules[0].name}")
    (problem,) = status(capsys)["problems"]
    assert problem["id"] == ("module-not-in-force" if gone else "foreign-patch") and not problem["at"]
    assert "an_older_one" not in problem["text"] and ("lp_9" in problem["text"]) is not gone


@pytest.mark.parametrize(
    "identifier", ["patch-blocked", "health-check-failed", "oops-while-loading", "load-crashed"]
)
def test_a_block_is_told_until_it_is_lifted(host, capsys, identifier) -> None:
    host.patch("1", "CVE-2026-1000")
    guard_file.block(host.paths, NEVRA, "it broke", "guard")
    answered(host, of(identifier))
    assert found(capsys) == {identifier: FINISHED}
    guard_file.unblock(host.paths, NEVRA)
    assert found(capsys) == {"module-not-in-force": ""}


@pytest.mark.parametrize("identifier", ["unload-stalled", "unload-refused"])
def test_a_failed_unload_is_told_while_the_patch_is_to_go(host, capsys, identifier) -> None:
    host.load(host.patch("1", "CVE-2026-1000"))
    guard_file.keep_unloaded(host.paths, NEVRA, "")
    answered(host, of(identifier))
    assert found(capsys) == {identifier: FINISHED}
    guard_file.unblock(host.paths, NEVRA)  # as an unblock does that is interrupted after its first step
    assert found(capsys) == {}


@pytest.mark.parametrize(
    ("identifier", "now"), [("rpmdb-unreadable", "inventory-unknown"), ("guard-broken", "guard-unknown")]
)
def test_a_file_that_is_whole_again_is_no_fault(host, capsys, identifier, now) -> None:
    host.load(host.patch("1", "CVE-2026-1000"))
    answered(host, of(identifier))
    assert found(capsys) == {}
    path = "/rpmdb-broken" if identifier == "rpmdb-unreadable" else "/var/lib/livepatch/guard.json"
    host.host.put(path, "{")
    assert {identifier: FINISHED, now: ""}.items() <= found(capsys).items()


@pytest.mark.parametrize("identifier", ["transition-running", "transition-stuck"])
def test_a_transition_is_in_the_way_until_it_ends(host, capsys, identifier) -> None:
    host.load(host.patch("1", "CVE-2026-1000"))
    answered(host, of(identifier))
    assert found(capsys) == {}
    host.sysfs(MODULE, "transition", "1")
    assert found(capsys) == {identifier: FINISHED}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO])
@pytest.mark.parametrize("still", [True, False])
def test_a_full_disk_is_told_while_it_is_full(host, capsys, monkeypatch, code, still) -> None:
    host.load(host.patch("1", "CVE-2026-1000"))
    answered(host, of("record-unwritable", why=os.strerror(code)))
    monkeypatch.setattr(standing, "_unwritable", lambda _: still)
    # Of a disk's other faults only a run can know, so they are told with their time.
    assert bool(found(capsys)) is (still or code == errno.EIO)


def test_an_rpm_transaction_is_told_while_it_holds_its_lock(host, capsys) -> None:
    host.load(host.patch("1", "CVE-2026-1000"))
    answered(host, of("rpm-under-way"))
    assert found(capsys) == {}
    rpm_lock(host)
    assert found(capsys) == {"rpm-under-way": FINISHED}


def rpm_lock(host: Telling, kind: str = "POSIX", way: str = "WRITE") -> None:
    host.host.put("/var/lib/rpm/.rpm.lock", "")
    place = os.stat(host.paths.at("/var/lib/rpm/.rpm.lock"))
    mark = f"{os.major(place.st_dev):02x}:{os.minor(place.st_dev):02x}:{place.st_ino}"
    host.host.put("/proc/locks", f"1: {kind}  ADVISORY  {way} 4711 {mark} 0 EOF\n")


@pytest.mark.parametrize(("way", "state"), [("WRITE", "loading"), ("READ", "failed")])
def test_what_a_transaction_has_just_unpacked_is_being_loaded(host, capsys, way, state) -> None:
    """The file trigger asks for the load at the end of the whole transaction."""
    host.patch("1", "CVE-2026-1000")
    rpm_lock(host, way=way)
    assert status(capsys)["state"] == state
    answered(host, of("load-refused"), desired=NEVRA)
    assert status(capsys)["state"] == "failed", "an unrelated transaction hides no failure"


def test_a_finding_about_a_file_goes_with_the_file(host, capsys) -> None:
    patch = host.patch("1", "CVE-2026-1000")
    answered(host, of("module-vermagic", vermagic="6.1"))
    assert found(capsys) == {"module-vermagic": FINISHED}
    path = patch.modules[0].path
    with open(path, "rb") as file:
        data = file.read()
    with open(path, "wb") as file:
        file.write(data)
    assert found(capsys) == {"module-not-in-force": ""}
    with open(path, "ab") as file:
        file.write(b"x")
    assert found(capsys) == {"module-not-in-force": "", "module-changed": ""}


@pytest.mark.parametrize(
    "identifier", ["not-kept", "kept-in-force", "function-not-redirected", "target-pending"]
)
def test_a_note_on_a_patch_in_force_goes_with_it(host, capsys, identifier) -> None:
    host.load(host.patch("1", "CVE-2026-1000"))
    answered(host, of(identifier))
    assert found(capsys) == {identifier: FINISHED}
    shutil.rmtree(f"{host.paths.klp}/{MODULE}")
    assert identifier not in found(capsys)


@pytest.mark.parametrize("identifier", ["manifest-unusable", "health-check-not-asked"])
def test_what_only_a_run_can_know_has_its_time(host, capsys, identifier) -> None:
    host.load(host.patch("1", "CVE-2026-1000"))
    answered(host, of(identifier, fault="f", command="c"))
    assert found(capsys) == {identifier: FINISHED}


def test_a_slow_load_goes_on_after_its_run(host, capsys) -> None:
    """The run gave up waiting; the kernel did not give up loading."""
    host.patch("1", "CVE-2026-1000")
    since = stamp(100)
    entry = guard_file.GuardEntry("loading", running.boot_id(host.paths), since)
    guard_file.change(host.paths, lambda guard: guard.entries.update({NEVRA: entry}))
    host.host.put(f"/sys/module/{MODULE}/initstate", "coming\n")
    answered(host, of("load-goes-on"))
    now = status(capsys)
    assert (now["state"], now["since"], now["problems"]) == ("loading", since, [])


@pytest.mark.parametrize(
    ("enabled", "words"), [("1", "being loaded: not all"), ("0", "being taken out of force: some")]
)
def test_a_transition_is_told_by_its_direction(host, capsys, enabled, words) -> None:
    host.load(host.patch("1", "CVE-2026-1000"))
    host.sysfs(MODULE, "transition", "1")
    host.sysfs(MODULE, "enabled", enabled)
    assert words in shown(capsys, "status")
    assert f"live patch {NEVRA} is being " in shown(capsys, "check")


# --- switches ---


@pytest.mark.parametrize(
    ("conf", "cmdline", "words"),
    [
        ("mode = report", "", "othing is loaded: mode = report in livepatch.conf"),
        ("mode = install-only", "", "othing is loaded: mode = install-only in livepatch.conf"),
        ("mode = load", "livepatch.enable=0", "othing is loaded: livepatch.enable=0 is on the kernel"),
        ("enabled = 0", "", "DNF adds no live patch: enabled = 0 in livepatch.conf"),
        ("enabled = no", "", "DNF adds no live patch: enabled = 0 in livepatch.conf"),
    ],
)
@pytest.mark.parametrize("installed", [True, False])
def test_a_switch_is_told_wherever_a_patch_is_missing(host, capsys, conf, cmdline, words, installed) -> None:
    if installed:
        host.patch("1", "CVE-2026-1000")
    host.host.put("/etc/dnf/plugins/livepatch.conf", f"[main]\n{conf}\n")
    host.host.put("/proc/cmdline", f"root=/dev/vda {cmdline}\n")
    for verb in ("list", "check", "motd"):
        assert words in shown(capsys, verb), verb
    assert words.partition(": ")[2] in shown(capsys, "status")
    now = status(capsys)
    assert bool(now["not_added"]) is conf.startswith("enabled") and bool(now["skipped"]) is not bool(
        now["not_added"]
    )


@pytest.mark.parametrize(
    ("this_boot", "until"), [(True, "until the next boot"), (False, "until 'livepatch unblock'")]
)
def test_an_unload_by_hand_tells_how_long_it_holds(host, capsys, this_boot, until) -> None:
    host.patch("1", "CVE-2026-1000")
    guard_file.keep_unloaded(host.paths, NEVRA, running.boot_id(host.paths) if this_boot else "")
    for verb in ("status", "list", "check", "motd"):
        assert until in shown(capsys, verb), verb
    (row,) = status(capsys)["patches"]
    assert (row["state"], row["reason"]) == (look.UNLOADED, until)


# --- what vanished ---


def gone(host: Telling) -> list[journal.Entry]:
    return [entry for entry in journal.read(host.paths) if entry.event == "vanish"]


@pytest.mark.parametrize("way", ["disabled", "rmmod", "replaced"])
def test_what_another_program_took_out_is_in_the_history(host, capsys, way) -> None:
    host.patch("1", "CVE-2026-1000")
    assert run(host.host).ok and not gone(host)
    last = mailbox.read_result(host.paths)
    assert last is not None
    shutil.rmtree(f"{host.paths.klp}/{MODULE}")
    if way == "rmmod":
        shutil.rmtree(f"{host.paths.modules}/{MODULE}")
    if way == "replaced":
        host.sysfs("foreign", "enabled", "1")
        host.sysfs("foreign", "transition", "0")
    words = f"last seen in force at {last.finished}"
    assert words in shown(capsys, "history") and not gone(host), "reading writes nothing"
    assert words in shown(capsys, "status")
    run(host.host)
    run(host.host)
    (entry,) = gone(host)
    assert entry.facts["seen"] == last.finished and entry.facts["nevra"] == NEVRA
    assert ("in force now: foreign" in str(entry.facts["reason"])) is (way == "replaced")
    assert shown(capsys, "history").count(words) == 1


@pytest.mark.parametrize("way", ["erase", "block", "unload", "upgrade", "reboot", "nothing"])
def test_what_we_took_out_did_not_vanish(host, capsys, way) -> None:
    host.patch("1", "CVE-2026-1000")
    assert run(host.host).ok
    if way == "erase":
        host.host.install()
    elif way == "block":
        guard_file.block(host.paths, NEVRA, "why")
    elif way == "unload":
        guard_file.keep_unloaded(host.paths, NEVRA, "")
    elif way == "upgrade":
        host.patch("2", "CVE-2026-1000")
    elif way == "reboot":
        host.host.reboot()
    for _ in range(2):
        run(host.host)
    assert not gone(host) and "last seen in force" not in shown(capsys, "history")


# --- taints ---


@pytest.mark.parametrize(
    ("bits", "words"),
    [
        (0, []),
        (32768, ["live patched (K)"]),
        (32768 + 4096 + 1, ["live patched (K)"]),
        (8192 + 512 + 128, ["unsigned module (E)", "oops (D)", "warning (W)"]),
        (2, ["module loaded by force (F)"]),
    ],
)
def test_the_taints_that_matter_are_told(host, capsys, bits, words) -> None:
    host.host.put("/proc/sys/kernel/tainted", f"{bits}\n")
    assert status(capsys)["kernel"]["taints"] == words
    line = f"Taints         : {', '.join(words)}\n"
    assert (line in shown(capsys, "status")) is bool(words)


def test_a_copy_that_cannot_be_loaded_is_told_like_a_package(host, capsys) -> None:
    """The block names the installed patch; the copy that should stand in for it has no package."""
    host.host.put("/no-stall", "")
    host.patch("1", behave="stall")
    assert run(host.host).ok
    guard_file.block(host.paths, "lp-2-1.x86_64", "bad here")
    host.patch("2")
    assert run(host.host).ok and host.host.running() == ["lp_1"]
    os.unlink(host.paths.at("/no-stall"))
    host.host.reboot()
    assert not run(host.host).ok and host.host.running() == []
    assert status(capsys)["state"] == "failed" and "transition-stalled" in found(capsys)
    assert main.main(["doctor"]) == 1 and main.main(["check"]) == 2


@pytest.mark.parametrize("behave", ["liar", "crash"])
def test_a_copy_that_is_gone_is_no_way_out_and_no_failure_of_its_own(host, capsys, behave) -> None:
    """The product was removed, which deletes the copies, and came back; the guard's file was kept."""
    host.patch("1")
    assert run(host.host).ok
    host.patch("2", behave=behave)
    run(host.host)
    shutil.rmtree(host.paths.kept_dir(running.running(host.paths).release))
    host.host.reboot()
    assert [item.id for item in run(host.host).problems] == ["patch-blocked"]
    guard_file.block(host.paths, "lp-2-1.x86_64", "accepted")
    for _ in range(2):
        assert run(host.host).ok and host.host.running() == []
        assert main.main(["doctor"]) == 0
        host.host.reboot()
