# SPDX-License-Identifier: GPL-2.0-or-later
"""``livepatch profiles match | list`` and ``livepatch doctor --profiles``, to review vendors' rules.

These verbs need no root, kernel, repositories or rpm database.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence

from ...base import texts
from ...base.model import Problem
from ...base.names import RELEASE, own_capability, parse_nevra
from ...base.paths import Paths
from ...base.typed import TYPE_CHECKING
from ...messages import catalogue
from ...vendors import profiles
from .. import output
from ..report.text import table
from .act import problem_lines

if TYPE_CHECKING:
    import argparse
    from typing import Any, TextIO

    from .context import Context


MAX_LINE = 1 << 18
MAX_ITEM = 1024


def configure(parser: argparse.ArgumentParser) -> None:
    """Give ``livepatch profiles`` its verbs; each sets ``run``, which is called with the context."""
    verbs = parser.add_subparsers(dest="profiles_verb", metavar="VERB")
    verbs.required = True
    text = "Tell for each package on standard input which kernel it patches, by whose rules"
    match_parser = verbs.add_parser(
        "match",
        help=text,
        description=text + ".",
        epilog=(
            "Input: one NEVRA a line; a tab and comma-separated Provides and Requires may follow, or a tab,"
            " Provides, a tab, Requires. Output: one JSON object a line."
        ),
    )
    match_parser.add_argument(
        "--kernel", metavar="RELEASE", help="print the package name that each profile uses for this kernel"
    )
    match_parser.add_argument("--json", action="store_true", help="with --kernel: print one JSON object")
    match_parser.set_defaults(run=match)
    text = "List the profiles in force, in their order"
    list_parser = verbs.add_parser("list", help=text, description=text + ".")
    list_parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    list_parser.set_defaults(run=show)


def _load(context: Context) -> tuple[profiles.Profile, ...]:
    found, faults = profiles.load(context.paths.profile_dirs)
    for fault in faults:
        output.refusal(catalogue.problem("profile-fault", fault=fault))
    return found


def capabilities(columns: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the Provides and Requires in the columns behind a NEVRA.

    Two columns are Provides and Requires. In a single column they may be mixed: ``kernel-uname-r`` is a
    requirement then, since only kernels provide it, and so are the items behind ``requires:``.
    """
    found: tuple[list[str], list[str]] = ([], [])
    for number, column in enumerate(columns[:2]):
        where = number
        for item in column.split(","):
            word, colon, rest = item.strip().partition(":")
            if colon and word.lower() in ("provides", "requires"):
                where, item = int(word.lower() == "requires"), rest
            item = item.strip()[:MAX_ITEM]
            mixed = len(columns) == 1 and item.startswith("kernel-uname-r")
            if item:
                found[1 if mixed else where].append(item)
    return found


def judge(line: str, rules: Iterable[profiles.Profile]) -> dict[str, Any]:
    """Return the JSON object for one line of input."""
    text, *columns = line.split("\t")
    text = text.strip()
    found: tuple[profiles.Match, ...]
    if len(line) > MAX_LINE:
        found = (profiles.Match("", "", "not-a-live-patch", f"a line of more than {MAX_LINE} characters"),)
    else:
        try:
            found = profiles.match_all(parse_nevra(text), *capabilities(columns), rules)
        except ValueError as error:
            found = (profiles.Match("", "", "not-a-live-patch", f"not a NEVRA: {error}"),)
    first = found[0]
    answer: dict[str, Any] = {
        "nevra": texts.line(text[:MAX_ITEM]),
        "profile": first.profile or None,
        "kernel_release": first.kernel_release or None,
        "kind": first.kind,
        "why": first.why,
    }
    if first.build_id:
        answer["build_id"] = first.build_id
    if len(found) > 1:
        answer["also"] = [{"kernel_release": m.kernel_release, "build_id": m.build_id} for m in found[1:]]
    return answer


def _lines(stream: TextIO) -> Iterable[str]:
    """Yield the lines of ``stream``; a line that is too long is cut, so that memory stays bounded."""
    while True:
        line = stream.readline(MAX_LINE + 2)
        if not line:
            return
        whole = line.endswith("\n")
        yield line.rstrip("\r\n")
        while not whole:
            rest = stream.readline(MAX_LINE)
            whole = not rest or rest.endswith("\n")


def match(context: Context) -> int:
    """Run ``livepatch profiles match``; return 0, also for other packages, and 2 for wrong usage."""
    import json

    rules = _load(context)
    release = context.options.kernel
    if release is not None:
        return _names(context, release, rules)
    if hasattr(sys.stdin, "reconfigure"):
        sys.stdin.reconfigure(encoding="utf-8", errors="replace")
    for line in _lines(sys.stdin):
        if line.strip():
            output.show([json.dumps(judge(line, rules))])
    return 0


def _names(context: Context, release: str, rules: Iterable[profiles.Profile]) -> int:
    """Print the package name that each profile uses for the kernel ``release``."""
    if not RELEASE.match(release):
        output.show(
            [f"livepatch: {release[:80]!a} is no kernel release as 'uname -r' prints it"], errors=True
        )
        return 2
    own = own_capability(release)
    rows = []
    for rule in rules:
        others = [given for given in profiles.lookup(release, [rule]).provides if given != own]
        rows.append((rule.name, profiles.package_name(release, rule), others))
    if context.options.json:
        found = [{"profile": row[0], "package_name": row[1] or None, "provides": row[2]} for row in rows]
        context.json({"kernel_release": release, "own": own, "profiles": found})
        return 0
    cells = []
    for name, package, others in rows:
        capability = own if name == profiles.GENERIC else next(iter(others), "-")
        cells.append((name, package or "-", capability))
    context.lines(table(("PROFILE", "PACKAGE NAME", "OR PROVIDES"), cells))
    return 0


def show(context: Context) -> int:
    """Run ``livepatch profiles list``."""
    rules = _load(context)
    if context.options.json:
        keys = ("title", "loader", "cumulative", "file")
        found = [{"profile": rule.name, **{key: getattr(rule, key) for key in keys}} for rule in rules]
        context.json({"profiles": found})
    else:
        rows = [(rule.name, rule.loader, rule.title) for rule in rules]
        context.lines(table(("PROFILE", "LOADER", "TITLE"), rows))
    return 0


def problems(paths: Paths) -> tuple[Problem, ...]:
    """Return the faults of this host's profiles: errors in the files, and files that others may write."""
    rules, faults = profiles.load(paths.profile_dirs)
    found = [catalogue.problem("profile-fault", fault=fault) for fault in faults]
    for rule in rules:
        try:
            status = os.stat(rule.file)
        except OSError:
            continue
        if status.st_uid != 0 or status.st_mode & 0o022:
            found.append(catalogue.problem("profile-writable", file=rule.file))
    if not any(rule.name == profiles.GENERIC for rule in rules):
        found.append(catalogue.problem("profile-generic", name=profiles.GENERIC))
    return tuple(found)


def doctor(context: Context) -> int:
    """Run ``livepatch doctor --profiles``; return 1 when a fault keeps a profile from being used."""
    found = problems(context.paths)
    if context.options.json:
        context.json({"problems": [problem._asdict() for problem in found]})
    else:
        count = len(profiles.load(context.paths.profile_dirs)[0])
        context.lines([*problem_lines(found), f"{count} profiles in force, {len(found)} problems"])
    return int(any(problem.id == "profile-fault" for problem in found))
