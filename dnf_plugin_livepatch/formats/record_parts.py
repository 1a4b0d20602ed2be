# SPDX-License-Identifier: GPL-2.0-or-later
"""The parts of a repository's record that concern chosen kernels, cut out while its bytes arrive. Pure.

A host needs what is said of its own few kernels. The rest of a record, which may be for thousands of kernels
or from somebody who wants to fill the host's memory, is passed over and never becomes objects.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable

from ..base.fields import FieldError

#: Of a whole record.
MAX_QUOTES = 700_000
MAX_OPENED = 200_000
MAX_DEPTH = 64
#: Of what is said of one kernel. Each object, list and text takes far more memory than it has characters.
MAX_KERNEL = 256 << 10
MAX_PARTS = 8000
MAX_TEXTS = 40_000
_MARK = re.compile(rb"[][{}:,]")
_PLAIN = (b":", b",", b": ", b", ")
_LONGEST_KEY = 200
_HEAD = ("schema", "generated")


def cut(blocks: Iterable[bytes], releases: Container[str]) -> str:
    """The record in ``blocks`` as text, without the parts of other kernels than ``releases``.

    Raises FieldError for a record that is larger than its bounds or ends too early, and UnicodeError.
    """
    found = _Cutter(releases)
    for block in blocks:
        found.feed(block)
    return found.text()


class _Cutter:
    """Follows the braces, quotes and keys of a JSON object, and keeps the values of the wanted keys."""

    def __init__(self, releases: Container[str]) -> None:
        self._releases = releases
        self._kept: dict[tuple[str, str], bytearray] = {}
        self._keys = ["", "", ""]
        self._word = b""
        self._taken: bytearray | None = None
        self._depth = self._opened = self._quotes = 0
        self._inside = self._due = False
        self._rest = b""

    def feed(self, block: bytes) -> None:
        """Take in the next bytes."""
        data = self._rest + block
        # Of the same length, so that places in it are places in the data.
        masked = data.replace(b"\\\\", b"..").replace(b'\\"', b"..")
        end = len(data) - masked.endswith(b"\\")
        self._rest = data[end:]
        pieces = masked[:end].split(b'"')
        self._quotes += len(pieces) - 1
        if self._quotes > MAX_QUOTES:
            raise FieldError(f"more than {MAX_QUOTES} quotes")
        at = self._start = 0
        for number, piece in enumerate(pieces):
            if number:
                self._inside = not self._inside
                if self._inside:
                    self._word = b""
            if not self._inside:
                if self._depth <= 2 or piece not in _PLAIN:
                    self._follow(data, piece, at)
            elif self._depth <= 2 and len(self._word) < _LONGEST_KEY:
                self._word += piece[:_LONGEST_KEY]
            at += len(piece) + 1
        if self._taken is not None:
            self._take(data[self._start : end])

    def _follow(self, data: bytes, piece: bytes, at: int) -> None:
        """Follow the marks in ``piece``, which is no part of a text and begins at ``at``."""
        for found in _MARK.finditer(piece):
            mark, place = found.group(), at + found.start()
            if self._due and mark != b"{":
                raise FieldError("kernels: expected an object")
            self._due = False
            if mark in b"{[":
                self._depth += 1
                self._opened += 1
                if self._depth > MAX_DEPTH or self._opened > MAX_OPENED:
                    raise FieldError(
                        f"more than {MAX_OPENED} objects and lists, or more than {MAX_DEPTH} deep"
                    )
                continue
            if self._depth in (1, 2) and mark != b":":
                self._end(data, place)
            if mark in b"}]":
                self._depth -= 1
            elif mark == b":" and self._depth in (1, 2):
                self._keys[self._depth] = self._word.decode("ascii", "replace")
                self._due = self._depth == 1 and self._keys[1] == "kernels"
                self._begin(place + 1)

    def _begin(self, place: int) -> None:
        """Keep the value that begins at ``place`` if it is wanted."""
        first, second = self._keys[1], self._keys[2] if self._depth == 2 else ""
        if second:
            wanted = first == "kernels" and second in self._releases
        else:
            wanted = self._depth == 1 and first in _HEAD
        if wanted:
            self._start = place
            self._taken = self._kept[first, second] = bytearray()

    def _end(self, data: bytes, place: int) -> None:
        """End the value that is kept, which ends before ``place``."""
        if self._taken is not None:
            self._take(data[self._start : place])
            self._taken = None

    def _take(self, data: bytes) -> None:
        assert self._taken is not None
        self._taken += data
        self._start = 0
        opened = self._taken.count(b"{") + self._taken.count(b"[")
        if len(self._taken) > MAX_KERNEL or opened > MAX_PARTS:
            raise FieldError(f"one kernel's part is larger than {MAX_KERNEL} bytes or {MAX_PARTS} objects")
        if self._taken.count(b'"') + self._taken.count(b",") > MAX_TEXTS:
            raise FieldError(f"one kernel's part has more than {MAX_TEXTS} quotes and commas")

    def text(self) -> str:
        """The parts that were kept, as one record."""
        if self._depth or self._inside or self._rest or not self._opened:
            raise FieldError("not JSON: it ends too early")
        texts = {key: value.decode("utf-8") for key, value in self._kept.items()}
        head = [f'"{name}":{texts[name, ""]}' for name in _HEAD if (name, "") in texts]
        kernels = [f"{json.dumps(release)}:{text}" for (_, release), text in texts.items() if release]
        return "{" + ",".join([*head, '"kernels":{' + ",".join(kernels) + "}"]) + "}"
