# SPDX-License-Identifier: GPL-2.0-or-later
"""Modules as found and as attackers make them: the reader of ELF and klp data, and every lint check."""

from __future__ import annotations

import os
import struct
import subprocess
import sys

import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dnf_plugin_livepatch.base import names
from dnf_plugin_livepatch.base.model import Function, Unfixable
from dnf_plugin_livepatch.rpmtool.kernel.target import Target
from dnf_plugin_livepatch.rpmtool.module import build
from dnf_plugin_livepatch.rpmtool.module.lint import Wanted, apply, lint
from dnf_plugin_livepatch.rpmtool.readers import klp_module
from dnf_plugin_livepatch.rpmtool.readers.elf import parse_module, signature, unsigned
from dnf_plugin_livepatch.rpmtool.readers.klp_module import Patched
from dnf_plugin_livepatch.rpmtool.readers.lint_catalogue import LINT
from dnf_plugin_livepatch.rpmtool.readers.recipe import Recipe, override
from dnf_plugin_livepatch.toolkit.errors import ToolError
from dnf_plugin_livepatch.toolkit.refusals import LIVEPATCH_RPM
from tests.dnf.support import rpms
from tests.tools.support.rpm_sources import TREE, fake_vmlinux, headers, kernel, run, source, tool

WANTED = Wanted(True)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A real module, built once."""
    folder = tmp_path_factory.mktemp("module")
    text = source(folder)
    result = tool(
        "build",
        "--json",
        "--kernel-devel",
        headers(),
        "-o",
        str(folder),
        "--work",
        str(folder),
        "--keep-work",
        text,
    )
    assert result.status == 0, result.out
    return next(folder.glob("livepatch-rpm-*/stage/livepatch_test.ko"))


@pytest.fixture(scope="module")
def module(path):
    return path.read_bytes()


def ids(data, name="livepatch_test", wanted=WANTED, target=None):
    """The ids of the lint findings for a module's bytes."""
    target = Target(kernel().release, headers()) if target is None else target
    return {item.check for item in lint(name, parse_module(name, data), target, wanted)[1]}


def test_good_module_has_no_errors(module):
    found, findings = lint(
        "livepatch_test", parse_module("m", module), Target(kernel().release, headers()), Wanted(True)
    )
    assert [f.name for f in found.functions] == ["cmdline_proc_show"]
    assert (found.shape, found.replace) == ("static", True)
    assert {item.check for item in findings if item.severity == "error"} == set()


@pytest.mark.parametrize(
    "old, new, expected",
    [
        (b"livepatch=Y\0", b"livepatch=N\0", "not-livepatch"),
        (b"vermagic=6.", b"vermagic=7.", "vermagic-mismatch"),
        (b"name=livepatch_test\0", b"name=livepatch_tesu\0", "name-mismatch"),
        (b"depends=\0", b"depends=\0", None),
    ],
)
def test_modinfo_checks(module, old, new, expected):
    assert old in module
    found = ids(module.replace(old, new))
    assert expected in found if expected else "depends-undeclared" not in found


def test_names(module):
    assert "name-too-long" in ids(module, "x" * 56)
    assert "name-invalid" in ids(module, "a.b")
    assert "name-taken" in ids(module, wanted=Wanted(True, taken=(("livepatch_test", "v1"),)))
    assert (
        names.module_of("/a/kpatch-5_14-1.ko") == names.module_of("kpatch-5_14-1.ko.xz") == "kpatch_5_14_1"
    )
    assert names.module_of("drivers/net/tun") == "tun" and names.module_of("a.b.ko") == "a.b"


def test_crcs_are_compared_with_the_kernels(module, tmp_path):
    symvers = open(os.path.join(headers(), "Module.symvers"), encoding="ascii").read()
    (tmp_path / "Module.symvers").write_text(
        "".join(
            line.replace("0x", "0xf", 1) if "\tklp_enable_patch\t" in line else line
            for line in symvers.splitlines(True)
            if "\tseq_puts\t" not in line and "\t__fentry__\t" not in line
        )
    )
    found = ids(module, target=Target(kernel().release, str(tmp_path)))
    assert {"crc-mismatch", "crc-unknown"} <= found
    assert "crc-unchecked" in ids(module, target=Target(kernel().release))


