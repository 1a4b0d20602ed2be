# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import os
import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnf_plugin_livepatch.base.model import Function
from dnf_plugin_livepatch.base.paths import Paths
from dnf_plugin_livepatch.host.kernel import livepatches
from tests.unit.support.fakehost import Host, note


@pytest.fixture
def host(tmp_path):
    return Host(str(tmp_path)).create()


def test_missing_sysfs_is_no_patch(tmp_path):
    paths = Paths(str(tmp_path))
    assert (
        livepatches.read(paths) == ()
        and livepatches.transition(paths) == ""
        and livepatches.one(paths, "lp_1") is None
    )


def test_everything_sysfs_tells(host):
    base = "/sys/kernel/livepatch/lp_1/"
    for name, value in {
        "enabled": "1",
        "transition": "0",
        "replace": "1",
        "stack_order": "2",
        "vmlinux/patched": "1",
        "vmlinux/cmdline_proc_show,1/x": "",
        "vmlinux/odd": "",
        "ext4/patched": "0",
        "ext4/ext4_read.part.0,12/x": "",
    }.items():
        host.put(base + name, value + "\n")
    host.put("/sys/module/lp_1/notes/.note.gnu.build-id", note("ab" * 20))
    host.put("/sys/module/lp_1/srcversion", "0123ABCD\n")
    (patch,) = livepatches.read(host.paths)
    assert (patch.enabled, patch.transition, patch.replace, patch.stack_order) == (True, False, True, 2)
    assert (patch.build_id, patch.srcversion) == ("ab" * 20, "0123ABCD")
    assert patch.functions == (
        Function("ext4", "ext4_read.part.0", 12),
        Function("vmlinux", "cmdline_proc_show", 1),
    )
    assert patch.patched_objects == ("vmlinux",)


def test_kernel_of_6_1_tells_less(host):
    for name in ("enabled", "transition"):
        host.put(f"/sys/kernel/livepatch/lp_1/{name}", "1\n")
    host.put("/sys/kernel/livepatch/lp_1/vmlinux/f,1/x", "")
    (patch,) = livepatches.read(host.paths)
    assert patch.replace is None and patch.stack_order == 0 and patch.patched_objects == ("vmlinux",)
    assert livepatches.transition(host.paths) == "lp_1"


def test_an_entry_that_vanishes_is_left_out(host):
    os.makedirs(host.paths.klp + "/lp_gone")
    host.put("/sys/kernel/livepatch/lp_1/enabled", "1\n")
    host.put("/sys/kernel/livepatch/lp_1/transition", "0\n")
    assert [patch.module for patch in livepatches.read(host.paths)] == ["lp_1"]


NAMES = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=20
).filter(lambda name: name not in (".", ".."))


@given(
    st.dictionaries(
        NAMES,
        st.dictionaries(
            NAMES | st.sampled_from(["enabled", "transition"]), st.binary(max_size=80), max_size=4
        ),
        max_size=4,
    )
)
def test_hostile_trees(tree):
    with tempfile.TemporaryDirectory() as root:
        paths = Paths(root)
        for module, files in tree.items():
            for name, data in files.items():
                folder = f"{paths.klp}/{module}"
                os.makedirs(folder, exist_ok=True)
                with open(f"{folder}/{name}", "wb") as file:
                    file.write(data)
        for patch in livepatches.read(paths):
            assert patch.module in tree
        livepatches.transition(paths)
