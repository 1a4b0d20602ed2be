# SPDX-License-Identifier: GPL-2.0-or-later
"""What preflight reads of the kernel: rivals, keys; as kernels print them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from dnf_plugin_livepatch.base.model import Function, InstalledModule, Kernel, Manifest
from dnf_plugin_livepatch.base.paths import Paths
from dnf_plugin_livepatch.host.kernel import running
from dnf_plugin_livepatch.host.reconcile import preflight
from tests.unit.support.fakehost import RELEASE, module_file

BUILD_ID = "ab" * 20
TOLD = Manifest("lp", RELEASE, BUILD_ID, functions=(Function("vmlinux", "cmdline_proc_show"),))
KERNEL = Kernel(RELEASE, "x86_64", "", "00000001-0000-4000-8000-000000000000", True)


def put(top: Path, path: str, text: str | bytes) -> Paths:
    paths = Paths(str(top))
    target = Path(paths.at(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(text if isinstance(text, bytes) else text.encode())
    return paths


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
    tmp_path: Path, lines: tuple[str, ...], keys: str, signed: bool, wanted: list[str]
) -> None:
    paths = put(tmp_path, "/proc/keys", keys)
    for line in lines:
        path, _, text = line.partition("=")
        put(tmp_path, path, text + "\n")
    data = module_file("lp", BUILD_ID) + (bytes(12) + b"~Module signature appended~\n" if signed else b"")
    ko = f"/usr/lib/modules/{RELEASE}/livepatch/lp.ko"
    put(tmp_path, ko, data)
    digest = hashlib.sha256(data).hexdigest()
    found, build_id = preflight.module(paths, KERNEL, InstalledModule("lp", paths.at(ko), digest, TOLD))
    assert [problem.id for problem in found] == wanted and build_id == BUILD_ID


@pytest.mark.parametrize(
    ("running", "wanted"),
    [("cd" * 20, []), ("ef" * 20, ["kernel-build-id"]), ("", ["kernel-build-id"])],
)
def test_a_patch_for_another_build_of_the_same_release_is_refused(
    tmp_path: Path, running: str, wanted: list[str]
) -> None:
    ko = f"/usr/lib/modules/{RELEASE}/livepatch/lp.ko"
    data = module_file("lp", BUILD_ID)
    paths = put(tmp_path, ko, data)
    told = TOLD._replace(kernel_build_id="cd" * 20)
    module = InstalledModule("lp", paths.at(ko), hashlib.sha256(data).hexdigest(), told)
    found, _ = preflight.module(paths, KERNEL._replace(build_id=running), module)
    assert [problem.id for problem in found] == wanted
    assert preflight.errors(found) == bool(wanted)


def test_a_module_that_cannot_be_compared_is_said_to_be_so(tmp_path: Path) -> None:
    ko = f"/usr/lib/modules/{RELEASE}/livepatch/lp.ko"
    paths = put(tmp_path, ko, module_file("lp", BUILD_ID))
    found, _ = preflight.module(paths, KERNEL, InstalledModule("lp", paths.at(ko), "", TOLD))
    assert [(problem.id, problem.severity) for problem in found] == [("module-unchecked", "error")]


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha224", "sha384", "sha512", "sha3_512"])
def test_any_digest_of_the_rpm_database_is_compared(tmp_path: Path, algorithm: str) -> None:
    ko = f"/usr/lib/modules/{RELEASE}/livepatch/lp.ko"
    data = module_file("lp", BUILD_ID)
    paths = put(tmp_path, ko, data)
    told = f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"
    for digest, wanted in ((told, []), (told[:-1] + ("0" if told[-1] != "0" else "1"), ["module-changed"])):
        found, _ = preflight.module(paths, KERNEL, InstalledModule("lp", paths.at(ko), digest, TOLD))
        assert [problem.id for problem in found] == wanted
    found, _ = preflight.module(
        paths, KERNEL, InstalledModule("lp", paths.at(ko), "nothing:" + "a" * 64, TOLD)
    )
    assert [problem.id for problem in found] == ["module-unusable"]


def test_a_pipe_or_a_link_is_no_module(tmp_path: Path) -> None:
    paths = Paths(str(tmp_path))
    os.mkfifo(paths.at("/pipe.ko"))
    os.symlink("/dev/zero", paths.at("/link.ko"))
    for path, wanted in (
        ("/pipe.ko", "module-writable"),
        ("/nothing.ko", "module-missing"),
        ("/link.ko", "module-missing"),
    ):
        found, build_id = preflight.module(paths, KERNEL, InstalledModule("lp", paths.at(path), "", TOLD))
        assert [problem.id for problem in found] == [wanted] and build_id == ""


def test_rivals_and_the_host(tmp_path: Path) -> None:
    for module in ("ext4", "kpatch", "ksplice_abc", "kcare"):
        put(tmp_path, f"/sys/module/{module}/initstate", "live\n")
    put(tmp_path, "/etc/dnf/plugins/kpatch.conf", "[main]\n# autoupdate = True\nautoupdate = True\n")
    paths = put(tmp_path, "/run/ostree-booted", "")
    assert running.other_products(paths) == ["KernelCare", "kpatch's own module", "Ksplice"]
    found = [problem.id for problem in preflight.host(paths)]
    assert found == ["rival-product"] * 3 + ["kpatch-dnf-on", "host-ostree"]
    put(tmp_path, "/etc/dnf/plugins/kpatch.conf", "# autoupdate = True\n")
    assert "kpatch-dnf-on" not in [problem.id for problem in preflight.host(paths)]
