# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
import sqlite3
import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnf_plugin_livepatch.base.paths import Paths
from dnf_plugin_livepatch.host.files import journal


@pytest.fixture
def paths(tmp_path):
    return Paths(str(tmp_path))


def test_append_and_read(paths):
    journal.append(paths, "load", module="lp_1", seconds=1.5, cves=("CVE-2026-1000",), reason="")
    journal.append(paths, "unload", module="lp_1")
    first, second = journal.read(paths)
    assert (first.event, first.facts) == (
        "load",
        {"module": "lp_1", "seconds": 1.5, "cves": ("CVE-2026-1000",)},
    )
    assert second.event == "unload" and len(first.time) == 20
    assert journal.read(paths, 1) == [second] and journal.read(paths, 0) == []


def test_nothing_there(paths):
    assert journal.read(paths) == []


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_torn_line_is_left_out_and_closed_off(paths, cut):
    journal.append(paths, "load", module="lp_1")
    journal.append(paths, "unload", module="lp_1")
    with open(paths.journal, "r+b") as file:
        file.truncate(os.path.getsize(paths.journal) - cut)
    journal.append(paths, "good", nevra="x")
    assert [entry.event for entry in journal.read(paths)][-1] == "good"
    assert journal.read(paths)[0].event == "load"


def test_a_write_that_is_cut_short_goes_on(paths, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data)[:7]))
    journal.append(paths, "load", module="lp_1")
    assert [entry.facts for entry in journal.read(paths)] == [{"module": "lp_1"}]


def test_an_entry_that_does_not_fit_is_an_error_and_the_next_one_is_whole(paths):
    journal.append(paths, "load", module="lp_1")
    size = os.path.getsize(paths.journal)
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    # As on a disk that is nearly full, the kernel writes what still fits and refuses only the rest.
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 40, old[1]))
    try:
        with pytest.raises(OSError):
            journal.append(paths, "unload", module="lp_1")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert os.path.getsize(paths.journal) == size + 40
    journal.append(paths, "good", nevra="x")
    assert [entry.event for entry in journal.read(paths)] == ["load", "good"]


def test_it_stays_small(paths, monkeypatch):
    monkeypatch.setattr(journal, "MAX_BYTES", 2000)
    for number in range(200):
        journal.append(paths, "load", module=f"lp_{number}")
    size = os.path.getsize(paths.journal) + os.path.getsize(paths.journal + ".1")
    assert size < 3 * 2000
    assert journal.read(paths)[-1].facts["module"] == "lp_199"
    assert len(os.listdir(paths.state_dir)) == 2


def test_who_only_remembers_never_fails(paths):
    assert journal.remember(paths, "hold", nevra="kernel-core-2-1.x86_64", reason="covered")
    assert journal.read(paths)[-1].event == "hold"
    os.unlink(paths.journal)
    os.mkdir(paths.journal)
    assert not journal.remember(paths, "release", nevra="kernel-core-2-1.x86_64")


def test_huge_facts_still_make_a_readable_line(paths):
    journal.append(
        paths, "load", cves=tuple(f"CVE-2026-{n}" for n in range(10000, 15000)), reason="x" * 10**6
    )
    assert journal.read(paths)[-1].event == "load"


@given(st.binary(max_size=600))
def test_hostile_file(data):
    with tempfile.TemporaryDirectory() as root:
        paths = Paths(root)
        os.makedirs(paths.state_dir)
        with open(paths.journal, "wb") as file:
            file.write(data)
        journal.read(paths)
        journal.append(paths, "load", module="lp_1")
        assert journal.read(paths)[-1].facts["module"] == "lp_1"


@given(
    st.dictionaries(
        st.text(max_size=8),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(max_size=20),
            lambda inner: st.lists(inner, max_size=3),
            max_leaves=5,
        ),
        max_size=6,
    )
)
def test_hostile_objects(data):
    with tempfile.TemporaryDirectory() as root:
        paths = Paths(root)
        os.makedirs(paths.state_dir)
        with open(paths.journal, "w") as file:
            file.write(
                json.dumps({"schema": 1, "time": "t", "event": "load", "boot_id": "b", **data}) + "\n"
            )
        for entry in journal.read(paths):
            assert all(isinstance(value, (str, int, float, tuple)) for value in entry.facts.values())


def test_journald_gets_fields_and_no_forged_ones(paths):
    folder = paths.at("/run/systemd/journal")
    os.makedirs(folder)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(folder + "/socket")
        journal.append(paths, "fail", module="lp_1", reason="bad\nPRIORITY=0\nX=1")
        fields = dict(line.split("=", 1) for line in server.recv(65536).decode().splitlines())
    assert fields["MESSAGE_ID"] == journal.EVENTS["fail"] and fields["PRIORITY"] == "4"
    assert fields["LIVEPATCH_MODULE"] == "lp_1" and fields["LIVEPATCH_REASON"] == "bad PRIORITY=0 X=1"


