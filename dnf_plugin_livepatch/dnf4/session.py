# SPDX-License-Identifier: GPL-2.0-or-later
"""One dnf run: looks at the host and the sack, lets the policy decide, carries the plan out.

Shared by the plugin's hooks and by ``dnf livepatch update``. Whatever is not there or broken (advisories,
inventory, guard) costs one warning line and is then unknown.
"""

from __future__ import annotations

import logging
import os
import time
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    FrozenSet,
    List,
    Optional,
    Sequence,
    Set,
    Tuple,
    TypeVar,
)

from .. import brakes, messages, policy, profiles, support
from .. import config as configs
from .. import exposure as exposures
from ..model import Exposure, InForce, Unfixable
from ..paths import Paths
from ..runtime import kernel as kernels
from . import brake, goal, request
from .report import LOG, Voice, closing

if TYPE_CHECKING:
    from ..runtime import status

_CVE = "livepatch-cve("
_T = TypeVar("_T")


class Session:
    """State of one ``dnf.Base``. ``expected`` is the NEVRA of the live patch that the transaction has to
    bring in force, "" when there is none; ``added`` are the NEVRAs that we put into the transaction.
    """

    def __init__(self, base: Any) -> None:
        self.base = base
        self.sack = base.sack
        self.paths = Paths()
        self.voice = Voice()
        self.config, faults = configs.read(self.paths.config)
        self.profiles, more = profiles.load(self.paths.profile_dirs)
        self.voice.tell(messages.problem("config-fault", fault=fault) for fault in (*faults, *more))
        self.kernel = kernels.running(self.paths)
        self.cannot = kernels.environment(self.paths) or kernels.rival(self.paths)
        self.expected = ""
        self.added: Set[str] = set()
        self.inputs = exposures.unknown(self.kernel.release, "not looked at yet")
        self.in_force: Tuple[InForce, ...] = ()
        self.unfixable: Tuple[Unfixable, ...] = ()
        self.notes: Optional[brake.Notes] = None
        self.braked: Dict[str, brakes.Brake] = {}
        self.support_end = ""
        self._read = False

    def soft(self, what: str, default: _T, function: Callable[[], _T]) -> _T:
        """What ``function`` returns; after one warning line ``default``, should it fail in any way."""
        try:
            return function()
        except Exception as error:  # whatever it is: dnf's user asked for an upgrade, not for us
            self.voice.tell([messages.problem("plugin-fault", what=what, error=_told(error))])
            LOG.debug("livepatch: %s", what, exc_info=True)
            return default

    def plan(self, wish: policy.Request, specs: Sequence[str], allow_erasing: bool, prompt: bool) -> None:
        """Add to the resolved transaction what the policy wants, and say the rest."""
        self.soft("reading the advisories", None, self.read_inputs)
        package = goal.running_package(self.base, self.kernel.release)
        if package is None:
            LOG.debug("livepatch: no package owns the running kernel %s", self.kernel.release)
            return
        surveys = self._surveys(package, wish, specs)
        situation = policy.Situation(
            wish,
            self.config.mode,
            self.config.when,
            tuple(survey.target for survey in surveys),
            self.cannot,
        )
        plan = policy.decide(situation)
        self.voice.tell(plan.notes)
        if wish.kind == policy.ALL:
            self.soft("looking at withdrawals and support", None, self._remind)
        chosen = self._add(plan, surveys, allow_erasing)
        self._expect(surveys[0], chosen)
        if prompt and self.base.transaction:
            self.soft("describing the transaction", None, lambda: self._prompt(surveys[0], chosen))

    @property
    def quiet(self) -> bool:
        """Was there nothing to add, nothing to load and nothing to say?"""
        return self.voice.silent and not self.added and not self.expected

    @property
    def reverts(self) -> bool:
        """Is something known to be withdrawn, and is that to be taken out of force here?"""
        from ..runtime import notices

        wanted = self.config.on_withdrawn == "revert" and self.config.mode == "load" and not self.cannot
        return wanted and os.geteuid() == 0 and bool(notices.read(self.paths).withdrawn)

    def revert(self) -> None:
        """Have reconcile take out of force what was withdrawn, without waiting for it."""
        from ..runtime import notices, timers
        from ..runtime import request as asking

        self.look_at_kernel()
        known = dict(notices.read(self.paths).withdrawn)
        if any(patch.nevra in known for patch in self.in_force):
            asking.request(self.paths)
            timers.now(self.paths)

    def trusted(self, package: Any) -> FrozenSet[str]:
        """The repositories that live patches may come from, ``package`` being the running kernel."""
        return goal.trusted_repos(self.base, package, self.config.repos)

    def read_inputs(self) -> None:
        """Read once what the repositories say of the running kernel, before a held kernel is hidden."""
        from ..runtime import cache
        from . import advisories

        if self._read:
            return
        self._read = True
        package = goal.running_package(self.base, self.kernel.release)
        trusted = self.trusted(package) if package is not None else frozenset()
        told = advisories.read(self.base, self.kernel, trusted, self.notes)
        known = cache.load(self.paths, self.kernel.release)[0]
        left_out = self._left_out([name for name, _ in known.repositories] if known is not None else None)
        if left_out:
            told = tuple(exposures.doubted(inputs, left_out) for inputs in told)
        self.inputs = told[0]
        if os.geteuid() == 0 and not (known is not None and left_out):
            cache.save(self.paths, *told)

    def _left_out(self, known: Optional[Sequence[str]]) -> Tuple[str, ...]:
        """The repositories left out of this run only, as by ``--repo=`` or because they did not answer.

        Only those that had advisories when all were ``known``; where that was never looked at, any.
        """
        import dnf.conf

        found = []
        for repo in self.base.repos.values():
            if repo.enabled or (known is not None and repo.id not in known):
                continue
            priority = getattr(repo, "_get_priority", lambda option: None)("enabled")
            if priority is None or priority >= dnf.conf.PRIO_COMMANDLINE:
                found.append(str(repo.id))
        return tuple(sorted(found))

    def _remind(self) -> None:
        """Say what is wrong with a live patch in force, and that its support ends."""
        from ..runtime import notices

        withdrawn = dict(notices.read(self.paths).withdrawn)
        for nevra in dict.fromkeys(patch.nevra for patch in self.in_force):
            if nevra in withdrawn:
                facts = {"nevra": nevra, "why": withdrawn[nevra]}
                self.voice.tell([messages.problem("withdrawn-in-force", **facts)])
        end = self.support_end or self.inputs.support_end or self.inputs.window_end
        now = brakes.moment(time.time())
        due = support.warning(self.kernel.release, end, now, self.config.eol_warn_days)
        self.voice.tell([due] if due is not None else [])

    def exposure(self, in_force: Sequence[InForce]) -> Exposure:
        """The exposure of the running kernel with these patches in force."""
        return exposures.compute(self.inputs, in_force, self.unfixable)

    def look_at_kernel(self) -> "status.Look":
        """Read what is in force now."""
        from ..runtime import status

        seen = status.look(
            self.paths, self.kernel, self.inputs.cover, None, self.config.on_withdrawn == "revert"
        )
        self.in_force = seen.in_force
        self.unfixable = status.unfixable(seen.stock.patches)
        self.support_end = status.support_end(self.inputs, seen.stock.patches)
        return seen

    def _surveys(self, package: Any, wish: policy.Request, specs: Sequence[str]) -> List[goal.Survey]:
        trusted = self.trusted(package)
        judge = goal.Judge(
            self._secures,
            lambda patch, has: request.passes(self.base, self._new_advisories(patch, has)),
            lambda nevra: request.names(specs, nevra),
        )
        release, build_id = self.kernel.release, self.kernel.build_id
        # An empty list of live patches is the usual case: then neither rpmdb nor manifests are read.
        if goal.installed_patches(self.base, release, self.profiles, build_id) or self._loaded():
            nothing: List[str] = []
            what = "looking at the live patches in force"
            absent = self.soft(what, nothing, lambda: list(self.look_at_kernel().missing))
            if not self.cannot and self.config.mode == "load":
                self.voice.tell(messages.not_in_force(name, self.in_force) for name in absent)
                self.expected = absent[0] if absent else ""
        rows = self.exposure(self.in_force).rows
        still = sum(1 for row in rows if row.state != exposures.CLOSED_LIVE)
        surveys = [
            goal.survey(self.base, release, True, self.profiles, trusted, judge, build_id, still)
        ]
        if self.config.kernels == "installed":
            for other in goal.next_kernels(self.base, release, package):
                surveys.append(goal.survey(self.base, other, False, self.profiles, trusted, judge))
        return [self._explained(survey) for survey in surveys]

    def _explained(self, survey: goal.Survey) -> goal.Survey:
        """With the reason why the newest patch is hidden, where it is we who hide it."""
        hidden = str(survey.target.excluded or "")
        if hidden in self.braked:
            return survey._replace(target=survey.target._replace(brake=self.braked[hidden].problem))
        blocked = self.blocked() if hidden else {}
        if hidden in blocked:
            why = blocked[hidden] or "no reason given"
            said = messages.problem("patch-kept-out", nevra=hidden, why=why)
            return survey._replace(target=survey.target._replace(brake=said))
        return survey

    def _loaded(self) -> bool:
        try:
            return bool(os.listdir(self.paths.klp))
        except OSError:
            return False

    def _cves(self, package: Any) -> Set[str]:
        declared = {
            text[len(_CVE) : -1] for text in map(str, package.provides) if text.startswith(_CVE)
        }
        return declared or set(dict(self.inputs.cover).get(str(goal.nevra_of(package)), ()))

    def _new_advisories(self, package: Any, has: Any) -> List[Any]:
        """The hawkey advisories that ``package`` brings beyond those of the patch the host has."""
        import hawkey

        known = {a.id for a in has.get_advisories(hawkey.EQ | hawkey.LT)} if has is not None else set()
        return [a for a in package.get_advisories(hawkey.EQ | hawkey.LT) if a.id not in known]

    def _secures(self, package: Any, running: bool) -> bool:
        """Does this patch close a CVE that is open, as far as that is known?"""
        import hawkey

        cves = self._cves(package)
        if running:
            exposure = self.exposure(self.in_force)
            if cves & {row.cve for row in exposure.rows if row.state != exposures.CLOSED_LIVE}:
                return True
            if exposure.quality == exposures.EXACT:
                return False
            cves -= {row.cve for row in exposure.rows}
            cves -= {cve for patch in self.in_force for cve in patch.cves}
            if cves or self.in_force:
                return bool(cves)
        own = package.get_advisories(hawkey.EQ | hawkey.LT)
        return bool(cves) or any(advisory.type == hawkey.ADVISORY_SECURITY for advisory in own)

    def _add(self, plan: policy.Plan, surveys: Sequence[goal.Survey], allow_erasing: bool) -> List[Any]:
        """Add for each kernel the newest candidate that resolves; the hawkey packages added."""
        packages: Dict[str, Any] = {}
        helpers: Dict[str, goal.Helpers] = {}
        allowed: goal.Helpers = frozenset()
        for survey in surveys:
            packages.update(survey.packages)
            helpers.update(survey.helpers)
        chosen: List[Any] = []
        for choice in plan.choices:
            newest, reason = choice.candidates[0].nevra, ""
            for candidate in choice.candidates:
                package = packages[str(candidate.nevra)]
                along = allowed | helpers[str(candidate.nevra)]
                why = goal.trial(self.base, [*chosen, package], allow_erasing, along)
                if not why:
                    allowed = along
                    chosen.append(package)
                    if reason:
                        facts = {"nevra": candidate.nevra, "newer": newest, "why": reason}
                        self.voice.tell([messages.problem("patch-older", **facts)])
                    break
                reason = reason or why
            else:
                self.voice.tell([messages.problem("patch-unresolvable", nevra=newest, why=reason)])
        if chosen:
            why = goal.commit(self.base, chosen, allow_erasing)
            if why:
                self.voice.tell([messages.problem("patch-unresolvable", nevra=chosen[0], why=why)])
                return []
            self.added |= {str(goal.nevra_of(package)) for package in chosen}
        return chosen

    def _expect(self, survey: goal.Survey, chosen: Sequence[Any]) -> None:
        """Remember which live patch of the running kernel the transaction brings, if any."""
        for package in chosen:
            if str(goal.nevra_of(package)) in survey.packages:
                self.expected = str(goal.nevra_of(package))
                return
        if survey.planned and survey.target.has is not None:
            self.expected = str(survey.target.has)

    def _prompt(self, survey: goal.Survey, chosen: Sequence[Any]) -> None:
        cves: Set[str] = set()
        for package in goal.incoming(self.base):
            if str(goal.nevra_of(package)) == self.expected:
                cves = self._cves(package)
        if not (self.inputs.debt or cves):
            return
        newest = self._newer_kernel()
        compare = self.base.sack.evr_cmp
        lines = exposures.prompt_lines(self.inputs, self.in_force, cves, newest, compare)
        self.voice.lines((logging.INFO, text) for text in lines)

    def _newer_kernel(self) -> str:
        """The newest build of the running kernel's package that is there after the transaction, as EVR;
        "" when that is the running one."""
        name = self.inputs.kernel_package.rpartition(".")[0].rsplit("-", 2)[0]
        running = newest = exposures.evr_of(self.inputs.kernel_package)
        for package in (*self.base.sack.query().installed().filterm(name=name), *goal.incoming(self.base)):
            if package.name == name and self.base.sack.evr_cmp(package.evr, newest) > 0:
                newest = package.evr
        return newest if newest != running else ""

    def blocked(self) -> Dict[str, str]:
        """NEVRA -> reason of the live patches that shall not be loaded here."""
        if not os.path.exists(self.paths.guard):
            return {}
        from ..runtime import guard

        return dict(guard.blocked(self.paths))

    def prepare(self) -> None:
        """Import what ``load`` needs: the transaction may replace this very plugin on disk."""
        # Their own late imports of the standard library belong to another package: that may change, too.
        import calendar  # noqa: F401
        import hashlib  # noqa: F401
        import selectors  # noqa: F401
        import sqlite3  # noqa: F401
        import subprocess  # noqa: F401

        from ..runtime import (  # noqa: F401
            cache,
            clients,
            evr,
            external,
            guard,
            installed,
            inventory,
            klp,
            notices,
            request,
            status,
            timers,
            vendor_cves,
        )

    def failed(self) -> bool:
        """Did the rpm transaction fail to install the expected package?"""
        import libdnf

        for item in self.base.transaction or ():
            if item.state == libdnf.transaction.TransactionItemState_ERROR:
                try:
                    if str(goal.nevra_of(item.pkg)) == self.expected:
                        return True
                except KeyError:
                    continue
        return False

    def load(self) -> bool:
        """After the transaction: have the patch loaded, say how it went; False when it is not in force."""
        if not self.expected or self.failed():
            return True
        if self.config.mode != "load" or self.cannot:
            why = self.cannot or f"mode = {self.config.mode}"
            self.voice.tell([messages.problem("load-skipped", nevra=self.expected, why=why)])
            return True
        from ..runtime import request as asking

        before = self.exposure(self.in_force)
        limit = asking.bound(self.config)
        try:
            LOG.info("Loading live patch %s (at most %d s).", self.expected, limit)
            result = asking.ask(self.paths, limit)
        except KeyboardInterrupt:
            self.voice.tell([messages.problem("load-interrupted")])
            return True
        except OSError as error:
            LOG.debug("livepatch: %s", error)
            result = None
        if result is not None:
            self.soft("reading what is in force", None, self._after)
        in_force = result.in_force if result is not None else ()
        newest = self.soft("looking for a newer kernel", "", self._newer_kernel)
        after = self.exposure(in_force)
        lines, good = closing(result, self.expected, before, after, newest, self.base.sack.evr_cmp)
        Voice().lines(lines)
        return good

    def _after(self) -> None:
        from ..runtime import status

        seen = status.look(self.paths, self.kernel, self.inputs.cover)
        self.unfixable = status.unfixable(seen.stock.patches)


def of(base: Any) -> Session:
    """The one session of ``base``: what a hook found out is there for the next one and for the command."""
    found = getattr(base, "_livepatch_session", None)
    if not isinstance(found, Session):
        found = base._livepatch_session = Session(base)
    return found


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__



