# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import hashlib
import lzma
import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnf_plugin_livepatch.host.kernel import module_file as modinfo
from tests.unit.support.fakehost import RELEASE, module_file, note

GOOD = module_file("lp_1", "ab" * 20, depends="ext4,jbd2")


def read(data: bytes) -> modinfo.ModInfo:
    with tempfile.NamedTemporaryFile(suffix=".ko") as file:
        file.write(data)
        file.flush()
        return modinfo.read(file.name)


def test_reads_what_the_module_says():
    info = read(GOOD)
    assert (info.name, info.livepatch, info.build_id) == ("lp_1", True, "ab" * 20)
    assert info.vermagic.startswith(RELEASE + " ") and info.depends == ("ext4", "jbd2")
    assert info.sha256 == hashlib.sha256(GOOD).hexdigest() and not info.signed


@pytest.mark.parametrize("data, found", [(GOOD, "ab" * 20), (GOOD[:-1], ""), (b"x", ""), (b"", "")])
def test_the_build_id_alone(tmp_path, data, found):
    path = tmp_path / "m.ko"
    assert modinfo.own_build_id(str(path)) == ""
    path.write_bytes(data)
    assert modinfo.own_build_id(str(path)) == found


def test_appended_signature_is_seen():
    assert read(GOOD + b"xx~Module signature appended~\n").signed
    assert not read(GOOD + b"~Module signature appended~\n ").signed


def test_not_a_livepatch():
    assert not read(module_file("m", "ab" * 20, livepatch=False)).livepatch


@pytest.mark.parametrize(
    "data, why",
    [
        (b"", "no 64-bit ELF"),
        (lzma.compress(GOOD), "compressed"),
        (b"\x1f\x8b" + GOOD, "compressed"),
        (b"\x28\xb5\x2f\xfd" + GOOD, "compressed"),
        (GOOD[:80], "outside"),
        (GOOD.replace(b"\x7fELF\x02", b"\x7fELF\x01"), "no 64-bit ELF"),
        (GOOD[:16] + b"\x02" + GOOD[17:], "relocatable"),
        (GOOD[:60] + b"\xff\xff\xff\xff", "outside|no sense|cut"),
    ],
)
def test_what_is_no_module_is_refused(data, why):
    with pytest.raises(modinfo.ModuleError, match=why):
        read(data)


def test_missing_file():
    with pytest.raises(modinfo.ModuleError, match="no such file"):
        modinfo.read("/nowhere/x.ko")


@given(st.data())
def test_hostile_bytes_never_crash_or_blow_up(data):
    """Any bytes at any places of a real header: a ModInfo or a ModuleError, nothing else."""
    spoiled = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(spoiled) - 1))
        spoiled[at : at + 1] = data.draw(st.binary(max_size=8))
        if not spoiled:
            break
    try:
        info = read(bytes(spoiled))
    except modinfo.ModuleError as error:
        assert str(error)
    else:
        assert len(info.build_id) <= 128 and len(info.name) <= 1 << 20


@given(st.binary(max_size=400))
def test_hostile_notes(data):
    found = modinfo.note_build_id(data, "<")
    assert found == "" or bytes.fromhex(found) in data


def test_build_id_behind_other_notes():
    other = b"\x04\0\0\0\x04\0\0\0\x01\0\0\0Xen\0abcd"
    assert modinfo.note_build_id(other + note("cd" * 20), "<") == "cd" * 20
