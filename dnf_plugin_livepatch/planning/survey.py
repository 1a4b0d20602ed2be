# SPDX-License-Identifier: GPL-2.0-or-later
"""The live patches of one kernel, sorted into what is chosen together: a survey for each choice. Pure.

Of cumulative patches a host has one, whatever their names. Of a profile with ``cumulative = no`` each name
is a patch of its own, which stands beside the others. Profiles that share one client are of one family;
a host's patches are all of one.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ..base.model import Nevra, Problem
from ..base.names import kernel_packages
from ..base.typed import TYPE_CHECKING, NamedTuple
from ..messages import catalogue
from ..vendors.profiles import Profile
from . import policy
from .facts import Facts, Known
from .interface import Helpers, Package, Repository
from .policy import Candidate, Target

if TYPE_CHECKING:
    from typing import Callable, TypeAlias

    Cves = Callable[[Package], "set[str]"]

Family: TypeAlias = "tuple[str, ...]"


class Survey(NamedTuple):
    """One choice for one kernel: the target for the policy, and the packages behind its NEVRAs.

    ``has`` is the package behind ``target.has``; ``planned`` is True when it is in the user's transaction
    rather than installed already. ``single`` marks the patches of one name, which are not cumulative.
    ``families`` and ``helpers`` are by NEVRA; helpers are the (name, repository) pairs that the package
    may bring along.
    """

    target: Target
    packages: dict[str, Package]
    has: Package | None
    planned: bool
    single: bool
    families: dict[str, Family]
    helpers: dict[str, Helpers]

    @property
    def empty(self) -> bool:
        """Is there nothing to choose, nothing to say and nothing on the host?"""
        return not (self.packages or self.has is not None or self.target.excluded)


class Judge(NamedTuple):
    """Judgements on a package that its own metadata does not hold; see ``policy.Candidate``.

    ``secures`` is also given whether the package's kernel runs, ``passes`` the patch that the host has.
    """

    secures: Callable[[Package, bool], bool]
    passes: Callable[[Package, Package | None], bool]
    named: Callable[[Nevra], bool]
    untold: Callable[[Package], bool] = lambda package: False


class Beside(NamedTuple):
    """A patch that the host has, gets or would get: what others have to go along with."""

    package: Package
    family: Family
    single: bool


class _Scene(NamedTuple):
    """The common ground of all surveys of one kernel."""

    facts: Facts
    release: str
    running: bool
    judge: Judge

    def rule(self, name: str) -> Profile | None:
        """The profile called ``name``; None for that of what is no live patch."""
        return next((profile for profile in self.facts.host.profiles if profile.name == name), None)

    def family(self, name: str) -> Family:
        """The mark that distinguishes the profiles of one vendor from those of others."""
        rule = self.rule(name)
        if rule is None or rule.client is None or not rule.client.apply:
            return (name,)
        return tuple(word for argv in rule.client.apply for word in argv)

    def verified(self, package: Package) -> bool:
        """Does ``package`` come from a trusted repository whose packages are verified?"""
        trusted = self.facts.trust_in(self.release).repositories
        return package.repo in trusted and self.facts.verified(package.repo)


def next_kernels(facts: Facts) -> tuple[str, ...]:
    """The releases of the kernels that may be booted next: those that the user's transaction installs.

    Where it installs none, the newest installed one, if it is newer than the running one.
    """
    kernel, running = facts.running, facts.host.kernel.release
    if kernel is None:
        return ()
    coming = facts.manager.incoming("kernel")
    found = [release for release in map(facts.release_of, coming) if release not in ("", running)]
    if not found:
        names = kernel_packages(running) or (kernel.nevra.name,)
        here = [one for one in facts.kernels() if one.installed and one.nevra.name in names]
        newest = max(here, key=functools.cmp_to_key(facts.newer), default=kernel)
        newer = facts.manager.compare(newest.nevra.evr, kernel.nevra.evr) > 0
        found = [facts.release_of(newest)] if newer else []
    return tuple(dict.fromkeys(release for release in found if release not in ("", running)))


def untold(facts: Facts, known: Sequence[tuple[str, tuple[str, ...]]], package: Package) -> bool:
    """Does nothing tell what this very build closes, whatever is known of earlier ones?

    ``known`` are the CVEs that each build closes by its advisories.
    """
    if package.declared or facts.listed(package, older=False):
        return False
    cover, mine = dict(known), package.nevra
    before = [
        cover.get(str(row.package.nevra), ())
        for row in facts.known(facts.host.kernel.release)
        if (row.package.nevra.name, row.package.nevra.arch) == (mine.name, mine.arch)
        and facts.manager.compare(row.package.nevra.evr, mine.evr) < 0
    ]
    return not set(cover.get(str(mine), ())).difference(*before)


OFFERED, INSTALLED, OLDER = "offered", "installed", "older"
#: The states of a build that DNF could install by its name.
AT_HAND = (OFFERED, INSTALLED, OLDER)
_REFUSED = {
    "patch-untrusted": "untrusted",
    "patch-no-gpgcheck": "unverified",
    "patch-outranked": "outranked",
    "patch-no-place": "barred",
}


class Offer(NamedTuple):
    """One row of ``dnf livepatch list --available``.

    ``state`` is offered where an upgrade may take the package. Any other one says why not: installed,
    blocked, excluded, untrusted, unverified, outranked, barred (nothing would load it: another product
    patches this kernel, this host loads none, or the host has another vendor's patches), subscription (no
    patch, but a promise of some), unresolvable, older (than the installed one).
    """

    package: str
    kind: str
    repo: str
    state: str
    profile: str


class Judged(NamedTuple):
    """An offer, and what tells the user why upgrades do not take it; None where that needs no words."""

    offer: Offer
    problem: Problem | None


def offers(facts: Facts) -> Iterator[Offer]:
    """The live patches that the repositories have for the running kernel, newest first."""
    return (one.offer for one in judged(facts, {}, trials=True))


def judged(facts: Facts, withheld: Mapping[str, Problem], trials: bool = False) -> Iterator[Judged]:
    """The live patches that the repositories have for the running kernel, newest first, and why not.

    ``withheld`` are those that planning hides. With ``trials`` each that may be taken costs one when its
    turn comes. Without, a patch that cannot be installed counts as offered, and a blocked one, which is
    hidden, as excluded.
    """
    rows = [row for row in facts.known(facts.host.kernel.release) if row.match.kind != "not-a-live-patch"]
    here = [row.package.nevra for row in rows if row.package.installed]
    rows = [row for row in rows if not row.package.installed]
    order = functools.cmp_to_key(facts.newer)
    rows.sort(key=lambda row: order(row.package), reverse=True)
    judge = Judge(lambda package, running: False, lambda package, has: False, lambda nevra: False)
    scene = _Scene(facts, facts.host.kernel.release, True, judge)
    best, fit = _best(scene, rows), _fit(facts, judge) if rows else {}
    blocked = facts.host.blocked() if trials else {}
    for row in rows:
        package, nevra = row.package, str(row.package.nevra)
        own = [one for one in here if one.name == package.nevra.name]
        problem: Problem | None = None
        if nevra in blocked:
            state, problem = "blocked", blocked_here(nevra, blocked[nevra])
        elif package.nevra in here:
            state = INSTALLED
        elif not package.visible:
            state = "excluded"
            problem = withheld.get(nevra) or catalogue.problem("patch-excluded", nevra=nevra)
        elif any(facts.manager.compare(package.nevra.evr, one.evr) < 0 for one in own):
            state = OLDER
        elif row.match.kind == "empty":
            state = "subscription"
        else:
            problem = _refused(scene, row, best, fit)
            state = _REFUSED[problem.id] if problem is not None else OFFERED
        if state == OFFERED and trials:
            why = facts.manager.why_not_alone(package, _helpers(scene, row.match.profile))
            if why:
                problem = catalogue.problem("patch-uninstallable", nevra=nevra, why=why)
                state = "unresolvable"
        yield Judged(Offer(nevra, row.match.kind, package.repo, state, row.match.profile), problem)


def blocked_here(nevra: str, why: str) -> Problem:
    """The words for a live patch that is blocked on this host."""
    return catalogue.problem("patch-kept-out", nevra=nevra, why=why or "no reason given")


def _refused(
    scene: _Scene, row: Known, best: dict[str, Repository], fit: Mapping[str, str]
) -> Problem | None:
    """Why no upgrade takes a patch that is newer than those here; None where upgrades do."""
    reason = policy.refusal(_candidate(scene, row, None, best))
    why = scene.facts.host.cannot or fit.get(str(row.package.nevra), "")
    if reason is None and why:
        reason = catalogue.problem("patch-no-place", nevra=row.package.nevra, why=why)
    return reason


def _fit(facts: Facts, judge: Judge) -> dict[str, str]:
    """By NEVRA, why the package is no candidate in any survey of the running kernel; "" where it is one."""
    known = {str(row.package.nevra): row.package for row in facts.known(facts.host.kernel.release)}
    found = surveys(facts, facts.host.kernel.release, judge)
    taken = {str(candidate.nevra) for one in found for candidate in one.target.candidates}
    owner = next((str(one.has.nevra) for one in found if one.has is not None), "")
    why = f"the host has live patch {owner}" if owner else "another of its kind takes its place"
    return {nevra: "" if nevra in taken or one.incoming else why for nevra, one in known.items()}


def surveys(facts: Facts, release: str, judge: Judge, open_cves: int = 0) -> list[Survey]:
    """The live patches for kernel ``release``: what the host has or will have, and what is newer.

    In the order in which they are to be chosen: the newest first, but the cumulative ones of a family before
    its single ones. There is always one at least.
    """
    scene = _Scene(facts, release, release == facts.host.kernel.release, judge)
    groups: dict[str, list[Known]] = {"": []}
    owners: set[Family] = set()
    for row in facts.known(release):
        rule = scene.rule(row.match.profile)
        group = "" if rule is None or rule.cumulative else row.package.nevra.name
        groups.setdefault(group, []).append(row)
        if row.match.kind == "patch" and row.package.here:
            owners.add(scene.family(row.match.profile))
    found_all = {name: _survey(scene, rows, owners, name) for name, rows in groups.items()}
    main = found_all.pop("")
    singles = [survey for survey in found_all.values() if not survey.empty]
    singles.sort(key=_newest, reverse=True)
    if not singles:
        return [main._replace(target=main.target._replace(open_cves=open_cves))]
    if main.empty:
        return singles
    kin = set(main.families.values())
    first = [
        single
        for single in singles
        if not kin & set(single.families.values()) and _newest(single) > _newest(main)
    ]
    return [*first, main, *(single for single in singles if single not in first)]


def _newest(survey: Survey) -> int:
    """The build time of the newest package of a survey, by which surveys are sorted."""
    packages = [*survey.packages.values(), *([survey.has] if survey.has is not None else [])]
    return max((package.build_time for package in packages), default=0)


def _survey(scene: _Scene, rows: Iterable[Known], owners: set[Family], name: str) -> Survey:
    newer = scene.facts.newer
    has: Package | None = None
    excluded: Nevra | None = None
    planned = False
    families: dict[str, Family] = {}
    offered: list[Known] = []
    for package, found in rows:
        if not package.here:
            offered.append(Known(package, found))
        elif found.kind == "patch":
            planned = planned or not package.installed
            if has is None or newer(package, has) > 0:
                has, owners = package, {scene.family(found.profile)}
                families[str(package.nevra)] = scene.family(found.profile)
    order = functools.cmp_to_key(newer)
    ranks = {repo.id: (repo.priority, repo.cost) for repo in scene.facts.repositories}
    best = _best(scene, offered)
    usual = Repository("")  # a package file on the command line is of no repository
    # Of the copies of one build, the one that may be taken comes first, and of these DNF's own choice.
    offered.sort(
        key=lambda row: (
            not scene.verified(row.package),
            ranks.get(row.package.repo, (usual.priority, usual.cost)),
            row.package.repo,
        )
    )
    offered.sort(key=lambda row: order(row.package), reverse=True)
    candidates: list[Candidate] = []
    packages: dict[str, Package] = {}
    helpers: dict[str, Helpers] = {}
    for package, found in offered:
        if planned or (has is not None and newer(package, has) <= 0):
            continue
        family = scene.family(found.profile)
        if owners and found.profile and family not in owners:
            continue
        if not package.visible:
            if found.kind == "patch" and excluded is None and not candidates:
                excluded = package.nevra
            continue
        nevra = str(package.nevra)
        if nevra in packages:
            continue
        candidates.append(_candidate(scene, Known(package, found), has, best))
        packages[nevra] = package
        families[nevra] = family
        helpers[nevra] = _helpers(scene, found.profile)
    owned = has.nevra if has is not None else None
    target = Target(scene.release, scene.running, tuple(candidates), owned, excluded)
    return Survey(target, packages, has, planned, bool(name), families, helpers)


def _helpers(scene: _Scene, owner: str) -> Helpers:
    rule, facts = scene.rule(owner), scene.facts
    trusted = facts.trust_in(scene.release).repositories
    sources = [repo.id for repo in facts.repositories if repo.id in trusted and repo.gpgcheck]
    return frozenset((name, source) for name in (rule.runtime if rule else ()) for source in sources)


def _best(scene: _Scene, offered: Iterable[Known]) -> dict[str, Repository]:
    """By package name, the repository that DNF prefers of those with any build that is not hidden.

    DNF looks at no other one, whatever newer builds the others have.
    """
    by_id = {repo.id: repo for repo in scene.facts.repositories}
    best: dict[str, Repository] = {}
    for package, _ in offered:
        repo, name = by_id.get(package.repo), package.nevra.name
        if repo is not None and package.visible:
            best[name] = min(best.get(name, repo), repo, key=lambda one: one.priority)
    return best


def _candidate(scene: _Scene, row: Known, has: Package | None, best: dict[str, Repository]) -> Candidate:
    package, found = row
    trusted = package.repo in scene.facts.trust_in(scene.release).repositories
    return Candidate(
        package.nevra,
        package.repo,
        found.kind,
        trusted,
        scene.facts.verified(package.repo),
        scene.judge.secures(package, scene.running),
        scene.judge.passes(package, has),
        scene.judge.named(package.nevra),
        "" if found.kind != "not-a-live-patch" else found.why,
        "" if trusted else scene.facts.distrust(scene.release, package.repo),
        _outranked(scene, package, best),
        scene.judge.untold(package),
        _barred(scene, found.profile),
    )


def _outranked(scene: _Scene, package: Package, best: dict[str, Repository]) -> str:
    """The repository that DNF prefers to the one of ``package``, "" when there is none."""
    own = next((repo for repo in scene.facts.repositories if repo.id == package.repo), None)
    other = best.get(package.nevra.name)
    return other.id if own is not None and other is not None and other.priority < own.priority else ""


def _barred(scene: _Scene, owner: str) -> str:
    """The reason why the loader always refuses a patch of the profile ``owner``, "" where it does not."""
    rule, rivals = scene.rule(owner), scene.facts.host.rivals
    if not (scene.running and rivals and rule is not None and rule.loader == "kernel"):
        return ""
    return f"{' and '.join(rivals)} {'patches' if len(rivals) == 1 else 'patch'} this kernel already"


_WITHIN, _OVERLAP = "within", "overlap"


def fitting(
    survey: Survey, others: Sequence[Beside], cves: Cves
) -> tuple[Survey, list[tuple[Nevra, Nevra]]]:
    """``survey`` without the candidates that cannot stand beside ``others``, which the host has or gets.

    A candidate that is in force already within another patch is left out in silence; so is another
    vendor's. The rest comes as pairs: a candidate, and the patch that it has fixes in common with. A
    client refuses the second one of such two, since both patch the same functions.
    """
    if survey.has is not None or not others:
        return survey, []
    kept: list[Candidate] = []
    clashes: list[tuple[Nevra, Nevra]] = []
    for candidate in survey.target.candidates:
        key = str(candidate.nevra)
        found = [_clash(survey.packages[key], survey.families[key], survey.single, o, cves) for o in others]
        if not any(found):
            kept.append(candidate)
        elif _OVERLAP in found and _WITHIN not in found:
            clashes.append((candidate.nevra, others[found.index(_OVERLAP)].package.nevra))
    return survey._replace(target=survey.target._replace(candidates=tuple(kept))), clashes


def _clash(package: Package, family: Family, single: bool, other: Beside, cves: Cves) -> str:
    """The way in which ``package`` and ``other`` exclude each other, "" when they do not.

    The CVEs tell; where those of one are not known, a cumulative patch holds whatever was built before it.
    """
    if family == ("",):
        return ""
    if family != other.family or not (single or other.single):
        return _WITHIN
    if single and other.single:
        return ""
    mine, theirs = cves(package), cves(other.package)
    if mine and theirs:
        return "" if not mine & theirs else _WITHIN if single and mine <= theirs else _OVERLAP
    one, whole = (package, other.package) if single else (other.package, package)
    if one.build_time > whole.build_time:
        return ""
    return _WITHIN if single else _OVERLAP
