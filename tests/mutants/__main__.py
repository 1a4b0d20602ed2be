# SPDX-License-Identifier: GPL-2.0-or-later
"""Break the product on purpose, a place at a time, and count what the unit tests notice. `make mutants`.

``python -m tests.mutants DIGITS ROOM...``: ROOM is a module or package below dnf_plugin_livepatch, such as
exposure or planning.policy. A mutant is tried when its number ends in one of DIGITS: 0123456789 are all,
37 every fifth. Works on a copy in build/mutants; survivors are listed with the line that was changed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WORK = os.path.join(TOP, "build", "mutants")
MUTMUT = os.path.join(os.path.dirname(sys.executable), "mutmut")
PACKAGE = "dnf_plugin_livepatch"
#: The exit status of the tests of one mutant: it survived, or none of the chosen tests comes by. Others mean
#: that it was noticed, by a timeout or a crash too.
SURVIVED, UNTESTED = 0, 33


def copy() -> None:
    """The tracked files as they are now, without results of an earlier run."""
    shutil.rmtree(WORK, ignore_errors=True)
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=TOP, check=True, stdout=subprocess.PIPE).stdout
    for name in os.fsdecode(listed).split("\0"):
        if os.path.isfile(os.path.join(TOP, name)):
            os.makedirs(os.path.dirname(os.path.join(WORK, name)), exist_ok=True)
            shutil.copy(os.path.join(TOP, name), os.path.join(WORK, name))
    shutil.copy(os.path.join(TOP, "tests", "mutants", "setup.cfg"), WORK)


def results() -> Iterator[tuple[str, int]]:
    """Each mutant that was tried, and the exit status of its tests."""
    for folder, _, names in os.walk(os.path.join(WORK, "mutants", PACKAGE)):
        for name in names:
            if name.endswith(".meta"):
                with open(os.path.join(folder, name), encoding="utf-8") as file:
                    found = json.load(file)["exit_code_by_key"]
                yield from ((mutant, code) for mutant, code in found.items() if code is not None)


def report() -> str:
    """A line for each module, then the survivors."""
    tried: Counter[str] = Counter()
    noticed: Counter[str] = Counter()
    unreached: Counter[str] = Counter()
    left = []
    for mutant, code in sorted(results()):
        module = mutant.rpartition(".")[0]
        tried[module] += 1
        if code == UNTESTED:
            unreached[module] += 1
        elif code == SURVIVED:
            left.append(mutant)
        else:
            noticed[module] += 1
    lines = [
        f"{noticed[module]:5} of {tried[module]:5} noticed, {unreached[module]:5} not reached, in {module}"
        for module in sorted(tried)
    ]
    share = 100 * sum(noticed.values()) / max(1, sum(tried.values()))
    lines.append(f"{sum(noticed.values()):5} of {sum(tried.values()):5} noticed, {share:.1f} %")
    for mutant in left:
        argv = [MUTMUT, "show", mutant]
        shown = subprocess.run(argv, cwd=WORK, check=False, stdout=subprocess.PIPE).stdout.decode()
        changed = [line for line in shown.splitlines() if line[:1] == "+" and line[:3] != "+++"]
        lines.append(f"{mutant}: {' '.join(line[1:].strip() for line in changed)}")
    return "\n".join(lines)


def main(digits: str, *rooms: str) -> int:
    """Try the mutants of ``rooms``; 0 also with survivors, which are for a person to judge."""
    copy()
    names = [f"{PACKAGE}.{room}*__mutmut_*{digit}" for room in rooms for digit in digits]
    env = {**os.environ, "HYPOTHESIS_PROFILE": "mutants"}
    argv = ["nice", MUTMUT, "run", "--max-children", "1", *names]
    done = subprocess.run(argv, cwd=WORK, env=env, check=False)
    print(report())
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
