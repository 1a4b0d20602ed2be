# SPDX-License-Identifier: GPL-2.0-or-later
"""Real RPMs for the tests: kernels, live patches, bystanders; built by rpmbuild, a few specs at a time."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from typing import NamedTuple

from vm import gnupg

ARCH = "x86_64"


def release(number: int) -> str:
    """The kernel release of the kernel package with this number."""
    return f"5.14.0-{number}.el9.{ARCH}"


class Rpm(NamedTuple):
    """The description of one package. ``files`` are (path, content); a content of None makes a folder."""

    name: str
    version: str
    release: str
    provides: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    other: tuple[str, ...] = ()
    files: tuple[tuple[str, str | None], ...] = ()
    script: str = ""
    arch: str = ARCH

    def __str__(self) -> str:
        return f"{self.name}-{self.version}-{self.release}.{self.arch}"


def kernel(number: int) -> Rpm:
    """A kernel-core package with the capabilities and paths of a real one."""
    name = release(number)
    return Rpm(
        "kernel-core",
        "5.14.0",
        f"{number}.el9",
        (f"kernel-uname-r = {name}", "installonlypkg(kernel)", f"kernel = 5.14.0-{number}.el9"),
        (),
        (),
        ((f"/boot/vmlinuz-{name}", "kernel\n"), (f"/lib/modules/{name}", None)),
    )


def manifest(number: int, version: str, cves: Iterable[str]) -> dict[str, object]:
    """The manifest of a live patch."""
    module = f"livepatch_{number}_{version.replace('-', '_')}"
    return {
        "schema": 1,
        "module": module,
        "kernel_release": release(number),
        "build_id": hashlib.sha256(module.encode()).hexdigest()[:40],
        "cves": sorted(cves),
        "functions": [{"object": "vmlinux", "name": "do_it", "sympos": 0}],
    }


def patch(
    number: int,
    version: str,
    cves: Iterable[str] = (),
    *,
    requires: tuple[str, ...] | None = None,
    other: tuple[str, ...] = (),
    text: str | None = None,
    script: str = "",
) -> Rpm:
    """A live-patch package for the kernel with this number; ``text`` replaces its manifest."""
    facts = manifest(number, version, cves)
    target = release(number)
    files: tuple[tuple[str, str | None], ...] = (
        (f"/usr/lib/modules/{target}/livepatch/{facts['module']}.ko", "no module at all\n"),
        (f"/usr/share/livepatch/{target}/{facts['module']}.json", text or json.dumps(facts)),
    )
    major, minor = version.split("-")
    return Rpm(
        f"kpatch-patch-5_14_0-{number}",
        major,
        f"{minor}.el9",
        (
            f"livepatch(kernel-uname-r:{target})",
            f"kpatch-patch = {target}",
            *(f"livepatch-cve({cve})" for cve in cves),
        ),
        (f"kernel-uname-r = {target}",) if requires is None else requires,
        other,
        files if major != "0" else (),
        script,
    )


def _section(rpm: Rpm) -> str:
    lines = [f"%package -n {rpm.name}", f"Version: {rpm.version}", f"Release: {rpm.release}"]
    lines += ["Summary: test package", "Group: test"]
    if rpm.arch == "noarch":
        lines += ["BuildArch: noarch"]
    lines += [f"Provides: {item}" for item in rpm.provides]
    lines += [f"Requires: {item}" for item in rpm.requires]
    lines += list(rpm.other)
    lines += [f"%description -n {rpm.name}", "Only for tests."]
    if rpm.script:
        lines += [rpm.script]
    lines += [f"%files -n {rpm.name}"]
    lines += [f"%dir {path}" if text is None else path for path, text in rpm.files]
    return "\n".join(lines)


def build(folder: str, rpms: Iterable[Rpm]) -> dict[str, str]:
    """Build all of ``rpms``; returns NEVRA -> path. One spec holds each package name once."""
    batches: list[list[Rpm]] = []
    for rpm in rpms:
        batch = next((b for b in batches if all(rpm.name != other.name for other in b)), None)
        if batch is None:
            batches.append([rpm])
        else:
            batch.append(rpm)
    for number, batch in enumerate(batches):
        _build(os.path.join(folder, f"spec{number}"), os.path.join(folder, "rpms"), batch)
    made = os.path.join(folder, "rpms")
    return {str(rpm): os.path.join(made, rpm.arch, f"{rpm}.rpm") for batch in batches for rpm in batch}


def _build(work: str, output: str, batch: list[Rpm]) -> None:
    os.makedirs(work)
    steps: list[str] = []
    for number, rpm in enumerate(batch):
        for index, (path, text) in enumerate(rpm.files):
            steps.append(f"mkdir -p %{{buildroot}}{path if text is None else os.path.dirname(path)}")
            if text is not None:
                source = os.path.join(work, f"{number}-{index}")
                with open(source, "w", encoding="utf-8") as file:
                    file.write(text)
                steps.append(f"cp {source} %{{buildroot}}{path}")
    spec = os.path.join(work, "all.spec")
    with open(spec, "w", encoding="utf-8") as file:
        file.write(
            "\n".join(
                [
                    "Name: all",
                    "Version: 1",
                    "Release: 1",
                    "Summary: test packages",
                    "License: GPL-2.0-or-later",
                    "%description",
                    "Only for tests.",
                    *map(_section, batch),
                    "%install",
                    "mkdir -p %{buildroot}",
                    *steps,
                ]
            )
            + "\n"
        )
    subprocess.run(
        [
            "rpmbuild", "-bb", "--quiet", "--nodeps", "--target", ARCH,
            "--define", f"_topdir {work}", "--define", f"_rpmdir {output}",
            "--define", "debug_package %{nil}", "--define", "__os_install_post %{nil}",
            "--define", f"_dbpath {work}/db",
            "--define", "_build_id_links none", "--define", "source_date_epoch_from_changelog 0",
            spec,
        ],
        check=True,
        capture_output=True,
        text=True,
    )  # fmt: skip


SECRET = "secret-key"


def sign_metadata(folder: str, repodata: str) -> None:
    """Sign repomd.xml with the key that ``sign`` made in ``folder``."""
    with gnupg.home() as home:
        gnupg.gpg(home, "--import", os.path.join(folder, SECRET))
        gnupg.gpg(home, "--yes", "--armor", "--detach-sign", repodata + "/repomd.xml")


def sign(folder: str, paths: Iterable[str]) -> str:
    """Sign ``paths`` with a throw-away key; returns the path of its public half."""
    public = os.path.join(folder, "RPM-GPG-KEY-test")
    with gnupg.home() as home:
        with open(public, "w", encoding="ascii") as file:
            file.write(gnupg.make_key(home, "test <t@example.invalid>"))
        with open(os.path.join(folder, SECRET), "w", encoding="ascii") as file:
            file.write(gnupg.gpg(home, "--armor", "--export-secret-keys"))
        macros = (f"_gpg_path {home}", "_gpg_name test", f"__gpg {shutil.which('gpg')}")
        defines = [f"--define={macro}" for macro in macros]
        environment = {**os.environ, "GNUPGHOME": home}
        command = ["rpmsign", *defines, "--addsign", *paths]
        subprocess.run(command, check=True, capture_output=True, env=environment)
    return public
