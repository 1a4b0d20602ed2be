# SPDX-License-Identifier: GPL-2.0-or-later
"""The host's parsers of packages, repositories, clients' output, the owner's files and files of its own."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import subprocess
from collections.abc import Iterator

from dnf_plugin_livepatch.base import config, fields, names, texts, times
from dnf_plugin_livepatch.base.model import Advisory, InstalledPatch, Kernel, Nevra
from dnf_plugin_livepatch.dnf4 import metadata
from dnf_plugin_livepatch.exposure import compute, debt
from dnf_plugin_livepatch.formats import manifest, record_parts, repository_record, updateinfo
from dnf_plugin_livepatch.host import for_planning, program
from dnf_plugin_livepatch.host.cli import machines
from dnf_plugin_livepatch.host.clients import client
from dnf_plugin_livepatch.host.files import (
    advisories,
    atomic,
    guard_file,
    journal,
    mailbox,
    notices,
    shutdown_note,
    vanished,
)
from dnf_plugin_livepatch.host.kernel import switches
from dnf_plugin_livepatch.host.packages import evr, installed, inventory, vendor_cves
from dnf_plugin_livepatch.host.reconcile import copies, preflight, unchanged
from dnf_plugin_livepatch.host.report import history
from dnf_plugin_livepatch.planning.inputs import build
from dnf_plugin_livepatch.vendors import openeuler, profile_file, profiles, templates

from .target import CUT, PATHS, TOP, Target, file, files, json_object, shipped, text

_KERNEL = Kernel("5.10.0-60.x86_64", "x86_64", "", "b", True)
_PROFILES = profiles.load([os.path.join(TOP, "profiles")])[0]
_COPIED = guard_file.CopiedSet("a-1-1.x86_64", "6.1", (("m", "ab" * 32),))


def _client(data: str) -> object:
    """The first line is the profile's rule, the rest the client's output."""
    rule, _, output = data.partition("\n")
    parsed = profile_file.parse(
        "x",
        f"[profile]\ntitle = x\n[client]\nstate = /x\napply = /x\nline = {rule}\nactive = ON\n"
        "exit = state 0 done\n",
    ).client
    assert parsed is not None
    return client._entries(parsed, _KERNEL, output)


def _clients(data: str) -> None:
    """The output of each client of the shipped profiles."""
    for profile in _PROFILES:
        if profile.client is not None:
            try:
                client._named(client._entries(profile.client, _KERNEL, data), data)
            except program.Unusable:
                continue


def _cves_file(path: str) -> object:
    listed = next(profile.client for profile in _PROFILES if profile.client and profile.client.cves_file)
    return client._named((), client._listed(listed._replace(cves_file=path)))


def _template(data: str) -> object:
    rule, _, name = data.partition("\n")
    return templates.parse(rule, name)


def _package(data: str) -> object:
    """The package that a line names, with the capabilities of the other lines."""
    line, *provides = data.split("\n")
    nevra = Nevra(*(line.split(" ") + [""] * 5)[:5])
    found = profiles.match_all(nevra, provides, provides, _PROFILES)
    return [(profiles.fits(item, item.kernel_release), names.declared_cve(line)) for item in found]


class _Header(dict[str, object]):
    """The tags of a package in the rpm database, in the types in which librpm hands them on."""

    def __init__(self, told: dict[str, object]) -> None:
        lists = ("filenames", "filedigests", "changelogtext")
        lists += tuple(kind + tag for kind in ("provide", "require") for tag in ("name", "version"))
        super().__init__({tag: _strings(told.get(tag)) for tag in lists})
        for tag in ("provideflags", "requireflags"):
            self[tag] = [len(item) for item in _strings(told.get(tag))]
        modes = told.get("filemodes")
        self["filemodes"] = (
            [mode & 0xFFFF for mode in modes if isinstance(mode, int)] if isinstance(modes, list) else []
        )
        for tag in ("name", "version", "release", "arch", "description"):
            self[tag] = str(told.get(tag, ""))
        for tag in ("epoch", "buildtime", "filedigestalgo"):
            found = told.get(tag)
            self[tag] = found if isinstance(found, int) else None


def _packed(path: str) -> object:
    return metadata.text(path, repository_record.MAX_BYTES)


def _strings(found: object) -> list[str]:
    return [str(item) for item in found] if isinstance(found, list) else []


def _installed(data: str) -> object:
    header = _Header(json_object(data))
    for release in ("5.14.0-427.13.1.el9_4.x86_64", "6.4.0-150600.23.7-default"):
        found = installed._patch(PATHS, header, _PROFILES, release, "", [])
        if found is not None:
            return found
    return None


def _rows(data: str) -> Iterator[Advisory]:
    """Advisories as libdnf's reader hands them on: texts made printable, dates that are dates."""
    for line in data.split("\n"):
        cells = [texts.printable(cell)[:200].strip() for cell in (line.split("|") + [""] * 4)[:4]]
        cells = [*cells, line.rpartition("|")[2]]
        cells[2] = cells[2] if times.DATE.match(cells[2]) else ""
        listed = [build("kernel", word, "x86_64") for word in cells[4].split() if names.EVR.match(word)]
        cves = tuple(word for word in cells[3].split() if names.CVE.match(word))
        yield Advisory(cells[0], "security", cells[1], "", cells[2], cves, tuple(listed))


