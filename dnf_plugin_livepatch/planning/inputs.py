# SPDX-License-Identifier: GPL-2.0-or-later
"""The repositories' knowledge of a kernel: advisories, records and profiles into ``Inputs``. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cmp_to_key

from ..base import times
from ..base.model import LOWER_BOUND, UNKNOWN, Advisory, Debt, Nevra, Problem, Unfixable
from ..base.names import release_of, split_evr
from ..base.typed import TYPE_CHECKING
from ..exposure.compute import Inputs, OnOffer
from ..exposure.debt import coverage, debt_of
from ..formats import repository_record
from ..messages import catalogue
from ..vendors import openeuler, profiles
from . import survey
from .facts import Facts
from .interface import Package

if TYPE_CHECKING:
    from ..base.model import Compare


NO_ORIGIN = (
    "no trusted repository is enabled; name the one that kernels come from with 'repos' in livepatch.conf"
)
#: Kernels that are remembered beside the running one: those that may be booted next.
MAX_OTHERS = 2
#: Builds of live patches that are remembered, newest first.
MAX_BUILDS = 8


def read(facts: Facts, withheld: Mapping[str, Problem] | None = None) -> tuple[Inputs, ...]:
    """The inputs for the running kernel and for the newer ones that may be booted next.

    ``withheld`` are the patches that planning keeps out, and why.
    """
    kernel, running, compare = facts.host.kernel, facts.running, facts.manager.compare
    if running is None:
        reason = "no installed package owns the running kernel"
        return (Inputs(kernel.release, reason=reason, read_in_vain=facts.host.now),)
    sources = [repo for repo in facts.repositories if repo.has_advisories and not repo.left_out]
    if not sources:
        reason = "no enabled repository carries advisories (updateinfo)"
        return (Inputs(kernel.release, str(running.nevra), reason=reason, read_in_vain=facts.host.now),)
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
        heard = facts.trust_in(release).claims
        support_end, unfixable = _notes(said.note for said in notes[release] if said.repository in heard)
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
                on_offer=_on_offer(facts, main, withheld or {}) if nevra == main else None,
            )
        )
    return tuple(found)


def kept(facts: Facts, new: Inputs, old: Inputs | None, missing: Collection[str] = ()) -> Inputs:
    """``new``, with what an earlier run knew of the same kernel where the repositories have fallen silent.

    They have where none has advisories any more, where one that had some is enabled and has none, or where
    those that are left do not know the kernel. Only the silence of a repository whose word may close a CVE
    makes the result a lower bound; the rows of the others are kept. A repository that lists some advisories
    and not those that it had listed takes back nothing either. ``missing`` are repositories whose word
    counts and that are left out of this run, which ``new`` tells of.
    """
    if old is None or new.kernel_package not in ("", old.kernel_package):
        return new
    if new.on_offer is None and not new.read_in_vain:
        new = new._replace(on_offer=old.on_offer)
    if not (old.debt or old.cover):
        return new
    had = {name for name, _ in old.repositories}
    silent = sorted(repo.id for repo in facts.repositories if repo.id in had and not repo.has_advisories)
    if not (new.read_in_vain or silent or new.quality == UNKNOWN):
        return _unpruned(facts, new, old)
    known = {row.cve for row in new.debt}
    order = cmp_to_key(facts.manager.compare)
    rows = [*new.debt, *(row for row in old.debt if row.cve not in known)]
    debt = tuple(sorted(rows, key=lambda row: order(row.fixed_in))) if new.debt else old.debt
    # A repository that was disabled for good is missed by nobody.
    missed = {repo.id: "" for repo in facts.repositories if repo.id in had}
    repositories = tuple(sorted({**missed, **dict(new.repositories)}.items()))
    silent = [name for name in silent if name in facts.claims]
    if not (new.read_in_vain or silent or missing or new.quality == UNKNOWN):
        # A stranger's word proved nothing: without it as much is known as with it.
        rows = sorted([*new.debt, *_unspoken(facts, new, old)], key=lambda row: order(row.fixed_in))
        return new._replace(debt=tuple(rows), repositories=repositories)
    why = [new.reason] if new.reason else []
    why += (
        [f"without advisories (updateinfo) now: {', '.join(silent)}"]
        if silent and new.quality != UNKNOWN
        else []
    )
    why.append(f"what was known on {old.as_of[:10]} is kept")
    return new._replace(
        kernel_package=old.kernel_package,
        quality=LOWER_BOUND if debt else UNKNOWN,
        reason="; ".join(why),
        as_of=old.as_of,
        repositories=repositories,
        debt=debt,
        cover=tuple({**dict(old.cover), **dict(new.cover)}.items()),
        unfixable=tuple(dict.fromkeys([*new.unfixable, *old.unfixable])),
        support_end=new.support_end or old.support_end,
        window_end=new.window_end or old.window_end,
        read_in_vain="" if missing else facts.host.now,
    )


def _unpruned(facts: Facts, new: Inputs, old: Inputs) -> Inputs:
    """``new`` with those open CVEs of ``old`` that nothing listed now speaks of, which makes a lower bound.

    Mirrors drop old builds with their advisories. A CVE goes when its advisory is still listed without it,
    when another advisory of a trusted repository names it, or when the fix itself was taken back: then
    neither an advisory nor a kernel is as new as the fix. One who disabled a repository wants no row of it.
    """
    running = facts.running
    lost = _unspoken(facts, new, old)
    if (
        running is None
        or not lost
        or {name for name, _ in old.repositories} - {r.id for r in facts.repositories}
    ):
        return new
    siblings, compare = _siblings(facts, running), facts.manager.compare
    rows = family_advisories(facts, siblings, facts.claims)
    builds = {build.evr for row in rows for build in row.packages}.union(_builds(facts, siblings[0].nevra))
    order = cmp_to_key(compare)
    newest = max(builds, key=order, default="")
    kept_rows = [row for row in lost if newest and compare(row.fixed_in, newest) <= 0]
    if not kept_rows:
        return new
    names = sorted({row.advisory for row in kept_rows})
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    why = f"what is not listed any more is kept: advisory {names[0]}{more}"
    cves = {row.cve for row in kept_rows}
    cover = dict(new.cover)
    for nevra, closed in old.cover:
        again = cves.intersection(closed)
        if again:
            cover[nevra] = tuple(sorted(again.union(cover.get(nevra, ()))))
    return new._replace(
        quality=LOWER_BOUND,
        reason=f"{new.reason}; {why}" if new.reason else why,
        debt=tuple(sorted([*new.debt, *kept_rows], key=lambda row: order(row.fixed_in))),
        cover=tuple(cover.items()),
    )


def _unspoken(facts: Facts, new: Inputs, old: Inputs) -> list[Debt]:
    """The open CVEs of ``old`` of which neither ``new`` nor an advisory whose word counts speaks now."""
    known, running = {row.cve for row in new.debt}, facts.running
    lost = [row for row in old.debt if row.cve not in known]
    if running is None or not lost:
        return lost
    rows = family_advisories(facts, _siblings(facts, running), facts.claims)
    told, ids = {cve for row in rows for cve in row.cves}, {row.id for row in rows}
    return [row for row in lost if row.cve not in told and row.advisory not in ids]


def left_out(facts: Facts, known: Sequence[str] | None) -> tuple[str, ...]:
    """The repositories left out of this run only, as by ``--repo=`` or because they did not answer.

    Only those whose word counts and that had advisories when all were ``known``; where that was never
    looked at, all whose word counts.
    """
    return tuple(sorted(name for name in facts.missed if known is None or name in known))


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
    mine = [one for one in facts.kernels() if one.nevra.name == main.name and _counts(facts, one)]
    evrs = {one.nevra.evr for one in mine if one.installed}
    if mine:
        evrs.add(max((one.nevra.evr for one in mine), key=order))
    return sorted(evrs, key=order, reverse=True)


def _counts(facts: Facts, kernel: Package) -> bool:
    """Is this build here, may it be installed, or is it of a repository whose kernels are worth waiting for?

    A stranger whose kernels DNF does not take says nothing of the host by them.
    """
    return kernel.installed or (kernel.visible and not kernel.outranked) or kernel.repo in facts.trusted


def _on_offer(facts: Facts, main: Nevra, withheld: Mapping[str, Problem]) -> OnOffer | None:
    """The builds that an upgrade may install: the newest kernel, and the newest live patch.

    None where this run hides other packages than those that come after it do.
    """
    if facts.manager.passing:
        return None
    compare = facts.manager.compare
    order = cmp_to_key(compare)
    kin = [one for one in facts.kernels() if one.nevra.name == main.name and not one.installed]
    newer = [one for one in kin if compare(one.nevra.evr, main.evr) > 0 and _counts(facts, one)]
    taken = [one for one in newer if one.visible and not one.outranked]
    kernel = max((one.nevra.evr for one in taken), key=order, default="")
    hidden = max(newer, key=lambda one: order(one.nevra.evr), default=None)
    if hidden is None or hidden.nevra.evr == kernel:
        hidden = None
    evr, prefers = (hidden.nevra.evr, hidden.outranked) if hidden is not None else ("", "")
    found = list(survey.judged(facts, withheld))
    patch = patch_on_offer(facts, found)
    return OnOffer(kernel, evr, *patch, prefers=prefers, builds=_builds_of_patches(facts, found))


def patch_on_offer(facts: Facts, found: Iterable[survey.Judged]) -> tuple[str, str, str]:
    """The newest live patch of ``found`` that an upgrade may install; else the newest kept out, and why."""
    kept_out: Problem | None = None
    for offer, problem in found:
        if offer.kind != "patch":
            continue
        if offer.state != survey.OFFERED:
            here = offer.state in (survey.INSTALLED, survey.OLDER)
            kept_out = kept_out if here else kept_out or problem
        elif not facts.host.cannot:
            return told(facts, offer.package, offer.repo)
    return ("", kept_out.subject, kept_out.text) if kept_out is not None else ("", "", "")


def told(facts: Facts, nevra: str, repo: str) -> tuple[str, str, str]:
    """The words of ``patch_on_offer`` for a live patch that nothing but ``mode = report`` keeps out."""
    if facts.host.settings.mode != "report":
        return nevra, "", ""
    return "", nevra, catalogue.problem("patch-offered", nevra=nevra, repo=repo).text


def _builds_of_patches(facts: Facts, found: Sequence[survey.Judged]) -> tuple[str, ...]:
    """The builds from trusted repositories that DNF can install by name."""
    trusted = facts.trust_in(facts.host.kernel.release).repositories
    offers = [one.offer for one in found]
    return tuple(
        dict.fromkeys(row.package for row in offers if row.repo in trusted and row.state in survey.AT_HAND)
    )[:MAX_BUILDS]


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
