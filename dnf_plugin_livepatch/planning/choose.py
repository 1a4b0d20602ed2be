# SPDX-License-Identifier: GPL-2.0-or-later
"""From surveys to packages in the transaction: one choice after the other, each tried with those before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from ..base.config import Config
from ..base.model import Problem
from ..base.typed import TYPE_CHECKING
from ..messages import catalogue
from . import policy
from .interface import Helpers, Package, PackageManager, Patched
from .policy import Candidate, Situation
from .request import ALL, Asked
from .survey import Beside, Survey, fitting

#: Candidates of one repository that do not resolve, in one run. Each costs two runs of the solver.
MAX_FAILED = 4

if TYPE_CHECKING:
    from ..vendors.profiles import Profile
    from .facts import Facts
    from .survey import Cves


class Choosing:
    """The packages chosen so far, and the notes. ``cannot`` is why nothing can be loaded here."""

    def __init__(
        self, asked: Asked, settings: Config, cannot: str, manager: PackageManager, cves: Cves
    ) -> None:
        self.asked = asked
        self.settings = settings
        self.cannot = cannot
        self.manager = manager
        self.cves = cves
        self.chosen: list[Package] = []
        self.notes: list[Problem] = []
        self._fitted: list[Survey] = []
        #: What is said of the first patch for the running kernel that another one has CVEs in common with.
        self._overlap: Problem | None = None
        self._allowed: Helpers = frozenset()
        self._beside: dict[str, list[Beside]] = {}
        self._failed: Counter[str] = Counter()

    def note(self, survey: Survey) -> None:
        """Have what the host has already of ``survey`` count for the surveys that are taken later."""
        if survey.has is not None:
            self._join(survey, survey.has)

    def take(self, survey: Survey) -> None:
        """Let the policy decide on ``survey``, note why not, choose the newest candidate that resolves."""
        survey, candidates = self._judged(survey)
        if candidates:
            self._choose(survey, candidates)
        else:
            self._suppose(survey)

    def leave(self, survey: Survey) -> None:
        """Note what stays out of ``survey`` since the user's transaction fails.

        A candidate that a transaction of its own cannot install either may be why the user's fails.
        """
        survey, candidates = self._judged(survey)
        package, problem = self._alone(survey, candidates)
        if problem is not None:
            self.notes.append(problem)
        if package is not None:
            self.notes.append(catalogue.problem("patch-left", nevra=package.nevra))
            self.chosen.append(package)
            self._join(survey, package)

    def offer(self) -> tuple[Package | None, Problem | None]:
        """The first live patch of the running kernel that `dnf livepatch update` would take or takes.

        Where there is none, what keeps the first one out that nothing else keeps out. To be called when all
        surveys are taken or left. Only a candidate that was not chosen costs a trial.
        """
        problem = self._overlap
        for one in self._fitted:
            if not one.target.running:
                continue
            found = one.has if one.planned else None
            if found is None:
                verdict = policy.decide(Situation(Asked(ALL), one.target, when=self.settings.when))
                found, bad = self._alone(one, verdict.take)
                problem = problem or bad
            if found is not None:
                return found, None
        return None, problem

    def _judged(self, survey: Survey) -> tuple[Survey, Sequence[Candidate]]:
        """``survey`` without what cannot stand beside the other patches, and what the policy would take."""
        survey, clashes = fitting(survey, self._beside.get(survey.target.release, ()), self.cves)
        self._fitted.append(survey)
        for nevra, other in clashes:
            self.notes.append(catalogue.problem("patch-overlaps", nevra=nevra, other=other))
            if survey.target.running and self._overlap is None:
                self._overlap = self.notes[-1]
        mode, when = self.settings.mode, self.settings.when
        verdict = policy.decide(Situation(self.asked, survey.target, mode, when, self.cannot))
        self.notes += verdict.notes
        return survey, verdict.take

    def _alone(
        self, survey: Survey, candidates: Sequence[Candidate]
    ) -> tuple[Package | None, Problem | None]:
        """The first candidate that a transaction of its own can install, and why the newest cannot be."""
        problem: Problem | None = None
        for candidate in candidates[:MAX_FAILED]:
            package = survey.packages[str(candidate.nevra)]
            if package in self.chosen:
                return package, problem
            why = self.manager.why_not_alone(package, survey.helpers[str(candidate.nevra)])
            if not why:
                return package, problem
            problem = problem or catalogue.problem("patch-uninstallable", nevra=candidate.nevra, why=why)
        return None, problem

    def _join(self, survey: Survey, package: Package) -> None:
        beside = self._beside.setdefault(survey.target.release, [])
        beside.append(Beside(package, survey.families[str(package.nevra)], survey.single))

    def _choose(self, survey: Survey, candidates: Sequence[Candidate]) -> None:
        newest, reason = candidates[0].nevra, ""
        for candidate in candidates:
            if self._failed[candidate.repo] >= MAX_FAILED:
                continue
            package = survey.packages[str(candidate.nevra)]
            along = self._allowed | survey.helpers[str(candidate.nevra)]
            why = self.manager.why_not_with([*self.chosen, package], along)
            if not why:
                self._allowed = along
                self.chosen.append(package)
                self._join(survey, package)
                if reason:
                    facts = {"nevra": candidate.nevra, "newer": newest, "why": reason}
                    self.notes.append(catalogue.problem("patch-older", **facts))
                return
            self._failed[candidate.repo] += 1
            reason = reason or why
        reason = reason or f"{MAX_FAILED} others of its repository could not be installed"
        self.notes.append(catalogue.problem("patch-unresolvable", nevra=newest, why=reason))

    def _suppose(self, survey: Survey) -> None:
        """Where nothing may be added, count what would be: later surveys are judged beside it."""
        verdict = policy.decide(Situation(self.asked, survey.target, when=self.settings.when))
        if verdict.take:
            self._join(survey, survey.packages[str(verdict.take[0].nevra)])


def expected(surveys: Sequence[Survey], chosen: Sequence[Package], before: Sequence[str]) -> tuple[str, ...]:
    """The live patches of the running kernel that have to be in force in the end.

    A patch that was missing ``before`` stays one of them, unless another takes its place: of those chosen
    together, only the newest can be in force.
    """
    coming: list[str] = []
    kept: set[str] = set()
    names = [str(package.nevra) for package in chosen]
    for one in surveys:
        new = [name for name in names if name in one.packages]
        old = str(one.target.has or "")
        coming += new or ([old] if one.planned else [])
        if not new and not one.planned:
            kept.add(old)
    missing = [name for name in before if name in kept]
    if not coming and not missing:
        missing = list(before[:1])
    return tuple(dict.fromkeys([*coming, *missing]))


def _rules(facts: Facts, nevras: Collection[str]) -> list[Profile]:
    """The profiles of the live patches ``nevras`` for the running kernel."""
    rows = facts.known(facts.host.kernel.release)
    owners = {row.match.profile for row in rows if str(row.package.nevra) in nevras}
    return [rule for rule in facts.host.profiles if rule.name in owners]


def switched_off(facts: Facts, nevras: Collection[str]) -> str:
    """The switch that keeps all of the live patches ``nevras`` from being loaded here, "" for none."""
    host = facts.host
    mode = host.settings.mode
    if host.cannot or mode != "load":
        return host.cannot or f"mode = {mode} in livepatch.conf"
    off = [host.switched_off(rule) for rule in _rules(facts, nevras)]
    return off[0] if off and all(off) else ""


def out_of_force(patched: Patched, missing: Collection[str]) -> list[Problem]:
    """The notes on the installed live patches that are ``missing``, and on those that the host blocked."""
    notes = [catalogue.not_in_force(nevra, patched.in_force) for nevra in missing]
    barred = patched.barred
    return [*notes, *(catalogue.problem("patch-blocked", nevra=nevra, why=why) for nevra, why in barred)]


def not_loading(facts: Facts, patched: Patched, coming: Sequence[Package]) -> str:
    """Why none of the live patches ``coming`` will be loaded, "" where one will as far as is known."""
    nevras = {str(package.nevra) for package in coming}
    off = switched_off(facts, nevras)
    if off:
        return off
    rules = _rules(facts, nevras)
    if patched.foreign and rules and all(rule.cumulative and not rule.client for rule in rules):
        foreign = ", ".join(patched.foreign[:3])
        return f"another program loaded {foreign}, which the patch would put out of force"
    return ""
