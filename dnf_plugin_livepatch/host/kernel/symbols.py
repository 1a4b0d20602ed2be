# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's list of its symbols: which names a function has beside its own.

A system call and its inner function, or two functions that the compiler merged, have one address and several
names. Which of the names a list of the kernel prints is the kernel's choice. kernel.kptr_restrict hides the
addresses, from root too: then nothing is known.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator

from ...base.model import Function
from ...base.paths import Paths
from ..read import read_bytes

MAX_BYTES = 64 << 20
_CODE = (b"t", b"T", b"w", b"W")


def same_place(paths: Paths, functions: Iterable[Function]) -> dict[Function, set[str]]:
    """Return all names of each of ``functions``, its own included; without those that nothing is known of.

    Of several functions of one name ``sympos`` chooses the one, as the kernel's live patching does. The list
    is walked through twice, however many functions are asked for. A list that is too long to be read whole
    tells nothing.
    """
    text = read_bytes(paths.at("/proc/kallsyms"), MAX_BYTES)
    if len(text) == MAX_BYTES:
        return {}
    wanted = {one: (_owner(one), one.name.encode("utf-8", "replace")) for one in functions}
    addresses: dict[tuple[bytes, bytes], list[bytes]] = {key: [] for key in wanted.values()}
    for address, owner, name in _rows(text):
        if (owner, name) in addresses:
            addresses[owner, name].append(address)
    places = {one: address for one, key in wanted.items() for address in _chosen(one, addresses[key])}
    names: dict[bytes, set[str]] = {address: set() for address in places.values()}
    for address, _, name in _rows(text) if names else ():
        if address in names:
            names[address].add(name.decode("utf-8", "replace"))
    return {one: names[address] for one, address in places.items()}


def _rows(text: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Yield the address, the module ("" for the kernel itself) and the name of each symbol of code."""
    for line in io.BytesIO(text):
        words = line.split()
        if len(words) in (3, 4) and words[1] in _CODE and words[0].strip(b"0"):
            yield words[0], words[3].strip(b"[]") if len(words) == 4 else b"", words[2]


def _owner(function: Function) -> bytes:
    return b"" if function.object == "vmlinux" else function.object.encode("utf-8", "replace")


def _chosen(function: Function, addresses: list[bytes]) -> list[bytes]:
    """Return the address of ``function`` as the only item, no item where ``addresses`` lack it."""
    place = max(function.sympos, 1) - 1
    return addresses[place : place + 1]
