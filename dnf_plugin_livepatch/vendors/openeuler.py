# SPDX-License-Identifier: GPL-2.0-or-later
"""openEuler's own part of updateinfo: hot patches in ``<hot_patch_collection>``. Pure.

libdnf and other tools read ``<collection>`` only, so hot patches need this reader.
The text is hostile: it is bounded, and a text that declares entities is not read at all.
"""

from __future__ import annotations

from collections.abc import Container

from ..base.model import Advisory, Nevra
from ..base.names import CVE
from ..base.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any


MAX_TEXT = 256 << 20
MAX_ROWS = 4096
_MARK = "hot_patch_collection"


class _Reader:
    """Collects advisories while expat reads; one instance for one text."""

    def __init__(self, names: Container[str]) -> None:
        self.names = names
        self.rows: list[Advisory] = []
        self.path: list[str] = []
        self._begin({})

    def _begin(self, attributes: dict[str, str]) -> None:
        self.type = attributes.get("type")
        self.text: dict[str, str] = {}
        self.cves: set[str] = set()
        self.packages: set[Nevra] = set()

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """An element opens."""
        self.path.append(tag)
        if len(self.path) > 64:
            raise ValueError  # elements within elements without end
        if tag == "update":
            self._begin(attributes)
        elif tag == "issued":
            self.text["issued"] = attributes.get("date", "")[:10]
        elif tag == "reference":
            identifier = attributes.get("id", "").strip().upper()
            if CVE.match(identifier):
                self.cves.add(identifier)
        elif tag == "package" and _MARK in self.path:
            self._package(attributes)

    def _package(self, attributes: dict[str, str]) -> None:
        name, version, release, arch = (
            attributes.get(key, "") for key in ("name", "version", "release", "arch")
        )
        # Some advisories write the version and release into the name as well.
        tail = f"-{version}-{release}"
        names = (name, name[: -len(tail)] if name.endswith(tail) else name)
        for one in dict.fromkeys(names):
            if one in self.names and len(self.packages) < MAX_ROWS:
                self.packages.add(Nevra(one, attributes.get("epoch") or "0", version, release, arch))

    def data(self, text: str) -> None:
        """Text between two tags."""
        if self.path[-2:-1] == ["update"] and self.path[-1] in ("id", "severity"):
            before = self.text.get(self.path[-1], "")
            self.text[self.path[-1]] = (before + text)[:200]

    def end(self, tag: str) -> None:
        """An element closes."""
        self.path.pop()
        if tag == "update" and self.packages and len(self.rows) < MAX_ROWS:
            told = {
                key: "".join(c if c.isprintable() else " " for c in value).strip()
                for key, value in self.text.items()
            }
            self.rows.append(
                Advisory(
                    id=told.get("id", ""),
                    type=self.type if self.type in ("security", "bugfix", "enhancement") else "unknown",
                    severity=told.get("severity", ""),
                    issued=told.get("issued", ""),
                    updated="",
                    cves=tuple(sorted(self.cves)),
                    packages=tuple(sorted(self.packages)),
                )
            )


def _refuse(*_: Any) -> None:
    raise ValueError  # the text declares entities


def advisories(text: str, names: Container[str]) -> tuple[Advisory, ...]:
    """The advisories of hot patches in updateinfo ``text`` that list a package of ``names``.

    A text that is too large, is not well-formed or declares entities has none.
    """
    if _MARK not in text or len(text) > MAX_TEXT:
        return ()
    from xml.parsers import expat

    reader = _Reader(names)
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.data
    parser.EntityDeclHandler = _refuse
    try:
        parser.Parse(text, True)
    except (expat.ExpatError, ValueError):
        return ()
    return tuple(reader.rows)
