# SPDX-License-Identifier: GPL-2.0-or-later
"""A fleet's kernels, the live patch that the repository has for each, and the gaps. Pure."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..formats import repository_record
from .repository.view import (
    View,
    advisories_by_package,
    arches_by_release,
    by_kernel,
    closed_by,
    cve_order,
    standing,
)


class Row(NamedTuple):
    """One kernel: ``patch`` is the NEVRA that hosts would get, "" for none.

    ``arch`` is the patch's architecture: a release that does not contain one may have a row for each.

    ``missing`` are the CVEs asked for that the patch does not close. ``unfixable`` are those of them that
    only a reboot closes. ``supported`` is yes, no or unknown. ``gap`` names the fault, "" for none.
    """

    kernel: str
    arch: str
    patch: str
    issued: str
    percent: int
    cves: tuple[str, ...]
    missing: tuple[str, ...]
    unfixable: tuple[str, ...]
    supported: str
    support_end: str
    gap: str


def plan(view: View, kernels: Iterable[str], cves: Sequence[str], now: str) -> list[Row]:
    """A row for each of ``kernels`` and each of its architectures, in that order and once."""
    groups, told = by_kernel(view.patches), advisories_by_package(view.advisories)
    arches = arches_by_release(groups)
    rows = []
    wanted = [(release, arch) for release in dict.fromkeys(kernels) for arch in arches.get(release, [""])]
    for release, arch in wanted:
        group = groups.get((release, arch), [])
        note = view.note(release)
        good = standing(view, release, group)
        patch = good[0] if good else None
        closes = closed_by(patch, told) if patch else ()
        said = (
            note.patches.get(str(patch.nevra), repository_record.PatchNote())
            if patch
            else repository_record.PatchNote()
        )
        percent = repository_record.share(said, now) if patch else 0
        reboot = {item.cve for item in note.unfixable}
        missing = tuple(sorted(set(cves) - set(closes), key=cve_order))
        known = {True: "yes", False: "no", None: "unknown"}[repository_record.supported(note, now)]
        withdrawn = bool(group) and not good
        rows.append(
            Row(
                release,
                arch,
                str(patch.nevra) if patch else "",
                said.issued,
                percent,
                closes,
                missing,
                tuple(cve for cve in missing if cve in reboot),
                known,
                note.support_end,
                _gap(bool(patch), withdrawn, missing, known),
            )
        )
    return rows


def _gap(patched: bool, withdrawn: bool, missing: Sequence[str], supported: str) -> str:
    told = []
    if withdrawn:
        told.append("every live patch is withdrawn")
    elif not patched:
        told.append("no live patch is published")
    if missing:
        told.append("does not close " + ", ".join(missing) if patched else "open: " + ", ".join(missing))
    if supported == "no":
        told.append("support has ended")
    return "; ".join(told)


def as_text(rows: Sequence[Row]) -> list[str]:
    """The rows for people: one line a kernel, with its gap below."""
    lines: list[str] = []
    count = collections.Counter(row.kernel for row in rows)
    names = [f"{row.kernel} ({row.arch})" if count[row.kernel] > 1 else row.kernel for row in rows]
    width = max(map(len, names), default=0)
    for name, row in zip(names, rows):
        patch = (
            f"{row.patch} ({len(row.cves)} CVE{'' if len(row.cves) == 1 else 's'}" if row.patch else "(none"
        )
        share = f", offered to {row.percent}%" if row.patch and row.percent < 100 else ""
        end = f", supported until {row.support_end}" if row.support_end else ""
        lines.append(f"{name:<{width}}  {patch}{share}{end})")
        if row.gap:
            lines.append(f"{'':<{width}}  gap: {row.gap}")
    gaps = sum(1 for row in rows if row.gap)
    lines.append(f"{len(rows) - gaps} of {len(rows)} kernel(s) covered")
    return lines


def as_data(rows: Sequence[Row]) -> dict[str, object]:
    """The rows for programs."""
    return {
        "schema": 1,
        "kernels": [row._asdict() for row in rows],
        "gaps": sum(1 for row in rows if row.gap),
    }
