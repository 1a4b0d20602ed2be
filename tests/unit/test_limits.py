# SPDX-License-Identifier: GPL-2.0-or-later
"""What is written can be read again, whatever packages and repositories say; what is read is bounded."""

import bz2
import gzip
import json
import lzma
import os
import subprocess
import time

import pytest

from dnf_plugin_livepatch.base import names
from dnf_plugin_livepatch.base.model import EXACT, LOWER_BOUND, Debt, Hold, Kernel, Withdrawal
from dnf_plugin_livepatch.base.paths import Paths
from dnf_plugin_livepatch.dnf4 import metadata
from dnf_plugin_livepatch.exposure.compute import Inputs
from dnf_plugin_livepatch.formats import repository_record
from dnf_plugin_livepatch.host.files import advisories, atomic, guard_file, mailbox, notices
from dnf_plugin_livepatch.host.kernel import tasks
from dnf_plugin_livepatch.host.reconcile import settle, unchanged
from tests.unit.support.fakehost import Host, ids, run


@pytest.fixture
def host(tmp_path, monkeypatch):
    return Host(str(tmp_path)).create().attach(monkeypatch)


@pytest.mark.parametrize("name", ["_lp", "Lp_1"])
def test_a_package_of_any_name_that_rpm_takes_is_loaded(host, name):
    host.install(host.patch("1", name=name))
    assert run(host).ok and len(host.running()) == 1
    assert list(guard_file.read(host.paths).entries) == [str(host.patch("1", name=name).nevra)]
    assert run(host).ok


@pytest.mark.parametrize("count", [4096, 4097, 20000])
def test_a_patch_that_declares_thousands_of_cves_is_loaded(host, count):
    patch = host.patch("1")._replace(cves=tuple(f"CVE-2025-{number + 10000}" for number in range(count)))
    host.install(patch)
    assert run(host).ok and host.running() == ["lp_1"]
    assert len(guard_file.read(host.paths).copies[0].cves) == 4096
    host.install(host.patch("2"))
    assert run(host).ok and host.running() == ["lp_2"]


def test_the_guard_keeps_what_decides_when_a_host_has_seen_thousands_of_packages(host):
    many = {f"lp-{n}-1.x86_64": guard_file.GuardEntry("good", since=f"{n:06}") for n in range(5000)}
    bad = {f"bad-{n}-1.x86_64": guard_file.GuardEntry("blocked", since="0") for n in range(10)}
    guard_file.change(host.paths, lambda guard: guard.entries.update({**many, **bad}))
    found = guard_file.read(host.paths).entries
    assert len(found) == guard_file.MAX_ENTRIES and set(bad) <= set(found)
    assert "lp-4999-1.x86_64" in found and "lp-0-1.x86_64" not in found


def test_records_of_packages_that_are_gone_are_forgotten(host):
    first, second = host.patch("1"), host.patch("2")
    for patch in (first, second):
        host.install(patch)
        run(host)
        host.put("/proc/uptime", "999.0 1.0\n")
        settle.main(host.paths)
    gone = {
        "gone-1-1.x86_64": guard_file.GuardEntry("good"),
        "gone-2-1.x86_64": guard_file.GuardEntry("idle"),
        "bad-1-1.x86_64": guard_file.GuardEntry("blocked"),
    }
    guard_file.change(host.paths, lambda guard: guard.entries.update(gone))
    run(host)
    left = set(guard_file.read(host.paths).entries)
    assert left == {str(first.nevra), str(second.nevra), "bad-1-1.x86_64"}, "of the first there is a copy"


def test_a_file_that_its_reader_would_refuse_is_not_written(host):
    good = guard_file.GuardEntry("good")
    guard_file.change(host.paths, lambda guard: guard.entries.update({"a-1-1.x86_64": good}))
    before = open(host.paths.guard).read()
    with pytest.raises(OSError, match="could not be read again"):
        guard_file.change(host.paths, lambda guard: guard.entries.update({"a\n": good}))
    with pytest.raises(OSError, match="larger than"):
        atomic.write_json(host.paths.guard, {"x": "y" * 100}, dict, 50)
    assert open(host.paths.guard).read() == before


def test_withdrawals_of_others_do_not_push_out_the_hold(host):
    hold = Hold("r", "kernel-core", "6.1-1", "2026-11-01T00:00:00Z", "held")
    rows = tuple(Withdrawal(f"aaa-{n}-1.x86_64", "r" * 1000, "base", True) for n in range(5000))
    assert notices.save(host.paths, notices.Notices(rows, hold))
    found = notices.read(host.paths)
    assert found.hold == hold and len(found.withdrawn) == notices.MAX_WITHDRAWN
    assert os.path.getsize(host.paths.notices) < notices.MAX_BYTES


def test_more_cves_than_the_cache_holds_are_a_lower_bound(host):
    debt = tuple(
        Debt(f"CVE-2026-{n:05}", "A", "Low", "1-1", "", "") for n in range(advisories.MAX_ITEMS + 1)
    )
    assert advisories.save(host.paths, Inputs("6.1", quality=EXACT, debt=debt))
    found, _ = advisories.load(host.paths, "6.1")
    assert found is not None and len(found.debt) == advisories.MAX_ITEMS and found.quality == LOWER_BOUND


def test_inputs_that_cannot_be_read_again_leave_the_older_ones(host):
    good = Inputs("6.1", quality=EXACT, debt=(Debt("CVE-2026-1000", "A", "Low", "1-1", "", ""),))
    assert advisories.save(host.paths, good)
    odd = good._replace(cover=(("lp-1@-1.x86_64", ()),))
    assert not advisories.save(host.paths, odd) and advisories.load(host.paths, "6.1")[0] == good


