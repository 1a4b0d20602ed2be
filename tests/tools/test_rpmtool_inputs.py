# SPDX-License-Identifier: GPL-2.0-or-later
"""Bad input: each has its own error with a stable id, a status that is not 0, and leaves nothing behind."""

from __future__ import annotations

import os
import shutil

import pytest

from tests.tools.support.rpm_sources import LIVEPATCH, headers, kernel, left_behind, source, tool
from vm import gnupg

GOOD = """\
--- a/fs/proc/cmdline.c
+++ b/fs/proc/cmdline.c
@@ -8,6 +8,7 @@
 static int cmdline_proc_show(struct seq_file *m, void *v)
 {
 \tseq_puts(m, saved_command_line);
+\tseq_puts(m, " patched");
 \tseq_putc(m, '\\n');
 \treturn 0;
 }
"""


@pytest.fixture
def place(tmp_path):
    """A folder for inputs, with the folders that must stay empty."""
    (tmp_path / "work").mkdir()
    return tmp_path


def refused(place, *argv, status=1, env=None):
    """The error id of a build that must fail and leave nothing in the output or the work folder."""
    out = str(place / "out")
    result = tool(
        "build",
        "--json",
        "-o",
        out,
        "--work",
        str(place / "work"),
        "--log",
        str(place / "log"),
        *argv,
        env=env,
    )
    assert result.status == status, result.out + result.err
    assert left_behind(out) == [] and left_behind(str(place / "work")) == []
    assert result.json["error"]["text"] and result.json["error"]["remedy"]
    assert "Traceback" not in result.err
    return result.error


def diff(place, text, name="fix.patch"):
    path = place / name
    path.write_text(text)
    return str(path)


def tree(place):
    """The smallest source tree that a diff applies to, and a made-up vmlinux."""
    folder = place / "tree"
    (folder / "fs/proc").mkdir(parents=True)
    return str(folder)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("Subject: nothing\n\nno diff here\n", "diff-empty"),
        (GOOD.replace('+\tseq_puts(m, " patched");\n', ""), "diff-no-apply"),
        (GOOD.replace('+\tseq_puts(m, " patched");\n', "").replace("+8,7", "+8,6"), "diff-empty"),
        (GOOD.replace('+\tseq_puts(m, " patched");', "+\t/* only a comment */"), "diff-empty"),
        (GOOD.replace("cmdline.c", "entry.S"), "diff-assembly"),
        (GOOD.replace("static int cmdline_proc_show", "static int __init cmdline_proc_show"), "diff-init"),
        (GOOD.replace("fs/proc/cmdline.c", "Documentation/x.rst"), "diff-not-code"),
        (GOOD.replace("b/fs/proc", "b/../../etc"), "diff-unsafe-path"),
        (
            "--- a/x.c\n+++ b/x.c\n@@ -1,1 +1,1 @@\n-static int limit = 1;\n+static int limit = 2;\n",
            "diff-data",
        ),
        (
            "--- a/x.h\n+++ b/x.h\n@@ -5,2 +5,3 @@ struct big {\n \tint a;\n+\tint b;\n \tint c;\n",
            "diff-data",
        ),
    ],
)
def test_diffs_that_cannot_be_live(text, expected, place):
    assert refused(place, "--kernel", "6.12.0", "--source-tree", tree(place), diff(place, text)) == expected


def test_data_is_allowed_when_asked(place):
    text = "--- a/x.c\n+++ b/x.c\n@@ -1,1 +1,1 @@\n-static int limit = 1;\n+static int limit = 2;\n"
    folder = tree(place)
    with open(os.path.join(folder, "x.c"), "w", encoding="ascii") as file:
        file.write("static int limit = 1;\n")
    argv = ("--kernel", "6.12.0", "--source-tree", folder, "--allow-data", "--engine", "klp-build")
    assert refused(place, *argv, diff(place, text)) == "engine-missing"


