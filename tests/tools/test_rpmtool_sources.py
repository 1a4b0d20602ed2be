# SPDX-License-Identifier: GPL-2.0-or-later
"""Diffs' headers, kernel source RPMs, updateinfo and recipes: the sources of a package's facts."""

from __future__ import annotations

import glob
import gzip
import io
import json
import os
import tarfile
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnf_plugin_livepatch.rpmtool.kernel import kernelsource
from dnf_plugin_livepatch.rpmtool.kernel.target import KernelFiles, Target
from dnf_plugin_livepatch.rpmtool.module import engines
from dnf_plugin_livepatch.rpmtool.package import collect
from dnf_plugin_livepatch.rpmtool.package.request import Request
from dnf_plugin_livepatch.rpmtool.readers import diffs, judge, recipe, rpm_file, updateinfo
from dnf_plugin_livepatch.rpmtool.readers import source as sources
from dnf_plugin_livepatch.toolkit.errors import ToolError
from dnf_plugin_livepatch.toolkit.programs import Runner
from tests.tools.support.rpm_sources import headers, run, source, tool

BODY = "--- a/net/x.c\n+++ b/net/x.c\n@@ -1,3 +1,3 @@ int f(void)\n {\n-\treturn 1;\n+\treturn 2;\n }\n"


@pytest.mark.parametrize(
    "head, cves",
    [
        ("CVE: CVE-2026-1111\n", ("CVE-2026-1111",)),
        ("Subject: [PATCH] net: fix cve-2026-1111 and CVE-2026-2222\n", ("CVE-2026-1111", "CVE-2026-2222")),
        ("Bug: https://bugs.example.org/CVE-2026-3333\n", ("CVE-2026-3333",)),
        ("Description: unlike CVE-2026-4444 this one is harmless\n", ()),
        ("It was introduced by the fix of CVE-2026-5555.\n", ()),
        ("", ()),
    ],
)
def test_cves_of_a_diffs_header(head, cves):
    found = diffs.parse(head + "\n" + BODY, "x.patch")
    assert found.cves == cves
    assert [file.name for file in found.files] == ["net/x.c"]


def test_diff_of_several_files_and_a_signature_line():
    text = "From: a\n\n" + BODY + "--- a/mm/y.c\n+++ b/mm/y.c\n@@ -1 +1 @@\n-a\n+b\n-- \n2.45.0\n"
    assert [file.name for file in diffs.parse(text, "x").files] == ["net/x.c", "mm/y.c"]


@given(st.text(max_size=600), st.text(max_size=200))
def test_any_text_is_read_or_refused(first, second):
    try:
        found = diffs.parse(first + "\n" + BODY + second, "x.patch")
        judge.judge(found, "x.patch")
    except ToolError as error:
        assert error.id.startswith("diff-")


@pytest.mark.parametrize(
    "release, wanted, engine",
    [
        ("5.14.0-427.el9.x86_64", "", "kpatch-build"),
        ("6.18.9", "", "kpatch-build"),
        ("6.19.0-1", "", "klp-build"),
        ("7.2.13", "", "klp-build"),
        ("7.2.13", "kpatch-build", "kpatch-build"),
        ("6.12.0", "klp-build", "klp-build"),
    ],
)
def test_engine_goes_by_kernel_version_and_can_be_overridden(release, wanted, engine):
    assert engines.choose("diff", release, wanted) == engine
    assert engines.choose("source", release, "") == "kbuild"


def test_diffs_apply_one_after_the_other(tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "x.c").write_text("int a;\n")
    first, second = tmp_path / "1.patch", tmp_path / "2.patch"
    first.write_text("--- a/x.c\n+++ b/x.c\n@@ -1 +1 @@\n-int a;\n+int b;\n")
    second.write_text("--- a/x.c\n+++ b/x.c\n@@ -1 +1 @@\n-int b;\n+int c;\n")
    runner = Runner(str(tmp_path / "log"))
    engines.applies([str(first), str(second)], str(tree), str(tmp_path / "a"), runner)
    assert (tree / "x.c").read_text() == "int a;\n"
    with pytest.raises(ToolError) as caught:
        engines.applies([str(second), str(first)], str(tree), str(tmp_path / "b"), runner)
    assert caught.value.id == "diff-no-apply" and "2.patch" in caught.value.text


