# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks of the live-patch packages and of the kernels they are for. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence

from ...base import names
from ...base.model import Nevra
from ...formats import repository_record
from ...formats.repository_record import Record
from ..repository.kernels import looks_patched
from ..repository.view import (
    Advisory,
    Kernel,
    Package,
    View,
    advisories_by_package,
    arch_of,
    aside,
    by_kernel,
    closed_by,
    standing,
)
from .context import Check, Context, Raised

_OWN = "livepatch(kernel-uname-r:"
_INSTALLONLY = ("installonlypkg(kernel)", "installonlypkg(kernel-module)", "multiversion(kernel)")
_KERNEL = ("kernel", "kernel-core", "kernel-uname-r", "kernel-core-uname-r", "kernel-modules")
_REBUILD = "Build the package again with livepatch-rpm."

CHECKS = {
    "patch-name": Check(
        "error",
        "It looks like a live patch, but hosts will not take it for one: {why}.",
        "Hosts match a live patch to their kernel by name and Provides. If both disagree, none takes "
        "the package.",
        "Make name and Provides tell the same kernel.",
    ),
    "patch-arch": Check(
        "error",
        "It is built for {arch} and claims to patch {release}.",
        "The package cannot be installed on the hosts that run the kernel it names.",
        _REBUILD,
    ),
    "patch-installonly": Check(
        "error",
        "It provides {capability}: every version would stay installed instead of being upgraded.",
        "Old versions pile up on hosts, and it is left to chance which one is loaded.",
        _REBUILD,
    ),
    "patch-provides-kernel": Check(
        "error",
        "It provides {capability}: the package manager takes it for a kernel.",
        "It could satisfy the need for a kernel, be kept as one, or be removed as an old one.",
        _REBUILD,
    ),
    "patch-without-kernel": Check(
        "warning",
        "It does not require kernel-uname-r of {release}: it stays when its kernel goes.",
        "It stays behind on hosts when the kernel that it patches is removed.",
        _REBUILD,
    ),
    "patch-without-supplements": Check(
        "note",
        "It does not supplement its kernel: installed as a dependency, autoremove takes it away.",
        "The protection can disappear in a clean-up that nobody connects with live patches.",
        _REBUILD,
    ),
    "patch-order": Check(
        "error",
        "It was built before {other}, which has a lower version: hosts would go back.",
        "Hosts that compare packages of different names go by the build time. They would replace the "
        "newer patch.",
        "Build it again with --issued, or SOURCE_DATE_EPOCH, no earlier than that of {other}.",
    ),
    "patch-kernel-not-offered": Check(
        "warning",
        "No given repository offers kernel {release}.",
        "No host can have the kernel, unless it comes from a repository that was not given here.",
        "Check the release, or give the kernels' repository with --kernels-from.",
    ),
    "patch-rivals": Check(
        "error",
        "{other} patches {release} too: two packages of which only one can be in force.",
        "Each replaces the other in the kernel. It is left to chance which CVEs are closed.",
        "Keep one line of packages for a kernel.",
    ),
    "module-duplicate": Check(
        "error",
        "{module} is in {other} too: the kernel refuses to load a second module of that name.",
        "An update cannot load the new module until the old one is out of the kernel: hosts are "
        "unprotected in between.",
        "Put the version into the module's name, as livepatch-rpm does.",
    ),
    "module-path": Check(
        "warning",
        "{path} is outside /usr/lib/modules/{release}/livepatch: SELinux may deny loading it.",
        "A policy that denies loading leaves the package installed and the kernel unpatched.",
        _REBUILD,
    ),
    "manifest-missing": Check(
        "warning",
        "It carries no manifest: hosts cannot verify that it is in force.",
        "Hosts can load the module, but cannot compare its build id with the one that was meant.",
        _REBUILD,
    ),
    "kernel-without-patch": Check(
        "warning",
        "It is supported until {end} and offered{where}, but no live patch is published for it.",
        "Its users expect fixes without a reboot, and get none.",
        "Publish one, or an empty 0-0 subscription until there is something to fix.",
    ),
    "kernel-all-withdrawn": Check(
        "error",
        "Every live patch of this kernel{where} is withdrawn.",
        "Hosts with this kernel have no live patch to go to: their CVEs are open until they reboot.",
        "Publish a better one soon.",
    ),
    "patch-withdrawn": Check(
        "warning",
        "It was withdrawn {since}: {reason}",
        "Hosts with the plugin do not add it. Other hosts would take it.",
        "Publish a better build with a higher release. This build stays withdrawn.",
    ),
    "rollout-over": Check(
        "warning",
        "All of its hosts{where} are offered it already: the rollout of the settings does not hold for it.",
        "Hosts that have not taken the live patch yet can take it at once, as before.",
        "Name the rollout in the advisory file of a publish, or withdraw the live patch.",
    ),
    "rollout-goes-on": Check(
        "warning",
        "Its hosts{where} are offered it step by step, as was published, and the settings have no rollout.",
        "A publish without a rollout must not end one that was meant.",
        "To offer the live patch to all hosts at once, publish it with 'rollout: []' in the advisory file.",
    ),
    "cve-closed-and-unfixable": Check(
        "error",
        "The record says that no live patch closes {cves}{where}, and {nevra} does.",
        "Hosts and scanners get two answers about one CVE.",
        "Take the CVE out of 'unfixable' (livepatch-repo kernels --fixable), or out of the live patch and "
        "its advisory. Kernels that differ in it need advisories of their own.",
    ),
    "support-ended": Check(
        "warning",
        "Its support ended {end}, and {nevra} was issued after that.",
        "Users are told that this kernel gets no more live patches, while it still does.",
        "Correct the end of support, or tell users of this kernel to boot a later one.",
    ),
    "support-end-unknown": Check(
        "note",
        "Nothing says until when this kernel gets live patches.",
        "Hosts cannot warn their users in time to plan a reboot.",
        "Set support_end for it in the settings.",
    ),
}


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
    told = advisories_by_package(view.advisories)
    for kernel, group in sorted(by_kernel(view.patches).items()):
        yield from _order(kernel[0], group)
        yield from _kernel(view, kernel, group, context)
        yield from _contradiction(view, kernel, group, told)
        yield from _modules(group)
    yield from _uncovered(view, context)


