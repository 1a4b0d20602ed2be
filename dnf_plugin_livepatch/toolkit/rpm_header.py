# SPDX-License-Identifier: GPL-2.0-or-later
"""The header of an RPM file as librpm reads it, with its signatures and digests. Hostile until checked."""

from __future__ import annotations

import base64
import binascii
import os
from typing import Any, NamedTuple

import rpm

from .errors import refuse
from .openpgp import Signature, signatures

MAX_RPM = 1 << 30
# Signatures of the header (OPENPGP since rpm 6), and the older ones of header and payload together.
_OPENPGP, _HEADER, _WHOLE = 278, (267, 268), (259, 262)
_STRONG_HEADER = (273, 279)  # SHA-256, SHA3-256
_STRONG_PAYLOAD = (5092,)
_FILE_DIGEST, _FILE_DIGESTS, _FILES = {None: "MD5", 0: "MD5", 1: "MD5", 2: "SHA-1"}, 5011, 1035


class Proof(NamedTuple):
    """The unverified signatures of an RPM, and the names of weak digests without a stronger one beside them.

    ``of_header`` is true where a signature of the header alone is there: others prove nothing.
    """

    signatures: tuple[Signature, ...] = ()
    weak: tuple[str, ...] = ()
    of_header: bool = False


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


def proof(header: Any) -> Proof:
    """The Proof in librpm's ``header``, or in a mapping of tag numbers."""
    found = []
    texts = _list(header, _OPENPGP)
    for text in texts:
        try:
            found += signatures(base64.b64decode(text))
        except (binascii.Error, ValueError, TypeError):
            continue
    # The others repeat the ones of rpm 6 for older versions.
    for tag in () if found else _HEADER:
        found += _of(header, tag)
    of_header = bool(found)
    for tag in () if texts else _WHOLE:
        found += _of(header, tag)
    weak = []
    if not any(_field(header, tag) for tag in _STRONG_HEADER):
        weak.append("SHA-1 of the header")
    if not any(_field(header, tag) for tag in _STRONG_PAYLOAD):
        weak.append("MD5 of the payload")
    kind = _field(header, _FILE_DIGESTS)
    known = kind is None or isinstance(kind, int)
    if any(_list(header, _FILES)) and known and kind in _FILE_DIGEST:
        weak.append(f"{_FILE_DIGEST[kind]} of the files")
    return Proof(tuple(found), tuple(weak), of_header)


def _of(header: Any, tag: int) -> list[Signature]:
    data = _field(header, tag)
    return signatures(bytes(data)) if isinstance(data, (bytes, bytearray)) else []


def _list(header: Any, tag: int) -> list[Any]:
    """The items of the field ``tag``; none where its type is not the one that rpm gives it."""
    items = _field(header, tag)
    return items if isinstance(items, list) else []


def _field(header: Any, tag: int) -> Any:
    """The field ``tag``; None where it is missing, or this librpm does not know it."""
    try:
        return header[tag]
    except (KeyError, ValueError, TypeError, rpm.error):
        return None
