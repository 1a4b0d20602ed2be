# SPDX-License-Identifier: GPL-2.0-or-later
"""Hostile inputs of livepatch-rpm cost little and end as an error; writers keep their readers' limits."""

from __future__ import annotations

import gzip
import io
import json
import os
import struct
import tarfile
import time

import pytest

from dnf_plugin_livepatch.base import fields
from dnf_plugin_livepatch.base.model import Function, Manifest, Unfixable
from dnf_plugin_livepatch.formats.repository_record import KernelNote, PatchNote, Record, Step
from dnf_plugin_livepatch.repotool import transaction
from dnf_plugin_livepatch.repotool.repository import generations, store
from dnf_plugin_livepatch.rpmtool import cli
from dnf_plugin_livepatch.rpmtool.module import build, engines, sign
from dnf_plugin_livepatch.rpmtool.package import collect, previous
from dnf_plugin_livepatch.rpmtool.package.request import Request
from dnf_plugin_livepatch.rpmtool.readers import diffs, elf, judge, klp_module, recipe, source, updateinfo
from dnf_plugin_livepatch.rpmtool.readers.recipe import Recipe
from dnf_plugin_livepatch.toolkit.errors import ToolError
from dnf_plugin_livepatch.toolkit.programs import Runner
from tests.tools.support.elf_files import REAL, klp, made
from tests.unit.support.fakehost import note

RECIPE = Recipe("empty", "6.1", "x86_64", "n", "1", "1", 1)


def refused(identifier, function, *arguments):
    """Call ``function``, which must raise the ToolError ``identifier`` within a second; returns its text."""
    start = time.process_time()
    with pytest.raises(ToolError) as caught:
        function(*arguments)
    assert caught.value.id == identifier and time.process_time() - start < 1
    return caught.value.text


