# SPDX-License-Identifier: GPL-2.0-or-later
"""One run of a package manager: three doors, which an adapter opens in their order. Pure.

Whatever is not there or broken (advisories, inventory, guard) costs one warning line and is then unknown.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from ..base.model import CLOSED_LIVE, EXACT, Exposure, InForce, Problem, ReconcileResult
from ..base.names import parse_nevra
from ..base.typed import TYPE_CHECKING
from ..exposure import compute
from ..messages import catalogue
from . import choose, inputs, kernel_hold, lines, policy, survey, unproved, withheld
from .facts import Facts
from .interface import Attempt, Ended, Host, Package, PackageManager, Patched, Plan
from .request import ALL, NONE, Asked
from .survey import Survey

if TYPE_CHECKING:
    from .interface import Waiting


class Planner:
    """State of one run. ``expected`` are the NEVRAs of the live patches that have to be in force after the
    transaction, ``leaving`` those that it removes; ``added`` are those that planning put into it;
    ``withheld`` are those that it kept out.
    """

    def __init__(self, manager: PackageManager, host: Host, attempt: Attempt) -> None:
        self.manager = manager
        self.host = host
        self.attempt = attempt
        self.facts = Facts(manager, host)
        self.expected: tuple[str, ...] = ()
        self.leaving: tuple[str, ...] = ()
        self._coming: frozenset[str] = frozenset()
        self.added: set[str] = set()
        self.withheld: dict[str, withheld.Withheld] = {}
        self.inputs = compute.unknown(host.kernel.release, "not looked at yet")
        self.patched = Patched()
        self._notes = [catalogue.problem("config-fault", fault=fault) for fault in host.faults]
        self._loud = False
        self._read = False
        #: The inputs that this run had the host remember.
        self._told_to_host: tuple[compute.Inputs, ...] = ()
        #: Does this run see what those after it do of what is on offer?
        self._sees_offer = False
        self._sifted = False
        #: The exposure that was computed last, from which facts, and the state of each CVE in it.
        self._computed: tuple[tuple[object, ...], Exposure] | None = None
        self._states: dict[str, str] = {}
        self._unproved: list[str] = []
        self._specs: Sequence[str] = ()
        #: What is blocked on this host, and why.
        self._away: Mapping[str, str] = {}

    # --- the doors ---

    def keep_out(self, asked: Asked, free: bool = False) -> Plan:
        """Hide what is not to be taken: blocked, withdrawn, not due, and kernels that are held.

        To be called when the packages are known and nothing is resolved yet. ``free``: an earlier run found,
        with everything as it is now, that no record keeps a patch out.
        """
        hidden: list[str] = []
        if not self._sifted:
            none: list[str] = []
            hidden += self.attempt("hiding what is blocked", none, lambda: self._hide_blocked(asked))
            what, known = "looking for patches to keep out", free
            free = self.attempt(what, False, lambda: self._withhold(asked, known))
            hidden += self.withheld
            self._sifted = True
        if hidden and asked.specs and asked.kind == NONE:  # of an upgrade the next door tells
            what = "looking for what was asked for and is hidden"
            silence: list[Problem] = []
            self._notes += self.attempt(
                what, silence, lambda: withheld.missed(self.facts, asked, self._hidden())
            )
        if asked.bare and (self.host.settings.kernel_update != kernel_hold.INSTALL or self.host.held()):
            nothing: tuple[str, ...] = ()
            hidden += self.attempt("looking at the kernel update", nothing, self._hold)
        self.facts.refresh()
        return Plan(hidden=tuple(hidden), notes=self.told(), free=free)

    def bring_in(self, asked: Asked, prompt: bool = True) -> Plan:
        """Add the live patches that the user's own transaction is to take along.

        To be called when that transaction is resolved. ``prompt``: somebody is asked about it.
        """
        self.facts.refresh()
        self._specs = asked.specs
        self.attempt("reading the advisories", None, self._read_inputs)
        if self.facts.running is None:
            return Plan(notes=self.told(), quiet=self._quiet)
        self.attempt("noting the trusted repositories", None, self._note_trust)
        found = self._surveys(asked)
        choosing = self._choosing(asked, found)
        for one in found:
            choosing.take(one)
        self._notes += choosing.notes
        self.attempt("noting what is offered", None, lambda: self._note_offered(choosing))
        if asked.kind == ALL:
            none: list[Problem] = []
            what = "looking at withdrawals and support"
            self._notes += self.attempt(
                what, none, lambda: lines.reminders(self.host, self.inputs, self.patched)
            )
        chosen = self._add(choosing.chosen, found)
        here = [one for one in found if one.target.running]
        planned = [one.has for one in here if one.has is not None and one.planned and asked.kind == ALL]
        what, before = "looking at what nothing vouches for", self._unproved
        self._unproved = self.attempt(
            what, before, lambda: unproved.find(self.facts, (*chosen, *planned), found)
        )
        self.expected = choose.expected(here, chosen, self.expected)
        shown: list[str] = []
        if prompt and self.manager.busy:
            what = "describing the transaction"
            shown = self.attempt(what, shown, lambda: self._prompt(found, chosen))
        notes = self.told()
        return Plan((), tuple(chosen), self.expected, notes, tuple(shown), self._quiet)

    def unresolved(self, asked: Asked) -> Plan:
        """Note the live patches that stay out since the user's transaction cannot be resolved."""
        self.facts.refresh()
        self.attempt("reading the advisories", None, self._read_inputs)
        if self.facts.running is not None:
            found = self._surveys(asked)
            self.expected = ()
            choosing = self._choosing(asked, found)
            for one in found:
                choosing.leave(one)
            self._notes += choosing.notes
            self.attempt("noting what is offered", None, lambda: self._note_offered(choosing))
        return Plan(notes=self.told())

    def left(self, nevras: Iterable[str]) -> None:
        """Note that these live patches stay out since the transaction fails that they were to be part of."""
        self._notes += [catalogue.problem("patch-left", nevra=nevra) for nevra in nevras]

    def give_up(self, bad: Mapping[str, str]) -> set[str]:
        """Give up added live patches since packages cannot be had, each of ``bad`` for its reason.

        The patches to take out of the transaction: those themselves, or all that were added where only
        packages that came along are bad. None where the user named one: that failure is the user's to see.
        """
        gone = self.added.intersection(bad) or set(self.added)
        self.expected = tuple(nevra for nevra in self.expected if nevra not in gone)
        self.added -= gone
        if any(policy.names(self._specs, parse_nevra(nevra)) for nevra in gone):
            return set()
        why = next(iter(bad.values()))
        self._notes += [
            catalogue.problem("patch-not-had", nevra=nevra, why=bad.get(nevra, why))
            for nevra in sorted(gone)
        ]
        return gone

    def want(self, nevras: Collection[str]) -> None:
        """Expect those of the installed live patches ``nevras`` that are not in force.

        To be called when the user named them to a command that would install them.
        """
        self.attempt("reading the advisories", None, self._read_or_recall)
        self.attempt("looking at the live patches in force", None, self._look)
        absent = [nevra for nevra in self.patched.absent if nevra in nevras]
        self.expected = tuple(dict.fromkeys([*self.expected, *absent]))

    def follow(self, coming: Sequence[str], leaving: Sequence[str]) -> None:
        """Expect the kernel to follow the live patches that the transaction installs and removes.

        To be called when any transaction that changes one is about to run, an upgrade or not.
        """
        self._coming = frozenset(coming)
        known = [nevra for nevra in self.expected if nevra not in leaving]
        self.expected, self.leaving = tuple(dict.fromkeys([*known, *coming])), tuple(leaving)
        if not self._read:
            self.attempt("reading the advisories", None, self._read_or_recall)
            self.attempt("noting what is offered", None, self._try_offer)
        self.attempt("looking at the live patches in force", None, self._look)

    def after(self, failed: frozenset[str], waiting: Waiting) -> Ended:
        """Have the kernel follow the packages when the transaction is done; how that went.

        ``failed`` are the NEVRAs that the transaction could not install or remove.
        """
        groups = (self.expected, self.leaving)
        expected, leaving = ([nevra for nevra in group if nevra not in failed] for group in groups)
        self.expected = self.leaving = ()
        host = self.host
        taken = [nevra for nevra in expected if nevra in self._coming]
        if taken:
            self.attempt("noting what is offered", None, lambda: host.remember_taken(taken))
        if host.settings.mode != "load" or host.cannot:
            why = host.cannot or f"mode = {host.settings.mode}"
            skipped = [catalogue.problem("load-skipped", nevra=nevra, why=why) for nevra in expected]
            left = lines.kept(leaving, self.patched, why)
            return Ended((*map(lines.line, skipped), *left))
        if not (expected or leaving):
            return Ended()
        before = self._exposure(self.patched.in_force)
        result, trouble = None, []
        try:
            with waiting(lines.waiting(expected, leaving, host.bound)) as progress:
                result = host.reconcile(host.bound, progress)
        except KeyboardInterrupt:
            identifier = "load-interrupted" if expected else "unload-interrupted"
            return Ended((lines.line(catalogue.problem(identifier)),))
        except OSError as error:
            trouble = [(logging.DEBUG, f"livepatch: {error}")]
        in_force = result.in_force if result is not None else ()
        if result is not None:
            in_force = self.attempt("reading what is in force", in_force, lambda: self._now(result))
        newest = self.attempt(
            "looking for a newer kernel", "", lambda: self.facts.newest_kernel(self.inputs.kernel_package)
        )
        after = self._exposure(in_force)
        told, good = lines.closing(result, expected, before, after, newest, self.manager.compare)
        more, out = lines.removed(result, leaving, self.patched, in_force, before, after)
        return Ended((*trouble, *dict.fromkeys([*told, *more])), good and out)

    # --- what was withdrawn ---

    @property
    def reverts(self) -> bool:
        """Is something known to be withdrawn, and is that to be taken out of force here?"""
        host = self.host
        wanted = host.settings.on_withdrawn == "revert" and host.settings.mode == "load" and not host.cannot
        return wanted and host.root and bool(host.to_take_back())

    def take_back(self) -> None:
        """Have reconcile take out of force what was withdrawn, without waiting for it."""
        self._look()
        known = self.host.to_take_back()
        if any(patch.nevra in known for patch in self.patched.in_force):
            self.host.take_back()

    def offers(self) -> Iterator[survey.Offer]:
        """The live patches on offer for the running kernel, newest first."""
        return survey.offers(self.facts)

    # --- the parts ---

    def told(self) -> tuple[Problem, ...]:
        """The notes since the last door, those on the records included."""
        found = tuple(dict.fromkeys([*self._notes, *self.facts.problems]))
        self._notes = []
        self.facts.problems.clear()
        self._loud = self._loud or any(note.id not in lines.ONCE for note in found)
        return found

    @property
    def _quiet(self) -> bool:
        return not (self._loud or self.added or self.expected)

    def _hide_blocked(self, asked: Asked) -> list[str]:
        self._away = self.host.blocked()
        blocked = withheld.blocked(self._away, asked)
        self.manager.hide(blocked)
        return blocked

    def _withhold(self, asked: Asked, free: bool) -> bool:
        """Hide the patches that are kept out; whether no record keeps one out, now or at any other time.

        ``free``: that is known already.
        """
        # A repository whose record is gone withdraws nothing any more.
        records = bool(self.host.withdrawn()) or any(repo.has_record for repo in self.facts.repositories)
        if not self.host.settings.withholds and (free or not records):
            return free
        if self.facts.running is None:
            return False
        releases = self.facts.releases()
        notes = self.facts.notes(releases)
        good = not self.facts.problems
        self.host.remember_withdrawn(*self.facts.withdrawals(releases))
        self._hide_withheld(releases, asked)
        return good and withheld.free(notes, releases)

    def _hide_withheld(self, releases: Sequence[str], asked: Asked) -> None:
        kept = withheld.kept_out(self.facts, releases, asked)
        new = {nevra: one for nevra, one in kept.items() if nevra not in self.withheld}
        self.withheld.update(new)
        if new:
            self.manager.hide(new)
            self.facts.refresh()

    def _hidden(self) -> dict[str, Problem]:
        """The live patches that planning hides, and why."""
        found = {nevra: survey.blocked_here(nevra, why) for nevra, why in self._away.items()}
        found.update((nevra, one.problem) for nevra, one in self.withheld.items())
        return found

    def _hold(self) -> tuple[str, ...]:
        """Hold the kernels on offer if the policy wants and proves it, and remember the proof."""
        if self.facts.running is None or self.host.cannot:
            return ()
        kernels = kernel_hold.offered(self.facts)
        if not kernels:
            why = "no kernel newer than the installed ones is offered, or DNF's configuration excludes it"
            self.host.remember_hold(None, why)
            return ()
        # Before a held kernel is hidden: its advisories are asked for by what is on offer.
        self._read_inputs()
        self._look()
        exposure = self._exposure(self.patched.in_force)
        held, members, note, why = kernel_hold.hold(self.facts, kernels, self.inputs, self.patched, exposure)
        hidden = tuple(str(package.nevra) for package in members)
        self.manager.hide_copies(members)
        # Only now is it true, so only now is the user told that the kernel is held.
        self._notes.append(note)
        self.host.remember_hold(held, why)
        return hidden

    def _read_inputs(self) -> None:
        """Read once what the repositories say of the kernels."""
        if self._read:
            return
        self._read = True
        known = self.host.known_inputs
        before = known(self.host.kernel.release)
        missing = inputs.left_out(self.facts, before and [name for name, _ in before.repositories])
        found = inputs.read(self.facts, self._hidden())
        if missing:
            found = tuple(compute.doubted(one, missing) for one in found)
        self._sees_offer = found[0].on_offer is not None
        found = tuple(inputs.kept(self.facts, one, known(one.kernel_release), missing) for one in found)
        self.inputs = found[0]
        if self.inputs.read_in_vain and self.inputs.debt and not missing:
            self._notes.append(catalogue.problem("advisories-gone", why=self.inputs.reason))
        given = [repo.id for repo in self.facts.repositories if repo.left_out and not repo.unanswered]
        # Options of this run say nothing about the next one; a repository that is gone does.
        if before is None or not set(given).intersection(missing):
            self._told_to_host = found
            self.host.remember_inputs(found)

    def _read_or_recall(self) -> None:
        """Read the repositories where this run has them; else recall what an earlier run read."""
        if any(repo.has_advisories for repo in self.facts.repositories):
            self._read_inputs()
        else:
            self.inputs = self.host.known_inputs(self.host.kernel.release) or self.inputs

    def _look(self) -> None:
        self.patched = self.host.patched(self.inputs.cover)

    def _now(self, result: ReconcileResult) -> tuple[InForce, ...]:
        """The patches in force now, with the CVEs that a vendor's client knows them to close."""
        seen = self.host.patched(self.inputs.cover, result)
        self.patched = self.patched._replace(unfixable=seen.unfixable)
        return seen.in_force

    def _exposure(self, in_force: Sequence[InForce]) -> Exposure:
        facts = (self.inputs, tuple(in_force), self.patched.unfixable)
        if self._computed is None or self._computed[0] != facts:
            self._computed = facts, compute.compute(*facts)
            self._states = {row.cve: row.state for row in self._computed[1].rows}
        return self._computed[1]

    def _surveys(self, asked: Asked) -> list[Survey]:
        facts, host, release = self.facts, self.host, self.host.kernel.release
        judge = survey.Judge(
            self._secures,
            functools.partial(self._passes, asked),
            functools.partial(policy.names, asked.specs),
            functools.partial(survey.untold, facts, self.inputs.cover),
        )
        # No live patch at all is the usual case: then neither rpmdb nor manifests are read.
        if any(package.installed for package in facts.look(release)) or host.loaded:
            self.attempt("looking at the live patches in force", None, self._look_for_missing)
        rows = self._exposure(self.patched.in_force).rows
        still = sum(1 for row in rows if row.state != CLOSED_LIVE)
        found = survey.surveys(facts, release, judge, still)
        if host.settings.kernels == "installed" and not asked.running_only:
            for other in survey.next_kernels(facts):
                if facts.trust_in(other) != facts.trust_in(release):
                    # Until DNF resolved, the repository that this kernel comes from was not known.
                    self._hide_withheld((other,), asked)
                found += survey.surveys(facts, other, judge)
        hidden = self._hidden()
        return [withheld.explained(one, hidden) for one in found]

    def _choosing(self, asked: Asked, found: Sequence[Survey]) -> choose.Choosing:
        """The choice among ``found``, which knows already what the host has."""
        choosing = choose.Choosing(asked, self.host.settings, self.host.cannot, self.manager, self.cves)
        for one in found:
            choosing.note(one)
        return choosing

    def _look_for_missing(self) -> None:
        """See what is in force, and expect what should be and is not, unless the host itself blocked it."""
        absent: Collection[str] = ()
        try:
            self._look()
            absent = self.patched.missing
        finally:
            if not choose.switched_off(self.facts, absent):
                self.expected = tuple(absent)
                self._notes += choose.out_of_force(self.patched, absent)

    def _note_offered(self, choosing: choose.Choosing) -> None:
        """Write down which live patch of the running kernel an upgrade of everything would take now."""
        offer, why = (None, None) if self.host.cannot else choosing.offer()
        if offer is not None:
            self._correct_offer(*inputs.told(self.facts, str(offer.nevra), offer.repo))
        elif why is not None:
            self._correct_offer("", why.subject, why.text)
        elif self.inputs.on_offer is not None and self.inputs.on_offer.patch:
            self._correct_offer()
        # A repository that is left out of this run may go on offering what an earlier run saw.
        if offer is not None or not any(repo.left_out for repo in self.facts.repositories):
            self.host.remember_offered(*((str(offer.nevra), offer.repo) if offer is not None else ("", "")))

    def _try_offer(self) -> None:
        """Correct what the inputs say is on offer where no choice among the patches was made."""
        said = self.inputs.on_offer
        if self._told_to_host and said is not None and (said.patch or said.kept):
            found = survey.judged(self.facts, self._hidden(), trials=True)
            self._correct_offer(*inputs.patch_on_offer(self.facts, found))

    def _correct_offer(self, patch: str = "", kept: str = "", why: str = "") -> None:
        """Have the inputs name the live patch on offer that a trial found; an earlier run's offer stays."""
        said = self.inputs.on_offer
        new = said._replace(patch=patch, kept=kept, why=why) if said is not None else None
        if new == said or not self._sees_offer:
            return
        self.inputs = self.inputs._replace(on_offer=new)
        if self._told_to_host:
            self._told_to_host = (self.inputs, *self._told_to_host[1:])
            self.host.remember_inputs(self._told_to_host)

    def cves(self, package: Package) -> set[str]:
        """The CVEs that a live patch closes, by its own word or by the advisories; empty: not known."""
        return set(package.declared or dict(self.inputs.cover).get(str(package.nevra), ()))

    def _passes(self, asked: Asked, package: Package, has: Package | None) -> bool:
        """Does an advisory that the host's own patch has not pass the user's filters?"""
        if asked.opaque and self.manager.lets_through(package):
            return True
        if not asked.filters:
            return False
        known = {row.id for row in self.facts.listed(has, older=True)} if has is not None else set()
        new = [row for row in self.facts.listed(package, older=True) if row.id not in known]
        return policy.passes(asked.filters, new)

    def _secures(self, package: Package, running: bool) -> bool:
        """Does this patch close a CVE that is open, as far as that is known?"""
        cves = self.cves(package)
        if running:
            in_force = self.patched.in_force
            exposure = self._exposure(in_force)
            states = self._states
            if any(states.get(cve, CLOSED_LIVE) != CLOSED_LIVE for cve in cves):
                return True
            if exposure.quality == EXACT:
                return False
            cves -= states.keys()
            cves -= {cve for patch in in_force for cve in patch.cves}
            if cves or in_force:
                return bool(cves)
        return bool(cves) or any(row.type == "security" for row in self.facts.listed(package, older=True))

    def _note_trust(self) -> None:
        """Write down the trusted repositories, unless this run leaves enabled ones out."""
        if not any(repo.left_out for repo in self.facts.repositories):
            self.host.remember_trust(self.facts.trust())

    def _add(self, chosen: Sequence[Package], found: Sequence[Survey]) -> Sequence[Package]:
        """Put what was chosen into the transaction; the packages that are in it now."""
        if not chosen or not self.manager.can_add:
            return chosen
        why = self.manager.add(chosen)
        if why:
            first = chosen[0].nevra
            self._notes.append(catalogue.problem("patch-unresolvable", nevra=first, why=why))
            return ()
        self.added |= {str(package.nevra) for package in chosen}
        return chosen

    def begin(self) -> None:
        """Write down what reconcile has to know before the transaction, which may start it, begins."""
        if self._unproved:
            self.host.remember_unproved(self._unproved)

    def _prompt(self, found: Sequence[Survey], chosen: Sequence[Package]) -> list[str]:
        """The lines about the CVEs that the patches in the transaction close."""
        planned = [one.has for one in found if one.has is not None and one.planned]
        coming = [package for package in (*chosen, *planned) if str(package.nevra) in self.expected]
        cves = {cve for package in coming for cve in self.cves(package)}
        if not (self.inputs.debt or cves):
            return []
        newest = self.facts.newest_kernel(self.inputs.kernel_package)
        off = choose.not_loading(self.facts, self.patched, coming) if cves else ""
        in_force, compare = self.patched.in_force, self.manager.compare
        return lines.prompt_lines(self.inputs, in_force, cves, newest, compare, off)
