# SPDX-License-Identifier: GPL-2.0-or-later
"""DNF's solver: the trials and the acts of ``planning.interface.PackageManager``.

Trials run on a copy of the goal, or on a goal of their own. The goal that DNF works with is changed by
``add`` alone. Everything here may raise; the planner's caller catches.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Sequence

from ..base.typed import TYPE_CHECKING
from ..planning.interface import Helpers, Package
from . import excludes
from .packages import Questions, incoming

if TYPE_CHECKING:
    from typing import Any


#: Complaints of the solver that one line has room for.
_COMPLAINTS = 3
_LISTS = ("installs", "upgrades", "downgrades", "reinstalls", "erasures", "obsoleted")


class Dnf(Questions):
    """DNF 4 as a package manager. ``allow_erasing`` is the user's."""

    can_add = True

    def __init__(self, base: Any) -> None:
        super().__init__(base)
        self.allow_erasing = False
        #: The packages in the transaction that are there since ``add`` was called.
        self.brought: frozenset[str] = frozenset()

    def why_not_with(self, add: Sequence[Package], along: Helpers) -> str:
        """Why adding ``add`` would not leave the user's transaction as it is; "" when it would.

        Some of ``along`` may come along.
        """
        packages = [self.behind(package) for package in add]
        before = _outcome(self.base.goal)
        goal, solved = self._solve(packages, optional=True)
        if solved:
            after = _outcome(goal)
            added = (after["installs"] | after["upgrades"]) - (before["installs"] | before["upgrades"])
            wanted = {str(package) for package in packages}
            arriving = (*goal.list_installs(), *goal.list_upgrades())
            added -= {str(p) for p in arriving if (p.name, p.reponame) in along} - wanted
            same = all(before[name] == after[name] for name in _LISTS[2:])
            kept = before["installs"] <= after["installs"] and before["upgrades"] <= after["upgrades"]
            if same and kept and added == wanted:
                return ""
            extra = sorted((added - wanted) | (after["erasures"] - before["erasures"]))
            if extra:
                return f"it would also change {', '.join(extra[:3])}"
            if not added and not (same and kept):
                return "it would change other packages"
        goal, solved = self._solve(packages, optional=False)
        if solved:
            return "it does not fit the rest of this transaction"
        return _reason(goal, [package.name for package in packages])

    def why_not_without(self, out: Sequence[Package]) -> str:
        """Why the rest of a bare upgrade would change without ``out``; "" when it would not.

        Two trial solves of the whole upgrade are compared, with and without ``out``. A kernel module
        package that needs the new kernel, for example, lets the kernel in.
        """
        before = self._upgrade()
        if before is None:
            return "the upgrade cannot be resolved as it is"
        packages = [self.behind(package) for package in out]
        chosen = self.base.sack.query().filterm(pkg=packages)
        self.base.sack.add_excludes(chosen)
        try:
            return _difference(before, self._upgrade(), {str(package) for package in packages})
        finally:
            self.base.sack.remove_excludes(chosen)

    def hide(self, nevras: Iterable[str]) -> None:
        """Exclude these builds, except the installed ones."""
        excludes.hide(self.base, nevras)

    def hide_copies(self, packages: Sequence[Package]) -> None:
        """Exclude these packages on offer, and not the copies that other repositories have."""
        excludes.exclude(self.base, [self.behind(package) for package in packages])

    def add(self, packages: Sequence[Package]) -> str:
        """Add ``packages`` to the goal and resolve again; why it failed, "" when it did not.

        A job cannot be taken back from a goal, and a copy of a goal lacks what DNF keeps in it. So the
        packages are excluded after a failure: an optional job for a package that is not there has no
        effect.
        """
        import dnf.exceptions

        chosen = [self.behind(package) for package in packages]
        before = frozenset(map(str, incoming(self.base)))
        for package in chosen:
            self.base.goal.install(select=self._select(package), optional=True)
        try:
            self.base.resolve(self.allow_erasing)
        except dnf.exceptions.Error as error:
            self._without(chosen)
            return str(error)
        self.brought = frozenset(map(str, incoming(self.base))) - before
        return ""

    def drop(self, names: Collection[str]) -> None:
        """Resolve again without the packages ``names``, which ``add`` has added."""
        del self.base._ts  # rpm's own copy of the transaction
        self._without([package for package in incoming(self.base) if str(package) in names])

    def _without(self, chosen: Sequence[Any]) -> None:
        self.base.sack.add_excludes(self.base.sack.query().filterm(pkg=chosen))
        self.base.history.close()
        self.base.resolve(self.allow_erasing)

    def _select(self, package: Any) -> Any:
        import dnf.selector

        selector = dnf.selector.Selector(self.base.sack)
        selector.set(pkg=self.base.sack.query().filterm(pkg=[package]))
        return selector

    def _solve(self, packages: Iterable[Any], optional: bool) -> tuple[Any, bool]:
        goal = copy.deepcopy(self.base.goal)
        for package in packages:
            goal.install(select=self._select(package), optional=optional)
        return goal, self._solved(goal)

    def _solved(self, goal: Any) -> bool:
        conf = self.base.conf
        return bool(
            goal.run(
                allow_uninstall=self.allow_erasing,
                force_best=conf.best,
                ignore_weak_deps=not conf.install_weak_deps,
            )
        )

    def _upgrade(self) -> dict[str, frozenset[str]] | None:
        """The outcome of a bare upgrade, on a goal of its own; None when it cannot be resolved."""
        import dnf.goal

        base = self.base
        saved = base._goal
        trial = dnf.goal.Goal(base.sack)
        trial.protect_running_kernel = saved.protect_running_kernel
        base._goal = trial
        try:
            # The class's own method, because Watch may have wrapped the object's.
            type(base).upgrade_all(base)
        finally:
            base._goal = saved
        return _outcome(trial) if self._solved(trial) else None


def _outcome(goal: Any) -> dict[str, frozenset[str]]:
    return {name: frozenset(map(str, getattr(goal, f"list_{name}")())) for name in _LISTS}


def _reason(goal: Any, names: Sequence[str]) -> str:
    """The solver's complaints that name a package in the way, those about ``names`` first.

    The complaints are in the user's language. General remarks are told by their naming no package that the
    solver lists as part of the problem, in whatever words.
    """
    lists = (goal.problem_broken_dependency, goal.problem_conflicts)
    involved = {str(package) for of in lists for installed in (True, False) for package in of(not installed)}
    texts = dict.fromkeys(str(rule).strip() for rules in goal.problem_rules() for rule in rules)
    mine = [text for text in texts if any(name in text for name in names)]
    telling = [*mine, *(text for text in texts if text not in mine and any(one in text for one in involved))]
    return "; ".join(telling[:_COMPLAINTS]) or "its dependencies cannot be met"


def _difference(
    before: dict[str, frozenset[str]], after: dict[str, frozenset[str]] | None, held: set[str]
) -> str:
    if after is None:
        return "other updates need it"
    lost = sorted(before["upgrades"] - after["upgrades"] - held)
    if lost:
        return f"{lost[0]} needs it"
    more = sorted(name for key in before for name in after[key] - before[key] - held)
    return f"{more[0]} would change without it" if more else ""
