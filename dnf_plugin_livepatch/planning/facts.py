# SPDX-License-Identifier: GPL-2.0-or-later
"""The facts of one run: a question is put to the package manager once between two changes. Pure."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence

from ..base.model import Advisory, Problem, Trusted, Withdrawal
from ..base.names import (
    evr_of,
    kernel_packages,
    kernel_release,
    name_of,
    release_of_capability,
    same_kernel,
)
from ..base.typed import TYPE_CHECKING, NamedTuple
from ..formats import repository_record
from ..messages import catalogue
from ..vendors import profiles
from ..vendors.profiles import Match
from .interface import Host, Package, PackageManager, Repository

if TYPE_CHECKING:
    from typing import TypeAlias

#: Kernel release -> the notes of the repositories that speak of it.
Notes: TypeAlias = "Mapping[str, Sequence[Said]]"
#: Names of live-patch packages whose advisories are read.
MAX_NAMES = 64
#: Withdrawn packages of one repository that are noted, so that none fills the notices of all.
MAX_WITHDRAWN = 64


class Said(NamedTuple):
    """The note on one kernel in the record of ``repository``."""

    repository: str
    note: repository_record.KernelNote


class Known(NamedTuple):
    """A package that is for a kernel, or claims to be and is no live patch, and how that is known."""

    package: Package
    match: Match


class Trust(NamedTuple):
    """The repositories that live patches of one kernel may come from, and those whose word may close a CVE.

    ``origin`` is the repository that the kernel came from or comes from, "" where that is not known.
    """

    repositories: frozenset[str] = frozenset()
    claims: frozenset[str] = frozenset()
    origin: str = ""


class Facts:
    """The answers of the package manager and the host, each asked for when it is first needed.

    ``problems`` collects what is wrong with the repositories' records.
    """

    def __init__(self, manager: PackageManager, host: Host) -> None:
        self.manager = manager
        self.host = host
        self.problems: list[Problem] = []
        self._running: list[Package | None] = []
        self._repositories: Sequence[Repository] | None = None
        self._trust: dict[str, Trust] = {}
        self._broken: set[str] = set()
        self._said: dict[str, dict[str, repository_record.KernelNote | None]] = {}
        self._kernels: Sequence[Package] | None = None
        self._found: dict[str, tuple[Sequence[Package], tuple[Known, ...]]] = {}
        self._advisories: tuple[dict[tuple[str, str], tuple[Advisory, ...]], ...] = ({}, {})

    def refresh(self) -> None:
        """Forget what a resolve or an act may have changed: who comes along, and who is visible."""
        self._found = {}
        self._kernels = None
        running = self.host.kernel.release
        self._trust = {release: found for release, found in self._trust.items() if release == running}

    @property
    def running(self) -> Package | None:
        """The installed package of the running kernel, or None: then there is nothing to plan."""
        if not self._running:
            self._running.append(self.manager.running_kernel(self.host.kernel.release))
        return self._running[0]

    @property
    def repositories(self) -> Sequence[Repository]:
        """The repositories that are enabled, and those left out of this run only."""
        if self._repositories is None:
            self._repositories = self.manager.repositories()
        return self._repositories

    @property
    def trusted(self) -> frozenset[str]:
        """The enabled repositories that live patches of the running kernel may come from."""
        return self.trust_in(self.host.kernel.release).repositories

    @property
    def claims(self) -> frozenset[str]:
        """The enabled repositories whose word may close a CVE, or take a patch out of force.

        The trusted ones. Of those that are trusted for offering the running kernel's build alone, which
        anybody can list, only those whose metadata is signed.
        """
        return self.trust_in(self.host.kernel.release).claims

    def trust(self) -> tuple[Trusted, ...]:
        """The repositories trusted for the running kernel, why, and for what."""
        named, found = self.host.settings.repos, self.trust_in(self.host.kernel.release)
        rows = []
        for repo in self.repositories:
            if repo.id in found.repositories:
                by_name = any(fnmatch.fnmatchcase(repo.id, pattern) for pattern in named)
                why = "origin" if repo.id == found.origin else "named" if by_name else "listed"
                rows.append(Trusted(repo.id, why, repo.id in found.claims, repo.signed))
        return tuple(rows)

    def trust_in(self, release: str) -> Trust:
        """The trust in repositories for live patches of the kernel ``release``.

        The one that this kernel came from, or comes from in this transaction, and those that ``repos =``
        names. Where that origin is not known, or is gone (an installer's medium, an image build), and no
        ``repos =`` says which instead, those that offer this very build: its name alone anybody can use.
        A kernel that the host neither has nor gets is judged as the running one.
        """
        if release not in self._trust:
            self._trust[release] = self._find_trust(release)
        return self._trust[release]

    def _find_trust(self, release: str) -> Trust:
        named, running = self.host.settings.repos, self.host.kernel.release
        kernel = self.running if release == running else self._kernel(release)
        if kernel is None:
            return Trust() if release == running else self.trust_in(running)
        enabled = self._enabled
        chosen = {name for name in enabled for pattern in named if fnmatch.fnmatchcase(name, pattern)}
        origin = self.manager.origin(kernel) if kernel.installed else kernel.repo
        if origin in enabled:
            chosen.add(origin)
        if origin in enabled or named:
            return Trust(frozenset(chosen), frozenset(chosen), origin)
        offering = self.manager.offered_by(kernel)
        signed = frozenset(repo.id for repo in self.repositories if repo.id in offering and repo.signed)
        return Trust(offering, signed, origin)

    @property
    def _enabled(self) -> frozenset[str]:
        return frozenset(repo.id for repo in self.repositories if not repo.left_out)

    @property
    def missed(self) -> frozenset[str]:
        """The repositories left out of this run whose word would count as that of ``claims`` does.

        Those that are trusted for what they offer cannot be told from others: there, all with signed
        metadata count.
        """
        named, origin = self.host.settings.repos, self.trust_in(self.host.kernel.release).origin
        known = any(repo.id == origin for repo in self.repositories) or named
        return frozenset(
            repo.id
            for repo in self.repositories
            if repo.left_out
            and (
                repo.id == origin
                or any(fnmatch.fnmatchcase(repo.id, pattern) for pattern in named)
                or (repo.signed and not known)
            )
        )

    def distrust(self, release: str, repository: str) -> str:
        """Why live patches of the kernel ``release`` may not come from ``repository``; a clause."""
        origin = self.trust_in(release).origin
        if origin in self._enabled:
            return f"kernel {release} came from {origin}"
        known = f"kernel {release} came from {origin}, which is not enabled"
        known = known if origin else f"it is not known which repository kernel {release} came from"
        if self.host.settings.repos:
            return f"{known}, and repos = does not name {repository}"
        return f"{known}, and {repository} does not offer that kernel"

    def _kernel(self, release: str) -> Package | None:
        """The package of the kernel ``release`` that the host has, or that the transaction installs."""
        names = self.kernel_names()
        here = [one for one in self.kernels() if one.installed]
        kin = [one for one in (*here, *self.manager.incoming("kernel")) if self.release_of(one) == release]
        kin.sort(key=lambda one: names.index(one.nevra.name) if one.nevra.name in names else len(names))
        return kin[0] if kin else None

    def release_of(self, package: Package) -> str:
        """``uname -r`` of the kernel in ``package``, "" when it is none."""
        for capability in self.manager.provides(package):
            if capability.startswith("kernel-uname-r = "):
                return release_of_capability(capability.partition(" = ")[2])
        return kernel_release(package.nevra)

    def verified(self, repository: str) -> bool:
        """Does this repository have its packages' signatures checked?"""
        return any(repo.id == repository and repo.gpgcheck for repo in self.repositories)

    def kernels(self) -> Sequence[Package]:
        """The running kernel's packages under all names: installed builds, and the newest on offer."""
        if self._kernels is None:
            names, running = self.kernel_names(), self.running
            self._kernels = self.manager.kernels(names, running.nevra.arch) if running is not None else ()
        return self._kernels

    def newest_kernel(self, running: str) -> str:
        """The newest build of the package ``running`` that is there after the transaction, as EVR.

        "" when that is the running one.
        """
        name = name_of(running)
        if not name:
            return ""
        newest = evr_of(running)
        here = [one for one in self.kernels() if one.installed]
        for package in (*here, *self.manager.incoming("kernel")):
            if same_kernel(package.nevra.name, name) and self.manager.compare(package.nevra.evr, newest) > 0:
                newest = package.nevra.evr
        return newest if newest != evr_of(running) else ""

    def kernel_names(self) -> tuple[str, ...]:
        """Names that the running kernel's package may have, most telling first."""
        if self.running is None:
            return ()
        names = (*kernel_packages(self.host.kernel.release), self.running.nevra.name)
        return tuple(dict.fromkeys(names))

    def releases(self) -> tuple[str, ...]:
        """The releases of the running kernel, of the other installed ones, and of the newest on offer."""
        release, running = self.host.kernel.release, self.running
        if running is None:
            return (release,)
        kin = [one.nevra for one in self.kernels() if one.nevra.name == running.nevra.name]
        return tuple(sorted({release, *map(kernel_release, kin)} - {""}))

    def build_id(self, release: str) -> str:
        """The build id of the kernel ``release``, which is known of the running one only."""
        return self.host.kernel.build_id if release == self.host.kernel.release else ""

    def look(self, release: str) -> Sequence[Package]:
        """Every package, installed or offered, hidden or not, that may patch this kernel."""
        return self._look(release)[0]

    def known(self, release: str) -> tuple[Known, ...]:
        """The packages for this kernel, and those that claim to be and are no live patch."""
        return self._look(release)[1]

    def _look(self, release: str) -> tuple[Sequence[Package], tuple[Known, ...]]:
        if release not in self._found:
            rules, build_id = self.host.profiles, self.build_id(release)
            packages = self.manager.live_patches(profiles.lookup(release, rules, build_id))
            rows = []
            for package in packages:
                kinds = profiles.match_all(package.nevra, package.provides, package.requires, rules)
                found = next((kind for kind in kinds if profiles.fits(kind, release, build_id)), kinds[0])
                if found.kind == "not-a-live-patch" or profiles.fits(found, release, build_id):
                    rows.append(Known(package, found))
            self._found[release] = packages, tuple(rows)
        return self._found[release]

    def advisories(self, packages: Sequence[Package], claims: bool = False) -> tuple[Advisory, ...]:
        """The advisories that list any build of these live patches' names.

        With ``claims`` those alone that may close a CVE. They are read first in any case, and of names those
        of trusted repositories are: what a stranger adds costs nobody else a place.
        """
        first = {(one.nevra.name, one.nevra.arch): one for one in packages}
        known, mine = self._advisories[claims], self.trusted
        for one in packages:
            if one.installed or one.repo in mine:
                first[one.nevra.name, one.nevra.arch] = one
        order = sorted(
            first.items(), key=lambda row: (not (row[1].installed or row[1].repo in mine), row[0])
        )
        unread = [one for key, one in order if key not in known][:MAX_NAMES]
        if unread:
            keys = [(one.nevra.name, one.nevra.arch) for one in unread]
            rows: dict[tuple[str, str], list[Advisory]] = {key: [] for key in keys}
            mixed = any(repo.has_advisories and repo.id not in self.claims for repo in self.repositories)
            found = [*self.advisories(unread, True)] if mixed and not claims else []
            for row in (*found, *self.manager.advisories(unread, self.claims if claims else None)):
                for key in {(build.name, build.arch) for build in row.packages}:
                    if key in rows:
                        rows[key].append(row)
            known.update((key, tuple(dict.fromkeys(listing))) for key, listing in rows.items())
        return tuple(dict.fromkeys(row for key in sorted(first) for row in known.get(key, ())))

    def listed(self, package: Package, older: bool) -> list[Advisory]:
        """The advisories that list this very build, with ``older`` also those that list an earlier one."""
        compare = self.manager.compare
        return [
            row
            for row in self.advisories([package])
            for build in row.packages
            if (build.name, build.arch) == (package.nevra.name, package.nevra.arch)
            and (build.evr == package.nevra.evr or (older and compare(build.evr, package.nevra.evr) <= 0))
        ]

    def notes(self, releases: Sequence[str]) -> Notes:
        """The notes on the kernels ``releases`` in the records of the repositories trusted for each."""
        found: dict[str, list[Said]] = {release: [] for release in releases}
        for repo in self.repositories:
            if repo.has_record and not repo.left_out:
                wanted = [name for name in releases if repo.id in self.trust_in(name).repositories]
                self._read_record(repo.id, wanted)
                said = self._said.get(repo.id, {})
                for release in wanted:
                    note = said.get(release)
                    if note is not None:
                        found[release].append(Said(repo.id, note))
        return found

    def withdrawals(self, releases: Sequence[str]) -> tuple[frozenset[str], list[Withdrawal]]:
        """The repositories whose word on withdrawn patches cannot be read now, and what the others say of
        packages here.

        A repository that has no record any more withdraws nothing.
        """
        self.notes(releases)
        said: list[Withdrawal] = []
        unread = {repo.id for repo in self.repositories if repo.left_out}
        for repo in self.repositories:
            trusted = [name for name in releases if repo.id in self.trust_in(name).repositories]
            if trusted and repo.id in self._broken:
                unread.add(repo.id)
            elif trusted and not repo.left_out:
                said += self._withdrawn(repo, trusted)
        return frozenset(unread), said

    def _withdrawn(self, repo: Repository, releases: Sequence[str]) -> list[Withdrawal]:
        """The packages here that ``repo``, trusted for the kernels ``releases``, withdraws.

        Installed ones come before others, MAX_WITHDRAWN at most.
        """
        rows: dict[str, Withdrawal] = {}
        for release in releases:
            note = self._said.get(repo.id, {}).get(release)
            signed = repo.signed and repo.id in self.trust_in(release).claims
            for nevra, patch in note.patches.items() if note is not None else ():
                if patch.withdrawn is not None:
                    rows[nevra] = Withdrawal(nevra, patch.withdrawn.reason, repo.id, signed)
        if not rows:
            return []
        # Only what is here can be taken back; to ask costs a query, so only where something is withdrawn.
        here = [row.package for release in releases for row in self.known(release)]
        names = dict.fromkeys(str(one.nevra) for one in sorted(here, key=lambda one: not one.installed))
        return [rows[nevra] for nevra in names if nevra in rows][:MAX_WITHDRAWN]

    def _read_record(self, repository: str, wanted: Sequence[str]) -> None:
        """Read of a repository's record what it says of the kernels ``wanted``, each once."""
        known = self._said.setdefault(repository, {})
        new = [release for release in wanted if release not in known]
        if not new or repository in self._broken:
            return
        try:
            said = repository_record.parse(self.manager.record(repository, new), *new)
        except (ValueError, OSError, MemoryError) as error:
            self.problems.append(catalogue.problem("record-broken", repo=repository, why=error))
            self._broken.add(repository)
            return
        known.update(dict.fromkeys(new))
        known.update(said.kernels)

    def newer(self, one: Package, other: Package) -> int:
        """The order in age of two builds. Between names EVRs have no order, and the build time decides."""
        if (one.nevra.name, one.nevra.arch) == (other.nevra.name, other.nevra.arch):
            return self.manager.compare(one.nevra.evr, other.nevra.evr)
        return (one.build_time > other.build_time) - (one.build_time < other.build_time)
