# SPDX-License-Identifier: GPL-2.0-or-later
"""The demo's package repository: signed RPMs, advisories, signed metadata; one folder a stage.

A stage is what the repository holds at one point of the story. The guest switches between them
with demo-stage; for its DNF it is one repository, ``demo``, whose content changes.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import createrepo_c

from . import kernels, patches
from .common import BUILD, cached, content, digest, here, run, write

USER = "demo host (throw-away key) <demo@localhost>"


class Advisory(NamedTuple):
    """One advisory: ``packages`` are the short names of what it lists."""

    id: str
    title: str
    cves: tuple[str, ...]
    packages: tuple[str, ...]


ADVISORIES = (
    Advisory("DEMO-2026:0000", "kernel", ("CVE-1900-0009",), ("kernel-old",)),
    Advisory(
        "DEMO-2026:0001", "kernel", (patches.CMDLINE, patches.UNFIXABLE, patches.VERSION), ("kernel-new",)
    ),
    Advisory("DEMO-2026:0002", "live patch", (patches.CMDLINE,), ("v1",)),
    Advisory("DEMO-2026:0003", "live patch", (patches.CMDLINE,), ("new",)),
    Advisory("DEMO-2026:0004", "live patch", (patches.CMDLINE, patches.VERSION), ("v2",)),
    Advisory("DEMO-2026:0005", "live patch", (patches.CMDLINE, patches.VERSION), ("broken",)),
    Advisory("DEMO-2026:0006", "live patch", (patches.CMDLINE, patches.VERSION), ("vermagic",)),
    Advisory("DEMO-2026:0007", "live patch", (patches.CMDLINE,), ("dashes",)),
)

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

    The agent's socket needs a short path, hence a folder of its own below /tmp.
    """
    secret, public = (os.path.join(BUILD, name) for name in ("key.secret.asc", "key.asc"))
    home = tempfile.mkdtemp(prefix="lp-gpg-")
    env = {"GNUPGHOME": home}
    try:
        if os.path.exists(public):
            run(["gpg", "--batch", "-q", "--import", secret], env=env)
        else:
            run(
                [
                    "gpg",
                    "--batch",
                    "-q",
                    "--passphrase",
                    "",
                    "--quick-generate-key",
                    USER,
                    "rsa3072",
                    "sign",
                    "never",
                ],
                env=env,
            )
            write(
                secret,
                run(["gpg", "--batch", "--armor", "--export-secret-keys", "demo@localhost"], env=env),
                0o600,
            )
            write(public, run(["gpg", "--batch", "--armor", "--export", "demo@localhost"], env=env))
        yield env
    finally:
        run(["gpgconf", "--kill", "gpg-agent"], env=env)
        shutil.rmtree(home, ignore_errors=True)


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
    """The path of the package that tells RPM what Debian's packages supply."""
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


def _updateinfo(names: Sequence[str], files: dict[str, str], advisories: Sequence[Advisory]) -> str:
    info = createrepo_c.UpdateInfo()
    issued = datetime.datetime(2026, 11, 1)
    for advisory in advisories:
        listed = [name for name in advisory.packages if name in names]
        if not listed:
            continue
        record = createrepo_c.UpdateRecord()
        record.fromstr, record.status, record.type, record.version = (
            "demo@localhost",
            "final",
            "security",
            "1",
        )
        record.id, record.severity = advisory.id, "Important"
        record.title = record.summary = f"{advisory.title} security update (demonstration)"
        record.description = f"Closes {', '.join(advisory.cves)}: demonstrations, no real CVEs."
        record.issued_date = record.updated_date = issued
        for cve in advisory.cves:
            reference = createrepo_c.UpdateReference()
            reference.type, reference.id, reference.title = "cve", cve, cve
            reference.href = "https://example.org/" + cve
            record.append_reference(reference)
        collection = createrepo_c.UpdateCollection()
        collection.shortname, collection.name = "demo", "demo"
        for name in listed:
            package = createrepo_c.package_from_rpm(files[name])
            item = createrepo_c.UpdateCollectionPackage()
            item.name, item.version, item.release = package.name, package.version, package.release
            item.epoch, item.arch, item.filename = (
                package.epoch or "0",
                package.arch,
                os.path.basename(files[name]),
            )
            item.reboot_suggested = name.startswith("kernel-")
            collection.append(item)
        record.append_collection(collection)
        info.append(record)
    return str(info.xml_dump())


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
                repository(os.path.join(work, stage), names, signed, env)
        shutil.rmtree(pool)

    key = digest(*sorted(files.values()), content(*here("repo.py"), os.path.join(BUILD, "key.asc")))
    return cached("repositories", key, "signing the packages and making the repositories", make)


def sign(paths: Iterable[str], env: dict[str, str]) -> None:
    """Sign the RPMs at ``paths`` with the demo's key; ``env`` is ``keyring``'s."""
    defines = ["--define", "_gpg_name demo@localhost", "--define", "__gpg /usr/bin/gpg"]
    run(["rpmsign", *defines, "--addsign", *paths], env=env)


def repository(
    folder: str,
    names: Sequence[str],
    files: dict[str, str],
    env: dict[str, str],
    advisories: Sequence[Advisory] = ADVISORIES,
) -> None:
    """Make ``folder`` a repository with signed metadata: the RPMs ``names``, whose paths ``files`` tells."""
    os.makedirs(folder)
    for name in names:
        os.link(files[name], os.path.join(folder, os.path.basename(files[name])))
    run(["createrepo_c", "-q", "--no-database", folder])
    write(os.path.join(folder, "updateinfo.xml"), _updateinfo(names, files, advisories))
    run(["modifyrepo_c", os.path.join(folder, "updateinfo.xml"), os.path.join(folder, "repodata")])
    os.unlink(os.path.join(folder, "updateinfo.xml"))
    run(
        ["gpg", "--batch", "--armor", "--detach-sign", os.path.join(folder, "repodata", "repomd.xml")],
        env=env,
    )


def disk() -> str:
    """The path of a file system image with every stage, for the guest's second, read-only disk."""
    source = repositories()

    def make(work: str) -> None:
        image = os.path.join(work, "repositories.img")
        run(
            [
                "mke2fs",
                "-q",
                "-t",
                "ext4",
                "-O",
                "^has_journal",
                "-L",
                "demo",
                "-m",
                "0",
                "-d",
                source,
                image,
                size(source),
            ]
        )

    return os.path.join(
        cached("repo-disk", digest(source), "writing the repositories to a disk", make), "repositories.img"
    )


def size(folder: str, spare: int = 32) -> str:
    """A size for mke2fs that holds ``folder`` and ``spare`` MiB more. Hard links count once."""
    seen: dict[int, int] = {}
    for path, _, names in os.walk(folder):
        for name in names:
            stat = os.lstat(os.path.join(path, name))
            seen[stat.st_ino] = stat.st_blocks * 512
    return f"{(sum(seen.values()) >> 20) * 11 // 10 + spare}M"


def names_of(stage: str) -> list[str]:
    """The short names of the packages of ``stage``."""
    return list(STAGES[stage])
