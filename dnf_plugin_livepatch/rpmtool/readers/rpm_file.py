# SPDX-License-Identifier: GPL-2.0-or-later
"""The header, signatures and payload of an RPM file. Hostile until checked."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import rpm

from ...base.model import Nevra
from ...toolkit.errors import refuse
from ...toolkit.rpm_header import proof, raw_header
from ...toolkit.rpm_payload import exactly, members

#: Of the files of one RPM that are held in memory at once.
MAX_PAYLOAD = 128 << 20
MAX_FILES = 4096


class Header(NamedTuple):
    """The facts in an RPM's header. Capabilities are written as ``NAME`` or ``NAME = VERSION``.

    ``signed`` is true when an OpenPGP signature of the header is there; nobody has verified it yet.
    ``digests`` are those of its signatures.
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
    digests: tuple[str, ...] = ()


def _dependencies(header: Any, kind: str) -> tuple[str, ...]:
    found = []
    names = header[getattr(rpm, f"RPMTAG_{kind}NAME")]
    versions = header[getattr(rpm, f"RPMTAG_{kind}VERSION")]
    flags = header[getattr(rpm, f"RPMTAG_{kind}FLAGS")]
    for name, version, flag in zip(names, versions, flags):
        sense = "".join(sign for bit, sign in ((2, "<"), (4, ">"), (8, "=")) if flag & bit)
        found.append(f"{name} {sense} {version}" if sense and version else str(name))
    return tuple(found)


def read_header(path: str) -> Header:
    """The Header of the RPM at ``path``. Raises ToolError ``rpm-unreadable``."""
    header = raw_header(path)
    try:
        return _facts(header)
    except (TypeError, ValueError, KeyError, AttributeError, rpm.error):
        refuse("rpm-unreadable", file=path, reason="its header holds a field of the wrong kind")


def _facts(header: Any) -> Header:
    """The Header in librpm's ``header``. Raises whatever a field of the wrong kind leads to."""
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
        signed=proof(header).of_header,
        digests=tuple(one.digest for one in proof(header).signatures),
    )


def payload(path: str, wanted: Sequence[str] = ("",)) -> dict[str, bytes]:
    """Path -> content of the regular files in the RPM whose paths end with one of ``wanted``.

    The files are held in memory, no more than MAX_PAYLOAD of them, and nothing is written to disk. Raises
    ToolError.
    """
    found: dict[str, bytes] = {}
    left, ends = MAX_PAYLOAD, tuple(wanted)
    for number, (name, size, stream) in enumerate(members(path)):
        left -= size if name.endswith(ends) else 0
        if left < 0 or number >= MAX_FILES:
            refuse("rpm-unreadable", file=path, reason="its payload is larger than a live patch can be")
        if name.endswith(ends):
            found[name] = exactly(stream, size, path)
    return found


def extract(path: str, wanted: str, copy: str) -> bool:
    """Copy the first file of the RPM ``path`` whose basename is ``wanted`` to ``copy``. Raises ToolError."""
    for name, size, stream in members(path):
        if os.path.basename(name) == wanted:
            with open(copy, "wb") as file:
                while size:
                    part = exactly(stream, min(size, 1 << 20), path)
                    file.write(part)
                    size -= len(part)
            return True
    return False
