# SPDX-License-Identifier: GPL-2.0-or-later
"""The repositories' knowledge of a kernel: advisories, records and profiles into ``Inputs``. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import cmp_to_key

from ..base import times
from ..base.model import LOWER_BOUND, UNKNOWN, Advisory, Nevra, Unfixable
from ..base.names import release_of, split_evr
from ..base.typed import TYPE_CHECKING
from ..exposure import compute
from ..exposure.compute import Inputs
from ..exposure.debt import coverage, debt_of
from ..formats import repository_record
from ..vendors import openeuler, profiles
from .facts import Facts
from .interface import Package

if TYPE_CHECKING:
    from ..base.model import Compare


NO_ORIGIN = (
    "no trusted repository is enabled; name the one that kernels come from with 'repos' in livepatch.conf"
)
#: Kernels that are remembered beside the running one: those that may be booted next.
MAX_OTHERS = 2


def read(facts: Facts) -> tuple[Inputs, ...]:
    """The inputs for the running kernel and for the newer ones that may be booted next."""
    kernel, running, compare = facts.host.kernel, facts.running, facts.manager.compare
    if running is None:
        return (compute.unknown(kernel.release, "no installed package owns the running kernel"),)
    sources = [repo for repo in facts.repositories if repo.has_advisories and not repo.left_out]
    if not sources:
        reason = "no enabled repository carries advisories (updateinfo)"
        return (Inputs(kernel.release, str(running.nevra), reason=reason),)
    siblings = _siblings(facts, running)
    main = siblings[0].nevra
    rows = family_advisories(facts, siblings, facts.claims)
    strange = any(repo.id not in facts.claims for repo in sources)
    others = set(family_advisories(facts, siblings)).difference(rows) if strange else ()
    builds = _builds(facts, main)
    newest = builds[0] if builds else main.evr
    window = _window(facts, siblings[0].build_time)
    # The running kernel's release need not be its package's: XCP-ng's kernel 4.19.19-8 reports 4.19.0+1.
    names = {main: kernel.release}
    for nevra in _followers(main, builds, compare):
        names[nevra] = release_of(nevra.evr, kernel.release, main.evr)
    notes = facts.notes(tuple(names.values()))
    found = []
    for nevra, release in names.items():
        debt, quality, reason = debt_of(nevra, rows, compare, newest, facts.manager.pinned, others)
        if not facts.claims:
            quality, reason = LOWER_BOUND if debt else UNKNOWN, NO_ORIGIN
        support_end, unfixable = _notes(
            said.note for said in notes[release] if said.repository in facts.claims
        )
        found.append(
            Inputs(
                kernel_release=release,
                kernel_package=str(nevra),
                quality=quality,
                reason=reason,
                as_of=min(repo.read_at for repo in sources),
                repositories=tuple((repo.id, repo.revision) for repo in sources),
                debt=debt,
                cover=_cover(facts, release),
                unfixable=unfixable,
                support_end=support_end,
                window_end=window if nevra == main else "",
            )
        )
    return tuple(found)


def left_out(facts: Facts, known: Sequence[str] | None) -> tuple[str, ...]:
    """The repositories left out of this run only, as by ``--repo=`` or because they did not answer.

    Only those that had advisories when all were ``known``; where that was never looked at, any.
    """
    names = (repo.id for repo in facts.repositories if repo.left_out)
    return tuple(sorted(name for name in names if known is None or name in known))


def _siblings(facts: Facts, running: Package) -> list[Package]:
    """Installed packages of the running build by which advisories may name it, most telling first.

    The package manager names any sub-package that owns a file of the kernel, such as kernel-modules-core.
    """
    names, mine = facts.kernel_names(), running.nevra
    found = [one for one in facts.kernels() if one.installed and one.nevra.evr == mine.evr]
    return sorted(found, key=lambda one: names.index(one.nevra.name)) or [running]


def family_advisories(
    facts: Facts, siblings: Sequence[Package], within: Collection[str] | None = None
) -> list[Advisory]:
    """Advisories for any build of the running kernel's package, under whichever of its names.

    With ``within`` those of these repositories alone.

    Some vendors list ``kernel-core``, some only ``kernel``: both are one build, which goes by the name of
    the first of ``siblings``.
    """
    name = siblings[0].nevra.name
    found = []
    for row in facts.manager.advisories(siblings, within):
        if any(build.name != name for build in row.packages):
            packages = {build._replace(name=name) for build in row.packages}
            row = row._replace(packages=tuple(sorted(packages)))
        found.append(row)
    return found


def _builds(facts: Facts, main: Nevra) -> list[str]:
    """EVRs of the running kernel's package that may be booted: all installed, and the newest of all."""
    order = cmp_to_key(facts.manager.compare)
    mine = [one for one in facts.kernels() if one.nevra.name == main.name]
    evrs = {one.nevra.evr for one in mine if one.installed}
    if mine:
        evrs.add(max((one.nevra.evr for one in mine), key=order))
    return sorted(evrs, key=order, reverse=True)


def _followers(main: Nevra, builds: Sequence[str], compare: Compare) -> list[Nevra]:
    newer = [evr for evr in builds if compare(evr, main.evr) > 0][:MAX_OTHERS]
    return [build(main.name, evr, main.arch) for evr in newer]


def build(name: str, evr: str, arch: str) -> Nevra:
    """The NEVRA of the build ``[epoch:]version-release`` of a package."""
    return Nevra(name, *split_evr(evr), arch)


def _cover(facts: Facts, release: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The CVEs that each build of each live-patch package for ``release`` closes, by its advisories."""
    packages = [row.package for row in facts.known(release) if row.match.kind != "not-a-live-patch"]
    if not packages:
        return ()
    rows = [*facts.advisories(packages, claims=True), *_hot(facts, packages)]
    nevras = {package.nevra for package in packages}
    return coverage(rows, {nevra.name for nevra in nevras}, nevras, facts.manager.compare)


def _hot(facts: Facts, packages: Iterable[Package]) -> list[Advisory]:
    """openEuler's advisories of hot patches, which solvers do not read; only read where there are such."""
    wanted = [profile for profile in facts.host.profiles if "hot-updateinfo" in profile.cves]
    names = {
        package.nevra.name for package in packages if profiles.match(package.nevra, (), (), wanted).profile
    }
    rows: list[Advisory] = []
    for repo in facts.repositories if names else ():
        if repo.has_advisories and not repo.left_out and repo.id in facts.claims:
            try:
                text = facts.manager.updateinfo(repo.id)
            except OSError:
                continue  # like a text that is no XML, which has no advisories
            rows += openeuler.advisories(text, names)
    return rows


def _notes(rows: Iterable[repository_record.KernelNote]) -> tuple[str, tuple[Unfixable, ...]]:
    """End of support and unfixable CVEs of one kernel, by the repositories' records."""
    notes = list(rows)
    unfixable = (item for note in notes for item in note.unfixable)
    return max((note.support_end for note in notes), default=""), tuple(dict.fromkeys(unfixable))


def _window(facts: Facts, built: int) -> str:
    """The end of the vendor's support window of the running kernel, by its profile; "" where none is said.

    The profile is that of the live patches for this kernel; the window begins when the kernel was built.
    """
    days = {rule.name: rule.support_days for rule in facts.host.profiles if rule.support_days}
    rows = facts.known(facts.host.kernel.release) if days and built else ()
    longest = max((days.get(row.match.profile, 0) for row in rows), default=0)
    return times.moment(built + longest * 86400.0)[:10] if longest else ""
