# SPDX-License-Identifier: GPL-2.0-or-later
"""Source to RPM, for real: kernel headers, gcc, rpmbuild, and the real dnf that installs and removes it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess

import pytest
import rpm

from dnf_plugin_livepatch.base.paths import Paths
from dnf_plugin_livepatch.formats.manifest import parse
from dnf_plugin_livepatch.rpmtool.kernel.names import package_of
from dnf_plugin_livepatch.rpmtool.readers.rpm_file import payload, read_header
from dnf_plugin_livepatch.vendors.profiles import load, match
from tests.tools.support.rpm_sources import LIVEPATCH, TREE, Root, headers, kernel, run, source, tool


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """One package from C source, for most of the tests."""
    folder = tmp_path_factory.mktemp("built")
    out = str(folder / "out")
    result = tool(
        "build",
        "--json",
        "--kernel-devel",
        headers(),
        "--cve",
        "CVE-2026-10001",
        "--advisory",
        "TEST-1",
        "--severity",
        "Important",
        "--issued",
        "2026-11-01",
        "--unfixable",
        "CVE-2026-10002=init code",
        "-o",
        out,
        source(folder),
    )
    assert result.status == 0, result.err + result.out
    return result.json


def test_package_says_what_the_design_asks(built):
    release, header = kernel().release, read_header(built["rpm"])
    assert header.nevra.name == package_of(release, "kpatch")
    assert {
        f"kpatch-patch = {release}",
        f"livepatch(kernel-uname-r:{release})",
        "livepatch-cve(CVE-2026-10001)",
    } <= set(header.provides)
    assert f"kernel-uname-r = {release}" in header.requires
    assert header.supplements == (f"kernel-uname-r = {release}",)
    assert header.conflicts == (f"{header.nevra.name} < 1-1",)
    assert header.scripts == () and not header.signed
    assert not [name for name in header.requires if name.startswith(("kmod(", "ksym("))]


def test_manifest_describes_the_module_that_is_in_the_package(built):
    release, files = kernel().release, payload(built["rpm"])
    module = files[f"/usr/lib/modules/{release}/livepatch/livepatch_test.ko"]
    manifest = parse(files[f"/usr/share/livepatch/{release}/livepatch_test.json"].decode())
    assert manifest.sha256 == hashlib.sha256(module).hexdigest()
    assert [(f.object, f.name) for f in manifest.functions] == [("vmlinux", "cmdline_proc_show")]
    assert manifest.cves == ("CVE-2026-10001",) and manifest.replace
    assert [(u.cve, u.reason) for u in manifest.unfixable] == [("CVE-2026-10002", "init code")]
    assert (manifest.advisory, manifest.severity, manifest.issued) == ("TEST-1", "Important", "2026-11-01")
    assert manifest.patches[0][0] == "livepatch_test.c"


def test_module_is_not_stripped(built, tmp_path):
    files = payload(built["rpm"])
    path = tmp_path / "m.ko"
    path.write_bytes(next(data for name, data in files.items() if name.endswith(".ko")))
    assert "patched_cmdline_proc_show" in run(["nm", str(path)])
    assert manifest_build_id(files) in run(["readelf", "-n", str(path)])


def manifest_build_id(files):
    return json.loads(next(data for name, data in files.items() if name.endswith(".json")))["build_id"]


def test_real_dnf_installs_upgrades_and_removes_it(built, tmp_path):
    release = kernel().release
    root = Root(str(tmp_path), release)
    empty = tool("empty", "--json", "--kernel", release, "-o", root.repo)
    assert empty.status == 0, empty.err
    os.unlink(empty.json["srpm"])
    assert root.dnf("install", "kernel-core").returncode == 0
    name = package_of(release, "kpatch")
    # Supplements makes DNF install the subscription with its kernel.
    assert root.rpm("-q", "--qf", "%{version}-%{release}", name) == "0-0"
    shutil.copy(built["rpm"], root.repo)
    done = root.dnf("upgrade")
    assert done.returncode == 0, done.stdout + done.stderr
    assert root.rpm("-q", "--qf", "%{version}-%{release}", name) == "1-1"
    assert root.rpm("-V", name) == ""
    module = f"{root.path}/usr/lib/modules/{release}/livepatch/livepatch_test.ko"
    assert os.path.isfile(module)
    assert root.dnf("downgrade", name).returncode == 0 and not os.path.exists(module)
    assert root.dnf("upgrade").returncode == 0 and os.path.exists(module)
    assert root.dnf("remove", name).returncode == 0
    assert not os.path.exists(os.path.dirname(module))


def test_kernel_leaves_with_its_patch(built, tmp_path):
    root = Root(str(tmp_path), kernel().release)
    shutil.copy(built["rpm"], root.repo)
    assert root.dnf("install", "kpatch-patch = " + kernel().release).returncode == 0
    assert root.dnf("remove", "kernel-core").returncode == 0
    assert root.rpm("-qa", "*patch*") == ""


@pytest.mark.slow
def test_same_inputs_make_the_same_bytes(tmp_path):
    made = []
    for number, zone in enumerate(("UTC", "Asia/Tokyo")):
        folder = tmp_path / f"{'x' * 40 * number}place{number}"
        folder.mkdir()
        path = source(folder)
        os.utime(path, (1000000000 * number, 1000000000 * number))
        result = tool(
            "build",
            "--json",
            "--issued",
            "2026-11-01",
            "--kernel-devel",
            headers(),
            "-o",
            str(folder / "out"),
            path,
            "--work",
            str(folder),
            env={"TZ": zone, "LANG": "C"},
        )
        assert result.status == 0, result.err + result.out
        made.append(result.json)
    for kind in ("rpm", "srpm"):
        first, second = (open(item[kind], "rb").read() for item in made)
        assert first == second, f"the {kind}s differ"


def rebuild(srpm: str, folder: str, path: str = "") -> str:
    """The RPM that plain rpmbuild makes from ``srpm``."""
    env = {"PATH": f"{path}:{os.environ['PATH']}", "PYTHONPATH": TREE} if path else {}
    run(["rpmbuild", "--rebuild", "--nodeps", "--define", f"_topdir {folder}", srpm], env=env)
    return run(["find", f"{folder}/RPMS", "-name", "*.rpm"]).strip()


def test_source_rpm_of_a_module_rebuilds_to_the_same_bytes_without_our_tools(built, tmp_path):
    files = payload(built["rpm"])
    path = tmp_path / "livepatch_test.ko"
    path.write_bytes(next(data for name, data in files.items() if name.endswith(".ko")))
    result = tool("build", "--json", "-o", str(tmp_path / "out"), str(path))
    assert result.status == 0, result.err
    again = rebuild(result.json["srpm"], str(tmp_path / "again"))
    assert open(again, "rb").read() == open(result.json["rpm"], "rb").read()


def test_source_rpm_of_c_code_rebuilds_with_the_kernel_macro(built, tmp_path):
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    script = bin_folder / "livepatch-rpm"
    import sys

    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m dnf_plugin_livepatch.rpmtool.cli "$@"\n')
    script.chmod(0o755)
    (tmp_path / "macros").write_text(f"%livepatch_options --kernel-devel {headers()}\n")
    env = {"PATH": f"{bin_folder}:{os.environ['PATH']}", "PYTHONPATH": TREE}
    run(
        [
            "rpmbuild",
            "--rebuild",
            "--nodeps",
            "--define",
            f"_topdir {tmp_path}/again",
            "--load",
            str(tmp_path / "macros"),
            built["srpm"],
        ],
        env=env,
    )
    again = run(["find", f"{tmp_path}/again/RPMS", "-name", "*.rpm"]).strip()
    assert open(again, "rb").read() == open(built["rpm"], "rb").read()


def test_release_with_two_dashes_gets_no_capability_that_rpm_refuses(tmp_path):
    result = tool("empty", "--json", "--kernel", "6.1.0-44-amd64", "-o", str(tmp_path))
    assert result.status == 0, result.err
    header = read_header(result.json["rpm"])
    assert "livepatch(kernel-uname-r:6.1.0-44-amd64)" in header.provides
    assert not [
        item
        for item in (*header.provides, *header.requires, *header.supplements)
        if "kernel-uname-r =" in item
    ]


def test_rhel_release_gets_the_name_that_rhel_gives(tmp_path):
    result = tool(
        "empty",
        "--json",
        "--kernel",
        "5.14.0-427.13.1.el9_4.x86_64",
        "--dist",
        ".el9_4",
        "-o",
        str(tmp_path),
    )
    header = read_header(result.json["rpm"])
    assert (header.nevra.name, header.nevra.evr) == ("kpatch-patch-5_14_0-427_13_1", "0-0.el9_4")
    assert "kpatch-patch = 5.14.0-427.13.1.el9_4.x86_64" in header.provides


@pytest.mark.parametrize(
    "more, evr",
    [
        (["--patch-release", "0.1"], "0-0.1"),
        (["--patch-release", "0.2", "--dist", ".el9_4"], "0-0.2.el9_4"),
        (["--patch-release", "0.10", "--profile", "livepatch"], "0-0.10"),
    ],
)
def test_a_subscription_that_is_built_anew_is_newer_and_stays_a_subscription(tmp_path, more, evr):
    release = "5.14.0-427.13.1.el9_4.x86_64"
    argv = ["empty", "--json", "--kernel", release]
    plain = [word for word in more if not word.startswith("0") and word != "--patch-release"]
    first = tool(*argv, *plain, "-o", str(tmp_path))
    second = tool(*argv, *more, "-o", str(tmp_path))
    assert second.status == 0, second.err
    old, new = (read_header(done.json["rpm"]) for done in (first, second))
    assert new.nevra.evr == evr and new.nevra.name == old.nevra.name and new.nevra != old.nevra
    assert rpm.labelCompare(("0", "0", old.nevra.release), ("0", "0", new.nevra.release)) < 0
    found = match(new.nevra, new.provides, new.requires, load(Paths().profile_dirs)[0])
    assert (found.kind, found.kernel_release) == ("empty", release)
    assert "subscribes a kernel" in tool("inspect", second.json["rpm"]).out


@pytest.mark.parametrize("release", ["1", "00", "0.", "0.1.2", "0.x", "", "0.1-2"])
def test_a_subscription_has_no_release_by_which_hosts_would_not_know_it(tmp_path, release):
    result = tool("empty", "--json", "--kernel", "6.1.0-44", "--patch-release", release, "-o", str(tmp_path))
    assert (result.status, result.json["error"]["id"]) == (2, "metadata-invalid")
    assert "0.1, 0.2" in result.json["error"]["text"] and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "profile, release, name",
    [
        ("amazon", "6.1.94-99.176.amzn2023.x86_64", "kernel-livepatch-6.1.94-99.176"),
        ("azure", "5.15.137.1-1.cm2", "livepatch-5.15.137.1-1.cm2"),
        ("suse", "5.14.21-150500.55.7-default", "kernel-livepatch-5_14_21-150500_55_7-default"),
    ],
)
def test_other_vendors_names(profile, release, name, tmp_path):
    result = tool("empty", "--json", "--kernel", release, "--profile", profile, "-o", str(tmp_path))
    assert result.status == 0, result.out
    assert read_header(result.json["rpm"]).nevra.name == name


@pytest.mark.slow
def test_next_package_carries_the_cves_and_raises_the_version(built, tmp_path):
    path = source(tmp_path, name="livepatch_test_2", text="again")
    argv = [
        "build",
        "--json",
        "--kernel-devel",
        headers(),
        "--base",
        built["srpm"],
        "-o",
        str(tmp_path / "out"),
    ]
    result = tool(*argv, "--cve", "CVE-2026-10003", path)
    assert result.status == 0, result.out + result.err
    assert result.json["cves"] == ["CVE-2026-10001", "CVE-2026-10003"]
    assert read_header(result.json["rpm"]).nevra.evr == "2-1"
    assert read_header(result.json["rpm"]).build_time >= read_header(built["rpm"]).build_time
    (claimed,) = [item for item in result.json["findings"] if item["id"] == "base-cves-claimed"]
    assert claimed["severity"] == "note" and "CVE-2026-10001" in claimed["text"]
    taken = tool(*argv, source(tmp_path))
    assert taken.status == 3 and "name-taken" in [item["id"] for item in taken.json["findings"]]
    lost = tool(*argv, "--unfixable", "CVE-2026-10001=fix was wrong", path)
    assert (lost.status, lost.error) == (1, "cve-dropped")
    again = tool(
        *argv,
        "--unfixable",
        "CVE-2026-10001=fix was wrong",
        "--allow-drop",
        "CVE-2026-10001=fix was wrong",
        "-o",
        str(tmp_path / "dropped"),
        path,
    )
    assert again.status == 0 and again.json["cves"] == []
    changes = run(["rpm", "-qp", "--changelog", again.json["rpm"]])
    assert "No longer fixes CVE-2026-10001: fix was wrong" in changes


@pytest.mark.slow
def test_override_lands_in_the_manifest(tmp_path):
    path = source(tmp_path, replace="false")
    argv = ["build", "--json", "--kernel-devel", headers(), "-o", str(tmp_path / "out"), path]
    refused = tool(*argv)
    assert (refused.status, refused.error) == (3, "lint-errors")
    result = tool(*argv, "--override", "replace-mismatch=warning:loaded beside the vendor's own")
    assert result.status == 0, result.out
    found = next(data for name, data in payload(result.json["rpm"]).items() if name.endswith(".json"))
    assert parse(found.decode()).overrides == (
        ("replace-mismatch", "warning: loaded beside the vendor's own"),
    )
    assert tool(*argv, "--no-replace", "-o", str(tmp_path / "asked")).status == 0


@pytest.mark.slow
def test_published_file_never_changes(built, tmp_path):
    out = str(tmp_path / "out")
    argv = ["build", "--json", "--kernel-devel", headers(), "-o", out]
    made = tool(*argv, source(tmp_path)).json
    assert tool(*argv, source(tmp_path)).status == 0
    other = tool(*argv, source(tmp_path, text="other"))
    assert (other.status, other.error) == (1, "output-exists")
    assert "livepatch-rpm sign" in other.json["error"]["remedy"]
    assert {os.path.join(out, name) for name in os.listdir(out)} == {made["rpm"], made["srpm"], made["log"]}


def test_the_full_log_lies_beside_the_packages(tmp_path):
    out, temporary = str(tmp_path / "out"), tmp_path / "temporary"
    temporary.mkdir()
    argv = ["build", "--kernel-devel", headers(), "-o", out, source(tmp_path)]
    made = tool(*argv, env={"TMPDIR": str(temporary)})
    rpm, srpm = made.out.split()
    log = rpm[: -len(".rpm")] + ".log"
    assert made.status == 0 and f"The full log is {log}\n" in made.err
    text = open(log, encoding="utf-8").read()
    assert "$ make -C" in text and "-> 0" in text and "$ rpmbuild" in text
    # The next build of the package replaces the log. With --log the log is in the named file alone.
    os.truncate(log, 0)
    assert tool(*argv, "--json").json["log"] == log and os.path.getsize(log) > 0
    os.unlink(log)
    asked = str(tmp_path / "asked.log")
    assert tool(*argv, "--json", "--log", asked).json["log"] == asked and os.path.getsize(asked) > 0
    assert sorted(os.listdir(out)) == sorted(map(os.path.basename, (rpm, srpm)))
    assert os.listdir(temporary) == []


def test_the_log_of_a_failed_build_is_kept_where_it_is_said_to_be(tmp_path):
    text = source(tmp_path, extra="#error no\n")
    argv = ["build", "--json", "--kernel-devel", headers(), "-o", str(tmp_path / "out"), text]
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    made = tool(*argv, env={"TMPDIR": str(temporary)})
    (log,) = temporary.iterdir()
    assert made.error == "engine-failed" and str(log) in made.json["error"]["remedy"]
    assert "error no" in log.read_text() and not (tmp_path / "out").exists()


def test_rpmlint_finds_nothing_that_has_no_reason(built):
    config = os.path.join(TREE, "spec", "livepatch-module.rpmlint.toml")
    rpmlint = os.path.join(TREE, ".venv/bin/rpmlint")
    done = subprocess.run(
        [rpmlint, "-c", config, built["rpm"], built["srpm"]], capture_output=True, text=True
    )
    assert done.returncode == 0 and " 0 errors, 0 warnings" in done.stdout, done.stdout
    assert LIVEPATCH
