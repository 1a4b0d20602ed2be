# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel lists of probes and traces, as kernels print them, and hostile."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnf_plugin_livepatch.base.model import Function, Manifest
from dnf_plugin_livepatch.base.paths import Paths
from dnf_plugin_livepatch.host.kernel import probes, symbols
from tests.unit.support.fakehost import RELEASE

TOLD = Manifest("lp", RELEASE, "ab" * 20, functions=(Function("vmlinux", "cmdline_proc_show"),))
KPROBES = "/sys/kernel/debug/kprobes/list"
EVENTS = "/sys/kernel/tracing/kprobe_events"
ENABLED = "/sys/kernel/tracing/enabled_functions"


def put(top: Path, path: str, text: str | bytes) -> Paths:
    paths = Paths(str(top))
    target = Path(paths.at(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(text if isinstance(text, bytes) else text.encode())
    return paths


@pytest.mark.parametrize(
    "path, line, told",
    [
        (KPROBES, "ffffffff9d2b4a50  k  cmdline_proc_show+0x0    [FTRACE]",
         "kprobe kprobes/watch at cmdline_proc_show+0x0 [FTRACE]"),
        (KPROBES, "ffffffff9d2b4a54  k  cmdline_proc_show+0x4    [FTRACE]",
         "kprobe kprobes/watch at cmdline_proc_show+0x4 [FTRACE]"),
        (KPROBES, "ffffffff9d2b4a5c  r  cmdline_proc_show+0xc    [DISABLED]",
         "kretprobe mine/late at cmdline_proc_show+0xc [DISABLED]"),
        (KPROBES, "ffffffff9d2b4a58  k  cmdline_proc_show+0x8", "kprobe at cmdline_proc_show+0x8"),
        (KPROBES, "ffffffff9d2b4a50  k  cmdline_proc_show_more+0x0", ""),
        (KPROBES, "ffffffff9d2b4a50  k  other+0x0  cmdline_proc_show+0x0", ""),
        (ENABLED, "cmdline_proc_show (1) R I     tramp: 0xffffffffc0a5b000 (klp_ftrace_handler+0x0)", ""),
        (ENABLED, "cmdline_proc_show (2) R I     ->ftrace_ops_list_func+0x0/0x200",
         "ftrace: cmdline_proc_show (2) R I ->ftrace_ops_list_func+0x0/0x200"),
        (ENABLED, "cmdline_proc_show (1)         tramp: 0xffffffffc0a5b000 (function_trace_call+0x0)",
         "ftrace: cmdline_proc_show (1) tramp: 0xffffffffc0a5b000 (function_trace_call+0x0)"),
        (ENABLED, "cmdline_proc_show (1) R   D   direct-->bpf_trampoline_6442491234+0x0/0x79",
         "BPF: cmdline_proc_show (1) R D direct-->bpf_trampoline_6442491234+0x0/0x79"),
        (ENABLED, "cmdline_proc_show (1) R       tramp: 0xffffffffc0a5b000 (fprobe_handler+0x0/0x1)",
         "fprobe: cmdline_proc_show (1) R tramp: 0xffffffffc0a5b000 (fprobe_handler+0x0/0x1)"),
        (ENABLED, "cmdline_proc_show [proc] (1) R   ", "ftrace: cmdline_proc_show [proc] (1) R"),
        (ENABLED, "version_proc_show (1) R   ", ""),
    ],
)  # fmt: skip
def test_who_sits_on_the_function(tmp_path: Path, path: str, line: str, told: str) -> None:
    put(tmp_path, EVENTS, "p:kprobes/watch cmdline_proc_show\nr4:mine/late cmdline_proc_show+12 x=%di\n")
    found = probes.on_functions(put(tmp_path, path, f"something else\n{line}\n"), TOLD)
    assert [problem.id for problem in found] == ["function-probed"] * bool(told)
    assert all(problem.severity == "warning" and f" now: {told}." in problem.text for problem in found)


def test_one_warning_for_one_function(tmp_path: Path) -> None:
    put(tmp_path, KPROBES, "ff  k  cmdline_proc_show+0x0\nff  r  cmdline_proc_show+0x0\n")
    paths = put(tmp_path, ENABLED, "cmdline_proc_show (3) R I D\n")
    assert len(probes.on_functions(paths, TOLD)) == 1


@pytest.mark.parametrize(
    "text, wanted",
    [
        (None, None),
        ("", set()),
        ("a (1) R I \tramp: x\nb (1) R   \nc [ext4] (2) R I M\n", {"a", "c"}),
    ],
)
def test_what_ftrace_redirects(tmp_path: Path, text: str | None, wanted: set[str] | None) -> None:
    paths = Paths(str(tmp_path)) if text is None else put(tmp_path, ENABLED, text)
    assert probes.redirected(paths) == wanted


def test_what_sysfs_calls_patched_and_ftrace_does_not_redirect(tmp_path: Path) -> None:
    paths = put(tmp_path, ENABLED, "a (1) R I \ttramp: x\nb (1) R \n")
    for name in ("vmlinux/a,1", "vmlinux/b,1", "ext4/c,1"):
        os.makedirs(f"{paths.klp}/lp/{name}")
    said = {"enabled": "1", "transition": "0", "vmlinux/patched": "1", "ext4/patched": "0"}
    for name, text in said.items():
        put(tmp_path, f"/sys/kernel/livepatch/lp/{name}", text + "\n")
    assert probes.not_redirected(paths, ["lp"]) == ["vmlinux/b"], "c's module is not loaded"
    assert probes.not_redirected(paths, ["other"]) == []
    os.unlink(paths.at(ENABLED))
    assert probes.redirections(paths, [Function("vmlinux", "b", 1)]) is None
    assert probes.not_redirected(paths, ["lp"]) == [], "nobody can tell"


KALLSYMS = """\
ffffffff81000000 T _text
ffffffff810a0000 T __do_sys_pause
ffffffff810a0000 T __x64_sys_pause
ffffffff810a0000 D no_function
ffffffff810b0000 t twice
ffffffff810b0100 t twice
ffffffff810b0100 t second_alias
ffffffffc0010000 t inner\t[ext4]
ffffffffc0010000 t outer\t[ext4]
ffffffffc0020000 t inner\t[nfsd]
"""
HIDDEN = "".join(f"{'0' * 16} {line[17:]}" for line in KALLSYMS.splitlines(keepends=True))


def function(text: str) -> Function:
    target, name, sympos = text.replace(",", "/").split("/")
    return Function(target, name, int(sympos))


@pytest.mark.parametrize(
    ("shown", "wanted", "answer", "hidden"),
    [
        ("__do_sys_pause (1) R I", "vmlinux/__x64_sys_pause,1", True, None),
        ("__x64_sys_pause (1) R I", "vmlinux/__do_sys_pause,0", True, None),
        ("__x64_sys_pause (1) R I", "vmlinux/__x64_sys_pause,1", True, True),
        ("_text (1) R I", "vmlinux/__x64_sys_pause,1", False, None),
        ("second_alias (1) R I", "vmlinux/twice,1", False, None),
        ("second_alias (1) R I", "vmlinux/twice,2", True, None),
        ("second_alias (1) R I", "vmlinux/twice,3", None, None),
        ("outer [ext4] (1) R I", "ext4/inner,1", True, None),
        ("outer [ext4] (1) R I", "nfsd/inner,1", False, None),
        ("no_function (1) R I", "vmlinux/__x64_sys_pause,1", False, None),
        ("_text (1) R I", "vmlinux/not_listed,1", None, None),
        ("__do_sys_pause (1) R", "vmlinux/__x64_sys_pause,1", False, None),
    ],
)
@pytest.mark.parametrize("restricted", [False, True])
def test_a_function_is_compared_by_its_address(
    tmp_path: Path, shown: str, wanted: str, answer: bool | None, hidden: bool | None, restricted: bool
) -> None:
    put(tmp_path, ENABLED, shown + "\n")
    paths = put(tmp_path, "/proc/kallsyms", HIDDEN if restricted else KALLSYMS)
    one = function(wanted)
    assert probes.redirections(paths, [one]) == {one: hidden if restricted else answer}


@pytest.mark.parametrize("text", ["", "ffffffff810a0000 T\n", "x" * 3000, "0 T __x64_sys_pause\n"])
def test_a_list_of_symbols_that_tells_nothing_is_no_alarm(tmp_path: Path, text: str) -> None:
    put(tmp_path, "/proc/kallsyms", text)
    paths = put(tmp_path, ENABLED, "__do_sys_pause (1) R I\n")
    one = function("vmlinux/__x64_sys_pause,1")
    assert probes.redirections(paths, [one]) == {one: None}


def test_of_a_list_of_symbols_that_is_too_long_nothing_is_believed(tmp_path: Path, monkeypatch) -> None:
    """The rest of the list may hold another function of the name."""
    paths = put(tmp_path, "/proc/kallsyms", KALLSYMS)
    one = function("vmlinux/__x64_sys_pause,1")
    monkeypatch.setattr(symbols, "MAX_BYTES", len(KALLSYMS) + 1)
    assert symbols.same_place(paths, [one])
    monkeypatch.setattr(symbols, "MAX_BYTES", len(KALLSYMS))
    assert symbols.same_place(paths, [one]) == {}


def test_the_list_of_symbols_is_walked_through_as_often_for_many_functions_as_for_one(
    tmp_path: Path, monkeypatch
) -> None:
    rows = [
        f"ffffffff81{number:06x} t f{number}\nffffffff81{number:06x} t __f{number}" for number in range(500)
    ]
    paths = put(tmp_path, "/proc/kallsyms", "\n".join(rows) + "\n")
    walks = []
    monkeypatch.setattr(symbols, "_rows", lambda text, real=symbols._rows: walks.append(1) or real(text))
    for wanted in (rows[:1], rows):
        asked = [Function("vmlinux", f"f{number}") for number in range(len(wanted))]
        found = symbols.same_place(paths, asked)
        assert found == {one: {one.name, "__" + one.name} for one in asked}
    assert len(walks) == 4


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (KPROBES, "ffffffff810a0000  k  __do_sys_pause+0x0    [FTRACE]"),
        (ENABLED, "__do_sys_pause (1) R   D   direct-->bpf_trampoline_6442491234+0x0/0x79"),
    ],
)
def test_another_user_is_found_under_every_name_of_the_function(
    tmp_path: Path, path: str, line: str
) -> None:
    put(tmp_path, "/proc/kallsyms", KALLSYMS)
    paths = put(tmp_path, path, line + "\n")
    patch = TOLD._replace(functions=(function("vmlinux/__x64_sys_pause,1"),))
    (found,) = probes.on_functions(paths, patch)
    assert "Function __x64_sys_pause," in found.text
    assert probes.on_functions(paths, TOLD) == []