def test_diff_that_does_not_apply(place):
    folder = tree(place)
    with open(os.path.join(folder, "fs/proc/cmdline.c"), "w", encoding="ascii") as file:
        file.write("int other;\n")
    assert (
        refused(place, "--kernel", "6.12.0", "--source-tree", folder, diff(place, GOOD)) == "diff-no-apply"
    )


@pytest.mark.parametrize("engine, release", [("kpatch-build", "6.12.0"), ("klp-build", "6.19.0")])
def test_missing_engine_names_what_to_install(engine, release, place):
    folder = tree(place)
    with open(os.path.join(folder, "fs/proc/cmdline.c"), "w", encoding="ascii") as file:
        file.write("\n" * 7 + "".join(line[1:] + "\n" for line in GOOD.splitlines()[3:] if line[:1] == " "))
    argv = ("--kernel", release, "--source-tree", folder, diff(place, GOOD))
    path = place / "bin"
    path.mkdir()
    for program in ("patch", "rpmbuild", "make", "gcc"):
        os.symlink(shutil.which(program), path / program)
    assert refused(place, *argv, env={"PATH": str(path)}) == "engine-missing"
    result = tool("build", *argv, "-o", str(place / "out"), env={"PATH": str(path)})
    assert engine in result.err and ("Install" in result.err or "--source-tree" in result.err)


def test_wrong_vmlinux(place):
    other = os.path.join(headers(), "vmlinux")
    image = place / "vmlinuz"
    image.write_bytes(b"MZ" + b"\0" * 4096)
    argv = ("--kernel", "6.12.0", "--source-tree", tree(place), diff(place, GOOD), "--vmlinux")
    assert refused(place, *argv, str(image)) == "vmlinux-mismatch"
    assert refused(place, *argv, str(place / "absent")) == "input-missing"
    if os.path.isfile(other):
        assert refused(place, *argv, other) == "vmlinux-mismatch"


def test_source_that_does_not_compile(place):
    path = source(place, extra=LIVEPATCH + "\n#error no")
    assert refused(place, "--kernel-devel", headers(), path) == "engine-failed"
    with open(place / "log", encoding="utf-8") as file:
        assert "#error no" in file.read()
    said = tool("build", "--kernel-devel", headers(), "--log", str(place / "log"), path).err
    assert "error: #error no" in said and "kbuild failed with status 2: make:" not in said


@pytest.mark.parametrize(
    "change, expected",
    [
        ({"extra": ""}, "not-livepatch"),
        ({"replace": "false"}, "replace-mismatch"),
        ({"name": "fat"}, "name-taken"),
    ],
)
def test_modules_that_hosts_would_refuse(change, expected, place):
    result = tool(
        "build",
        "--json",
        "-o",
        str(place / "out"),
        "--work",
        str(place / "work"),
        "--kernel-devel",
        headers(),
        source(place, **change),
    )
    if (
        change.get("name")
        and "fat" not in open(os.path.join(headers(), "Module.symvers"), encoding="ascii").read()
    ):
        pytest.fail("choose another module that the kernel has")
    assert result.status == 3 and result.error == "lint-errors"
    assert expected in [item["id"] for item in result.json["findings"]]
    assert left_behind(str(place / "out")) == [] and left_behind(str(place / "work")) == []


def test_module_that_patches_nothing(place):
    path = place / "nothing.c"
    path.write_text('#include <linux/module.h>\nMODULE_LICENSE("GPL");\n' + LIVEPATCH + "\n")
    result = tool("build", "--json", "-o", str(place / "out"), "--kernel-devel", headers(), str(path))
    assert result.status == 3
    assert "patches-nothing" in [item["id"] for item in result.json["findings"]]


