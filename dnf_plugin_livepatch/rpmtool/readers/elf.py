# SPDX-License-Identifier: GPL-2.0-or-later
"""An ELF file of the kernel: sections, symbols, relocations, modinfo, build id.

pyelftools reads the headers; symbol and relocation tables, which are long in a vmlinux, are unpacked
here in one go. Every file is hostile until read: each offset is checked against the file's size, and
whatever goes wrong is a ToolError.
"""

from __future__ import annotations

import io
import mmap
import os
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple, Union

from ...formats import compressed
from ...toolkit.errors import refuse
from ...toolkit.files import contents

MAX_MODULE = 256 << 20
MAX_ITEMS = 1_000_000
MAX_SECTIONS = 1 << 14
_MAX_MODINFO = 1 << 20
_MAX_CRCS = 1 << 16
MACHINES = {"EM_X86_64": "x86_64", "EM_AARCH64": "aarch64", "EM_PPC64": "ppc64le", "EM_S390": "s390x"}
SHF_ALLOC, SHF_EXECINSTR, SHF_COMPRESSED, SHF_RELA_LIVEPATCH = 0x2, 0x4, 0x800, 0x00100000
SHN_LIVEPATCH = 0xFF20
SIGNATURE_MAGIC = b"~Module signature appended~\n"
Data = Union[bytes, mmap.mmap]


class Section(NamedTuple):
    """One section header; ``link`` and ``info`` as ELF defines them for the type."""

    number: int
    name: str
    type: str
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int


class Symbol(NamedTuple):
    """One symbol; ``kind`` is ELF's STT number (2 is a function), ``section`` its index."""

    name: str
    value: int
    size: int
    kind: int
    section: int


class Reloc(NamedTuple):
    """One relocation with addend: at ``offset`` of its target section, to symbol number ``symbol``."""

    offset: int
    symbol: int
    addend: int


