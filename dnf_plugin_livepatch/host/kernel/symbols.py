# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's list of its symbols: which names a function has beside its own.

A system call and its inner function, or two functions that the compiler merged, have one address and several
names. Which of the names a list of the kernel prints is the kernel's choice. kernel.kptr_restrict hides the
addresses, from root too: then nothing is known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ...base.model import Function
from ...base.paths import Paths
from ..read import read_bytes

MAX_BYTES = 64 << 20
_LINE = rb"^([0-9a-f]{4,16}) [tTwW] ([^\s]+)(?:[ \t]+\[([^\]\s]+)\])?$"


def same_place(paths: Paths, functions: Iterable[Function]) -> dict[Function, set[str]]:
    """Return all names of each of ``functions``, its own included; without those that nothing is known of.

    Of several functions of one name ``sympos`` chooses the one, as the kernel's live patching does.
    """
    wanted = list(functions)
    text = read_bytes(paths.at("/proc/kallsyms"), MAX_BYTES)
    places = {one: address for one in wanted for address in _address(text, one)}
    if not places:
        return {}
    either = b"|".join(sorted(set(places.values())))
    names: dict[bytes, set[str]] = {}
    for found in re.finditer(_LINE.replace(b"[0-9a-f]{4,16}", either), text, re.MULTILINE):
        names.setdefault(found.group(1), set()).add(found.group(2).decode("utf-8", "replace"))
    return {one: names[address] for one, address in places.items() if address in names}


def _address(text: bytes, function: Function) -> list[bytes]:
    """Return the address of ``function`` as the only item; none where the list does not tell it."""
    name = re.escape(function.name.encode("utf-8", "replace"))
    rows = re.finditer(_LINE.replace(b"([^\\s]+)", b"(" + name + b")"), text, re.MULTILINE)
    owner = b"" if function.object == "vmlinux" else function.object.encode("utf-8", "replace")
    found = [row.group(1) for row in rows if (row.group(3) or b"") == owner]
    place = max(function.sympos, 1) - 1
    return [found[place]] if place < len(found) and found[place].strip(b"0") else []