def test_missing_build_id_and_symbols(module, path, tmp_path):
    goal = str(tmp_path / "livepatch_test.ko")
    run(["objcopy", "--remove-section=.note.gnu.build-id", str(path), goal])
    assert "no-build-id" in ids(open(goal, "rb").read())
    run(["strip", "--strip-all", str(path), "-o", goal])
    assert "symbols-stripped" in ids(open(goal, "rb").read())


def test_late_relocations_and_jump_tables(path, tmp_path):
    goal = str(tmp_path / "livepatch_test.ko")
    empty = tmp_path / "empty"
    empty.write_bytes(b"\0" * 24)
    run(["objcopy", f"--add-section=.klp.rela.vmlinux.__jump_table={empty}", str(path), goal])
    assert {"jump-table-relocation", "klp-relocation-invalid"} <= ids(open(goal, "rb").read())
    run(["objcopy", "--redefine-sym", "patched_cmdline_proc_show=.klp.sym.vmlinux.x,0", str(path), goal])
    assert "klp-relocation-invalid" in ids(open(goal, "rb").read())


def test_what_klp_build_leaves_of_a_replaced_relocation(path, tmp_path):
    name, goal = ".klp.tombstone.saved_command_line", str(tmp_path / "livepatch_test.ko")
    run(["objcopy", "--redefine-sym", f"patched_cmdline_proc_show={name}", str(path), goal])
    assert "klp-relocation-invalid" in ids(open(goal, "rb").read())
    with open(goal, "r+b") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        index = [symbol.name for symbol in table.iter_symbols()].index(name)
        # st_shndx of an Elf64_Sym: SHN_LIVEPATCH, as objtool's post-link writes it.
        file.seek(table["sh_offset"] + index * table["sh_entsize"] + 6)
        file.write((0xFF20).to_bytes(2, "little"))
    assert "klp-relocation-invalid" not in ids(open(goal, "rb").read())


@pytest.mark.parametrize(
    "function, traced, expected",
    [
        ("cmdline_proc_show", True, None),
        ("other", True, "target-missing"),
        ("cmdline_proc_show", False, "target-notrace"),
    ],
)
def test_functions_are_looked_up_in_vmlinux(module, tmp_path, function, traced, expected):
    image = fake_vmlinux(tmp_path, function, traced)
    found = {
        item
        for item in ids(module, target=Target(kernel().release, vmlinux=image))
        if item.startswith("target")
    }
    assert found == ({expected} if expected else set())


def test_init_functions_are_found_out(tmp_path):
    text = source(tmp_path)
    code = open(text, encoding="ascii").read().replace('"cmdline_proc_show"', '"early"')
    open(text, "w", encoding="ascii").write(code)
    image = fake_vmlinux(tmp_path, "cmdline_proc_show")
    result = tool(
        "build", "--json", "--kernel-devel", headers(), "--vmlinux", image, "-o", str(tmp_path / "out"), text
    )
    assert result.status == 3 and "target-init" in [item["id"] for item in result.json["findings"]]


@pytest.mark.parametrize(
    ("functions", "dropped", "wanted"),
    [
        (("cmdline_proc_show", "uptime_proc_show"), (), None),
        (("cmdline_proc_show",), (), "error"),
        (("cmdline_proc_show",), (Unfixable("CVE-2026-1002", "the fix was wrong"),), "note"),
    ],
)
def test_functions_that_the_base_patches_may_not_be_lost(functions, dropped, wanted):
    recipe = Recipe("module", kernel().release, "x86_64", "lp", "1", "2", 0, cves=("CVE-2026-1003",))
    base = recipe._replace(cves=(), functions=("vmlinux:cmdline_proc_show", "vmlinux:uptime_proc_show"))
    patched = Patched("static", tuple(Function("vmlinux", name) for name in functions), True)
    found = build._whole(recipe._replace(dropped=dropped), [("lp", patched)], base)
    lost = [item.severity for item in found if item.check == "base-functions-lost"]
    assert lost == [wanted] * bool(wanted)


def test_signature_states(module):
    block = b"\x30" + b"x" * 99
    trailer = struct.pack(">BBBBB3xI", 0, 0, 2, 0, 0, len(block)) + b"~Module signature appended~\n"
    signed = module + block + trailer
    assert (signature(module), signature(signed)) == ("none", "signed")
    assert unsigned(signed) == (module, block)
    assert signature(signed + b"\0") == "broken" and signature(signed[:-40] + trailer[12:]) == "broken"
    assert "signature-missing" in ids(module) and "signature-missing" not in ids(signed)
    assert "signature-broken" in ids(signed + b"\0")


