# SPDX-License-Identifier: GPL-2.0-or-later
"""Legitimate modules of less usual shapes: replace set by code, no function, compressed."""

import bz2
import gzip
import lzma
import subprocess

import pytest

from dnf_plugin_livepatch.base.model import Function
from dnf_plugin_livepatch.rpmtool.module import build
from dnf_plugin_livepatch.rpmtool.readers import klp_module
from dnf_plugin_livepatch.rpmtool.readers.elf import parse_module
from dnf_plugin_livepatch.rpmtool.readers.klp_module import Patched
from dnf_plugin_livepatch.rpmtool.readers.recipe import Recipe
from dnf_plugin_livepatch.toolkit.errors import ToolError
from tests.tools.support.rpm_sources import headers, kernel, run, source, tool

FRAME = """\
#include <linux/module.h>
#include <linux/livepatch.h>
%s
static int __init begin(void) { %s return klp_enable_patch(&patch); }
static void __exit end(void) { }
module_init(begin);
module_exit(end);
MODULE_LICENSE("GPL");
MODULE_INFO(livepatch, "Y");
"""
FUNCTION = """\
static int patched(void) { return 1; }
static struct klp_func funcs[] = { { .old_name = "first", .new_func = patched }, { } };
static struct klp_object objects[] = { { .funcs = funcs }, { } };
"""
NONE = "static struct klp_func none[] = { { } };\n"
HOOKS = (
    "static int before(struct klp_object *object) { return 0; }\n"
    "static void after(struct klp_object *object) { }\n"
)
PATCH = "static struct klp_patch patch = { .mod = THIS_MODULE, .objs = objects%s };\n"
CHOSEN = "static int chosen;\nmodule_param(chosen, int, 0444);\n"
STATES = "static struct klp_state states[] = { { .id = 7, .version = 1 }, { } };\n"
ONE = NONE + "static struct klp_object objects[] = { { .funcs = none }, { } };\n"
CODE = {
    # replace: from a parameter, a constant, an address in a register, with an initial value
    "by_parameter": (FUNCTION + CHOSEN + PATCH % "", "patch.replace = chosen;"),
    "by_constant": (FUNCTION + PATCH % "", "patch.replace = true;"),
    "by_register": (
        FUNCTION + PATCH % "",
        'struct klp_patch *mine = &patch; asm volatile("" : "+r"(mine)); mine->replace = true;',
    ),
    "taken_back": (FUNCTION + CHOSEN + PATCH % ", .replace = true", "patch.replace = chosen;"),
    "by_nobody": (FUNCTION + PATCH % "", ""),
    "by_data": (FUNCTION + PATCH % ", .replace = true", ""),
    # no function at all
    "callbacks": (
        NONE + HOOKS + "static struct klp_object objects[] = { { .funcs = none, .callbacks = "
        "{ .pre_patch = before, .post_unpatch = after } }, { } };\n" + PATCH % ", .replace = true",
        "",
    ),
    "late_callback": (
        NONE + HOOKS + "static struct klp_object objects[] = { { .funcs = none }, "
        '{ .name = "nf_tables", .funcs = none, .callbacks = { .post_patch = after } }, { } };\n'
        + PATCH
        % ", .replace = true",
        "",
    ),
    "states": (ONE + STATES + PATCH % ", .states = states, .replace = true", ""),
    "nothing": (ONE + PATCH % ", .replace = true", ""),
}
SET = {"by_parameter": None, "by_constant": None, "by_register": None, "taken_back": None}


@pytest.fixture(scope="module")
def modules(tmp_path_factory):
    """Every module of CODE, built by the kernel's own make in one go."""
    folder = tmp_path_factory.mktemp("shapes")
    for name, (text, init) in CODE.items():
        (folder / f"lp_{name}.c").write_text(FRAME % (text, init))
    (folder / "Kbuild").write_text("".join(f"obj-m += lp_{name}.o\n" for name in CODE))
    run(["make", "-C", headers(), f"M={folder}", "modules"])
    return folder


