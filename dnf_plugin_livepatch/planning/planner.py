# SPDX-License-Identifier: GPL-2.0-or-later
"""One dnf run: looks at the host and the sack, lets the policy decide, carries the plan out.

Shared by the plugin's hooks and by ``dnf livepatch update``. Whatever is not there or broken (advisories,
inventory, guard) costs one warning line and is then unknown.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    TypeVar,
)

from ..base import config
from ..base.model import Exposure, InForce, ReconcileResult, Unfixable
from ..base.paths import Paths
from ..dnf4 import asked, brake, packages
from ..exposure import compute, support
from ..host.kernel import running as kernels
from ..messages import catalogue
from ..vendors import profiles
from . import choose, policy, survey, withheld
from .lines import LOG, Voice, Waiting, closing
from .survey import Survey

if TYPE_CHECKING:
    from ..exposure import support
    from ..host import look

_CVE = "livepatch-cve("
_T = TypeVar("_T")


class Session:
    """State of one ``dnf.Base``. ``expected`` are the NEVRAs of the live patches that have to be in force
    after the transaction; ``added`` are those that we put into it.
    """

    def __init__(self, base: Any) -> None:
        self.base = base
        self.sack = base.sack
        self.paths = Paths()
        self.voice = Voice()
        self.config, faults = config.read(self.paths.config)
        self.profiles, more = profiles.load(self.paths.profile_dirs)
        self.voice.tell(catalogue.problem("config-fault", fault=fault) for fault in (*faults, *more))
        self.kernel = kernels.running(self.paths)
        self.cannot = kernels.environment(self.paths) or kernels.rival(self.paths)
        self.expected: tuple[str, ...] = ()
        self.added: set[str] = set()
        self.inputs = compute.unknown(self.kernel.release, "not looked at yet")
        self.in_force: tuple[InForce, ...] = ()
        self.unfixable: tuple[Unfixable, ...] = ()
        self.notes: brake.Notes | None = None
        self.braked: dict[str, withheld.Brake] = {}
        self.support_end = ""
        self._read = False

    def soft(self, what: str, default: _T, function: Callable[[], _T]) -> _T:
        """What ``function`` returns; after one warning line ``default``, should it fail in any way."""
        try:
            return function()
        except Exception as error:  # whatever it is: dnf's user asked for an upgrade, not for us
            self.voice.tell([catalogue.problem("plugin-fault", what=what, error=_told(error))])
            LOG.debug("livepatch: %s", what, exc_info=True)
            return default

    def plan(self, wish: policy.Request, specs: Sequence[str], allow_erasing: bool, prompt: bool) -> None:
        """Add to the resolved transaction what the policy wants, and say the rest."""
        self.soft("reading the advisories", None, self.read_inputs)
        package = packages.running_package(self.base, self.kernel.release)
        if package is None:
            LOG.debug("livepatch: no package owns the running kernel %s", self.kernel.release)
            return
        found = self._surveys(package, wish, specs)
        choosing = choose.Choosing(self, wish, allow_erasing)
        for one in found:
            choosing.note(one)
        for one in found:
            choosing.take(one)
        if wish.kind == policy.ALL:
            self.soft("looking at withdrawals and support", None, self._remind)
        chosen = choosing.commit()
        here = [one for one in found if one.target.running]
        self._expect(here, chosen)
        if prompt and self.base.transaction:
            self.soft("describing the transaction", None, self._prompt)

    @property
    def quiet(self) -> bool:
        """Was there nothing to add, nothing to load and nothing to say?"""
        return self.voice.silent and not self.added and not self.expected

    @property
    def reverts(self) -> bool:
        """Is something known to be withdrawn, and is that to be taken out of force here?"""
        from ..host.files import notices

        wanted = self.config.on_withdrawn == "revert" and self.config.mode == "load" and not self.cannot
        return wanted and os.geteuid() == 0 and bool(notices.read(self.paths).withdrawn)

    def revert(self) -> None:
        """Have reconcile take out of force what was withdrawn, without waiting for it."""
        from ..host.files import mailbox, notices
        from ..host.reconcile import timers

        self.look_at_kernel()
        known = dict(notices.read(self.paths).withdrawn)
        if any(patch.nevra in known for patch in self.in_force):
            mailbox.request(self.paths)
            timers.now(self.paths)

    def trusted(self, package: Any) -> frozenset[str]:
        """The repositories that live patches may come from, ``package`` being the running kernel."""
        return packages.trusted_repos(self.base, package, self.config.repos)

    def read_inputs(self) -> None:
        """Read once what the repositories say of the running kernel, before a held kernel is hidden."""
        from ..host.files import advisories as cache
        from . import inputs as advisories

        if self._read:
            return
        self._read = True
        package = packages.running_package(self.base, self.kernel.release)
        trusted = self.trusted(package) if package is not None else frozenset()
        told = advisories.read(self.base, self.kernel, trusted, self.notes)
        known = cache.load(self.paths, self.kernel.release)[0]
        left_out = self._left_out([name for name, _ in known.repositories] if known is not None else None)
        if left_out:
            told = tuple(compute.doubted(inputs, left_out) for inputs in told)
        self.inputs = told[0]
        if os.geteuid() == 0 and not (known is not None and left_out):
            cache.save(self.paths, *told)

    def _left_out(self, known: Sequence[str] | None) -> tuple[str, ...]:
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
        from ..host.files import notices

        withdrawn = dict(notices.read(self.paths).withdrawn)
        for nevra in dict.fromkeys(patch.nevra for patch in self.in_force):
            if nevra in withdrawn:
                facts = {"nevra": nevra, "why": withdrawn[nevra]}
                self.voice.tell([catalogue.problem("withdrawn-in-force", **facts)])
        end = self.support_end or self.inputs.support_end or self.inputs.window_end
        now = withheld.moment(time.time())
        due = support.warning(self.kernel.release, end, now, self.config.eol_warn_days)
        self.voice.tell([due] if due is not None else [])

    def exposure(self, in_force: Sequence[InForce]) -> Exposure:
        """The exposure of the running kernel with these patches in force."""
        return compute.compute(self.inputs, in_force, self.unfixable)

    def look_at_kernel(self) -> look.Look:
        """Read what is in force now."""
        from ..exposure import support
        from ..host import look

        seen = look.look(
            self.paths, self.kernel, self.inputs.cover, None, self.config.on_withdrawn == "revert"
        )
        self.in_force = seen.in_force
        self.unfixable = support.unfixable(seen.stock.patches)
        self.support_end = support.support_end(self.inputs, seen.stock.patches)
        return seen

    def _surveys(self, package: Any, wish: policy.Request, specs: Sequence[str]) -> list[Survey]:
        trusted = self.trusted(package)
        judge = survey.Judge(
            self._secures,
            lambda patch, has: asked.passes(self.base, self._new_advisories(patch, has)),
            lambda nevra: asked.names(specs, nevra),
        )
        release, build_id = self.kernel.release, self.kernel.build_id
        # An empty list of live patches is the usual case: then neither rpmdb nor manifests are read.
        if packages.installed_patches(self.base, release, self.profiles, build_id) or self._loaded():
            nothing: list[str] = []
            what = "looking at the live patches in force"
            absent = self.soft(what, nothing, lambda: list(self.look_at_kernel().missing))
            if not self.cannot and self.config.mode == "load":
                self.voice.tell(catalogue.not_in_force(name, self.in_force) for name in absent)
                self.expected = tuple(absent)
        rows = self.exposure(self.in_force).rows
        still = sum(1 for row in rows if row.state != compute.CLOSED_LIVE)
        found = survey.surveys(self.base, release, True, self.profiles, trusted, judge, build_id, still)
        if self.config.kernels == "installed":
            for other in packages.next_kernels(self.base, release, package):
                found += survey.surveys(self.base, other, False, self.profiles, trusted, judge)
        return [self._explained(one) for one in found]

    def _explained(self, one: Survey) -> Survey:
        """With the reason why the newest patch is hidden, where it is we who hide it."""
        hidden = str(one.target.excluded or "")
        if hidden in self.braked:
            return one._replace(target=one.target._replace(brake=self.braked[hidden].problem))
        blocked = self.blocked() if hidden else {}
        if hidden in blocked:
            why = blocked[hidden] or "no reason given"
            said = catalogue.problem("patch-kept-out", nevra=hidden, why=why)
            return one._replace(target=one.target._replace(brake=said))
        return one

    def _loaded(self) -> bool:
        try:
            return bool(os.listdir(self.paths.klp))
        except OSError:
            return False

    def cves(self, package: Any) -> set[str]:
        """The CVEs that a live patch closes, by its own word or by the advisories; empty: not known."""
        declared = {text[len(_CVE) : -1] for text in map(str, package.provides) if text.startswith(_CVE)}
        return declared or set(dict(self.inputs.cover).get(str(packages.nevra_of(package)), ()))

    def _new_advisories(self, package: Any, has: Any) -> list[Any]:
        """The hawkey advisories that ``package`` brings beyond those of the patch the host has."""
        import hawkey

        known = {a.id for a in has.get_advisories(hawkey.EQ | hawkey.LT)} if has is not None else set()
        return [a for a in package.get_advisories(hawkey.EQ | hawkey.LT) if a.id not in known]

    def _secures(self, package: Any, running: bool) -> bool:
        """Does this patch close a CVE that is open, as far as that is known?"""
        import hawkey

        cves = self.cves(package)
        if running:
            exposure = self.exposure(self.in_force)
            if cves & {row.cve for row in exposure.rows if row.state != compute.CLOSED_LIVE}:
                return True
            if exposure.quality == compute.EXACT:
                return False
            cves -= {row.cve for row in exposure.rows}
            cves -= {cve for patch in self.in_force for cve in patch.cves}
            if cves or self.in_force:
                return bool(cves)
        own = package.get_advisories(hawkey.EQ | hawkey.LT)
        return bool(cves) or any(advisory.type == hawkey.ADVISORY_SECURITY for advisory in own)

    def _expect(self, surveys: Sequence[Survey], chosen: Sequence[Any]) -> None:
        """Remember which live patches of the running kernel have to be in force in the end.

        What was found missing stays one of them, unless something takes its place: of what is chosen
        together, only the newest can be in force.
        """
        coming: list[str] = []
        kept: set[str] = set()
        for one in surveys:
            new = [str(packages.nevra_of(p)) for p in chosen if str(packages.nevra_of(p)) in one.packages]
            old = str(one.target.has or "")
            coming += new or ([old] if one.planned else [])
            if not new and not one.planned:
                kept.add(old)
        missing = [name for name in self.expected if name in kept]
        if not coming and not missing:
            missing = list(self.expected[:1])
        self.expected = tuple(dict.fromkeys([*coming, *missing]))

    def _prompt(self) -> None:
        cves: set[str] = set()
        for package in packages.incoming(self.base):
            if str(packages.nevra_of(package)) in self.expected:
                cves |= self.cves(package)
        if not (self.inputs.debt or cves):
            return
        newest = self._newer_kernel()
        compare = self.base.sack.evr_cmp
        lines = compute.prompt_lines(self.inputs, self.in_force, cves, newest, compare)
        self.voice.lines((logging.INFO, text) for text in lines)

    def _newer_kernel(self) -> str:
        """The newest build of the running kernel's package that is there after the transaction, as EVR;
        "" when that is the running one."""
        name = self.inputs.kernel_package.rpartition(".")[0].rsplit("-", 2)[0]
        running = newest = compute.evr_of(self.inputs.kernel_package)
        for package in (
            *self.base.sack.query().installed().filterm(name=name),
            *packages.incoming(self.base),
        ):
            if package.name == name and self.base.sack.evr_cmp(package.evr, newest) > 0:
                newest = package.evr
        return newest if newest != running else ""

    def blocked(self) -> dict[str, str]:
        """NEVRA -> reason of the live patches that shall not be loaded here."""
        if not os.path.exists(self.paths.guard):
            return {}
        from ..host.files import guard_file

        return dict(guard_file.blocked(self.paths))

    def prepare(self) -> None:
        """Import what ``load`` needs: the transaction may replace this very plugin on disk."""
        # Their own late imports of the standard library belong to another package: that may change, too.
        import calendar  # noqa: F401
        import hashlib  # noqa: F401
        import selectors  # noqa: F401
        import sqlite3  # noqa: F401
        import subprocess  # noqa: F401

        from ..host import look  # noqa: F401
        from ..host.clients import client, patches  # noqa: F401
        from ..host.files import advisories as cache  # noqa: F401
        from ..host.kernel import livepatches  # noqa: F401
        from ..host.packages import evr, installed, inventory, vendor_cves  # noqa: F401
        from ..host.reconcile import timers  # noqa: F401

    def _failed(self) -> set[str]:
        """The packages that the rpm transaction failed to install."""
        import libdnf

        failed: set[str] = set()
        for item in self.base.transaction or ():
            if item.state == libdnf.transaction.TransactionItemState_ERROR:
                try:
                    failed.add(str(packages.nevra_of(item.pkg)))
                except KeyError:
                    continue
        return failed

    def load(self, cli: Any = None) -> bool:
        """After the transaction: have the patches loaded, say how it went; False if one is not in force."""
        failed = self._failed() if self.expected else set()
        expected = [nevra for nevra in self.expected if nevra not in failed]
        if not expected:
            return True
        if self.config.mode != "load" or self.cannot:
            why = self.cannot or f"mode = {self.config.mode}"
            self.voice.tell(catalogue.problem("load-skipped", nevra=nevra, why=why) for nevra in expected)
            return True
        from ..host.files import mailbox

        before = self.exposure(self.in_force)
        limit = mailbox.bound(self.config)
        try:
            LOG.info("Loading live patch %s (at most %d s).", ", ".join(expected), limit)
            with Waiting(cli) as progress:
                result = mailbox.ask(self.paths, limit, progress)
        except KeyboardInterrupt:
            self.voice.tell([catalogue.problem("load-interrupted")])
            return True
        except OSError as error:
            LOG.debug("livepatch: %s", error)
            result = None
        in_force = result.in_force if result is not None else ()
        if result is not None:
            # As status has it: what a vendor's client loaded closes what that says, not the advisories.
            in_force = self.soft("reading what is in force", in_force, lambda: self._now(result))
        newest = self.soft("looking for a newer kernel", "", self._newer_kernel)
        after = self.exposure(in_force)
        lines, good = closing(result, expected, before, after, newest, self.base.sack.evr_cmp)
        Voice().lines(lines)
        return good

    def _now(self, result: ReconcileResult) -> tuple[InForce, ...]:
        from ..exposure import support
        from ..host import look

        seen = look.look(self.paths, self.kernel, self.inputs.cover, result)
        self.unfixable = support.unfixable(seen.stock.patches)
        return seen.in_force


def of(base: Any) -> Session:
    """The one session of ``base``: what a hook found out is there for the next one and for the command."""
    found = getattr(base, "_livepatch_session", None)
    if not isinstance(found, Session):
        found = base._livepatch_session = Session(base)
    return found


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
