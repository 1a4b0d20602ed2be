# SPDX-License-Identifier: GPL-2.0-or-later
"""The DNF plugin: hooks, and nothing but hooks. ``run.py`` does the work.

No exception leaves a hook undecided. DNF would let its own Error end the user's transaction and print
the trace of any other; here each becomes one warning line, with the trace in dnf's log file.

Every dnf command pays for the imports of this module, so each hook imports its own needs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import dnf
import dnf.transaction
import libdnf

from ..base.paths import Paths
from ..base.typed import TYPE_CHECKING
from . import OFFLINE, UPGRADES
from .faults import soft
from .log import LOG

if TYPE_CHECKING:
    from typing import Any

    from .asked import Watch
    from .run import Run


class LivepatchPlugin(dnf.Plugin):  # type: ignore[misc]
    """Adds the live patch of the running kernel to upgrades, and has it loaded afterwards."""

    name = "livepatch"

    @classmethod
    def read_config(cls, conf: Any) -> Any:
        """The one key of livepatch.conf that DNF reads: ``enabled``.

        DNF's own reader ends every dnf command at a line that it does not understand.
        """
        from ..base import config

        parser = libdnf.conf.ConfigParser()
        parser.addSection("main")
        parser.setValue("main", "enabled", "1" if config.read(Paths().config)[0].enabled else "0")
        return parser

    def __init__(self, base: Any, cli: Any) -> None:
        super().__init__(base, cli)
        self._run: Run | None = None
        self._watch: Watch | None = None
        self._resolving = False
        self._seen = ""
        self._hints: Sequence[str] = ()
        self._watches_failures = False
        self._register()

    @soft
    def _register(self) -> None:
        # A second command of that name would end every dnf command, so look first.
        if self.cli is not None and "livepatch" not in self.cli.cli_commands:
            from .command import LivepatchCommand

            self.cli.register_command(LivepatchCommand)

    @soft
    def pre_config(self) -> None:
        """Watch the calls of API users; a command line needs no watching."""
        if getattr(self.cli, "command", None) is None and self._watch is None:
            from .asked import Watch

            self._watch = Watch(self.base, self._before_all)

    @soft
    def config(self) -> None:
        """Have DNF fetch the repositories' ``livepatch`` record with the other metadata, where it exists.

        The options are in force by now: DNF disables later on what gives no answer.
        """
        enabled = list(self.base.repos.iter_enabled())
        for repo in enabled:
            repo.add_metadata_type_to_download("livepatch")
        self.base._livepatch_wanted = frozenset(str(repo.id) for repo in enabled)

    @soft
    def sack(self) -> None:
        """Hide live patches that must not be taken: blocked, withdrawn or not due.

        A patch that a command other than an upgrade names with its version is the user's own decision.
        """
        if self._renewed():
            self._run, self._seen = None, ""
        if self.base.conf.installroot != "/" or not self._resolves():
            return
        self._watch_failures()
        try:
            self._sift()
        except Exception:
            # Whatever else is broken: DNF's own upgrade shall not take a patch that crashed this host.
            if self._upgrades():
                self._hide_blocked()
            raise

    def _watch_failures(self) -> None:
        """Have no added package fail an upgrade, and a failing one say that it leaves a live patch out."""
        command = getattr(self.cli, "command", None)
        if not self._watches_failures and (command is None or command.aliases[0] in UPGRADES):
            from . import failures

            failures.Spared(self.base, self._brought, self._give_up)
            failures.watch(self.base, self._unresolved, self._undone)
            self._watches_failures = True

    @soft
    def _unresolved(self) -> None:
        """The user's upgrade cannot be resolved, for reasons of its own."""
        if self._resolving:
            return
        from ..planning.request import NONE
        from . import asked

        wish = asked.read(self.base, self.cli, self._watch)
        if wish.kind != NONE:
            from .run import of

            of(self.base).unresolved(wish)

    @soft
    def _undone(self) -> None:
        """The user's upgrade failed before the rpm transaction, or in it."""
        if self._run is not None:
            self._run.undone()

    def _sift(self) -> None:
        """Have the planner hide what must not be taken, unless it is known that nothing is to be hidden."""
        seen, free, holds = self._what_is_known()
        blocked = self._blocked()
        if free and not (blocked or holds):
            return
        from ..planning.request import NONE
        from . import asked

        wish = asked.early(self.cli, self._upgrades())
        if wish.bare and holds:
            # Other plugins may still hide kernels. What they hide is neither held nor called on offer.
            asked.watch_upgrade(self.base, self._hold)
            wish = wish._replace(kind=NONE, why="kernels are held when everything is to be upgraded")
        if free and not blocked:
            return
        from .run import of

        plan = of(self.base).keep_out(wish, self._erasing, free)
        if plan.free and seen and not free:
            from . import quiet_runs

            quiet_runs.save(Paths(), seen, quiet_runs.FREE)

    @soft
    def _hold(self) -> None:
        """Have the planner hold kernels, before a command upgrades everything."""
        from . import asked
        from .run import of

        of(self.base).keep_out(asked.early(self.cli, True), self._erasing, bool(self._seen))

    @property
    def _erasing(self) -> bool:
        return bool(self.cli is not None and self.cli.demands.allow_erasing)

    def _what_is_known(self) -> tuple[str, bool, bool]:
        """What holds without a look at the packages.

        The state of everything, "" where it was not taken; that no record keeps a patch out in that state;
        that a kernel may be held.
        """
        from ..base import config

        paths = Paths()
        settings = config.read(paths.config)[0]
        records = any(repo.get_metadata_path("livepatch") for repo in self.base.repos.iter_enabled())
        records = records or self._withdrawn()
        holds = settings.kernel_update != "install" or self._held()
        seen, free = "", not (records or settings.withholds)
        if records and not settings.withholds:
            from . import quiet_runs

            seen = quiet_runs.take(self.base, paths)
            free = quiet_runs.same(paths, seen, quiet_runs.FREE)
            self._seen = seen if free else ""
        return seen, free, holds

    def _blocked(self) -> bool:
        """Is any live patch blocked on this host?"""
        if not os.path.exists(Paths().guard):
            return False
        from ..host import for_planning

        return bool(for_planning.blocked(Paths()))

    def _withdrawn(self) -> bool:
        """Did an earlier run find a patch withdrawn, which is to be looked at even without a record?"""
        if not _noted(b'"reason"'):
            return False
        from ..host import for_planning

        return for_planning.withdrawn(Paths())

    def _hide_blocked(self) -> None:
        """Hide the blocked patches without a planner."""
        from ..host import for_planning
        from . import excludes

        excludes.hide(self.base, for_planning.blocked(Paths()))

    def _resolves(self) -> bool:
        """Does this command take packages from the repositories?"""
        if self.cli is None or self.cli.command is None:
            return True
        demands = self.cli.demands
        name = self.cli.command.aliases[0]
        if name == "history":  # brings earlier packages back, whatever the plugin thinks of them now
            return False
        if name in OFFLINE and "download" not in (getattr(self.cli.command.opts, "tid", None) or ()):
            return False  # decided at the download; a package hidden now would fail the whole upgrade
        ours = name == "livepatch"
        return bool(demands.available_repos and (demands.resolving or ours))

    def _upgrades(self) -> bool:
        """Does this run take the newest builds, whatever these are?"""
        command = getattr(self.cli, "command", None)
        return command is None or command.aliases[0] in (*UPGRADES, "distro-sync", "livepatch")

    def _renewed(self) -> bool:
        """Did an API user fill a new sack? The findings about the last sack are then forgotten."""
        known = getattr(self.base, "_livepatch_run", None)
        if known is None or known.sack is self.base.sack:
            return False
        del self.base._livepatch_run
        return True

    @soft
    def _before_all(self) -> None:
        """An API user is about to upgrade everything."""
        from ..base import config

        settings = config.read(Paths().config)[0]
        if self.base.conf.installroot == "/" and (settings.kernel_update != "install" or self._held()):
            from ..planning.request import ALL, Asked
            from .run import of

            of(self.base).keep_out(Asked(ALL), False, bool(self._seen))

    def _held(self) -> bool:
        """Did an earlier run hold a kernel? If the setting is gone since, this run reports the end."""
        if not _noted(b'"hold"'):
            return False
        from ..host import for_planning

        return for_planning.holds(Paths())

    @soft
    def resolved(self) -> None:
        """Add the live patch, unless the plugin itself called this resolve."""
        if not self._resolving:
            self._plan()
            self._see_named()

    @soft
    def _see_named(self) -> None:
        """Have an installed live patch that the user named and that is not in force loaded."""
        opts = getattr(getattr(self.cli, "command", None), "opts", None)
        if not any(getattr(opts, name, None) for name in ("pkg_specs", "package", "filenames")):
            return
        from . import asked

        named = [one for one in asked.installed(self.base, self.cli) if _may_be_patch(one)]
        if not named or asked.dry(self.base):
            return
        from .packages import nevra_of
        from .run import of

        run = self._run = of(self.base)
        run.planner.want([str(nevra_of(one)) for one in named])
        if not self.base.transaction and run.planner.expected:
            # With nothing to do DNF ends here, and no other hook runs.
            run.after(self.cli)

    @soft
    def _plan(self) -> None:
        """Add the live patch."""
        seen = ""
        command = getattr(self.cli, "command", None)
        if not self.base.transaction and (command is None or command.aliases[0] in UPGRADES):
            from . import quiet_runs

            seen = self._seen or quiet_runs.take(self.base, Paths())
            if quiet_runs.same(Paths(), seen, quiet_runs.QUIET):
                return
        from ..planning.request import ALL, NONE
        from . import asked

        wish = asked.read(self.base, self.cli, self._watch)
        if wish.kind == NONE:
            LOG.debug("livepatch: stands aside: %s", wish.why)
            return
        from .run import of

        run = self._run = of(self.base)
        allow_erasing = self._watch.allow_erasing if self._watch else self.cli.demands.allow_erasing
        self._resolving = True
        try:
            plan = run.bring_in(wish, allow_erasing, prompt=command is not None)
        finally:
            self._resolving = False
        if not self.base.transaction and run.planner.reverts and not asked.dry(self.base):
            # With nothing to do DNF ends here, and no other hook runs.
            run.take_back()
        if seen and plan.quiet and wish.kind == ALL and not wish.filtered:
            quiet_runs.save(Paths(), seen, quiet_runs.QUIET)

    def _brought(self) -> frozenset[str]:
        """The packages that are in the transaction since live patches were added to it."""
        return self._run.manager.brought if self._run is not None else frozenset()

    def _give_up(self, bad: Mapping[str, str]) -> bool:
        """Take what cannot be had out of the transaction; False where that cannot be done."""
        run = self._run
        if run is None:
            return False
        self._resolving = True
        try:
            return run.give_up(bad)
        finally:
            self._resolving = False

    @soft
    def pre_transaction(self) -> None:
        """Import the modules that are needed later: this transaction may replace the plugin's files."""
        self._follow()
        run = self._run or getattr(self.base, "_livepatch_run", None)
        if run is not None and run.pending:
            run.begin()

    @soft
    def _follow(self) -> None:
        """Expect the kernel to follow the live patches that the transaction changes, by any command."""
        self._hints = ()
        if not any(map(_may_patch, self.base.transaction or ())):
            return
        from . import asked, changes

        if asked.dry(self.base):
            return
        found = changes.of(self.base)
        if getattr(self.cli, "command", None) is not None:
            self._hints = changes.hints(self.base, found)
            # Now: a plugin that the transaction removes is not called after it.
            for text in changes.farewell(self.base):
                LOG.info("%s", text)
        if not (found.coming or found.leaving):
            return
        from .run import of

        self._run = of(self.base)
        self._run.planner.follow(*found)

    @soft
    def transaction(self) -> None:
        """Have the kernel follow, and say how that went; the exit status shows a patch not in force."""
        for text in self._hints:
            LOG.info("%s", text)
        run = self._run or getattr(self.base, "_livepatch_run", None)
        if run is None or not run.pending:
            return
        from . import asked

        if asked.dry(self.base):
            return
        run.after(self.cli)
        if run.planner.reverts:
            run.take_back()


def _may_patch(item: Any) -> bool:
    """May the package of a transaction item be a live patch? Imports nothing, and errs towards yes.

    The shipped profiles go by these words in names and capabilities; the administrator's by any.
    """
    try:
        package = item.pkg
    except KeyError:  # a change of reason has no package
        return False
    return _may_be_patch(package)


def _may_be_patch(package: Any) -> bool:
    name = str(package.name)
    if "patch" in name or name.startswith("uptrack-") or _own_profiles():
        return True
    return any("livepatch(" in str(capability) for capability in package.provides)


def _own_profiles() -> bool:
    try:
        return bool(os.listdir(Paths().profile_dirs[-1]))
    except OSError:
        return False


def _noted(word: bytes) -> bool:
    """May an earlier run have noted this? Only where the word is in the file, the file is parsed."""
    try:
        with open(Paths().notices, "rb") as file:
            return word in file.read(1 << 20)
    except OSError:
        return False
