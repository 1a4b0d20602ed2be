# SPDX-License-Identifier: GPL-2.0-or-later
"""The parsers of untrusted bytes: how each is called, which exceptions it declares, and a valid input."""

from __future__ import annotations

import gzip
import io
import json
import os
import pathlib
import struct
import tarfile
import tempfile
from collections.abc import Callable
from typing import NamedTuple

from dnf_plugin_livepatch.base import config, fields, names, times
from dnf_plugin_livepatch.base.model import Kernel
from dnf_plugin_livepatch.base.paths import Paths
from dnf_plugin_livepatch.formats import manifest, record_parts, repository_record
from dnf_plugin_livepatch.host.clients import client
from dnf_plugin_livepatch.host.files import advisories, atomic, guard_file, journal, mailbox, notices
from dnf_plugin_livepatch.host.kernel import livepatches, module_file, oops, running, signature
from dnf_plugin_livepatch.host.packages import vendor_cves
from dnf_plugin_livepatch.host.program import Unusable
from dnf_plugin_livepatch.repotool import plan, report, settings, site, yamlfile
from dnf_plugin_livepatch.repotool.lint import run as lint
from dnf_plugin_livepatch.repotool.lint.context import Context
from dnf_plugin_livepatch.repotool.repository import metadata, reading
from dnf_plugin_livepatch.rpmtool.readers import diffs, elf, klp_module, recipe, source, updateinfo
from dnf_plugin_livepatch.toolkit import rpm_payload
from dnf_plugin_livepatch.toolkit.errors import ToolError
from dnf_plugin_livepatch.vendors import openeuler, profile_file, templates
from tests.fuzz import hostile_repository
from tests.unit.support.fakehost import module_file as fake_module

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_FOLDER = tempfile.mkdtemp(prefix="fuzz-")
_PATHS = Paths(_FOLDER)
_KERNEL = Kernel("5.10.0-60.x86_64", "x86_64", "", "b", True)


class Target(NamedTuple):
    """One parser: ``run`` gives it bytes, ``declared`` are the exceptions that it may raise for them."""

    run: Callable[[bytes], object]
    declared: tuple[type[Exception], ...] = ()
    seed: bytes = b""


def _text(function: Callable[[str], object]) -> Callable[[bytes], object]:
    return lambda data: function(data.decode("utf-8", "replace"))


def _file(function: Callable[[str], object], path: str) -> Callable[[bytes], object]:
    """``function`` is given the path of a file with the bytes; ``path`` is below the target's own root."""
    place = _PATHS.at(path)
    os.makedirs(os.path.dirname(place), exist_ok=True)

    def run(data: bytes) -> object:
        with open(place, "wb") as file:
            file.write(data)
        return function(place)

    return run


def _profile(name: str) -> bytes:
    with open(os.path.join(TOP, "profiles", name), "rb") as file:
        return file.read()


def _client(data: bytes) -> object:
    """The first line is the profile's rule, the rest the client's output."""
    rule, _, output = data.decode("utf-8", "replace").partition("\n")
    text = f"[profile]\ntitle = x\n[client]\nstate = /x\napply = /x\nline = {rule}\nactive = ON\n"
    text += "exit = state 0 done\n"
    parsed = profile_file.parse("x", text).client
    assert parsed is not None
    return client._entries(parsed, _KERNEL, output)


def _template(data: bytes) -> object:
    rule, _, text = data.decode("utf-8", "replace").partition("\n")
    return templates.parse(rule, text)


def _repository(kind: str) -> Callable[[bytes], object]:
    """A repository whose file ``kind`` holds the bytes, as lint, plan and report read it."""
    folder = pathlib.Path(_FOLDER, "repository-" + kind)
    files = hostile_repository.parts(_OFFERED)
    conf = settings.Settings()

    def run(data: bytes) -> object:
        if kind == "repomd":
            hostile_repository.write(folder, files, data or b" ")
        else:
            hostile_repository.write(folder, {**files, kind: data})
        metadata.load(str(folder / "repodata"), own=True)
        view = reading.read(str(folder), ())
        found = lint.run(view, Context(_NOW))
        plan.as_text(plan.plan(view, ["6.12.0-1.x86_64"], ["CVE-2026-1000"], _NOW))
        pages = site.pages(report.build(view, (), conf, _NOW))
        assert all(line.isprintable() for text in pages.values() for line in text.split("\n"))
        return lint.as_text(found), lint.as_junit(view, found)

    return run


def _settings(function: Callable[[str], object]) -> Callable[[bytes], object]:
    return _file(function, "/livepatch-repo.yml")


def _judged(text: str) -> object:
    parsed = diffs.parse(text, "x.patch")
    return diffs.judge(parsed, "x.patch")


