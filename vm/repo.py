# SPDX-License-Identifier: GPL-2.0-or-later
"""The demo's package repository, published by livepatch-repo; one folder a stage.

A stage is the content of the repository at one point of the story. The kernels and their advisories come
from the distribution, and `livepatch-repo publish` adds the live patches. The guest switches between the
stages with demo-stage; its DNF sees one repository, ``demo``, whose content changes.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence

from . import distribution, gnupg, kernels, patches
from .common import BUILD, PUBLISHED, ROOT, cached, content, digest, here, program, run, write

USER = "demo host (throw-away key) <demo@localhost>"
# Every host takes each live patch at once. The file is JSON, which is YAML too.
SETTINGS = {
    "from": "demo@localhost",
    "sign_with": "demo@localhost",
    "rollout": [{"after": "0h", "percent": 100}],
}

_BASE = ("kernel-old", "kernel-dashes", "debian-provides")
STAGES: dict[str, tuple[str, ...]] = {
    "base": _BASE,
    "kernel": (*_BASE, "kernel-new"),
    "updates": (*_BASE, "kernel-new", "v1", "new", "dashes"),
    "lag": (*_BASE, "kernel-new", "v1"),
    "v2": (*_BASE, "kernel-new", "v1", "v2", "new", "dashes"),
    "broken": (*_BASE, "kernel-new", "v1", "broken"),
    "vermagic": (*_BASE, "kernel-new", "v1", "vermagic"),
}


@contextlib.contextmanager
def keyring() -> Iterator[dict[str, str]]:
    """The environment in which gpg knows the demo's key, which is made the first time.

    ``key.asc`` and ``key.secret.asc`` in the build folder hold the key between two uses.
    """
    secret, public = (os.path.join(BUILD, name) for name in ("key.secret.asc", "key.asc"))
    with gnupg.home() as home:
        if os.path.exists(public):
            gnupg.gpg(home, "--import", secret)
        else:
            exported = gnupg.make_key(home, USER)
            write(secret, gnupg.gpg(home, "--armor", "--export-secret-keys", USER), 0o600)
            write(public, exported)
        yield {"GNUPGHOME": home}


def public_key() -> str:
    """The path of the demo's public key."""
    with keyring():
        return os.path.join(BUILD, "key.asc")


_PROVIDES = """\
Name: debian-provides
Version: 12
Release: 1
Summary: What Debian's own packages supply, as RPM capabilities
License: GPL-2.0-or-later
BuildArch: noarch
AutoReqProv: no
Provides: /bin/sh, /usr/bin/sh, /usr/bin/bash, /usr/bin/python3, python(abi) = 3.11, kmod = 30, systemd = 252
Provides: rpm = 4.18.0, python3 = 3.11, python3-rpm = 4.18.0, python3-dnf = 4.14.0, python3-hawkey = 0.69.0
Provides: util-linux = 2.38, coreutils = 9.1

%description
The demo host is Debian with an RPM database: its C library, DNF and systemd are .deb packages, which
RPM does not know. This empty package says that they are there.

%files
"""


def provides_rpm() -> str:
    """The path of the package by which RPM knows the capabilities of Debian's packages."""
    folder = cached(
        "provides-rpm",
        digest(_PROVIDES),
        "packing debian-provides",
        lambda work: kernels.rpmbuild(work, "debian-provides", _PROVIDES),
    )
    return os.path.join(folder, "debian-provides-12-1.noarch.rpm")


def rpms() -> dict[str, str]:
    """Every unsigned RPM of the repository, by short name."""
    choice = kernels.choose()
    found = {f"kernel-{name}": kernels.rpm(kernel) for name, kernel in choice._asdict().items()}
    found.update((name, patches.rpm(patch)) for name, patch in patches.patches(choice).items())
    found["debian-provides"] = provides_rpm()
    return found


def repositories() -> str:
    """A folder with one signed repository for each stage."""
    files = rpms()
    public_key()

    def make(work: str) -> None:
        pool = os.path.join(work, "pool")
        os.makedirs(pool)
        for path in files.values():
            shutil.copy(path, pool)
        signed = {name: os.path.join(pool, os.path.basename(path)) for name, path in files.items()}
        with keyring() as env:
            sign(signed.values(), env)
            for stage, names in STAGES.items():
                _stage(os.path.join(work, stage), names, signed, env)
        shutil.rmtree(pool)

    own = content(*here("repo.py", "distribution.py"), *program("repotool"), os.path.join(BUILD, "key.asc"))
    key = digest(*sorted(files.values()), own)
    return cached("repositories", key, "signing the packages and publishing the repositories", make)


