# SPDX-License-Identifier: GPL-2.0-or-later
"""What the repositories' advisories say about a kernel: hawkey's objects into ``exposure.Inputs``.

Cheap by asking libsolv for the advisories of one package name instead of walking all of them.
Of an advisory's two dates, issued and updated, hawkey knows only the later, so that one is told as what it
is. Broken references (no id, another type, no CVE in it) are passed over one by one.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Sequence
from functools import cmp_to_key
from typing import Any

import hawkey

from ..base import times
from ..base.model import Advisory, Compare, Kernel, Nevra, Unfixable
from ..base.names import CVE, kernel_packages, release_of, split_evr
from ..base.paths import Paths
from ..dnf4 import brake, quiet_runs
from ..dnf4 import packages as goal
from ..exposure import compute
from ..exposure.compute import Inputs
from ..exposure.debt import coverage, debt_of
from ..formats import repository_record
from ..vendors import profiles

#: Kernels that are remembered beside the running one: those it may be followed by.
MAX_OTHERS = 2
MAX_NAMES = 64
_ALL = hawkey.EQ | hawkey.GT | hawkey.LT
_TYPES = {
    hawkey.ADVISORY_SECURITY: "security",
    hawkey.ADVISORY_BUGFIX: "bugfix",
    hawkey.ADVISORY_ENHANCEMENT: "enhancement",
    hawkey.ADVISORY_NEWPACKAGE: "newpackage",
}
_MINOR = re.compile(r"[0-9]+\.[0-9]+\Z")
# Amazon Linux 2023 pins every host to the release it was installed from, such as 2023.8.20250721.
_DATED = re.compile(r"[0-9]+(?:\.[0-9]+)*\.20[0-9]{6}\Z")


def inputs(base: Any, kernel: Kernel, trusted: frozenset[str] | None = None) -> Inputs:
    """What the repositories say about the running ``kernel``; the first of ``read()``."""
    return read(base, kernel, trusted)[0]


def read(
    base: Any,
    kernel: Kernel,
    trusted: frozenset[str] | None = None,
    notes: brake.Notes | None = None,
) -> tuple[Inputs, ...]:
    """What the repositories say about ``kernel`` and those newer ones that may be booted next.

    ``trusted`` are the repositories whose ``livepatch`` record is believed, None for all enabled;
    ``notes`` is what those said, if it was read already.
    """
    running = goal.running_package(base, kernel.release)
    if running is None:
        return (compute.unknown(kernel.release, "no installed package owns the running kernel"),)
    told, as_of = _repositories(base)
    if not told:
        reason = "no enabled repository carries advisories (updateinfo)"
        return (Inputs(kernel.release, str(goal.nevra_of(running)), reason=reason),)
    known = profiles.load(Paths().profile_dirs)[0]
    # libdnf names any sub-package that owns a file of the kernel, such as kernel-modules-core.
    siblings = _siblings(base, running, kernel.release)
    main = goal.nevra_of(siblings[0])
    rows = _family_advisories(siblings, main)
    compare = base.sack.evr_cmp
    builds = _builds(base, main)
    newest = builds[0] if builds else main.evr
    locked = _locked(base)
    window = _window(base, kernel, siblings[0].buildtime, known)
    found = []
    family = [main, *_followers(main, builds, compare)]
    names = {nevra: release_of(nevra.evr, kernel.release, main.evr) for nevra in family}
    if notes is None:
        notes = brake.read(base, trusted, tuple(names.values()))[0]
    for nevra, release in names.items():
        debt, quality, reason = debt_of(nevra, rows, compare, newest, locked)
        support_end, unfixable = _notes(notes.get(release, ()))
        found.append(
            Inputs(
                kernel_release=release,
                kernel_package=str(nevra),
                quality=quality,
                reason=reason,
                as_of=as_of,
                repositories=told,
                debt=debt,
                cover=_cover(base, release, kernel.build_id if nevra == main else "", known),
                unfixable=unfixable,
                support_end=support_end,
                window_end=window if nevra == main else "",
            )
        )
    return tuple(found)


def _repositories(base: Any) -> tuple[tuple[tuple[str, str], ...], str]:
    """(id, revision) of each enabled repository with advisories, and when the oldest was read."""
    told: list[tuple[str, str]] = []
    times: list[float] = []
    for repo in sorted(base.repos.iter_enabled(), key=lambda item: str(item.id)):
        if not repo.get_metadata_path("updateinfo"):
            continue
        told.append((str(repo.id), quiet_runs.revision(repo)))
        try:
            # dnf sets this file's time whenever it has made sure that the copy is current.
            times.append(os.stat(repo.get_metadata_path("primary")).st_mtime)
        except OSError:
            times.append(0.0)
    oldest = time.gmtime(min(times)) if times else None
    return tuple(told), time.strftime("%Y-%m-%dT%H:%M:%SZ", oldest) if oldest else ""


def _locked(base: Any) -> str:
    """The release that the repositories are pinned to, "" where they follow the distribution."""
    release = str(base.conf.substitutions.get("releasever") or "")
    if _DATED.match(release):
        return release
    if not _MINOR.match(release):
        return ""
    import dnf.rpm

    # Some distributions count so by themselves; a pin is what the installed one, 9, does not say: 9.4.
    own = str(dnf.rpm.detect_releasever(base.conf.installroot) or "")
    return release if own and release.startswith(own + ".") else ""


def _siblings(base: Any, running: Any, release: str) -> list[Any]:
    """Installed packages of the running build by which advisories may name it, most telling first."""
    names = [*kernel_packages(release), running.name]
    query = base.sack.query().installed().filterm(name=names, evr=running.evr, arch=running.arch)
    return sorted(query, key=lambda package: names.index(package.name)) or [running]


def _family_advisories(siblings: Sequence[Any], main: Nevra) -> list[Advisory]:
    """Advisories for any build of the running kernel's package, under whichever of its names.

    Some vendors list ``kernel-core``, some only ``kernel``: both are one build, told under ``main``'s name.
    """
    names = {package.name for package in siblings}
    rows = (
        _advisory(advisory, names, main.arch, main.name)
        for package in siblings
        for advisory in package.get_advisories(_ALL)
    )
    return [row for row in rows if row is not None]


def _advisory(advisory: Any, names: Iterable[str], arch: str, rename: str = "") -> Advisory | None:
    packages = {
        _nevra(rename or package.name, str(package.evr), arch)
        for package in advisory.packages
        if package.name in names and package.arch == arch and package.evr
    }
    if not packages or not advisory.id:
        return None
    return Advisory(
        id=_clean(advisory.id),
        type=_TYPES.get(advisory.type, "unknown"),
        severity=_clean(advisory.severity),
        issued="",
        updated=_date(advisory),
        cves=tuple(_cves(advisory.references)),
        packages=tuple(sorted(packages)),
    )


def _nevra(name: str, evr: str, arch: str) -> Nevra:
    return Nevra(name, *split_evr(evr), arch)


def _cves(references: Iterable[Any]) -> list[str]:
    # Some feeds give a CVE the type of a bug or of nothing; its id tells. Some have no id at all.
    told = {str(reference.id or "").strip().upper() for reference in references}
    return sorted(identifier for identifier in told if CVE.match(identifier))


def _clean(text: object) -> str:
    told = str(text or "")
    if not told.isprintable():
        told = "".join(c if c.isprintable() else " " for c in told)
    return told[:200].strip()


def _date(advisory: Any) -> str:
    try:
        moment = advisory.updated
    except (OverflowError, ValueError, OSError):  # newer hawkeys raise for a date that no clock can show
        return ""
    if moment is None or not 1970 < moment.year < 10000:
        return ""
    return f"{moment.year:04d}-{moment.month:02d}-{moment.day:02d}"


def _builds(base: Any, main: Nevra) -> list[str]:
    """EVRs of the running kernel's package that may be booted: the newest offered, and all installed."""
    query = base.sack.query().filterm(name=main.name, arch=main.arch)
    packages = {*query.latest(), *query.installed()}
    evrs = {Nevra("", str(p.epoch), p.version, p.release, "").evr for p in packages}
    return sorted(evrs, key=cmp_to_key(base.sack.evr_cmp), reverse=True)


