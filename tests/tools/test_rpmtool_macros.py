# SPDX-License-Identifier: GPL-2.0-or-later
"""A packager's own spec with the project's macros makes the same package as livepatch-rpm."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from dnf_plugin_livepatch.base.names import capability_version
from dnf_plugin_livepatch.formats.manifest import parse
from dnf_plugin_livepatch.rpmtool.kernel.names import package_of
from dnf_plugin_livepatch.rpmtool.readers.rpm_file import payload, read_header
from tests.tools.support.rpm_sources import TREE, headers, kernel, run, source, tool

MACROS = os.path.join(TREE, "spec", "macros.livepatch")
SPEC = """\
Name: %(name)s
Version: 1
Release: 1
Summary: Live patch of kernel %(release)s
License: GPL-2.0-only
Source0: livepatch_own.c
%%livepatch_module -r %(release)s -m livepatch_own CVE-2026-10001

%%description
Live patch.

%%build
%%livepatch_build --cve CVE-2026-10001 %%{SOURCE0}

%%install
%%livepatch_install

%%files
%%livepatch_files
"""


def spec(folder, release):
    """The spec above for ``release``, and what rpmbuild needs to know."""
    path = folder / "own.spec"
    path.write_text(SPEC % {"name": package_of(release, "kpatch"), "release": release})
    bin_folder = folder / "bin"
    bin_folder.mkdir(exist_ok=True)
    script = bin_folder / "livepatch-rpm"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m dnf_plugin_livepatch.rpmtool.cli "$@"\n')
    script.chmod(0o755)
    env = {"PATH": f"{bin_folder}:{os.environ['PATH']}", "PYTHONPATH": TREE}
    argv = ["--load", MACROS, "--define", f"_topdir {folder}/top", "--define", f"_sourcedir {folder}"]
    return str(path), argv, env


def test_own_spec_makes_the_same_package(tmp_path):
    release = kernel().release
    text = source(tmp_path, name="livepatch_own")
    path, argv, env = spec(tmp_path, release)
    run(["rpmbuild", "-bb", *argv, "--define", f"livepatch_kernel_devel {headers()}", path], env=env)
    own = run(["find", f"{tmp_path}/top/RPMS", "-name", "*.rpm"]).strip()
    ours = tool(
        "build",
        "--json",
        "--kernel-devel",
        headers(),
        "--cve",
        "CVE-2026-10001",
        "-o",
        str(tmp_path / "out"),
        text,
    ).json["rpm"]
    for field in ("nevra", "provides", "conflicts", "supplements", "files", "scripts"):
        assert getattr(read_header(own), field) == getattr(read_header(ours), field), field
    needs = [
        {item for item in read_header(rpm).requires if not item.startswith("rpmlib")} for rpm in (own, ours)
    ]
    assert needs[0] == needs[1]
    mine, other = (
        {name: data for name, data in payload(rpm).items() if name.endswith(".json")} for rpm in (own, ours)
    )
    assert mine == other and parse(next(iter(mine.values())).decode()).cves == ("CVE-2026-10001",)


@pytest.mark.parametrize(
    "release",
    [
        "5.14.0-427.13.1.el9_4.x86_64",
        "5.14.0-427.13.1.el9_4.x86_64+rt",
        "5.14.0-427.13.1.el9_4.aarch64+64k-debug",
        "6.12.115+deb12-amd64",
        "6.1.0-44-amd64",
        "6.4.0-150600.23.25-default",
    ],
)
def test_capabilities_follow_the_one_rule(release, tmp_path):
    path, argv, env = spec(tmp_path, release)
    text = run(["rpmspec", "-q", "--provides", *argv, path], env=env)
    needs = run(["rpmspec", "-q", "--requires", *argv, path], env=env)
    capability = capability_version(release)
    assert f"livepatch(kernel-uname-r:{release})" in text.split("\n")
    assert (f"kpatch-patch = {capability}" in text.split("\n")) == bool(capability)
    assert (f"kernel-uname-r = {capability}" in needs.split("\n")) == bool(capability)


def test_macro_refuses_a_name_that_the_kernel_would_cut(tmp_path):
    path, argv, env = spec(tmp_path, "6.12.0-1.x86_64")
    with open(path, encoding="ascii") as file:
        text = file.read().replace("-m livepatch_own", "-m " + "x" * 56)
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    done = subprocess.run(
        ["rpmspec", "-P", *argv, path], env={**os.environ, **env}, capture_output=True, text=True
    )
    assert done.returncode != 0 and "at most 55" in done.stderr
