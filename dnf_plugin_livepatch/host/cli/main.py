# SPDX-License-Identifier: GPL-2.0-or-later
"""The ``livepatch`` command: its parser, and which module does each verb.

A verb's module is imported when the verb runs, because monitoring calls ``status`` every minute on
every host. Exit codes: docs/architecture.md. ``LIVEPATCH_ROOT`` moves every path below another
root; it is for tests and for looking into an image.
"""

from __future__ import annotations

import importlib
import os
import sys
import types
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Union

from ... import __version__
from ...base import config
from ...base.paths import Paths

if TYPE_CHECKING:
    import argparse

    Options = Union[argparse.Namespace, types.SimpleNamespace]

EPILOG = """exit codes:
  0    done, or nothing to do
  1    it could not be done; the message says why
  2    wrong usage
  5    status, reconcile: an installed live patch is not in force
  100  reboot-check: needed for open kernel CVEs; 101 for other reasons; 102 unknown
  1, 2, 3  check: WARNING, CRITICAL, UNKNOWN"""


class Verb(NamedTuple):
    """One verb: the module and function that do it ("" for verbs of its own), and its help.

    ``flags`` are its options that take no value, beside --json; ``only_flags`` says that it has no others.
    """

    module: str
    function: str
    text: str
    flags: dict[str, str] = {}
    only_flags: bool = True


VERBS: dict[str, Verb] = {
    "status": Verb(
        "show",
        "show_status",
        "show kernel, patches, open CVEs and what to do next",
        {"--functions": "show each redirected function"},
    ),
    "cves": Verb(
        "show",
        "cves",
        "list the CVEs of the running kernel and their state",
        {"--plain": "only CVEs that are not closed, one a line"},
        False,
    ),
    "list": Verb("show", "patches", "list the live patches, installed or loaded"),
    "reconcile": Verb(
        "act",
        "reconcile",
        "make the kernel match the installed live patches",
        {"--force": "let a stalled transition be forced; may crash the kernel"},
    ),
    "unload": Verb(
        "act",
        "unload",
        "take a live patch out of the kernel and keep it out",
        {"--this-boot": "only until the next boot"},
        False,
    ),
    "block": Verb("act", "block", "never load a live-patch package again", {}, False),
    "unblock": Verb("act", "unblock", "let a blocked or unloaded package be loaded again", {}, False),
    "history": Verb("show", "history", "show what was loaded, unloaded and blocked"),
    "doctor": Verb(
        "show",
        "doctor",
        "look for what would keep a live patch from being loaded",
        {"--profiles": "check the vendor profiles instead"},
    ),
    "reboot-check": Verb("show", "reboot_check", "tell whether a reboot is needed, and for what"),
    "uname": Verb("show", "uname", "uname with the kernel release whose fixes are in force", {}, False),
    "metrics": Verb(
        "machines", "metrics", "print metrics for node_exporter's textfile collector", {}, False
    ),
    "check": Verb("machines", "check", "be a Nagios plugin: one line and its exit code"),
    "vex": Verb("machines", "vex", "print an OpenVEX document of this host's kernel CVEs", {}, False),
    "facts": Verb("machines", "facts", "print Ansible facts: the status as JSON"),
    "motd": Verb("machines", "motd", "print the line for /run/motd.d", {}, False),
    "profiles": Verb("profiles", "", "tell what the vendor profiles make of a package", {}, False),
}


#: The options of uname(1): long form, short form.
UNAME = {
    "all": "a",
    "kernel-name": "s",
    "nodename": "n",
    "kernel-release": "r",
    "kernel-version": "v",
    "machine": "m",
    "processor": "p",
    "hardware-platform": "i",
    "operating-system": "o",
}


