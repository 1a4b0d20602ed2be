# SPDX-License-Identifier: GPL-2.0-or-later
"""The functions that a live-patch module replaces, read from its data and relocations.

Three shapes are understood, on all machines with 64-bit pointers:

* klp structures in static data, as written by hand and by SUSE: a ``struct klp_patch`` is known by its
  pointer to ``__this_module`` followed by one to the objects; an object by its pointer to an array of
  functions; a function by a pointer to a string followed by one into code.
* kpatch-build's ``.kpatch.funcs`` section.
* klp-build's ``.init.klp_objects`` and ``.init.klp_funcs`` sections (kernel 6.19 and later).

A patch may replace no function: its objects have callbacks, or it carries states, which later patches look
at. No patched function is found in modules that fill in klp structures by code of their own.
"""

from __future__ import annotations

import bisect
import re
import struct
from collections.abc import Iterator
from typing import NamedTuple, NoReturn

from ...base import fields
from ...base.model import Function
from ...toolkit.errors import refuse
from .elf import SHF_ALLOC, SHF_EXECINSTR, SHF_RELA_LIVEPATCH, SHN_LIVEPATCH, Elf, Section

# One more than a manifest holds: the writer of the manifest refuses such a module, and no function is lost.
_MAX_FUNCTIONS = fields.MAX_ITEMS + 1
_MAX_FAULTS = 100
_MAX_POINTERS = 500_000
#: Pointers that may be looked at: structures that share their parts would cost the square of their number.
_MAX_LOOKS = 1_000_000
_SYMBOL = re.compile(r"[A-Za-z0-9_.$]{1,511}\Z")
_OBJECT = re.compile(r"[A-Za-z0-9_-]{1,63}\Z")
_KLP_SECTION = re.compile(r"\.klp\.rela\.([A-Za-z0-9_-]{1,63})\.(.+)\Z")
# objtool's name for the former target of a relocation that became a late one (klp-diff.c of kernel 7). No
# relocation refers to the symbol, and the kernel skips it like a late symbol.
_TOMBSTONE = ".klp.tombstone."
_KLP_SYMBOL = re.compile(r"\.klp\.sym\.([A-Za-z0-9_-]{1,63})\.([^,]+),([0-9]{1,6})\Z")
Place = tuple[int, int]
# Offsets in struct klp_patch (after mod and objs), and those of the callbacks in struct klp_object.
_STATES, _REPLACE = 16, 24
_CALLBACKS = (16, 24, 32, 40)
#: Bytes of the longest of the instructions below.
_INSTRUCTION = 4
# mov to memory with an offset of one byte: of a constant, of a register. s390x: stc and mvi.
_STORES = {
    "x86_64": re.compile(rb"(?:\xc6[\x40-\x47]|\x88[\x40-\x7f])\x18", re.DOTALL),
    "s390x": re.compile(rb"\x42.[\x00-\xf0]\x18|\x92.[\x00-\xf0]\x18", re.DOTALL),
}


class Patched(NamedTuple):
    """The functions that a module replaces. ``shape``: static, kpatch-build, klp-build, or "" for none.

    ``replace`` is None where code sets it: it is unknown until the module is loaded. ``callbacks`` tells
    that objects have callbacks, ``states`` that the patch has states.
    """

    shape: str
    functions: tuple[Function, ...] = ()
    replace: bool | None = None
    callbacks: bool = False
    states: bool = False


