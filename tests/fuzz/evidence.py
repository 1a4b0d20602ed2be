# SPDX-License-Identifier: GPL-2.0-or-later
"""The table in docs/evidence/verified-fuzz.md: a row a target, of the last day on which it ran."""

from __future__ import annotations

import datetime
import os
import re

from .target import TOP
from .targets import TARGETS

PAGE = os.path.join(TOP, "docs/evidence/verified-fuzz.md")
_ROW = re.compile(r"\| ([^|]+) \| ([0-9,]+) \| [0-9,]+ \| ([0-9,.]+) \| [0-9]* \| (.*) \|\n")


def record(name: str, inputs: int, seconds: float, found: int) -> None:
    """Write the row of a target that had ``inputs`` in ``seconds`` of processor time and more before.

    ``found`` inputs of the corpus once showed a fault of this target.
    """
    with open(PAGE, encoding="utf-8") as file:
        text = file.read()
    rows = {match[1]: match[0] for match in _ROW.finditer(text)}
    today = str(datetime.datetime.now(datetime.timezone.utc).date())
    for match in _ROW.finditer(text):
        if match[1] == name and match[4] == today:
            inputs += int(match[2].replace(",", ""))
            seconds += float(match[3].replace(",", ""))
    rate = inputs / max(seconds, 0.1)
    rows[name] = f"| {name} | {inputs:,} | {rate:,.0f} | {seconds:,.1f} | {found or ''} | {today} |\n"
    kept = [rows[target] for target in TARGETS if target in rows]
    total = sum(int(row.split("|")[2].replace(",", "")) for row in kept)
    head, rule, rest = text.partition("|---|---|---|---|---|---|\n")
    after = re.sub(r"\A(?:\|.*\n)*", "", rest)
    head = re.sub(r"[0-9,]+ inputs in all", f"{total:,} inputs in all", head)
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(head + rule + "".join(kept) + after)
