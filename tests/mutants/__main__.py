# SPDX-License-Identifier: GPL-2.0-or-later
"""Break the product on purpose, a place at a time, and count what the unit tests notice. `make mutants`.

``python -m tests.mutants DIGITS ROOM...``: ROOM is a module or package below dnf_plugin_livepatch, such as
exposure or planning.policy. A mutant is tried when its number ends in one of DIGITS: 0123456789 are all,
37 every fifth. Each room is tried in a copy in build/mutants, with the test files of ``TESTS``; the report
lists each survivor with the line that was changed. Without DIGITS the report of the last run is repeated.
"""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence

from mutmut.mutation.diff_apply import get_diff_for_mutant

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WORK = os.path.join(TOP, "build", "mutants")
MUTMUT = os.path.join(os.path.dirname(sys.executable), "mutmut")
PACKAGE = "dnf_plugin_livepatch"
#: The files in which a reader looks first for the tests of a room.
TESTS = {
    "exposure": (
        "tests/unit/test_debt.py",
        "tests/unit/test_exposure.py",
        "tests/unit/test_exposure_age.py",
        "tests/unit/test_prompt.py",
    ),
    "formats": (
        "tests/unit/test_hotpatches.py",
        "tests/unit/test_manifest.py",
        "tests/unit/test_vendor_cves.py",
        "tests/tools/test_repotool_record.py",
    ),
    "host.reconcile.desired": ("tests/unit/test_desired.py",),
    "planning": (
        "tests/unit/test_choose.py",
        "tests/unit/test_facts.py",
        "tests/unit/test_inputs.py",
        "tests/unit/test_kernel_hold.py",
        "tests/unit/test_lines.py",
        "tests/unit/test_planner.py",
        "tests/unit/test_planner_after.py",
        "tests/unit/test_planner_bring_in.py",
        "tests/unit/test_planner_keep_out.py",
        "tests/unit/test_planner_prompt.py",
        "tests/unit/test_policy.py",
        "tests/unit/test_survey.py",
        "tests/unit/test_withheld.py",
    ),
    "vendors": (
        "tests/unit/test_hotpatches.py",
        "tests/unit/test_profile_file.py",
        "tests/unit/test_profiles.py",
        "tests/unit/test_templates.py",
        "tests/unit/test_vendor_cves.py",
        "tests/unit/test_verdicts.py",
    ),
}
#: The exit status of the tests of one mutant: it survived, or none of the chosen tests comes by. Others mean
#: that it was noticed, by a timeout or a crash too.
SURVIVED, UNTESTED = 0, 33


def copy(room: str) -> str:
    """A folder with the tracked files as they are now and mutmut's settings for ``room``; its path."""
    folder = os.path.join(WORK, room)
    shutil.rmtree(folder, ignore_errors=True)
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=TOP, check=True, stdout=subprocess.PIPE).stdout
    for name in os.fsdecode(listed).split("\0"):
        if os.path.isfile(os.path.join(TOP, name)):
            os.makedirs(os.path.dirname(os.path.join(folder, name)), exist_ok=True)
            shutil.copy(os.path.join(TOP, name), os.path.join(folder, name))
            if name.startswith(f"{PACKAGE}/") and name.endswith(".py"):
                _bare(os.path.join(folder, name))
    settings = configparser.ConfigParser()
    settings.read(os.path.join(TOP, "tests", "mutants", "setup.cfg"), encoding="utf-8")
    tests = next(files for name, files in TESTS.items() if room == name or room.startswith(name + "."))
    settings["mutmut"]["only_mutate"] = f"{PACKAGE}/{room.replace('.', '/')}*"
    settings["mutmut"]["pytest_add_cli_args_test_selection"] = "\n" + "\n".join(tests)
    with open(os.path.join(folder, "setup.cfg"), "w", encoding="utf-8") as file:
        settings.write(file)
    return folder


def _bare(path: str) -> None:
    """Take the caches off the functions of a module: mutmut changes no function that has a decorator."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    with open(path, "w", encoding="utf-8") as file:
        file.write(re.sub(r"^@(?:functools\.)?lru_cache\b.*\n", "", text, flags=re.MULTILINE))


def results(room: str) -> Iterator[tuple[str, int]]:
    """Each mutant of ``room`` that was tried, and the exit status of its tests."""
    for folder, _, names in os.walk(os.path.join(WORK, room, "mutants", PACKAGE)):
        for name in names:
            if name.endswith(".meta"):
                with open(os.path.join(folder, name), encoding="utf-8") as file:
                    found = json.load(file)["exit_code_by_key"]
                yield from ((mutant, code) for mutant, code in found.items() if code is not None)


def report(rooms: Sequence[str]) -> str:
    """A line for each module of ``rooms``, then the survivors."""
    tried: Counter[str] = Counter()
    noticed: Counter[str] = Counter()
    unreached: Counter[str] = Counter()
    left = []
    every = sorted((*found, room) for room in rooms for found in results(room))
    for mutant, code, room in every:
        module = mutant.rpartition(".")[0]
        tried[module] += 1
        if code == UNTESTED:
            unreached[module] += 1
        elif code == SURVIVED:
            left.append((mutant, room))
        else:
            noticed[module] += 1
    lines = [
        f"{noticed[module]:5} of {tried[module]:5} noticed, {unreached[module]:5} not reached, in {module}"
        for module in sorted(tried)
    ]
    share = 100 * sum(noticed.values()) / max(1, sum(tried.values()))
    lines.append(f"{sum(noticed.values()):5} of {sum(tried.values()):5} noticed, {share:.1f} %")
    return "\n".join((*lines, *(f"{mutant}: {change(mutant, room)}" for mutant, room in left)))


def change(mutant: str, room: str) -> str:
    """The lines that differ in ``mutant``, each with its sign; ``mutmut show`` takes seconds for each."""
    source = mutant.rpartition(".")[0].replace(".", "/") + ".py"
    os.chdir(os.path.join(WORK, room))
    shown = get_diff_for_mutant(mutant, path=source)
    differ = [line for line in shown.split("@@")[-1].splitlines() if line.startswith(("-", "+"))]
    return " ".join(f"{line[:1]} {line[1:].strip()}" for line in differ)


def main(digits: str, *rooms: str) -> int:
    """Try the mutants of ``rooms``; 0 also with survivors, which are for a person to judge."""
    env, failed = {**os.environ, "HYPOTHESIS_PROFILE": "mutants"}, 0
    for room in rooms if digits else ():
        names = [f"{PACKAGE}.{room}*__mutmut_*{digit}" for digit in digits]
        argv = ["nice", MUTMUT, "run", "--max-children", "1", *names]
        failed = subprocess.run(argv, cwd=copy(room), env=env, check=False).returncode or failed
    print(report(rooms))
    return failed


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
