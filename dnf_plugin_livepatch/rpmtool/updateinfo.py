# SPDX-License-Identifier: GPL-2.0-or-later
"""CVEs, severity and date of one advisory, from a vendor's updateinfo file."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import xml.etree.ElementTree as ElementTree
from typing import IO, Any, NamedTuple, Tuple

from ..manifest import CVE
from .checks import refuse
from .recipe import merge

MAX_BYTES = 1 << 30
_DATE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[ T]([0-9]{2}:[0-9]{2}:[0-9]{2}))?")


class Feed(NamedTuple):
    """What the vendor says of one advisory; ``issued`` as the manifest writes times."""

    cves: Tuple[str, ...]
    severity: str
    issued: str


class _Bounded:
    """A stream that ends with an error instead of filling the memory."""

    def __init__(self, stream: "IO[bytes] | Any") -> None:
        self.stream, self.left = stream, MAX_BYTES

    def read(self, size: int = -1) -> bytes:
        data: bytes = self.stream.read(size if size >= 0 else 1 << 16)
        self.left -= len(data)
        if self.left < 0:
            raise ValueError("larger than 1 GiB")
        # No updateinfo needs entities, and some expand without end.
        if b"<!ENTITY" in data:
            raise ValueError("it defines entities")
        return data


def advisory_facts(path: str, advisory: str) -> Feed:
    """The Feed for ``advisory`` in the updateinfo at ``path``. Raises ToolError."""
    if not advisory:
        refuse("metadata-invalid", what="--updateinfo needs --advisory, to know which record is meant")
    opener = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}
    try:
        with open(path, "rb") as file:
            magic = file.read(2)
        with opener.get(magic, open)(path, "rb") as file:  # type: ignore[operator]
            for _event, element in ElementTree.iterparse(_Bounded(file)):
                if element.tag != "update":
                    continue
                if element.findtext("id", "").strip() == advisory:
                    return _feed(element)
                element.clear()
    except (OSError, EOFError, ValueError, lzma.LZMAError, ElementTree.ParseError) as error:
        refuse("updateinfo-unreadable", path=path, why=str(error)[:100])
    refuse("metadata-invalid", what=f"{path}: has no advisory {advisory}")


def _feed(element: "ElementTree.Element") -> Feed:
    found = []
    for reference in element.iter("reference"):
        text = (reference.get("id") or reference.get("title") or "").strip().upper()
        if CVE.match(text):
            found.append(text)
    issued = element.find("issued")
    match = _DATE.match(issued.get("date", "") if issued is not None else "")
    stamp = (match.group(1) + (f"T{match.group(2)}Z" if match.group(2) else "")) if match else ""
    return Feed(merge([found]), element.findtext("severity", "").strip(), stamp)
