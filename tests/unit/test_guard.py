# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import json
import os
import tempfile
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnf_plugin_livepatch.base.paths import Paths
from dnf_plugin_livepatch.host.files import atomic, guard_file
from dnf_plugin_livepatch.host.kernel import oops
from dnf_plugin_livepatch.host.reconcile import crash_guard
from tests.unit.support.generated import JSON

NEVRA = "lp-1-1.x86_64"


@pytest.fixture
def paths(tmp_path):
    return Paths(str(tmp_path))


def test_block_and_unblock(paths):
    assert guard_file.blocked(paths) == {}
    guard_file.block(paths, NEVRA, "it\nsmells")
    assert guard_file.blocked(paths) == {NEVRA: "it smells"}
    assert guard_file.read(paths).entries[NEVRA].by == "admin"
    assert guard_file.unblock(paths, NEVRA) and guard_file.blocked(paths) == {}
    assert not guard_file.unblock(paths, NEVRA)


@pytest.mark.parametrize("name", ["", "x", "../../etc/passwd", "a b-1-1.x86_64", "\x1b[2J-1-1.x"])
def test_block_refuses_what_is_no_package(paths, name):
    with pytest.raises(ValueError):
        guard_file.block(paths, name, "no")


# The table of docs/explanation/state-machine.md. Its columns: evidence of an oops in the patch; an orderly
# shutdown; no shutdown and never good before; no shutdown and good before. A pair: the first
# crash, and each later one.
AFTER_BOOT = {
    "loading": ("blocked", "idle", ("blocked", "blocked"), ("idle", "blocked")),
    "settling": ("blocked", "idle", ("idle", "blocked"), ("idle", "idle")),
    "stalled": ("idle", "idle", ("idle", "idle"), ("idle", "idle")),
    "good": ("good", "good", ("good", "good"), ("good", "good")),
    "idle": ("idle", "idle", ("idle", "idle"), ("idle", "idle")),
    "blocked": ("blocked", "blocked", ("blocked", "blocked"), ("blocked", "blocked")),
}
CASES = list(product(AFTER_BOOT, range(4), (False, True), (False, True), ("", "BUG: x")))


def judged(state: str, strikes: int, proved: bool, clean: bool, found: str) -> guard_file.GuardEntry:
    return crash_guard.judge(
        guard_file.GuardEntry(state, "old", strikes=strikes, proved=proved, modules=("lp_1",)), clean, found
    )


def test_the_table_names_every_state():
    assert set(AFTER_BOOT) == set(guard_file.STATES)


@pytest.mark.parametrize(("state", "strikes", "proved", "clean", "found"), CASES)
def test_the_next_boot_makes_of_a_record_what_the_table_says(state, strikes, proved, clean, found):
    evidence, shutdown, new, good = AFTER_BOOT[state]
    after_crash = (good if proved else new)[0 if strikes == 0 else 1]
    wanted = evidence if found else shutdown if clean else after_crash
    assert judged(state, strikes, proved, clean, found).state == wanted


@pytest.mark.parametrize(("state", "strikes", "proved", "clean", "found"), CASES)
def test_a_block_names_the_guard_and_the_reason(state, strikes, proved, clean, found):
    after = judged(state, strikes, proved, clean, found)
    if after.state == "blocked" and state != "blocked":
        assert after.by == "guard"
        assert found in after.reason
        assert after.reason


@pytest.mark.parametrize("state", ["loading", "settling"])
def test_an_orderly_shutdown_is_no_strike_and_a_crash_is_one(state):
    assert judged(state, 0, state == "loading", True, "").strikes == 0
    assert judged(state, 0, state == "loading", False, "").strikes == 1


def test_write_and_read_are_inverse(paths):
    def work(guard):
        guard.entries[NEVRA] = guard_file.GuardEntry(
            "stalled", "b", "t", 3.5, 2.5, ("lp_1",), 1, "why", "guard", 2, "when", True
        )
        guard.owned["lp_1"] = guard_file.Owned(NEVRA, "ab" * 20, "b", 3)
        guard.unloaded[NEVRA] = "b"
        guard.copies.append(guard_file.CopiedSet(NEVRA, "6.1", (("lp_1", "cd" * 32),), ("CVE-2026-1000",)))

    guard_file.change(paths, work)
    written, read = guard_file.Guard(), guard_file.read(paths)
    work(written)
    assert vars(written) == vars(read)


def test_without_a_boot_id_nothing_is_judged(paths):
    guard_file.change(paths, lambda s: s.entries.update({NEVRA: guard_file.GuardEntry("loading", "old")}))
    assert crash_guard.after_boot(paths, "") == []
    assert guard_file.read(paths).entries[NEVRA].state == "loading"


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
    assert bool(oops.oops_in(text.split("\n"), modules)) is found


@given(st.text(max_size=500))
def test_evidence_reads_anything(text):
    assert oops.oops_in(text.split("\n"), ["lp_1"]).isprintable()
