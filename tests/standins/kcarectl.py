#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A stand-in for KernelCare's kcarectl: --status with its documented exit codes, and --uname.

``code`` beside it holds the exit code; every other request is noted in ``driven``.
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(sys.argv[0]))
if sys.argv[1:] == ["--status"]:
    with open(os.path.join(HERE, "code"), encoding="utf-8") as file:
        sys.exit(int(file.read()))
if sys.argv[1:] == ["--uname"]:
    print("5.14.0-503.11.1.el9_5.x86_64")
    sys.exit(0)
with open(os.path.join(HERE, "driven"), "a", encoding="utf-8") as file:
    file.write(" ".join(sys.argv[1:]) + "\n")
sys.exit(0)
