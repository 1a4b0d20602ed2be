# SPDX-License-Identifier: GPL-2.0-or-later
"""Recall and precision of the profiles over files of real vendor rows.

``python -m tests.unit.support.vendor_corpora FOLDER``: FOLDER holds JSON lines with kind, vendor, arch,
package_name, evr and kernel_release (without its architecture where ``arch`` is null).
"""

from __future__ import annotations

import glob
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from dnf_plugin_livepatch.base import names
from dnf_plugin_livepatch.base.model import Nevra
from dnf_plugin_livepatch.vendors import profiles

# Where a row names no architecture: those for which the vendor publishes live patches, or kernels.
ARCHES = {
    "Red Hat": ("x86_64", "ppc64le"),
    "Amazon": ("x86_64", "aarch64"),
    "openEuler": ("x86_64", "aarch64"),
    "SUSE": ("x86_64", "ppc64le", "s390x"),
    "AlmaLinux": ("x86_64", "aarch64", "ppc64le", "s390x"),
}
# Where a row tells only a name: a version and release as its vendor writes them.
LIKELY_EVR = {"Red Hat": "1-1.el9_4", "Amazon": "1.0-1.amzn2023", "openEuler": "1-1"}
PROFILES = {
    "Red Hat": "kpatch",
    "Amazon": "amazon",
    "SUSE": "suse",
    "openEuler": "openeuler",
    "Oracle": "ksplice",
    "XCP-ng": "xcp-ng",
}
RULES = profiles.load(("/nonexistent",))[0]


class Case(NamedTuple):
    """One package, and what it is; ``profile`` and ``release`` are "" for what is no live patch."""

    nevra: Nevra
    profile: str
    release: str
    kind: str


def _case(row: dict[str, Any], arch: str) -> Case:
    vendor, name = row["vendor"], row["package_name"]
    evr = row["evr"] or LIKELY_EVR[vendor]
    nevra = names.parse_nevra(f"{name}-{evr}.{arch}")
    if row["kind"] in ("kernel", "userspace-ksplice"):
        return Case(nevra, "", "", "not-a-live-patch")
    release = row["kernel_release"] or ""
    if release and not row["arch"] and vendor in ("Red Hat", "Amazon", "openEuler"):
        release += "." + arch
    if not release and vendor == "Red Hat":
        release = name[len("kpatch-patch-") :].replace("_", ".") + ".el9_4." + arch
    profile = PROFILES[vendor]
    if name.startswith("kgraft-"):
        profile = "suse-kgraft"
    if vendor == "openEuler" and "-ACC" not in name:
        profile = "openeuler-single"
    empty = "1.0-0." in evr if vendor == "Amazon" else vendor == "SUSE" and evr.startswith("1-")
    return Case(nevra, profile, release, "empty" if empty else "patch")


def corpora(folder: str) -> Iterator[Case]:
    """Every package that the rows tell of, once for each architecture that its vendor has."""
    for path in sorted(glob.glob(os.path.join(folder, "*.jsonl"))):
        with open(path, encoding="utf-8") as file:
            rows = [json.loads(line) for line in file]
        for row in rows:
            if row["package_name"] and row["vendor"] != "Canonical":  # whose patches are no RPMs
                for arch in [row["arch"]] if row["arch"] else ARCHES.get(row["vendor"], ("x86_64",)):
                    yield _case(row, arch)


def tables(folder: str) -> Iterator[Case]:
    """The cases in the tables of facts: NEVRA, profile, kernel release and kind, by tabs."""
    for path in sorted(glob.glob(os.path.join(folder, "*.tsv"))):
        with open(path, encoding="utf-8") as file:
            for line in file:
                if not line.startswith("#"):
                    nevra, profile, release, kind = line.rstrip("\n").split("\t")
                    yield Case(names.parse_nevra(nevra), profile, release, kind)


def score(cases: Iterable[Case]) -> tuple[Counter, list[str]]:
    """Rows and right answers by profile, of matching and of naming, and a line for each miss."""
    counts: Counter = Counter()
    misses: list[str] = []
    for case in cases:
        found = profiles.match(case.nevra, (), (), RULES)
        group = case.profile or "none"
        right = found[:3] == (case.profile, case.release, case.kind)
        counts[group, "rows"] += 1
        counts[group, "right"] += right
        counts["all", "found"] += found.kind != "not-a-live-patch"
        if not right:
            misses.append(f"{case.nevra}: {found}, and not {case.profile} {case.release} {case.kind}")
        if case.release:
            named = profiles.package_name(case.release, profiles.find(RULES, case.profile))
            # openEuler alone has several names for one kernel, of which the first is for ACC.
            same = named == case.nevra.name or (
                case.profile.startswith("openeuler")
                and case.nevra.name.startswith(named.partition("-SGL")[0])
            )
            counts["names", "rows"] += 1
            counts["names", "right"] += same
            if not same:
                misses.append(f"{case.release}: {named!r}, and not {case.nevra.name}")
    return counts, misses


def cross(cases: Iterable[Case]) -> tuple[int, list[str]]:
    """Every live-patch package against every kernel release: how many pairs, and the wrong ones."""
    matches: dict[Nevra, tuple[profiles.Match, str]] = {}
    kernels = set()
    for case in cases:
        if case.release:
            matches[case.nevra] = profiles.match(case.nevra, (), (), RULES), case.release
            kernels |= {case.release, case.release + "+debug", case.release + "+rt", case.release + "+64k"}
        else:
            kernels.add(names.kernel_release(case.nevra) or "6.1.0-13-amd64")
    wrong = [
        f"{nevra} and kernel {release}"
        for nevra, (match, wanted) in matches.items()
        for release in kernels
        if profiles.fits(match, release) != (release == wanted)
    ]
    return len(matches) * len(kernels), wrong


def totals(counts: Counter) -> str:
    """Recall (of the live patches, those found) and precision (of what is found, what is right)."""
    patches = [group for group, what in counts if what == "rows" and group not in ("none", "names")]
    rows, right = (sum(counts[group, what] for group in patches) for what in ("rows", "right"))
    found = counts["all", "found"]
    return (
        f"recall {right} of {rows} ({right / max(rows, 1):.2%}), "
        f"precision {right} of {found} ({right / max(found, 1):.2%}), "
        f"{counts['none', 'rows']} others, "
        f"{counts['names', 'right']} of {counts['names', 'rows']} names made"
    )


def main(folder: str) -> int:
    """Print recall and precision and every miss; 1 when either is not whole."""
    cases = list(corpora(folder)) or list(tables(folder))
    counts, misses = score(cases)
    print(f"{'profile':<20} {'rows':>6} {'right':>6}")
    for group in sorted(key[0] for key in counts if key[1] == "rows"):
        print(f"{group:<20} {counts[group, 'rows']:>6} {counts[group, 'right']:>6}")
    pairs, wrong = cross(cases)
    print(totals(counts))
    print(f"cross product: {pairs} pairs of package and kernel, {len(wrong)} wrong")
    for miss in misses + wrong[:100]:
        print("miss:", miss)
    return int(bool(misses or wrong or not cases))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
