# SPDX-License-Identifier: GPL-2.0-or-later
"""Live patches in a real rpm database: built by rpmbuild, installed by rpm below a root of the test."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import rpm

from dnf_plugin_livepatch.base.model import Function, InstalledPatch, Manifest
from dnf_plugin_livepatch.base.paths import Paths
from dnf_plugin_livepatch.formats import manifest
from dnf_plugin_livepatch.host.packages import installed
from dnf_plugin_livepatch.vendors import profiles
from tests.unit.support.fakehost import RELEASE, module_file

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RULES, _ = profiles.load((TOP + "/profiles",))
OTHER = "6.12.2-1.x86_64"
BUILD_ID = "ab" * 20

SPEC = """\
Name: {name}
Version: {version}
Release: 1
Summary: A test
License: GPL-2.0-or-later
BuildArch: x86_64
AutoReqProv: no
{provides}
%global debug_package %{{nil}}
%global __os_install_post %{{nil}}
%global _build_id_links none

%description
A test.

%install
cp -a {tree}/. %{{buildroot}}

%files
{files}
"""


class Root:
    """A root with an rpm database; ``add`` installs packages there."""

    def __init__(self, top: Path) -> None:
        self.top, self.paths = top / "root", Paths(str(top / "root"))
        self.work = top / "work"
        self.base = self.paths.at("/var/lib/rpm")
        os.makedirs(self.base)
        self.rpm("--initdb")

    def rpm(self, *words: str) -> None:
        argv = ["rpm", "--dbpath", self.base, *words]
        subprocess.run(argv, check=True, capture_output=True, timeout=120)

    def build(self, name: str, version: str, provides: Sequence[str], files: dict[str, bytes]) -> str:
        work = self.work / f"{name}-{version}"
        tree = work / "tree"
        for path, data in files.items():
            target = Path(str(tree) + path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        tree.mkdir(parents=True, exist_ok=True)
        spec = work / "x.spec"
        lines = "\n".join(f"Provides: {text}" for text in provides)
        spec.write_text(
            SPEC.format(name=name, version=version, provides=lines, tree=tree, files="\n".join(files))
        )
        subprocess.run(
            ["rpmbuild", "-bb", "--quiet", "--target", "x86_64", "--define", f"_topdir {work}", str(spec)],
            check=True, capture_output=True, timeout=300,
        )  # fmt: skip
        return str(next(work.glob("RPMS/*/*.rpm")))

    def add(self, name: str, version: str, provides: Sequence[str], files: dict[str, bytes]) -> None:
        """Register the package in the database and put its files there; no other version is removed."""
        self.rpm("-i", "--justdb", "--nodeps", "--force", self.build(name, version, provides, files))
        shutil.copytree(self.work / f"{name}-{version}" / "tree", self.top, dirs_exist_ok=True)

    def patch(self, version: str, release: str = RELEASE, **told: object) -> None:
        module = f"lp_{version}"
        ko = module_file(module, BUILD_ID, release)
        facts = Manifest(
            module, release, BUILD_ID, cves=("CVE-2026-1001",), functions=(Function("vmlinux", "f"),)
        )._replace(**told)  # type: ignore[arg-type]
        self.add(
            "lp" + ("" if release == RELEASE else "-other"),
            version,
            (f"livepatch(kernel-uname-r:{release})", "livepatch-cve(CVE-2026-1002)", "livepatch-cve(odd)"),
            {
                f"/usr/lib/modules/{release}/livepatch/{module}.ko": ko,
                f"/usr/share/livepatch/{release}/{module}.json": manifest.dump(facts).encode(),
            },
        )

    def read(self) -> installed.Installed:
        return installed.read(self.paths, RULES, RELEASE)


@pytest.fixture(scope="module", autouse=True)
def dbpath() -> Iterator[None]:
    """Where hosts have their database; Debian's rpm looks in the home of whoever runs it."""
    rpm.addMacro("_dbpath", "/var/lib/rpm")
    yield
    rpm.delMacro("_dbpath")


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Root:
    """Versions 9 and 10 of a patch, one for another kernel, and a bystander."""
    root = Root(tmp_path_factory.mktemp("rpm"))
    root.patch("9")
    root.patch("10", cves=("CVE-2026-1003",))
    root.patch("1", OTHER)
    root.add("bystander", "1", (), {f"/usr/lib/modules/{RELEASE}/livepatch/stray.ko": b"x"})
    return root


def test_the_patches_of_this_kernel_newest_first(full: Root) -> None:
    found = full.read()
    assert found.healthy and not found.why and not found.faults and found.database == full.base
    assert [str(patch.nevra) for patch in found.patches] == ["lp-10-1.x86_64", "lp-9-1.x86_64"]
    patch = found.patches[0]
    assert (patch.kind, patch.loader, patch.kernel_release) == ("patch", "kernel", RELEASE)
    assert patch.cves == ("CVE-2026-1003", "CVE-2026-1002"), "the manifest's, then the capabilities'"
    (module,) = patch.modules
    with open(module.path, "rb") as file:
        assert module.digest == hashlib.sha256(file.read()).hexdigest()
    assert module.name == "lp_10" and module.manifest is not None and module.manifest.build_id == BUILD_ID


def test_another_kernel_sees_its_own_only(full: Root) -> None:
    found = installed.read(full.paths, RULES, OTHER)
    assert [str(patch.nevra) for patch in found.patches] == ["lp-other-1-1.x86_64"]
    assert installed.read(full.paths, RULES, "6.1.0-1.x86_64") == ((), True, "", (), full.base)
    assert not installed.read(full.paths, RULES, "").healthy


