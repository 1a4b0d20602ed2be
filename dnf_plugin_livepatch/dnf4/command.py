# SPDX-License-Identifier: GPL-2.0-or-later
"""``dnf livepatch``: the verbs of ``livepatch``, and those that need repositories.

``update`` and ``list --available`` are done here; every other verb is handed to ``host/cli/main.py`` as it
is. DNF parses options in two passes and knows no subcommands, so the rest of the line is passed on.
"""

from __future__ import annotations

import argparse
import json
import logging

from dnf.cli import CliError, commands

from ..base.typed import TYPE_CHECKING
from ..host import output
from .log import LOG

if TYPE_CHECKING:
    from typing import Any

    from ..planning.interface import Plan
    from .run import Run

EXIT_OFFERED = 100
#: The words of ``list --available`` for a patch that is kept out.
_STATES = {"withdrawn": "withdrawn", "rollout": "waiting", "min_age": "waiting", "cutoff": "cut-off"}


def _verbs() -> str:
    """Return the list of the verbs for --help: those that need repositories, then those of ``livepatch``."""
    from ..host.cli.main import VERBS

    own = {"update": "install and load the live patch of the running kernel, and nothing else"}
    rows = {**own, **{name: verb.text for name, verb in VERBS.items()}}
    width = max(map(len, rows))
    lines = [f"{name.ljust(width)}  {text}" for name, text in rows.items()]
    return "\n".join(["one of these (default: status):", *lines])


def _misplaced(why: str) -> str:
    """Return the text and the remedy of the message about an option in the wrong place."""
    from ..messages.catalogue import problem

    found = problem("option-misplaced", why=why)
    return f"{found.text} {found.remedy}"


class LivepatchCommand(commands.Command):  # type: ignore[misc]
    """The ``livepatch`` command of DNF."""

    aliases = ("livepatch",)
    summary = "live patches of the running kernel: status, cves, list, update and more"

    @staticmethod
    def set_argparser(parser: Any) -> None:
        """Take a verb and the rest of the line as it is."""
        parser.add_argument("verb", nargs="?", default="status", metavar="VERB", help=_verbs())
        parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...")
        parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
        parser.add_argument("--check", action="store_true", help="update: exit 100 if one is offered")
        parser.add_argument("--available", action="store_true", help="list: what the repositories offer")

    def __init__(self, cli: Any) -> None:
        super().__init__(cli)
        self._run: Run | None = None

    @property
    def _updates(self) -> bool:
        return bool(self.opts.verb == "update" and not self.opts.check)

    @property
    def _asks(self) -> bool:
        """Does the verb only ask the repositories?"""
        return bool(self.opts.check or (self.opts.verb == "list" and self.opts.available))

    def pre_configure(self) -> None:
        """Keep stdout for the answer; dnf's own messages go to stderr."""
        if not self._updates:
            self.cli.redirect_logger(stdout=logging.WARNING, stderr=logging.INFO)

    def configure(self) -> None:
        """Ask DNF for what the verb needs; the verbs of the host need nothing."""
        demands = self.cli.demands
        if self.opts.check and self.opts.verb != "update":
            raise CliError(_misplaced("--check belongs to 'dnf livepatch update'"))
        if self._updates and self.opts.json:
            raise CliError(_misplaced("'dnf livepatch update' answers in JSON with --check only"))
        if self._asks:
            self.cli.redirect_repo_progress()
        if self._updates or self._asks:
            demands.available_repos = True
            demands.sack_activation = True
        if self._updates:
            demands.resolving = True
            demands.root_user = True
            commands._checkGPGKey(self.base, self.cli)

    def run(self) -> None:
        """Run the verb."""
        if self._updates:
            self._update()
        elif self.opts.check:
            self._check()
        elif self._asks:
            self._list()
        else:
            self._host()

    def _host(self) -> None:
        from ..host.cli import main

        argv = [self.opts.verb, *self.opts.arguments] + (["--json"] if self.opts.json else [])
        try:
            code = main.main(argv)
        except SystemExit as usage:  # argparse has said what is wrong
            code = usage.code if isinstance(usage.code, int) else 1
        self.cli.demands.success_exit_status = code

    def _plan(self, prompt: bool) -> tuple[Run, Plan]:
        """Plan as for a bare upgrade, only for the live patch of the running kernel."""
        from ..planning.request import ALL, Asked
        from .run import of

        run, allow_erasing = of(self.base), self.cli.demands.allow_erasing
        self.base.resolve(allow_erasing)
        return run, run.bring_in(Asked(ALL, running_only=True), allow_erasing, prompt)

    def _update(self) -> None:
        from . import asked

        why = asked.aside(self.base)
        if why:
            LOG.info("livepatch: No live patch is looked for: %s.", why)
            self.base.resolve(self.cli.demands.allow_erasing)
            return
        self._run = self._plan(prompt=True)[0]

    def run_resolved(self) -> None:
        """With nothing to install, load what is installed already and not in force.

        DNF goes on to say "Complete!", and calls no hook. Otherwise the plugin's hooks load.
        """
        from . import asked

        run = self._run
        if run is None or self.base.transaction or asked.dry(self.base):
            return
        if run.planner.reverts:
            run.take_back()
        run.after(self.cli)

    def _check(self) -> None:
        run, _ = self._plan(prompt=False)
        release, offered = run.host.kernel.release, sorted(run.planner.added)
        if self.opts.json:
            output.show([json.dumps({"schema": 1, "kernel_release": release, "offered": offered})])
        else:
            output.show(offered or [f"No newer live patch for kernel {release} is offered."])
        if offered:
            self.cli.demands.success_exit_status = EXIT_OFFERED

    def _list(self) -> None:
        from .run import of

        run = of(self.base)
        self.base.resolve(self.cli.demands.allow_erasing)  # trials begin at a transaction without changes
        release = run.host.kernel.release
        causes = {nevra: found.cause for nevra, found in run.planner.withheld.items()}
        rows: list[dict[str, str]] = [
            {**offer._asdict(), "state": _STATES.get(causes.get(offer.package, ""), offer.state)}
            for offer in run.planner.offers()
        ]
        if self.opts.json:
            output.write(
                json.dumps({"schema": 1, "kernel_release": release, "patches": rows}, indent=1) + "\n"
            )
            return
        if not rows:
            output.show([f"No repository offers a live patch for kernel {release}."])
            return
        widths = {key: max(len(key), *(len(row[key]) for row in rows)) for key in rows[0]}
        output.show(
            "  ".join(row[key].ljust(width) for key, width in widths.items()).rstrip()
            for row in ({key: key.upper() for key in widths}, *rows)
        )
