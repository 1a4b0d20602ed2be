# SPDX-License-Identifier: GPL-2.0-or-later
"""DNF's sack and repositories as plain tuples: the questions of ``planning.interface.PackageManager``.

Advisories are cheap, because libsolv is asked for those of one package name instead of walking all.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence

import hawkey

from ..base import times
from ..base.model import Advisory, Nevra
from ..base.names import EVR, NEVRA, capability_version, kernel_packages, kernel_release
from ..base.typed import TYPE_CHECKING
from ..formats import record_parts, repository_record, updateinfo
from ..planning.interface import Package, Repository
from ..vendors.profiles import Lookup
from . import advisories, metadata
from .quiet_runs import revision

if TYPE_CHECKING:
    from typing import Any


#: Only openEuler's updateinfo is read as text by every run, and others' where min_age or cutoff needs dates.
MAX_UPDATEINFO = 64 << 20
#: Live patches for one kernel that one repository offers: a vendor makes one every few weeks.
MAX_OFFERED = 64
_ALL = hawkey.EQ | hawkey.GT | hawkey.LT
_MINOR = re.compile(r"[0-9]+\.[0-9]+\Z")
# Amazon Linux 2023 pins every host to the release it was installed from, such as 2023.8.20250721.
_DATED = re.compile(r"[0-9]+(?:\.[0-9]+)*\.20[0-9]{6}\Z")


def nevra_of(package: Any) -> Nevra:
    """A hawkey package's NEVRA."""
    return Nevra(package.name, str(package.epoch), package.version, package.release, package.arch)


def incoming(base: Any) -> Iterator[Any]:
    """The packages that the transaction installs; a "reason change" item has no package (KeyError)."""
    import dnf.transaction

    for item in base.transaction or ():
        if item.action in dnf.transaction.FORWARD_ACTIONS:
            try:
                yield item.pkg
            except KeyError:
                continue


def patch_of(package: Any) -> Package:
    """A hawkey package that may be a live patch, with its capabilities."""
    provides, requires = map(str, package.provides), map(str, package.requires)
    return _plain(package)._replace(provides=tuple(provides), requires=tuple(requires))


def _plain(package: Any) -> Package:
    installed = bool(package.installed)
    repo = "" if installed else str(package.reponame)
    return Package(nevra_of(package), repo, installed, build_time=int(package.buildtime))