class Elf:
    """A 64-bit ELF file held in ``data``. Raises ToolError ``module-unreadable`` when it is none."""

    def __init__(self, path: str, data: Data) -> None:
        from elftools.elf.elffile import ELFFile

        self.path, self.data = path, data
        try:
            stream: Any = io.BytesIO(data) if isinstance(data, bytes) else data
            elf = ELFFile(stream)
            if elf.elfclass != 64:
                refuse("module-foreign", path=path, found=f"{elf.elfclass}-bit")
            self.type = str(elf.header["e_type"])
            self.machine = MACHINES.get(str(elf.header["e_machine"]), "")
            self.order = "<" if elf.little_endian else ">"
            count = elf.num_sections()
            if not 0 < count <= MAX_SECTIONS:
                refuse("module-unreadable", path=path, why=f"{count} sections")
            self.sections = [self._section(elf.get_section(index), index) for index in range(count)]
        except RecursionError:
            refuse("module-unreadable", path=path, why="nested too deep")
        except Exception as error:  # noqa: BLE001  pyelftools raises whatever a hostile header leads it to
            if hasattr(error, "remedy"):
                raise
            refuse("module-unreadable", path=path, why=str(error)[:100] or type(error).__name__)
        self.by_name: dict[str, Section] = {}
        for section in self.sections:
            # The kernel's find_sec() passes over sections that take no memory (kernel/module/main.c).
            if section.flags & SHF_ALLOC and section.type != "SHT_NOBITS":
                self.by_name.setdefault(section.name, section)
        self.symbols = self._symbols()

    def _section(self, section: object, index: int) -> Section:
        header = section.header  # type: ignore[attr-defined]
        return Section(
            index,
            str(section.name),  # type: ignore[attr-defined]
            str(header["sh_type"]),
            int(header["sh_flags"]),
            int(header["sh_addr"]),
            int(header["sh_offset"]),
            int(header["sh_size"]),
            int(header["sh_link"]),
            int(header["sh_info"]),
        )

    def bytes_of(self, section: Section) -> bytes:
        """The bytes of ``section`` as they lie in the file."""
        if section.type == "SHT_NOBITS":
            return b""
        self.check(section)
        return self.data[section.offset : section.offset + section.size]

    def check(self, section: Section, most: int = MAX_MODULE) -> None:
        """Raise ToolError unless ``section`` lies whole and plain in the file, of at most ``most`` bytes."""
        if section.flags & SHF_COMPRESSED or section.offset + section.size > len(self.data):
            refuse(
                "module-unreadable", path=self.path, why=f"section {section.name[:40]} is cut or compressed"
            )
        if section.size > most:
            refuse("module-unreadable", path=self.path, why=f"section {section.name[:40]} is too long")

    def string(self, section: Section, offset: int, limit: int = 512) -> str:
        """The NUL-terminated string at ``offset`` of ``section``, at most ``limit`` bytes, else ""."""
        if not 0 <= offset < section.size or section.type == "SHT_NOBITS":
            return ""
        start = section.offset + offset
        raw = self.data[start : min(start + limit, section.offset + section.size)]
        text, nul, _ = raw.partition(b"\0")
        return text.decode("ascii", "replace") if nul else ""

    def _table(self, section: Section, form: str, most: int = MAX_ITEMS) -> Iterator[tuple[int, ...]]:
        layout = struct.Struct(self.order + form)
        if section.type != "SHT_NOBITS":
            self.check(section, most * layout.size)
        raw = self.bytes_of(section)
        return layout.iter_unpack(raw[: len(raw) - len(raw) % layout.size])

    def _symbols(self) -> list[Symbol]:
        table = next((section for section in self.sections if section.type == "SHT_SYMTAB"), None)
        if table is None or table.link >= len(self.sections):
            return []
        names = self.bytes_of(self.sections[table.link])
        found = []
        for name, info, _other, section, value, size in self._table(table, "IBBHQQ"):
            end = names.find(b"\0", name, name + 1024)
            text = names[name:end].decode("ascii", "replace") if end > name else ""
            found.append(Symbol(text, value, size, info & 15, section))
        return found

    def relocations(self, section: Section) -> Iterator[Reloc]:
        """The entries of ``section``, which must be of type SHT_RELA."""
        for offset, info, addend in self._table(section, "QQq"):
            yield Reloc(offset, info >> 32, addend)

    def build_id(self) -> str:
        """The GNU build id in hexadecimal, "" without one.

        A module has it in the one section that sysfs shows and hosts read, a kernel image in any note.
        """
        own = self.by_name.get(".note.gnu.build-id")
        notes = [section for section in self.by_name.values() if section.type == "SHT_NOTE"]
        for section in [own] if own else notes if self.type != "ET_REL" else []:
            self.check(section, _MAX_MODINFO)
            found = self._note(self.bytes_of(section))
            if found:
                return found
        return ""

    def _note(self, raw: bytes) -> str:
        """The GNU build id among the notes in ``raw``, "" without one."""
        at = 0
        while at + 12 <= len(raw):
            name, size, kind = struct.unpack_from(self.order + "III", raw, at)
            start = at + 12 + (name + 3 & ~3)
            if kind == 3 and raw[at + 12 : at + 12 + name] == b"GNU\0" and 8 <= size <= 64:
                return raw[start : start + size].hex() if start + size <= len(raw) else ""
            at = start + (size + 3 & ~3)
        return ""

    def modinfo(self) -> dict[str, str]:
        """The key=value pairs of ``.modinfo``; the first of equal keys wins, as in the kernel."""
        section = self.by_name.get(".modinfo")
        pairs: dict[str, str] = {}
        if section is not None:
            self.check(section, _MAX_MODINFO)
        for item in self.bytes_of(section).split(b"\0") if section else ():
            key, equals, value = item.decode("utf-8", "replace").partition("=")
            if equals:
                pairs.setdefault(key, value)
        return pairs

    def crcs(self) -> dict[str, int]:
        """Symbol -> CRC that the module was built against, from either form of modversions."""
        found: dict[str, int] = {}
        section = self.by_name.get("__versions")
        for crc, name in self._table(section, "Q56s", _MAX_CRCS) if section else ():
            found[name.split(b"\0")[0].decode("ascii", "replace")] = crc & 0xFFFFFFFF  # type: ignore[attr-defined]
        crcs, names = self.by_name.get("__version_ext_crcs"), self.by_name.get("__version_ext_names")
        if crcs and names:
            self.check(names, _MAX_CRCS * 64)
            labels = self.bytes_of(names).split(b"\0")
            for (crc,), label in zip(self._table(crcs, "I", _MAX_CRCS), labels):
                found[label.decode("ascii", "replace")] = crc
        return found


def read_module(path: str) -> Elf:
    """The kernel module at ``path``. Raises ToolError when it is none or may be hostile."""
    return parse_module(path, contents(path, MAX_MODULE, "module-unreadable"))