KERNEL_SPEC = """\
Name: kernel
Version: 6.12.1
Release: 7.lp
Summary: kernel
License: GPL-2.0-only
Source0: linux-6.12.1.tar.gz
Source1: kernel-x86_64-rhel.config
Source2: kernel-x86_64-debug-rhel.config
%description
kernel
%prep
%setup -q -n kernel-6.12.1 -c
mv linux-6.12.1 linux-6.12.1-7.lp.x86_64
"""


def kernel_srpm(folder):
    """A source RPM of the shape of RHEL's kernel, with a source tree of a few lines."""
    top = folder / "top"
    (top / "SOURCES").mkdir(parents=True)
    with tarfile.open(top / "SOURCES/linux-6.12.1.tar.gz", "w:gz") as archive:
        for name, text in (
            ("Makefile", "kernelversion:\n\t@echo 6.12.1\n"),
            ("Kconfig", ""),
            ("Kbuild", ""),
            ("kernel/x.c", "int x;\n"),
            ("localversion-rt", "-rt1\n"),
        ):
            info = tarfile.TarInfo("linux-6.12.1/" + name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    (top / "SOURCES/kernel-x86_64-rhel.config").write_text('CONFIG_A=y\nCONFIG_LOCALVERSION="-x"\n')
    (top / "SOURCES/kernel-x86_64-debug-rhel.config").write_text("CONFIG_DEBUG=y\n")
    (folder / "kernel.spec").write_text(KERNEL_SPEC)
    run(["rpmbuild", "-bs", "--define", f"_topdir {top}", str(folder / "kernel.spec")])
    return glob.glob(f"{top}/SRPMS/*.rpm")[0]


def debuginfo(folder, release):
    """A debuginfo RPM that holds a vmlinux with the banner of ``release``."""
    (folder / "k.c").write_text(
        f'const char banner[] = "Linux version {release} (x) "; int _start(void) {{ return 0; }}\n'
    )
    run(
        [
            "gcc",
            "-nostdlib",
            "-static",
            "-Wl,--build-id=0x1234567890abcdef1234",
            "-o",
            str(folder / "vmlinux"),
            str(folder / "k.c"),
        ]
    )
    goal = f"/usr/lib/debug/lib/modules/{release}"
    (folder / "debug.spec").write_text(
        "Name: kernel-debuginfo\nVersion: 1\nRelease: 1\nSummary: x\nLicense: x\n"
        "%global debug_package %{nil}\n"
        "%global __os_install_post %{nil}\n%global _build_id_links none\n%description\nx\n%install\n"
        f"mkdir -p %{{buildroot}}{goal}/kernel\necho a > %{{buildroot}}{goal}/kernel/first\n"
        f"cp {folder}/vmlinux %{{buildroot}}{goal}/\n%files\n{goal}\n"
    )
    run(["rpmbuild", "-bb", "--define", f"_topdir {folder}/dtop", str(folder / "debug.spec")])
    return glob.glob(f"{folder}/dtop/RPMS/*/*.rpm")[0]


def test_kernel_source_and_debuginfo_rpms(tmp_path):
    release = "6.12.1-7.lp.x86_64"
    files = KernelFiles(source_rpm=kernel_srpm(tmp_path), debuginfo=debuginfo(tmp_path, release))
    found = kernelsource.unpack(files, str(tmp_path / "work"), Runner(str(tmp_path / "log")))
    assert found.release == release and found.build_id == "1234567890abcdef1234"
    assert os.path.basename(found.tree) == "linux-6.12.1-7.lp.x86_64"
    config = open(found.config, encoding="ascii").read()
    assert (
        "CONFIG_A=y" in config and 'CONFIG_LOCALVERSION="-7.lp.x86_64"' in config and "DEBUG" not in config
    )
    assert not os.path.exists(os.path.join(found.tree, "localversion-rt"))


def test_kernel_rpms_that_do_not_fit(tmp_path):
    srpm = kernel_srpm(tmp_path)
    runner = Runner(str(tmp_path / "log"))
    cases = (
        (KernelFiles(source_rpm=srpm), "usage"),
        (KernelFiles(source_rpm=srpm, debuginfo=srpm), "vmlinux-mismatch"),
        (KernelFiles(source_rpm=srpm, debuginfo=debuginfo(tmp_path, "5.14.0-1.x86_64")), "release-mismatch"),
        (KernelFiles(source_rpm=str(tmp_path / "none"), debuginfo=srpm), "input-missing"),
    )
    for number, (files, expected) in enumerate(cases):
        with pytest.raises(ToolError) as caught:
            kernelsource.unpack(files, str(tmp_path / f"work{number}"), runner)
        assert caught.value.id == expected


UPDATEINFO = """<?xml version="1.0"?>
<updates>
<update type="security"><id>A-1</id><issued date="2026-11-01 08:00:00"/><severity>Low</severity>
 <references><reference type="cve" id="CVE-2026-1"/></references></update>
<update type="security"><id>A-2</id><issued date="2026-11-02 09:30:00"/><severity>Important</severity>
 <references><reference type="cve" id="CVE-2026-7777"/><reference type="bugzilla" id="4711"/>
 <reference type="cve" title="cve-2026-6666"/></references></update>
</updates>
"""


def test_facts_of_an_advisory(tmp_path):
    path = tmp_path / "updateinfo.xml.gz"
    path.write_bytes(gzip.compress(UPDATEINFO.encode()))
    feed = updateinfo.advisory_facts(str(path), "A-2")
    assert feed == updateinfo.Feed(("CVE-2026-6666", "CVE-2026-7777"), "Important", "2026-11-02T09:30:00Z")
    built = tool(
        "build",
        "--json",
        "--kernel-devel",
        headers(),
        "--updateinfo",
        str(path),
        "--advisory",
        "A-2",
        "-o",
        str(tmp_path / "out"),
        source(tmp_path),
    )
    assert built.json["cves"] == ["CVE-2026-6666", "CVE-2026-7777"]
    assert tool("inspect", "--json", built.json["rpm"]).json["issued"] == "2026-11-02T09:30:00Z"


@pytest.mark.parametrize(
    "content, expected",
    [
        (b"<updates><update>", "updateinfo-unreadable"),
        (b"", "updateinfo-unreadable"),
        (b"\x1f\x8b", "updateinfo-unreadable"),
        (b'<!DOCTYPE x [<!ENTITY a "b">]><updates/>', "updateinfo-unreadable"),
        (b"<updates/>", "metadata-invalid"),
    ],
)
def test_updateinfo_that_cannot_be_used(content, expected, tmp_path):
    path = tmp_path / "updateinfo.xml"
    path.write_bytes(content)
    with pytest.raises(ToolError) as caught:
        updateinfo.advisory_facts(str(path), "A-1")
    assert caught.value.id == expected


ENTITY = '<!DOCTYPE x [{pad}<!ENTITY a "CVE-2026-1">]>' + UPDATEINFO.split("?>")[1].replace("A-1", "A-1&a;")


@pytest.mark.parametrize(
    "content",
    [
        ENTITY.format(pad="").encode("utf-16"),
        *(ENTITY.format(pad=" " * ((1 << 16) - 13 - cut)).encode() for cut in range(1, 9)),
        ENTITY.format(pad="").replace("<!ENTITY a", "<!ENTITY % a").encode(),
    ],
)
def test_entities_are_refused_however_they_are_written(content, tmp_path):
    path = tmp_path / "updateinfo.xml"
    path.write_bytes(content)
    with pytest.raises(ToolError) as caught:
        updateinfo.advisory_facts(str(path), "A-2")
    assert caught.value.id == "updateinfo-unreadable" and "entities" in caught.value.text


def test_updateinfo_in_another_encoding_is_read(tmp_path):
    path = tmp_path / "updateinfo.xml"
    path.write_bytes(UPDATEINFO.replace('"1.0"', '"1.0" encoding="UTF-16"').encode("utf-16"))
    assert updateinfo.advisory_facts(str(path), "A-1").severity == "Low"


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
@pytest.mark.parametrize(
    "date, issued",
    [
        ("Sun, 22 Nov 2026 10:00:00 -0000", "2026-11-22T10:00:00Z"),
        ("Sun, 22 Nov 2026 10:00:00", "2026-11-22T10:00:00Z"),
        ("Sun, 22 Nov 2026 10:00:00 +0200", "2026-11-22T08:00:00Z"),
    ],
)
def test_the_date_of_a_diff_is_the_same_wherever_it_is_read(zone, date, issued, tmp_path, monkeypatch):
    (tmp_path / "a.patch").write_text(f"Subject: fix\nDate: {date}\n\n{BODY}")
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert collect._facts(Request(), [str(tmp_path / "a.patch")], (), None).issued == issued
    finally:
        monkeypatch.undo()
        time.tzset()


def a_recipe():
    return recipe.Recipe(
        kind="diff",
        kernel_release="6.12.0-1.x86_64",
        arch="x86_64",
        name="kpatch-patch-6_12_0-1",
        version="2",
        release="1.el9",
        epoch=1793491200,
        engine="kpatch-build",
        modules=("klp_2",),
        cves=("CVE-2026-1111",),
        inputs=(recipe.Input("a.patch", "0" * 64, ("CVE-2026-1111",)),),
        unfixable=(recipe.reasoned("CVE-2026-2222=init code", "x"),),
        overrides=(recipe.override("crc-unknown=note:known"),),
    )


def test_recipe_survives_the_way_through_a_source_rpm():
    assert recipe.parse(recipe.dump(a_recipe()), "x") == a_recipe()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    ),
    st.sampled_from(sorted(recipe.Recipe._fields)),
)
def test_hostile_recipes_are_refused(value, field):
    data = json.loads(recipe.dump(a_recipe()))
    data[field] = value
    try:
        found = recipe.parse(json.dumps(data), "x")
    except ToolError as error:
        assert error.id == "base-unfit"
        return
    for name in (found.name, found.arch, *found.modules, *(item.name for item in found.inputs)):
        assert "/" not in name and name not in ("..", "")


