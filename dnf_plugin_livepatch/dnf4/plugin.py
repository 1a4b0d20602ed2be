# SPDX-License-Identifier: GPL-2.0-or-later
"""The DNF plugin: hooks, and nothing but hooks. ``session.py`` does the work.

No exception leaves a hook undecided. DNF would let its own Error end the user's transaction and print
the trace of any other; here each becomes one warning line, with the trace in dnf's log file.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Callable, Optional

import dnf
import libdnf

from .. import config, messages
from ..paths import Paths
from ..policy import NONE
from . import report, request

if TYPE_CHECKING:
    from .session import Session

EXIT_NOT_IN_FORCE = 5


def soft(hook: "Callable[[LivepatchPlugin], None]") -> "Callable[[LivepatchPlugin], None]":
    """Turn whatever ``hook`` raises into one warning line."""

    @functools.wraps(hook)
    def run(self: "LivepatchPlugin") -> None:
        try:
            hook(self)
        except Exception as error:  # any: a plugin that adds must not take away
            what = f"{type(error).__name__}: {error}"
            self.voice.tell([messages.problem("plugin-fault", what=hook.__name__.strip("_"), error=what)])
            report.LOG.debug("livepatch: %s", hook.__name__, exc_info=True)

    return run


class LivepatchPlugin(dnf.Plugin):  # type: ignore[misc]
    """Adds the live patch of the running kernel to upgrades, and has it loaded afterwards."""

    name = "livepatch"

    @classmethod
    def read_config(cls, conf: Any) -> Any:
        """What DNF wants to know of livepatch.conf: ``enabled``.

        DNF's own reader ends every dnf command at a line that it does not understand.
        """
        parser = libdnf.conf.ConfigParser()
        parser.addSection("main")
        parser.setValue("main", "enabled", "1" if config.read(Paths().config)[0].enabled else "0")
        return parser

    def __init__(self, base: Any, cli: Any) -> None:
        super().__init__(base, cli)
        self.voice = report.Voice()
        self._session: "Optional[Session]" = None
        self._watch: Optional[request.Watch] = None
        self._resolving = False
        self._register()

    @soft
    def _register(self) -> None:
        # A second command of that name would end every dnf command, so look first.
        if self.cli is not None and "livepatch" not in self.cli.cli_commands:
            from .command import LivepatchCommand

            self.cli.register_command(LivepatchCommand)

    @soft
    def pre_config(self) -> None:
        """Watch what API users ask for; the command line can be asked itself."""
        if getattr(self.cli, "command", None) is None and self._watch is None:
            self._watch = request.Watch(self.base)

    @soft
    def sack(self) -> None:
        """Keep blocked live patches from every command that resolves."""
        if self.base.conf.installroot == "/" and (self.cli is None or self.cli.demands.resolving):
            self._opened().hide_blocked()

    @soft
    def resolved(self) -> None:
        """Add the live patch, unless this is a resolve of our own."""
        if self._resolving:
            return
        wish, specs = request.read(self.base, self.cli, self._watch)
        if wish.kind == NONE:
            report.LOG.debug("livepatch: stands aside: %s", wish.why)
            return
        command = getattr(self.cli, "command", None)
        allow_erasing = self._watch.allow_erasing if self._watch else self.cli.demands.allow_erasing
        self._resolving = True
        try:
            self._opened().plan(wish, specs, allow_erasing, prompt=command is not None)
        finally:
            self._resolving = False

    @soft
    def pre_transaction(self) -> None:
        """Import now what is needed later: this transaction may replace the plugin's own files."""
        if self._session is not None and self._session.expected:
            self._session.prepare()

    @soft
    def transaction(self) -> None:
        """Have the patch loaded and verified; the exit status tells when it is not in force."""
        session = self._session
        if session is None or not session.expected or session.load():
            return
        if session.config.on_failure == "error" and self.cli is not None:
            self.cli.demands.success_exit_status = EXIT_NOT_IN_FORCE

    def _opened(self) -> "Session":
        if self._session is None:
            # Here, not above: most dnf commands never come here and shall not pay for it.
            from .session import Session

            self._session = Session(self.base)
        return self._session
