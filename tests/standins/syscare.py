#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A stand-in for openEuler's syscare: ``list``, ``apply UUID`` and ``remove UUID`` as documented.

``patches`` beside it holds uuid, name and status by blanks; a patch named with ``refuse`` cannot be
applied. The patches of packages, /usr/lib/syscare/patches/UUID, are known besides: each holds ``name``
and one live patch, which is loaded and unloaded, and whose status the kernel tells.
"""

import glob
import os
import subprocess
import sys
import time

FILE = os.path.join(os.path.dirname(os.path.abspath(sys.argv[0])), "patches")
PACKAGES = "/usr/lib/syscare/patches"


def live(uuid):
    """The module's file and its folder in sysfs, "" for both where the patch is no package's."""
    path = "".join(glob.glob(os.path.join(PACKAGES, uuid, "*.ko")))
    return path, path and "/sys/kernel/livepatch/" + os.path.basename(path)[:-3]


def rows():
    found = []
    if os.path.exists(FILE):
        with open(FILE, encoding="utf-8") as file:
            found = [line.split() for line in file]
    for path in sorted(glob.glob(PACKAGES + "/*/name")):
        uuid = os.path.basename(os.path.dirname(path))
        with open(path, encoding="utf-8") as file:
            status = "ACTIVED" if os.path.exists(live(uuid)[1]) else "NOT-APPLIED"
            found.append([uuid, file.read().strip(), status])
    return found


def in_transition(folder):
    with open(folder + "/transition", encoding="ascii") as file:
        return file.read().strip() != "0"


def apply(known, row):
    module, folder = live(row[0])
    if "refuse" in row[1]:
        print(f"Error: Operation failed\nPatch {row[1]} conflicts", file=sys.stderr)
        return 1
    if module:
        subprocess.run(["insmod", module], check=True)
        while in_transition(folder):
            time.sleep(0.1)
        return 0
    row[2] = "ACTIVED"
    with open(FILE, "w", encoding="utf-8") as file:
        file.writelines(" ".join(r) + "\n" for r in known)
    return 0


def remove(_known, row):
    module, folder = live(row[0])
    if module and os.path.exists(folder):
        with open(folder + "/enabled", "w", encoding="ascii") as file:
            file.write("0")
        while os.path.exists(folder):
            time.sleep(0.1)
        subprocess.run(["rmmod", os.path.basename(folder)], check=True)
    return 0


def main():
    known = rows()
    if sys.argv[1:] == ["list"]:
        print(f"{'Uuid':<40} {'Name':<60} Status")
        for uuid, name, status in known:
            print(f"{uuid:<40} {name:<60} {status}")
        return 0
    verbs = {"apply": apply, "remove": remove}
    if len(sys.argv) != 3 or sys.argv[1] not in verbs:
        return 2
    for row in known:
        if row[0] == sys.argv[2]:
            return verbs[sys.argv[1]](known, row)
    print("Error: Cannot match any patch", file=sys.stderr)
    return 1


sys.exit(main())
