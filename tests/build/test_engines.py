# SPDX-License-Identifier: GPL-2.0-or-later
"""The engines for real: small kernel, real diff, RPM, and a VM whose functions change by `dnf upgrade`.

Tens of minutes the first time.
"""

from __future__ import annotations

import os
import shutil
from typing import NamedTuple

import pytest

from tests.build.support.build_lab import (
    DEVEL,
    DIFFS,
    FOREIGN_KEY,
    GOOD_KEY,
    KLP,
    KPATCH,
    RHEL,
    SOURCE,
    TOKEN,
    TREE,
    Lab,
)


class Case(NamedTuple):
    """One engine; ``first`` and ``second`` make packages 1 and 2."""

    engine: str
    lab: Lab
    first: list[str]
    second: list[str]


CASES = (
    Case(
        "kbuild",
        RHEL,
        [*DEVEL, *GOOD_KEY, "--cve", "CVE-2099-10001", SOURCE + "livepatch_v1.c"],
        [*DEVEL, *GOOD_KEY, "--cve", "CVE-2099-10002", SOURCE + "livepatch_v2.c"],
    ),
    Case("kpatch-build", KPATCH, [*TREE, DIFFS + "cmdline.patch"], [*TREE, DIFFS + "version.patch"]),
    Case("klp-build", KLP, [*TREE, DIFFS + "cmdline.patch"], [*TREE, DIFFS + "version.patch"]),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.engine)
def test_a_change_of_the_source_reaches_a_running_kernel(case):
    lab = case.lab
    lab.ready()
    shutil.rmtree(os.path.join(lab.work, "repo0"), ignore_errors=True)
    first = lab.build(case.engine + " 1", "repo1", "--engine", case.engine, *case.first)
    base = ["--base", str(first["srpm"])]
    second = lab.build(case.engine + " 2", "repo2", "--engine", case.engine, *base, *case.second)
    assert first["cves"] == ["CVE-2099-10001"] and second["cves"] == ["CVE-2099-10001", "CVE-2099-10002"]
    facts = lab.tool("inspect", "inspect", str(second["rpm"]))
    (module,) = facts["modules"]
    # Behind a comma kpatch-build says which of the functions of that name it is.
    found = [name.partition(",")[0] for name in module["functions"]]
    assert found == ["vmlinux:cmdline_proc_show", "vmlinux:version_proc_show"]
    if not lab.rhel:
        lab.tool("empty", "empty", "--kernel", lab.release, "-o", "/lpwork/repo0")
        lab.boot(case.engine + " vm", "repo1", "repo2")
        return
    # Packages that the kernel refuses, in front of those that it takes.
    source = [*DEVEL, "--patch-version", "0", SOURCE + "livepatch_v1.c"]
    lab.build("unsigned", "unsigned", "--patch-release", "1", *source)
    lab.build("foreign key", "foreign", "--patch-release", "2", *FOREIGN_KEY, *source)
    name = "kpatch-patch-6_12_0-55_9_1-1-1.el10_0.x86_64.rpm"
    assert os.path.basename(str(first["rpm"])) == name
    lab.boot(case.engine + " vm", "unsigned", "foreign", "repo1", "repo2")


def test_a_vendors_source_and_debuginfo_rpms_make_the_same_package():
    """The two RPMs, in another folder and at another time, give the same bytes as the source tree."""
    lab = KPATCH
    lab.ready()
    lab.inside("kernel rpms", "/product/tests/build/kernel-rpms.sh")
    rpms = ["--kernel-srpm", lab.find("kernel-rpms/SRPMS/*.rpm"), "--debuginfo"]
    rpms += [lab.find("kernel-rpms/RPMS/x86_64/*.rpm"), DIFFS + "cmdline.patch"]
    packed = lab.build("kpatch-build srpm", "repo-srpm", *rpms)
    plain = lab.build("kpatch-build tree", "repo-tree", *TREE, DIFFS + "cmdline.patch")
    for kind in ("srpm", "rpm"):
        assert lab.content(str(packed[kind])) == lab.content(str(plain[kind]))


def test_the_folder_of_the_source_is_not_in_a_klp_build_package():
    """The same source in another folder makes the same bytes."""
    lab = KLP
    lab.ready()
    lab.inside("copy", "/bin/sh", "-c", "rm -rf /lpwork/other && cp -a /lpwork/linux /lpwork/other")
    more = ["--engine", "klp-build", "--vmlinux", "/lpwork/kernel/vmlinux", DIFFS + "cmdline.patch"]
    one = lab.build("klp-build tree", "repo-tree", "--source-tree", "/lpwork/linux", *more)
    two = lab.build("klp-build other", "repo-other", "--source-tree", "/lpwork/other", *more)
    for kind in ("srpm", "rpm"):
        assert lab.content(str(one[kind])) == lab.content(str(two[kind]))


def test_a_key_that_never_leaves_its_token_signs():
    """sign-file asks OpenSSL's PKCS#11 provider; the signature is that of the same key in a file."""
    lab = RHEL
    lab.ready()
    lab.inside("token", "/product/tests/build/token.sh")
    made = [*DEVEL, "--patch-version", "0", SOURCE + "livepatch_v1.c"]
    files = lab.build("key in a file", "repo-file", *FOREIGN_KEY, *made)
    token = lab.build("key in a token", "repo-token", TOKEN, FOREIGN_KEY[1], *made)
    one, two = (lab.tool("inspect", "inspect", str(built["rpm"])) for built in (files, token))
    assert one["modules"] == two["modules"] and one["modules"][0]["signature"] == "signed"
