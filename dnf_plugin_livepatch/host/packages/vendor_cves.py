# SPDX-License-Identifier: GPL-2.0-or-later
"""The CVEs that a vendor's package without a manifest names in its own texts.

SUSE installs one file of CVEs for each module. Azure Linux lists fixed (``*``) and unfixable (``!``) CVEs in
the description. Red Hat names them in braces in the changelog. A profile lists which of these sources to
try, and the first that names any CVE counts. For ``status`` a manifest and the advisories come before them.
All of this text is hostile.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from ...base.model import Unfixable
from ...base.names import leading_cves, only_mentions
from ...base.paths import Paths
from ...base.typed import TYPE_CHECKING
from ...vendors.profile_file import Profile
from ..read import read_bytes

if TYPE_CHECKING:
    from typing import Any

    Declared = tuple[tuple[str, ...], tuple[Unfixable, ...]]


MAX_TEXT = 1 << 20
MAX_CVES = 4096
_CVE = re.compile(r"CVE-[0-9]{4}-[0-9]{4,19}(?![0-9])")
_IN_BRACES = re.compile(r"\{(CVE-[0-9][^{}\n]{0,4000})\}")
#: A change that takes another one back. Behind a subsystem only git's form counts (``- [net] Revert "x"``):
#: ``- net: revert to the safe path`` may be a fix.
_REVERT = re.compile(
    r"\W{0,8}(?:revert|back(?:ed)? out|(?:[\w/, .-]{1,60}[]:]\W{1,8}){1,3}revert:?\s{1,4}[\"'\u201c])",
    re.IGNORECASE,
)
_UNFIXABLE = re.compile(r"\s{0,8}\\?!\s{0,8}(CVE-[0-9]{4}-[0-9]{4,19})(?![0-9])[:\s]{0,8}(.{0,1000})")


def _unique(cves: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(cves))[:MAX_CVES]


def of_description(text: str) -> Declared:
    """Return the fixed and unfixable CVEs of an Azure Linux description, which has one marked CVE a line."""
    fixed: list[str] = []
    unfixable: dict[str, Unfixable] = {}
    for line in text[:MAX_TEXT].splitlines():
        found = _UNFIXABLE.match(line)
        if found:
            reason = "".join(c if c.isprintable() else "?" for c in found[2].strip())
            unfixable.setdefault(found[1], Unfixable(found[1], reason))
        elif line.lstrip().startswith("*") and not only_mentions(line):
            fixed += leading_cves(line.lstrip()[1:])[0]
    return _unique(cve for cve in fixed if cve not in unfixable), tuple(unfixable.values())[:MAX_CVES]


def of_changelog(entries: Iterable[str]) -> Declared:
    """Return the CVEs in braces, as Red Hat's changelogs name them for the change that fixes them.

    The newest entry comes first. The CVE of a change that was reverted since is open again.
    """
    fixed: dict[str, bool] = {}
    for line in "\n".join(entries)[:MAX_TEXT].splitlines():
        if only_mentions(line):
            continue
        for found in _IN_BRACES.findall(line):
            for cve in _CVE.findall(found):
                fixed.setdefault(cve, not _REVERT.match(line))
    return _unique(cve for cve, good in fixed.items() if good), ()


def of_info(texts: Iterable[str]) -> Declared:
    """Return the CVEs in SUSE's files of one package."""
    lines = (line for text in texts for line in text[:MAX_TEXT].splitlines())
    return _unique(cve for line in lines if not only_mentions(line) for cve in _CVE.findall(line)), ()


def _info_files(profile: Profile, names: Iterable[str], modules: Iterable[str], paths: Paths) -> list[str]:
    """Read the package's CVE files of these modules; the rest of a file's name is the srcversion."""
    folder, _, pattern = profile.info.rpartition("/")
    starts = {pattern.partition("{srcversion}")[0].replace("{module}", module) for module in modules}
    texts = []
    for path in names:
        base = os.path.basename(path).replace("-", "_")
        if os.path.dirname(path) == folder and any(base.startswith(s.replace("-", "_")) for s in starts):
            texts.append(read_bytes(paths.at(path), MAX_TEXT).decode("utf-8", "replace"))
    return texts


def read(paths: Paths, profile: Profile, header: Any, modules: Iterable[str]) -> Declared:
    """Return the (fixed, unfixable) CVEs of the package with this rpm ``header`` and these module names."""
    for source in profile.cves:
        declared: Declared = (), ()
        if source == "description":
            declared = of_description(str(header["description"] or ""))
        elif source == "changelog":
            declared = of_changelog(map(str, header["changelogtext"] or ()))
        elif source == "info" and profile.info:
            declared = of_info(_info_files(profile, map(str, header["filenames"] or ()), modules, paths))
        if declared[0] or declared[1]:
            return declared
    return (), ()
