# SPDX-License-Identifier: GPL-2.0-or-later
"""The parts of a record, cut out of its bytes: those of the whole, within bounds, in little memory."""

from __future__ import annotations

import bz2
import ctypes
import gzip
import json
import lzma
import subprocess
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnf_plugin_livepatch.base.fields import FieldError
from dnf_plugin_livepatch.dnf4 import metadata
from dnf_plugin_livepatch.formats import record_parts, repository_record

ONE, TWO = "5.14.0-10.el9.x86_64", "6.12.0-1.x86_64"
PART = f'{{"schema":1,"kernels":{{"{ONE}":'
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ['"', "\\", '\\"', "\\\\", "{", "}]", '":{', "kernels", ONE, "\U0001f600"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=12,
)


def blocks(text: str, size: int) -> list[bytes]:
    data = text.encode()
    return [data[at : at + size] for at in range(0, len(data), size)]


@given(
    st.dictionaries(st.sampled_from([ONE, TWO, "x", "\\"]), VALUES, max_size=4),
    st.dictionaries(
        TEXTS.filter(lambda key: key not in ("kernels", "schema", "generated")), VALUES, max_size=3
    ),
    st.integers(1, 40),
    st.booleans(),
    st.sampled_from([None, 1]),
)
def test_the_parts_are_those_of_the_whole(
    kernels: dict[str, Any], more: dict[str, Any], size: int, plain: bool, indent: int | None
) -> None:
    whole = {**more, "schema": 1, "kernels": kernels, "generated": "2026-11-22T21:00:00Z"}
    text = json.dumps(whole, ensure_ascii=plain, indent=indent)
    found = json.loads(record_parts.cut(blocks(text, size), (ONE, TWO)))
    wanted = {release: kernels[release] for release in (ONE, TWO) if release in kernels}
    assert found == {"schema": 1, "generated": "2026-11-22T21:00:00Z", "kernels": wanted}


@pytest.mark.parametrize(
    "text, why",
    [
        ("", "too early"),
        ('{"schema":1', "too early"),
        ('{"schema":1,"x":"', "too early"),
        ('{"schema":1,"x":"\\', "too early"),
        ('{"schema":1,"x":' + "[" * 65, "65|64 deep"),
        ('{"schema":1,"x":[' + "{}," * 200_001, "200000 objects"),
        ('{"schema":1,"x":[' + '"",' * 360_000, "700000 quotes"),
        (PART + '{"x":"' + "a" * (300 << 10), "262144 bytes"),
        (PART + "[" + "{}," * 8001, "8000 objects"),
        (PART + "[" + "1," * 40_001, "40000 quotes and commas"),
    ],
)
def test_a_record_beyond_its_bounds_is_refused(text: str, why: str) -> None:
    with pytest.raises(FieldError, match=why):
        record_parts.cut(blocks(text, 65536), (ONE,))


ODD = """[] "kernels" 7 {"schema":{"a":1,"b":2}} {"schema":1,"kernels":[]} {"schema":1,"kernels":"{"}
    {"schema":1,"kernels":null,"x":{}} {"kernels":7,"schema":1} {"schema":1,"kernels":[{"x":{}}]}""".split()


@pytest.mark.parametrize("text", ODD)
def test_what_is_no_record_is_refused_by_its_reader(text: str) -> None:
    with pytest.raises(ValueError):
        repository_record.parse(record_parts.cut([text.encode()], (ONE,)), ONE)


def zstd(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-qc"], input=data, check=True, stdout=subprocess.PIPE).stdout


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress, zstd])
def test_a_packed_record_is_read_in_little_memory(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    rest = ",".join(f'"6.1.0-{number}":{{"patches":{{"{"x" * 900}":{{}}}}}}' for number in range(4000))
    text = PART + '{"support_end":"2027-01-01"},' + rest + "}}"
    path = tmp_path / "record"
    path.write_bytes(pack(text.encode()))
    tracemalloc.start()
    try:
        found = record_parts.cut(metadata.blocks(str(path), 8 << 20), (ONE,))
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()
    assert repository_record.parse(found, ONE).kernels[ONE].support_end == "2027-01-01"
    with pytest.raises(metadata.Unreadable, match="(larger|more) than 1 MiB"):
        list(metadata.blocks(str(path), 1 << 20))


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstd])
@pytest.mark.parametrize("harm", ["cut", "damaged"])
def test_a_damaged_record_is_refused(pack: Callable[[bytes], bytes], harm: str, tmp_path: Path) -> None:
    data = bytearray(pack(json.dumps({"schema": 1, "x": list(range(9000))}).encode()))
    if harm == "cut":
        del data[len(data) // 2 :]
    else:
        data[len(data) // 2 : len(data) // 2 + 64] = bytes(64)
    (tmp_path / "record").write_bytes(data)
    with pytest.raises(OSError):
        list(metadata.blocks(str(tmp_path / "record"), 8 << 20))


def test_a_file_of_empty_frames_ends_soon(tmp_path: Path) -> None:
    path = tmp_path / "record"
    path.write_bytes(zstd(b"") * 100_000)
    assert list(metadata.blocks(str(path), 8 << 20)) == []
    path.write_bytes(b"\x50\x2a\x4d\x18\0\0\0\0" * (2 << 17) + zstd(b"{}"))
    with pytest.raises(metadata.Unreadable, match="larger than 1 MiB"):
        list(metadata.blocks(str(path), 1 << 20))


def test_a_record_in_zstd_needs_no_zstd_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = json.dumps({"schema": 1, "x": list(range(90000))}).encode()
    (tmp_path / "record").write_bytes(zstd(text) + zstd(b"\n"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert b"".join(metadata.blocks(str(tmp_path / "record"), 8 << 20)) == text + b"\n"


def test_without_libzstd_a_record_packed_by_it_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "record").write_bytes(zstd(b"{}"))

    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    with pytest.raises(metadata.Unreadable, match="has no libzstd.so.1"):
        list(metadata.blocks(str(tmp_path / "record"), 8 << 20))


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstd])
def test_more_than_one_stream_is_read_to_the_end(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    parts = [bytes([65 + n]) * (70000 * n + 1) for n in range(3)]
    (tmp_path / "record").write_bytes(b"".join(map(pack, parts)))
    assert b"".join(metadata.blocks(str(tmp_path / "record"), 8 << 20)) == b"".join(parts)
    (tmp_path / "record").write_bytes(b"".join(map(pack, parts)) + b"strange")
    with pytest.raises(metadata.Unreadable, match="damaged"):
        list(metadata.blocks(str(tmp_path / "record"), 8 << 20))
