# SPDX-License-Identifier: GPL-2.0-or-later
"""Patched functions in modules of the kernel: looked up where the module is there, else named."""

import pytest

from dnf_plugin_livepatch.rpmtool.kernel.target import Target
from dnf_plugin_livepatch.rpmtool.module.lint import Wanted, lint
from dnf_plugin_livepatch.rpmtool.readers.elf import parse_module
from tests.tools.support.rpm_sources import fake_vmlinux, headers, kernel, run, source, tool

OBJECT = "net_thing"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A live patch of one function of the kernel and one of a module."""
    folder = tmp_path_factory.mktemp("module")
    text = source(folder)
    with open(text, encoding="ascii") as file:
        code = file.read()
    funcs = 'static struct klp_func more[] = { { .old_name = "thing_do", .new_func = thing, }, { } };'
    code = code.replace("static struct klp_object", f"static int thing(void) {{ return 1; }}\n{funcs}\n$", 1)
    code = code.replace("$", "static struct klp_object")
    code = code.replace(
        "{ .funcs = funcs, },", f'{{ .funcs = funcs, }}, {{ .name = "{OBJECT}", .funcs = more, }},'
    )
    with open(text, "w", encoding="ascii") as file:
        file.write(code)
    argv = ["--kernel-devel", headers(), "-o", str(folder), "--work", str(folder), "--keep-work", text]
    result = tool("build", "--json", *argv)
    assert result.status == 0, result.out
    return next(folder.glob("livepatch-rpm-*/stage/livepatch_test.ko"))


def targets(path, **given):
    elf = parse_module("m", path.read_bytes())
    found = lint("livepatch_test", elf, Target(kernel().release, **given), Wanted(True))[1]
    return [(item.check, item.text) for item in found if item.check.startswith("target")]


def kernel_module(place, code, release=""):
    """The kernel's own module, or its debugging data, as gcc leaves it."""
    place.parent.mkdir(parents=True)
    text = place.parent / "m.c"
    note = (
        f'const char v[] __attribute__((section(".modinfo"))) = "vermagic={release} SMP";\n'
        if release
        else ""
    )
    text.write_text(note + code)
    run(["gcc", "-c", "-o", str(place), str(text)])


def test_what_is_not_looked_up_is_named(path, tmp_path):
    found = dict(targets(path, vmlinux=fake_vmlinux(tmp_path, "cmdline_proc_show")))
    assert list(found) == ["target-unchecked"]
    assert f"thing_do of {OBJECT}" in found["target-unchecked"]
    told = [text for _, text in targets(path)]
    assert len(told) == 2 and "cmdline_proc_show of vmlinux" in told[0] and "thing_do" in told[1]


@pytest.mark.parametrize(
    "code, expected",
    [
        ("int thing_do(void) { return 1; }", None),
        ("int another(void) { return 1; }", "target-missing"),
        ('int __attribute__((section(".init.text"))) thing_do(void) { return 1; }', "target-init"),
    ],
)
@pytest.mark.parametrize("place", ["kernel/net/net-thing.ko.debug", "tree/net/net-thing.ko"])
def test_functions_are_looked_up_in_modules(path, tmp_path, code, expected, place):
    image = fake_vmlinux(tmp_path, "cmdline_proc_show")
    kernel_module(tmp_path / place, code, kernel().release if place.startswith("tree") else "")
    found = targets(path, vmlinux=image, tree=str(tmp_path / "tree"))
    assert [item for item, _ in found] == ([expected] if expected else [])
    assert not expected or f"{OBJECT}:thing_do" in found[0][1]


def test_a_name_that_the_module_has_twice_is_ambiguous(path, tmp_path):
    place = tmp_path / "kernel/net-thing.ko.debug"
    kernel_module(place, "int thing_do(void) { return 1; }\nint twin(void) { return 2; }")
    run(["objcopy", "--redefine-sym", "twin=thing_do", str(place)])
    found = targets(path, vmlinux=fake_vmlinux(tmp_path, "cmdline_proc_show"))
    assert [item for item, _ in found] == ["target-ambiguous"]


def test_another_kernels_module_tells_nothing(path, tmp_path):
    kernel_module(tmp_path / "tree/net-thing.ko", "int thing_do(void) { return 1; }", "9.9.9")
    image = fake_vmlinux(tmp_path, "cmdline_proc_show")
    ((check, text),) = targets(path, vmlinux=image, tree=str(tmp_path / "tree"))
    assert check == "target-unchecked" and "tells no functions of this kernel" in text
