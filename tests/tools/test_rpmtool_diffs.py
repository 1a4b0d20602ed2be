# SPDX-License-Identifier: GPL-2.0-or-later
"""Packages from diffs, cumulative ones above all, with a stand-in for the engine.

The stand-in takes kpatch-build's options and makes a real module with the real headers; the real engines run
in tests/build, where they take tens of minutes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from dnf_plugin_livepatch.formats.manifest import parse
from dnf_plugin_livepatch.rpmtool.readers.rpm_file import payload, read_header
from dnf_plugin_livepatch.toolkit import programs
from tests.tools.support.rpm_sources import (
    LIVEPATCH,
    PATCH_C,
    TREE,
    fake_vmlinux,
    headers,
    kernel,
    left_behind,
    run,
    tool,
)

ENGINE = """\
#!{python}
import os, subprocess, sys
given = sys.argv[1:]
name, out = given[given.index("-n") + 1], given[given.index("-o") + 1]
diffs = [item for item in given if item.endswith(".patch")]
open({calls!r}, "a").write(" ".join(os.path.basename(item) for item in diffs) + "\\n")
if any("fail" in item for item in diffs):
    sys.exit("ERROR: no changed objects found.")
replace = "false" if "-R" in given else "true"
code = {code!r} % {{"text": "%d diffs" % len(diffs), "replace": replace, "extra": {extra!r}}}
folder = os.path.join(os.environ["CACHEDIR"], name)
os.mkdir(folder)
open(os.path.join(folder, name + ".c"), "w").write(code)
open(os.path.join(folder, "Kbuild"), "w").write("obj-m := " + name + ".o\\n")
mapped = "KCFLAGS=-ffile-prefix-map=" + folder + "=/x"
subprocess.run(["make", "-s", "-C", {headers!r}, "M=" + folder, mapped, "modules"], check=True)
os.rename(os.path.join(folder, name + ".ko"), os.path.join(out, name + ".ko"))
"""
FILE = "int f(void)\n{\n\treturn 1;\n}\n\nint g(void)\n{\n\treturn 1;\n}\n"


def change(number, line, cve):
    """One diff of the source tree's only file."""
    return (
        f"Subject: fix {number}\nCVE: {cve}\nDate: Sun, 0{number} Nov 2026 10:00:00 +0000\n\n"
        "--- a/kernel/x.c\n"
        f"+++ b/kernel/x.c\n@@ -{line},3 +{line},3 @@\n {{\n-\treturn 1;\n+\treturn 2;\n }}\n"
    )


@pytest.fixture
def lab(tmp_path):
    """A source tree, a vmlinux, three diffs and the stand-in first in the path."""
    (tmp_path / "tree/kernel").mkdir(parents=True)
    (tmp_path / "tree/kernel/x.c").write_text(FILE)
    for name, text in (
        ("one.patch", change(1, 2, "CVE-2026-1001")),
        ("two.patch", change(2, 7, "CVE-2026-1002")),
        ("fail.patch", change(3, 7, "CVE-2026-1003")),
    ):
        (tmp_path / name).write_text(text)
    (tmp_path / "bin").mkdir()
    programs = {
        "kpatch-build": ENGINE.format(
            python=sys.executable,
            calls=str(tmp_path / "calls"),
            code=PATCH_C,
            extra=LIVEPATCH,
            headers=headers(),
        ),
        "livepatch-rpm": f'#!/bin/sh\nexec {sys.executable} -m dnf_plugin_livepatch.rpmtool.cli "$@"\n',
    }
    for name, text in programs.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    return tmp_path, fake_vmlinux(tmp_path, "cmdline_proc_show")


def build(lab, *argv):
    folder, vmlinux = lab
    env = {"PATH": f"{folder}/bin:{os.environ['PATH']}"}
    return tool(
        "build",
        "--json",
        "--kernel",
        kernel().release,
        "--source-tree",
        str(folder / "tree"),
        "--vmlinux",
        vmlinux,
        "-o",
        str(folder / "out"),
        *argv,
        env=env,
    )


def test_cumulative_package_holds_both_diffs_and_both_cves(lab):
    folder, vmlinux = lab
    first = build(lab, str(folder / "one.patch"))
    assert first.status == 0, first.out + first.err
    second = build(lab, "--base", first.json["srpm"], str(folder / "two.patch"))
    assert second.status == 0, second.out + second.err
    assert (folder / "calls").read_text() == "one.patch\none.patch two.patch\n"
    files = payload(second.json["srpm"])
    assert {"one.patch", "two.patch", "livepatch.json"} <= set(files)
    assert files["one.patch"] == (folder / "one.patch").read_bytes()
    manifest = parse(
        next(data for name, data in payload(second.json["rpm"]).items() if name.endswith(".json")).decode()
    )
    assert manifest.cves == ("CVE-2026-1001", "CVE-2026-1002")
    assert [name for name, _ in manifest.patches] == ["one.patch", "two.patch"]
    assert manifest.issued == "2026-11-02T10:00:00Z"
    assert read_header(second.json["rpm"]).nevra.evr == "2-1"
    assert first.json["modules"] != second.json["modules"]
    found = tool("diff", "--json", first.json["rpm"], second.json["rpm"]).json["changes"]
    assert found["cves"]["added"] == ["CVE-2026-1002"] and found["patches"]["added"] == ["two.patch"]