def unpacked(path: str, data: bytes) -> bytes:
    """``data`` of the module at ``path``, unpacked where it is compressed. Raises ToolError."""
    packing = compressed.kind(data)
    if not packing:
        return data
    parts, size = [], 0
    try:
        for block in compressed.blocks(io.BytesIO(data), packing):
            size += len(block)
            if size > MAX_MODULE:
                refuse("module-unreadable", path=path, why=f"it unpacks to more than {MAX_MODULE >> 20} MiB")
            parts.append(block)
    except compressed.DamagedError as error:
        refuse("module-unreadable", path=path, why=str(error))
    return b"".join(parts)


def parse_module(path: str, data: bytes) -> Elf:
    """The kernel module in ``data``, compressed or not, called ``path`` in messages. Raises ToolError."""
    data = unpacked(path, data)
    if len(data) > MAX_MODULE:
        refuse("module-unreadable", path=path, why=f"larger than {MAX_MODULE >> 20} MiB")
    if not data.startswith(b"\x7fELF"):
        # lz4 for example: kmod does not read it either.
        named = "; by its name it is compressed, in a way that is not read here" if ".ko." in path else ""
        refuse("module-unreadable", path=path, why="not an ELF file" + named)
    elf = Elf(path, data)
    if elf.type != "ET_REL" or not elf.machine:
        refuse("module-foreign", path=path, found=f"{elf.type} for {elf.machine or 'another machine'}")
    if ".modinfo" not in elf.by_name:
        refuse("module-unreadable", path=path, why="it has no .modinfo")
    total = 0
    for section in elf.sections:
        if section.type not in ("SHT_NOBITS", "SHT_NULL"):
            total += section.size
            if section.flags & SHF_ALLOC:
                elf.check(section)
    # Sections of a module share no bytes. A small file with large ones would be read again for each of them.
    if total > len(data):
        refuse("module-unreadable", path=path, why="its sections overlap, or it is cut short")
    return elf


def map_module(path: str) -> Elf:
    """The module or its debugging data at ``path``, mapped. Raises ToolError ``module-unreadable``."""
    try:
        with open(path, "rb") as file:
            data: Data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        refuse("module-unreadable", path=path, why=str(error)[:100])
    if compressed.kind(data[:8]):
        data = unpacked(path, data[:MAX_MODULE])
    return Elf(path, data)


def read_vmlinux(path: str) -> Elf:
    """The kernel image at ``path`` (mapped, not read). Raises ToolError ``vmlinux-mismatch``."""
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size < 64 or file.read(4) != b"\x7fELF":
                refuse("vmlinux-mismatch", path=path, why="it is no ELF file; vmlinuz is not vmlinux")
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        refuse("vmlinux-mismatch", path=path, why=error.strerror or "unreadable")
    elf = Elf(path, data)
    if elf.type not in ("ET_EXEC", "ET_DYN"):
        refuse("vmlinux-mismatch", path=path, why=f"it is {elf.type}, no linked kernel")
    return elf


def signature(data: bytes) -> str:
    """``none``, ``signed`` (a whole PKCS#7 block is appended) or ``broken``. Pure; verifies nothing."""
    if not data.endswith(SIGNATURE_MAGIC):
        # A stripped module may keep the block somewhere in the middle: the kernel then sees none.
        return "broken" if SIGNATURE_MAGIC in data[-65536:] else "none"
    trailer = data[-len(SIGNATURE_MAGIC) - 12 : -len(SIGNATURE_MAGIC)]
    if len(trailer) < 12:
        return "broken"
    _algo, _hash, kind, signer, key, length = struct.unpack(">BBBBB3xI", trailer)
    block = len(data) - len(SIGNATURE_MAGIC) - 12 - length
    whole = kind == 2 and not signer and not key and block > 0 and data[block : block + 1] == b"\x30"
    return "signed" if whole else "broken"


def unsigned(data: bytes) -> tuple[bytes, bytes]:
    """``data`` split into the module proper and its PKCS#7 block (b"" when it is not signed)."""
    if signature(data) != "signed":
        return data, b""
    end = len(data) - len(SIGNATURE_MAGIC) - 12
    (length,) = struct.unpack(">I", data[end + 8 : end + 12])
    return data[: end - length], data[end - length : end]
