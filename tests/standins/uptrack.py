#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A stand-in for Oracle's Ksplice Uptrack client, which cannot be had without a subscription.

Called as uptrack-upgrade, uptrack-show or uptrack-uname it honours their documented command lines,
output and exit codes. ``available`` and ``applied`` beside it hold one update a line; ``broken`` tells
how it is to misbehave.
"""

import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(sys.argv[0]))


def lines(name):
    try:
        with open(os.path.join(HERE, name), encoding="utf-8") as file:
            return file.read().splitlines()
    except FileNotFoundError:
        return []


def main():
    program, arguments = os.path.basename(sys.argv[0]), sys.argv[1:]
    broken = "".join(lines("broken"))
    if broken == "hang":
        time.sleep(60)
    if broken == "flood":
        while True:
            print("x" * 4096)
    if broken == "signal":
        os.kill(os.getpid(), 9)
    if broken == "daemon" and os.fork() == 0:
        time.sleep(5)
        os._exit(0)
    if program == "uptrack-upgrade":
        if arguments != ["-y"] or broken == "fail":
            print("The following steps will be taken:\nError applying \033[31mupdate", file=sys.stderr)
            return 1
        if broken != "lie":
            os.replace(os.path.join(HERE, "available"), os.path.join(HERE, "applied"))
        print("Your kernel is fully up to date.")
    elif program == "uptrack-show":
        applied = lines("applied")
        print("Installed updates:")
        print("\n".join(applied) if applied else "None")
        if broken == "garble":
            print("Something that nobody documented")
        print(f"\nEffective kernel version is {'5.4.17-2136.330.7.el7uek' if applied else '5.4.17-2102'}")
    elif program == "uptrack-uname":
        print("5.4.17-2136.330.7.el7uek.x86_64" if broken != "garble" else "no release at all")
    return 0


sys.exit(main())
