# SPDX-License-Identifier: GPL-2.0-or-later
"""A repository as lint, report, plan and prune look at it. No I/O."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import rpm

from ...base import names
from ...base.model import Nevra
from ...base.names import ARCHES, MODULE_FILE, declared_cve
from ...formats.repository_record import KernelNote, Record

#: The severities of advisories that dnf knows, least first.
SEVERITIES = ("Low", "Moderate", "Important", "Critical")

#: One kernel: its release, and its architecture, which not every release contains.
Kernel = tuple[str, str]


class Capability(NamedTuple):
    """One Provides, Requires, ... entry; ``flags`` is "" or EQ, LT, GT, LE, GE."""

    name: str
    flags: str = ""
    epoch: str = ""
    version: str = ""
    release: str = ""

    @property
    def value(self) -> str:
        """``version-release`` as written, "" where there is none."""
        return self.version + ("-" + self.release if self.release else "")

    def __str__(self) -> str:
        sign = {"EQ": "=", "LT": "<", "GT": ">", "LE": "<=", "GE": ">="}.get(self.flags)
        epoch = f"{self.epoch}:" if self.epoch not in ("", "0") else ""
        return f"{self.name} {sign} {epoch}{self.value}" if sign and self.value else self.name


class Package(NamedTuple):
    """One package of the metadata.

    ``kind`` is ``patch``, ``empty`` (a subscription, which patches nothing) or "" for no live patch;
    ``kernels`` are the releases it patches, ``why`` is the reason for ``kind``.
    """

    nevra: Nevra
    location: str
    base: str = ""
    checksum: str = ""
    checksum_type: str = "sha256"
    size: int = 0
    build_time: int = 0
    source: str = ""
    provides: tuple[Capability, ...] = ()
    requires: tuple[Capability, ...] = ()
    conflicts: tuple[Capability, ...] = ()
    supplements: tuple[Capability, ...] = ()
    files: tuple[str, ...] = ()
    kind: str = ""
    kernels: tuple[str, ...] = ()
    why: str = ""

    @property
    def own_cves(self) -> tuple[str, ...]:
        """The CVEs of its ``livepatch-cve(...)`` capabilities."""
        found = (declared_cve(cap.name) for cap in self.provides)
        return tuple(sorted({*found} - {""}))

    @property
    def modules(self) -> tuple[str, ...]:
        """The module files it carries."""
        return tuple(path for path in self.files if MODULE_FILE.search(path))


class Reference(NamedTuple):
    """One reference of an advisory."""

    type: str
    id: str
    href: str
    title: str = ""


class ListedPackage(NamedTuple):
    """One package in an advisory's pkglist, as written there."""

    nevra: Nevra
    filename: str = ""
    checksum: str = ""
    reboot: bool = False


class Advisory(NamedTuple):
    """One advisory; times are ISO 8601 or "" where missing."""

    id: str
    type: str = ""
    severity: str = ""
    status: str = ""
    title: str = ""
    version: str = ""
    issued: str = ""
    updated: str = ""
    summary: str = ""
    description: str = ""
    solution: str = ""
    reboot: bool = False
    references: tuple[Reference, ...] = ()
    packages: tuple[ListedPackage, ...] = ()

    @property
    def cves(self) -> tuple[str, ...]:
        """The CVEs it refers to, in order and once."""
        found = (ref.id for ref in self.references if ref.type == "cve" and ref.id)
        return tuple(dict.fromkeys(found))


class MetadataFile(NamedTuple):
    """One record of repomd.xml. ``state`` is ok, missing or differs."""

    type: str
    location: str
    checksum: str
    checksum_type: str
    state: str = "ok"


class PublicKey(NamedTuple):
    """One public key of the clients, from ``file``. ``expires`` is in seconds since 1970, 0 for never.

    ``ids`` are those of the key and its subkeys, in lower case.
    """

    id: str
    name: str
    file: str
    expires: int = 0
    revoked: bool = False
    ids: tuple[str, ...] = ()


