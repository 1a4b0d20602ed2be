# SPDX-License-Identifier: GPL-2.0-or-later
"""From surveys to packages in the transaction: one choice after the other, each tried with those before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..dnf4 import packages
from ..messages import catalogue
from . import policy
from .survey import Beside, Survey, fitting

if TYPE_CHECKING:
    from .planner import Session


class Choosing:
    """What is chosen so far; ``commit`` puts it into the transaction."""

    def __init__(self, session: Session, wish: policy.Request, allow_erasing: bool) -> None:
        self.session = session
        self.wish = wish
        self.allow_erasing = allow_erasing
        self.chosen: list[Any] = []
        self._allowed: packages.Helpers = frozenset()
        self._beside: dict[str, list[Beside]] = {}

    def note(self, survey: Survey) -> None:
        """Have what the host has already of ``survey`` count for the surveys that are taken later."""
        if survey.has is not None:
            self._join(survey, survey.has)

    def take(self, survey: Survey) -> None:
        """Let the policy decide on ``survey``, say why not, choose the newest candidate that resolves."""
        session = self.session
        survey, clashes = fitting(survey, self._beside.get(survey.target.release, ()), session.cves)
        session.voice.tell(
            catalogue.problem("patch-overlaps", nevra=nevra, other=other) for nevra, other in clashes
        )
        mode, cannot = session.config.mode, session.cannot
        situation = policy.Situation(self.wish, mode, session.config.when, (survey.target,), cannot)
        plan = policy.decide(situation)
        session.voice.tell(plan.notes)
        if plan.choices:
            self._choose(survey, plan.choices[0])
        else:
            self._suppose(survey)

    def commit(self) -> list[Any]:
        """Add what was chosen; the packages that are in the transaction now."""
        session = self.session
        if not self.chosen:
            return []
        why = packages.commit(session.base, self.chosen, self.allow_erasing)
        if why:
            first = packages.nevra_of(self.chosen[0])
            session.voice.tell([catalogue.problem("patch-unresolvable", nevra=first, why=why)])
            return []
        session.added |= {str(packages.nevra_of(package)) for package in self.chosen}
        return self.chosen

    def _join(self, survey: Survey, package: Any) -> None:
        family = survey.families[str(packages.nevra_of(package))]
        beside = self._beside.setdefault(survey.target.release, [])
        beside.append(Beside(package, family, survey.single))

    def _choose(self, survey: Survey, choice: policy.Choice) -> None:
        tell = self.session.voice.tell
        newest, reason = choice.candidates[0].nevra, ""
        for candidate in choice.candidates:
            package = survey.packages[str(candidate.nevra)]
            along = self._allowed | survey.helpers[str(candidate.nevra)]
            why = packages.trial(self.session.base, [*self.chosen, package], self.allow_erasing, along)
            if not why:
                self._allowed = along
                self.chosen.append(package)
                self._join(survey, package)
                if reason:
                    facts = {"nevra": candidate.nevra, "newer": newest, "why": reason}
                    tell([catalogue.problem("patch-older", **facts)])
                return
            reason = reason or why
        tell([catalogue.problem("patch-unresolvable", nevra=newest, why=reason)])

    def _suppose(self, survey: Survey) -> None:
        """Where nothing may be added, count what would be: only that is to be told."""
        plan = policy.decide(
            policy.Situation(self.wish, "load", self.session.config.when, (survey.target,), "")
        )
        if plan.choices:
            self._join(survey, survey.packages[str(plan.choices[0].candidates[0].nevra)])
