# SPDX-License-Identifier: GPL-2.0-or-later
"""The content of the report: kernels, CVEs and live patches of a repository. Reads RPMs, writes nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..base import model
from ..base.model import CLOSED_LIVE, OPEN, REBOOT_ONLY, CveState, Manifest, Nevra, Unfixable
from ..base.names import decimal
from ..exposure.debt import rank, rated
from ..formats import repository_record
from ..formats.repository_record import KernelNote, PatchNote
from ..toolkit.errors import ToolError
from .host_exposure import HostExposures
from .repository import metadata, rpms
from .repository.view import (
    Advisory,
    Kernel,
    Package,
    View,
    advisories_by_package,
    arches_by_release,
    by_kernel,
    closed_by,
    cve_order,
    standing,
)
from .settings import Settings


class Cell(NamedTuple):
    """One CVE on the kernel of that name, in the words of 'livepatch status'.

    ``by`` is the NEVRA of the live patch that closes it. ``dated`` and ``date_kind``
    are the date of its advisory as a host shows it.
    """

    cve: str
    kernel: str
    state: str
    by: str = ""
    reason: str = ""
    fixed_in: str = ""
    advisory: str = ""
    severity: str = ""
    dated: str = ""
    date_kind: str = ""


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
        """The number of CVEs in ``state``."""
        return sum(1 for cell in self.cells if cell.state == state)

    def number(self, state: str) -> str:
        """The number in ``state`` as 'livepatch status' prints it: ``3``, ``at least 3`` or ``unknown``."""
        found = self.count(state)
        if self.quality == model.EXACT or state == CLOSED_LIVE:
            return str(found)
        return f"at least {found}" if found else "unknown"


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
    """One CVE over all kernels; the severity is the highest of its advisories."""

    id: str
    severity: str
    advisories: tuple[str, ...]
    cells: tuple[Cell, ...]

    @property
    def open(self) -> bool:
        """Whether the CVE is open on any kernel."""
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
    groups = by_kernel(view.patches)
    sources = (view, *others)
    exposures = HostExposures(sources)
    arches = arches_by_release([*groups, *exposures.kernels])
    for release in (*(view.record.kernels if view.record else ()), *settings.kernels):
        arches.setdefault(release, [""])
    names = {
        (release, arch): f"{release} ({arch})" if len(found) > 1 else release
        for release, found in arches.items()
        for arch in found
    }
    states = _signatures(view, settings)
    told = advisories_by_package(view.advisories)
    manifests = {package.nevra: _manifests(view, package) for package in view.patches}
    places: dict[Nevra, list[str]] = {}
    for kernel, group in sorted(groups.items()):
        for package in group:
            places.setdefault(package.nevra, []).append(names[kernel])
    patches = tuple(
        _patch(
            view,
            package,
            tuple(places[package.nevra]),
            manifests[package.nevra],
            told.get(package.nevra, ()),
            states.get(package.location),
            now,
        )
        for package in sorted(view.patches, key=lambda one: (one.kernels, _order(one.nevra)), reverse=True)
    )
    pages = tuple(
        _kernel(view, kernel, names[kernel], groups.get(kernel, []), manifests, exposures, settings, now)
        for kernel in sorted(names, key=lambda one: (_release_order(one[0]), one[1]), reverse=True)
    )
    place = settings.base_url or (view.where if not view.root else "")
    return Site(settings.title, place, now, settings.base_url, pages, _cves(pages, sources), patches)


def _order(nevra: Nevra) -> tuple[object, ...]:
    return tuple(_release_order(f"{nevra.version}-{nevra.release}"))


def _release_order(text: str) -> list[tuple[int, int, str]]:
    """The sort key of a release: numbers by value, words by text."""
    parts = text.replace("-", ".").replace("_", ".").split(".")
    numbers = [(part, decimal(part, 19)) for part in parts]
    return [(0, 0, part) if number is None else (1, number, "") for part, number in numbers]


def _manifests(view: View, package: Package) -> tuple[Manifest, ...] | None:
    """The manifests inside a package file; None where there is no file, or no usable one."""
    if not view.root or not any(path.startswith("/usr/share/livepatch/") for path in package.files):
        return None
    try:
        return rpms.manifests(os.path.join(view.root, metadata.safe(package.location)), package.files)
    except ToolError:
        return None


def _kernel(
    view: View,
    kernel: Kernel,
    name: str,
    group: list[Package],
    manifests: Mapping[Nevra, tuple[Manifest, ...] | None],
    exposures: HostExposures,
    settings: Settings,
    now: str,
) -> KernelPage:
    release, arch = kernel
    note = view.note(release)
    good = standing(view, release, group)
    newest = good[0] if good else None
    known = (manifests[newest.nevra] or ()) if newest else ()
    inside = [manifest for manifest in known if manifest.kernel_release == release]
    exposure = exposures.of(kernel, group, newest, inside, note)
    end = _support_end(note, inside, settings, release)
    issued = sorted(patch.issued for patch in note.patches.values() if patch.issued)
    return KernelPage(
        name=name,
        release=release,
        arch=arch,
        support_end=end,
        supported=repository_record.supported(note._replace(support_end=end), now),
        first_issued=issued[0] if issued else "",
        patches=tuple(str(package.nevra) for package in group),
        newest=str(newest.nevra) if newest else "",
        cells=tuple(
            sorted((_cell(row, name) for row in exposure.rows), key=lambda cell: cve_order(cell.cve))
        ),
        quality=exposure.quality,
        reason=exposure.reason,
    )


def _cell(row: CveState, kernel: str) -> Cell:
    """``row``, the state of a CVE on a host, as a cell of the page of ``kernel``."""
    return Cell(kernel=kernel, **row._asdict())


def _support_end(note: KernelNote, inside: Sequence[Manifest], settings: Settings, release: str) -> str:
    """The end of support: from the record, else the manifests, else the settings; "" for none."""
    end = note.support_end or max((manifest.support_end for manifest in inside), default="")
    if not end and release in settings.kernels:
        return settings.kernels[release].support_end
    return end


def _patch(
    view: View,
    package: Package,
    kernels: tuple[str, ...],
    manifests: tuple[Manifest, ...] | None,
    advisories: Sequence[Advisory],
    signature: tuple[str, str] | None,
    now: str,
) -> PatchPage:
    notes = [
        note
        for note in (view.note(release).patches.get(str(package.nevra)) for release in package.kernels)
        if note is not None
    ]
    back = [note.withdrawn for note in notes if note.withdrawn]
    return PatchPage(
        nevra=str(package.nevra),
        location=package.location,
        size=package.size,
        kernels=kernels,
        issued=_issued(notes, advisories, manifests or ()),
        percent=min((repository_record.share(note, now) for note in notes), default=100),
        withdrawn=back[0].reason if back else "",
        cves=closed_by(package, {package.nevra: list(advisories)}),
        advisories=tuple(advisory.id for advisory in advisories),
        modules=package.modules,
        functions=None if manifests is None else tuple(sorted({f for m in manifests for f in m.functions})),
        unfixable=tuple(sorted({u for m in manifests or () for u in m.unfixable})),
        signature=signature,
        checksum=package.checksum,
    )


def _issued(
    notes: Sequence[PatchNote], advisories: Sequence[Advisory], manifests: Sequence[Manifest]
) -> str:
    """The issue date of a live patch: from the record, else its advisories, else its manifests."""
    for dates in (
        [note.issued for note in notes],
        [advisory.issued or advisory.updated for advisory in advisories],
        [manifest.issued for manifest in manifests],
    ):
        found = [date for date in dates if date]
        if found:
            return min(found)
    return ""


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
        severities = (advisory.severity for advisory in told)
        worst = max(severities, key=lambda severity: (rated(severity), rank(severity)), default="")
        found.append(CvePage(cve, worst, tuple(sorted({one.id for one in told})), tuple(cells[cve])))
    return tuple(found)


def as_data(site: Site) -> dict[str, object]:
    """The content of the pages, for programs."""
    return {
        "schema": 1,
        "repository": site.where,
        "generated": site.generated,
        "kernels": [
            {
                **page._asdict(),
                "cells": [cell._asdict() for cell in page.cells],
                "counts": {state: page.count(state) for state in (CLOSED_LIVE, REBOOT_ONLY, OPEN)},
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