def archive(*members, form=tarfile.USTAR_FORMAT):
    """A tar.gz of ``members``, (name, content, more facts)."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=form) as tar:
        for name, content, facts in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for key, value in facts.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(content))
    return gzip.compress(plain.getvalue())


GOOD = archive(("x", os.urandom(100000), {}))
PAX = tarfile.PAX_FORMAT


@pytest.mark.parametrize(
    "data",
    [
        archive(("x", b"x", {"pax_headers": {"path": "a\0b"}}), form=PAX),
        archive(("x\udcff", b"x", {}), form=PAX),
        archive(("x", b"x", {"pax_headers": {"size": "9" * 30}}), form=PAX),
        archive(("x", b"x", {"pax_headers": {"size": "-1"}}), form=PAX),
        archive(("x", b"x", {"pax_headers": {"comment": "9" * (1 << 20)}}), form=PAX),
        GOOD[:50000],
        GOOD[:-1],
        GOOD + b"more",
        GOOD[:60000] + b"\xff\x55" + GOOD[60002:],
        b"",
        b"\x1f\x8b",
        gzip.compress(b"\0" * (100 << 20)),
        archive(("x", b"\0" * (65 << 20), {})),
        archive(*[(f"{number}", b"", {}) for number in range(source.MAX_SOURCE_FILES + 1)]),
        *(archive((name, b"", {})) for name in ("../x", "/x", "a//b", "a/./b", "a\nb", "a\x1bb")),
        archive(("x", b"", {}), ("x", b"", {})),
        archive(("x", b"", {}), ("x/y", b"", {})),
        archive(("l", b"", {"type": tarfile.SYMTYPE, "linkname": "/etc"})),
        archive(("d", b"", {"type": tarfile.CHRTYPE})),
        archive(("d", b"", {"type": tarfile.DIRTYPE})),
    ],
    ids=lambda data: "tar",
)
def test_a_hostile_tarball_is_refused_and_writes_nothing_outside(data, tmp_path):
    folder = tmp_path / "in" / "side"
    folder.mkdir(parents=True)
    refused("base-unfit", source.unpack, data, str(folder), "p")
    assert os.listdir(tmp_path) == ["in"] and os.listdir(tmp_path / "in") == ["side"]
    assert not any(os.path.islink(path) for path in folder.rglob("*"))


def test_the_tarballs_of_livepatch_rpm_come_out_as_they_went_in(tmp_path):
    files = [("Kbuild", b"obj-m := a.o\n"), ("a/b.c", b"x" * 1000), ("empty.c", b"")]
    source.unpack(source.pack(files), str(tmp_path), "p")
    assert {name: (tmp_path / name).read_bytes() for name, _ in files} == dict(files)


@pytest.mark.parametrize(
    "change",
    [
        {"epoch": float("inf")},
        {"epoch": float("nan")},
        {"epoch": 1e300},
        {"epoch": -1},
        {"epoch": True},
        {"version": 5},
        {"engine": "\ud800"},
        {"depends": ["\ud800"]},
        {"depends": {}},
        {"cves": [["CVE-2026-1000"]]},
        {"inputs": [None]},
        {"modules": None},
    ],
)
def test_a_hostile_recipe_is_no_base(change):
    data = json.loads(recipe.dump(RECIPE))
    assert recipe.parse(json.dumps(data), "p") == RECIPE
    refused("base-unfit", recipe.parse, json.dumps({**data, **change}), "p")


@pytest.mark.parametrize("kind", ["diff", "source"])
def test_a_recipe_without_its_sources_is_no_base(kind, tmp_path):
    found = RECIPE._replace(kind=kind, inputs=(recipe.Input("a.patch", "0" * 64),))
    refused("base-unfit", previous.paths_of, found, str(tmp_path), str(tmp_path))


def test_updateinfo_is_bounded_before_it_is_parsed(tmp_path):
    path = tmp_path / "u.xml"
    for text in (
        gzip.compress(b"<updates>" + os.urandom(9999))[:-3000] + b"damaged",
        gzip.compress(b"<updates>" + b"<update/>" * 1000)[:-9],
        b'<updates><update a="' + b"a" * (6 << 20),
        b"<updates><update>" + b"<a/>" * (updateinfo.MAX_ELEMENTS + 1),
        b"<updates><update>" + b"a" * (updateinfo.MAX_TOKEN + (1 << 20)),
        b"<updates><!--" + b"a" * (6 << 20),
    ):
        path.write_bytes(text)
        refused("updateinfo-unreadable", updateinfo.advisory_facts, str(path), "A-1")


def test_diffs_are_bounded_too():
    head = "--- a/x.c\n+++ b/x.c\n@@ -1 +1 @@ "
    refused("diff-no-apply", diffs.parse, "\n" * (diffs.MAX_LINES + 1), "p")
    for name in ("b/" + "a" * 256, "b/" + "a/" * 600 + "x"):
        refused("diff-unsafe-path", diffs.parse, f"--- a/x\n+++ {name}\n", "p")
    start = time.process_time()
    for line in ("/*" * 100_000, "static " + "a " * 100_000, "a(" * 100_000, "x" + " *" * 100_000):
        for text in (head + f"{line}\n-{line}\n+b\n", head + f"\n-{line}\n+{line}x\n"):
            parsed = diffs.parse(text, "p")
            try:
                judge.judge(parsed, "p")
            except ToolError as error:
                assert error.id.startswith("diff-")
    assert time.process_time() - start < 5


HOSTILE = {
    "a name of many attributes": [f"{sign}int x" + "__a" * 40 + "- = 1;" for sign in "-+"],
    "ends of comments": [" x */"] * 20_000,
    "assertions without an end": [" static int __init f(void)", " {", *[" \tBUILD_BUG( "] * 4000],
    "strings without an end": [" \t" + '\\"' * 20] * 8000,
    "one long string without an end": [' \t"' + '\\"' * 2000, *[" \t" + '\\"' * 2000] * 10],
    "a long name": [" int " + "a" * 4000 + "(", " {", *[" \ta;"] * 4000],
    "arguments without an end": [" int foo(", *[" \t" + "a," * 14] * 10_000],
    "static variables": [*["-\tstatic int " + "a[b]" * 1000] * 20, *["+\tstatic int " + "a[b]" * 1000] * 20],
}


@pytest.mark.parametrize("lines", HOSTILE.values(), ids=HOSTILE)
def test_a_diff_costs_no_square_of_its_length(lines):
    lines = [*lines, "-a", "+b"]
    old, new = (sum(line[0] in (" ", sign) for line in lines) for sign in "-+")
    text = f"--- a/x.c\n+++ b/x.c\n@@ -1,{old} +1,{new} @@ int f(int a)\n" + "\n".join(lines) + "\n"
    start = time.process_time()
    try:
        judge.judge(diffs.parse(text, "p"), "p")
    except ToolError as error:
        assert error.id.startswith("diff-")
    assert time.process_time() - start < 5


def test_sections_that_take_no_memory_are_passed_over_as_the_kernel_does():
    decoys = (
        (".modinfo", 1, 0, b"name=decoy\0", 0, 0),
        (".note.gnu.build-id", 7, 0, note("bb" * 20), 0, 0),
        ("__versions", 1, 0, struct.pack("<Q56s", 1, b"decoy"), 0, 0),
    )
    found = elf.parse_module("m", made(*decoys, REAL, (".note.gnu.build-id", 7, 2, note("aa" * 20), 0, 0)))
    assert (found.modinfo(), found.build_id(), found.crcs()) == ({"name": "real"}, "aa" * 20, {})
    assert elf.parse_module("m", made(*decoys, REAL)).build_id() == ""
    other = (".note.other", 7, 2, note("cc" * 20), 0, 0)
    assert elf.parse_module("m", made(other, REAL)).build_id() == ""
    assert "no .modinfo" in refused("module-unreadable", elf.parse_module, "m", made(*decoys))


def test_structures_in_sections_that_take_no_memory_patch_nothing():
    found = klp_module.patched(elf.parse_module("m", klp(2)))
    assert found.functions == (Function("vmlinux", "f", 0),)
    assert klp_module.patched(elf.parse_module("m", klp(0))).functions == ()


def test_structures_that_share_their_parts_cost_no_square():
    start = time.process_time()
    try:
        klp_module.patched(elf.parse_module("m", klp(2, 20_000)))
    except ToolError as error:
        assert error.id == "module-unreadable"
    assert time.process_time() - start < 5


def test_sections_that_overlap_or_are_too_many_or_too_long_are_refused():
    data = bytearray(made(REAL, *[("x", 1, 2, b"a" * 50, 0, 0)] * 50))
    (table,) = struct.unpack_from("<Q", data, 40)
    for number in range(2, 52):
        struct.pack_into("<QQ", data, table + 64 * number + 24, 64, len(data) - 64)
    assert "overlap" in refused("module-unreadable", elf.parse_module, "m", bytes(data))
    many = made(REAL, *[("x", 1, 0, b"", 0, 0)] * elf.MAX_SECTIONS)
    assert "sections" in refused("module-unreadable", elf.parse_module, "m", many)
    long = elf.parse_module("m", made((".modinfo", 1, 2, b"a=b\0" * (1 << 19), 0, 0)))
    assert "too long" in refused("module-unreadable", long.modinfo)


def test_notes_are_read_in_one_go():
    notes = struct.pack("<III", 0, 0, 0) * 80_000 + note("aa" * 20)
    start = time.process_time()
    assert (
        elf.parse_module("m", made(REAL, (".note.gnu.build-id", 7, 2, notes, 0, 0))).build_id() == "aa" * 20
    )
    assert time.process_time() - start < 1


PINS = (
    "pkcs11:token=hsm;object=lp?pin-value=SECRET1234",
    "PKCS11:token=hsm;pin-value=SECRET1234",
    "pkcs11:token=hsm?PIN-VALUE=SECRET1234",
    "pkcs11:token=hsm?module-name=x&pin%2Dvalue=SECRET1234",
    "pkcs11:token=hsm?%70in-valu%65%3DSECRET1234",
    "pkcs11:token=hsm%3Fpin%252Dvalue=SECRET1234",
)


@pytest.mark.parametrize("uri", PINS)
def test_a_pin_in_the_uri_of_a_key_goes_to_no_program_log_or_message(uri, tmp_path, capsys):
    program, cert, log = tmp_path / "sign-file", tmp_path / "c.pem", tmp_path / "log"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/seen\n")
    program.chmod(0o755)
    cert.write_text("x")
    (tmp_path / "m.ko").write_bytes(b"\x7fELF")
    key = sign.Key(uri, str(cert), "sha256", str(program))
    refused("key-secret", sign.sign_module, str(tmp_path / "m.ko"), key, None, Runner(str(log)))
    options = ["--module-key", uri, "--module-cert", str(cert), "--sign-file", str(program)]
    assert cli.main(["sign", *options, str(tmp_path / "m.ko")]) == cli.USAGE
    told = capsys.readouterr().err
    assert "[key-secret]" in told and "pin-source=file:" in told and "KBUILD_SIGN_PIN" in told
    assert "SECRET" not in told and not log.exists() and not (tmp_path / "seen").exists()


@pytest.mark.parametrize("uri", ["pkcs11:object=lp?pin-source=file:/root/pin", "PKCS11:object=pin"])
def test_a_uri_that_only_says_where_the_pin_is_goes_to_the_program(uri, tmp_path):
    (tmp_path / "c.pem").write_text("x")
    sign.check_key(sign.Key(uri, str(tmp_path / "c.pem")))


def cves(count):
    return tuple(f"CVE-2026-{number}" for number in range(10000, 10000 + count))


def test_a_manifest_that_hosts_would_refuse_is_not_written():
    good = Manifest("m", "6.1", "ab" * 20, cves=cves(fields.MAX_ITEMS))
    assert build._manifest_text(good)
    function = Function("vmlinux", "f" * 250, 0)
    for bad, why in (
        (good._replace(cves=cves(fields.MAX_ITEMS + 1)), f"at most {fields.MAX_ITEMS}"),
        (
            good._replace(functions=(Function("a", "f", 0),) * (fields.MAX_ITEMS + 1)),
            f"at most {fields.MAX_ITEMS}",
        ),
        (good._replace(functions=(function,) * fields.MAX_ITEMS), "larger than"),
        (good._replace(build_id=""), "build_id"),
        (good._replace(kernel_build_id="XYZ"), "kernel_build_id"),
    ):
        assert why in refused("not-readable-again", build._manifest_text, bad)


def test_too_many_cves_or_modules_are_refused_before_the_build(tmp_path):
    many = cves(fields.MAX_ITEMS + 1)
    told = refused("not-readable-again", collect._facts, Request(cves=many), (), (), None)
    assert f"{len(many)} CVEs" in told
    paths = []
    for number in range(collect.MAX_MODULES + 1):
        paths.append(str(tmp_path / f"m{number}.ko"))
        with open(paths[-1], "wb") as file:
            file.write(b"\x7fELF")
    refused("not-readable-again", collect.plan, Request(inputs=tuple(paths)), None, None, str(tmp_path))


def test_a_recipe_that_the_next_build_would_refuse_is_not_written():
    recipe.again(RECIPE, recipe.dump(RECIPE))
    for bad in (
        RECIPE._replace(functions=("vmlinux:f",) * (fields.MAX_ITEMS + 1)),
        RECIPE._replace(depends=("a" * 3000,)),
        RECIPE._replace(arch=""),
    ):
        refused("not-readable-again", recipe.again, bad, recipe.dump(bad))


STEPS = (Step("2026-11-20T00:00:00Z", 10), Step("2026-11-21T00:00:00Z", 100))
MANY = {f"a-{number}-1.x86_64": PatchNote() for number in range(4000)}


@pytest.mark.parametrize(
    "record",
    [
        Record("", {"6.1": KernelNote(patches={f"a-{n}-1.x86_64": PatchNote() for n in range(4097)})}),
        Record("", {"6.1": KernelNote(patches={"a" * 600 + "-1-1.x86_64": PatchNote()})}),
        Record("", {"6.1": KernelNote(unfixable=(Unfixable("CVE-2026-1000", "r\x1b"),))}),
        Record("", {f"6.{n}": KernelNote() for n in range(20001)}),
        Record("", {"6 1": KernelNote()}),
        Record("", {f"6.{k}": KernelNote(patches=MANY) for k in range(51)}),
        Record("", {"6.1": KernelNote(unfixable=(Unfixable("CVE-2026-1000", "r" * 900),) * 300)}),
        Record("", {"6.1": KernelNote(patches={name: PatchNote(rollout=STEPS) for name in MANY})}),
    ],
)  # fmt: skip
def test_a_record_that_hosts_would_refuse_is_not_published(record):
    start = time.process_time()
    with pytest.raises(ToolError) as caught:
        transaction._check_record(record, "/srv/repo")
    assert caught.value.id == "record-refused" and "/srv/repo" in caught.value.text
    assert time.process_time() - start < 3


def test_a_refused_record_leaves_the_repository_as_it_is(tmp_path):
    class Change:
        """Adds a kernel that no host could read."""

        def decide(self, state, job):
            return transaction.Next({}, [], Record("", {"6 1": KernelNote()}))

    job = transaction.Job(transaction.Settings(keys=("k",)), "2026-11-22T21:00:00Z")
    for one in (job, job._replace(dry_run=True)):
        with pytest.raises(ToolError) as caught:
            transaction.change(str(tmp_path / "repo"), one, Change())
        assert caught.value.id == "record-refused"
    assert not os.path.exists(tmp_path / "repo" / "repodata")


@pytest.mark.parametrize("text", ["²", "٢", "1" * 5000, "0", "-1", "1 ", ""])
def test_a_number_is_ascii_digits(text):
    from argparse import ArgumentTypeError

    from dnf_plugin_livepatch.repotool.options import _count

    with pytest.raises(ArgumentTypeError):
        _count(text)


def test_a_base_whose_version_is_no_number_asks_for_one():
    for number in ("²", "9" * 5000):
        base = previous.Base("p", RECIPE._replace(version=number), ())
        refused("base-unfit", collect._number, Request(), base)


@pytest.mark.parametrize("filler", ["\n", " ", "\t\n", "obj-m\n"])
def test_the_names_in_a_makefile_cost_no_square(filler, tmp_path):
    (tmp_path / "Kbuild").write_text(filler * (1 << 17) + "\nobj-m += a.o b.o\n\tobj-m := c.o\n")
    start = time.process_time()
    assert engines.object_names(str(tmp_path)) == ["a", "b", "c"]
    assert time.process_time() - start < 1


@pytest.mark.parametrize("line", [b"\xff\n", b"Packages/\xc3.rpm\n", b"\xed\xa0\x80\n", b"\0\n"])
def test_a_line_that_no_tool_wrote_is_no_package_of_ours(line, tmp_path):
    name = "Packages/0123456789abcdef/kpatch-1-1.x86_64.rpm"
    (tmp_path / generations.LIST).write_bytes(line + name.encode() + b"\n")
    assert generations.listed(str(tmp_path)) == {name}


@pytest.mark.parametrize("value", ["{}", "[[[]]]", '{"":0}', '"ab"', "1"])
def test_a_recipe_is_measured_before_it_is_parsed(value, monkeypatch):
    monkeypatch.setattr(json, "loads", lambda *_, **__: pytest.fail("it was parsed"))
    count = (recipe.MAX_BYTES - 100) // (len(value) + 1)
    told = refused("base-unfit", recipe.parse, '{"schema":1,"x":[' + f"{value}," * count + "0]}", "x.rpm")
    assert "objects and lists" in told


SIZE = 1 << 16
STORE = b"\xc6\x40\x18\x01"  # movb $1, 24(%rax)


@pytest.mark.parametrize(
    "functions, touched",
    [
        # None holds one of many offsets; all hold the last one, the first one; many sections of offsets.
        ([(at, at + 1) for at in range(SIZE - 1)], [[SIZE - 1] * SIZE]),
        ([(at, SIZE) for at in range(SIZE)], [[SIZE - 1]]),
        ([(0, at) for at in range(1, SIZE)], [[0]]),
        ([(at, at + 1) for at in range(SIZE)], [[SIZE] for _ in range(8_000)]),
    ],
)
def test_functions_that_overlap_are_looked_at_once(functions, touched):
    """The square of these numbers would take hours."""
    data = klp(3, code=b"\x90" * SIZE, functions=functions, touched=touched)
    assert klp_module.patched(elf.parse_module("x.ko", data)).replace is False


@pytest.mark.parametrize(
    "functions, replace",
    [
        ([(0, 20)], None),
        ([(0, 8), (8, 20)], False),  # the function that knows the patch is another one
        ([(0, 8), (0, 20)], None),
        ([(0, 11), (4, 20)], None),  # the instruction lies across the end of the part before
        ([(0, 20), (0, 8)], None),
        ([(0, 4), (2, 8)], False),
    ],
)
def test_the_function_that_knows_the_patch_is_looked_at_whole(functions, replace):
    data = klp(3, code=b"\x90" * 10 + STORE + b"\x90" * 6, functions=functions, touched=[[5]])
    assert klp_module.patched(elf.parse_module("x.ko", data)).replace is replace


@pytest.mark.parametrize("count", [65, 300])
def test_a_generation_links_every_name_of_a_flat_repository(tmp_path, count):
    kept = store.Store(str(tmp_path))
    generation = kept.begin()
    kept.list_packages(generation, [f"{number}.rpm" for number in range(count)])
    assert sum(name.endswith(".rpm") for name in os.listdir(generation)) == count


def test_a_repository_that_is_too_flat_is_refused(tmp_path):
    kept = store.Store(str(tmp_path))
    locations = [f"{number}.rpm" for number in range(store.MAX_TOPS + 1)]
    with pytest.raises(ToolError) as caught:
        kept.list_packages(kept.begin(), locations)
    assert caught.value.id == "too-flat" and str(store.MAX_TOPS) in caught.value.text
