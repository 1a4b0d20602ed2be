# SPDX-License-Identifier: GPL-2.0-or-later
"""Which diffs can become a live patch, judged by the place of each changed line."""

from __future__ import annotations

import subprocess

import pytest

from dnf_plugin_livepatch.rpmtool.readers import diffs, judge
from dnf_plugin_livepatch.toolkit.errors import ToolError
from tests.tools.support.rpm_sources import tool


def hunk(title: str, *lines: str) -> str:
    """A hunk of ``lines`` with their signs and right numbers."""
    old, new = (sum(line[:1] in (sign, " ", "") for line in lines) for sign in "-+")
    return f"@@ -10,{old} +10,{new} @@ {title}\n" + "".join(line + "\n" for line in lines)


def verdict(*hunks: str, name: str = "net/x.c", **allowed: bool) -> str:
    text = f"--- a/{name}\n+++ b/{name}\n" + "".join(hunks)
    try:
        judge.judge(diffs.parse(text, "x.patch"), "x.patch", **allowed)
    except ToolError as error:
        return error.id
    return "good"


FUNCTION = (" static int f(void)", " {", " \tint a;", "+\ta = 0;", " \treturn a;", " }")
MEMBERS = (" \tint a;", " \tlong b;", "+\tint c;", " \tu8 d[4];", " \tvoid *e;")
DATA = {
    "a member, the head in the hunk": ("", " struct foo {", *MEMBERS),
    "a member, the end in the hunk": ("static int unrelated(void)", *MEMBERS, " };"),
    "a member, only the title": ("struct foo {", *MEMBERS),
    "a member, no title at all": ("", *MEMBERS),
    "a member of a typedef": ("", " typedef struct {", *MEMBERS, " } foo_t;"),
    "a member of a packed structure": ("", " struct __packed foo {", *MEMBERS, " } __aligned(8);"),
    "a member of a union, its brace below": ("", " union foo", " {", *MEMBERS),
    "a function pointer": ("struct ops {", " \tint (*get)(int);", "+\tint (*put)(int);", " \tvoid *data;"),
    "a wider member": ("struct foo {", " \tu8 a;", "-\tu8 len;", "+\tu16 len;", " \tu8 b;"),
    "members that change places": (
        "struct foo {",
        "-\tu8 a;",
        "-\tu8 b;",
        "+\tu8 b;",
        "+\tu8 a;",
        " \tu8 c;",
    ),
    "a member that moves": ("struct foo {", "+\tu8 c;", " \tu8 a;", "-\tu8 c;", " \tu8 b;"),
    "an operation": ("static const struct file_operations x = {", " \t.read = r,", "+\t.write = w,", " };"),
    "an operation, the head in the hunk": ("", " static struct ctl_table t[] = {", "-\t{ 1 },", "+\t{ 2 },"),
    "an entry, the end in the hunk": ("int f(void)", " \t{ .a = 1 },", "+\t{ .a = 2 },", " \t{ }", " };"),
    "a value": ("", "-int sysctl __read_mostly = 1;", "+int sysctl __read_mostly = 0;", " u32 bar;"),
    "a type of a variable": ("", "-static u32 seen;", "+static u64 seen;", " u32 bar;"),
    "an array's size": ("", "-static char name[16];", "+static char name[32];"),
    "another lock": ("", "-static DEFINE_SPINLOCK(lock);", "+static DEFINE_MUTEX(lock);"),
    "a static variable of a function": (
        "int f(void)",
        " \tint a;",
        "-\tstatic int n = 3;",
        "+\tstatic int n = 4;",
    ),
    "a constant in the middle": ("enum foo {", " \tA,", "+\tB,", " \tC,", " };"),
}
GOOD = {
    "code": ("", *FUNCTION),
    "code below a title that has ended": ("struct foo {", " };", "", *FUNCTION),
    "code, its end in the hunk, a stale title": (
        "struct foo {",
        " \tint a;",
        "+\tint b;",
        " \ta = 1;",
        " }",
    ),
    "declarations, statements in sight": (
        "struct foo {",
        " \tint a;",
        "+\tint b;",
        "",
        " \tif (a)",
        " \t\treturn 1;",
    ),
    "a label": ("static struct x y = {", " \tfoo(a);", " out:", "+\tbar(a);", " \treturn 0;"),
    "a title that is a label": ("out:", " \tfoo(a);", "+\tbar(a);", " \treturn 0;"),
    "a signature": ("", "-static int f(int a)", "+static int f(int a, int b)", " {", " \treturn a;", " }"),
    "a new structure": ("", "+struct bar {", "+\tint a;", "+};", "+", *FUNCTION),
    "a new variable": ("", "+static int once;", "+", *FUNCTION),
    "a new table": ("", "+static const int t[] = {", "+\t1, 2,", "+};", " int x;"),
    "a variable taken away": ("", "-static int once;", "-", *FUNCTION),
    "a comment in a structure": ("struct foo {", " \tint a;", "+\t/* of bytes */", " \tint b;", " };"),
    "an annotation": ("struct foo {", " \tint n;", "-\tu8 d[];", "+\tu8 d[] __counted_by(n);", " };"),
    "another name": ("struct foo {", " \tint a;", "-\tu8 lenght;", "+\tu8 length;", " \tint b;"),
    "a constant at the end": ("enum foo {", " \tA,", " \tB,", "+\tC,", " };"),
    "a macro's value": ("struct foo {", " };", "", "-#define LIMIT 3", "+#define LIMIT 4", ""),
    "a macro of lines": (
        "",
        " #define f(x) \\",
        "-\tdo { a = (x); } while (0)",
        "+\tdo { b = (x); } while (0)",
    ),
    "a prototype": ("", "-int f(int a);", "+int f(int a, int b);", " int g(void);"),
    "an external variable": ("", "+extern int other;", " int g(void);", *FUNCTION),
    "an assignment through a pointer": ("int f(int *p)", " \tint a = 1;", "+\t*p = a;", " \treturn a;"),
    "a block in the first column": (
        "int f(void)",
        " \ta();",
        " {",
        "+\tstatic int n = 3;",
        " }",
        "+\tb();",
        " \treturn 0;",
    ),
    "a system call": (
        "SYSCALL_DEFINE2(foo, int, a, int, b)",
        " {",
        "+\tif (a)",
        "+\t\treturn b;",
        " \treturn 0;",
    ),
    "a brace in a string": ("", " int f(void)", " {", ' \tputs("};");', "+\ta();", " \tb();"),
    "a brace in a comment": ("", " int f(void)", " {", " \t/* } */", "+\ta();", " \tb();"),
}
INIT = {
    "the title": ("static int __init f(void)", " {", "+\ta();", " \treturn 0;"),
    "the signature in the hunk": ("", " static int __init f(void)", " {", "+\ta();", " \treturn 0;"),
    "the signature on two lines": ("", " static int __init", " f(void)", " {", "-\ta();", " \treturn 0;"),
    "exit code": ("", " static void __exit f(void)", " {", "-\ta();", " \tb();"),
    "below other code": (
        "int g(void)",
        " \ta();",
        "+\tb();",
        " }",
        "",
        " static int __init f(void)",
        " {",
        "+\ta();",
    ),
    "a new initcall": ("", "+late_initcall(f);", " int x;"),
    "another initcall": ("", "-late_initcall(f);", "+core_initcall(f);", " int x;"),
    "init data": ("", "-static int x __initdata = 1;", "+static int x __initdata = 2;", " int y;"),
}
ASSERTIONS = {
    "an assertion": ("+\tBUILD_BUG_ON(sizeof(x) > 3);",),
    "a longer one": ("+\tBUILD_BUG_ON_MSG(A >", '+\t\t B, "no; yes");'),
    "a static one": ('+\tstatic_assert(A == 1, "A");',),
    "another one": ("-\tBUILD_BUG_ON(A > 3);", "+\tBUILD_BUG_ON(A > 4);"),
    "a comment": ("+\t/* a */", "+\t// b"),
}