class _Pointers:
    """The pointers in a module's data and their targets: (section, offset) -> (section, offset).

    Sections that take no memory are passed over, as the kernel does.
    """

    def __init__(self, elf: Elf) -> None:
        self.elf = elf
        self.to: dict[Place, Place] = {}
        self.this_module: list[Place] = []
        for section in elf.sections:
            target = elf.sections[section.info] if 0 < section.info < len(elf.sections) else None
            wanted = target is not None and not target.flags & SHF_EXECINSTR
            if section.type != "SHT_RELA" or not wanted or not _may_hold_pointers(target):
                continue
            for reloc in elf.relocations(section):
                if len(self.to) + len(self.this_module) >= _MAX_POINTERS:
                    self._too_many()
                if reloc.symbol >= len(elf.symbols):
                    continue
                symbol, place = elf.symbols[reloc.symbol], (section.info, reloc.offset)
                if symbol.name == "__this_module":
                    self.this_module.append(place)
                elif (
                    0 < symbol.section < len(elf.sections) and elf.sections[symbol.section].flags & SHF_ALLOC
                ):
                    self.to[place] = (symbol.section, symbol.value + reloc.addend)
        self._places = sorted(self.to)
        self._looks = _MAX_LOOKS
        self._ends: dict[Place, int] = {}
        for symbol in elf.symbols:
            if symbol.size:
                self._ends.setdefault((symbol.section, symbol.value), symbol.value + symbol.size)

    def _too_many(self) -> NoReturn:
        refuse("module-unreadable", path=self.elf.path, why="its data holds more pointers than a live patch")

    def between(self, start: Place, end: int) -> list[Place]:
        """The pointers from ``start`` up to the offset ``end`` of its section. Raises ToolError."""
        first = bisect.bisect_left(self._places, start)
        last = bisect.bisect_left(self._places, (start[0], end))
        self._looks -= max(last - first, 0) + 1
        if self._looks < 0:
            self._too_many()
        return self._places[first:last]

    def text(self, place: Place) -> str:
        """The string that the pointer at ``place`` leads to, "" when it leads to none."""
        target = self.to.get(place)
        if target is None or self.elf.sections[target[0]].flags & SHF_EXECINSTR:
            return ""
        return self.elf.string(self.elf.sections[target[0]], target[1])

    def is_code(self, place: Place) -> bool:
        """True when the pointer at ``place`` leads into code."""
        target = self.to.get(place)
        return target is not None and bool(self.elf.sections[target[0]].flags & SHF_EXECINSTR)

    def number(self, place: Place, size: int = 8) -> int:
        """The number of ``size`` bytes at ``place``."""
        section = self.elf.sections[place[0]]
        raw = self.elf.bytes_of(section)[place[1] : place[1] + size]
        return int.from_bytes(raw, "little" if self.elf.order == "<" else "big")

    def end(self, place: Place) -> int:
        """The end of the variable that begins at ``place``: by its symbol, else that of its section."""
        return self._ends.get(place, self.elf.sections[place[0]].size)


def _may_hold_pointers(section: Section | None) -> bool:
    if section is None or not section.flags & SHF_ALLOC:
        return False
    return section.name.startswith(
        (".data", ".rodata", ".ro_after_init", ".kpatch.", ".init.klp", ".init.data", "__klp_", ".bss")
    )


def _functions(pointers: _Pointers, name: str, start: Place, end: int) -> list[Function]:
    found = []
    for section, offset in pointers.between(start, end):
        label = pointers.text((section, offset))
        if _SYMBOL.match(label) and pointers.is_code((section, offset + 8)):
            found.append(Function(name, label, pointers.number((section, offset + 16)) & 0xFFFF))
    return found[:_MAX_FUNCTIONS]


class _Object(NamedTuple):
    """One klp_object: its place, the name of what it patches, and the place of its functions."""

    place: Place
    name: str
    functions: Place


def _heads(pointers: _Pointers, start: Place, end: int) -> list[_Object]:
    """The klp objects between ``start`` and ``end`` of one section, with functions or with none."""
    found = []
    for section, offset in pointers.between((start[0], start[1] + 8), end + 8):
        target, owner = pointers.to[(section, offset)], (section, offset - 8)
        named = owner in pointers.to
        name = pointers.text(owner) if named else "vmlinux"
        if not _OBJECT.match(name) or pointers.is_code((section, offset)):
            continue
        filled = bool(pointers.text(target)) and pointers.is_code((target[0], target[1] + 8))
        empty = target not in pointers.to and (target[0], target[1] + 8) not in pointers.to
        # A list without functions looks like any other data, so that its object has to be clear.
        if filled or (empty and (named or owner == start)):
            found.append(_Object(owner, name, target))
    return found


