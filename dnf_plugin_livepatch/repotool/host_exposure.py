# SPDX-License-Identifier: GPL-2.0-or-later
"""The exposure of a host that runs a kernel, computed from repositories as 'livepatch status' does. Pure.

The host is assumed to have the newest live patch of its kernel in force. Its own computation, in
``exposure/compute.py``, is used here too; the inputs are formed as a dnf run forms them, so that the
report and the hosts agree on every CVE.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

from ..base import model
from ..base.model import CveState, Exposure, InForce, Manifest, Nevra
from ..base.names import CVE, kernel_packages, split_evr
from ..exposure import compute
from ..exposure.debt import coverage, debt_of
from ..formats.repository_record import KernelNote
from .repository.kernels import offered
from .repository.view import Advisory, Kernel, Package, View, arch_of, compare_evr

_TYPES = ("security", "bugfix", "enhancement", "newpackage")


class HostExposures:
    """The advisories and kernel packages of some repositories, indexed to look at one kernel."""

    def __init__(self, views: Sequence[View]) -> None:
        self._advisories: dict[str, list[model.Advisory]] = {}
        for advisory in (as_libdnf_reports(item) for view in views for item in view.advisories):
            for name in {package.name for package in advisory.packages}:
                self._advisories.setdefault(name, []).append(advisory)
        self._families: dict[tuple[str, ...], tuple[model.Advisory, ...]] = {}
        self._builds: dict[tuple[str, str], list[Nevra]] = {}
        self._providers: dict[Kernel, list[Nevra]] = {}
        for package in (package for view in views for package in view.packages if not package.kind):
            nevra = package.nevra
            self._builds.setdefault((nevra.name, nevra.arch), []).append(nevra)
            for release in offered(package.provides):
                self._providers.setdefault((release, arch_of(release) or nevra.arch), []).append(nevra)

    @property
    def kernels(self) -> Iterable[Kernel]:
        """The kernels that the repositories offer."""
        return self._providers

    def of(
        self,
        kernel: Kernel,
        patches: Sequence[Package],
        good: Package | None,
        manifests: Sequence[Manifest],
        note: KernelNote,
    ) -> Exposure:
        """The exposure of ``kernel``, for which ``patches`` are published, with ``good`` in force.

        ``manifests`` are those of ``good`` for this kernel, ``note`` is the one in the repository's record.
        CVEs that ``good`` closes have rows even if no advisory of the kernel lists them. If the exposure is
        unknown, so have the CVEs that the repository calls unfixable.
        """
        inputs = self._inputs(kernel, patches, note)
        in_force = []
        if good is not None:
            own = (cve for manifest in manifests for cve in manifest.cves)
            cves = tuple(dict.fromkeys((*own, *good.own_cves)))
            in_force.append(InForce(str(good.nevra), str(good.nevra), cves))
        unfixable = tuple(item for manifest in manifests for item in manifest.unfixable)
        exposure = compute.compute(inputs, in_force, unfixable)
        rows = {row.cve: row for row in exposure.rows}
        for patch in in_force:
            for cve in patch.cves or dict(inputs.cover).get(patch.nevra, ()):
                rows.setdefault(cve, CveState(cve, model.CLOSED_LIVE, by=patch.module))
        for item in (*unfixable, *note.unfixable) if exposure.quality == model.UNKNOWN else ():
            rows.setdefault(item.cve, CveState(item.cve, model.REBOOT_ONLY, reason=item.reason))
        return exposure._replace(rows=tuple(rows.values()))

    def _inputs(self, kernel: Kernel, patches: Sequence[Package], note: KernelNote) -> compute.Inputs:
        builds = [package.nevra for package in patches]
        names = {nevra.name for nevra in builds}
        rows = [row for name in sorted(names) for row in self._advisories.get(name, ())]
        inputs = compute.unknown(kernel[0], "no repository of its kernel package is known here")._replace(
            cover=coverage(rows, names, builds, compare), unfixable=note.unfixable
        )
        family = self._family(kernel)
        if not family:
            return inputs
        main = family[0]
        newest = max(self._builds[main.name, main.arch], key=_evr_key)
        debt, quality, reason = debt_of(main, self._renamed(family), compare, newest.evr)
        return inputs._replace(kernel_package=str(main), debt=debt, quality=quality, reason=reason)

    def _family(self, kernel: Kernel) -> list[Nevra]:
        """The packages of one kernel build that advisories may name, most telling first."""
        providers = sorted(self._providers.get(kernel, ()), key=lambda one: (len(one.name), one))
        if not providers:
            return []
        first = providers[0]
        found = {nevra.name: nevra for nevra in reversed(providers)}
        for name in kernel_packages(kernel[0]):
            for nevra in self._builds.get((name, first.arch), ()):
                if nevra.evr == first.evr:
                    found[name] = nevra
        order = {name: place for place, name in enumerate(kernel_packages(kernel[0]))}
        return sorted(found.values(), key=lambda one: (order.get(one.name, len(order)), len(one.name), one))

    def _renamed(self, family: Sequence[Nevra]) -> tuple[model.Advisory, ...]:
        """The advisories of any build of ``family``, under the name of its first package.

        Some vendors list ``kernel-core``, some only ``kernel``: both are one build.
        """
        main = family[0]
        names = tuple(nevra.name for nevra in family)
        key = (*names, main.arch)
        if key not in self._families:
            once = {id(row): row for name in names for row in self._advisories.get(name, ())}
            renamed = (
                row._replace(
                    packages=tuple(
                        sorted(
                            {
                                package._replace(name=main.name)
                                for package in row.packages
                                if package.name in names and package.arch == main.arch
                            }
                        )
                    )
                )
                for row in once.values()
            )
            self._families[key] = tuple(row for row in renamed if row.packages)
        return self._families[key]


def as_libdnf_reports(advisory: Advisory) -> model.Advisory:
    """``advisory`` as hosts see it through libdnf, which reports only the later of the two dates.

    A type that libdnf does not know is unknown. A CVE counts by its id, whatever type its reference has.
    """
    ids = (reference.id.strip().upper() for reference in advisory.references)
    return model.Advisory(
        advisory.id,
        advisory.type if advisory.type in _TYPES else "unknown",
        advisory.severity,
        "",
        max(advisory.issued, advisory.updated),
        tuple(sorted({cve for cve in ids if CVE.match(cve)})),
        tuple(item.nevra._replace(epoch=item.nevra.epoch or "0") for item in advisory.packages),
    )


def compare(first: str, second: str) -> int:
    """-1, 0 or 1, as RPM orders two EVR texts."""
    return compare_evr(*(Nevra("", *split_evr(evr), "") for evr in (first, second)))


_evr_key = functools.cmp_to_key(compare_evr)
