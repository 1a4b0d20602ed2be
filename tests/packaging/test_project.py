# SPDX-License-Identifier: GPL-2.0-or-later
"""The two commands and what stands around them: targets, set-up, versions that agree."""

import os
import re
import runpy
import time

import pytest

import dnf_plugin_livepatch
from tests.packaging.support import tree

VERSION = dnf_plugin_livepatch.__version__


def test_make_prints_its_targets():
    listing = tree.run("make").stdout
    targets = re.findall(r"^  make (\S+) +\S", listing, re.M)
    for target in ("demo", "test", "test-unit", "test-lint", "test-dnf", "test-vm", "vm", "rpm", "bench"):
        assert target in targets
    phony = re.findall(r"^\.PHONY: (\S+)$", tree.read("Makefile"), re.M)
    assert sorted(targets) == sorted(phony), "every target is explained, and none is a file"


def test_continuous_integration_runs_every_test_once():
    commands = [line for line in tree.read(".ci/run").split("\n") if line and not line.startswith("#")]
    assert commands == ['cd "$(dirname "$0")/.." && exec timeout --kill-after=60 88m make test test-rest']
    assert os.access(os.path.join(tree.TOP, ".ci/run"), os.X_OK)


def test_make_test_all_runs_every_test():
    """Each file is in a suite of scripts/run-tests, or in one of the suites that have a longer target."""
    speeds = dict(
        re.findall(r"^(test(?:-all|-rest)?): .*\n\t@\$\(RUN_TESTS\) (\w+)$", tree.read("Makefile"), re.M)
    )
    assert speeds == {"test": "quick", "test-all": "all", "test-rest": "rest"}
    runner = runpy.run_path(os.path.join(tree.TOP, "scripts/run-tests"))
    assert runner["SPEEDS"] == {"quick": ["-m", "not slow"], "rest": ["-m", "slow"], "all": []}
    paths = tuple(path for suite in runner["SUITES"] for path in suite.paths)
    assert all({"rest", "all"} <= set(suite.seconds) for suite in runner["SUITES"])
    tests = [name for name in tree.tracked() if re.match(r"tests/.*/test_\w+\.py$", name)]
    left = {name.split("/")[1] for name in tests if not name.startswith(paths)}
    assert left == {"build", "power", "site"}


def test_set_up_is_quick_and_silent_the_second_time():
    first = tree.run("scripts/setup", "base")
    assert first.returncode == 0, first.stdout
    start = time.monotonic()
    assert tree.run("scripts/setup", "base").stdout == ""
    assert time.monotonic() - start < 2


def test_set_up_refuses_an_unknown_group():
    result = tree.run("scripts/setup", "no-such-group")
    assert result.returncode == 1 and "no-such-group" in result.stdout


def test_package_lists_are_well_formed():
    groups = set(re.findall(r"\bneed-([a-z]+)", tree.read("Makefile")))
    lines = tree.read("scripts/packages.txt").split("\n")
    rows = [line.split("\t") for line in lines if line and line[0] != "#"]
    assert all(len(row) == 3 and re.match(r"[a-z]+$", row[0]) for row in rows)
    assert {row[0] for row in rows} == groups
    assert len({(row[0], row[1], row[2]) for row in rows}) == len(rows)


def test_versions_agree():
    assert re.search(rf"^Version: +{re.escape(VERSION)}$", tree.read("spec/dnf-plugin-livepatch.spec"), re.M)
    assert re.search(rf"^\* .* - {re.escape(VERSION)}-1$", tree.read("spec/dnf-plugin-livepatch.spec"), re.M)
    assert re.search(rf"^## {re.escape(VERSION)}\b", tree.read("NEWS.md"), re.M)


@pytest.mark.parametrize("name", [name for name in tree.tracked() if name.startswith("man/")])
def test_man_pages_are_of_this_version(name):
    assert f'"dnf-plugin-livepatch {VERSION}"' in tree.read(name)


def test_a_command_reaches_the_demo_host_unchanged(tmp_path):
    """`make vm CMD=…` with what make or a shell would expand; a stand-in prints it and ends with 9."""
    stand_in = tmp_path / "python"
    stand_in.write_text('#!/bin/sh\nprintf "%s" "$CMD"; exit 9\n')
    stand_in.chmod(0o755)
    command = "echo $HOME \"$(id)\" 'a # b' `x` $$ \\n"
    makefile = tmp_path / "Makefile"
    makefile.write_text(tree.read("Makefile").replace("PYTHON := .venv/bin/python", f"PYTHON := {stand_in}"))
    done = tree.run("make", "-f", str(makefile), "vm", f"CMD={command}")
    assert (done.returncode, done.stdout) == (9, command)


def test_set_up_uses_dnf_where_there_is_no_debian(tmp_path):
    """With stand-ins for rpm (nothing is installed) and dnf (which prints what it was asked for)."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "bin").mkdir()
    for name, body in (("rpm", "exit 1"), ("dnf", 'echo "dnf $*"; exit 3'), ("sudo", 'exec "$@"')):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    script = tree.read("scripts/setup").replace("/etc/debian_version", "/nonexistent")
    (tmp_path / "scripts/setup").write_text(script)
    for name in ("scripts/packages.txt", "requirements-dev.txt"):
        (tmp_path / name).write_text(tree.read(name))
    path = f"{tmp_path}/bin:{os.environ['PATH']}"
    result = tree.run("sh", str(tmp_path / "scripts/setup"), "base", env={**os.environ, "PATH": path})
    assert result.returncode == 3, result.stdout
    asked = result.stdout.split("dnf -y --setopt=install_weak_deps=False install ")[1].split()
    assert {"createrepo_c", "rpm-build", "python3-dnf", "ShellCheck"} <= set(asked)
    assert "createrepo-c" not in asked