def test_override_changes_severity_and_keeps_the_reason(module):
    _found, findings = lint("livepatch_test", parse_module("m", module), Target("9.9.9"), Wanted(True))
    judged = apply(findings, (override("vermagic-mismatch=note:a test"),))
    item = next(item for item in judged if item.check == "vermagic-mismatch")
    assert (item.severity, item.waived) == ("note", "a test")


def test_lint_verb_lists_and_judges(path, tmp_path):
    listed = tool("lint", "--list", "--json").json["checks"]
    assert set(listed) == set(LINT)
    argv = ("lint", "--json", "--kernel-devel", headers(), str(path))
    assert tool(*argv).status == 0
    wrong = tool(*argv, "--no-replace")
    assert wrong.status == 3 and "replace-mismatch" in [item["id"] for item in wrong.json["findings"]]
    assert tool(*argv, "--no-replace", "--override", "replace-mismatch=note:known").status == 0


@pytest.mark.parametrize("ending", ["gz", "bz2", "xz", "zst", "lz4"])
def test_lint_does_not_take_a_compressed_module_for_none(tmp_path, ending):
    file = (f"/usr/lib/kpatch/{rpms.release(10)}/kpatch-5_14_0-10-1-9.ko.{ending}", "packed\n")
    package = rpms.Rpm("kpatch-patch-5_14_0-10", "1", "9.el9", files=(file,))
    (path,) = rpms.build(str(tmp_path / "build"), [package]).values()
    done = tool("lint", path)
    assert done.status == 1 and "it is compressed" in done.err and "subscribes" not in done.err


def test_list_may_be_cut_by_its_reader(tmp_path):
    # In a pipe Python writes late: the reader is gone before the first byte.
    argv = [sys.executable, "-m", "dnf_plugin_livepatch.rpmtool.cli", "lint", "--list"]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(argv, cwd=TREE, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


def test_every_message_has_a_remedy_and_fills_in():
    assert not set(LINT) & set(LIVEPATCH_RPM)
    assert {check.severity for check in LINT.values()} <= {"error", "warning", "note"}
    for check in (*LINT.values(), *LIVEPATCH_RPM.values()):
        assert check.text and check.remedy


@pytest.mark.parametrize("cut", [0, 3, 64, 4000, 0.3, 0.6, 0.9])
def test_truncated_modules_are_refused(module, cut, tmp_path):
    size = int(len(module) * cut) if isinstance(cut, float) else cut
    broken = tmp_path / "livepatch_test.ko"
    broken.write_bytes(module[:size])
    result = tool("build", "--json", "-o", str(tmp_path / "out"), "--work", str(tmp_path), str(broken))
    assert (result.status, result.error) == (1, "module-unreadable")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["livepatch_test.ko"]


def test_files_that_are_no_kernel_module_are_refused(tmp_path):
    for name, data in (
        ("text.ko", b"hello"),
        ("program.ko", open("/bin/true", "rb").read()),
        ("empty.ko", b""),
    ):
        (tmp_path / name).write_bytes(data)
        result = tool("inspect", "--json", str(tmp_path / name))
        assert result.status == 1 and result.error in ("module-unreadable", "module-foreign"), result


def examine(data):
    """Read all that livepatch-rpm reads of a module; only ToolError may be raised."""
    try:
        elf = parse_module("m", data)
        klp_module.patched(elf)
        klp_module.relocation_faults(elf)
        lint("m", elf, Target("1"), Wanted(True))
    except ToolError:
        pass


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8)), min_size=1, max_size=6)
)
def test_hostile_bytes_anywhere_never_crash(module, changes):
    data = bytearray(module)
    for where, what in changes:
        at = int(where * (len(data) - len(what)))
        data[at : at + len(what)] = what
    examine(bytes(data))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    entry=st.integers(0, 60),
    field=st.integers(0, 9),
    value=st.one_of(st.integers(0, 2**64 - 1), st.sampled_from([0, 1, 2**32, 2**63, 2**64 - 1, 0x7FFFFFFF])),
)
def test_hostile_section_headers_never_crash(module, entry, field, value):
    data = bytearray(module)
    (table,) = struct.unpack_from("<Q", data, 40)
    (count,) = struct.unpack_from("<H", data, 60)
    offset, form = (
        (0, "<I"),
        (4, "<I"),
        (8, "<Q"),
        (16, "<Q"),
        (24, "<Q"),
        (32, "<Q"),
        (40, "<I"),
        (44, "<I"),
        (48, "<Q"),
        (56, "<Q"),
    )[field]
    struct.pack_into(
        form, data, table + 64 * (entry % count) + offset, value % (2**32 if form == "<I" else 2**64)
    )
    examine(bytes(data))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=2000))
