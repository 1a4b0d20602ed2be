#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A stand-in for openEuler's syscare: ``list`` and ``apply UUID`` as documented.

``patches`` beside it holds uuid, name and status by blanks; a patch named with ``refuse`` cannot be
applied.
"""

import os
import sys

FILE = os.path.join(os.path.dirname(os.path.abspath(sys.argv[0])), "patches")


def main():
    with open(FILE, encoding="utf-8") as file:
        rows = [line.split() for line in file]
    if sys.argv[1:] == ["list"]:
        print(f"{'Uuid':<40} {'Name':<60} Status")
        for uuid, name, status in rows:
            print(f"{uuid:<40} {name:<60} {status}")
        return 0
    if len(sys.argv) != 3 or sys.argv[1] != "apply":
        return 2
    for row in rows:
        if row[0] == sys.argv[2]:
            if "refuse" in row[1]:
                print(f"Error: Operation failed\nPatch {row[1]} conflicts", file=sys.stderr)
                return 1
            row[2] = "ACTIVED"
            with open(FILE, "w", encoding="utf-8") as file:
                file.writelines(" ".join(r) + "\n" for r in rows)
            return 0
    print("Error: Cannot match any patch", file=sys.stderr)
    return 1


sys.exit(main())