def test_source_rpm_of_diffs_rebuilds_to_the_same_bytes(lab):
    folder, vmlinux = lab
    built = build(lab, str(folder / "one.patch"), str(folder / "two.patch"))
    (folder / "macros").write_text(f"%livepatch_options --source-tree {folder}/tree --vmlinux {vmlinux}\n")
    env = {"PATH": f"{folder}/bin:{os.environ['PATH']}", "PYTHONPATH": TREE}
    run(
        [
            "rpmbuild",
            "--rebuild",
            "--nodeps",
            "--define",
            f"_topdir {folder}/again",
            "--load",
            f"{folder}/macros",
            built.json["srpm"],
        ],
        env=env,
    )
    again = run(["find", f"{folder}/again/RPMS", "-name", "*.rpm"]).strip()
    with open(again, "rb") as one, open(built.json["rpm"], "rb") as other:
        assert one.read() == other.read()


def test_diff_without_effect(lab):
    folder, _vmlinux = lab
    result = build(lab, "--log", str(folder / "log"), str(folder / "fail.patch"))
    assert (result.status, result.error) == (1, "engine-nothing")
    assert "no changed objects" in (folder / "log").read_text() and not (folder / "out").exists()


def test_failed_build_keeps_its_log_where_the_message_says(lab):
    folder, _vmlinux = lab
    result = build(lab, str(folder / "fail.patch"))
    log = result.json["error"]["remedy"].split("The full log is ")[1].rstrip(".")
    assert "no changed objects" in open(log, encoding="utf-8").read()
    os.unlink(log)


SLOW = """\
#!/bin/bash
trap 'echo back > {folder}/back; exit 1' TERM
echo $$ > {folder}/pids
sleep 300 &
echo $! >> {folder}/pids
wait
"""


def gone(pid):
    """Whether the process ``pid`` has ended; its parent may not have noticed yet."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def ended(pids):
    """Whether the processes of the file ``pids`` end: on a busy machine a killed one needs time for that."""
    end = time.monotonic() + 30
    while not all(gone(pid) for pid in pids.read_text().split()):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_engine_takes_its_changes_back_and_leaves_nothing(lab, number):
    folder, vmlinux = lab
    (folder / "bin/kpatch-build").write_text(SLOW.format(folder=folder))
    (folder / "temporary").mkdir()
    argv = [
        sys.executable,
        "-m",
        "dnf_plugin_livepatch.rpmtool.cli",
        "build",
        "--work",
        str(folder / "temporary"),
    ]
    argv += [
        "--source-tree",
        str(folder / "tree"),
        "--vmlinux",
        vmlinux,
        "--kernel",
        kernel().release,
    ]
    env = {**os.environ, "PYTHONPATH": TREE, "PATH": f"{folder}/bin:{os.environ['PATH']}"}
    env["TMPDIR"] = str(folder / "logs")
    (folder / "logs").mkdir()
    with subprocess.Popen(
        [*argv, "-o", str(folder / "out"), str(folder / "one.patch")],
        env=env,
        stderr=subprocess.PIPE,
        text=True,
        # A test run without a terminal may ignore SIGINT, and its children with it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    ) as child:
        end = time.monotonic() + 60
        while not (folder / "pids").exists() or len((folder / "pids").read_text().split()) < 2:
            assert time.monotonic() < end and child.poll() is None
            time.sleep(0.05)
        child.send_signal(number)
        said = child.communicate(timeout=60)[1]
    assert child.returncode == 130 and "interrupted" in said
    assert (folder / "back").exists() and ended(folder / "pids")
    assert left_behind(str(folder / "temporary")) == [] and not (folder / "out").exists()
    # No message named a log, and so no log is kept.
    assert left_behind(str(folder / "logs")) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_while_an_engine_starts_ends_the_engine(tmp_path, monkeypatch, number):
    """The interrupt comes when the child runs already, and Popen has not told its process id yet."""

    class Interrupted(subprocess.Popen):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            started()
            signal.raise_signal(number)

    def started():
        end = time.monotonic() + 60
        while not (tmp_path / "pids").exists() or len((tmp_path / "pids").read_text().split()) < 2:
            assert time.monotonic() < end
            time.sleep(0.05)

    def interrupt(_number, _frame):
        raise KeyboardInterrupt

    before = {each: signal.signal(each, interrupt) for each in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    (tmp_path / "engine").write_text(SLOW.format(folder=tmp_path))
    (tmp_path / "engine").chmod(0o755)
    try:
        with pytest.raises(KeyboardInterrupt):
            programs.Runner(str(tmp_path / "log")).run([str(tmp_path / "engine")])
        assert signal.getsignal(number) is interrupt
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    assert (tmp_path / "back").exists() and ended(tmp_path / "pids")


def test_bases_that_cannot_be_built_upon(lab):
    folder, _vmlinux = lab
    first = build(lab, str(folder / "one.patch")).json
    again = build(lab, "--base", first["srpm"], str(folder / "one.patch"))
    assert (again.status, again.error) == (1, "base-unfit")
    binary = build(lab, "--base", first["rpm"], str(folder / "two.patch"))
    assert (binary.status, binary.error) == (1, "base-unfit")
    data = open(first["srpm"], "rb").read()
    broken = folder / "broken.src.rpm"
    broken.write_bytes(data[: len(data) - 200])
    cut = build(lab, "--base", str(broken), str(folder / "two.patch"))
    assert (cut.status, cut.error) == (1, "rpm-unreadable")
    lost = build(
        lab, "--base", first["srpm"], "--unfixable", "CVE-2026-1001=wrong", str(folder / "two.patch")
    )
    assert (lost.status, lost.error) == (1, "cve-dropped")


def test_non_cumulative_patch_is_asked_of_the_engine(lab):
    folder, _vmlinux = lab
    built = build(lab, "--no-replace", str(folder / "one.patch"))
    data = next(data for name, data in payload(built.json["rpm"]).items() if name.endswith(".json"))
    assert json.loads(data)["replace"] is False