def test_random_bytes_never_crash(data):
    examine(data)
    examine(b"\x7fELF\x02\x01\x01" + data)


KPATCH = """\
#include <linux/module.h>
static int patched(void) { return 1; }
struct func { unsigned long new_addr, new_size, old_addr, old_size, sympos; char *name, *object; };
static struct func funcs[] __attribute__((section(".kpatch.funcs"), used)) = {
\t{ .new_addr = (unsigned long)patched, .name = "proc_first", .object = "vmlinux" },
\t{ .new_addr = (unsigned long)patched, .sympos = 2, .name = "second", .object = "ext4" },
};
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
"""
KLP_BUILD = """\
#include <linux/module.h>
static int patched(void) { return 1; }
struct func { const char *name; void *func; unsigned long sympos; };
struct object { const char *name; struct func *funcs; void *callbacks[4]; bool flag; unsigned int count; };
static struct func funcs[] __attribute__((section(".init.klp_funcs"), used)) = {
\t{ "proc_first", patched, 0 }, { "proc_third", patched, 0 }, { "second", patched, 2 },
};
static struct object objects[] __attribute__((section(".init.klp_objects"), used)) = {
\t{ NULL, funcs, .count = 2 }, { "ext4", funcs + 2, .count = 1 },
};
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
"""


@pytest.mark.parametrize(
    "shape, code, functions",
    [
        ("kpatch-build", KPATCH, ["ext4:second,2", "vmlinux:proc_first"]),
        ("klp-build", KLP_BUILD, ["ext4:second,2", "vmlinux:proc_first", "vmlinux:proc_third"]),
    ],
)
def test_what_the_engines_leave_in_a_module_is_understood(shape, code, functions, tmp_path):
    (tmp_path / "livepatch_shape.c").write_text(code)
    built = tool(
        "build",
        "--json",
        "--kernel-devel",
        headers(),
        "-o",
        str(tmp_path / "out"),
        str(tmp_path / "livepatch_shape.c"),
    )
    assert built.status == 0, built.out
    assert "replace-unknown" in [item["id"] for item in built.json["findings"]]
    (found,) = tool("inspect", "--json", built.json["rpm"]).json["modules"]
    assert (found["shape"], found["functions"], found["replace"]) == (shape, functions, None)


SETS = """\
#include <linux/module.h>
#include <linux/livepatch.h>
static int patched(void) { return 1; }
static struct klp_func core[] = {
\t{ .old_name = "first", .new_func = patched },
\t{ .old_name = "twice", .new_func = patched, .old_sympos = 2 }, { } };
static struct klp_func net[] = { { .old_name = "third", .new_func = patched }, { } };
/* Looks like a function table, and is none of the patch. */
struct decoy { const char *name; void *func; } decoys[] = { { "decoy", patched }, { "decoy2", patched } };
static int hook(struct klp_object *object) { return 0; }
static struct klp_object objects[] = {
\t{ .funcs = core, .callbacks = { .pre_patch = hook } }, { .name = "nf_tables", .funcs = net }, { } };
static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objects };
static int __init begin(void) { return klp_enable_patch(&patch) + !decoys[0].name; }
static void __exit end(void) { }
module_init(begin);
module_exit(end);
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
"""


def test_objects_positions_callbacks_and_decoys(tmp_path):
    (tmp_path / "livepatch_sets.c").write_text(SETS)
    built = tool(
        "build",
        "--json",
        "--no-replace",
        "--kernel-devel",
        headers(),
        "-o",
        str(tmp_path / "out"),
        str(tmp_path / "livepatch_sets.c"),
    )
    assert built.status == 0, built.out
    (found,) = tool("inspect", "--json", built.json["rpm"]).json["modules"]
    assert found["functions"] == ["nf_tables:third", "vmlinux:first", "vmlinux:twice,2"]
    assert found["replace"] is False