@pytest.mark.parametrize(
    ("field", "value", "fault"),
    [
        ("schema", 2, "schema 2 is not known"),
        ("engine", "make", "engine: expected one of \"\", kbuild, kpatch-build, klp-build, not 'make'"),
        ("epoch", "1793491200", "epoch: expected a whole number"),
        ("modules", ["a/b"], "modules[0]: expected the name of a kernel module, not 'a/b'"),
        ("inputs", [{"name": "../x"}], "inputs[0].name: expected a plain name"),
        ("issued", "someday", "issued: expected a date"),
        ("overrides", [{"check": "no-such"}], "overrides[0].check: there is no such check"),
    ],
)
def test_the_fault_of_a_recipe_is_named_with_its_place(field, value, fault):
    data = {**json.loads(recipe.dump(a_recipe())), field: value}
    with pytest.raises(ToolError) as caught:
        recipe.parse(json.dumps(data), "x.src.rpm")
    assert caught.value.id == "base-unfit" and f"its recipe is broken: {fault}" in caught.value.text


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "./x"])
def test_source_archives_cannot_leave_their_folder(name, tmp_path):
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w:gz") as archive:
        info = tarfile.TarInfo(name)
        info.size = 1
        archive.addfile(info, io.BytesIO(b"x"))
    with pytest.raises(ToolError):
        sources.unpack(plain.getvalue(), str(tmp_path / "in"), "x.src.rpm")
    assert sorted(item.name for item in tmp_path.rglob("*")) in ([], ["in"])


def test_source_archive_holds_what_went_in(tmp_path):
    files = [("Kbuild", b"obj-m := x.o\n"), ("sub/x.c", b"int x;\n")]
    packed = sources.pack(files)
    assert packed == sources.pack(files)
    sources.unpack(packed, str(tmp_path), "x")
    assert sources.source_files([str(tmp_path)]) == files


@given(st.binary(max_size=400))
def test_hostile_rpms_are_refused(data):
    import tempfile

    with tempfile.NamedTemporaryFile(suffix=".rpm") as file:
        file.write(b"\xed\xab\xee\xdb" + data)
        file.flush()
        with pytest.raises(ToolError):
            rpm_file.read_header(file.name)


def test_release_of_the_target_comes_from_its_files(tmp_path):
    assert Target("x", devel=str(tmp_path)).symvers == ""
    (tmp_path / "Module.symvers").write_text("")
    assert Target("x", tree=str(tmp_path)).symvers == str(tmp_path / "Module.symvers")
