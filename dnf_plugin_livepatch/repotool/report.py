# SPDX-License-Identifier: GPL-2.0-or-later
"""What the report tells: kernels, CVEs and patches of a repository, joined. Reads RPMs, writes nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..base import model
from ..base.model import Nevra, Unfixable
from ..exposure.debt import debt_of, rank
from ..formats import repository_record
from .errors import ToolError
from .repository import metadata, rpms
from .repository.kernels import offered
from .repository.view import (
    Advisory,
    Kernel,
    Package,
    View,
    advisories_by_package,
    arch_of,
    arches_by_release,
    by_kernel,
    closed_by,
    compare_evr,
    cve_order,
    standing,
)
from .settings import Settings

LIVE, REBOOT, OPEN, UNKNOWN = "live", "reboot", "open", ""


class Cell(NamedTuple):
    """One CVE on the kernel of that name.

    ``state`` is live, reboot, open, or "" for what is not known to concern it.
    """

    cve: str
    kernel: str
    state: str
    by: str = ""
    reason: str = ""
    fixed_in: str = ""


class KernelPage(NamedTuple):
    """One kernel; ``patches`` are NEVRA texts, newest first. ``supported`` is None for unknown.

    ``name`` is the release; where several architectures have kernels of that release, with ``arch`` added.
    """

    name: str
    release: str
    arch: str
    support_end: str
    supported: bool | None
    first_issued: str
    patches: tuple[str, ...]
    newest: str
    cells: tuple[Cell, ...]
    quality: str
    reason: str

    def count(self, state: str) -> int:
        """How many CVEs are in ``state``."""
        return sum(1 for cell in self.cells if cell.state == state)


class PatchPage(NamedTuple):
    """One live-patch package, for kernels as their pages name them.

    ``signature`` and ``functions`` are unknown (None) without its file.
    """

    nevra: str
    location: str
    size: int
    kernels: tuple[str, ...]
    issued: str
    percent: int
    withdrawn: str
    cves: tuple[str, ...]
    advisories: tuple[str, ...]
    modules: tuple[str, ...]
    functions: tuple[model.Function, ...] | None
    unfixable: tuple[Unfixable, ...]
    signature: tuple[str, str] | None
    checksum: str


class CvePage(NamedTuple):
    """One CVE over all kernels; the severity is that of the advisory that tells it."""

    id: str
    severity: str
    advisories: tuple[str, ...]
    cells: tuple[Cell, ...]

    @property
    def open(self) -> bool:
        """Whether some kernel has it open."""
        return any(cell.state == OPEN for cell in self.cells)


class Site(NamedTuple):
    """Everything that the pages show."""

    title: str
    where: str
    generated: str
    base_url: str
    kernels: tuple[KernelPage, ...]
    cves: tuple[CvePage, ...]
    patches: tuple[PatchPage, ...]


def build(view: View, others: Sequence[View], settings: Settings, now: str) -> Site:
    """Join the repository with those that offer its kernels."""
    told, groups = advisories_by_package(view), by_kernel(view.patches)
    sources = (view, *others)
    kernels = _kernel_packages(sources)
    arches = arches_by_release([*groups, *kernels])
    for release in (*(view.record.kernels if view.record else ()), *settings.kernels):
        arches.setdefault(release, [""])
    names = {
        (release, arch): f"{release} ({arch})" if len(found) > 1 else release
        for release, found in arches.items()
        for arch in found
    }
    advisories = [advisory for source in sources for advisory in map(_model, source.advisories)]
    named: dict[str, list[model.Advisory]] = {}
    for advisory in advisories:
        for name in {package.name for package in advisory.packages}:
            named.setdefault(name, []).append(advisory)
    states = _signatures(view, settings)
    places: dict[Nevra, list[str]] = {}
    for kernel, group in sorted(groups.items()):
        for package in group:
            places.setdefault(package.nevra, []).append(names[kernel])
    patches = tuple(
        _patch(view, package, tuple(places[package.nevra]), told, states, now)
        for package in sorted(view.patches, key=lambda one: (one.kernels, _order(one.nevra)), reverse=True)
    )
    pages = tuple(
        _kernel(view, kernel, names[kernel], groups, told, kernels.get(kernel), named, settings, now)
        for kernel in sorted(names, key=lambda one: (_release_order(one[0]), one[1]), reverse=True)
    )
    place = settings.base_url or (view.where if not view.root else "")
    return Site(settings.title, place, now, settings.base_url, pages, _cves(pages, sources), patches)


def _order(nevra: Nevra) -> tuple[object, ...]:
    return tuple(_release_order(f"{nevra.version}-{nevra.release}"))


def _release_order(text: str) -> list[tuple[int, int, str]]:
    """Numbers by value, words by text."""
    parts = text.replace("-", ".").replace("_", ".").split(".")
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts]


def _kernel_packages(views: Sequence[View]) -> dict[Kernel, Nevra]:
    """The package to judge each offered kernel by: the one whose name advisories use most plainly."""
    found: dict[Kernel, Nevra] = {}
    for view in views:
        for package in view.packages:
            for release in () if package.kind else offered(package.provides):
                kernel = release, arch_of(release) or package.nevra.arch
                old = found.get(kernel)
                if old is None or len(package.nevra.name) < len(old.name):
                    found[kernel] = package.nevra
    return found


def _model(advisory: Advisory) -> model.Advisory:
    return model.Advisory(
        advisory.id,
        advisory.type,
        advisory.severity,
        advisory.issued,
        advisory.updated,
        advisory.cves,
        tuple(item.nevra._replace(epoch=item.nevra.epoch or "0") for item in advisory.packages),
    )


def _evr_compare(first: str, second: str) -> int:
    def split(evr: str) -> Nevra:
        epoch, colon, rest = evr.partition(":")
        version, _, release = (rest if colon else evr).partition("-")
        return Nevra("", epoch if colon else "0", version, release, "")

    return compare_evr(split(first), split(second))


def _kernel(
    view: View,
    kernel: Kernel,
    name: str,
    groups: Mapping[Kernel, list[Package]],
    told: Mapping[Nevra, list[Advisory]],
    nevra: Nevra | None,
    named: dict[str, list[model.Advisory]],
    settings: Settings,
    now: str,
) -> KernelPage:
    release, arch = kernel
    group = groups.get(kernel, [])
    note = (view.record.kernels.get(release) if view.record else None) or repository_record.KernelNote()
    good = standing(view, release, group)
    newest = good[0] if good else None
    closes = closed_by(newest, told) if newest else ()
    reasons = {item.cve: item.reason for item in note.unfixable}
    debt: dict[str, str] = {}
    quality, reason = model.UNKNOWN, "no repository of its kernel package is known here"
    if nevra is not None:
        rows, quality, reason = debt_of(nevra, named.get(nevra.name, ()), _evr_compare)
        debt = {row.cve: row.fixed_in for row in rows}
    cells = []
    for cve in sorted({*closes, *reasons, *debt}, key=cve_order):
        state = LIVE if cve in closes else REBOOT if cve in reasons else OPEN
        cells.append(
            Cell(
                cve,
                name,
                state,
                str(newest.nevra) if newest and state == LIVE else "",
                reasons.get(cve, "") if state == REBOOT else "",
                debt.get(cve, ""),
            )
        )
    end = note.support_end or (settings.kernels[release].support_end if release in settings.kernels else "")
    issued = sorted(patch.issued for patch in note.patches.values() if patch.issued)
    return KernelPage(
        name,
        release,
        arch,
        end,
        repository_record.supported(note._replace(support_end=end), now),
        issued[0] if issued else "",
        tuple(str(package.nevra) for package in group),
        str(newest.nevra) if newest else "",
        tuple(cells),
        quality,
        reason,
    )


def _patch(
    view: View,
    package: Package,
    kernels: tuple[str, ...],
    told: Mapping[Nevra, list[Advisory]],
    states: dict[str, tuple[str, str]],
    now: str,
) -> PatchPage:
    notes = [
        note
        for release in package.kernels
        if view.record and release in view.record.kernels
        for note in [view.record.kernels[release].patches.get(str(package.nevra))]
        if note is not None
    ]
    manifests = None
    if view.root and any(path.startswith("/usr/share/livepatch/") for path in package.files):
        try:
            manifests = rpms.manifests(
                os.path.join(view.root, metadata.safe(package.location)), package.files
            )
        except ToolError:
            manifests = None
    back = [note.withdrawn for note in notes if note.withdrawn]
    return PatchPage(
        nevra=str(package.nevra),
        location=package.location,
        size=package.size,
        kernels=kernels,
        issued=min((note.issued for note in notes if note.issued), default=""),
        percent=min((repository_record.share(note, now) for note in notes), default=100),
        withdrawn=back[0].reason if back else "",
        cves=closed_by(package, told),
        advisories=tuple(advisory.id for advisory in told.get(package.nevra, ())),
        modules=package.modules,
        functions=None if manifests is None else tuple(sorted({f for m in manifests for f in m.functions})),
        unfixable=tuple(sorted({u for m in manifests or () for u in m.unfixable})),
        signature=states.get(package.location),
        checksum=package.checksum,
    )


def _signatures(view: View, settings: Settings) -> dict[str, tuple[str, str]]:
    if not view.root:
        return {}
    there = {}
    for package in view.patches:
        path = os.path.join(view.root, metadata.safe(package.location))
        if os.path.isfile(path):
            there[package.location] = path
    states = rpms.signatures(list(there.values()), settings.keys)
    return {location: states[path] for location, path in there.items()}


def _cves(pages: Sequence[KernelPage], views: Sequence[View]) -> tuple[CvePage, ...]:
    cells: dict[str, list[Cell]] = {}
    for page in pages:
        for cell in page.cells:
            cells.setdefault(cell.cve, []).append(cell)
    naming: dict[str, list[Advisory]] = {}
    for view in views:
        for advisory in view.advisories:
            for cve in advisory.cves:
                naming.setdefault(cve, []).append(advisory)
    found = []
    for cve in sorted(cells, key=cve_order, reverse=True):
        told = naming.get(cve, [])
        worst = max((advisory.severity for advisory in told), key=rank, default="")
        found.append(CvePage(cve, worst, tuple(sorted({one.id for one in told})), tuple(cells[cve])))
    return tuple(found)


def as_data(site: Site) -> dict[str, object]:
    """For programs: the same as the pages."""
    return {
        "schema": 1,
        "repository": site.where,
        "generated": site.generated,
        "kernels": [
            {
                **page._asdict(),
                "cells": [cell._asdict() for cell in page.cells],
                "counts": {state: page.count(state) for state in (LIVE, REBOOT, OPEN)},
            }
            for page in site.kernels
        ],
        "cves": [
            {
                "id": page.id,
                "severity": page.severity,
                "advisories": page.advisories,
                "kernels": {cell.kernel: cell.state for cell in page.cells},
            }
            for page in site.cves
        ],
        "patches": [
            {
                **page._asdict(),
                "functions": None if page.functions is None else [f._asdict() for f in page.functions],
                "unfixable": [item._asdict() for item in page.unfixable],
            }
            for page in site.patches
        ],
    }
