# SPDX-License-Identifier: GPL-2.0-or-later
"""The DNF plugin: hooks, and nothing but hooks. ``session.py`` does the work.

No exception leaves a hook undecided. DNF would let its own Error end the user's transaction and print
the trace of any other; here each becomes one warning line, with the trace in dnf's log file.

Every dnf command pays for what is imported here, so that the hooks import what they need.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Callable

import dnf
import dnf.transaction
import libdnf

from ..base.paths import Paths
from . import EXIT_NOT_IN_FORCE, OFFLINE, UPGRADES

if TYPE_CHECKING:
    from ..planning.planner import Session
    from .asked import Watch


def soft(hook: Callable[[LivepatchPlugin], None]) -> Callable[[LivepatchPlugin], None]:
    """Turn whatever ``hook`` raises into one warning line."""

    @functools.wraps(hook)
    def run(self: LivepatchPlugin) -> None:
        try:
            hook(self)
        except Exception as error:  # any: a plugin that adds must not take away
            self.complain(hook.__name__.strip("_"), error)

    return run


class LivepatchPlugin(dnf.Plugin):  # type: ignore[misc]
    """Adds the live patch of the running kernel to upgrades, and has it loaded afterwards."""

    name = "livepatch"

    @classmethod
    def read_config(cls, conf: Any) -> Any:
        """What DNF wants to know of livepatch.conf: ``enabled``.

        DNF's own reader ends every dnf command at a line that it does not understand.
        """
        from ..base import config

        parser = libdnf.conf.ConfigParser()
        parser.addSection("main")
        parser.setValue("main", "enabled", "1" if config.read(Paths().config)[0].enabled else "0")
        return parser

    def __init__(self, base: Any, cli: Any) -> None:
        super().__init__(base, cli)
        self._complaints: set[str] = set()
        self._session: Session | None = None
        self._watch: Watch | None = None
        self._resolving = False
        self._seen = ""
        self._parting: Sequence[str] = ()
        self._register()

    def complain(self, what: str, error: Exception) -> None:
        """Say once in one line that ``what`` failed, whatever else may be broken too."""
        told = f"{type(error).__name__}: {error}"
        log = logging.getLogger("dnf.plugin")
        log.debug("livepatch: %s", what, exc_info=error)
        if told in self._complaints:
            return
        self._complaints.add(told)
        try:
            from ..messages import catalogue
            from ..planning import lines

            log.warning("%s", lines.line(catalogue.problem("plugin-fault", what=what, error=told))[1])
        except Exception:
            log.warning("livepatch: The plugin is broken (%s); dnf goes on without it.", told)

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
            from .asked import Watch

            self._watch = Watch(self.base, self._before_all)

    @soft
    def config(self) -> None:
        """Have DNF fetch the repositories' ``livepatch`` record with the other metadata, where it exists."""
        for repo in self.base.repos.iter_enabled():
            repo.add_metadata_type_to_download("livepatch")

    @soft
    def sack(self) -> None:
        """Keep out of every command that resolves what is not to be taken: blocked, withdrawn, not due.

        What another command than an upgrade names with its version is the user's own decision.
        """
        if self._renewed():
            self._session, self._seen = None, ""
        if self.base.conf.installroot != "/" or not self._resolves():
            return
        if os.path.exists(Paths().guard):
            from ..host.files import guard_file

            blocked = guard_file.blocked(Paths())
            if blocked:
                from . import packages

                packages.hide(self.base, blocked, () if self._upgrades() else self._specs())
        from ..base import config

        settings = config.read(Paths().config)[0]
        records = any(repo.get_metadata_path("livepatch") for repo in self.base.repos.iter_enabled())
        if records or settings.min_age or settings.cutoff:
            self._brake(bool(settings.min_age or settings.cutoff))
        if settings.kernel_update != "install" or self._held():
            from . import asked

            if asked.bare(self.cli):
                self._hold(self.cli.demands.allow_erasing)

    def _brake(self, limited: bool) -> None:
        """Hide what is not to be taken yet; ``limited`` says that livepatch.conf has limits of its own."""
        from . import quiet_runs

        seen = quiet_runs.take(self.base, Paths())
        if not limited and quiet_runs.same(Paths(), seen, quiet_runs.UNBRAKED):
            self._seen = seen
            return
        from ..planning.planner import of
        from . import brake

        session = of(self.base)
        specs, exact = self._specs(), not self._upgrades()
        what = "looking for patches to keep out"
        good = session.soft(what, False, lambda: brake.apply(session, specs, exact))
        if good and not limited:
            quiet_runs.save(Paths(), seen, quiet_runs.UNBRAKED)

    def _resolves(self) -> bool:
        """Does this command look at what the repositories offer in order to take it?"""
        if self.cli is None or self.cli.command is None:
            return True
        demands = self.cli.demands
        name = self.cli.command.aliases[0]
        if name == "history":  # brings back what was there before, whatever is thought of it now
            return False
        if name in OFFLINE and "download" not in (getattr(self.cli.command.opts, "tid", None) or ()):
            return False  # what was decided at the download; a package that is missing now fails all of it
        ours = name == "livepatch"
        return bool(demands.available_repos and (demands.resolving or ours))

    def _upgrades(self) -> bool:
        """Does this run take what is newest, whatever that may be?"""
        command = getattr(self.cli, "command", None)
        return command is None or command.aliases[0] in (*UPGRADES, "distro-sync", "livepatch")

    def _specs(self) -> Sequence[str]:
        opts = getattr(getattr(self.cli, "command", None), "opts", None)
        return getattr(opts, "pkg_specs", None) or ()

    def _renewed(self) -> bool:
        """Did an API user fill a new sack? What was found out about the last one is forgotten."""
        known = getattr(self.base, "_livepatch_session", None)
        if known is None or known.sack is self.base.sack:
            return False
        del self.base._livepatch_session
        return True

    @soft
    def _before_all(self) -> None:
        """An API user is about to upgrade everything."""
        from ..base import config

        settings = config.read(Paths().config)[0]
        if self.base.conf.installroot == "/" and (settings.kernel_update != "install" or self._held()):
            self._hold(False)

    def _held(self) -> bool:
        """Did an earlier run hold a kernel, which is to be said to be over when the setting is gone?"""
        if not os.path.exists(Paths().notices):
            return False
        from ..host.files import notices

        return notices.read(Paths()).hold is not None

    def _hold(self, allow_erasing: bool) -> None:
        from ..planning.planner import of
        from . import hold

        session = of(self.base)
        session.soft("looking at the kernel update", None, lambda: hold.apply(session, allow_erasing))

    @soft
    def resolved(self) -> None:
        """Add the live patch, unless this is a resolve of our own."""
        if self._resolving:
            return
        seen = ""
        command = getattr(self.cli, "command", None)
        if not self.base.transaction and (command is None or command.aliases[0] in UPGRADES):
            from . import quiet_runs

            seen = self._seen or quiet_runs.take(self.base, Paths())
            if quiet_runs.same(Paths(), seen, quiet_runs.QUIET):
                return
        from ..planning.policy import ALL, NONE
        from . import asked

        wish, specs = asked.read(self.base, self.cli, self._watch)
        if wish.kind == NONE:
            logging.getLogger("dnf.plugin").debug("livepatch: stands aside: %s", wish.why)
            return
        from ..planning.planner import of

        session = self._session = of(self.base)
        allow_erasing = self._watch.allow_erasing if self._watch else self.cli.demands.allow_erasing
        self._resolving = True
        try:
            session.plan(wish, specs, allow_erasing, prompt=command is not None)
        finally:
            self._resolving = False
        if not self.base.transaction and session.reverts and not asked.dry(self.base):
            # With nothing to do DNF ends here, and no other hook runs.
            session.soft("taking back what was withdrawn", None, session.revert)
        if seen and session.quiet and wish.kind == ALL and not wish.filtered:
            quiet_runs.save(Paths(), seen, quiet_runs.QUIET)

    @soft
    def pre_transaction(self) -> None:
        """Import now what is needed later: this transaction may replace the plugin's own files."""
        self._part()
        session = self._session or getattr(self.base, "_livepatch_session", None)
        if session is not None and (session.expected or session.reverts):
            session.prepare()

    @soft
    def _part(self) -> None:
        """Find out whether a command takes a live patch away; nothing is looked at where none removes."""
        command = getattr(self.cli, "command", None)
        removed = [item for item in self.base.transaction or () if item.action == dnf.transaction.PKG_REMOVE]
        if command is not None and removed:
            from . import removal

            self._parting = removal.lines(self.base, removed)

    @soft
    def transaction(self) -> None:
        """Have the patch loaded and verified; the exit status tells when it is not in force."""
        for text in self._parting:
            logging.getLogger("dnf.plugin").info("%s", text)
        session = self._session or getattr(self.base, "_livepatch_session", None)
        if session is None or not (session.expected or session.reverts):
            return
        from . import asked

        if asked.dry(self.base):
            return
        good = self._session is None or self._session.load(self.cli)
        if session.reverts:
            session.soft("taking back what was withdrawn", None, session.revert)
        if good:
            return
        if session.config.on_failure == "error" and self.cli is not None:
            self.cli.demands.success_exit_status = EXIT_NOT_IN_FORCE