def _followers(main: Nevra, builds: Sequence[str], compare: Compare) -> list[Nevra]:
    newer = [evr for evr in builds if compare(evr, main.evr) > 0]
    return [_nevra(main.name, evr, main.arch) for evr in newer[:MAX_OTHERS]]


def _cover(
    base: Any, release: str, build_id: str, known: Sequence[Any]
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Which CVEs each build of each live-patch package for ``release`` closes, by its advisories."""
    packages = [
        package
        for package in goal._look(base, release, build_id, known)
        if _is_patch(package, release, build_id, known)
    ]
    by_name = {package.name: package for package in packages}
    rows: list[Advisory] = []
    for name, package in sorted(by_name.items())[:MAX_NAMES]:
        for advisory in package.get_advisories(_ALL):
            row = _advisory(advisory, (name,), package.arch)
            if row is not None:
                rows.append(row)
    rows += _hot(base, packages, known)
    nevras = {goal.nevra_of(package) for package in packages}
    return coverage(rows, by_name, nevras, base.sack.evr_cmp)


def _hot(base: Any, packages: Iterable[Any], known: Sequence[Any]) -> list[Advisory]:
    """openEuler's advisories of hot patches, which libdnf does not see; only read where there are such."""
    wanted = [profile for profile in known if "hot-updateinfo" in profile.cves]
    ours = [
        package for package in packages if profiles.match(goal.nevra_of(package), (), (), wanted).profile
    ]
    if not ours:
        return []
    from ..vendors import openeuler

    names = {package.name for package in ours}
    rows: list[Advisory] = []
    for repo in base.repos.iter_enabled():
        if repo.get_metadata_path("updateinfo"):
            rows += openeuler.advisories(str(repo.get_metadata_content("updateinfo")), names)
    return rows


def _is_patch(package: Any, release: str, build_id: str, known: Sequence[Any]) -> bool:
    """Whether ``package`` patches this kernel by the profiles' rules; the look-up finds too much."""
    found = profiles.match_all(
        goal.nevra_of(package), map(str, package.provides), map(str, package.requires), known
    )
    return any(profiles.fits(item, release, build_id) for item in found)


def _notes(told: Iterable[repository_record.KernelNote]) -> tuple[str, tuple[Unfixable, ...]]:
    """End of support and unfixable CVEs from what the repositories' records say of one kernel."""
    notes = list(told)
    unfixable = (item for note in notes for item in note.unfixable)
    return max((note.support_end for note in notes), default=""), tuple(dict.fromkeys(unfixable))


def _window(base: Any, kernel: Kernel, built: int, known: Sequence[Any]) -> str:
    """The end of the vendor's support window of the running kernel, by its profile; "" where none is said.

    The profile is that of the live patches for this kernel; the window begins when the kernel was built.
    """
    days = {profile.name: profile.support_days for profile in known if profile.support_days}
    packages = goal._known(base, kernel.release, kernel.build_id, known) if days and built else ()
    longest = max((days.get(found.profile, 0) for _, found in packages), default=0)
    return times.moment(built + longest * 86400.0)[:10] if longest else ""