@pytest.mark.parametrize("name", ["x" * 56, "a/b", "über", ""])
def test_name_that_the_kernel_would_cut(name, place):
    path = source(place)
    if name:
        assert refused(place, "--kernel-devel", headers(), "--name", name, path, status=2) == "name-unfit"
    else:
        long = source(place, name="y" * 60)
        assert refused(place, "--kernel-devel", headers(), long, status=2) == "name-unfit"


@pytest.mark.parametrize(
    "argv, status, expected",
    [
        (("--module-key", "/nonexistent", "--module-cert", "/nonexistent"), 1, "key-missing"),
        (("--module-key", "pkcs11:object=x"), 1, "key-missing"),
        (("--rpm-key", "nobody@nowhere.invalid"), 1, "key-missing"),
        (("--cve", "CVE-1"), 2, "cve-invalid"),
        (("--override", "no-such=note:because"), 2, "override-invalid"),
        (("--override", "no-build-id=note"), 2, "override-invalid"),
        (("--issued", "yesterday"), 2, "metadata-invalid"),
        (("--patch-version", "1-2"), 2, "metadata-invalid"),
        (("--allow-drop", "CVE-2026-10001=no base has it"), 2, "metadata-invalid"),
        (("--kernel", "garbage"), 2, "metadata-invalid"),
        (("--profile", "nobody"), 2, "metadata-invalid"),
        (("--unfixable", "CVE-2026-10001"), 2, "metadata-invalid"),
        (("--cve", "CVE-2026-10001", "--unfixable", "CVE-2026-10001=no"), 2, "metadata-invalid"),
        (("--kernel", "6.6.6"), 1, "release-mismatch"),
        (("--engine", "kpatch-build"), 1, "engine-unfit"),
        (("--base", "/nonexistent.src.rpm"), 1, "input-missing"),
        (("--updateinfo", "/nonexistent", "--advisory", "X"), 1, "updateinfo-unreadable"),
    ],
)
def test_bad_options(argv, status, expected, place):
    words = ("--kernel-devel", headers(), *argv, source(place))
    with gnupg.home() as home:
        assert refused(place, *words, status=status, env={"GNUPGHOME": home}) == expected


def test_kinds_are_not_mixed_and_unknown_files_refused(place):
    other = place / "notes.txt"
    other.write_text("hello\n")
    assert refused(place, source(place), diff(place, GOOD)) == "input-mixed"
    assert refused(place, str(other)) == "input-unknown"
    assert refused(place, str(place / "absent")) == "input-missing"
    both = source(place), source(place, name="livepatch_other")
    assert refused(place, "--kernel-devel", headers(), *both) == "input-mixed"


def test_kernel_files_that_are_not_there(place):
    assert refused(place, "--kernel-devel", "/usr/share", source(place)) == "kernel-devel-missing"
    assert refused(place, "--kernel-devel", "9.9.9-none", source(place)) == "kernel-devel-missing"


def test_module_for_another_kernel(place):
    first = tool(
        "build",
        "--json",
        "-o",
        str(place / "first"),
        "--kernel-devel",
        headers(),
        "--keep-work",
        "--work",
        str(place / "work"),
        source(place),
    )
    assert first.status == 0
    work = next((place / "work").iterdir())
    module = work / "engine/module/livepatch_test.ko"
    result = tool("build", "--json", "-o", str(place / "out"), "--kernel", "6.12.0-1.x86_64", str(module))
    assert result.status == 3
    assert "vermagic-mismatch" in [item["id"] for item in result.json["findings"]]
    assert kernel().release in result.json["findings"][0]["text"]


def test_wrong_usage_exits_2():
    assert tool("build").status == 2
    assert tool("nonsense").status == 2
    assert tool("build", "--jobs", "0", "x").status == 2
    assert tool("build", "--severity", "Huge", "x.c").status == 2
    garbage = tool("empty", "--kernel", "garbage")
    assert garbage.status == 2 and "garbage: no kernel release as uname -r prints it" in garbage.err
    assert tool("sign", "x.rpm").status == 2