class View(NamedTuple):
    """One repository. ``root`` is its folder ("" for one read over http).

    ``signature`` is a state as ``signing.check`` returns one. ``record_fault`` is why the livepatch record
    cannot be used, ``warnings`` are the parser's own. ``unread`` is why packages, advisories and record are
    not here, "" for a repository that could be read.
    """

    where: str
    root: str
    packages: tuple[Package, ...]
    advisories: tuple[Advisory, ...]
    files: tuple[MetadataFile, ...] = ()
    record: Record | None = None
    record_fault: str = ""
    signature: str = "unchecked"
    revision: str = ""
    warnings: tuple[str, ...] = ()
    unread: str = ""

    @property
    def patches(self) -> tuple[Package, ...]:
        """The live-patch packages (no subscriptions, no source packages)."""
        return tuple(package for package in self.packages if package.kind == "patch")

    def note(self, release: str) -> KernelNote:
        """The livepatch record's note on the kernel ``release``; an empty one where the record has none."""
        return (self.record.kernels.get(release) if self.record else None) or KernelNote()

    @property
    def has(self) -> frozenset[str]:
        """The types of its metadata files."""
        return frozenset(file.type for file in self.files)


# The keys are remembered, because cumulative patches repeat the same CVEs.
cve_order = functools.lru_cache(maxsize=1 << 16)(names.cve_order)


def compare_evr(first: Nevra, second: Nevra) -> int:
    """-1, 0 or 1, as RPM orders them; a version that RPM refuses is older than any other."""
    one, other = _label(first), _label(second)
    try:
        return int(rpm.labelCompare(one, other))
    except ValueError:
        keys = [(_readable(label), label) for label in (one, other)]
        return (keys[0] > keys[1]) - (keys[0] < keys[1])


def _label(nevra: Nevra) -> tuple[str, str, str]:
    return nevra.epoch or "0", nevra.version, nevra.release


def _readable(label: tuple[str, str, str]) -> bool:
    """Whether RPM reads the epoch, version and release."""
    try:
        return bool(rpm.labelCompare(label, label) == 0)
    except ValueError:
        return False


newest_first = functools.cmp_to_key(lambda a, b: compare_evr(b.nevra, a.nevra))  # type: ignore[attr-defined]


def arch_of(release: str) -> str:
    """The architecture inside a kernel release, "" where it has none."""
    last = release.rsplit(".", 1)[-1].split("+", 1)[0]
    return last if last in ARCHES else ""


def aside(kernel: Kernel) -> str:
    """The end of a text about ``kernel``: `` on ARCH`` for a release without its architecture, else ""."""
    release, arch = kernel
    return "" if arch_of(release) or arch in ("", "noarch") else f" on {arch}"


def arches_by_release(kernels: Iterable[Kernel]) -> dict[str, list[str]]:
    """The architectures of each release, sorted."""
    found: dict[str, set[str]] = {}
    for release, arch in kernels:
        found.setdefault(release, set()).add(arch)
    return {release: sorted(arches) for release, arches in found.items()}


def by_kernel(packages: Iterable[Package]) -> dict[Kernel, list[Package]]:
    """Live patches by kernel, newest first; a noarch patch counts for each architecture of a release."""
    placed = [
        (release, arch_of(release) or package.nevra.arch, package)
        for package in packages
        for release in package.kernels
    ]
    arches: dict[str, set[str]] = {}
    for release, arch, _ in placed:
        arches.setdefault(release, set()).add(arch)
    found: dict[Kernel, list[Package]] = {}
    for release, arch, package in placed:
        every = sorted(arches[release] - {"noarch"}) if arch == "noarch" else [arch]
        for one in every or [arch]:
            found.setdefault((release, one), []).append(package)
    for group in found.values():
        group.sort(key=newest_first)
    return found


def withdrawn(record: Record | None, release: str, package: Package) -> bool:
    """Whether ``package`` was withdrawn for ``release``."""
    note = record.kernels.get(release) if record else None
    patch = note.patches.get(str(package.nevra)) if note else None
    return patch is not None and patch.withdrawn is not None


def standing(view: View, release: str, group: list[Package]) -> list[Package]:
    """The packages of ``group`` that are not withdrawn."""
    return [package for package in group if not withdrawn(view.record, release, package)]


def advisories_by_package(advisories: Iterable[Advisory]) -> Mapping[Nevra, list[Advisory]]:
    """Those of ``advisories`` that list a package, by its NEVRA."""
    found: dict[Nevra, list[Advisory]] = {}
    for advisory in advisories:
        for listed in advisory.packages:
            found.setdefault(listed.nevra, []).append(advisory)
    return found


def closed_by(package: Package, advisories: Mapping[Nevra, list[Advisory]]) -> tuple[str, ...]:
    """The CVEs that ``package`` closes: of its own capabilities and of its advisories."""
    found = set(package.own_cves)
    for advisory in advisories.get(package.nevra, ()):
        found.update(advisory.cves)
    return tuple(sorted(found, key=cve_order))
