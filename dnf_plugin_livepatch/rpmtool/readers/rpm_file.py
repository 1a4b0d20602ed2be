# SPDX-License-Identifier: GPL-2.0-or-later
"""An RPM file read by librpm: its header, its signatures and its payload, all taken as hostile."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from collections.abc import Iterator
from typing import IO, Any, NamedTuple

import rpm

from ...base.model import Nevra
from ...toolkit.errors import refuse
from ...toolkit.programs import need

MAX_RPM = 1 << 30
MAX_PAYLOAD = 512 << 20
MAX_FILES = 4096
# The header's own OpenPGP signatures; digests and the legacy ones over the payload prove nothing.
_SIGNATURES = ("DSAHEADER", "RSAHEADER", "OPENPGP")
# Eight hex digits in each field: int() alone would take a sign, and so a size below zero.
_MEMBER = re.compile(rb"07070[12][0-9A-Fa-f]{104}")


class Header(NamedTuple):
    """What an RPM says of itself. Capabilities are written as ``NAME`` or ``NAME = VERSION``.

    ``signed`` tells whether a real OpenPGP header signature is there; it verifies nothing.
    """

    nevra: Nevra
    provides: tuple[str, ...]
    requires: tuple[str, ...]
    conflicts: tuple[str, ...]
    supplements: tuple[str, ...]
    files: tuple[str, ...]
    scripts: tuple[str, ...]
    build_time: int
    summary: str
    signed: bool


def _dependencies(header: Any, kind: str) -> tuple[str, ...]:
    found = []
    names = header[getattr(rpm, f"RPMTAG_{kind}NAME")]
    versions = header[getattr(rpm, f"RPMTAG_{kind}VERSION")]
    flags = header[getattr(rpm, f"RPMTAG_{kind}FLAGS")]
    for name, version, flag in zip(names, versions, flags):
        sense = "".join(sign for bit, sign in ((2, "<"), (4, ">"), (8, "=")) if flag & bit)
        found.append(f"{name} {sense} {version}" if sense and version else str(name))
    return tuple(found)


def raw_header(path: str) -> Any:
    """librpm's header object of the file at ``path``. Raises ToolError ``rpm-unreadable``."""
    try:
        if os.path.getsize(path) > MAX_RPM:
            refuse("rpm-unreadable", file=path, reason="larger than 1 GiB")
        with open(path, "rb") as file:
            transaction = rpm.TransactionSet()
            transaction.setVSFlags(rpm.RPMVSF_MASK_NOSIGNATURES | rpm.RPMVSF_MASK_NODIGESTS)
            return transaction.hdrFromFdno(file.fileno())
    except OSError as error:
        refuse("rpm-unreadable", file=path, reason=error.strerror or "unreadable")
    except rpm.error as error:
        refuse("rpm-unreadable", file=path, reason=str(error) or "no RPM header")


def read_header(path: str) -> Header:
    """The Header of the RPM at ``path``. Raises ToolError ``rpm-unreadable``."""
    header = raw_header(path)
    source = bool(header.isSource())
    scripts = [
        tag.lower()
        for tag in (
            "PREIN",
            "POSTIN",
            "PREUN",
            "POSTUN",
            "PRETRANS",
            "POSTTRANS",
            "TRIGGERSCRIPTS",
            "FILETRIGGERSCRIPTS",
            "TRANSFILETRIGGERSCRIPTS",
            "PREINPROG",
            "POSTINPROG",
            "PREUNPROG",
            "POSTUNPROG",
        )
        if header[getattr(rpm, "RPMTAG_" + tag)]
    ]
    return Header(
        nevra=Nevra(
            str(header["name"]),
            str(header["epoch"] or 0),
            str(header["version"]),
            str(header["release"]),
            "src" if source else str(header["arch"]),
        ),
        provides=_dependencies(header, "PROVIDE"),
        requires=_dependencies(header, "REQUIRE"),
        conflicts=_dependencies(header, "CONFLICT"),
        supplements=_dependencies(header, "SUPPLEMENT"),
        files=tuple(str(name) for name in header["filenames"])[:MAX_FILES],
        scripts=tuple(scripts),
        build_time=int(header["buildtime"] or 0),
        summary=str(header["summary"] or ""),
        signed=any(
            header[getattr(rpm, "RPMTAG_" + tag)] for tag in _SIGNATURES if hasattr(rpm, "RPMTAG_" + tag)
        ),
    )


def payload(path: str) -> dict[str, bytes]:
    """Path -> content of each regular file in the RPM, nothing written to disk. Raises ToolError."""
    found: dict[str, bytes] = {}
    left = MAX_PAYLOAD
    for name, size, stream in members(path):
        left -= size
        if left < 0 or len(found) >= MAX_FILES:
            refuse("rpm-unreadable", file=path, reason="its payload is larger than a live patch can be")
        found[name] = _exactly(stream, size, path)
    return found


def extract(path: str, wanted: str, goal: str) -> bool:
    """Copy the first file of the RPM ``path`` whose basename is ``wanted`` to ``goal``. Raises ToolError."""
    for name, size, stream in members(path):
        if os.path.basename(name) == wanted:
            with open(goal, "wb") as file:
                while size:
                    part = _exactly(stream, min(size, 1 << 20), path)
                    file.write(part)
                    size -= len(part)
            return True
    return False


def members(path: str) -> Iterator[tuple[str, int, IO[bytes]]]:
    """(path, size, stream) of each regular file in the RPM at ``path``, in payload order. Raises ToolError.

    What the caller leaves unread of a file is skipped.
    """
    child = subprocess.Popen(
        [need("rpm2cpio", "Install rpm."), path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert child.stdout is not None
    try:
        yield from _cpio(child.stdout, path)
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def _exactly(stream: IO[bytes], size: int, path: str) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        refuse("rpm-unreadable", file=path, reason="its payload is cut")
    return data


class _Part:
    """The next ``size`` bytes of a stream, counted."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self.stream, self.left = stream, size

    def read(self, size: int) -> bytes:
        data = self.stream.read(min(size, self.left))
        self.left -= len(data)
        return data


def _cpio(stream: IO[bytes], path: str) -> Iterator[tuple[str, int, Any]]:
    while True:
        head = _exactly(stream, 110, path)
        if not _MEMBER.fullmatch(head):
            refuse("rpm-unreadable", file=path, reason="its payload is broken")
        mode, size, length = (int(head[i : i + 8], 16) for i in (14, 54, 94))
        if not 0 < length <= 4096:
            refuse("rpm-unreadable", file=path, reason="its payload is broken")
        name = _exactly(stream, length, path)[:-1].decode("utf-8", "replace")
        _exactly(stream, -(110 + length) % 4, path)
        if name == "TRAILER!!!":
            return
        part = _Part(stream, size)
        if stat.S_ISREG(mode):
            yield (name[1:] if name.startswith("./") else name), size, part
        while part.left:
            if not part.read(1 << 20):
                refuse("rpm-unreadable", file=path, reason="its payload is cut")
        _exactly(stream, -size % 4, path)
