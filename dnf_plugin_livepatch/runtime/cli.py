# SPDX-License-Identifier: GPL-2.0-or-later
"""The ``livepatch`` command: one parser, and one small function for each verb.

A verb imports what it needs when it runs, because ``status`` is called by monitoring every minute on
every host. Exit codes: docs/architecture.md. ``LIVEPATCH_ROOT`` moves every path, for tests and images.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any, Callable, Dict, List, Optional, Sequence

from .. import config
from ..paths import Paths

NOT_IN_FORCE = 5


class Context:
    """What every verb gets: the options, the paths, and the one way to print."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.paths = Paths(os.environ.get("LIVEPATCH_ROOT", "/"))
        self.settings, self.faults = config.read(self.paths.config)

    @property
    def colour(self) -> bool:
        """Whether standard output is a terminal that wants colours."""
        return sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"

    def json(self, data: Dict[str, Any]) -> None:
        """Print ``data`` with the schema number, and nothing else, on standard output."""
        import json

        print(json.dumps({"schema": 1, **data}, indent=1))

    def lines(self, lines: Sequence[str]) -> None:
        """Print ``lines``, with nothing in them that could drive a terminal but our own colours."""
        for line in lines:
            print("".join(c if c.isprintable() or c == "\033" else "?" for c in line))


def _status(context: Context) -> int:
    from . import tell

    return tell.show_status(context)


def _cves(context: Context) -> int:
    from . import tell

    return tell.cves(context)


def _list(context: Context) -> int:
    from . import tell

    return tell.patches(context)


def _reboot_check(context: Context) -> int:
    from . import tell

    return tell.reboot_check(context)


def _reconcile(context: Context) -> int:
    from . import change

    return change.reconcile(context)


def _history(context: Context) -> int:
    from . import tell

    return tell.history(context)


def _add(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    run: Callable[[Context], int],
    text: str,
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=text, description=text + ".")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.set_defaults(run=run)
    return parser


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="livepatch",
        description="Tell and set the state of the live patches of the running kernel.",
        epilog="Exit codes: 0 done, 1 failed, 2 usage, 5 an installed live patch is not in force.",
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    status = _add(verbs, "status", _status, "Show kernel, patches, open CVEs and what to do next")
    status.add_argument("--functions", action="store_true", help="show each redirected function")
    cves = _add(verbs, "cves", _cves, "List the CVEs of the running kernel and their state")
    cves.add_argument("--plain", action="store_true", help="only the CVEs that are not closed, one a line")
    _add(verbs, "list", _list, "List live patches, installed or loaded")
    reconcile = _add(verbs, "reconcile", _reconcile, "Make the running kernel match the installed live patches")
    reconcile.add_argument("--force", action="store_true", help="try again what was given up, now")
    _add(verbs, "reboot-check", _reboot_check, "Tell whether a reboot is needed, and for what")
    _add(verbs, "history", _history, "Show what was loaded, unloaded and blocked")
    return parser


def main(argv: Optional[List[str]] = None) -> int:
    """Run the command ``argv`` (without the program's name) and return its exit code."""
    options = _parser().parse_args(argv)
    try:
        return int(options.run(Context(options)))
    except BrokenPipeError:
        # The reader went away, as `livepatch cves | head` does; nothing is left to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        print(f"livepatch: {error}", file=sys.stderr)
        return 1