class Questions:
    """The questions to one ``dnf.Base``. ``behind`` finds the hawkey package of an answer."""

    def __init__(self, base: Any) -> None:
        self.base = base
        self._behind: dict[tuple[Nevra, str], Any] = {}
        self._readers = advisories.Reader(*advisories.CHOSEN), advisories.Reader(*advisories.MIXED)

    def behind(self, package: Package) -> Any:
        """The hawkey package behind an answer."""
        return self._behind[package.nevra, package.repo]

    def _known(self, package: Any, found: Package) -> Package:
        self._behind[found.nevra, found.repo] = package
        return found

    def _packages(self, query: Iterable[Any]) -> list[Package]:
        return [self._known(package, _plain(package)) for package in query]

    @property
    def _all(self) -> Any:
        """Every package, whatever keeps it from being installed.

        Excludes, includepkgs, versionlock, modules and this project hide packages from DNF, the installed
        ones too. The question whether a package exists, and where, is put to this query.
        """
        return self.base.sack.query(flags=hawkey.IGNORE_EXCLUDES)

    @property
    def pinned(self) -> str:
        """The release that the repositories are pinned to, "" where they follow the distribution."""
        release = str(self.base.conf.substitutions.get("releasever") or "")
        if _DATED.match(release):
            return release
        if not _MINOR.match(release):
            return ""
        import dnf.rpm

        # Some distributions have minor numbers. A pin is a number that the installed release, 9, lacks: 9.4.
        own = str(dnf.rpm.detect_releasever(self.base.conf.installroot) or "")
        return release if own and release.startswith(own + ".") else ""

    @property
    def passing(self) -> bool:
        """Does an option of this run alone decide which packages are hidden or preferred?"""
        import dnf.conf

        def given(settings: Any, options: Sequence[str]) -> bool:
            priority = getattr(settings, "_get_priority", lambda option: None)
            return any((priority(name) or 0) >= dnf.conf.PRIO_COMMANDLINE for name in options)

        return given(self.base.conf, ("excludepkgs", "includepkgs", "disable_excludes")) or any(
            given(repo, ("excludepkgs", "includepkgs", "priority", "gpgcheck"))
            for repo in self.base.repos.iter_enabled()
        )

    @property
    def busy(self) -> bool:
        """Does the transaction change anything?"""
        return bool(self.base.transaction)

    def running_kernel(self, release: str) -> Package | None:
        """The installed package that owns the running kernel.

        libdnf goes by the owner of the boot image, which may be any sub-package. Where libdnf finds none,
        name and version are compared, and last the capability, which costs more.
        """
        package = self.base.sack.get_running_kernel()
        if package is None:
            names = kernel_packages(release)
            installed = self._all.installed()
            named = [p for p in installed.filter(name=list(names)) if kernel_release(nevra_of(p)) == release]
            version = capability_version(release)
            owners = named or _provided(installed, [f"kernel-uname-r = {version}"] if version else [])
            if not owners:
                return None
            package = min(named, key=lambda one: names.index(one.name)) if named else owners[0]
        return self._known(package, _plain(package))

    def origin(self, package: Package) -> str:
        """The id of the repository that an installed package came from, "" where DNF does not know it."""
        return self.base.history.repo(self.behind(package)) or ""

    def offered_by(self, package: Package) -> frozenset[str]:
        """The ids of the repositories that offer this very build."""
        nevra = package.nevra
        facts = {"name": nevra.name, "evr": nevra.evr, "arch": nevra.arch}
        return frozenset(one.reponame for one in self._all.available().filterm(**facts))

    def kernels(self, names: Sequence[str], arch: str) -> Sequence[Package]:
        """All installed builds of the kernel packages ``names``, and the newest one of each on offer.

        Where DNF does not take the newest on offer, the newest that it takes is told too.
        """
        facts = {"name": list(names), "arch": arch}
        query, shown = self._all.filterm(**facts), self.base.sack.query().available().filterm(**facts)
        visible, taken, best = set(shown), *self._preferred(shown)
        news = (*query.available().latest(), *shown.latest(), *taken.latest())
        kept = set(taken)
        return [
            self._known(
                one,
                _plain(one)._replace(
                    visible=bool(one.installed) or one in visible,
                    outranked="" if one in kept or one not in visible else best[one.name],
                ),
            )
            for one in dict.fromkeys([*query.installed(), *news])
            if EVR.match(str(one.evr))
        ]

    def _preferred(self, offered: Any) -> tuple[Any, Mapping[str, str]]:
        """Those of ``offered`` that DNF looks at, and the repository that it prefers, by name.

        Of the repositories that have a name, DNF looks at those with the lowest priority number alone.
        """
        ranks = {str(repo.id): int(repo.priority) for repo in self.base.repos.iter_enabled()}
        if len(set(ranks.values())) < 2:
            return offered, {}
        best: dict[str, str] = {}
        for package in offered:
            own = str(package.reponame)
            best[package.name] = min(best.get(package.name, own), own, key=lambda one: ranks.get(one, 99))
        level = {name: ranks.get(repo, 99) for name, repo in best.items()}
        taken = [one for one in offered if ranks.get(str(one.reponame), 99) == level[one.name]]
        return offered.filter(pkg=taken), best

    def newer_kernels(self, names: Sequence[str], arch: str, evr: str) -> Sequence[Package]:
        """All builds of the kernel packages ``names`` on offer that are newer than ``evr``."""
        query = self.base.sack.query().available().filterm(name=list(names), arch=arch)
        taken, _ = self._preferred(query)
        return self._packages(package for package in taken if self.compare(package.evr, evr) > 0)

    def built_with(self, packages: Sequence[Package]) -> Sequence[Package]:
        """The packages that the same repository has of the same source RPM, ``packages`` included."""
        found: dict[Any, None] = {}
        kernels = [self.behind(package) for package in packages]
        facts = {(package.evr, package.sourcerpm or "", package.reponame) for package in kernels}
        for evr, source, repository in sorted(facts):
            query = self.base.sack.query().available().filterm(evr=evr, reponame=repository)
            for package in query.filterm(sourcerpm=source) if source else ():
                found[package] = None
        found.update(dict.fromkeys(kernels))
        return self._packages(found)

    def incoming(self, prefix: str) -> Sequence[Package]:
        """The packages that the transaction installs and whose name begins with ``prefix``."""
        coming = [package for package in incoming(self.base) if package.name.startswith(prefix)]
        return [one._replace(incoming=True) for one in self._packages(coming)]

    def provides(self, package: Package) -> Iterator[str]:
        """The capabilities of a package, one after the other."""
        return map(str, self.behind(package).provides)

    def live_patches(self, lookup: Lookup) -> Sequence[Package]:
        """Every build, installed or offered, excluded or not, that ``lookup`` finds."""
        everything = self._all
        query = _provided(everything, lookup.provides)
        for key, values in (
            ("name", lookup.names),
            ("name__glob", lookup.name_globs),
            ("provides__glob", lookup.provides_globs),
        ):
            if values:
                query = query.union(everything.filter(**{key: list(values)}))
        # A name that RPM's own tools cannot write is nobody's live patch, and no file of ours could hold it.
        packages = _newest(package for package in query if NEVRA.match(str(nevra_of(package))))
        if not packages:
            return []
        visible = set(self.base.sack.query().available().filterm(pkg=packages))
        coming = {str(package) for package in incoming(self.base)}
        return [
            self._known(package, patch_of(package))._replace(
                incoming=str(package) in coming, visible=bool(package.installed) or package in visible
            )
            for package in packages
        ]

    def advisories(
        self, packages: Sequence[Package], within: Collection[str] | None = None
    ) -> Sequence[Advisory]:
        """The advisories that list any build of one of these packages' name and architecture."""
        wanted = {(package.nevra.name, package.nevra.arch) for package in packages}
        if within is None or self._sources() <= set(within):
            first = {(package.nevra.name, package.nevra.arch): package for package in packages}
            named = map(self.behind, first.values())
            rows: Iterable[Any] = (one for package in named for one in package.get_advisories(_ALL))
        elif not within:
            rows = ()
        else:
            from . import provenance

            rows = provenance.advisories(self.base, self._sources() & set(within), wanted)
        return self._readers[within is None].read(rows, wanted)

    def _sources(self) -> set[str]:
        """The ids of the enabled repositories that have advisories."""
        return {
            str(repo.id) for repo in self.base.repos.iter_enabled() if repo.get_metadata_path("updateinfo")
        }

    def repositories(self) -> Sequence[Repository]:
        """The enabled repositories and those left out of this run only, by id."""
        import dnf.conf

        found = []
        for repo in sorted(self.base.repos.values(), key=lambda item: str(item.id)):
            if repo.enabled:
                found.append(_repository(repo))
                continue
            priority = getattr(repo, "_get_priority", lambda option: None)("enabled")
            if priority is None or priority >= dnf.conf.PRIO_COMMANDLINE:
                found.append(Repository(str(repo.id), left_out=True))
        return found

    def lets_through(self, package: Package) -> bool:
        """Is the package among those that a query which limits the upgrade found?"""
        own = [self.behind(package)]
        return any(query.filter(pkg=own) for query in self.base._update_security_filters)

    def record(self, repository: str, releases: Container[str]) -> str:
        """A repository's ``livepatch`` record as text, without what concerns other kernels."""
        path = self.base.repos[repository].get_metadata_path("livepatch")
        return record_parts.cut(metadata.blocks(path, repository_record.MAX_BYTES), releases)

    def issued(self, repository: str, ids: Collection[str]) -> Mapping[str, str]:
        """The days on which these advisories were issued. hawkey has no such dates: the text has them."""
        return updateinfo.issued(self.updateinfo(repository), ids)

    def updateinfo(self, repository: str) -> str:
        """A repository's updateinfo as text."""
        return metadata.text(self.base.repos[repository].get_metadata_path("updateinfo"), MAX_UPDATEINFO)

    def compare(self, one: str, other: str) -> int:
        """The order of two ``[epoch:]version-release``."""
        return int(self.base.sack.evr_cmp(one, other))


