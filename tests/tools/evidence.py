# SPDX-License-Identifier: GPL-2.0-or-later
"""Write docs/evidence/verified-mishaps.md from the lines that the tests of mishaps and servers noted.

`python -m tests.tools.evidence MISHAPS SERVED`; a missing file leaves its table out.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Sequence

from dnf_plugin_livepatch.base import times
from tests.tools.support.mishaps import MISHAPS
from tests.tools.support.publisher import VERBS

PAGE = os.path.join(os.path.dirname(__file__), "..", "..", "docs", "evidence", "verified-mishaps.md")
HEAD = """<!-- SPDX-License-Identifier: GPL-2.0-or-later -->
# Verified mishaps

Every verb of `livepatch-repo` in every mishap, and what the real DNF makes of a repository behind bad
caches. Written by `make test-mishaps` on {date}: {machine}, load {load}.

## How
`tests/tools/support/mishaps.py` has the table; `make test` runs a short part of it. After each run three
things are checked: DNF's own library, with `repo_gpgcheck=1`, sees the old state or the new one, with every
package file whole; no package is lost that the state before the run, the present one or the mirrorlist's
lists; what was printed (the generation, the packages, "as it was", "published") is so.
"""
MISHAP_HEAD = """
## Results: {passed} of {all} combinations as wanted
`old` and `new` are the states that clients see afterwards, with the exit status of the verb. "Half a copy"
has no state that a client could read whole: there `old` means that the verb refused and left all as it was.
"""
KILL_HEAD = """
## Killed at each file operation
The folder before each change, fsync and start of a program, which is what a SIGKILL leaves: {points}
points, {different} different folders. A client reads each of them, and at every fifth the verb runs again
to its end.
"""
SERVED_HEAD = """
## Behind bad caches: {count} stories
A web server answers for a cache or a half-synced mirror. "refused" is an error of DNF with a reason, and
nothing is installed; after each story the server is whole again, and the client gets the new state.
"""


def lines(path: str) -> list[list[object]]:
    """The facts in the file ``path``, none where it is missing."""
    try:
        with open(path, encoding="utf-8") as file:
            return [json.loads(line) for line in file]
    except FileNotFoundError:
        return []


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table of Markdown."""
    return [f"| {' | '.join(row)} |" for row in (heads, ["---"] * len(heads), *rows)]


def mishap_part(facts: Sequence[Sequence[object]]) -> list[str]:
    """The table of mishaps and verbs, and that of the kills."""
    cells = {(str(f[0]), str(f[1])): f"{f[2]} ({f[3]})" for f in facts if f[0] != "killed"}
    rows = [[m.name, *(cells.get((m.name, verb), "not passed") for verb in VERBS)] for m in MISHAPS]
    found = [MISHAP_HEAD.format(passed=len(cells), all=len(MISHAPS) * len(VERBS))]
    found += table(["mishap", *VERBS], rows)
    kills = [f for f in facts if f[0] == "killed"]
    if not kills:
        return found
    points, different = (sum(int(str(f[at])) for f in kills) for at in (2, 3))
    found.append(KILL_HEAD.format(points=points, different=different))
    told = {verb: [f"{f[2]} ({f[3]})" for f in kills if f[1] == verb] for verb in VERBS}
    found += table(
        ["verb", "points (different folders), without and with a time of grace"],
        [[verb, ", ".join(told[verb]) or "not passed"] for verb in VERBS],
    )
    return found


def served_part(facts: Sequence[Sequence[object]]) -> list[str]:
    """The table of faults and clients."""
    clients = list(dict.fromkeys(str(fact[0]) for fact in facts))
    faults = list(dict.fromkeys(str(fact[1]) for fact in facts))
    cells = {(str(fact[0]), str(fact[1])): str(fact[2]) for fact in facts}
    rows = [[fault, *(cells.get((client, fault), "not passed") for client in clients)] for fault in faults]
    return [SERVED_HEAD.format(count=len(facts)), *table(["fault", *clients], rows)]


def main(mishaps: str, served: str) -> int:
    """Write the page."""
    load = ", ".join(f"{number:.1f}" for number in os.getloadavg())
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}"
    text = [HEAD.format(date=times.now()[:10], machine=machine, load=load)]
    for part, path in ((mishap_part, mishaps), (served_part, served)):
        facts = lines(path)
        text += part(facts) if facts else []
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write("\n".join(text) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
