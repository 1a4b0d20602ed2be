# SPDX-License-Identifier: GPL-2.0-or-later
"""OpenPGP signature packets: the digest and the key that each names (RFC 4880 and RFC 9580). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

#: Digests by their number in OpenPGP.
DIGESTS = {1: "MD5", 2: "SHA-1", 3: "RIPEMD-160", 8: "SHA-256", 9: "SHA-384", 10: "SHA-512", 11: "SHA-224"}
#: Digests of which two equal ones can be made on purpose, and which EL9 therefore refuses.
WEAK = ("MD5", "SHA-1", "RIPEMD-160")
_ARMOUR = re.compile(rb"^-----BEGIN PGP ", re.MULTILINE)
_SIGNATURE = 2
_ISSUER, _FINGERPRINT = 16, 33


class Signature(NamedTuple):
    """The digest of a signature, and the id of its key in 16 hexadecimal digits, each "" where unknown."""

    digest: str
    key: str = ""


def armoured(data: bytes) -> bool:
    """Whether the key file ``data`` is in ASCII armour. Text may stand before the armour."""
    return _ARMOUR.search(data) is not None


def signatures(data: bytes) -> list[Signature]:
    """The signatures among the packets in ``data``, which nobody has verified. Damaged ones are left out."""
    return [found for tag, body in _packets(data) if tag == _SIGNATURE for found in _signature(body)]


def _packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(tag, body) of each packet, up to the first of a form that no signature has."""
    at = 0
    while at + 2 <= len(data) and data[at] & 0x80:
        head, at = data[at], at + 1
        if head & 0x40:
            tag, first = head & 0x3F, data[at]
            wide = 1 if first < 192 else 2 if first < 224 else 5 if first == 255 else 0
            length = _length(data[at : at + wide])
        else:
            tag, wide = head >> 2 & 0x0F, (1, 2, 4, 0)[head & 3]
            length = int.from_bytes(data[at : at + wide], "big")
        if not wide or at + wide + length > len(data):
            return
        yield tag, data[at + wide : at + wide + length]
        at += wide + length


def _length(octets: bytes) -> int:
    """A length in one, two or five octets."""
    if len(octets) == 2:
        return (octets[0] - 192 << 8) + octets[1] + 192
    return int.from_bytes(octets[1:] if len(octets) == 5 else octets, "big")


def _signature(body: bytes) -> list[Signature]:
    if len(body) >= 19 and body[0] == 3:
        return [Signature(DIGESTS.get(body[16], ""), body[7:15].hex())]
    if len(body) < 8 or body[0] not in (4, 6):
        return []
    wide = 2 if body[0] == 4 else 4
    key, at = "", 4
    for _ in range(2):  # the hashed subpackets, then the others
        end = at + wide + int.from_bytes(body[at : at + wide], "big")
        if end > len(body):
            return []
        key = key or _key(body[at + wide : end])
        at = end
    return [Signature(DIGESTS.get(body[3], ""), key)]


def _key(data: bytes) -> str:
    """The id of the key that subpackets name."""
    at = 0
    while at < len(data):
        wide = 1 if data[at] < 192 else 2 if data[at] < 255 else 5
        length = _length(data[at : at + wide])
        body = data[at + wide : at + wide + length]
        if len(body) != length or not length:
            return ""
        kind = body[0] & 0x7F
        if kind == _ISSUER and length == 9:
            return body[1:].hex()
        if kind == _FINGERPRINT and length > 9:
            # The id is the end of a fingerprint, and since version 6 its beginning.
            return (body[-8:] if body[1] == 4 else body[2:10]).hex()
        at += wide + length
    return ""
