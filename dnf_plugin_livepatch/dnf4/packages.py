# SPDX-License-Identifier: GPL-2.0-or-later
"""DNF's sack and goal: find live patches, try one on a copy of the goal, add it softly.

Softly: a trial solve on a copy comes first, and only a result that is the user's own transaction plus
exactly the wanted packages is committed. Everything here may raise; the plugin catches.
"""

from __future__ import annotations

import copy
import fnmatch
import functools
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import (
    Any,
    NamedTuple,
)

from ..base.model import Nevra
from ..base.names import capability_version, kernel_packages, kernel_release, name_of, release_of_capability
from ..planning import withheld
from ..vendors import profiles as rules

Helpers = frozenset[tuple[str, str]]
_LISTS = ("installs", "upgrades", "downgrades", "reinstalls", "erasures", "obsoleted")


def nevra_of(package: Any) -> Nevra:
    """A hawkey package's NEVRA."""
    return Nevra(package.name, str(package.epoch), package.version, package.release, package.arch)


def running_package(base: Any, release: str) -> Any:
    """The installed package of the running kernel, or None: then nothing of ours is to be done.

    libdnf goes by the owner of the boot image, which may be any sub-package. Where it finds none, name and
    version tell, and last the capability, which costs more to ask for.
    """
    package = base.sack.get_running_kernel()
    if package is not None:
        return package
    names = kernel_packages(release)
    installed = base.sack.query().installed()
    named = [p for p in installed.filter(name=list(names)) if kernel_release(nevra_of(p)) == release]
    if named:
        return min(named, key=lambda package: names.index(package.name))
    version = capability_version(release)
    owners = _provided(installed, [f"kernel-uname-r = {version}"] if version else [])
    return owners[0] if owners else None


def _provided(query: Any, capabilities: Sequence[str]) -> Any:
    """Those of ``query`` that provide one of ``capabilities``, such as ``NAME = VERSION``.

    For the first capability with a version libsolv makes its table of all versioned ones anew (pool_rel2id),
    which a whole distribution makes a tenth of a dnf run. A name that nothing provides is known without it.
    """
    likely = [text for text in capabilities if query.filter(provides=text.partition(" ")[0])]
    return query.filter(provides=likely) if likely else query.filter(empty=True)


def trusted_repos(base: Any, kernel: Any, named: Sequence[str]) -> frozenset[str]:
    """The enabled repositories that live patches may come from.

    The one that the running kernel came from and those that ``repos =`` names. Where DNF does not know
    it, or it is gone (an installer's medium, an image build), and no ``repos =`` says which instead, those
    that offer this very build: its name alone anybody can use.
    """
    enabled = {repo.id for repo in base.repos.iter_enabled()}
    chosen = {name for name in enabled for pattern in named if fnmatch.fnmatchcase(name, pattern)}
    origin = base.history.repo(kernel) or ""
    if origin in enabled:
        return frozenset(chosen | {origin})
    if named:
        return frozenset(chosen)
    build = {"name": kernel.name, "evr": kernel.evr, "arch": kernel.arch}
    offers = base.sack.query().available().filterm(**build)
    return frozenset(package.reponame for package in offers)


def incoming(base: Any) -> list[Any]:
    """The packages that the transaction installs; a "reason change" item has no package (KeyError)."""
    import dnf.transaction

    packages = []
    for item in base.transaction or ():
        if item.action in dnf.transaction.FORWARD_ACTIONS:
            try:
                packages.append(item.pkg)
            except KeyError:
                continue
    return packages


def next_kernels(base: Any, running: str, kernel: Any) -> tuple[str, ...]:
    """The releases of the kernels that may be booted next: those that the user's transaction installs.

    Where it installs none, the newest installed one, if it is newer than the running ``kernel``.
    """
    coming = [package for package in incoming(base) if package.name.startswith("kernel")]
    found = [release for release in map(_release, coming) if release not in ("", running)]
    if not found:
        names = kernel_packages(running) or (kernel.name,)
        here = base.sack.query().installed().filterm(name=names, arch=kernel.arch)
        newest = max(here, key=_order, default=kernel)
        found = [_release(newest)] if newest.evr_cmp(kernel) > 0 else []
    return tuple(dict.fromkeys(release for release in found if release))


def _release(package: Any) -> str:
    """``uname -r`` of the kernel in ``package``, "" when it is none."""
    for capability in map(str, package.provides):
        if capability.startswith("kernel-uname-r = "):
            return release_of_capability(capability.partition(" = ")[2])
    return kernel_release(nevra_of(package))


def _look(base: Any, release: str, build_id: str, profiles: Sequence[Any]) -> Any:
    """Every package, installed or offered, excluded or not, that may patch this kernel."""
    import hawkey

    found = rules.lookup(release, profiles, build_id)
    everything = base.sack.query(flags=hawkey.IGNORE_EXCLUDES)
    query = _provided(everything, found.provides)
    for key, values in (
        ("name", found.names),
        ("name__glob", found.name_globs),
        ("provides__glob", found.provides_globs),
    ):
        if values:
            query = query.union(everything.filter(**{key: list(values)}))
    return query


def _newer(one: Any, other: Any) -> int:
    """Which build is newer. Between names there is no EVR order; there the build time decides."""
    if one.name == other.name and one.arch == other.arch:
        return int(one.evr_cmp(other))
    return int(one.buildtime > other.buildtime) - int(one.buildtime < other.buildtime)


_order = functools.cmp_to_key(_newer)


