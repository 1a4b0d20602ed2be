# SPDX-License-Identifier: GPL-2.0-or-later
"""CVEs, severity and date of one advisory, from a vendor's updateinfo file."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import zlib
from typing import IO, NamedTuple
from xml.etree import ElementTree
from xml.parsers import expat

from ...base.names import CVE
from ...toolkit.errors import refuse
from .recipe import merge

MAX_BYTES = 1 << 30
#: Bounds of one advisory, and of one tag or text: beyond them the parser would take gigabytes, or hours.
MAX_ELEMENTS = 200_000
MAX_TOKEN = 4 << 20
_DATE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[ T]([0-9]{2}:[0-9]{2}:[0-9]{2}))?")


class Feed(NamedTuple):
    """The vendor's facts about one advisory; ``issued`` is in the form of the manifest."""

    cves: tuple[str, ...]
    severity: str
    issued: str


class _Reader:
    """Finds one advisory in the text that it is fed, and keeps no other."""

    def __init__(self, advisory: str) -> None:
        self.advisory = advisory
        self.feed: Feed | None = None
        self._tree: ElementTree.TreeBuilder | None = None
        self._left = 0
        self._text = 0
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.CharacterDataHandler = self._data
        self._parser.EndElementHandler = self._end
        self._parser.EntityDeclHandler = _refuse

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        """Begin a tree at each advisory: nothing outside of one is of use."""
        if tag == "update":
            self._tree, self._left, self._text = ElementTree.TreeBuilder(), MAX_ELEMENTS, MAX_TOKEN
        if self._tree is not None:
            self._left -= 1
            if self._left < 0:
                raise ValueError(f"an advisory of more than {MAX_ELEMENTS} elements")
            self._tree.start(tag, attributes)

    def _data(self, text: str) -> None:
        if self._tree is not None:
            self._text -= len(text)
            if self._text < 0:
                raise ValueError(f"an advisory of more than {MAX_TOKEN >> 20} MiB of text")
            self._tree.data(text)

    def _end(self, tag: str) -> None:
        if self._tree is None:
            return
        self._tree.end(tag)
        if tag == "update":
            element, self._tree = self._tree.close(), None
            if self.feed is None and element.findtext("id", "").strip() == self.advisory:
                self.feed = _feed(element)

    def read(self, stream: IO[bytes]) -> None:
        """Read ``stream`` up to the advisory. Raises ValueError, ExpatError."""
        total = 0
        while self.feed is None:
            data = stream.read(1 << 16)
            total += len(data)
            if total > MAX_BYTES:
                raise ValueError("larger than 1 GiB")
            self._parser.Parse(data, not data)
            # The parser begins a tag anew with each block: a long one costs the square of its length.
            if total - self._parser.CurrentByteIndex > MAX_TOKEN:
                raise ValueError(f"a tag of more than {MAX_TOKEN >> 20} MiB")
            if not data:
                return


def _refuse(*_: object) -> None:
    """No updateinfo needs entities, and some expand without end."""
    raise ValueError("it defines entities")


def advisory_facts(path: str, advisory: str) -> Feed:
    """The Feed for ``advisory`` in the updateinfo at ``path``. Raises ToolError."""
    if not advisory:
        refuse("metadata-invalid", what="--updateinfo needs --advisory, to know which record is meant")
    reader = _Reader(advisory)
    opener = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}
    try:
        with open(path, "rb") as file:
            magic = file.read(2)
        with opener.get(magic, open)(path, "rb") as file:  # type: ignore[operator]
            reader.read(file)
    except (OSError, EOFError, ValueError, lzma.LZMAError, zlib.error, expat.ExpatError) as error:
        refuse("updateinfo-unreadable", path=path, why=str(error)[:100])
    if reader.feed is not None:
        return reader.feed
    refuse("metadata-invalid", what=f"{path}: has no advisory {advisory}")


def _feed(element: ElementTree.Element) -> Feed:
    found = []
    for reference in element.iter("reference"):
        text = (reference.get("id") or reference.get("title") or "").strip().upper()
        if CVE.match(text):
            found.append(text)
    issued = element.find("issued")
    match = _DATE.match(issued.get("date", "") if issued is not None else "")
    stamp = (match.group(1) + (f"T{match.group(2)}Z" if match.group(2) else "")) if match else ""
    return Feed(merge([found]), element.findtext("severity", "").strip(), stamp)
