# SPDX-License-Identifier: GPL-2.0-or-later
"""The output that the README shows against the output of a real run.

The README shows the output of ``dnf upgrade`` as a picture, drawn from docs/images/upgrade.txt. The output
of other commands stands in blocks that begin with ``#`` and the command. Kernel releases, sizes, seconds,
days, widths and line breaks differ from run to run; every word in between is compared. `make demo` and
the smoke test in tests/vm/test_upgrade.py do so.
"""

from __future__ import annotations

import os
import re

from .common import ROOT

TEXT = os.path.join(ROOT, "docs", "images", "upgrade.txt")
README = os.path.join(ROOT, "README.md")
# The kernels in the README: the kernel that ran and the kernel that the upgrade installed.
OLD, NEW = "6.12.115+deb12-amd64", "6.12.117+deb12-amd64"
LEFT_OUT = "…"


def words(text: str, old: str, new: str) -> list[str]:
    """The words of ``text``, with a fixed word for everything that changes from day to day."""
    for release, name in ((old, "OLD"), (new, "NEW")):
        text = text.replace(release, name).replace(re.sub(r"[^A-Za-z0-9-]", "_", release), name)
    text = re.sub(r"\b\d+(\.\d+)? [kMG]\b", "SIZE", text)
    text = re.sub(r"\b\d+\.\d+ s\b", "SECONDS", text)
    text = re.sub(r"\bat most \d+ s\b", "at most SECONDS", text)
    text = re.sub(r"\b\d+ days left\b", "DAYS left", text)
    return re.sub(r"={2,}", "=", text).split()


def _find(wanted: list[str], found: list[str], start: int) -> int:
    """The place behind ``wanted`` in ``found``, at or behind ``start``; -1 where it is not there."""
    for place in range(start, len(found) - len(wanted) + 1):
        if found[place : place + len(wanted)] == wanted:
            return place + len(wanted)
    return -1


def difference(shown: str, printed: str, old: str, new: str) -> str:
    """The first part of ``shown`` that a run with the kernels ``old`` and ``new`` did not print, or "".

    Each part between the dots has to be in ``printed`` without a gap, and the parts in their order. Lines
    that begin with ``# `` are what was typed, which DNF does not print.
    """
    found, place = words(printed, old, new), 0
    text = re.sub(r"^# .*\n", "", shown, flags=re.MULTILINE)
    for part in text.split(LEFT_OUT):
        end = _find(words(part, OLD, NEW), found, place)
        if end < 0:
            return part.strip()
        place = end
    return ""


def shown() -> dict[str, str]:
    """What the README shows: each command that was typed, and its output."""
    with open(TEXT, encoding="utf-8") as file:
        texts = [file.read()]
    with open(README, encoding="utf-8") as file:
        texts += re.findall(r"^```\n(# .*?)^```$", file.read(), re.MULTILINE | re.DOTALL)
    return {text.split("\n", 1)[0][2:]: text for text in texts}


def check(command: str, printed: str, old: str, new: str) -> str:
    """The first part that the README shows of ``command`` and that ``printed`` does not hold, or ""."""
    return difference(shown()[command], printed, old, new)
