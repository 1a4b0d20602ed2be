#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A stand-in for Oracle's Ksplice Uptrack client, which cannot be had without a subscription.

Called as uptrack-upgrade, uptrack-remove, uptrack-show or uptrack-uname it honours their documented
command lines, output and exit codes. ``available``, all that the package holds, and ``applied`` beside it
have one update a line; ``broken`` tells how it is to misbehave. Where a kernel module ``updates.ko`` lies
beside it, the updates are that module: it is loaded and unloaded, and what is applied is then noted below
/run, as no boot keeps it.
"""

import os
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.realpath(sys.argv[0]))
MODULE = os.path.join(HERE, "updates.ko")
RUN = "/run/uptrack-stand-in"


def lines(path):
    try:
        with open(os.path.join(HERE, path), encoding="utf-8") as file:
            return file.read().splitlines()
    except FileNotFoundError:
        return []


def applied():
    return lines(os.path.join(RUN, "applied")) or lines("applied")


def upgrade():
    if not os.path.exists(MODULE):
        os.replace(os.path.join(HERE, "available"), os.path.join(HERE, "applied"))
    elif not os.path.exists(RUN):
        subprocess.run(["insmod", MODULE], check=True)
        os.mkdir(RUN)
        shutil.copy(os.path.join(HERE, "available"), os.path.join(RUN, "applied"))


def remove():
    if os.path.exists(RUN):
        subprocess.run(["rmmod", "updates"], check=True)
        shutil.rmtree(RUN)
    elif os.path.exists(os.path.join(HERE, "applied")):
        os.remove(os.path.join(HERE, "applied"))


def misbehave(broken):
    if broken == "hang":
        time.sleep(60)
    if broken == "flood":
        while True:
            print("x" * 4096)
    if broken == "signal":
        os.kill(os.getpid(), 9)
    if broken == "daemon" and os.fork() == 0:
        time.sleep(60)
        os._exit(0)


def main():
    program, arguments = os.path.basename(sys.argv[0]), sys.argv[1:]
    broken = "".join(lines("broken"))
    misbehave(broken)
    if program == "uptrack-upgrade":
        if arguments != ["-y"] or broken == "fail":
            print("The following steps will be taken:\nError applying \033[31mupdate", file=sys.stderr)
            return 1
        if broken != "lie":
            upgrade()
        print("Your kernel is fully up to date.")
    elif program == "uptrack-remove":
        if arguments != ["--all", "-y"] or broken == "fail":
            print("Error removing updates", file=sys.stderr)
            return 1
        remove()
    elif program == "uptrack-show":
        if arguments not in ([], ["--available"]):
            return 2
        found = applied()
        listed = [line for line in lines("available") if line not in found] if arguments else found
        print("Available updates:" if arguments else "Installed updates:")
        print("\n".join(listed) if listed else "None")
        if broken == "garble":
            print("Something that nobody documented")
        if arguments:
            return 0
        print(f"\nEffective kernel version is {'5.4.17-2136.330.7.el7uek' if found else '5.4.17-2102'}")
    elif program == "uptrack-uname":
        print("5.4.17-2136.330.7.el7uek.x86_64" if broken != "garble" else "no release at all")
    return 0


sys.exit(main())
