# SPDX-License-Identifier: GPL-2.0-or-later
"""What preflight reads of the kernel: probes, traces, rivals, keys; as kernels print them, and hostile."""

from __future__ import annotations

import os
from pathlib import Path
from typing import List, Optional, Set

import pytest
from fakehost import RELEASE, module_file
from hypothesis import given
from hypothesis import strategies as st

from dnf_plugin_livepatch.model import Function, InstalledModule, Kernel, Manifest
from dnf_plugin_livepatch.paths import Paths
from dnf_plugin_livepatch.runtime import preflight

BUILD_ID = "ab" * 20
TOLD = Manifest("lp", RELEASE, BUILD_ID, functions=(Function("vmlinux", "cmdline_proc_show"),))
KERNEL = Kernel(RELEASE, "x86_64", "", "00000001-0000-4000-8000-000000000000", True)
KPROBES = "/sys/kernel/debug/kprobes/list"
ENABLED = "/sys/kernel/tracing/enabled_functions"


def put(top: Path, path: str, text: "str | bytes") -> Paths:
    paths = Paths(str(top))
    target = Path(paths.at(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(text if isinstance(text, bytes) else text.encode())
    return paths


@pytest.mark.parametrize(
    "path, line, probed",
    [
        (KPROBES, "ffffffff9d2b4a50  k  cmdline_proc_show+0x0    [FTRACE]", True),
        (KPROBES, "ffffffff9d2b4a54  r  cmdline_proc_show+0x4    [DISABLED]", True),
        (KPROBES, "ffffffff9d2b4a50  k  cmdline_proc_show_more+0x0", False),
        (KPROBES, "ffffffff9d2b4a50  k  other+0x0  cmdline_proc_show+0x0", False),
        (ENABLED, "cmdline_proc_show (1) R I     tramp: 0xffffffffc0a5b000 (klp_ftrace_handler+0x0)", False),
        (ENABLED, "cmdline_proc_show (2) R I     ->ftrace_ops_list_func+0x0/0x200", True),
        (ENABLED, "cmdline_proc_show (1)         tramp: 0xffffffffc0a5b000 (function_trace_call+0x0)", True),
        (ENABLED, "cmdline_proc_show (1) R   D   direct-->bpf_trampoline_6442491234+0x0/0x79", True),
        (ENABLED, "cmdline_proc_show [proc] (1) R   ", True),
        (ENABLED, "version_proc_show (1) R   ", False),
    ],
)  # fmt: skip
def test_who_sits_on_the_function(tmp_path: Path, path: str, line: str, probed: bool) -> None:
    paths = put(tmp_path, path, f"something else\n{line}\n")
    found = preflight.probes(paths, TOLD)
    assert [problem.id for problem in found] == ["function-probed"] * probed
    if probed:
        assert found[0].severity == "warning" and " ".join(line.split())[:60] in found[0].text


def test_one_warning_for_one_function(tmp_path: Path) -> None:
    put(tmp_path, KPROBES, "ff  k  cmdline_proc_show+0x0\nff  r  cmdline_proc_show+0x0\n")
    paths = put(tmp_path, ENABLED, "cmdline_proc_show (3) R I D\n")
    assert len(preflight.probes(paths, TOLD)) == 1


@pytest.mark.parametrize(
    "text, wanted",
    [
        (None, None),
        ("", set()),
        ("a (1) R I \tramp: x\nb (1) R   \nc [ext4] (2) R I M\n", {"a", "c"}),
    ],
)
def test_what_ftrace_redirects(tmp_path: Path, text: Optional[str], wanted: Optional[Set[str]]) -> None:
    paths = Paths(str(tmp_path)) if text is None else put(tmp_path, ENABLED, text)
    assert preflight.redirected(paths) == wanted


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
    tmp_path_factory: pytest.TempPathFactory, kprobes: List[bytes], enabled: List[bytes]
) -> None:
    top = tmp_path_factory.mktemp("lists")
    put(top, KPROBES, b"\n".join(kprobes))
    paths = put(top, ENABLED, b"\n".join(enabled))
    found = preflight.probes(paths, TOLD)
    assert len(found) <= 1 and all(problem.text.isprintable() for problem in found)
    redirected = preflight.redirected(paths)
    assert redirected is not None and len(redirected) <= len(b"\n".join(enabled).splitlines()) + 1


@pytest.mark.parametrize(
    "lines, keys, signed, wanted",
    [
        ((), "", False, []),
        (("/sys/module/module/parameters/sig_enforce=Y",), "", False, ["module-unsigned"]),
        (("/sys/kernel/security/lockdown=none [integrity]",), "", False, ["module-unsigned"]),
        (("/sys/kernel/security/lockdown=[none] integrity",), "", False, []),
        (("/sys/module/module/parameters/sig_enforce=Y",), "", True, []),
    ],
)
def test_signatures_where_they_are_asked_for(
    tmp_path: Path, lines: "tuple[str, ...]", keys: str, signed: bool, wanted: List[str]
) -> None:
    paths = put(tmp_path, "/proc/keys", keys)
    for line in lines:
        path, _, text = line.partition("=")
        put(tmp_path, path, text + "\n")
    data = module_file("lp", BUILD_ID) + (bytes(12) + b"~Module signature appended~\n" if signed else b"")
    ko = f"/usr/lib/modules/{RELEASE}/livepatch/lp.ko"
    put(tmp_path, ko, data)
    found, build_id = preflight.module(paths, KERNEL, InstalledModule("lp", paths.at(ko), "", TOLD))
    assert [problem.id for problem in found] == wanted and build_id == BUILD_ID


def test_a_pipe_is_no_module(tmp_path: Path) -> None:
    paths = Paths(str(tmp_path))
    os.mkfifo(paths.at("/pipe.ko"))
    for path, wanted in (("/pipe.ko", "module-writable"), ("/nothing.ko", "module-missing")):
        found, build_id = preflight.module(paths, KERNEL, InstalledModule("lp", paths.at(path), "", TOLD))
        assert [problem.id for problem in found] == [wanted] and build_id == ""


def test_rivals_and_the_host(tmp_path: Path) -> None:
    for module in ("ext4", "kpatch", "ksplice_abc", "kcare"):
        put(tmp_path, f"/sys/module/{module}/initstate", "live\n")
    put(tmp_path, "/etc/dnf/plugins/kpatch.conf", "[main]\n# autoupdate = True\nautoupdate = True\n")
    paths = put(tmp_path, "/run/ostree-booted", "")
    assert preflight.rivals(paths) == ["kcare", "kpatch", "ksplice_abc"]
    found = [problem.id for problem in preflight.host(paths)]
    assert found == ["rival-product"] * 3 + ["kpatch-dnf-on", "host-ostree"]
    put(tmp_path, "/etc/dnf/plugins/kpatch.conf", "# autoupdate = True\n")
    assert "kpatch-dnf-on" not in [problem.id for problem in preflight.host(paths)]
