# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine as planning sees it: read before the transaction, written to and asked after it.

A dnf run with nothing to do pays for each import at the top of this module, so methods import what they
need. ``prepare`` imports the rest in one go before a transaction changes files.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence

from ..base import times
from ..base.model import Hold, Kernel, Offered, ReconcileResult, Trusted, Withdrawal
from ..base.paths import Paths
from ..base.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from ..exposure.compute import Inputs
    from ..planning.interface import Patched, Progress
    from ..vendors.profiles import Profile


def running(paths: Paths) -> Kernel:
    """Return the running kernel."""
    from .kernel import running

    return running.running(paths)


def blocked(paths: Paths) -> Mapping[str, str]:
    """Return NEVRA and reason of the live patches that are blocked on this host."""
    if not os.path.exists(paths.guard):
        return {}
    from .files import guard_file

    return guard_file.blocked(paths)


def loaded(paths: Paths) -> Sequence[str]:
    """Return the modules of the live patches that the kernel lists."""
    try:
        return sorted(os.listdir(paths.klp))
    except OSError:
        return ()


def holds(paths: Paths) -> bool:
    """Return whether an earlier run held a kernel update."""
    if not os.path.exists(paths.notices):
        return False
    from .files import notices

    return notices.read(paths).hold is not None


def withdrawn(paths: Paths) -> bool:
    """Did an earlier run find a live patch withdrawn?"""
    if not os.path.exists(paths.notices):
        return False
    from .files import notices

    return bool(notices.read(paths).withdrawn)


def fingerprint(paths: Paths, database: str) -> str:
    """Return a text that changes with the kernel, our files, and the rpm database in ``database``."""
    from .reconcile import unchanged

    return unchanged.take(paths, running(paths), database)


def recall(paths: Paths, what: str) -> str:
    """Return the text that was remembered as ``what`` in this boot, "" for none."""
    from .read import read_text

    return read_text(paths.memo(what), 1 << 20)


def remember(paths: Paths, what: str, text: str) -> None:
    """Remember ``text`` as ``what`` for this boot. Raises OSError."""
    from .files import atomic

    atomic.write_bytes(paths.memo(what), text.encode("utf-8", "surrogateescape"))