def _unpack(data: bytes) -> object:
    with tempfile.TemporaryDirectory(dir=_FOLDER) as folder:
        return source.unpack(data, folder, "source.rpm")


def _klp(data: bytes) -> object:
    parsed = elf.parse_module("m.ko", data)
    return klp_module.patched(parsed), klp_module.relocation_faults(parsed), klp_module.jump_tables(parsed)


def _elf(data: bytes) -> object:
    parsed = elf.parse_module("m.ko", data)
    return parsed.build_id, parsed.modinfo, parsed.crcs, elf.signature(data), elf.unsigned(data)


def _payload(data: bytes) -> object:
    return [member for member in rpm_payload.unpacked(io.BytesIO(data), "x.rpm")]


def _tar() -> bytes:
    found = io.BytesIO()
    with tarfile.open(fileobj=found, mode="w") as tar:
        info = tarfile.TarInfo("a/b.patch")
        info.size = 3
        tar.addfile(info, io.BytesIO(b"abc"))
    return gzip.compress(found.getvalue(), mtime=0)


_MANIFEST = json.dumps(
    {"schema": 1, "module": "m", "kernel_release": "6.1", "build_id": "ab" * 20, "cves": ["CVE-2026-1000"],
     "functions": [{"object": "vmlinux", "name": "f", "sympos": 0}], "issued": "2026-11-01T00:00:00Z"}
).encode()  # fmt: skip
_RECORD = json.dumps(
    {"schema": 1, "generated": "2026-11-01T00:00:00Z", "kernels": {"6.1": {
        "support_end": "2027-01-01", "unfixable": [{"cve": "CVE-2026-1000", "reason": "r"}],
        "patches": {"a-1-1.x86_64": {"issued": "2026-11-01T00:00:00Z", "rollout": [
            {"since": "2026-11-01T00:00:00Z", "percent": 5}], "withdrawn": {
                "since": "2026-11-01T00:00:00Z", "reason": "r"}}}}}}
).encode()  # fmt: skip
_GUARD = json.dumps(
    {"schema": 1, "records": {"a-1-1.x86_64": {"state": "good", "modules": ["m"], "taint": 1}},
     "owned": {"m": {"nevra": "a-1-1.x86_64", "build_id": "ab" * 20, "boot_id": "b", "place": 1}},
     "clients": {}, "held": {"a-1-1.x86_64": ""}, "kept": [
         {"nevra": "a-1-1.x86_64", "release": "6.1", "modules": [["m", "ab" * 32]], "cves": []}]}
).encode()  # fmt: skip
_UPDATE = b"""<updates><update type="security"><id>A-1</id><severity>Low</severity>
<issued date="2026-01-01"/><references><reference id="CVE-2026-1000" type="cve"/></references>
<pkglist><hot_patch_collection name="x">
<package name="p" version="1" release="1" arch="x86_64"/></hot_patch_collection></pkglist></update>
</updates>"""
_NOW = "2026-11-27T00:00:00Z"
_OFFERED = (("klp", "1", "1"), ("klp", "2", "1"))
_METADATA = hostile_repository.parts(_OFFERED, record=_RECORD.decode())
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


_CPIO = _member(b"./a", b"abc") + _member(b"TRAILER!!!", b"")
_STATE = (atomic.Broken,)

