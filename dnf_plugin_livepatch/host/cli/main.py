# SPDX-License-Identifier: GPL-2.0-or-later
"""The ``livepatch`` command: its parser, and the module of each verb.

A verb's module is imported when the verb runs, because monitoring calls ``status`` every minute on every
host. docs/reference/exit-codes.md lists the exit codes. ``LIVEPATCH_ROOT`` moves every path below another
root, for tests and for a look into an image.
"""

from __future__ import annotations

import errno
import os
import sys
import types
from collections.abc import Sequence

from ... import __version__
from ...base import texts
from ...base.typed import TYPE_CHECKING
from ...messages.catalogue import problem
from .. import output
from .context import Context, Refusal, Verb

if TYPE_CHECKING:
    import argparse
    from typing import NoReturn

    from ...base.model import Problem
    from .context import Options

EPILOG = """exit codes:
  0    done, or nothing to do
  1    it could not be done; the message says why
  2    wrong usage
  5    status, reconcile: an installed live patch is not in force
  100  reboot-check: needed for open kernel CVEs; 101 for other reasons; 102 unknown
  100  cves CVE: open; 101 closed by a reboot only; 102 unknown; 0 closed live, or not affected
  1, 2, 3  check: WARNING, CRITICAL, UNKNOWN"""


def _show() -> types.ModuleType:
    from . import show

    return show


def _act() -> types.ModuleType:
    from . import act

    return act


def _machines() -> types.ModuleType:
    from . import machines

    return machines


def _profiles() -> types.ModuleType:
    from . import profiles

    return profiles


VERBS: dict[str, Verb] = {
    "status": Verb(
        _show,
        "show_status",
        "show kernel, patches, open CVEs and what to do next",
        {"--functions": "show each redirected function"},
    ),
    "cves": Verb(
        _show,
        "cves",
        "list the CVEs of the running kernel and their state, or answer about one",
        {"--plain": "only CVEs that are not closed, one a line"},
        False,
    ),
    "list": Verb(_show, "patches", "list the live patches, installed or loaded"),
    "reconcile": Verb(
        _act,
        "reconcile",
        "make the kernel match the installed live patches",
        {"--force": "let a stalled transition be forced; may crash the kernel"},
    ),
    "unload": Verb(
        _act,
        "unload",
        "take a live patch out of the kernel and keep it out",
        {"--this-boot": "only until the next boot"},
        False,
    ),
    "block": Verb(_act, "block", "never load a live-patch package again", {}, False),
    "unblock": Verb(_act, "unblock", "let a blocked or unloaded package be loaded again", {}, False),
    "history": Verb(_show, "show_history", "show what was loaded, unloaded and blocked"),
    "doctor": Verb(
        _show,
        "doctor",
        "look for what would keep a live patch from being loaded",
        {"--profiles": "check the vendor profiles instead"},
    ),
    "reboot-check": Verb(_show, "reboot_check", "tell whether a reboot is needed, and for what"),
    "uname": Verb(_show, "uname", "uname with the kernel release whose fixes are in force", {}, False),
    "metrics": Verb(_machines, "metrics", "print metrics for node_exporter's textfile collector", {}, False),
    "check": Verb(_machines, "check", "be a Nagios plugin: one line and its exit code"),
    "vex": Verb(_machines, "vex", "print an OpenVEX document of this host's kernel CVEs", {}, False),
    "facts": Verb(_machines, "facts", "print Ansible facts: the status as JSON"),
    "motd": Verb(_machines, "motd", "print the line for /run/motd.d", {}, False),
    "profiles": Verb(_profiles, "", "tell what the vendor profiles make of a package", {}, False),
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


def _cve(word: str) -> str:
    """Return ``word`` as a CVE identifier. Raises ArgumentTypeError: wrong usage."""
    import argparse

    from ...base.names import CVE

    if not CVE.match(word.upper()):
        raise argparse.ArgumentTypeError(f"{word!a} is no CVE identifier, such as CVE-2026-12345")
    return word.upper()


def _options(name: str, parser: argparse.ArgumentParser) -> None:
    """Add the options and arguments that only some verbs have."""
    for flag, text in VERBS[name].flags.items():
        parser.add_argument(flag, action="store_true", help=text)
    if name == "cves":
        parser.add_argument("cve", nargs="?", type=_cve, metavar="CVE", help="answer about this CVE alone")
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


def _sentence(text: str) -> str:
    """Return ``text`` as a sentence; the names in it keep their capitals."""
    return text[0].upper() + text[1:] + "."


def parser(only: str = "") -> argparse.ArgumentParser:
    """Return the command's parser, with ``only`` for that one verb, which is all that a run needs."""
    import argparse

    class Parser(argparse.ArgumentParser):
        """A parser whose complaint about a word shows nothing of the word but printable characters."""

        def error(self, message: str) -> NoReturn:
            super().error(texts.line(message))

    main_parser = Parser(
        prog="livepatch",
        description="Tell and set the state of the live patches of the running kernel.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    main_parser.add_argument("--version", action="version", version=f"livepatch {__version__}")
    verbs = main_parser.add_subparsers(dest="verb", metavar="VERB")
    verbs.required = True
    for name, verb in VERBS.items():
        if not only or name == only:
            own = verbs.add_parser(name, help=verb.text, description=_sentence(verb.text))
            if verb.function:
                own.add_argument("--json", action="store_true", help="print one JSON object, nothing else")
            _options(name, own)
    return main_parser


def _quick(words: Sequence[str]) -> Options | None:
    """Return the options of a verb that is called with plain flags only; None where the parser is needed.

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
        # The reader has closed the pipe, as in `livepatch cves | head`: the rest is not wanted.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    except Refusal as refused:
        return refuse(refused.problem, "--json" in words)
    except OSError as error:
        return refuse(_ended(error), "--json" in words)


def _ended(error: OSError) -> Problem:
    """Return the message for an error of the system that no verb has a message of its own for."""
    if error.errno in (errno.EACCES, errno.EPERM) and os.geteuid():
        return problem("need-root", why=error)
    return problem("command-ended", why=error)


def refuse(found: Problem, as_json: bool) -> int:
    """Print ``found`` on standard error, or as JSON on standard output, and return the exit code."""
    if as_json:
        import json

        output.write(json.dumps({"schema": 1, "problems": [found._asdict()]}, indent=1) + "\n")
    else:
        output.refusal(found)
    return 1


def _run(options: Options) -> int:
    verb = VERBS[options.verb]
    context = Context(options)
    run = getattr(options, "run", None)
    if verb.module is _act and context.paths.foreign:
        run = _act().refuse_foreign
    if run is None:
        run = getattr(verb.module(), verb.function)
    code = int(run(context))
    sys.stdout.flush()
    return code