def _exposure(data: str) -> None:
    """The advisories of a repository, and the cache that is written from them and read again."""
    rows, main = list(_rows(data)), build("kernel", "5.14.0-427.el9_4", "x86_64")
    found, quality, reason = debt.debt_of(main, rows, evr.compare, "5.14.0-500.el9_5")
    inputs = compute.unknown("5.14.0-427.el9_4.x86_64", "r")._replace(
        debt=found,
        quality=quality,
        reason=reason,
        cover=debt.coverage(rows, {"kernel"}, [main], evr.compare),
    )
    advisories.parse(json.loads(json.dumps(advisories.dump(inputs))))


def _history() -> object:
    entries = journal.read(PATHS)
    shown = [cell for row in history.rows(entries, {}) for cell in row]
    assert all(cell.isprintable() for cell in shown), shown
    return json.dumps(history.as_json(entries, {}))


def _shutdown() -> object:
    found = vanished.before_shutdown(PATHS)
    assert all(entry.facts["module"] not in shutdown_note.read(PATHS).in_force for entry in found), found
    return found


def _machine() -> object:
    return for_planning.Machine(PATHS).machine_id, for_planning.recall(PATHS, "seen")


def _patch_of(rule: profile_file.Profile) -> InstalledPatch:
    return InstalledPatch(Nevra("a", "0", "1", "1", "x86_64"), rule.name, "6.1", "patch", "kernel", ())


class _Context:
    paths = PATHS


