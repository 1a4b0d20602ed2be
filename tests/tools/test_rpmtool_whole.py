# SPDX-License-Identifier: GPL-2.0-or-later
"""Facts of a whole package: several modules, the base beside it, its source RPM, its log."""

from __future__ import annotations

import json
import os

import pytest

from dnf_plugin_livepatch.formats.manifest import parse
from dnf_plugin_livepatch.rpmtool.package import make
from dnf_plugin_livepatch.rpmtool.readers.recipe import Recipe
from dnf_plugin_livepatch.rpmtool.readers.rpm_file import payload
from dnf_plugin_livepatch.toolkit.errors import ToolError
from dnf_plugin_livepatch.toolkit.programs import Outcome, first_error
from tests.tools.support.rpm_sources import headers, kernel, run, source, tool


def build(folder, *argv):
    return tool("build", "--json", "--kernel-devel", headers(), "-o", str(folder), *argv)


def ids(result):
    """Severity by id of the findings of a build."""
    return {item["id"]: item["severity"] for item in result.json["findings"]}


@pytest.fixture(scope="module")
def modules(tmp_path_factory):
    """Four finished modules: two that replace all others, two that do not."""
    folder = tmp_path_factory.mktemp("modules")
    found = []
    for name, replace in (("lp_a", "true"), ("lp_b", "true"), ("lp_c", "false"), ("lp_d", "false")):
        mode = "--replace" if replace == "true" else "--no-replace"
        stage = str(folder / name)
        path = source(folder, name, replace=replace)
        result = build(folder / "out", mode, "--cve", "CVE-2026-1001", "--stage", stage, path)
        assert result.status == 0, result.out
        found.append(f"{stage}/{name}.ko")
    return found


def test_two_modules_that_replace_each_other_are_no_package(modules, tmp_path):
    wrong = build(tmp_path, *modules[:2])
    assert (wrong.status, ids(wrong)["replace-several"]) == (3, "error")
    assert "lp_a, lp_b" in wrong.out and os.listdir(tmp_path) == []
    known = build(tmp_path, "--override", "replace-several=warning:a test", *modules[:2])
    assert (known.status, ids(known)["replace-several"]) == (0, "warning")
    told = [data for name, data in payload(known.json["rpm"]).items() if name.endswith(".json")]
    assert [parse(data.decode()).overrides for data in told] == [
        (("replace-several", "warning: a test"),)
    ] * 2
    checked = tool("lint", "--json", known.json["rpm"])
    assert checked.status == 3 and "replace-several" in ids(checked)


def test_modules_that_leave_each_other_in_force_are_one(modules, tmp_path):
    result = build(tmp_path, "--no-replace", "--cve", "CVE-2026-1001", *modules[2:])
    assert result.status == 0 and "replace-several" not in ids(result)
    assert tool("lint", "--no-replace", result.json["rpm"]).status == 0


def test_finished_module_takes_no_name(modules, tmp_path):
    result = build(tmp_path, "--name", "other", modules[0])
    assert (result.status, result.error) == (2, "usage")
    assert "rebuild it" in result.json["error"]["text"]


