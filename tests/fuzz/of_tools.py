# SPDX-License-Identifier: GPL-2.0-or-later
"""The parsers of the tools' side: sources, modules, RPMs, repositories, and what other programs print."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import pathlib
import struct
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from unittest import mock

from dnf_plugin_livepatch.repotool import plan, report, settings, site, yamlfile
from dnf_plugin_livepatch.repotool.lint import run as lint
from dnf_plugin_livepatch.repotool.lint.context import Context
from dnf_plugin_livepatch.repotool.repository import (
    generations,
    metadata,
    reading,
    rpms,
    signing,
    store,
    unpack,
)
from dnf_plugin_livepatch.rpmtool import show
from dnf_plugin_livepatch.rpmtool.kernel import kernelsource, target
from dnf_plugin_livepatch.rpmtool.module import engines
from dnf_plugin_livepatch.rpmtool.package import previous
from dnf_plugin_livepatch.rpmtool.readers import (
    diffs,
    elf,
    judge,
    klp_module,
    rpm_file,
    source,
    updateinfo,
)
from dnf_plugin_livepatch.toolkit import openpgp, programs, rpm_payload
from dnf_plugin_livepatch.toolkit.errors import ToolError
from tests.tools.support import elf_files
from tests.unit.support.fakehost import module_file as fake_module
from tests.unit.support.fakehost import note

from . import hostile_repository
from .of_host import RECORD, UPDATE
from .target import FOLDER, PATHS, Target, file, files, text, valid

_NOW = "2026-11-27T00:00:00Z"
_OFFERED = (("klp", "1", "1"), ("klp", "2", "1"))
_METADATA = hostile_repository.parts(_OFFERED, record=RECORD.decode())
_REFUSED = (ToolError,)
_SETTINGS = b"""keys: [a.asc]
compression: xz
grace: 12h
base_url: https://patches.example.com/el9
kernels: {6.12.0-1.x86_64: {support_end: 2027-05-01, unfixable: [{cve: CVE-2026-1000, reason: r}]}}
rollout: [{after: 2d, percent: 5}]
waive: [{check: patch-order, reason: r}]
"""
_ADVISORIES = b"""schema: 1
advisories:
- id: A-1
  packages: ["klp-*"]
  issued: 2026-11-22T21:00:00Z
  references: [{type: self, id: A-1, href: "https://example.com"}]