def _uncovered(view: View, context: Context) -> Iterator[Raised]:
    """Offered and supported kernels with neither a live patch nor a 0-0 subscription."""
    covered = set(by_kernel(view.packages))
    for kernel in sorted(context.offered - covered):
        end = max(view.note(kernel[0]).support_end, context.supported.get(kernel[0], ""))
        supported = repository_record.supported(repository_record.KernelNote(end), context.now)
        if supported and (kernel[0], "noarch") not in covered:
            yield "kernel-without-patch", kernel[0], {"end": end, "where": aside(kernel)}


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
    """Checks of the project's own naming convention: vendors have other folders."""
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
    note = view.note(release)
    end = note.support_end or context.supported.get(release, "")
    if not standing(view, release, group):
        yield "kernel-all-withdrawn", release, {"where": aside(kernel)}
    if not end:
        if view.record is not None:
            yield "support-end-unknown", release, {}
        return
    for package in group:
        patch = note.patches.get(str(package.nevra))
        if patch is not None and patch.issued[: len(end)] > end:
            yield "support-ended", release, {"end": end, "nevra": str(package.nevra)}


def rolled_out(over: Sequence[str], going: Sequence[str]) -> Iterator[Raised]:
    """The faults about live patches whose rollout stays as it is, though the settings have another."""
    for name, nevras in (("rollout-over", over), ("rollout-goes-on", going)):
        if nevras:
            more = f" (and those of {len(nevras) - 1} others)" if len(nevras) > 1 else ""
            yield name, nevras[0], {"where": more}


def taken_back(record: Record, nevras: Container[str]) -> Iterator[Raised]:
    """The withdrawn ones of ``nevras``, which are about to be published."""
    told = {
        nevra: patch.withdrawn
        for note in record.kernels.values()
        for nevra, patch in note.patches.items()
        if nevra in nevras
    }
    for nevra, back in sorted(told.items()):
        if back:
            yield "patch-withdrawn", nevra, {"since": back.since, "reason": back.reason}


def _contradiction(
    view: View, kernel: Kernel, group: list[Package], told: Mapping[Nevra, list[Advisory]]
) -> Iterator[Raised]:
    """The CVEs that the newest good live patch closes, and that the record calls unfixable."""
    for package in standing(view, kernel[0], group)[:1]:
        closed = set(closed_by(package, told))
        both = [item.cve for item in view.note(kernel[0]).unfixable if item.cve in closed]
        if both:
            name = str(package.nevra)
            yield (
                "cve-closed-and-unfixable",
                kernel[0],
                {"cves": ", ".join(both), "nevra": name, "where": aside(kernel)},
            )


def _modules(group: list[Package]) -> Iterator[Raised]:
    """``group`` is newest first by version."""
    owners: dict[str, list[Package]] = {}
    for package in group:
        for path in package.modules:
            owners.setdefault(names.module_of(path), []).append(package)
    for module, found in sorted(owners.items()):
        for package in found[1:]:
            yield "module-duplicate", str(found[0].nevra), {"module": module, "other": str(package.nevra)}
