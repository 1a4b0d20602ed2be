# SPDX-License-Identifier: GPL-2.0-or-later
"""Compressed modules: packed by the programs that distributions use, refused where they are damaged."""

from __future__ import annotations

import gzip
import lzma
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnf_plugin_livepatch.base.model import InstalledModule, InstalledPatch
from dnf_plugin_livepatch.formats import compressed
from dnf_plugin_livepatch.host.files import guard_file
from dnf_plugin_livepatch.host.kernel import module_file as modinfo
from dnf_plugin_livepatch.host.kernel import packed
from tests.unit.support.fakehost import RELEASE, Host, ids, module_file, run


def by(*argv: str) -> Callable[[bytes], bytes]:
    return lambda data: subprocess.run(argv, input=data, check=True, capture_output=True).stdout


PACKERS = {
    ".xz": by("xz", "--check=crc32", "--lzma2=dict=1MiB", "-c"),
    ".zst": by("zstd", "-19", "-c"),
    ".gz": by("gzip", "-9", "-c"),
    ".bz2": by("bzip2", "-9", "-c"),
}
BIG = os.urandom(1000) * 5000


def descriptor(top: Path, data: bytes, name: str = "m.ko") -> int:
    (top / name).write_bytes(data)
    return modinfo.open_file(str(top / name))


def inside(top: Path, data: bytes, name: str = "m.ko") -> bytes:
    outer = descriptor(top, data, name)
    inner = modinfo.plain(outer, name, (str(top),))
    try:
        return os.pread(inner, len(BIG) + 1, 0)
    finally:
        modinfo.close(inner, outer)
        os.close(outer)


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize("content", [b"", b"x", module_file("lp", "ab" * 20), BIG], ids=len)
def test_what_is_packed_comes_out_again(tmp_path: Path, suffix: str, content: bytes) -> None:
    packed_data = PACKERS[suffix](content)
    assert inside(tmp_path, packed_data, "m.ko" + suffix) == content
    assert inside(tmp_path, packed_data) == content, "the content tells, not the name"
    assert os.listdir(tmp_path) in (["m.ko"], ["m.ko", "m.ko" + suffix], ["m.ko" + suffix, "m.ko"])


def test_a_copy_without_a_name_is_open_for_reading_alone(tmp_path: Path) -> None:
    outer = descriptor(tmp_path, PACKERS[".xz"](BIG))
    inner = modinfo.plain(outer, "m.ko.xz", (str(tmp_path),))
    with pytest.raises(OSError):
        os.write(inner, b"x")
    assert os.fstat(inner).st_nlink == 0 and os.listdir(tmp_path) == ["m.ko"]


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize(
    "spoil",
    [lambda data: data[:-9], lambda data: data[:60] + bytes(40) + data[100:], lambda data: data[:20]],
)
def test_damaged_data_is_refused(tmp_path: Path, suffix: str, spoil: Callable[[bytes], bytes]) -> None:
    data = PACKERS[suffix](module_file("lp", "ab" * 20, text="".join(map(chr, range(33, 120)))))
    with pytest.raises(modinfo.ModuleError, match="it is compressed, and its compressed data is damaged"):
        inside(tmp_path, spoil(data))


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    monkeypatch.setattr(packed, "MAX_FILE", 1 << 20)
    with pytest.raises(modinfo.ModuleError, match="unpacks to more than 1 MiB"):
        inside(tmp_path, PACKERS[suffix](bytes(2 << 20)))


@pytest.mark.parametrize("name", ["m.ko.xz", "m.ko.zst", "m.ko.lz4", "m.ko.bz2"])
def test_what_only_claims_to_be_packed_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(modinfo.ModuleError, match=rf"it is compressed \({name[4:]}\) in a way"):
        inside(tmp_path, b"stands for packed data\n", name)


@given(st.sampled_from([magic for magic, _ in compressed.MAGIC]), st.binary(max_size=300))
def test_no_data_raises_anything_else(
    tmp_path_factory: pytest.TempPathFactory, magic: bytes, data: bytes
) -> None:
    top = tmp_path_factory.mktemp("packed")
    try:
        inside(top, magic + data)
    except modinfo.ModuleError as error:
        assert str(error).isprintable()


# --- the whole way ---


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(str(tmp_path)).create().attach(monkeypatch)


def pack(
    host: Host, patch: InstalledPatch, suffix: str, pack_it: Callable[[bytes], bytes]
) -> InstalledPatch:
    """``patch`` with its module compressed, as a build of the package would leave it."""
    import hashlib

    ((path, data),) = host._files[str(patch.nevra)]
    content = pack_it(data)
    (module,) = patch.modules
    digest = hashlib.sha256(content).hexdigest()
    changed = patch._replace(
        modules=(InstalledModule(module.name, module.path + suffix, digest, module.manifest),)
    )
    host._files[str(patch.nevra)] = [(path + suffix, content)]
    return changed


@pytest.mark.parametrize("vendor", [False, True])
@pytest.mark.parametrize("suffix", PACKERS)
def test_a_compressed_module_is_loaded_and_kept_plain(
    host: Host, monkeypatch: pytest.MonkeyPatch, suffix: str, vendor: bool
) -> None:
    # As in the service, which may write to no folder of temporary files.
    monkeypatch.setattr(tempfile, "tempdir", "/nonexistent")
    host.install(pack(host, host.patch("1", vendor=vendor), suffix, PACKERS[suffix]))
    result = run(host)
    assert result.ok and host.running() == ["lp_1"], result.problems
    copy = Path(host.paths.kept_dir(RELEASE)) / "lp_1.ko"
    assert copy.read_bytes()[:4] == b"\x7fELF" and guard_file.read(host.paths).copies
    host.install(pack(host, host.patch("2", behave="refuse:Invalid argument"), suffix, PACKERS[suffix]))
    host.reboot()
    assert not run(host).ok and host.running() == ["lp_1"], "the copy stands in"


@pytest.mark.parametrize(
    ("suffix", "pack_it", "wanted"),
    [
        (".lz4", lambda data: b"\x04\x22\x4d\x18" + data, "module-unusable"),
        (".xz", lambda data: lzma.compress(data)[:-30], "module-unusable"),
        (".gz", lambda data: gzip.compress(b"no module"), "module-unusable"),
    ],
)
def test_what_cannot_be_unpacked_is_an_error_that_does_not_fade(
    host: Host, suffix: str, pack_it: Callable[[bytes], bytes], wanted: str
) -> None:
    host.install(pack(host, host.patch("1"), suffix, pack_it))
    for _ in range(2):
        result = run(host)
        assert not result.ok and wanted in ids(result) and "module-not-in-force" in ids(result)
        host.reboot()


def test_a_packed_file_that_was_changed_is_never_unpacked(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch = pack(host, host.patch("1"), ".xz", PACKERS[".xz"])
    host.install(patch)
    Path(patch.modules[0].path).write_bytes(PACKERS[".xz"](bytes(1 << 20)))
    monkeypatch.setattr(packed, "unpacked", lambda *_: pytest.fail("not this one"))
    assert "module-changed" in ids(run(host))
