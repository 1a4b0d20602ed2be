# SPDX-License-Identifier: GPL-2.0-or-later
"""Metadata of others is unpacked as a stream and up to a limit, however it is compressed."""

import bz2
import gzip
import lzma
import subprocess

import pytest

from dnf_plugin_livepatch.repotool import cli
from dnf_plugin_livepatch.repotool.repository import reading, unpack
from dnf_plugin_livepatch.toolkit.errors import ToolError
from tests.fuzz import hostile_repository
from tests.tools.support.lint_cases import Repo
from tests.tools.support.repositories import KERNEL, Server, tool

TEXT = b"<a>text</a>\n" * 300000  # more than one block


def zstd(data):
    return subprocess.run(["zstd", "-qc"], input=data, stdout=subprocess.PIPE, check=True).stdout


def skipped_first(data):
    """zstd behind a frame of another magic number, which readers skip."""
    return b"\x50\x2a\x4d\x18\x04\0\0\0junk" + zstd(data)


PACKERS = {
    "gz": gzip.compress,
    "two.gz": lambda data: gzip.compress(data[:1000]) + gzip.compress(data[1000:]),
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "old.xz": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "zst": zstd,
    "two.zst": lambda data: zstd(data[:1000]) + zstd(data[1000:]),
    "skip.zst": skipped_first,
    "xml": bytes,
}


@pytest.mark.parametrize("how", PACKERS)
def test_each_compression_is_unpacked_up_to_the_limit(tmp_path, how):
    path = tmp_path / f"primary.{how}"
    path.write_bytes(PACKERS[how](TEXT))
    assert b"".join(unpack.blocks(str(path), len(TEXT))) == TEXT
    read = 0
    with pytest.raises(ToolError, match="more than") as caught:
        for block in unpack.blocks(str(path), 2 << 20):
            read += len(block)
    assert caught.value.id == "metadata-too-large" and read <= 2 << 20


@pytest.mark.parametrize("how", ["gz", "bz2", "xz"])
def test_what_ends_early_is_an_error_and_no_crash(tmp_path, how):
    path = tmp_path / f"primary.{how}"
    path.write_bytes(PACKERS[how](TEXT)[:-40])
    with pytest.raises((ValueError, OSError)):
        unpack.check(str(path))


@pytest.mark.parametrize("magic", [b"\0ZCK1", b"\0ZHR1"])
def test_zchunk_is_refused(tmp_path, magic):
    path = tmp_path / "primary.xml.gz"
    path.write_bytes(magic + b"x")
    with pytest.raises(ValueError, match="zchunk"):
        unpack.check(str(path))


@pytest.fixture
def made(tmp_path):
    repo = Repo(tmp_path / "repo")
    repo.write()
    return repo.folder


@pytest.mark.parametrize("kind", ["primary", "filelists", "other", "updateinfo", "livepatch"])
def test_a_bomb_in_any_file_stops_lint_report_and_plan(made, tmp_path, monkeypatch, capsys, kind):
    (path,) = (made / "repodata").glob(f"*{kind}*")
    path.write_bytes(gzip.compress(b"\n" * (1 << 20) + gzip.decompress(path.read_bytes())))
    monkeypatch.setattr(unpack, "LIMIT", 1 << 20)
    monkeypatch.setattr(unpack.blocks, "__defaults__", (1 << 20,))
    monkeypatch.setattr(unpack.check, "__defaults__", (1 << 20,))
    with Server(made) as server:
        for where in str(made), server.url:
            for argv in (
                ["lint", where],
                ["report", "--repo", where, "--json"],
                ["plan", "--repo", where, "--kernel", KERNEL],
            ):
                assert cli.main(argv) == 1
                error = capsys.readouterr().err
                assert "[metadata-too-large]" in error and path.name in error and "1 MiB" in error


def test_a_real_bomb_is_left_long_before_the_limit_of_large_files(made):
    """1 GiB in about 1 MiB: the smaller the file, the sooner it is left."""
    (path,) = (made / "repodata").glob("*filelists*")
    path.write_bytes(gzip.compress(b" " * (1 << 24)) * 65)
    done = tool("lint", made, check=False)
    most = (unpack.SMALL + unpack.RATIO * path.stat().st_size) >> 20
    assert most < 300 and done.returncode == 1 and f"more than {most} MiB" in done.stderr


def test_a_repomd_that_is_a_bomb_is_not_parsed(made):
    path = made / "repodata" / "repomd.xml"
    path.write_bytes(gzip.compress(path.read_bytes() + b"\n" * (17 << 20)))
    done = tool("lint", made, check=False)
    assert done.returncode == 1 and "[metadata-too-large]" in done.stderr and "repomd.xml" in done.stderr


def test_a_download_without_an_end_is_left(made, tmp_path, monkeypatch):
    monkeypatch.setattr(unpack, "LIMIT", 100)
    with Server(made) as server, pytest.raises(ToolError) as caught:
        reading.fetch(server.url, str(tmp_path / "copy"))
    assert caught.value.id == "metadata-too-large" and server.url in caught.value.text


@pytest.mark.parametrize("encoding", ["UTF-7", "UTF-16", "IBM1047"])
@pytest.mark.parametrize("kind", ["repomd", "primary", "updateinfo"])
def test_metadata_in_another_encoding_is_not_parsed(encoding, kind, tmp_path):
    files = hostile_repository.parts([("klp", "1", "1")])
    files["repomd"] = hostile_repository.repomd(files)
    files[kind] = files[kind].replace(b"UTF-8", encoding.encode())
    made = hostile_repository.write(tmp_path, files, files["repomd"])
    with pytest.raises(ToolError) as caught:
        reading.read(str(made), ())
    assert caught.value.id == "metadata-unreadable" and "not UTF-8" in caught.value.text