def test_message_ids_are_128_bits_and_differ():
    assert len(set(journal.EVENTS.values())) == len(journal.EVENTS)
    assert all(len(bytes.fromhex(value)) == 16 for value in journal.EVENTS.values())


def test_the_transaction_of_a_package_and_no_other(paths):
    os.makedirs(paths.at("/var/lib/dnf"))
    with contextlib.closing(sqlite3.connect(paths.at("/var/lib/dnf/history.sqlite"))) as database:
        database.executescript(
            "create table rpm (item_id integer, name text, epoch integer, version text, release text,"
            " arch text);"
            "create table trans_item (id integer, trans_id integer, item_id integer);"
            "insert into rpm values (1, 'kp-5_14', 0, '1', '2.el9', 'x86_64'),"
            " (2, 'bash', 0, '5', '1', 'x86_64');"
            "insert into trans_item values (1, 4, 1), (2, 9, 2), (3, 7, 1);"
        )
        database.commit()
    assert journal.transaction_of(paths, "kp-5_14-1-2.el9.x86_64") == 7
    assert journal.transaction_of(paths, "kp-5_14-0:1-2.el9.x86_64") == 7
    assert journal.transaction_of(paths, "kp-5_14-1-3.el9.x86_64") == 0
    assert journal.transaction_of(paths, "") == 0
    assert journal.transaction_of(paths, "nonsense") == 0


def test_many_tasks_and_cves_do_not_tear_the_line(paths):
    tasks = tuple(f"{number} x patch_state=0 stack={'f' * 900}" for number in range(20))
    cves = tuple(f"CVE-2026-{'1' * 19}{number}" for number in range(512))
    journal.append(paths, "stall", nevra="kp-1-1.x86_64", cves=cves, tasks=tasks)
    (entry,) = journal.read(paths)
    assert entry.facts == {"nevra": "kp-1-1.x86_64"}


def test_private_facts_join_their_entry_for_root_alone(paths, monkeypatch):
    task = "7 cat patch_state=0 stack=vfs_read < secret_wait"
    journal.append(paths, "stall", nevra="lp-1-1.x86_64", module="lp_1", tasks=(task,), seconds=9)
    journal.append(paths, "stall", nevra="lp-2-1.x86_64", module="lp_2", seconds=8)
    journal.append(paths, "block", nevra="lp-1-1.x86_64", reason="exit status 3", output="pass\nword")
    first, second, third = journal.read(paths)
    assert first.facts["tasks"] == (task,) and third.facts["output"] == "pass word"
    assert "tasks" not in second.facts and not any("private" in entry.facts for entry in (first, third))
    with open(paths.journal, encoding="ascii") as file:
        public = file.read()
    assert "secret_wait" not in public and "word" not in public
    assert os.stat(paths.private_journal).st_mode & 0o777 == 0o600
    os.unlink(paths.private_journal)
    assert [sorted(entry.facts) for entry in journal.read(paths)][2] == ["nevra", "reason"], "they are gone"
    with open(paths.private_journal, "w", encoding="ascii"):
        monkeypatch.setattr(os, "access", lambda path, mode: path != paths.private_journal)
    assert [entry.facts.get("private") for entry in journal.read(paths)] == [("tasks",), None, ("output",)]


def test_of_two_writers_at_the_bound_one_begins_the_new_file(paths, monkeypatch):
    """The second one used to move the new file over the old one, and so lose all of it."""
    monkeypatch.setattr(journal, "MAX_BYTES", 500)
    for number in range(6):
        journal.append(paths, "load", module=f"lp_{number}")
    assert not os.path.exists(paths.journal + ".1")
    real = os.fsync

    def other(descriptor):
        """While this one writes, another writer begins the new file."""
        monkeypatch.setattr(os, "fsync", real)
        journal.append(paths, "unload", module="lp_1")
        journal.append(paths, "good", nevra="x")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", other)
    journal.append(paths, "load", module="lp_6")
    events = [entry.event for entry in journal.read(paths)]
    assert events.count("load") == 7 and events[-1] == "good"


@pytest.mark.parametrize("gone", ["journal", "all"])
def test_a_writer_at_the_bound_does_without_the_file_that_another_moved(paths, monkeypatch, gone):
    monkeypatch.setattr(journal, "MAX_BYTES", 1)
    journal.append(paths, "load", module="lp_1")
    real = os.fsync

    def other(descriptor):
        real(descriptor)
        if os.path.exists(paths.journal):
            os.rename(paths.journal, paths.journal + ".1")
        if gone == "all" and os.path.exists(paths.journal + ".1"):
            os.unlink(paths.journal + ".1")

    monkeypatch.setattr(os, "fsync", other)
    journal.append(paths, "good", nevra="x")
    monkeypatch.setattr(journal, "MAX_BYTES", 1 << 20)
    assert len(journal.read(paths)) == (0 if gone == "all" else 2)
