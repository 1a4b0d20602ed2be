# SPDX-License-Identifier: GPL-2.0-or-later
"""The inputs of a package: diffs, live-patch C source or finished modules; and tarballs of source."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ...base.names import MODULE_FILE
from ...toolkit.errors import refuse
from .diffs import read_diff
from .recipe import PLAIN, Input

MAX_SOURCE = 64 << 20
MAX_SOURCE_FILES = 2000
TARBALL = "livepatch-source.tar.gz"


class Inputs(NamedTuple):
    """``kind`` is diff, source or module; ``paths`` in the builder's order (one folder for source)."""

    kind: str
    paths: tuple[str, ...]


def _kind(path: str) -> str:
    if not os.path.exists(path):
        refuse("input-missing", path=path)
    if os.path.isdir(path):
        names = os.listdir(path)
        if any(name in names for name in ("Kbuild", "Makefile")) or any(n.endswith(".c") for n in names):
            return "source"
    elif MODULE_FILE.search(path):
        return "module"
    elif path.endswith((".c", ".h")):
        return "source"
    elif path.endswith((".patch", ".diff")):
        return "diff"
    else:
        with open(path, "rb") as file:
            head = file.read(1 << 16)
        if head.startswith(b"\x7fELF"):
            return "module"
        if b"\n--- " in b"\n" + head and b"\n+++ " in head:
            return "diff"
    refuse("input-unknown", path=path)


def classify(paths: Sequence[str]) -> Inputs:
    """The kind of ``paths``, which must be of one kind, with basenames that differ. Raises ToolError."""
    kinds = {_kind(path) for path in paths}
    if len(kinds) != 1:
        refuse("input-mixed")
    kind = kinds.pop()
    names = [os.path.basename(os.path.abspath(path)) for path in paths]
    if len(set(names)) != len(names):
        refuse("metadata-invalid", what="Two inputs have the same file name.")
    for name in names:
        if not PLAIN.match(name) or name == "livepatch.json":
            refuse("metadata-invalid", what=f"{name[:80]}: not a plain file name")
    # Each C file is a live patch of its own, with its own init function; parts of one belong in a folder.
    several = sum(name.endswith(".c") for name in names) > 1 or any(os.path.isdir(path) for path in paths)
    if kind == "source" and len(paths) > 1 and several:
        refuse("input-mixed")
    return Inputs(kind, tuple(os.path.abspath(path) for path in paths))


def digest(data: bytes) -> str:
    """SHA-256 of ``data`` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def source_files(paths: Sequence[str]) -> list[tuple[str, bytes]]:
    """(name, content) of the source ``paths``, sorted, without build products. Raises ToolError."""
    if len(paths) > 1 or not os.path.isdir(paths[0]):
        found = [(os.path.basename(path), path) for path in paths]
    else:
        found = []
        for folder, folders, names in os.walk(paths[0]):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in names:
                path = os.path.join(folder, name)
                if os.path.islink(path):
                    refuse("metadata-invalid", what=f"{path[:200]}: sources must not hold symbolic links")
                if not name.startswith(".") and not name.endswith(_PRODUCTS) and name not in _MADE:
                    found.append((os.path.relpath(path, paths[0]), path))
    files, total = [], 0
    for name, path in sorted(found):
        with open(path, "rb") as file:
            files.append((name, file.read(MAX_SOURCE + 1)))
        total += len(files[-1][1])
        if total > MAX_SOURCE or len(files) > MAX_SOURCE_FILES:
            refuse("metadata-invalid", what="The source is larger than a live patch can be.")
    return files


_PRODUCTS = (".o", ".ko", ".mod", ".mod.c", ".cmd", ".order", ".a", "~")
_MADE = ("Module.symvers", "modules.order")


def pack(files: Sequence[tuple[str, bytes]]) -> bytes:
    """``files`` as a tar.gz, the same bytes for the same files."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o644
            archive.addfile(info, io.BytesIO(data))
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=packed, mode="wb", mtime=0) as file:
        file.write(plain.getvalue())
    return packed.getvalue()


def unpack(data: bytes, folder: str, path: str) -> None:
    """The regular files of the tar.gz ``data`` below ``folder``; nothing else. Raises ToolError.

    The archive is of the form that ``pack`` writes. Extended headers, which only other programs write, are
    refused: one may be as long as the archive, and Python's reader takes each into memory.
    """
    try:
        for name, content in _members(_plain(data)):
            copy = os.path.join(folder, *name.split("/"))
            os.makedirs(os.path.dirname(copy), exist_ok=True)
            with open(copy, "xb") as file:
                file.write(content)
    except (tarfile.TarError, OSError, ValueError) as error:
        refuse("base-unfit", path=path, why=f"its source is broken: {str(error)[:80]}")


def _plain(data: bytes) -> bytes:
    """The gzip file ``data``, unpacked within the bound of a source. Raises ValueError."""
    most = MAX_SOURCE + (MAX_SOURCE_FILES + 2) * 2 * tarfile.BLOCKSIZE + tarfile.RECORDSIZE
    unpacker = zlib.decompressobj(31)
    try:
        plain = unpacker.decompress(data, most + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if len(plain) > most:
        raise ValueError("it is larger than a live patch can be")
    if not unpacker.eof or unpacker.unused_data:
        raise ValueError("it is cut short, or something follows it")
    return plain


def _members(plain: bytes) -> Iterator[tuple[str, bytes]]:
    """(name, content) of each file in the tar archive ``plain``. Raises TarError, ValueError."""
    at = count = total = 0
    while plain[at : at + tarfile.BLOCKSIZE].strip(b"\0"):
        info = tarfile.TarInfo.frombuf(plain[at : at + tarfile.BLOCKSIZE], "utf-8", "strict")
        at += tarfile.BLOCKSIZE
        count += 1
        parts = info.name.split("/")
        safe = info.name.isprintable() and not any(part in ("", ".", "..") for part in parts)
        if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or not safe or count > MAX_SOURCE_FILES:
            raise ValueError(f"it holds {info.name[:80]}")
        if not 0 <= info.size <= len(plain) - at:
            raise ValueError(f"{info.name[:80]} is cut short")
        total += info.size
        if total > MAX_SOURCE:
            raise ValueError("it is larger than a live patch can be")
        yield info.name, plain[at : at + info.size]
        at += info.size + -info.size % tarfile.BLOCKSIZE


def put(files: Sequence[tuple[str, bytes]], folder: str) -> None:
    """Write ``files`` below ``folder``."""
    for name, data in files:
        copy = os.path.join(folder, name)
        os.makedirs(os.path.dirname(copy), exist_ok=True)
        with open(copy, "wb") as file:
            file.write(data)


def describe(inputs: Inputs) -> tuple[Input, ...]:
    """Name, digest and CVEs of each input file, in order."""
    if inputs.kind == "source":
        return tuple(
            Input(name.replace("/", "_"), digest(data)) for name, data in source_files(inputs.paths)
        )
    found = []
    for path in inputs.paths:
        with open(path, "rb") as file:
            data = file.read()
        cves = read_diff(path).cves if inputs.kind == "diff" else ()
        found.append(Input(os.path.basename(path), digest(data), cves))
    return tuple(found)