@pytest.mark.parametrize("shape", DATA.values(), ids=DATA)
def test_changed_data_and_layouts_are_refused(shape):
    assert verdict(hunk(*shape)) == "diff-data"
    assert verdict(hunk("", *FUNCTION), hunk(*shape), name="include/net/x.h") == "diff-data"
    assert verdict(hunk(*shape), allow_data=True) == "good"


@pytest.mark.parametrize("shape", GOOD.values(), ids=GOOD)
def test_what_the_engine_can_make_is_not_refused(shape):
    assert verdict(hunk(*shape), hunk("", *FUNCTION)) == "good"


@pytest.mark.parametrize("shape", INIT.values(), ids=INIT)
def test_changed_init_code_is_refused(shape):
    assert verdict(hunk(*shape), hunk("", *FUNCTION)) == "diff-init"
    assert verdict(hunk(*shape), allow_init=True) == "good"


@pytest.mark.parametrize("lines", ASSERTIONS.values(), ids=ASSERTIONS)
@pytest.mark.parametrize("title", ["", "static int __init f(void)"])
def test_what_makes_no_code_changes_no_init_code(title, lines):
    signature = () if title else (" static int __init f(void)",)
    assert verdict(hunk("", *FUNCTION), hunk(title, *signature, " {", *lines, " \treturn 0;")) == "good"