class Context:
    """What every verb gets: the options, the paths, the configuration, and how to print."""

    def __init__(self, options: Options) -> None:
        self.options: Any = options
        self.paths = Paths(os.environ.get("LIVEPATCH_ROOT") or "/")
        self.settings, self.faults = config.read(self.paths.config)

    @property
    def _output(self) -> str:
        """The file of --output; "" where none is given, and for the verbs that have no such option."""
        return getattr(self.options, "output", None) or ""

    @property
    def colour(self) -> bool:
        """Whether what is told goes to a terminal that wants colours."""
        if self._output:
            return False
        return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    @property
    def width(self) -> int:
        """The columns of the terminal that is written to; 0, which is no limit, where it is none."""
        if self._output:
            return 0
        try:
            return os.get_terminal_size(sys.stdout.fileno()).columns
        except (OSError, ValueError):
            return 0

    def put(self, text: str) -> None:
        """Print ``text``, or write it to --output as a whole: readers never see half a file."""
        if self._output:
            from ..files import atomic

            atomic.write_bytes(os.path.abspath(self._output), text.encode("utf-8"))
        else:
            sys.stdout.write(text)

    def json(self, data: dict[str, Any]) -> None:
        """Tell ``data`` with the schema number, and nothing else."""
        import json

        self.put(json.dumps({"schema": 1, **data}, indent=1) + "\n")

    def lines(self, lines: Sequence[str]) -> None:
        """Tell ``lines``, with nothing in them that could drive a terminal but our own colours."""
        kept = "\033" if self.colour else ""
        safe = ["".join(c if c.isprintable() or c == kept else "?" for c in line) for line in lines]
        self.put("".join(line + "\n" for line in safe))


def _options(name: str, parser: argparse.ArgumentParser) -> None:
    """The options and arguments that only some verbs have."""
    for flag, text in VERBS[name].flags.items():
        parser.add_argument(flag, action="store_true", help=text)
    if name == "unload":
        parser.add_argument("module", help="the module, as 'livepatch list' shows it")
    elif name in ("block", "unblock"):
        parser.add_argument("package", help="the package, as 'livepatch list' shows it")
        if name == "block":
            parser.add_argument("--reason", help="why, for the journal and for status")
    elif name == "uname":
        for word, letter in UNAME.items():
            own = ("-" + letter, "--" + word)
            parser.add_argument(*own, dest=letter, action="store_true", help="as uname's")
    elif name == "profiles":
        from . import profiles

        profiles.configure(parser)
    elif name in ("cves", "metrics", "vex", "motd"):
        parser.add_argument("--output", metavar="FILE", help="write this file, as a whole, instead")


def parser(only: str = "") -> argparse.ArgumentParser:
    """The command's parser; with ``only`` it has but that verb, which is all that a run needs."""
    import argparse

    main_parser = argparse.ArgumentParser(
        prog="livepatch",
        description="Tell and set the state of the live patches of the running kernel.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    main_parser.add_argument("--version", action="version", version=f"livepatch {__version__}")
    verbs = main_parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, verb in VERBS.items():
        if not only or name == only:
            own = verbs.add_parser(name, help=verb.text, description=verb.text.capitalize() + ".")
            if verb.function:
                own.add_argument("--json", action="store_true", help="print one JSON object, nothing else")
            _options(name, own)
    return main_parser


def _quick(words: Sequence[str]) -> Options | None:
    """The options of a verb called with plain flags only; None where the parser is needed.

    argparse costs as much as half a Python start, on every host, every minute.
    """
    verb = VERBS.get(words[0]) if words else None
    if verb is None or not verb.only_flags or not set(words[1:]) <= {"--json", *verb.flags}:
        return None
    flags = {flag[2:].replace("-", "_"): flag in words for flag in ("--json", *verb.flags)}
    return types.SimpleNamespace(verb=words[0], **flags)


def main(argv: list[str] | None = None) -> int:
    """Run the command ``argv`` (without the program's name) and return its exit code."""
    words = sys.argv[1:] if argv is None else argv
    try:
        if not words:
            parser("").print_help(sys.stderr)
            return 2
        options = _quick(words)
        if options is None:
            options = parser(words[0] if words and words[0] in VERBS else "").parse_args(words)
        return _run(options)
    except BrokenPipeError:
        # The reader went away, as `livepatch cves | head` does; nothing is left to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        print(f"livepatch: {error.strerror}: {error.filename or ''}".rstrip(": "), file=sys.stderr)
        return 1


def _run(options: Options) -> int:
    verb = VERBS[options.verb]
    run = getattr(options, "run", None)
    if run is None:
        run = getattr(importlib.import_module("." + verb.module, __package__), verb.function)
    code = int(run(Context(options)))
    sys.stdout.flush()
    return code
