# SPDX-License-Identifier: GPL-2.0-or-later
"""The signer of a module, and whether the kernel knows that key. Names only; nothing is verified.

Only the kernel verifies signatures. When it refuses one, the name here is the key to enrol. The layout is
the kernel's ``struct module_signature`` behind a PKCS#7 message (RFC 5652).
"""

from __future__ import annotations

import struct

from ...base.paths import Paths
from ...base.typed import NamedTuple
from ..read import read_bytes

MAGIC = b"~Module signature appended~\n"
#: The bytes that are read from the end of a module; a signature with its certificate has a few kilobytes.
MAX_TAIL = 65536
_MAX_KEYS = 1 << 20
_MAX_ITEMS = 64
_PKCS7 = 2
_COMMON_NAME = b"\x55\x04\x03"


class Signer(NamedTuple):
    """The key that signed: the common name of its issuer, and its serial number or key id in hexadecimal.

    A field is "" where the signature does not have it.
    """

    name: str = ""
    number: str = ""

    def __str__(self) -> str:
        return f"{self.name or 'unnamed'} ({self.number or 'no number'})"


def _items(data: bytes) -> list[tuple[int, bytes]]:
    """Return the DER values in ``data``: (tag, content). A value that is cut short ends the list."""
    found: list[tuple[int, bytes]] = []
    at = 0
    while at + 2 <= len(data) and len(found) < _MAX_ITEMS:
        tag, size, at = data[at], data[at + 1], at + 2
        if size > 0x84 or size == 0x80:
            break
        if size > 0x80:
            count = size - 0x80
            size, at = int.from_bytes(data[at : at + count], "big"), at + count
        if at + size > len(data):
            break
        found.append((tag, data[at : at + size]))
        at += size
    return found


def _common_name(name: bytes) -> str:
    for _, group in _items(name):
        for _, pair in _items(group):
            parts = _items(pair)
            if len(parts) == 2 and parts[0][1] == _COMMON_NAME:
                text = parts[1][1].decode("utf-8", "replace")
                return "".join(c if c.isprintable() else "?" for c in text)[:200]
    return ""


def signer(tail: bytes) -> Signer:
    """Return the signer of the module that ends with ``tail``; empty fields for another or no signature."""
    end = len(tail) - len(MAGIC) - 12
    if end < 0 or not tail.endswith(MAGIC):
        return Signer()
    kind, size = struct.unpack_from(">2xB5xI", tail, end)
    if kind != _PKCS7 or size > end:
        return Signer()
    data = tail[end - size : end]
    # The way in: ContentInfo, its [0], SignedData, and the last part of that, the set of signers.
    for step in (0, -1, 0, -1, 0):
        parts = _items(data)
        if not parts:
            return Signer()
        data = parts[step][1]
    parts = _items(data)
    if len(parts) < 2:
        return Signer()
    tag, identity = parts[1]
    if tag == 0x80:
        return Signer("", identity.hex())
    inside = _items(identity)
    if tag != 0x30 or len(inside) < 2:
        return Signer()
    return Signer(_common_name(inside[0][1]), inside[1][1].hex())


def unknown(paths: Paths, key: Signer) -> bool:
    """Return whether /proc/keys shows keys, and none with the name or number of ``key``.

    The result is False where that is not known: no key is visible, or ``key`` is empty.
    """
    text = read_bytes(paths.at("/proc/keys"), _MAX_KEYS).decode("utf-8", "replace")
    known = [line for line in text.split("\n") if " asymmetri" in line]
    wanted = [word for word in key if word]
    return bool(known and wanted) and not any(word in line for line in known for word in wanted)
