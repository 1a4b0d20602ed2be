# SPDX-License-Identifier: GPL-2.0-or-later
"""Print how the judge's verdicts compare with those of people. `make test-judge` calls it.

KPATCH_TREE is a checkout of https://github.com/dynup/kpatch. The name of a diff in its test/integration
tells what kpatch-build makes of it: `…-FAIL` cannot be built or loaded.
FIXES is a folder of diffs as git-format-patch(1) writes them, one a file. fixes.tsv beside this program has
the verdict of a person on each commit; other diffs in the folder are not counted.

The exit status is 1 when a good diff is refused or more than one in ten of the others passes, and 2 when
neither folder is given: then nothing was measured.
"""

from __future__ import annotations

import collections
import csv
import glob
import os
import re
import sys
from collections.abc import Iterator

from dnf_plugin_livepatch.rpmtool.readers import diffs, judge
from dnf_plugin_livepatch.toolkit.errors import ToolError

COMMIT = re.compile(r"^(?:From|commit) ([0-9a-f]{40})\b", re.M)
#: The verdicts of people, and the refusals that agree with each.
AGREES = {
    "good": ("",),
    "init": ("diff-init",),
    "layout": ("diff-data",),
    "data": ("diff-data",),
    "no change": ("diff-empty",),
}
#: kpatch's reasons to fail that the text of a diff shows. The others show in the built module alone.
KPATCH = {"meminfo-init-FAIL": "init", "meminfo-init2-FAIL": "init", "warn-detect-FAIL": "no change"}


def of_kpatch(tree: str) -> Iterator[tuple[str, str]]:
    """The path of each diff of kpatch's tests, and its verdict."""
    for path in sorted(glob.glob(f"{tree}/test/integration/*/*.patch")):
        name = os.path.basename(path)[: -len(".patch")]
        if "FAIL" not in name or name in KPATCH:
            yield path, KPATCH.get(name, "good")


def of_fixes(folder: str) -> Iterator[tuple[str, str]]:
    """The path of each diff in ``folder`` that fixes.tsv knows, and its verdict there."""
    with open(os.path.join(os.path.dirname(__file__), "fixes.tsv"), encoding="utf-8", newline="") as file:
        verdicts = {row["commit"]: row["verdict"] for row in csv.DictReader(file, delimiter="\t")}
    for path in sorted(glob.glob(f"{folder}/*")):
        with open(path, encoding="utf-8", errors="replace") as file:
            found = COMMIT.search(file.read(1 << 20))
        if found and found.group(1) in verdicts:
            yield path, verdicts[found.group(1)]


def measure(title: str, rows: Iterator[tuple[str, str]]) -> bool:
    """Print the table of ``rows``; returns whether the judge is as right as is wanted."""
    table: collections.Counter[tuple[str, str]] = collections.Counter()
    for path, verdict in rows:
        try:
            judge.judge(diffs.read_diff(path), path)
            said = ""
        except ToolError as error:
            said = error.id
        table[verdict, said] += 1
        if said not in AGREES[verdict]:
            print(f"{title}: {os.path.basename(path)}: {verdict}, judged {said or 'good'}")
    for (verdict, said), count in sorted(table.items()):
        print(f"{title}: {verdict:<9} judged {said or 'good':<10} {count:>4}")
    bad = [(said in AGREES[verdict], count) for (verdict, said), count in table.items() if verdict != "good"]
    refused = sum(count for right, count in bad if right)
    wrong = sum(count for (verdict, said), count in table.items() if verdict == "good" and said)
    return bool(table) and not wrong and refused >= 0.9 * sum(count for _, count in bad)


def main() -> int:
    """Measure what the environment names."""
    sources = {"KPATCH_TREE": of_kpatch, "FIXES": of_fixes}
    given = {name: read for name, read in sources.items() if os.environ.get(name)}
    if not given:
        print("test-judge: did not run: neither KPATCH_TREE= nor FIXES= names a folder", file=sys.stderr)
        return 2
    return 0 if all([measure(name, read(os.environ[name])) for name, read in given.items()]) else 1


if __name__ == "__main__":
    sys.exit(main())