_MANIFEST = json.dumps(
    {"schema": 1, "module": "m", "kernel_release": "6.1", "build_id": "ab" * 20, "cves": ["CVE-2026-1000"],
     "functions": [{"object": "vmlinux", "name": "f", "sympos": 0}], "issued": "2026-11-01T00:00:00Z"}
).encode()  # fmt: skip
RECORD = json.dumps(
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
_INVENTORY = json.dumps(
    {"schema": 1, "key": [], "database": "/d", "kernels": [["kernel", "6.1-1"]], "core": [["glibc", 1]],
     "patches": [{"nevra": ["a", "0", "1", "1", "x86_64"], "profile": "p", "kernel_release": "6.1",
                  "kind": "patch", "loader": "kernel", "cves": [], "unfixable": [["CVE-2026-1000", "r"]],
                  "build_time": 1, "modules": [{"name": "m", "path": "/m", "digest": "ab",
                                                "manifest": _MANIFEST.decode(), "build_id": ""}]}]}
).encode()  # fmt: skip
_HEADER = json.dumps(
    {"name": "kpatch-patch-5_14_0-427_13_1", "version": "1", "release": "1.el9_4", "arch": "x86_64",
     "providename": ["kpatch-patch"], "provideversion": ["5.14.0-427.13.1.el9_4.x86_64"],
     "provideflags": ["12345678"], "filenames": [
         "/usr/lib/kpatch/5.14.0-427.13.1.el9_4.x86_64/kpatch-m.ko", "/usr/share/livepatch/6.1/m.json"],
     "filedigests": ["ab", ""], "filemodes": [33188, 33188], "filedigestalgo": 8,
     "buildtime": 1, "changelogtext": ["{CVE-2026-1000}"]}
).encode()  # fmt: skip
_SUSE = json.dumps(
    {"name": "kernel-livepatch-6_4_0-150600_23_7-default", "version": "2", "release": "1", "arch": "x86_64",
     "filenames": ["/lib/modules/6.4.0-150600.23.7-default/livepatch/livepatch-2.ko",
                   "/usr/share/livepatch/info/livepatch_2-ab"], "filedigests": ["ab", "cd"],
     "filemodes": [33188, 16877]}
).encode()  # fmt: skip
UPDATE = b"""<updates><update type="security"><id>A-1</id><severity>Low</severity>
<issued date="2026-01-01"/><references><reference id="CVE-2026-1000" type="cve"/></references>
<pkglist><hot_patch_collection name="x">
<package name="p" version="1" release="1" arch="x86_64"/></hot_patch_collection></pkglist></update>
</updates>"""
_STAMPED = '"time":"2026-11-01T00:00:00Z","boot_id":"b"'
_HISTORY = f'{{"schema":1,{_STAMPED},"event":"load","nevra":"a-1-1.x86_64","outcome":"done","seconds":1.5,'
_HISTORY += f'"cves":["CVE-2026-1000"],"issued":"2026-10-01"}}\n{{"schema":1,{_STAMPED},"event":"good"}}'
_ADVISED = b"""A-1|Low|2026-01-01|CVE-2026-1000|5.14.0-427.el9_4 5.14.0-428.el9_4
A-2|Important|2026-02-01|CVE-2026-1000 CVE-2026-1001|5.14.0-503.el9_5
A-3|||CVE-2026-1002|1:5.14.0-70.el9_0"""
_ZSTD = subprocess.run(["zstd", "-q"], input=RECORD, stdout=subprocess.PIPE, check=True).stdout
_STATE = (atomic.Broken,)

_PACKAGES = {
    "nevra": Target(text(names.parse_nevra), (ValueError,), b"a-1:2-3.el9.x86_64"),
    "times": Target(text(times.parse), (), b"2026-11-01T00:00:00Z"),
    "cve order": Target(text(names.cve_order), (), b"CVE-2026-1000"),
    "fields": Target(
        text(lambda data: fields.document(data, 1 << 20, 1)), (fields.FieldError,), b'{"schema": 1}'
    ),
    "manifest": Target(text(manifest.parse), (manifest.ManifestError,), _MANIFEST),
    "record": Target(
        text(lambda data: repository_record.parse(data, "6.1")), (repository_record.RecordError,), RECORD
    ),
    "record's parts": Target(
        lambda data: record_parts.cut([data[:9], data[9:]], ("6.1",)), (ValueError,), RECORD
    ),
    "record, packed": Target(
        file(_packed, "/stream"),
        (OSError,),
        gzip.compress(RECORD, mtime=0) * 2,
        (lzma.compress(RECORD), bz2.compress(RECORD), RECORD),
        slow=8,
    ),
    "record, by zstd": Target(
        file(lambda path: metadata.text(path, 1 << 20), "/stream.zst"), (OSError,), _ZSTD, slow=8
    ),
    "days of issue": Target(text(lambda data: updateinfo.issued(data, ["A-1", "A&2"])), (), UPDATE),
    "hot patches": Target(text(lambda data: openeuler.advisories(data, {"p"})), (), UPDATE),
    "advisories": Target(text(_exposure), (), _ADVISED),
    "capabilities": Target(
        text(_package),
        (),
        b"kpatch-patch-5_14_0-427_13_1 0 1 1.el9_4 x86_64\nkpatch-patch = 5.14.0-427.13.1.el9_4.x86_64\n"
        b"livepatch(kernel-uname-r:5.14.0-427.13.1.el9_4.x86_64)\nlivepatch-cve(CVE-2026-1000)",
        (b"kernel-livepatch-6_4_0-150600_23_7-default 0 2 1 x86_64\n",),
    ),
    "installed package": Target(text(_installed), (), _HEADER, (_SUSE,)),
    "vendor description": Target(
        text(vendor_cves.of_description), (), b"* CVE-2026-1000\n !CVE-2026-1001: it is not"
    ),
    "vendor changelog": Target(
        text(lambda data: vendor_cves.of_changelog([data])), (), b"- fix {CVE-2026-1000}"
    ),
    "vendor info": Target(text(lambda data: vendor_cves.of_info([data])), (), b"cve: CVE-2026-1000"),
}
_ADMINISTRATOR = {
    "config": Target(
        file(config.read, "/etc/dnf/plugins/livepatch.conf"),
        (),
        b"[main]\nmode = load\nmin_age = 7d\nrepos = a b\nhealth_check = /a\n /b",
        (b"[Main\r\nenabled: 0\n  mode = report # x", "\ufeff[main]\nmode = load".encode("utf-16")),
    ),
    "profile": Target(
        text(lambda data: profile_file.parse("x", data)),
        (profile_file.ProfileError,),
        shipped("ksplice.conf"),
    ),
    "profiles": Target(
        files(lambda: profiles.load(PATHS.profile_dirs), "/etc/livepatch/profiles.d/x.conf"),
        (),
        shipped("suse.conf"),
        slow=10,
    ),
    "template": Target(
        text(_template), (ValueError,), b"kpatch-patch-{kver:_}-{krel:_}\nkpatch-patch-5_14_0-70"
    ),
    "kpatch.conf": Target(
        files(lambda: preflight.host(PATHS), "/etc/dnf/plugins/kpatch.conf"),
        (),
        b"[main]\nautoupdate = true",
    ),
    "switch": Target(
        files(
            lambda: [switches.off(PATHS, [rule], [_patch_of(rule)]) for rule in _PROFILES if rule.switch],
            "/etc/sysconfig/livepatching",
        ),
        (),
        b"LIVEPATCH='never'  # x\nLIVEPATCH=always",
    ),
    "needs-restarting": Target(
        files(lambda: inventory._watched(PATHS), inventory.NEEDS_RESTARTING + "/x.conf"), (), b"# x\nglibc\n"
    ),
    "machine": Target(
        files(_machine, "/etc/machine-id", PATHS.memo("seen")[len(PATHS.root) :]), (), b"a" * 32
    ),
    "os-release": Target(
        files(lambda: machines._distribution(_Context), "/etc/os-release"), (), b'NAME=x\nID="fedora"\n'
    ),
}
_CLIENTS = {
    "client": Target(
        text(_client), (program.Unusable, profile_file.ProfileError), b"{id} {name} {state}\nab n/1 ON\n"
    ),
    "clients": Target(
        text(_clients),
        (),
        b"Uuid Name Status\n01234567-89ab n/5.10.0-60/p ACTIVED\n",
        (b"Installed updates:\n[ab12cd34] CVE-2026-1000: x in f.\n\nEffective kernel version is 5.10.0\n",),
    ),
    "client's CVEs": Target(file(_cves_file, "/cves"), (), b"CVE-2026-1000\nCVE-2026-1001 x"),
}
_FILES = {
    "guard": Target(
        files(lambda: guard_file.read(PATHS), "/var/lib/livepatch/guard.json"), _STATE, _GUARD
    ),
    "notices": Target(
        files(lambda: (notices.fault(PATHS), notices.read(PATHS)), "/var/lib/livepatch/notices.json"),
        (),
        b'{"schema":1,"withdrawn":[{"nevra":"a-1-1.x86_64","reason":"r"}],"hold":{"release":"6.1",'
        b'"name":"a-1-1.x86_64","kernel":"k-2-1.x86_64","since":"s","why":"w"},'
        b'"seen":[{"nevra":"a-1-1.x86_64","since":"2026-11-01T00:00:00Z"}]}',
    ),
    "exposure": Target(
        files(
            lambda: (advisories.load(PATHS, "6.1"), advisories.load_all(PATHS)),
            "/var/lib/livepatch/exposure.json",
        ),
        (),
        b'{"schema":2,"kernels":[{"kernel_release":"6.1","quality":"exact","debt":[{"cve":"CVE-2026-1000",'
        b'"fixed_in":"1-1","date_kind":""}],"cover":[{"nevra":"a-1-1.x86_64","cves":["CVE-2026-1000"]}],'
        b'"on_offer":{"kernel":"1-2","hidden":"1-3","patch":"a-1-2.x86_64"}}]}',
    ),
    "note of a shutdown": Target(
        files(_shutdown, "/var/lib/livepatch/clean-shutdown", "/var/lib/livepatch/guard.json"),
        (),
        CUT.join(
            (
                b'b\nm n\n{"schema":1,"boot_id":"b","finished":"2026-11-22T12:00:00Z","ok":true,'
                b'"in_force":[{"module":"gone","nevra":"a-1-1.x86_64"}]}\n',
                b'{"schema":1,"owned":{"gone":{"nevra":"a-1-1.x86_64","build_id":"","boot_id":"b"}}}',
            )
        ),
    ),
    "result": Target(
        files(lambda: mailbox.read_result(PATHS), "/run/livepatch/result.json"),
        (),
        b'{"schema":1,"ok":true,"in_force":[{"module":"m","nevra":"a-1-1.x86_64"}],"problems":[{"id":"i",'
        b'"severity":"error","text":"t"}],"actions":[{"verb":"v","module":"","nevra":"","outcome":"o"}]}',
    ),
    "request": Target(files(lambda: mailbox.current(PATHS), "/run/livepatch/request"), (), b"123456789-7\n"),
    "under way": Target(
        files(
            lambda: mailbox.under_way(PATHS, None),
            "/run/livepatch/request", "/run/livepatch/lock", "/proc/locks",
        ), (), CUT.join((b"1-7\n", b"", b"1: FLOCK  ADVISORY  WRITE 7 00:19:123 0 EOF\n")),
    ),
    "inventory": Target(
        text(lambda data: inventory._load(json_object(data))), (fields.FieldError, manifest.ManifestError),
        _INVENTORY,
    ),
    "inventory of the boot before": Target(
        files(lambda: inventory.at_boot(PATHS, _KERNEL), "/var/lib/livepatch/inventory.json"), (),
        _INVENTORY[:-1] + b', "signers": {"a-1-1.x86_64": "key"}}',
    ),
    "inventory file": Target(
        files(lambda: inventory._remembered(PATHS, _KERNEL), "/run/livepatch/inventory.json"), (), _INVENTORY
    ),
    "converged": Target(
        files(lambda: unchanged.unchanged(PATHS, _KERNEL), "/run/livepatch/converged.json"),
        (),
        b'{"schema":1,"database":"/var/lib/rpm","fingerprint":"1\\n6.1"}',
    ),
    "copies": Target(
        files(lambda: copies.modules_of(PATHS, _COPIED), "/usr/lib/modules/6.1/livepatch-kept/m.json"),
        (),
        _MANIFEST,
    ),
    "history": Target(files(_history, "/var/lib/livepatch/journal.jsonl"), (), _HISTORY.encode()),
}  # fmt: skip
TARGETS: dict[str, Target] = {**_PACKAGES, **_ADMINISTRATOR, **_CLIENTS, **_FILES}
