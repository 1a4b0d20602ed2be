# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line of ``livepatch-repo``: its verbs, and the options and arguments of each."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Callable, NamedTuple

from .. import __version__
from ..base.names import decimal
from ..toolkit.errors import SEVERITIES
from .repository.metadata import COMPRESSIONS

CONFIG = "livepatch-repo.yml"
_NAMES = "NAME, NAME-VERSION-RELEASE, NEVRA, or a glob over these"
_EACH = "a repository; with {arch} in it, that of each architecture"
_EPILOG = "Exit status: 0 done, 1 failed (as a whole or in part), 2 wrong usage, 3 lint findings or gaps."


class Verb(NamedTuple):
    """One verb: ``arguments`` adds its own to a parser, ``run`` does it and returns the exit status.

    ``changes`` verbs change a repository and share the options for that. Other verbs read one repository.
    """

    name: str
    help: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    changes: bool = False


def parser(known: Iterable[Verb]) -> argparse.ArgumentParser:
    """The parser of the command line, with a sub-parser for each of the ``known`` verbs."""
    whole = argparse.ArgumentParser(
        prog="livepatch-repo",
        description="Publish live patches that every host can trust.",
        epilog=_EPILOG,
    )
    whole.add_argument("--version", action="version", version=__version__)
    verbs = whole.add_subparsers(dest="verb", metavar="COMMAND", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", metavar="FILE", help=f"settings (default: ./{CONFIG} where it exists)")
    common.add_argument(
        "--key", metavar="FILE", action="append", default=[], help="a public key of the clients"
    )
    common.add_argument("--json", action="store_true", help="print JSON only")
    changing = argparse.ArgumentParser(add_help=False, parents=[common])
    changing.add_argument("--dry-run", action="store_true", help="say what would change, change nothing")
    changing.add_argument(
        "--wait", metavar="SECONDS", type=float, default=60.0, help="for other publishers (60)"
    )
    changing.add_argument("--sign-with", metavar="KEY", help="gpg key that signs the metadata")
    changing.add_argument("--gpg-home", metavar="DIR", help="where gpg keeps that key")
    changing.add_argument("--compress", choices=COMPRESSIONS, help="how metadata is compressed (gz)")
    for known_verb in known:
        text = known_verb.help
        verb = verbs.add_parser(
            known_verb.name,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            epilog=_EPILOG,
            parents=[changing if known_verb.changes else common],
        )
        known_verb.arguments(verb)
        verb.set_defaults(run=known_verb.run, refuse=verb.error)
    return whole


def _count(text: str) -> int:
    """``text`` as a number of at least 1. Raises ArgumentTypeError."""
    number = decimal(text, 9)
    if not number:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of at least 1")
    return number


def publish_arguments(verb: argparse.ArgumentParser) -> None:
    """The options and arguments of publish."""
    verb.add_argument(
        "--repo", required=True, metavar="DIR", help="the repository; {arch} is each RPM's architecture"
    )
    verb.add_argument("--advisory", metavar="FILE", help="advisory.yml: texts that win over the manifests")
    verb.add_argument(
        "--allow-withdrawn",
        action="store_true",
        help="publish a withdrawn build that was pruned again; it stays withdrawn",
    )
    verb.add_argument("rpms", nargs="+", metavar="RPM")


def promote_arguments(verb: argparse.ArgumentParser) -> None:
    """The options and arguments of promote."""
    verb.add_argument("--from", dest="source", required=True, metavar="DIR", help=_EACH)
    verb.add_argument("--to", dest="target", required=True, metavar="DIR", help="likewise, if --from does")
    verb.add_argument("patterns", nargs="*", default=["*"], metavar="PACKAGE", help=_NAMES + " (all)")


def sign_arguments(verb: argparse.ArgumentParser) -> None:
    """The options of sign."""
    verb.add_argument("--repo", required=True, metavar="DIR", help=_EACH)


def withdraw_arguments(verb: argparse.ArgumentParser) -> None:
    """The options and arguments of withdraw."""
    verb.add_argument("--repo", required=True, metavar="DIR", help=_EACH)
    verb.add_argument("--reason", required=True, help="one line that hosts show to their users")
    verb.add_argument("patterns", nargs="+", metavar="PATCH", help=_NAMES)


def prune_arguments(verb: argparse.ArgumentParser) -> None:
    """The options of prune."""
    verb.add_argument("--repo", required=True, metavar="DIR", help=_EACH)
    verb.add_argument("--keep", type=_count, metavar="N", help="live patches to keep for each kernel (3)")


def kernels_arguments(verb: argparse.ArgumentParser) -> None:
    """The options and arguments of kernels."""
    verb.add_argument("--repo", required=True, metavar="DIR", help=_EACH)
    verb.add_argument("--support-end", metavar="DATE", help="the last day of support, or 'unknown'")
    verb.add_argument(
        "--unfixable", metavar="CVE=REASON", action="append", default=[], help="no live patch closes it"
    )
    verb.add_argument("--fixable", metavar="CVE", action="append", default=[], help="take that back")
    verb.add_argument(
        "releases", nargs="*", metavar="RELEASE", help="kernel releases, or globs over them (settings: all)"
    )


def lint_arguments(verb: argparse.ArgumentParser) -> None:
    """The options and the argument of lint."""
    verb.add_argument("repo", metavar="REPO", nargs="?", default="", help="a folder or an address")
    verb.add_argument(
        "--explain", metavar="ID", help="explain a finding by the id of its check; reads no REPO"
    )
    verb.add_argument("--format", choices=("text", "json", "junit"), default="text")
    verb.add_argument(
        "--fail-on", choices=SEVERITIES, default="error", help="least severity for exit status 3"
    )
    verb.add_argument(
        "--kernels-from", action="append", default=[], metavar="REPO", help="repositories of kernels"
    )


def verify_arguments(verb: argparse.ArgumentParser) -> None:
    """The options of verify."""
    verb.add_argument("--repo", required=True, metavar="DIR")


def plan_arguments(verb: argparse.ArgumentParser) -> None:
    """The options of plan."""
    verb.add_argument("--repo", required=True, metavar="REPO", help="a folder or an address")
    verb.add_argument(
        "--kernel", action="append", default=[], metavar="RELEASE", help="default: stdin, one a line"
    )
    verb.add_argument("--cve", action="append", default=[], help="must be closed on each kernel")


def report_arguments(verb: argparse.ArgumentParser) -> None:
    """The options of report."""
    verb.add_argument("--repo", required=True, metavar="REPO", help="a folder or an address")
    verb.add_argument("--output", metavar="DIR", help="where the site is written; this or --json is needed")
    verb.add_argument(
        "--kernels-from", action="append", default=[], metavar="REPO", help="repositories of kernels"
    )
