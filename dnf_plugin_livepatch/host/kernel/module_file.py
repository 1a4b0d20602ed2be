# SPDX-License-Identifier: GPL-2.0-or-later
"""The facts that a kernel module file states about itself, read without trusting one byte.

The reader takes the two ELF sections that matter (``.modinfo`` and ``.note.gnu.build-id``), checks every
offset against the file's size, and bounds every count. Of a compressed module the digest is that of the file
in the package; signature and build id are those of the plain module in it.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Sequence

from ...base import names
from ...base.typed import TYPE_CHECKING, NamedTuple
from ...formats import compressed
from . import packed, signature

if TYPE_CHECKING:
    from typing import BinaryIO


MAX_FILE = packed.MAX_FILE
_MAX_SECTIONS = 1 << 16
_TITLES = (b".modinfo", b".note.gnu.build-id")
_ALLOC = 2
_MAX_DATA = 1 << 20


class ModuleError(ValueError):
    """The file is no kernel module that may be loaded; str() is the reason."""


class ModInfo(NamedTuple):
    """The facts in a module file.

    ``digest`` is in the form of ``InstalledModule.digest``, by the algorithm that was asked for. ``signed``
    means that a signature is appended, not that it is good.
    """

    name: str
    vermagic: str
    livepatch: bool
    srcversion: str
    build_id: str
    sha256: str
    digest: str
    signed: bool
    depends: tuple[str, ...]
    signer: signature.Signer = signature.Signer()


def note_build_id(data: bytes, order: str) -> str:
    """Return the GNU build id, in hexadecimal, among the ELF notes in ``data``; "" when there is none.

    ``order`` is ``<`` or ``>``, the byte order of the notes.
    """
    at = 0
    while at + 12 <= len(data):
        name_size, size, kind = struct.unpack_from(order + "III", data, at)
        name_at = at + 12
        value_at = name_at + (name_size + 3 & ~3)
        at = value_at + (size + 3 & ~3)
        if kind == 3 and data[name_at : name_at + name_size] == b"GNU\0" and 8 <= size <= 64:
            value = data[value_at : value_at + size]
            return value.hex() if len(value) == size else ""
    return ""


def _at(file: BinaryIO, offset: int, size: int, total: int) -> bytes:
    if size > _MAX_DATA or offset > total or size > total - offset:
        raise ModuleError("its ELF headers point outside the file")
    file.seek(offset)
    data = file.read(size)
    if len(data) != size:
        raise ModuleError("it is cut short")
    return data


def _sections(file: BinaryIO, total: int) -> tuple[str, dict[bytes, bytes]]:
    header = file.read(64)
    if compressed.kind(header):
        raise ModuleError("it is compressed")
    if len(header) < 64 or header[:5] != b"\x7fELF\x02" or header[5] not in (1, 2):
        raise ModuleError("it is no 64-bit ELF file")
    order = "<" if header[5] == 1 else ">"
    if struct.unpack_from(order + "H", header, 16)[0] != 1:
        raise ModuleError("it is no relocatable ELF file")
    (table,) = struct.unpack_from(order + "Q", header, 40)
    entry, count, titles = struct.unpack_from(order + "HHH", header, 58)
    if entry != 64 or not 0 < count < _MAX_SECTIONS or titles >= count:
        raise ModuleError("its ELF section table makes no sense")
    rows = []
    block = _MAX_DATA // 64
    for first in range(0, count, block):
        number = min(block, count - first)
        data = _at(file, table + first * 64, number * 64, total)
        for index in range(number):
            name, kind, flags, _, offset, size = struct.unpack_from(order + "IIQQQQ", data, index * 64)
            rows.append((name, kind, flags, offset, size))
    _, _, _, offset, size = rows[titles]
    strings = _at(file, offset, size, total)
    found: dict[bytes, bytes] = {}
    for name, kind, flags, offset, size in rows:
        end = strings.find(b"\0", name, name + 64)
        title = strings[name:end] if end > 0 else b""
        # The kernel's find_sec() passes over sections that take no memory (kernel/module/main.c).
        if title in _TITLES and kind != 8 and flags & _ALLOC and title not in found:
            found[title] = _at(file, offset, size, total)
    return order, found


def algorithm(digest: str) -> str:
    """The hash algorithm of a digest in the form of ``InstalledModule.digest``."""
    return digest.rpartition(":")[0] or "sha256"


def _digests(file: BinaryIO, *wanted: str) -> dict[str, str]:
    """The content's digests by the algorithms ``wanted``. Raises ValueError for one that is unknown."""
    import hashlib

    found = {name: hashlib.new(name) for name in wanted}
    file.seek(0)
    while True:
        block = file.read(1 << 20)
        if not block:
            return {name: digest.hexdigest() for name, digest in found.items()}
        for digest in found.values():
            digest.update(block)