def test_package_without_a_cve_is_told(modules, tmp_path):
    assert ids(build(tmp_path, modules[0]))["no-cve"] == "warning"
    assert "no-cve" not in ids(build(tmp_path / "named", "--cve", "CVE-2026-1001", modules[0]))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A package of C source that patches two functions."""
    folder = tmp_path_factory.mktemp("base")
    path = source(folder, "lp_two")
    with open(path, encoding="ascii") as file:
        code = file.read()
    entry = code[code.index("{ .old_name") : code.index(", { }")]
    code = code.replace(entry, entry + ", " + entry.replace('cmdline_proc_show"', 'uptime_proc_show"'), 1)
    with open(path, "w", encoding="ascii") as file:
        file.write(code)
    result = build(folder, "--cve", "CVE-2026-1001", "--cve", "CVE-2026-1002", path)
    assert result.status == 0, result.out + result.err
    return result.json


def test_next_module_has_to_patch_what_its_base_patches(base, tmp_path):
    assert json.loads(payload(base["srpm"])["livepatch.json"])["functions"] == [
        "vmlinux:cmdline_proc_show",
        "vmlinux:uptime_proc_show",
    ]
    argv = ("--base", base["srpm"], "--cve", "CVE-2026-1003", source(tmp_path, "lp_one"))
    lost = build(tmp_path, *argv)
    assert (lost.status, ids(lost)["base-functions-lost"]) == (3, "error")
    assert "vmlinux:uptime_proc_show" in lost.out
    known = build(tmp_path, "--override", "base-functions-lost=note:fixed in a caller", *argv)
    assert (known.status, ids(known)["base-functions-lost"]) == (0, "note")
    dropped = build(tmp_path / "dropped", "--allow-drop", "CVE-2026-1002=the fix was wrong", *argv)
    assert (dropped.status, ids(dropped)["base-functions-lost"]) == (0, "note")
    unknown = build(tmp_path, "--allow-drop", "CVE-2026-1009=never fixed", *argv)
    assert (unknown.status, unknown.error) == (2, "metadata-invalid")


def test_finished_module_is_no_older_than_its_base(modules, tmp_path):
    first = tool("build", "--json", "--issued", "2026-11-22", "-o", str(tmp_path / "1"), modules[0])
    argv = ("build", "--json", "--base", first.json["srpm"], "-o", str(tmp_path / "2"), modules[1])
    dates = [
        tool("inspect", "--json", r.json["rpm"]).json["package"]["build_time"] for r in (first, tool(*argv))
    ]
    assert dates == [1795305600, 1795305600]


def test_source_rpm_tells_what_is_built_from_it(base, tmp_path):
    facts = tool("inspect", "--json", base["srpm"]).json
    assert facts["cves"] == ["CVE-2026-1001", "CVE-2026-1002"] and facts["source"]["modules"] == ["lp_two"]
    text = tool("inspect", base["srpm"]).out
    assert "CVE-2026-1001" in text and f"Source of: lp_two for {kernel().release}" in text
    assert "input     lp_two.c" in text and "subscribes" not in text
    empty = tool("empty", "--json", "--kernel", kernel().release, "-o", str(tmp_path)).json
    assert "subscribes a kernel" in tool("inspect", empty["rpm"]).out
    (tmp_path / "x.spec").write_text(
        "Name: kpatch-patch-1\nVersion: 1\nRelease: 1\nSummary: x\nLicense: x\nBuildArch: noarch\n"
        "%description\nx\n%files\n"
    )
    run(["rpmbuild", "-ba", "--define", f"_topdir {tmp_path}/top", str(tmp_path / "x.spec")])
    for made in ("RPMS/noarch/kpatch-patch-1-1-1.noarch.rpm", "SRPMS/kpatch-patch-1-1-1.src.rpm"):
        assert "Modules:   none\n" in tool("inspect", str(tmp_path / "top" / made)).out


def test_diff_calls_what_went_in_inputs(base, modules, tmp_path):
    other = build(tmp_path, "--cve", "CVE-2026-1001", source(tmp_path, "lp_two", text="other")).json
    text = tool("diff", base["rpm"], other["rpm"]).out
    assert "~ inputs: lp_two.c" in text and "patches:" not in text


def test_package_that_hosts_would_not_know_has_a_message_of_its_own(tmp_path):
    made = tool("empty", "--json", "--kernel", kernel().release, "-o", str(tmp_path)).json["rpm"]
    other = Recipe("empty", "6.6.6-1.x86_64", "x86_64", "x", "0", "0", 0)
    with pytest.raises(ToolError) as caught:
        make.check(made, other)
    assert caught.value.id == "package-unfit" and "hosts would see empty of" in caught.value.text


@pytest.mark.parametrize(
    "line",
    [
        "/tmp/x.c:3:2: error: expected ';' before 'return'",
        "ld: b.o:(.data+0x0): multiple definition of `patch'; a.o:(.data+0x0): first defined here",
        'ERROR: modpost: "no_such" [/tmp/x.ko] undefined!',
    ],
)
def test_first_error_of_a_compiler_is_quoted(line):
    log = ["make: Entering directory", line, "x.c:9:1: error: a later one", "make: *** [Makefile:2] Error 2"]
    assert Outcome(2, log, first_error(log)).last == line
    assert Outcome(2, log[-1:], first_error(log[-1:])).last == log[-1]