LINES = st.lists(
    st.one_of(
        st.binary(max_size=60),
        st.from_regex(r"[0-9a-f]{1,16} +[kr] +[a-z_]{1,20}\+0x[0-9a-f]{1,3}( \[\w+\])?", fullmatch=True).map(
            str.encode
        ),
        st.from_regex(r"[a-z_]{1,20} \([0-9]{1,300}\) ?[RIDM ]{0,8}(tramp: .{0,20})?", fullmatch=True).map(
            lambda text: text.encode("utf-8", "replace")
        ),
        st.sampled_from([b"ff k cmdline_proc_show+0x0", b"cmdline_proc_show (2) R I"]),
    ),
    max_size=20,
)


@given(LINES, LINES)
def test_hostile_lists(
    tmp_path_factory: pytest.TempPathFactory, kprobes: list[bytes], enabled: list[bytes]
) -> None:
    top = tmp_path_factory.mktemp("lists")
    put(top, KPROBES, b"\n".join(kprobes))
    put(top, EVENTS, b"\n".join(kprobes))
    paths = put(top, ENABLED, b"\n".join(enabled))
    found = probes.on_functions(paths, TOLD)
    assert len(found) <= 1 and all(problem.text.isprintable() for problem in found)
    redirected = probes.redirected(paths)
    assert redirected is not None and len(redirected) <= len(b"\n".join(enabled).splitlines()) + 1
