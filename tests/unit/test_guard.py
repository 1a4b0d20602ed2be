# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import json
import os
import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnf_plugin_livepatch.base.paths import Paths
from dnf_plugin_livepatch.host.files import atomic, guard_file
from dnf_plugin_livepatch.host.kernel import oops
from dnf_plugin_livepatch.host.reconcile import crash_guard

NEVRA = "lp-1-1.x86_64"


@pytest.fixture
def paths(tmp_path):
    return Paths(str(tmp_path))


def test_block_and_unblock(paths):
    assert guard_file.blocked(paths) == {}
    guard_file.block(paths, NEVRA, "it\nsmells")
    assert guard_file.blocked(paths) == {NEVRA: "it smells"}
    assert guard_file.read(paths).records[NEVRA].by == "admin"
    assert guard_file.unblock(paths, NEVRA) and guard_file.blocked(paths) == {}
    assert not guard_file.unblock(paths, NEVRA)


@pytest.mark.parametrize("name", ["", "x", "../../etc/passwd", "a b-1-1.x86_64", "\x1b[2J-1-1.x"])
def test_block_refuses_what_is_no_package(paths, name):
    with pytest.raises(ValueError):
        guard_file.block(paths, name, "no")


RECORDS = st.builds(
    guard_file.Record,
    state=st.sampled_from(guard_file.STATES),
    strikes=st.integers(0, 3),
    proved=st.booleans(),
    boot_id=st.just("old"),
    modules=st.just(("lp_1",)),
)


@given(RECORDS, st.booleans(), st.sampled_from(["", "BUG: x"]))
def test_judge(record, clean, found):
    """The verdicts that docs/state-machine.md promises."""
    after = crash_guard.judge(record, clean, found)
    assert after.state not in ("loading", "settling", "stalled"), "nothing is left open"
    if record.state in ("good", "idle", "blocked"):
        assert after == record
    elif record.state == "stalled":
        assert after.state == "idle"
    elif found:
        assert after.state == "blocked" and after.reason == found
    elif clean:
        assert after.state == "idle" and after.strikes == record.strikes
    elif record.state == "loading" and not record.proved:
        assert after.state == "blocked"
    elif record.state == "settling" and record.proved:
        assert after.state == "idle"
    else:
        assert (after.state == "blocked") == (record.strikes + 1 >= crash_guard.STRIKES)
    if after.state == "blocked" and record.state != "blocked":
        assert after.by == "guard" and after.reason


def test_write_and_read_are_inverse(paths):
    def work(state_of):
        state_of.records[NEVRA] = guard_file.Record(
            "stalled", "b", "t", 3.5, 2.5, ("lp_1",), 1, "why", "guard", 2, "when", True
        )
        state_of.owned["lp_1"] = guard_file.Owned(NEVRA, "ab" * 20, "b", 3)
        state_of.held[NEVRA] = "b"
        state_of.kept.append(guard_file.Kept(NEVRA, "6.1", (("lp_1", "cd" * 32),), ("CVE-2026-1000",)))

    guard_file.change(paths, work)
    written, read = guard_file.Guard(), guard_file.read(paths)
    work(written)
    assert vars(written) == vars(read)


def test_without_a_boot_id_nothing_is_judged(paths):
    guard_file.change(paths, lambda s: s.records.update({NEVRA: guard_file.Record("loading", "old")}))
    assert crash_guard.after_boot(paths, "") == []
    assert guard_file.read(paths).records[NEVRA].state == "loading"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@given(
    st.fixed_dictionaries(
        {}, optional={name: JSON for name in ("records", "owned", "held", "kept", "schema")}
    )
)
def test_hostile_file_is_read_or_refused(data):
    with tempfile.TemporaryDirectory() as root:
        paths = Paths(root)
        os.makedirs(paths.state_dir)
        with open(paths.guard, "w") as file:
            json.dump({"schema": 1, **data}, file)
        try:
            guard_file.read(paths)
        except atomic.Broken as error:
            assert str(error)
        guard_file.blocked(paths)


@given(st.binary(max_size=300))
def test_hostile_bytes_are_refused(data):
    with tempfile.TemporaryDirectory() as root:
        paths = Paths(root)
        os.makedirs(paths.state_dir)
        with open(paths.guard, "wb") as file:
            file.write(data)
        with pytest.raises(atomic.Broken):
            guard_file.read(paths)


OOPS = """Linux version 6.12
BUG: kernel NULL pointer dereference, address: 0000000000000000
Modules linked in: lp_1(OEK) ext4
RIP: 0010:show+0x5/0x30 [{}]
---[ end trace 0000000000000000 ]---
x+0x1/0x2 [lp_2]
"""


@pytest.mark.parametrize(
    "text, modules, found",
    [
        (OOPS.format("lp_1"), ["lp_1"], True),
        (OOPS.format("lp_1 99f165ade8dc5c1d"), ["lp_1"], True),
        (OOPS.format("ext4"), ["lp_1"], False),
        (OOPS.format("ext4"), ["lp_2"], False),
        ("x+0x1/0x2 [lp_1]", ["lp_1"], False),
        ("", ["lp_1"], False),
    ],
)
def test_only_a_frame_of_an_oops_is_evidence(text, modules, found):
    assert bool(oops.oops_in(text, modules)) is found


@given(st.text(max_size=500))
def test_evidence_reads_anything(text):
    assert oops.oops_in(text, ["lp_1"]).isprintable()
