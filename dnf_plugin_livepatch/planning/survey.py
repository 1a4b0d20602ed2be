# SPDX-License-Identifier: GPL-2.0-or-later
"""The live patches of one kernel, sorted into what is chosen together: a survey for each choice.

Of cumulative patches a host has one, whatever their names. Of a profile with ``cumulative = no`` each name
is a patch of its own, which stands beside the others. Profiles that share one client are of one family;
a host's patches are all of one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Callable, NamedTuple

from ..base.model import Nevra
from ..dnf4 import packages as goal
from ..dnf4.packages import Helpers, nevra_of
from .policy import Candidate, Target

Family = tuple[str, ...]
Row = tuple[Any, Any]


class Survey(NamedTuple):
    """One choice for one kernel: the target for the policy, and the packages behind its NEVRAs.

    ``has`` is the package behind ``target.has``; ``planned`` is True when it is in the user's transaction
    rather than installed already. ``single`` tells the patches of one name from the cumulative ones.
    ``families`` and ``helpers`` are by NEVRA; helpers are the (name, repository) pairs that the package
    may bring along.
    """

    target: Target
    packages: dict[str, Any]
    has: Any
    planned: bool
    single: bool
    families: dict[str, Family]
    helpers: dict[str, Helpers]

    @property
    def empty(self) -> bool:
        """Is there nothing to choose, nothing to say and nothing on the host?"""
        return not (self.packages or self.has is not None or self.target.excluded)


class Judge(NamedTuple):
    """What the plugin knows of a package beyond its metadata; see ``policy.Candidate``.

    Each takes a hawkey package, ``secures`` whether its kernel runs too.
    """

    secures: Callable[[Any, bool], bool]
    passes: Callable[[Any, Any | None], bool]
    named: Callable[[Nevra], bool]


class Beside(NamedTuple):
    """A patch that the host has, gets or would get: what others have to go along with."""

    package: Any
    family: Family
    single: bool


class _Scene(NamedTuple):
    """What all surveys of one kernel share."""

    base: Any
    release: str
    running: bool
    profiles: Sequence[Any]
    trusted: frozenset[str]
    judge: Judge
    coming: frozenset[str]

    def here(self, package: Any) -> bool:
        """Does or will the host have this very package without us?"""
        return bool(package.installed) or str(package) in self.coming

    def rule(self, name: str) -> Any:
        """The profile called ``name``; None for that of what is no live patch."""
        return next((profile for profile in self.profiles if profile.name == name), None)

    def family(self, name: str) -> Family:
        """What tells the profiles of one vendor from those of others."""
        rule = self.rule(name)
        if rule is None or rule.client is None or not rule.client.apply:
            return (name,)
        return tuple(word for argv in rule.client.apply for word in argv)


def surveys(
    base: Any,
    release: str,
    running: bool,
    profiles: Sequence[Any],
    trusted: frozenset[str],
    judge: Judge,
    build_id: str = "",
    open_cves: int = 0,
) -> list[Survey]:
    """The live patches for kernel ``release``: what the host has or will have, and what is newer.

    In the order in which they are to be chosen: the newest first, but the cumulative ones of a family before
    its single ones. There is always one at least.
    """
    coming = frozenset(str(package) for package in goal.incoming(base))
    scene = _Scene(base, release, running, profiles, trusted, judge, coming)
    groups: dict[str, list[Row]] = {"": []}
    owners: set[Family] = set()
    for package, found in goal._known(base, release, build_id, profiles):
        rule = scene.rule(found.profile)
        group = "" if rule is None or rule.cumulative else package.name
        groups.setdefault(group, []).append((package, found))
        if found.kind == "patch" and scene.here(package):
            owners.add(scene.family(found.profile))
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


def _newest(survey: Survey) -> Any:
    """What sorts surveys by their newest package."""
    packages = [*survey.packages.values(), *([survey.has] if survey.has is not None else [])]
    return max((package.buildtime for package in packages), default=0)


def _survey(scene: _Scene, rows: Iterable[Row], owners: set[Family], name: str) -> Survey:
    base = scene.base
    has: Any = None
    excluded: Any = None
    planned = False
    families: dict[str, Family] = {}
    offered: list[Row] = []
    for package, found in rows:
        if not scene.here(package):
            offered.append((package, found))
        elif found.kind == "patch":
            planned = planned or not package.installed
            if has is None or goal._newer(package, has) > 0:
                has, owners = package, {scene.family(found.profile)} if not name else owners
                families[str(nevra_of(package))] = scene.family(found.profile)
    visible = goal._visible(base, offered)
    # Of the copies of one build, the one that may be taken comes first.
    offered.sort(key=lambda row: (not _verified(base, row[0], scene.trusted), row[0].reponame))
    offered.sort(key=lambda row: goal._order(row[0]), reverse=True)
    candidates: list[Candidate] = []
    packages: dict[str, Any] = {}
    helpers: dict[str, Helpers] = {}
    for package, found in offered:
        if planned or (has is not None and goal._newer(package, has) <= 0):
            continue
        family = scene.family(found.profile)
        if owners and found.profile and family not in owners:
            continue
        nevra = nevra_of(package)
        if package not in visible:
            if found.kind == "patch" and excluded is None and not candidates:
                excluded = nevra
            continue
        if str(nevra) in packages:
            continue
        candidates.append(_candidate(scene, package, found, has))
        packages[str(nevra)] = package
        families[str(nevra)] = family
        helpers[str(nevra)] = _helpers(scene, found.profile)
    owned = nevra_of(has) if has is not None else None
    target = Target(scene.release, scene.running, tuple(candidates), owned, excluded)
    return Survey(target, packages, has, planned, bool(name), families, helpers)


def _verified(base: Any, package: Any, trusted: frozenset[str]) -> bool:
    """Does ``package`` come from a trusted repository whose packages are verified?"""
    repo = base.repos.get(package.reponame)
    return package.reponame in trusted and bool(repo is not None and repo.gpgcheck)


def _helpers(scene: _Scene, owner: str) -> Helpers:
    rule = scene.rule(owner)
    enabled = scene.base.repos.iter_enabled()
    sources = [repo.id for repo in enabled if repo.id in scene.trusted and repo.gpgcheck]
    return frozenset((name, source) for name in (rule.runtime if rule else ()) for source in sources)


def _candidate(scene: _Scene, package: Any, found: Any, has: Any) -> Candidate:
    nevra = nevra_of(package)
    repo = scene.base.repos.get(package.reponame)
    return Candidate(
        nevra,
        package.reponame,
        found.kind,
        package.reponame in scene.trusted,
        bool(repo is not None and repo.gpgcheck),
        scene.judge.secures(package, scene.running),
        scene.judge.passes(package, has),
        scene.judge.named(nevra),
        "" if found.kind != "not-a-live-patch" else found.why,
    )


def fitting(
    survey: Survey, others: Sequence[Beside], cves: Callable[[Any], set[str]]
) -> tuple[Survey, list[tuple[Nevra, Nevra]]]:
    """``survey`` without the candidates that cannot stand beside ``others``, which the host has or gets.

    What is in force already within another patch is left out in silence; so is another vendor's. The rest
    comes as pairs: a candidate, and the patch it has fixes in common with. A client refuses the second one
    of such two, since both patch the same functions.
    """
    if survey.has is not None or not others:
        return survey, []
    kept: list[Candidate] = []
    clashes: list[tuple[Nevra, Nevra]] = []
    for candidate in survey.target.candidates:
        key = str(candidate.nevra)
        said = [_clash(survey.packages[key], survey.families[key], survey.single, o, cves) for o in others]
        if not any(said):
            kept.append(candidate)
        elif _OVERLAP in said and _WITHIN not in said:
            clashes.append((candidate.nevra, nevra_of(others[said.index(_OVERLAP)].package)))
    return survey._replace(target=survey.target._replace(candidates=tuple(kept))), clashes


_WITHIN, _OVERLAP = "within", "overlap"


def _clash(
    package: Any, family: Family, single: bool, other: Beside, cves: Callable[[Any], set[str]]
) -> str:
    """How ``package`` and ``other`` are in each other's way, "" when they are not.

    The CVEs tell; where those of one are not known, what was built before a cumulative patch is in it.
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
    if one.buildtime > whole.buildtime:
        return ""
    return _WITHIN if single else _OVERLAP