def _newest(packages: Iterable[Any]) -> list[Any]:
    """The installed packages, and of each repository the MAX_OFFERED that were built last."""
    count: dict[str, int] = {}
    found = []
    for package in sorted(packages, key=lambda one: int(one.buildtime), reverse=True):
        repo = "" if package.installed else str(package.reponame)
        count[repo] = count.get(repo, 0) + 1
        if not repo or count[repo] <= MAX_OFFERED:
            found.append(package)
    return found


def _provided(query: Any, capabilities: Sequence[str]) -> Any:
    """The packages of ``query`` that provide one of ``capabilities``, such as ``NAME = VERSION``.

    The first capability with a version makes libsolv rebuild its table of all versioned ones (pool_rel2id),
    which takes a tenth of a dnf run with a whole distribution. Asking for the bare name first avoids that
    where nothing provides it.
    """
    likely = [text for text in capabilities if query.filter(provides=text.partition(" ")[0])]
    return query.filter(provides=likely) if likely else query.filter(empty=True)


def _repository(repo: Any) -> Repository:
    advisories = bool(repo.get_metadata_path("updateinfo"))
    read_at = 0.0
    if advisories:
        try:
            # dnf sets this file's time whenever it has made sure that the copy is current.
            read_at = os.stat(repo.get_metadata_path("primary")).st_mtime
        except OSError:
            read_at = 0.0
    return Repository(
        str(repo.id),
        bool(repo.gpgcheck),
        has_advisories=advisories,
        has_record=bool(repo.get_metadata_path("livepatch")),
        revision=revision(repo) if advisories else "",
        read_at=times.moment(read_at),
        signed=bool(repo.repo_gpgcheck),
        priority=int(repo.priority),
        cost=int(repo.cost),
    )
