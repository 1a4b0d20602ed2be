# SPDX-License-Identifier: GPL-2.0-or-later
"""One dnf run: the planner between DNF and this machine, shared by the hooks and `dnf livepatch update`."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Iterator, Mapping

import libdnf

from ..base.typed import TYPE_CHECKING
from ..host.for_planning import Machine
from ..planning.interface import Plan
from ..planning.planner import Planner
from ..planning.request import Asked
from . import EXIT_NOT_IN_FORCE, faults
from .log import LOG
from .packages import nevra_of
from .solver import Dnf
from .voice import Voice, Waiting

if TYPE_CHECKING:
    from typing import Any


class Run:
    """State of one ``dnf.Base`` and its sack."""

    def __init__(self, base: Any) -> None:
        self.base = base
        self.sack = base.sack
        self.host = Machine()
        self.manager = Dnf(base)
        self.voice = Voice()
        self.planner = Planner(self.manager, self.host, faults.of(base).attempt)

    @property
    def pending(self) -> bool:
        """Is anything to be done once the transaction is over?"""
        planner = self.planner
        return bool(planner.expected or planner.leaving or planner.reverts)

    def keep_out(self, asked: Asked, allow_erasing: bool, free: bool) -> Plan:
        """Hide the live patches that must not be taken, and log the notes about them."""
        self.manager.allow_erasing = allow_erasing
        with self._notes():
            plan = self.planner.keep_out(asked, free)
        self.voice.say(plan.notes)
        return plan

    def bring_in(self, asked: Asked, allow_erasing: bool, prompt: bool) -> Plan:
        """Add the live patches that the resolved transaction lacks, and log the notes about them."""
        self.manager.allow_erasing = allow_erasing
        with self._notes():
            plan = self.planner.bring_in(asked, prompt)
        if self.planner.facts.running is None:
            LOG.debug("livepatch: no package owns the running kernel %s", self.host.kernel.release)
        self.voice.say(plan.notes)
        self.voice.lines((logging.INFO, text) for text in plan.prompt)
        return plan._replace(quiet=plan.quiet and faults.of(self.base).none)

    def unresolved(self, asked: Asked) -> None:
        """Log which live patch stays out since the user's transaction cannot be resolved."""
        self.voice.say(self.planner.unresolved(asked).notes)

    def give_up(self, bad: Mapping[str, str]) -> bool:
        """Take added packages out of the transaction for these reasons; False where the user named one."""
        gone = self.planner.give_up(bad)
        if gone:
            self.manager.drop(gone)
            self.voice.say(self.planner.told())
        return bool(gone)

    def undone(self) -> None:
        """Log which live patches stay out since the transaction failed that they were part of."""
        self.planner.left(sorted(self.planner.added.intersection(self.planner.expected)))
        self.voice.say(self.planner.told())

    @contextlib.contextmanager
    def _notes(self) -> Iterator[None]:
        """Say what was found before a door failed; a door that does not fail returns it."""
        try:
            yield
        except BaseException:
            self.voice.say(self.planner.told())
            raise

    def begin(self) -> None:
        """Do what has to be done before the transaction changes files."""
        faults.of(self.base).attempt("noting what nothing vouches for", None, self.planner.begin)
        self.host.prepare()

    def after(self, cli: Any) -> None:
        """Have the kernel follow the packages, and say how that went; the exit status shows a failure."""
        ended = self.planner.after(self._failed(), functools.partial(Waiting, cli))
        Voice().lines(ended.lines)
        if not ended.good and self.host.settings.on_failure == "error" and cli is not None:
            cli.demands.success_exit_status = EXIT_NOT_IN_FORCE
            self._have_shell_end_with_5(getattr(cli, "command", None))

    @staticmethod
    def _have_shell_end_with_5(command: Any) -> None:
        """Have `dnf shell`, whose `quit` ends with 0 whatever happened, end with 5 at its next `quit`."""
        leave = getattr(command, "_quit", None)
        if leave is None:
            return

        def leave_with_5(args: Any = None) -> None:
            try:
                leave(args)
            except SystemExit as end:
                raise SystemExit(end.code or EXIT_NOT_IN_FORCE) from None

        command._quit = leave_with_5

    def take_back(self) -> None:
        """Have withdrawn patches taken out of force, without waiting for the end."""
        faults.of(self.base).attempt("taking back what was withdrawn", None, self.planner.take_back)

    def _failed(self) -> frozenset[str]:
        """The packages that the rpm transaction failed to install or to remove."""
        failed: set[str] = set()
        for item in self.base.transaction or ():
            if item.state == libdnf.transaction.TransactionItemState_ERROR:
                try:
                    failed.add(str(nevra_of(item.pkg)))
                except KeyError:
                    continue
        return frozenset(failed)


def of(base: Any) -> Run:
    """The one run of ``base``, which all hooks and the command share."""
    found = getattr(base, "_livepatch_run", None)
    if not isinstance(found, Run):
        found = base._livepatch_run = Run(base)
    return found