"""
_DIFF = b"--- a/fs/proc/cmdline.c\n+++ b/fs/proc/cmdline.c\n@@ -1,2 +1,2 @@ int f(void)\n a\n-b\n+c\n"
_MODULE = fake_module("m", "ab" * 20)
_VERSIONS = (
    elf_files.REAL,
    (".note.gnu.build-id", 7, 2, note("ab" * 20), 0, 0),
    ("__versions", 1, 2, struct.pack("<Q56s", 1, b"printk"), 0, 0),
    ("__version_ext_crcs", 1, 2, struct.pack("<2I", 1, 2), 0, 0),
    ("__version_ext_names", 1, 2, b"printk\0f\0", 0, 0),
)
_SIGNED = elf_files.made(*_VERSIONS) + valid("signature")
_VMLINUX = fake_module("m", "ab" * 20, text="Linux version 6.1.0 (a@b)")
# ET_EXEC
_VMLINUX = _VMLINUX[:16] + b"\2\0" + _VMLINUX[18:]
_RPM = valid("rpm")
_RECIPE = json.dumps(
    {"schema": 1, "inputs": [], "kind": "empty", "kernel_release": "6.1", "arch": "x86_64", "name": "n",
     "version": "1", "release": "1", "epoch": 1, "engine": "", "modules": [], "replace": True, "cves": [],
     "unfixable": [], "dropped": [], "overrides": [], "depends": [], "advisory": "", "severity": "",
     "issued": "", "support_end": "", "kernel_build_id": ""}
).encode()  # fmt: skip


def _member(name: bytes, content: bytes) -> bytes:
    """One member of a cpio archive of the newc form."""
    head = b"070701" + b"".join(
        b"%08x" % number for number in (1, 0o100644, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
    )
    title = head + name + b"\0"
    return title + bytes(-len(title) % 4) + content + bytes(-len(content) % 4)


def _tar() -> bytes:
    found = io.BytesIO()
    with tarfile.open(fileobj=found, mode="w") as tar:
        info = tarfile.TarInfo("a/b.patch")
        info.size = 3
        tar.addfile(info, io.BytesIO(b"abc"))
    return gzip.compress(found.getvalue(), mtime=0)


def _repository(kind: str) -> Callable[[bytes], object]:
    """A repository whose file ``kind`` holds the bytes, as lint, plan and report read it."""
    folder = pathlib.Path(FOLDER, "repository-" + kind)
    valid = hostile_repository.parts(_OFFERED)
    conf = settings.Settings()

    def run(data: bytes) -> object:
        if kind == "repomd":
            hostile_repository.write(folder, valid, data or b" ")
        else:
            hostile_repository.write(folder, {**valid, kind: data})
        for update in metadata.load(str(folder / "repodata"), own=True).updates:
            update.record()
        view = reading.read(str(folder), ())
        found = lint.run(view, Context(_NOW))
        plan.as_text(plan.plan(view, ["6.12.0-1.x86_64"], ["CVE-2026-1000"], _NOW))
        pages = site.pages(report.build(view, (), conf, _NOW))
        assert all(line.isprintable() for page in pages.values() for line in page.split("\n"))
        return lint.as_text(found), lint.as_junit(view, found)

    return run


def _judged(path: str) -> object:
    return judge.judge(diffs.read_diff(path), path)


def _unpack(data: bytes) -> object:
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        return source.unpack(data, folder, "source.rpm")


def _klp(data: bytes) -> object:
    parsed = elf.parse_module("m.ko", data)
    return klp_module.patched(parsed), klp_module.relocation_faults(parsed), klp_module.jump_tables(parsed)


def _stores(data: bytes) -> object:
    """The code of a module for each machine."""
    parsed = elf.parse_module("m.ko", _MODULE)
    found = []
    for parsed.machine in elf.MACHINES.values():
        found.append(klp_module._stores_byte(parsed, data))
    return found


def _elf(data: bytes) -> object:
    parsed = elf.parse_module("m.ko", data)
    return parsed.build_id(), parsed.modinfo(), parsed.crcs(), elf.signature(data), elf.unsigned(data)


def _kernel(path: str) -> object:
    target.Kernel(path)
    return target.check_vmlinux(path, kernelsource.banner(path), "")


def _payload(data: bytes) -> object:
    return [member for member in rpm_payload.unpacked(io.BytesIO(data), "x.rpm")]


def _rpm(path: str) -> object:
    header = rpm_file.read_header(path)
    with metadata.quiet():
        rpms.read(path, "x.rpm")
    return header


def _whole_rpm(path: str) -> object:
    rpms.manifests(path, ("/usr/share/livepatch/6.1/m.json",))
    return show.facts(path, target.Target("6.1"))


def _inputs(path: str) -> object:
    return source.describe(source.classify([path])), source.describe(source.Inputs("source", (path,)))


def _streams(path: str) -> object:
    unpack.check(path, 1 << 20)
    return metadata.read_text(path, 1 << 20)


def _signature_of(data: bytes) -> object:
    """``gpgv`` prints the bytes about a signature."""
    told = subprocess.CompletedProcess([], 0, stdout=data)
    given = os.path.join(FOLDER, signing.SIGNATURE)
    with open(given, "wb") as found:
        found.write(data)
    with mock.patch.object(signing, "run", lambda *_, **__: told):
        return signing.check(FOLDER, [given])


def _report_of_engine(data: str) -> object:
    lines = data.splitlines()
    return programs.first_error(lines), programs.Outcome(1, lines).last


_REPOSITORY = {
    f"repository {kind}": Target(_repository(kind), _REFUSED, seed, slow=60)
    for kind, seed in {**_METADATA, "repomd": hostile_repository.repomd(_METADATA)}.items()
}
_REPOTOOL = {
    **_REPOSITORY,
    "repository, packed": Target(
        file(_streams, "/primary.xml"),
        (ToolError, OSError, ValueError),
        gzip.compress(UPDATE, mtime=0),
        (lzma.compress(UPDATE), bz2.compress(UPDATE), UPDATE),
    ),
    "yaml": Target(
        file(yamlfile.load, "/x.yml"), (ToolError, yamlfile.Fault), b"schema: 1\nadvisories:\n - title: x\n",
        slow=10,
    ),
    "repository settings": Target(file(settings.read, "/settings.yml"), _REFUSED, _SETTINGS, slow=20),
    "advisory file": Target(
        file(settings.read_advisories, "/advisories.yml"), _REFUSED, _ADVISORIES, slow=20
    ),
    "report's list": Target(
        file(site._listed, "/report/files.json"), (), b'{"schema":1,"files":["index.html","cves/a.html"]}'
    ),
    "generation's list": Target(
        files(lambda: generations.listed(FOLDER), "/" + generations.LIST),
        (),
        b"packages/k/klp-1-1.x86_64.rpm\n",
    ),
    "mirrorlist": Target(
        files(lambda: store.Store(FOLDER).stale(), "/" + store.MIRRORS),
        (),
        b"https://example.com/r/generations/20261127T120000.000000Z-0123abcd/\n",
    ),
    "rpmkeys' answer": Target(
        text(lambda data: rpms._judged(rpms._Read(), set(), data.splitlines())),
        (),
        b"    Header V4 RSA/SHA256 Signature, key ID 0123abcd: OK\n    Digest: BAD (Expected a != b)\n",
    ),
    "gpg's keys": Target(
        text(lambda data: list(signing._keys(signing.rows_of(data), "k.asc"))),
        (),
        b"pub:u:2048:1:9AE567CFB0B84F86:1795800317:1797528317::u:::scSC::::::23::0:\nuid:u::::1::F::alice::\n",
    ),
    "signature packets": Target(
        openpgp.signatures,
        (),
        bytes((0x88, 19, 4, 0, 1, 8, 0, 0, 0, 10, 9, 16, 1, 2, 3, 4, 5, 6, 7, 8, 0)),
    ),
    "gpgv's answer": Target(_signature_of, (), b"[GNUPG:] GOODSIG 0123456789ABCDEF alice\n", slow=10),
}  # fmt: skip
_RPMTOOL = {
    "diff": Target(
        file(_judged, "/x.patch"), _REFUSED, _DIFF, (b"From: x\n\nFixes: CVE-2026-1000\n" + _DIFF,)
    ),
    "recipe": Target(file(previous.from_folder, "/livepatch.json"), _REFUSED, _RECIPE),
    "source": Target(_unpack, _REFUSED, _tar(), slow=4),
    "payload": Target(_payload, _REFUSED, _member(b"./a", b"abc") + _member(b"TRAILER!!!", b"")),
    "rpm": Target(file(_rpm, "/x.rpm"), _REFUSED, _RPM, slow=20),
    "rpm, unpacked": Target(file(_whole_rpm, "/y.rpm"), _REFUSED, _RPM, slow=300),
    "elf": Target(_elf, _REFUSED, _MODULE, (_SIGNED,)),
    "code that stores a byte": Target(_stores, (), bytes.fromhex("c6403001 92c00030 98030030 39000000")),
    "klp": Target(_klp, _REFUSED, _MODULE, (elf_files.klp(2), elf_files.klp(2, 3)), slow=4),
    "input": Target(file(_inputs, "/input"), _REFUSED, _DIFF, (_MODULE,)),
    "vmlinux": Target(file(_kernel, "/vmlinux"), _REFUSED, _VMLINUX, slow=4),
    "kernel's module": Target(
        file(lambda path: target.module_functions(path, "6.1"), "/k.ko"), _REFUSED, _MODULE
    ),
    "updateinfo": Target(
        file(lambda path: updateinfo.advisory_facts(path, "A-1"), "/updateinfo.xml"),
        _REFUSED,
        UPDATE,
        (gzip.compress(UPDATE, mtime=0), lzma.compress(UPDATE), bz2.compress(UPDATE)),
    ),
    "Module.symvers": Target(
        file(lambda path: (target.crcs(path), target.kernel_modules(path)), "/Module.symvers"),
        _REFUSED,
        b"0x12345678\tprintk\tvmlinux\tEXPORT_SYMBOL\t\n0x9abcdef0\tf\tfs/ext4/ext4\tEXPORT_SYMBOL_GPL\t\n",
    ),
    "utsrelease.h": Target(
        files(lambda: target.release_of(FOLDER), "/include/generated/utsrelease.h"),
        (),
        b'#define UTS_RELEASE "6.1.0-1.x86_64"\n',
    ),
    "Kbuild": Target(
        files(lambda: engines.object_names(PATHS.at("/klp")), "/klp/Kbuild"), (), b"obj-m := klp-a.o b.o\n"
    ),
    "engine's output": Target(text(_report_of_engine), (), b"make: x\na.c:1: error: y\n"),
}

TARGETS: dict[str, Target] = {**_REPOTOOL, **_RPMTOOL}