def test_by_name_and_version(full: Root) -> None:
    assert installed.holds(full.paths, "lp-9-1.x86_64") and installed.holds(full.paths, "lp-10-1.x86_64")
    assert not installed.holds(full.paths, "lp-11-1.x86_64")
    assert not installed.holds(full.paths, "x-1-1.noarch")


def test_who_signed_a_package(full: Root, tmp_path: Path) -> None:
    assert installed.signer(full.paths, "lp-9-1.x86_64") == "unsigned"
    assert installed.signer(full.paths, "lp-11-1.x86_64") == ""
    assert installed.signer(Paths(str(tmp_path)), "lp-9-1.x86_64") == ""


def test_a_file_that_changed_keeps_its_first_digest(full: Root, tmp_path: Path) -> None:
    copy = tmp_path / "root"
    shutil.copytree(full.top, copy)
    ko = copy / f"usr/lib/modules/{RELEASE}/livepatch/lp_10.ko"
    ko.write_bytes(ko.read_bytes() + b"x")
    (module,) = installed.read(Paths(str(copy)), RULES, RELEASE).patches[0].modules
    assert module.digest != hashlib.sha256(ko.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "text", [b"", b"{", b'{"schema": 1}', b"\xff" * 100, b"[" * 100000, b"null"], ids=range(6)
)
def test_manifests_that_cannot_be_used(full: Root, tmp_path: Path, text: bytes) -> None:
    copy = tmp_path / "root"
    shutil.copytree(full.top, copy)
    (copy / f"usr/share/livepatch/{RELEASE}/lp_10.json").write_bytes(text)
    found = installed.read(Paths(str(copy)), RULES, RELEASE)
    assert found.healthy and len(found.faults) == 1 and "lp_10.json" in found.faults[0]
    assert found.patches[0].modules[0].manifest is None and found.patches[0].cves == ("CVE-2026-1002",)


def test_a_manifest_that_tells_another_module(full: Root, tmp_path: Path) -> None:
    copy = tmp_path / "root"
    shutil.copytree(full.top, copy)
    folder = copy / f"usr/share/livepatch/{RELEASE}"
    shutil.copy(folder / "lp_9.json", folder / "lp_10.json")
    found = installed.read(Paths(str(copy)), RULES, RELEASE)
    assert found.patches[0].modules[0].manifest is None and "not that of the module" in found.faults[0]


def broken(root: Root, tmp_path: Path) -> list[Path]:
    copy = tmp_path / "root"
    shutil.copytree(root.top, copy)
    return sorted(copy.glob("var/lib/rpm/rpmdb.sqlite*"))


def test_a_sound_database(full: Root, tmp_path: Path) -> None:
    assert installed.damage(full.base) == ""
    assert "no rpm database" in installed.damage(str(tmp_path))
    empty = Root(tmp_path)
    assert "no package at all" in installed.damage(empty.base)


@pytest.mark.parametrize("how", ["cut", "zero", "gone", "noise"])
def test_a_damaged_database_proves_nothing(full: Root, tmp_path: Path, how: str) -> None:
    files = broken(full, tmp_path)
    for path in files:
        data = path.read_bytes()
        if how == "gone" or path.suffix != ".sqlite":
            path.unlink()
        elif how == "cut":
            path.write_bytes(data[: len(data) // 2])
        else:
            path.write_bytes(data[:100] + (b"\0" if how == "zero" else b"\xa5") * (len(data) - 100))
    paths = Paths(str(tmp_path / "root"))
    assert installed.damage(paths.at("/var/lib/rpm")), "looked at in earnest, it is damaged"
    found = installed.read(paths, RULES, RELEASE)
    if how == "gone":
        assert not found.healthy and not found.patches
    # Whatever a quick look makes of it, what is missing in it counts as unknown, or the damage is found.
    assert not found.healthy or installed.damage(found.database)


def odd(tmp_path: Path, files: dict[str, bytes]) -> InstalledPatch:
    root = Root(tmp_path)
    root.add("odd", "1", (f"livepatch(kernel-uname-r:{RELEASE})",), files)
    (patch,) = root.read().patches
    return patch


@pytest.mark.parametrize("suffix", [".xz", ".zst", ".gz", ".bz2", ".lz4"])
def test_a_module_is_one_whatever_its_compression(tmp_path: Path, suffix: str) -> None:
    patch = odd(tmp_path, {f"/usr/lib/modules/{RELEASE}/livepatch/own-1.ko{suffix}": b"packed"})
    assert (patch.kind, [module.name for module in patch.modules]) == ("patch", ["own_1"])


def test_a_plain_module_comes_before_the_files_that_go_with_it(tmp_path: Path) -> None:
    folder = f"/usr/lib/modules/{RELEASE}/livepatch"
    patch = odd(tmp_path, {f"{folder}/a.ko": b"x", f"{folder}/a.ko.asc": b"y", f"{folder}/a.ko.xz": b"z"})
    assert [os.path.basename(module.path) for module in patch.modules] == ["a.ko"]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (f"/usr/lib/modules/{RELEASE}/livepatch/patch.klp", "patch"),  # of a kind that nobody knows yet
        (f"/opt/vendor/{RELEASE}/patch.ko.zst", "patch"),
        ("/usr/share/doc/odd/README", "empty"),
    ],
)
def test_only_a_package_without_such_files_is_a_subscription(tmp_path: Path, path: str, kind: str) -> None:
    patch = odd(tmp_path, {path: b"data"})
    assert (patch.kind, patch.modules) == (kind, ())
