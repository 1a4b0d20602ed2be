# SPDX-License-Identifier: GPL-2.0-or-later
"""The advisories of chosen repositories alone. hawkey mixes those of all, and does not tell whose one is.

A second, small sack gets the updateinfo of the chosen repositories and, instead of their packages, one
package of each wanted name to ask about. libsolv's cache of the updateinfo, which dnf keeps, is used again.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Iterable, Iterator

import hawkey

from ..base.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

_ALL = hawkey.EQ | hawkey.GT | hawkey.LT
_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<metadata xmlns="http://linux.duke.edu/metadata/common" packages="{count}">
"""
_PACKAGE = """<package type="rpm"><name>{name}</name><arch>{arch}</arch><version epoch="0" ver="0" rel="0"/>
<checksum type="sha256" pkgid="YES">{number:064x}</checksum></package>
"""


def advisories(base: Any, repositories: Iterable[str], wanted: Iterable[tuple[str, str]]) -> Iterator[Any]:
    """The advisories in ``repositories`` that list any build of a name and architecture in ``wanted``."""
    folder = tempfile.mkdtemp(prefix="dnf-livepatch-")
    try:
        sack = hawkey.Sack(cachedir=folder, arch=base.conf.substitutions["arch"], make_cache_dir=False)
        primary = os.path.join(folder, "primary.xml")
        rows = sorted(set(wanted))
        with open(primary, "w", encoding="ascii") as file:
            file.write(_HEAD.format(count=len(rows)))
            for number, (name, arch) in enumerate(rows):
                file.write(_PACKAGE.format(name=name, arch=arch, number=number))
            file.write("</metadata>\n")
        for identifier in sorted(repositories):
            _load(sack, base, identifier, folder, primary)
        seen: set[str] = set()
        for package in hawkey.Query(sack).filter(name=sorted({name for name, _ in rows})):
            if str(package) not in seen:
                seen.add(str(package))
                yield from package.get_advisories(_ALL)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _load(sack: Any, base: Any, identifier: str, folder: str, primary: str) -> None:
    repo = base.repos[identifier]
    found = repo.get_metadata_path("updateinfo")
    if not found:
        return
    with warnings.catch_warnings(record=True):
        # Its constructor makes Python print that the class is deprecated. Its successor takes no files.
        alone = hawkey.Repo(identifier)
    alone.repomd_fn = os.path.join(os.path.dirname(found), "repomd.xml")
    alone.primary_fn, alone.updateinfo_fn = primary, found
    cached = os.path.join(base.conf.cachedir, f"{identifier}-updateinfo.solvx")
    if os.path.exists(cached):
        os.symlink(cached, os.path.join(folder, f"{identifier}-updateinfo.solvx"))
    sack.load_repo(alone, build_cache=False, load_updateinfo=True)