TARGETS: dict[str, Target] = {
    "config": Target(_text(config.parse), (), b"[main]\nmode = load\nmin_age = 7d\nrepos = a b\n"),
    "nevra": Target(_text(names.parse_nevra), (ValueError,), b"a-1:2-3.el9.x86_64"),
    "times": Target(_text(times.parse), (), b"2026-11-01T00:00:00Z"),
    "fields": Target(
        _text(lambda text: fields.document(text, 1 << 20, 1)), (fields.FieldError,), b'{"schema": 1}'
    ),
    "manifest": Target(_text(manifest.parse), (manifest.ManifestError,), _MANIFEST),
    "record": Target(
        _text(lambda text: repository_record.parse(text, "6.1")), (repository_record.RecordError,), _RECORD
    ),
    "record parts": Target(
        lambda data: record_parts.cut([data[:9], data[9:]], ("6.1",)), (ValueError,), _RECORD
    ),
    "hot patches": Target(_text(lambda text: openeuler.advisories(text, {"p"})), (), _UPDATE),
    "profile": Target(
        _text(lambda text: profile_file.parse("x", text)),
        (profile_file.ProfileError,),
        _profile("ksplice.conf"),
    ),
    "template": Target(_template, (ValueError,), b"kpatch-patch-{kver:_}-{krel:_}\nkpatch-patch-5_14_0-70"),
    "client": Target(_client, (Unusable, profile_file.ProfileError), b"{id} {name} {state}\nab n/1 ON\n"),
    "vendor description": Target(_text(vendor_cves.of_description), (), b"Fixes: CVE-2026-1000, bsc#1"),
    "vendor changelog": Target(
        _text(lambda text: vendor_cves.of_changelog([text])), (), b"- [CVE-2026-1000]"
    ),
    "vendor info": Target(_text(lambda text: vendor_cves.of_info([text])), (), b"cve: CVE-2026-1000"),
    "guard": Target(
        _file(lambda _: guard_file.read(_PATHS), "/var/lib/livepatch/guard.json"), _STATE, _GUARD
    ),
    "notices": Target(
        _text(lambda text: notices.parse(_object(text))),
        _STATE,
        b'{"withdrawn":[{"nevra":"a-1-1.x86_64","reason":"r"}]}',
    ),
    "exposure": Target(
        _text(lambda text: advisories.parse(_object(text))),
        (fields.FieldError,),
        b'{"kernels":[{"kernel_release":"6.1","quality":"exact","debt":[{"cve":"CVE-2026-1000",'
        b'"fixed_in":"1-1","date_kind":""}]}]}',
    ),
    "result": Target(
        _text(lambda text: mailbox.load(_object(text))),
        _STATE,
        b'{"ok":true,"in_force":[{"module":"m","nevra":"a-1-1.x86_64"}]}',
    ),
    "history": Target(
        journal._entry, (), b'{"schema":1,"time":"2026-11-01T00:00:00Z","event":"load","boot_id":"b"}'
    ),
    "oops": Target(
        _text(lambda text: oops.oops_in(text.split("\n"), ["m"])), (), b"BUG: x\nRIP: 0010:f+0x1/0x2 [m]\n"
    ),
    "kmsg": Target(
        _file(lambda _: oops.ring_buffer(_PATHS, 1.0), "/dev/kmsg"), (), b"4,1,2000000,-;BUG: x\n"
    ),
    "pstore": Target(
        _file(lambda _: oops.of_past_boots(_PATHS, ["m"], "2020-01-01"), "/sys/fs/pstore/dmesg-efi-1"),
        (),
        b"Oops#1 Part1\n<4>[   12.000001] BUG: x\n<4>[   12.000002]  f+0x1/0x2 [m]\n",
    ),
    "journald": Target(_text(oops._message), (), b'{"MESSAGE":[66,85,71]}'),
    "module": Target(
        _file(module_file.read, "/m.ko"), (module_file.ModuleError,), fake_module("m", "ab" * 20)
    ),
    "notes": Target(
        lambda data: module_file.note_build_id(data, "<"),
        (),
        struct.pack("<III", 4, 20, 3) + b"GNU\0" + bytes(20),
    ),
    "signature": Target(
        signature.signer, (), b"x" * 50 + struct.pack(">5B3xI", 0, 0, 2, 0, 0, 50) + signature.MAGIC
    ),
    "sysfs": Target(
        _file(lambda _: livepatches.one(_PATHS, "m"), "/sys/kernel/livepatch/m/enabled"), (), b"1\n"
    ),
    "kernel release": Target(
        _file(lambda _: running.running(_PATHS), "/proc/sys/kernel/osrelease"), (), b"6.1\n"
    ),
    "cve order": Target(_text(names.cve_order), (), b"CVE-2026-1000"),
    "yaml": Target(
        _file(yamlfile.load, "/x.yml"), (ToolError, yamlfile.Fault), b"schema: 1\nadvisories:\n - title: x\n"
    ),
    "diff": Target(_text(_judged), (ToolError,), _DIFF),
    "repository settings": Target(_settings(settings.read), (ToolError,), _SETTINGS),
    "advisory file": Target(_settings(settings.read_advisories), (ToolError,), _ADVISORIES),
    **{
        f"repository {kind}": Target(_repository(kind), (ToolError,), seed)
        for kind, seed in {**_METADATA, "repomd": hostile_repository.repomd(_METADATA)}.items()
    },
    "recipe": Target(_text(lambda text: recipe.parse(text, "x.rpm")), (ToolError,), _RECIPE),
    "source": Target(_unpack, (ToolError,), _tar()),
    "payload": Target(_payload, (ToolError,), _CPIO),
    "elf": Target(_elf, (ToolError,), fake_module("m", "ab" * 20)),
    "klp": Target(_klp, (ToolError,), fake_module("m", "ab" * 20)),
    "updateinfo": Target(
        _file(lambda path: updateinfo.advisory_facts(path, "A-1"), "/updateinfo.xml"), (ToolError,), _UPDATE
    ),
}


def _object(text: str) -> dict[str, object]:
    """A JSON object, as ``atomic.read_json`` hands it on."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