def test_an_initcall_of_a_function_that_the_diff_adds_never_runs():
    shape = ("", "+static int __init f(void)", "+{", "+\treturn 0;", "+}", "+module_init(f);", " int x;")
    assert verdict(hunk(*shape)) == "diff-init"


STRUCT = hunk("struct foo {", *MEMBERS)
FORMS = {
    "empty lines": lambda text: text.replace("\n \n", "\n\n"),
    "tabs": lambda text: text.replace("\n \t", "\n\t"),
    "CR LF": lambda text: text.replace("\n", "\r\n"),
    "a mail's footer": lambda text: text + "-- \n2.45.0\n",
    "words below": lambda text: text + "+that is no part of it\n",
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_hunks_are_as_long_as_their_numbers_say(form, tmp_path):
    """patch(1) reads each form as the judge does."""
    head = "--- a/x.c\n+++ b/x.c\n"
    code = hunk("int f(void)", " \tint a;", " ", "-\ta = 0;", "+\ta = 1;", " ", " \treturn a;")
    assert verdict(form(code)) == "good"
    assert verdict(form(code) + form(head + STRUCT)) == "diff-data"
    comment = hunk("int f(void)", " \tint a;", " ", "-\t/* old */", "+\t/* new */", " ", " \treturn a;")
    assert verdict(form(comment)) == "diff-empty"
    (tmp_path / "x.c").write_text("\n" * 9 + "\tint a;\n\n\ta = 0;\n\n\treturn a;\n")
    done = subprocess.run(
        ["patch", "-p1"], cwd=tmp_path, input=form(head + code).encode(), capture_output=True, check=False
    )
    assert done.returncode == 0 and "a = 1" in (tmp_path / "x.c").read_text(), done.stdout


def test_a_hunk_of_no_file_is_refused():
    assert verdict(hunk("", *FUNCTION), "-- \n2.45.0\n", STRUCT) == "diff-no-apply"


@pytest.mark.parametrize("cut", ["\n \treturn a;", "\n-\ta = 0;"])
def test_a_hunk_that_does_not_fit_its_numbers_is_refused(cut):
    """Whatever stands below it would go unjudged."""
    code = hunk("int f(void)", " \tint a;", "-\ta = 0;", "+\ta = 1;", " \treturn a;").replace(cut, "")
    assert verdict(code, STRUCT) == "diff-no-apply"


def test_a_last_line_without_an_end_belongs_to_its_hunk():
    code = hunk(
        "int f(void)", "-}", "\\ No newline at end of file", "+\ta();", "+}", "\\ No newline at end of file"
    )
    assert verdict(code) == "good" and verdict(code, STRUCT) == "diff-data"


def test_the_options_let_a_diff_through(tmp_path):
    """Without the option the judge ends the build, with it the next step does."""
    text = "--- a/x.c\n+++ b/x.c\n" + hunk(*INIT["the title"])
    (tmp_path / "x.patch").write_text(text)
    (tmp_path / "x.c").write_text("\n" * 9 + "{\n\treturn 0;\n")
    argv = ("--kernel", "6.12.0", "--source-tree", str(tmp_path), "--cve", "CVE-2026-1000")
    found = [
        tool("build", "--json", *argv, *more, str(tmp_path / "x.patch")).json["error"]["id"]
        for more in ((), ("--allow-init",))
    ]
    assert found[0] == "diff-init" and found[1] != "diff-init"