def _known(base: Any, release: str, build_id: str, profiles: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    """(package, match) of what is for this kernel, or claims to be and is no live patch."""
    for package in _look(base, release, build_id, profiles):
        kinds = rules.match_all(
            nevra_of(package), map(str, package.provides), map(str, package.requires), profiles
        )
        found = next((kind for kind in kinds if rules.fits(kind, release, build_id)), kinds[0])
        if found.kind == "not-a-live-patch" or rules.fits(found, release, build_id):
            yield package, found


def _visible(base: Any, offered: Sequence[tuple[Any, Any]]) -> set[Any]:
    """Those that no exclude of the configuration hides."""
    return set(base.sack.query().available().filterm(pkg=[package for package, _ in offered]))


class Offer(NamedTuple):
    """One row of ``dnf livepatch list --available``: ``state`` is installed, offered, blocked, excluded."""

    package: str
    kind: str
    repo: str
    state: str
    profile: str


def offers(
    base: Any, release: str, profiles: Sequence[Any], blocked: Container[str], build_id: str = ""
) -> list[Offer]:
    """The live patches that the repositories have for kernel ``release``, newest first."""
    rows = [row for row in _known(base, release, build_id, profiles) if row[1].kind != "not-a-live-patch"]
    here = {str(package) for package, _ in rows if package.installed}
    rows = [row for row in rows if not row[0].installed]
    rows.sort(key=lambda row: _order(row[0]), reverse=True)
    visible = _visible(base, rows)
    result = []
    for package, found in rows:
        nevra = str(nevra_of(package))
        state = "offered" if package in visible else "excluded"
        if str(package) in here:
            state = "installed"
        if nevra in blocked:
            state = "blocked"
        result.append(Offer(nevra, found.kind, package.reponame, state, found.profile))
    return result


def installed_patches(base: Any, release: str, profiles: Sequence[Any], build_id: str = "") -> bool:
    """Is anything installed that may be a live patch for this kernel?"""
    return bool(_look(base, release, build_id, profiles).installed())


def _outcome(goal: Any) -> dict[str, frozenset[str]]:
    return {name: frozenset(map(str, getattr(goal, f"list_{name}")())) for name in _LISTS}


def _select(base: Any, package: Any) -> Any:
    import dnf.selector

    selector = dnf.selector.Selector(base.sack)
    selector.set(pkg=base.sack.query().filterm(pkg=[package]))
    return selector


def _solve(base: Any, packages: Iterable[Any], allow_erasing: bool, optional: bool) -> tuple[Any, bool]:
    goal = copy.deepcopy(base.goal)
    for package in packages:
        goal.install(select=_select(base, package), optional=optional)
    solved = goal.run(
        allow_uninstall=allow_erasing,
        force_best=base.conf.best,
        ignore_weak_deps=not base.conf.install_weak_deps,
    )
    return goal, bool(solved)


def trial(base: Any, packages: Sequence[Any], allow_erasing: bool, helpers: Helpers = frozenset()) -> str:
    """Why adding ``packages`` would not leave the user's transaction as it is; "" when it would.

    What is among ``helpers`` may come along.
    """
    before = _outcome(base.goal)
    goal, solved = _solve(base, packages, allow_erasing, optional=True)
    if solved:
        after = _outcome(goal)
        added = (after["installs"] | after["upgrades"]) - (before["installs"] | before["upgrades"])
        wanted = {str(package) for package in packages}
        arriving = (*goal.list_installs(), *goal.list_upgrades())
        added -= {str(p) for p in arriving if (p.name, p.reponame) in helpers} - wanted
        same = all(before[name] == after[name] for name in _LISTS[2:])
        kept = before["installs"] <= after["installs"] and before["upgrades"] <= after["upgrades"]
        if same and kept and added == wanted:
            return ""
        extra = sorted((added - wanted) | (after["erasures"] - before["erasures"]))
        if extra:
            return f"it would also change {', '.join(extra[:3])}"
        if not added and not (same and kept):
            return "it would change other packages"
    goal, solved = _solve(base, packages, allow_erasing, optional=False)
    if solved:
        return "it does not fit the rest of this transaction"
    problems = [str(rule).strip() for rules_of in goal.problem_rules() for rule in rules_of]
    told = [text for text in problems if text != "conflicting requests"] or problems
    return told[0] if told else "its dependencies cannot be met"


def commit(base: Any, packages: Sequence[Any], allow_erasing: bool) -> str:
    """Add ``packages`` to the goal and resolve again; why it failed, "" when it did not.

    A job cannot be taken back from a goal, and a copy of a goal lacks what DNF keeps in it. So the packages
    are excluded after a failure: an optional job for a package that is not there has no effect.
    """
    import dnf.exceptions

    for package in packages:
        base.goal.install(select=_select(base, package), optional=True)
    try:
        base.resolve(allow_erasing)
    except dnf.exceptions.Error as error:
        base.sack.add_excludes(base.sack.query().filterm(pkg=list(packages)))
        base.history.close()
        base.resolve(allow_erasing)
        return str(error)
    return ""


def hide(base: Any, nevras: Iterable[str], exact: Sequence[str] = ()) -> None:
    """Exclude these builds, so that DNF's own upgrade does not take them, but for those that a spec in
    ``exact`` names with their version, and those that are installed: without their copy in a repository
    distro-sync would go back behind them, and reinstall would not find them."""
    wanted = set(nevras)
    names = sorted(set(map(name_of, wanted)))
    wanted -= {str(nevra_of(package)) for package in base.sack.query().installed().filterm(name=names)}
    offered = base.sack.query().available().filterm(name=names)
    hidden = [
        package
        for package in offered
        if str(nevra_of(package)) in wanted and not withheld.versioned(exact, nevra_of(package))
    ]
    if hidden:
        base.sack.add_excludes(base.sack.query().filterm(pkg=hidden))