@pytest.mark.parametrize(
    "text, why",
    [
        ('{"schema":1,"kernels":{"6.1":' + "[" * 300_000, "objects and lists"),
        ('{"schema":1,"kernels":{"6.1":[' + "{}," * 300_000 + "{}]}}", "objects and lists"),
        ('{"schema":1,"x":[' + '"ab",' * 600_000 + '""]}', "quotes and commas"),
        (" " * (8 << 20) + "{}", "larger than 8 MiB"),
    ],
)
def test_a_record_is_measured_before_it_is_parsed(text, why, monkeypatch):
    monkeypatch.setattr(json, "loads", lambda *_, **__: pytest.fail("it was parsed"))
    with pytest.raises(repository_record.RecordError, match=why):
        repository_record.parse(text)


def test_a_number_of_thousands_of_digits_is_refused():
    with pytest.raises(repository_record.RecordError, match="digits"):
        repository_record.parse('{"schema":1,"kernels":{},"x":' + "9" * 100_000 + "}")


@pytest.mark.parametrize("step", [-3600.0, 3600.0])
def test_an_old_answer_answers_no_new_question_whatever_the_clock_does(host, monkeypatch, step):
    real = time.time
    stamp = mailbox.request(host.paths)
    run(host)
    assert mailbox._answer(host.paths, stamp) is not None
    monkeypatch.setattr(time, "time", lambda: real() + step)
    assert mailbox._answer(host.paths, mailbox.request(host.paths)) is None


def test_the_answer_of_another_boot_is_none(host):
    stamp = mailbox.request(host.paths)
    run(host)
    result = host.paths.result
    text = open(result).read()
    host.reboot()
    os.makedirs(os.path.dirname(result), exist_ok=True)
    with open(result, "w") as file:
        file.write(text)
    assert mailbox._answer(host.paths, stamp) is None


def test_temporary_files_of_killed_writers_are_removed(tmp_path):
    done = subprocess.Popen(["true"])
    done.wait()
    for name in (f".x.json.{done.pid}", f".x.json.{os.getpid()}", ".x.json.text", f".y.json.{done.pid}"):
        (tmp_path / name).write_text("torn")
    atomic.write_bytes(str(tmp_path / "x.json"), b"{}")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".x.json.text",
        f".y.json.{done.pid}",
        "x.json",
    ]


@pytest.mark.parametrize(
    "text, digits, number",
    [("5", 1, 5), ("12", 1, None), ("", 3, None), ("²", 3, None), ("٢", 3, None), ("-1", 3, None)],
)
def test_a_number_is_of_ascii_digits(text, digits, number):
    assert names.decimal(text, digits) == number


def test_problems_of_a_run_are_bounded(host, monkeypatch):
    """A package with thousands of bad manifests is told of, and reconcile's answer can be read."""
    from dnf_plugin_livepatch.host.packages import installed

    real = installed.read
    monkeypatch.setattr(
        installed, "read", lambda *a: real(*a)._replace(faults=tuple(f"f{n}" for n in range(9000)))
    )
    host.install(host.patch("1"))
    assert "manifest-unusable" in ids(run(host)) and mailbox.read_result(host.paths) is not None


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress, bz2.compress])
@pytest.mark.parametrize("data", [b"\xff", b'{"a": "\xc3"}', b"\xed\xa0\x80"])
def test_a_record_that_is_no_utf_8_is_unreadable_however_it_is_packed(tmp_path, pack, data):
    path = tmp_path / "record"
    path.write_bytes(pack(data))
    with pytest.raises(metadata.Unreadable, match="cannot be unpacked: 'utf-8' codec"):
        metadata.text(str(path), 1 << 20)
    path.write_bytes(pack("ü".encode()))
    assert metadata.text(str(path), 1 << 20) == "ü"


@pytest.mark.parametrize("database", ["/var/lib\0rpm", "/a\nb", "/\ud800", 7, None])
def test_a_converged_file_with_an_odd_path_proves_nothing(host, database):
    os.makedirs(host.paths.run_dir, exist_ok=True)
    text = json.dumps({"schema": 1, "database": database, "fingerprint": "f"})
    with open(host.paths.converged, "w", encoding="ascii") as file:
        file.write(text)
    assert unchanged.unchanged(host.paths, Kernel("6.1", "x86_64", "", "b", True)) is False


@pytest.mark.parametrize("name", ["²", "٢", "9" * 30, "self"])
def test_a_thread_is_a_number_of_ascii_digits(tmp_path, name):
    paths = Paths(str(tmp_path))
    for path, content in ((f"{paths.klp}/lp", "1"), (f"{tmp_path}/proc/7/task/{name}", "0")):
        os.makedirs(path)
        for file in ("enabled", "patch_state"):
            with open(f"{path}/{file}", "w", encoding="ascii") as target:
                target.write(content)
    assert tasks.in_the_way(paths, "lp").tasks == ()


@pytest.mark.parametrize(
    "text", ['{"schema": %s}', '{"schema": 1, "records": %s}', '{"schema": 1, "x": [-%s]}']
)
def test_a_state_file_with_a_number_of_a_million_digits_is_spoiled(host, text):
    """Python before 3.11 takes minutes to read one."""
    host.put("/var/lib/livepatch/guard.json", text % ("9" * 1_000_000))
    with pytest.raises(atomic.Broken, match="digits"):
        guard_file.read(host.paths)