def read(modules, name):
    path = modules / f"lp_{name}.ko"
    return klp_module.patched(parse_module(str(path), path.read_bytes()))


@pytest.mark.parametrize(
    "name, replace",
    [*SET.items(), ("by_nobody", False), ("by_data", True), ("callbacks", True), ("states", True)],
)
def test_a_flag_that_code_sets_is_unknown_until_loaded(modules, name, replace):
    assert read(modules, name).replace is replace


def test_lint_asks_nothing_about_a_flag_that_it_cannot_know(modules):
    for option in "--replace", "--no-replace":
        argv = ["lint", "--json", option, "--kernel-devel", headers(), str(modules / "lp_by_parameter.ko")]
        found = {item["id"]: item["text"] for item in tool(*argv).json["findings"]}
        assert (
            "replace-mismatch" not in found
            and "unknown until the module is loaded" in found["replace-unknown"]
        )
    assert "replace   unknown until loaded" in tool("inspect", str(modules / "lp_by_parameter.ko")).out


# Instructions of other machines that store a byte at offset 24 from a register, and neighbours of them.
@pytest.mark.parametrize(
    "machine, order, words, wanted",
    [
        ("aarch64", "<", [0x39006001], True),  # strb w1, [x0, #24]
        ("aarch64", "<", [0x39005C01], False),  # strb w1, [x0, #23]
        ("aarch64", "<", [0xF9000C01], False),  # str x1, [x0, #24]
        ("ppc64le", "<", [0x60000000, 0x99230018], True),  # stb r9, 24(r3)
        ("ppc64le", "<", [0xF9230018], False),  # std r9, 24(r3)
        ("s390x", ">", [0x42101018], True),  # stc %r1, 24(%r1)
        ("s390x", ">", [0x92011018], True),  # mvi 24(%r1), 1
        ("s390x", ">", [0x50101018], False),  # st %r1, 24(%r1)
    ],
)
def test_other_machines_store_the_flag_by_a_register(machine, order, words, wanted):
    class Code:
        pass

    elf = Code()
    elf.machine, elf.order = machine, order
    code = b"".join(word.to_bytes(4, "little" if order == "<" else "big") for word in words)
    assert klp_module._stores_byte(elf, code) is wanted


@pytest.mark.parametrize(
    "name, callbacks, states",
    [("callbacks", True, False), ("late_callback", True, False), ("states", False, True)],
)
def test_a_patch_may_replace_no_function(modules, tmp_path, name, callbacks, states):
    found = read(modules, name)
    assert (found.shape, found.functions, found.callbacks, found.states) == ("static", (), callbacks, states)
    made = tool(
        "build", "--json", "-o", str(tmp_path), "--kernel-devel", headers(), str(modules / f"lp_{name}.ko")
    )
    assert made.status == 0, made.out
    told = {item["id"] for item in made.json["findings"]}
    assert "patches-no-function" in told and "patches-nothing" not in told
    (facts,) = tool("inspect", "--json", made.json["rpm"]).json["modules"]
    assert (facts["callbacks"], facts["states"], facts["functions"]) == (callbacks, states, [])


def test_a_patch_without_anything_is_refused(modules):
    assert read(modules, "nothing").shape == ""
    argv = ["lint", "--json", "--kernel-devel", headers(), str(modules / "lp_nothing.ko")]
    assert "patches-nothing" in [item["id"] for item in tool(*argv).json["findings"]]


def test_callbacks_of_kpatch_build_are_known(tmp_path):
    path = tmp_path / "livepatch_kpatch.c"
    path.write_text(
        "#include <linux/module.h>\nstatic int hook(void *object) { return 0; }\n"
        "typedef int (*hook_t)(void *);\n"
        'static hook_t hooks[] __attribute__((section(".kpatch.callbacks.pre_patch"), used)) = { hook };\n'
        'static long funcs[0] __attribute__((section(".kpatch.funcs"), used)) = { };\n'
        'MODULE_LICENSE("GPL");\nMODULE_INFO(livepatch, "Y");\n'
    )
    made = tool("build", "--json", "--kernel-devel", headers(), "-o", str(tmp_path / "out"), str(path))
    assert made.status == 0, made.out
    assert "patches-no-function" in {item["id"] for item in made.json["findings"]}