def open_file(path: str) -> int:
    """A descriptor of the module file at ``path``, which is not a link. Raises ModuleError."""
    try:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        why = "it is a link" if error.errno == errno.ELOOP else str(error.strerror).lower()
        raise ModuleError(why) from None


def own_build_id(path: str) -> str:
    """Return the build id of the module file at ``path``, without reading all of it; "" for none.

    Only a compressed file is read as a whole.
    """
    try:
        with open(path, "rb") as file:
            inside = plain(file.fileno(), path, (os.path.dirname(path),))
            try:
                with open(inside, "rb", closefd=False) as module:
                    order, sections = _sections(module, os.fstat(inside).st_size)
            finally:
                close(inside, file.fileno())
    except (OSError, ModuleError):
        return ""
    return note_build_id(sections.get(b".note.gnu.build-id", b""), order)


def read(path: str) -> ModInfo:
    """Read the facts of the module file at ``path``. Raises ModuleError with a reason for a person."""
    descriptor = open_file(path)
    try:
        return facts(descriptor)
    finally:
        os.close(descriptor)


def plain(descriptor: int, path: str, folders: Sequence[str] = ()) -> int:
    """Return a descriptor of the plain module in the file that is open as ``descriptor``, to ``close``.

    The descriptor of a plain file is its own. A compressed one is unpacked into one of ``folders``. ``path``
    is the file's name, which may claim a compression. Raises ModuleError with a reason for a person.
    """
    try:
        packing = packed.kind(descriptor)
        if packing:
            return packed.unpacked(descriptor, packing, folders)
        claimed = names.MODULE_FILE.search(path)
        if claimed and claimed.group(1) and os.pread(descriptor, 4, 0) != b"\x7fELF":
            raise ModuleError(f"it is compressed (.{claimed.group(1)}) in a way that is not known here")
    except packed.PackedError as error:
        raise ModuleError(f"it is compressed, and {error}") from None
    except OSError as error:
        raise ModuleError(str(error.strerror).lower()) from None
    return descriptor


def close(inside: int, descriptor: int) -> None:
    """Close what ``plain`` returned for ``descriptor``; the latter stays open."""
    if inside != descriptor:
        os.close(inside)


def digest(descriptor: int, by: str) -> str:
    """The digest of the whole file, in the form of ``InstalledModule.digest``. Raises ModuleError."""
    try:
        with open(descriptor, "rb", closefd=False) as file:
            if os.fstat(descriptor).st_size > MAX_FILE:
                raise ModuleError(f"it is larger than {MAX_FILE >> 20} MiB")
            found = _digests(file, by)[by]
    except ModuleError:
        raise
    except ValueError:
        raise ModuleError(f"this host has no {by}") from None
    except OSError as error:
        raise ModuleError(str(error.strerror).lower()) from None
    return found if by == "sha256" else f"{by}:{found}"


def facts(descriptor: int, by: str = "sha256") -> ModInfo:
    """The facts of the plain module that is open as ``descriptor``, its digest ``by`` that algorithm.

    Raises ModuleError with a reason for a person.
    """
    try:
        with open(descriptor, "rb", closefd=False) as file:
            size = os.fstat(descriptor).st_size
            if size > MAX_FILE:
                raise ModuleError(f"it is larger than {MAX_FILE >> 20} MiB")
            file.seek(0)
            order, sections = _sections(file, size)
            fields: dict[str, str] = {}
            for item in sections.get(b".modinfo", b"").split(b"\0"):
                key, equals, value = item.decode("utf-8", "replace").partition("=")
                if equals and key not in fields:
                    fields[key] = value
            file.seek(max(0, size - signature.MAX_TAIL))
            tail = file.read(signature.MAX_TAIL)
            try:
                digests = _digests(file, *dict.fromkeys(("sha256", by)))
            except ValueError:
                raise ModuleError(f"this host has no {by}") from None
    except OSError as error:
        raise ModuleError(str(error.strerror).lower()) from None
    return ModInfo(
        name=fields.get("name", ""),
        vermagic=fields.get("vermagic", ""),
        livepatch=fields.get("livepatch") == "Y",
        srcversion=fields.get("srcversion", ""),
        build_id=note_build_id(sections.get(b".note.gnu.build-id", b""), order),
        sha256=digests["sha256"],
        digest=digests[by] if by == "sha256" else f"{by}:{digests[by]}",
        signed=tail.endswith(signature.MAGIC),
        depends=tuple(name for name in fields.get("depends", "").split(",") if name),
        signer=signature.signer(tail),
    )