def _objects(pointers: _Pointers, heads: list[_Object]) -> list[Function]:
    """The functions of ``heads``."""
    found: list[Function] = []
    starts = sorted({head.functions for head in heads})
    for head in heads:
        target = head.functions
        end = pointers.end(target)
        later = bisect.bisect_right(starts, target)
        if later < len(starts) and starts[later][0] == target[0]:
            end = min(end, starts[later][1])
        found += _functions(pointers, head.name, target, end)
        if len(found) >= _MAX_FUNCTIONS:
            break
    return found[:_MAX_FUNCTIONS]


def _calls_back(pointers: _Pointers, heads: list[_Object]) -> bool:
    """Whether one of the objects has a callback: before or after it is patched or unpatched."""
    places = ((section, at + offset) for (section, at), *_ in heads for offset in _CALLBACKS)
    return any(map(pointers.is_code, places))


def _static(pointers: _Pointers) -> Patched | None:
    bare = None
    for place in pointers.this_module:
        objects = pointers.to.get((place[0], place[1] + 8))
        if objects is None:
            continue
        heads = _heads(pointers, objects, pointers.end(objects))
        functions = _objects(pointers, heads)
        states = (place[0], place[1] + _STATES) in pointers.to
        calls = _calls_back(pointers, heads)
        clear = bool(heads) and heads[0].place == objects and (calls or states)
        if functions or clear:
            flag = bool(pointers.number((place[0], place[1] + _REPLACE), 1))
            replace = None if _sets_replace(pointers.elf, place) else flag
            found = Patched("static", tuple(functions), replace, calls, states)
            if functions:
                return found
            bare = bare or found
    return bare


def _sets_replace(elf: Elf, patch: Place) -> bool:
    """Whether code writes the replace flag of the klp_patch at ``patch``, as far as its form tells.

    On x86 an instruction names the flag's own address. Elsewhere, and with an address in a register, a
    function that knows the patch stores a byte at the flag's offset.
    """
    near: dict[int, list[int]] = {}
    for section in elf.sections:
        code = elf.sections[section.info] if 0 < section.info < len(elf.sections) else None
        if section.type != "SHT_RELA" or code is None or not code.flags & SHF_EXECINSTR:
            continue
        for reloc in elf.relocations(section):
            if reloc.symbol < len(elf.symbols) and elf.symbols[reloc.symbol].section == patch[0]:
                at = elf.symbols[reloc.symbol].value + reloc.addend - patch[1]
                # An address relative to the next instruction lacks four bytes, and those of a constant.
                if at in (_REPLACE, _REPLACE - 4, _REPLACE - 5):
                    return True
                if -8 <= at <= _REPLACE:
                    near.setdefault(code.number, []).append(reloc.offset)
    functions: dict[int, set[tuple[int, int]]] = {}
    for symbol in elf.symbols if near else ():
        if symbol.kind == 2 and symbol.section in near:
            functions.setdefault(symbol.section, set()).add((symbol.value, symbol.value + symbol.size))
    return any(
        _stores_byte(elf, part)
        for number, places in functions.items()
        for part in _around(elf.bytes_of(elf.sections[number]), near[number], places)
    )


def _around(code: bytes, near: list[int], functions: set[tuple[int, int]]) -> Iterator[bytes]:
    """The code of those ``functions`` (start, end) that hold one of the offsets ``near``.

    A hostile module has many offsets, and many functions that overlap. Each byte is given once, and once
    more where an instruction may begin in the part before.
    """
    near = sorted(near)
    seen = 0
    for start, end in sorted(functions):
        at = bisect.bisect_left(near, start)
        if at < len(near) and near[at] < end and end > seen:
            done = max(seen - start - _INSTRUCTION, 0)
            yield code[start + done - done % 4 : end]
            seen = end