def _stage(folder: str, names: Sequence[str], signed: dict[str, str], env: dict[str, str]) -> None:
    """Make ``folder`` the repository of one stage."""
    choice = kernels.choose()
    known = patches.patches(choice)
    distribution.repository(folder, [name for name in names if name not in known], signed, env)
    chosen = {name: patch for name, patch in known.items() if name in names}
    if not chosen:
        return
    with tempfile.TemporaryDirectory() as scratch:
        file = os.path.join(scratch, "advisory.yml")
        write(file, json.dumps(_advisory_file(chosen, signed)))
        ends = {kernel.release: {"support_end": patches.SUPPORT_END} for kernel in choice}
        rpm_files = [signed[name] for name in chosen]
        tool(
            "publish", folder, "--advisory", file, *rpm_files,
            env={**env, "SOURCE_DATE_EPOCH": PUBLISHED}, settings={"kernels": ends},
        )  # fmt: skip


def _advisory_file(chosen: dict[str, patches.Patch], signed: dict[str, str]) -> dict[str, object]:
    """An advisory.yml with texts alone. Ids, CVEs and dates come from the manifests inside the packages."""
    entries = [
        {
            "packages": [os.path.basename(signed[name])[: -len(".rpm")]],
            "title": "live patch security update (demonstration)",
            "summary": f"Closes {', '.join(patch.cves)}: demonstrations, no real CVEs.",
            "references": [
                {"type": "cve", "id": cve, "href": "https://example.org/" + cve} for cve in patch.cves
            ],
        }
        for name, patch in chosen.items()
    ]
    return {"schema": 1, "advisories": entries}


def tool(
    verb: str, root: str, *words: str, env: dict[str, str], settings: Mapping[str, object] | None = None
) -> str:
    """Run a verb of livepatch-repo on the repository ``root``; returns its stdout, raises Failure.

    ``env`` is ``keyring``'s; ``settings`` replace entries of SETTINGS.
    """
    with tempfile.TemporaryDirectory() as scratch:
        config = os.path.join(scratch, "settings.yml")
        keys = {"keys": [os.path.join(BUILD, "key.asc")]}
        write(config, json.dumps({**SETTINGS, **keys, **(settings or {})}))
        changing = ["--gpg-home", env["GNUPGHOME"]] if "GNUPGHOME" in env else []
        argv = [sys.executable, os.path.join(ROOT, "bin", "livepatch-repo"), verb, "--config", config]
        path = {"PYTHONPATH": ROOT}
        return run([*argv, *changing, "--repo", root, *words], env={**path, **env})


def sign(paths: Iterable[str], env: dict[str, str]) -> None:
    """Sign the RPMs at ``paths`` with the demo's key; ``env`` is ``keyring``'s."""
    defines = ["--define", "_gpg_name demo@localhost", "--define", "__gpg /usr/bin/gpg"]
    run(["rpmsign", *defines, "--addsign", *paths], env=env)


def disk() -> str:
    """The path of a file system image with every stage, for the guest's second, read-only disk."""
    source = repositories()

    def make(work: str) -> None:
        image = os.path.join(work, "repositories.img")
        options = "-q -t ext4 -O ^has_journal -L demo -m 0".split()
        run(["mke2fs", *options, "-d", source, image, size(source)])

    folder = cached("repo-disk", digest(source), "writing the repositories to a disk", make)
    return os.path.join(folder, "repositories.img")


def size(folder: str, spare: int = 32) -> str:
    """A size for mke2fs that holds ``folder`` and ``spare`` MiB more. Hard links count once."""
    seen: dict[int, int] = {}
    for path, _, names in os.walk(folder):
        for name in names:
            stat = os.lstat(os.path.join(path, name))
            seen[stat.st_ino] = stat.st_blocks * 512
    return f"{(sum(seen.values()) >> 20) * 11 // 10 + spare}M"
