# SPDX-License-Identifier: GPL-2.0-or-later
"""One reconcile run: the host that it works on, and its results so far."""

from __future__ import annotations

from ...base.config import Config
from ...base.model import Action, Kernel, Problem
from ...base.paths import Paths
from ...base.typed import TYPE_CHECKING
from ...messages.catalogue import problem
from ..files import atomic, guard_file, journal
from ..packages import installed, inventory

if TYPE_CHECKING:
    from typing import Callable

    from ..files.mailbox import Progress

#: Seconds to wait for an RPM transaction to end.
LOCK_SECONDS = 30.0
#: Seconds until the next try of a load that stalled, by the number of tries before; the last one repeats.
RETRY_SECONDS = (60, 120, 300, 900, 1800, 3600)


class Run:
    """One reconcile run.

    ``actions`` and ``problems`` become the result. ``seconds`` is how long each module's transition took.
    ``retry_in`` is the number of seconds after which systemd starts the next run, 0 for none.
    ``at_boot`` are the packages as the boot before knew them, None where the rpm database is read.
    """

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
        self.at_boot: inventory.AtBoot | None = None

    def add(self, found: Problem | None) -> None:
        """Report ``found`` once."""
        if found is not None and found not in self.problems:
            self.problems.append(found)

    def signer(self, nevra: str) -> str:
        """Return the signer of the installed package ``nevra``, for the journal."""
        known = self.at_boot.signers if self.at_boot is not None else {}
        return known[nevra] if nevra in known else installed.signer(self.paths, nevra)

    def retry_soon(self) -> None:
        """Have the next run started after the shortest pause, unless a pause was chosen before."""
        self.retry_in = self.retry_in or RETRY_SECONDS[0]

    def change_guard(self, change: Callable[[guard_file.Guard], None]) -> bool:
        """Change the guard's file; report a failure, and return whether the change was written."""
        try:
            guard_file.change(self.paths, change)
        except (OSError, atomic.Broken) as error:
            self.add(problem("record-unwritable", why=error))
            return False
        return True

    def note(
        self, event: str, verb: str, module: str, nevra: str, outcome: str, seconds: float, **facts: object
    ) -> None:
        """Record one change in the result and in the journal; a full disk does not undo the change."""
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