class Machine:
    """This machine; an implementation of ``planning.interface.Host``."""

    def __init__(self, paths: Paths | None = None) -> None:
        from ..base import config
        from ..vendors import profiles
        from .kernel import running

        self.paths = paths = paths or Paths()
        self.settings, faults = config.read(paths.config)
        rules, more = profiles.load(paths.profile_dirs)
        self.profiles: Sequence[Profile] = rules
        self.faults: Sequence[str] = (*faults, *more)
        self.kernel = running.running(paths)
        self.cannot = running.environment(paths)
        self.rivals: Sequence[str] = running.other_products(paths)
        self.root = os.geteuid() == 0

    @property
    def machine_id(self) -> str:
        """The host's id, from /etc/machine-id."""
        from .read import read_text

        return read_text(self.paths.at("/etc/machine-id"), 64)

    @property
    def now(self) -> str:
        """The time, ISO 8601 in UTC."""
        return times.now()

    @property
    def bound(self) -> float:
        """Seconds within which a reconcile answers."""
        from .files import mailbox

        return mailbox.answer_within(self.settings)

    @property
    def loaded(self) -> bool:
        """Whether the kernel lists any live patch."""
        return bool(loaded(self.paths))

    def patched(
        self, cover: Iterable[tuple[str, tuple[str, ...]]], result: ReconcileResult | None = None
    ) -> Patched:
        """Look at the live patches of this host."""
        from ..exposure import compute, support
        from ..planning.interface import Patched
        from . import look

        gone = self.settings.on_withdrawn == "revert"
        seen = look.look(self.paths, self.kernel, cover, result, gone)
        good = (look.IN_FORCE, look.SUBSCRIPTION)
        packages = dict.fromkeys(row.package for row in seen.rows if row.in_force and row.package)
        absent = [row.package for row in seen.rows if row.installed and row.state not in good]
        ends = support.support_end(compute.unknown(self.kernel.release, ""), seen.stock.patches)
        unfixable = support.unfixable(seen.stock.patches)
        modules = tuple((row.module, row.package) for row in seen.rows if row.in_force and row.package)
        barred = {
            row.package: row.reason
            for row in seen.rows
            if row.installed and row.state == look.BLOCKED and row.package not in seen.guarded.accepted
        }
        facts = (tuple(packages), seen.missing, tuple(absent), unfixable, ends, modules)
        foreign = tuple(row.module for row in seen.rows if row.owner == "other" and row.loaded)
        return Patched(seen.in_force, *facts, foreign, tuple(barred.items()))

    def switched_off(self, rule: Profile) -> str:
        """Return the vendor's own switch where it keeps the patches of ``rule`` out, else ""."""
        from .kernel import switches

        return switches.switched(self.paths, rule)

    def blocked(self) -> Mapping[str, str]:
        """Return NEVRA and reason of the live patches that are blocked on this host."""
        return blocked(self.paths)

    def withdrawn(self) -> Mapping[str, str]:
        """Return NEVRA and reason of the live patches that their publisher is known to have withdrawn."""
        from .files import notices

        return notices.read(self.paths).reasons

    def to_take_back(self) -> Collection[str]:
        """The NEVRAs of what signed metadata says is withdrawn."""
        if not os.path.exists(self.paths.notices):
            return ()
        from .files import notices

        return notices.read(self.paths).proved

    def held(self) -> Hold | None:
        """Return the kernel update that an earlier run held, None for none."""
        if not holds(self.paths):
            return None
        from .files import notices

        return notices.read(self.paths).hold

    def known_inputs(self, release: str) -> Inputs | None:
        """What an earlier run read of the kernel ``release``; None where there was no such run."""
        from .files import advisories

        return advisories.load(self.paths, release)[0]

    def remember_inputs(self, inputs: Sequence[Inputs]) -> None:
        """Write down the repositories' facts about the kernels."""
        from .files import advisories

        if not self.root:
            return
        kept: list[Inputs] = []
        if any(one.read_in_vain for one in inputs):
            new = {one.kernel_release for one in inputs}
            kept = [one for one in advisories.load_all(self.paths)[0] if one.kernel_release not in new]
        advisories.save(self.paths, *inputs, *kept)

    def remember_withdrawn(self, unread: Collection[str], said: Iterable[Withdrawal]) -> None:
        """Write down which patches are withdrawn. What the ``unread`` repositories said stays as it was.

        The word of a repository that is gone, or trusted no more, ends with it.
        """
        from .files import notices

        if not self.root:
            return
        found = tuple(said)

        def change(before: notices.Notices) -> notices.Notices:
            kept = [row for row in before.withdrawn if row.repository in unread]
            return before._replace(withdrawn=tuple(sorted({*found, *kept})))

        notices.change(self.paths, change)

    def first_seen(self, nevras: Sequence[str]) -> Mapping[str, str]:
        """The moment at which a run on this host first saw each of these patches on offer.

        That is now for a new one. Of very many, those that are on offer now are remembered.
        """
        from .files import notices

        known = dict(notices.read(self.paths).seen)
        found = {nevra: known.get(nevra, self.now) for nevra in nevras}

        def change(before: notices.Notices) -> notices.Notices:
            seen = dict(before.seen)
            others = {nevra: since for nevra, since in seen.items() if nevra not in found}
            mine = {nevra: seen.get(nevra, since) for nevra, since in found.items()}
            return before._replace(seen=tuple({**others, **mine}.items()))

        if self.root and any(nevra not in known for nevra in nevras):
            notices.change(self.paths, change)
        return found

    def remember_trust(self, trusted: Sequence[Trusted]) -> None:
        """Write down which repositories are trusted, why, and for what."""
        from .files import notices

        if self.root:
            notices.change(self.paths, lambda before: before._replace(trusted=tuple(trusted)))

    def unproved(self) -> Sequence[str]:
        """The live patches whose signer reconcile has to compare with the kernel's."""
        if not os.path.exists(self.paths.notices):
            return ()
        from .files import notices

        return notices.read(self.paths).unproved

    def remember_unproved(self, nevras: Iterable[str]) -> None:
        """Write down the live patches whose signer reconcile has to compare with the kernel's."""
        from .files import notices

        if self.root:
            found = tuple(dict.fromkeys(nevras))
            notices.change(self.paths, lambda before: before._replace(unproved=found))

    def remember_offered(self, nevra: str, repo: str) -> None:
        """Write down the live patch that is offered for the running kernel; "" for none."""
        from .files import notices

        if not self.root:
            return

        def change(before: notices.Notices) -> notices.Notices:
            old, release = before.offered, self.kernel.release
            since = old.since if old is not None and old.release == release else self.now
            return before._replace(offered=Offered(release, nevra, repo, since) if nevra else None)

        notices.change(self.paths, change)

    def remember_taken(self, nevras: Collection[str]) -> None:
        """Write down that this run installed these live patches: they are no offer any more.

        Where another one is on offer, it has not been taken since now.
        """
        from .files import notices

        def change(before: notices.Notices) -> notices.Notices:
            old = before.offered
            if old is None:
                return before
            return before._replace(offered=None if old.nevra in nevras else old._replace(since=self.now))

        if self.root:
            notices.change(self.paths, change)

    def remember_hold(self, hold: Hold | None, why: str) -> None:
        """Write down the kernel update that is held, or that none is held any more, and why."""
        from .files import notices

        if not self.root:
            return
        changed: list[tuple[Hold | None, Hold | None]] = []

        def change(before: notices.Notices) -> notices.Notices:
            old, new = before.hold, hold
            if new and old and (old.release, old.kernel) == (new.release, new.kernel):
                new = new._replace(since=old.since)
            changed.append((old, new))
            return before._replace(hold=new)

        if notices.change(self.paths, change):
            self._history(*changed[-1], why)

    def _history(self, old: Hold | None, new: Hold | None, why: str) -> None:
        """Add to the history which kernel is held from now on or no longer, with the proof or the reason."""
        from .files import journal

        if new is not None and (old is None or (old.kernel, old.why) != (new.kernel, new.why)):
            facts = {"nevra": f"{new.name}-{new.kernel}", "reason": new.why, "cves": new.closed}
            journal.remember(self.paths, "hold", kernel=new.release, **facts)
        if new is None and old is not None:
            facts = {"nevra": f"{old.name}-{old.kernel}", "reason": why}
            journal.remember(self.paths, "release", kernel=old.release, **facts)

    def prepare(self) -> None:
        """Import now the modules that are needed after the transaction, which may replace them on disk."""
        from . import after_transaction  # noqa: F401

    def take_back(self) -> None:
        """Have reconcile take withdrawn patches out of force, without waiting for the end."""
        from . import after_transaction

        after_transaction.ask_only(self.paths)

    def reconcile(self, wait: float, progress: Progress | None) -> ReconcileResult | None:
        """Have the kernel follow the packages.

        Returns None without an answer in ``wait`` seconds. Raises OSError.
        """
        from . import after_transaction

        return after_transaction.ask(self.paths, wait, progress)