# ---- compressed modules


def zstd(data):
    return subprocess.run(["zstd", "-q", "-c"], input=data, capture_output=True, check=True).stdout


PACK = {"gz": gzip.compress, "xz": lambda data: lzma.compress(data, check=lzma.CHECK_CRC32), "zst": zstd}


@pytest.mark.parametrize("ending", list(PACK))
def test_compressed_modules_are_packaged_and_told_as_plain_ones(modules, tmp_path, ending):
    plain = (modules / "lp_by_data.ko").read_bytes()
    packed = tmp_path / f"lp_by_data.ko.{ending}"
    packed.write_bytes(PACK[ending](plain))
    assert "vmlinux:first" in tool("inspect", str(packed)).out
    assert tool("lint", "--kernel-devel", headers(), str(packed)).status == 0
    made = tool("build", "--json", "-o", str(tmp_path / "out"), "--kernel-devel", headers(), str(packed))
    assert made.status == 0, made.out
    assert made.json["modules"] == ["lp_by_data"]
    (facts,) = tool("inspect", "--json", made.json["rpm"]).json["modules"]
    assert facts["functions"] == ["vmlinux:first"] and facts["module"] == "lp_by_data"
    content = subprocess.run(
        f"rpm2cpio {made.json['rpm']} | cpio -i --quiet --to-stdout '*.ko'", shell=True, capture_output=True
    ).stdout
    assert content == plain
    refused = tool("sign", "--json", "--module-key", "/dev/null", "--module-cert", "/dev/null", str(packed))
    assert refused.error == "module-unreadable" and "unpack it, sign it" in refused.out


@pytest.mark.parametrize("cut", [0.5, 0.99])
def test_a_damaged_compressed_module_is_refused(modules, tmp_path, cut):
    packed = lzma.compress((modules / "lp_by_data.ko").read_bytes())
    path = tmp_path / "lp_by_data.ko.xz"
    path.write_bytes(packed[: int(len(packed) * cut)])
    assert tool("inspect", "--json", str(path)).error == "module-unreadable"


def test_a_module_that_unpacks_to_too_much_is_refused(monkeypatch):
    monkeypatch.setattr("dnf_plugin_livepatch.rpmtool.readers.elf.MAX_MODULE", 1 << 16)
    for pack in (gzip.compress, bz2.compress, lzma.compress):
        with pytest.raises(ToolError) as caught:
            parse_module("m.ko.xz", pack(b"\x7fELF" + bytes(1 << 17)))
        assert "unpacks to more than" in caught.value.text


# ---- functions of the base


@pytest.mark.parametrize("replace, words", [(True, "takes the base's out"), (False, "With --no-replace")])
def test_the_remedy_for_lost_functions_fits_the_way_of_loading(replace, words):
    recipe = Recipe("module", kernel().release, "x86_64", "lp", "1", "2", 0, replace=replace)
    base = recipe._replace(functions=("vmlinux:first", "vmlinux:second"))
    patched = Patched("static", (Function("vmlinux", "first"),), replace)
    (lost,) = [
        item for item in build._whole(recipe, [("lp", patched)], base) if item.check == "base-functions-lost"
    ]
    assert lost.severity == "error" and words in lost.remedy and "vmlinux:second" in lost.text


def test_an_ordinary_module_is_judged_as_before(tmp_path):
    made = tool(
        "build", "--json", "--kernel-devel", headers(), "-o", str(tmp_path / "out"), source(tmp_path)
    )
    assert made.status == 0 and "replace-unknown" not in [item["id"] for item in made.json["findings"]]
