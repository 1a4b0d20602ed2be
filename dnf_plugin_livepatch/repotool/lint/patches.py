# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks of the live-patch packages and of the kernels they are for. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ...base import names
from ...formats import repository_record
from ..repository.kernels import looks_patched
from ..repository.view import Kernel, Package, View, arch_of, aside, by_kernel, standing
from .context import Context, Raised

_OWN = "livepatch(kernel-uname-r:"
_INSTALLONLY = ("installonlypkg(kernel)", "installonlypkg(kernel-module)", "multiversion(kernel)")
_KERNEL = ("kernel", "kernel-core", "kernel-uname-r", "kernel-core-uname-r", "kernel-modules")


def check(view: View, context: Context) -> Iterator[Raised]:
    """Every finding about live patches and their kernels."""
    for package in view.packages:
        if package.kind:
            yield from _package(package, context)
            continue
        foreign = [
            release
            for release in (c.name[len(_OWN) : -1] for c in package.provides if c.name.startswith(_OWN))
            if package.nevra.arch not in (arch_of(release) or package.nevra.arch, "noarch", "src", "nosrc")
        ]
        for release in foreign:
            yield "patch-arch", str(package.nevra), {"arch": package.nevra.arch, "release": release}
        if not foreign and looks_patched(package.nevra, package.provides):
            yield "patch-name", str(package.nevra), {"why": package.why}
    for kernel, group in sorted(by_kernel(view.patches).items()):
        yield from _order(kernel[0], group)
        yield from _kernel(view, kernel, group, context)
        yield from _modules(group)
    yield from _uncovered(view, context)


def _uncovered(view: View, context: Context) -> Iterator[Raised]:
    """Offered kernels that the settings or the record call supported, with no live patch and no 0-0."""
    covered = set(by_kernel(view.packages))
    for kernel in sorted(context.offered - covered):
        end = max(_recorded_end(view, kernel[0]), context.supported.get(kernel[0], ""))
        supported = repository_record.supported(repository_record.KernelNote(end), context.now)
        if supported and (kernel[0], "noarch") not in covered:
            yield "kernel-without-patch", kernel[0], {"end": end, "where": aside(kernel)}


def _recorded_end(view: View, release: str) -> str:
    note = view.record.kernels.get(release) if view.record else None
    return note.support_end if note else ""


def _package(package: Package, context: Context) -> Iterator[Raised]:
    name = str(package.nevra)
    for capability in package.provides:
        if capability.name in _INSTALLONLY:
            yield "patch-installonly", name, {"capability": capability.name}
        elif capability.name in _KERNEL:
            yield "patch-provides-kernel", name, {"capability": str(capability)}
    required = {str(capability) for capability in package.requires}
    own = any(capability.name.startswith(_OWN) for capability in package.provides)
    for release in package.kernels:
        form = f"kernel-uname-r = {names.capability_version(release)}"
        if names.capability_version(release) and len(package.kernels) == 1 and form not in required:
            yield "patch-without-kernel", name, {"release": release}
        if own:
            yield from _own(package, release)
        if context.offered and not _offered(release, package.nevra.arch, context.offered):
            yield "patch-kernel-not-offered", name, {"release": release}
    if own and package.kind == "patch":
        if not package.supplements:
            yield "patch-without-supplements", name, {}
        if not any(path.startswith("/usr/share/livepatch/") for path in package.files):
            yield "manifest-missing", name, {}


def _offered(release: str, arch: str, offered: frozenset[Kernel]) -> bool:
    if arch == "noarch":
        return any(release == one for one, _ in offered)
    return (release, arch_of(release) or arch) in offered or (release, "noarch") in offered


def _own(package: Package, release: str) -> Iterator[Raised]:
    """What holds for packages by our own convention only: vendors have folders of their own."""
    for path in package.modules:
        if not any(path.startswith(f"/usr/lib/modules/{one}/livepatch/") for one in package.kernels):
            yield "module-path", str(package.nevra), {"path": path, "release": release}


def _order(release: str, group: list[Package]) -> Iterator[Raised]:
    """``group`` is newest first by version."""
    lines = sorted({package.nevra.name for package in group})
    for other in lines[1:]:
        yield "patch-rivals", lines[0], {"other": other, "release": release}
    for newer, older in zip(group, group[1:]):
        if newer.nevra.name == older.nevra.name and 0 < newer.build_time < older.build_time:
            yield "patch-order", str(newer.nevra), {"other": str(older.nevra)}


def _kernel(view: View, kernel: Kernel, group: list[Package], context: Context) -> Iterator[Raised]:
    release = kernel[0]
    note = view.record.kernels.get(release) if view.record else None
    end = _recorded_end(view, release) or context.supported.get(release, "")
    if not standing(view, release, group):
        yield "kernel-all-withdrawn", release, {"where": aside(kernel)}
    if not end:
        if view.record is not None:
            yield "support-end-unknown", release, {}
        return
    for package in group:
        patch = note.patches.get(str(package.nevra)) if note else None
        if patch is not None and patch.issued[: len(end)] > end:
            yield "support-ended", release, {"end": end, "nevra": str(package.nevra)}


def _modules(group: list[Package]) -> Iterator[Raised]:
    """``group`` is newest first by version."""
    owners: dict[str, list[Package]] = {}
    for package in group:
        for path in package.modules:
            stem = path.rpartition("/")[2].split(".", 1)[0].replace("-", "_")
            owners.setdefault(stem, []).append(package)
    for module, found in sorted(owners.items()):
        for package in found[1:]:
            yield "module-duplicate", str(found[0].nevra), {"module": module, "other": str(package.nevra)}
