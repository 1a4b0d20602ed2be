# SPDX-License-Identifier: GPL-2.0-or-later
"""A throw-away dnf client that reads a finished generation before anybody else does."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

from ...base.model import Nevra
from ...toolkit import scratch
from ...toolkit.errors import ToolError
from .metadata import LIVEPATCH

REPO = "livepatch-repo-check"


def check(
    folder: str,
    keys: Sequence[str],
    packages: Iterable[Nevra],
    cves: Mapping[Nevra, Iterable[str]],
    record: str,
) -> None:
    """Read the repository in ``folder`` as dnf does with repo_gpgcheck=1. Raises ToolError.

    Every one of ``packages`` must be offered, with advisories that list ``cves``, and the livepatch
    record must come back as ``record``.
    """
    import dnf
    import dnf.exceptions
    import hawkey

    with scratch.folder("livepatch-repo-") as folders, dnf.Base() as base:
        conf = base.conf
        for option in ("cachedir", "persistdir", "logdir", "installroot"):
            os.mkdir(os.path.join(folders, option))
            setattr(conf, option, os.path.join(folders, option))
        conf.pluginpath, conf.reposdir, conf.varsdir = [], [], []
        conf.substitutions["releasever"] = "0"
        repo = base.repos.add_new_repo(REPO, conf, baseurl=["file://" + folder])
        repo.repo_gpgcheck = repo.gpgcheck = True
        repo.gpgkey = ["file://" + os.path.abspath(key) for key in keys]
        repo.add_metadata_type_to_download(LIVEPATCH)
        repo.skip_if_unavailable = False
        _forbid_agent(repo._repo.getCachedir())
        try:
            repo.load()
            # base.fill_sack() would also read the file lists and write a cache, at half the cost again. DNF
            # itself reaches libdnf's object in the same way.
            sack = hawkey.Sack(cachedir=conf.cachedir, arch=conf.substitutions["arch"], make_cache_dir=True)
            sack.load_repo(repo._repo, load_updateinfo=True)
            told = repo.get_metadata_content(LIVEPATCH)
        except (dnf.exceptions.Error, hawkey.Exception, OSError) as error:
            raise ToolError("client-refused", reason=error) from None
        text = told.decode("utf-8", "replace") if isinstance(told, bytes) else told
        if text != record:
            raise ToolError("client-refused", reason="the livepatch record comes back changed")
        _compare(sack, list(packages), cves)


def _forbid_agent(cache: str) -> None:
    """Keep gpg from starting an agent for the keys of the client, which could outlive the client.

    DNF checks the signature of the metadata with keys in the folder ``pubring`` of its cache. Public keys
    need no agent.
    """
    ring = os.path.join(cache, "pubring")
    os.makedirs(ring, mode=0o700)
    with open(os.path.join(ring, "gpg.conf"), "w", encoding="ascii") as file:
        file.write("no-autostart\n")


def _compare(sack: object, packages: Sequence[Nevra], cves: Mapping[Nevra, Iterable[str]]) -> None:
    import hawkey

    names = sorted({nevra.name for nevra in packages})
    if not names:
        return
    query = hawkey.Query(sack, flags=hawkey.IGNORE_EXCLUDES).filter(name=names)
    found: dict[Nevra, set[str]] = {
        Nevra(package.name, str(package.epoch), package.version, package.release, package.arch): set()
        for package in query
    }
    by_text = {
        f"{nevra.name} {nevra.epoch}:{nevra.version}-{nevra.release} {nevra.arch}": nevra for nevra in cves
    }
    # One pass: libdnf goes through every advisory for each single package that it is asked about.
    for listed in query.get_advisory_pkgs(hawkey.EQ):
        evr = listed.evr if ":" in listed.evr else f"0:{listed.evr}"
        nevra = by_text.get(f"{listed.name} {evr} {listed.arch}")
        if nevra is None or nevra not in found:
            continue
        advisory = listed.get_advisory(sack)
        found[nevra].update(ref.id for ref in advisory.references if ref.type == hawkey.REFERENCE_CVE)
    for nevra in packages:
        if nevra not in found:
            raise ToolError("client-refused", reason=f"{nevra} is not offered")
        missing: tuple[str, ...] = tuple(sorted(set(cves.get(nevra, ())) - found[nevra]))
        if missing:
            raise ToolError("client-refused", reason=f"no advisory of {nevra} lists {missing[0]}")
