# SPDX-License-Identifier: GPL-2.0-or-later
"""One reconcile run: what it works on and what it did so far."""

from __future__ import annotations

from ...base.config import Config
from ...base.model import Action, Kernel, Problem
from ...base.paths import Paths
from ...base.typed import TYPE_CHECKING
from ...messages.catalogue import problem
from ..files import journal
from ..packages import installed

if TYPE_CHECKING:
    from ..files.mailbox import Progress


class Run:
    """One reconcile run: what it is about, and what it did so far."""

    def __init__(
        self, paths: Paths, config: Config, kernel: Kernel, force: bool, progress: Progress | None
    ) -> None:
        self.paths, self.config, self.kernel = paths, config, kernel
        self.force, self.progress = force, progress
        self.actions: list[Action] = []
        self.problems: list[Problem] = []
        self.seconds: dict[str, float] = {}
        self.transactions: dict[str, int] = {}
        self.retry_in = 0
        self.installed = installed.Installed((), False, "not read yet")

    def add(self, found: Problem | None) -> None:
        """Report ``found`` once."""
        if found is not None and found not in self.problems:
            self.problems.append(found)

    def note(
        self, event: str, verb: str, module: str, nevra: str, outcome: str, seconds: float, **facts: object
    ) -> None:
        """Record one change in the result and in the journal; a full disk does not undo it."""
        if verb:
            self.actions.append(Action(verb, module, nevra, outcome, round(seconds, 3)))
        if nevra not in self.transactions:
            self.transactions[nevra] = journal.transaction_of(self.paths, nevra)
        try:
            journal.append(
                self.paths,
                event,
                module=module,
                nevra=nevra,
                outcome=outcome,
                seconds=round(seconds, 3),
                kernel=self.kernel.release,
                dnf_history=self.transactions[nevra] or None,
                **facts,
            )
        except OSError as error:
            self.add(problem("journal-unwritable", why=error.strerror))