def _stores_byte(elf: Elf, code: bytes) -> bool:
    """Whether ``code`` stores a byte at the offset of the replace flag from an address in a register."""
    if elf.machine in ("x86_64", "s390x"):
        return _STORES[elf.machine].search(code) is not None
    words = [word for (word,) in struct.iter_unpack(elf.order + "I", code[: len(code) & ~3])]
    if elf.machine == "aarch64":  # strb, with an unsigned offset
        return any(word & 0xFFFFFC00 == 0x39000000 | _REPLACE << 10 for word in words)
    return any(word >> 26 == 38 and word & 0xFFFF == _REPLACE for word in words)  # stb of ppc64le


def _kpatch(pointers: _Pointers, section: Section) -> Patched:
    functions = []
    for offset in range(0, min(section.size, 56 * _MAX_FUNCTIONS) - 55, 56):
        name = pointers.text((section.number, offset + 40))
        owner = pointers.text((section.number, offset + 48))
        if _SYMBOL.match(name) and _OBJECT.match(owner):
            functions.append(Function(owner, name, pointers.number((section.number, offset + 32)) & 0xFFFF))
    calls = any(name.startswith(".kpatch.callbacks.") for name in pointers.elf.by_name)
    return Patched("kpatch-build", tuple(functions), None, calls)


def patched(elf: Elf) -> Patched:
    """The functions that the module ``elf`` replaces, as far as its shape is understood."""
    pointers = _Pointers(elf)
    kpatch = elf.by_name.get(".kpatch.funcs")
    if kpatch is not None:
        return _kpatch(pointers, kpatch)
    for name in (".init.klp_objects", "__klp_objects"):
        section = elf.by_name.get(name)
        if section is not None:
            heads = _heads(pointers, (section.number, 0), section.size)
            functions = tuple(_objects(pointers, heads))
            return Patched("klp-build", functions, None, _calls_back(pointers, heads))
    return _static(pointers) or Patched("")


def relocation_faults(elf: Elf) -> list[str]:
    """The faults of the late (.klp) relocations and symbols of ``elf``, in words."""
    faults: list[str] = []
    for section in elf.sections:
        marked = bool(section.flags & SHF_RELA_LIVEPATCH)
        if not section.name.startswith(".klp.rela."):
            if marked:
                faults.append(f"section {section.name[:60]} is marked as late relocation without its name")
            continue
        match = _KLP_SECTION.match(section.name)
        target = elf.sections[section.info].name if section.info < len(elf.sections) else ""
        if match is None or not marked or section.type != "SHT_RELA":
            faults.append(f"section {section.name[:60]} is not marked as a late relocation section")
        elif match.group(2) != target:
            faults.append(f"section {section.name[:60]} relocates {target[:40] or 'nothing'}")
    for symbol in elf.symbols:
        if len(faults) >= _MAX_FAULTS:
            break
        late = symbol.name.startswith((".klp.sym.", _TOMBSTONE))
        if symbol.name.startswith(".klp.sym.") and not _KLP_SYMBOL.match(symbol.name):
            faults.append(f"symbol {symbol.name[:60]} is no OBJECT.NAME,POSITION")
        elif late != (symbol.section == SHN_LIVEPATCH):
            faults.append(f"symbol {symbol.name[:60] or '(unnamed)'} is half a late symbol")
    return faults


def jump_tables(elf: Elf) -> list[str]:
    """Late relocation sections of jump tables: the kernel would patch those labels too early."""
    return [
        section.name
        for section in elf.sections
        if section.name.startswith(".klp.") and section.name.endswith("__jump_table")
    ]
