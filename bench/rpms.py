# SPDX-License-Identifier: GPL-2.0-or-later
"""Small signed RPMs by the thousand, written byte by byte: rpmbuild and gpg need half a second for each.

The signature is made with the secret numbers of an RSA key that gpg holds without a passphrase.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import struct
import subprocess
from collections.abc import Sequence
from typing import NamedTuple, Union

_INT16, _INT32, _STRING, _BIN, _ARRAY, _I18N = 3, 4, 6, 7, 8, 9
_IMMUTABLE, _SIGNATURES = 63, 62
_MAGIC = b"\x8e\xad\xe8\x01\0\0\0\0"
#: The beginning of a PKCS #1 signature's padded SHA-256.
_SHA256 = bytes.fromhex("3031300d060960864801650304020105000420")
_EQ = 8
_BUILT = 1795000000
Value = tuple[int, Union[str, bytes, Sequence[str], Sequence[int]]]


class Key(NamedTuple):
    """An RSA key: its OpenPGP id, the modulus, the exponent of a prime each, the primes, their inverse."""

    id: bytes
    n: int
    d: int
    p: int
    q: int


def secret_key(home: str) -> Key:
    """The first secret key of the gpg folder ``home``, an RSA key without a passphrase."""
    command = ["gpg", "--batch", "--homedir", home, "--export-secret-keys"]
    packet = subprocess.run(command, check=True, capture_output=True).stdout
    kind = {0x94: 1, 0x95: 2, 0x96: 4}[packet[0]]  # the length of the packet has so many bytes
    body = packet[1 + kind : 1 + kind + int.from_bytes(packet[1 : 1 + kind], "big")]
    numbers, at = [], 6
    for _ in range(2):
        number, at = _mpi(body, at)
        numbers.append(number)
    public, at = body[:at], at + 1  # one byte says that the secret numbers are not encrypted
    for _ in range(3):
        number, at = _mpi(body, at)
        numbers.append(number)
    print_ = hashlib.sha1(b"\x99" + struct.pack(">H", len(public)) + public).digest()
    n, _, d, p, q = numbers
    return Key(print_[-8:], n, d, p, q)


def _mpi(data: bytes, at: int) -> tuple[int, int]:
    size = (int.from_bytes(data[at : at + 2], "big") + 7) // 8
    return int.from_bytes(data[at + 2 : at + 2 + size], "big"), at + 2 + size


def _signature(key: Key, data: bytes) -> bytes:
    """An OpenPGP signature of version 4 of ``data``, as rpm has it in its header."""
    hashed = b"\x05\x02" + struct.pack(">I", _BUILT) + b"\x09\x10" + key.id
    head = b"\x04\x00\x01\x08" + struct.pack(">H", len(hashed)) + hashed
    total = hashlib.sha256(data + head + b"\x04\xff" + struct.pack(">I", len(head))).digest()
    size = (key.n.bit_length() + 7) // 8
    padded = b"\0\x01" + b"\xff" * (size - 3 - len(_SHA256) - 32) + b"\0" + _SHA256 + total
    number = int.from_bytes(padded, "big")
    one, other = pow(number, key.d % (key.p - 1), key.p), pow(number, key.d % (key.q - 1), key.q)
    made = other + key.q * ((one - other) * pow(key.q, -1, key.p) % key.p)
    body = head + b"\0\0" + total[:2] + struct.pack(">H", made.bit_length())
    body += made.to_bytes((made.bit_length() + 7) // 8, "big")
    return b"\x89" + struct.pack(">H", len(body)) + body


def _header(tags: dict[int, Value], region: int) -> bytes:
    """A header of rpm with ``tags``, all of it within ``region``."""
    store, index = b"", b""
    for tag, (kind, value) in sorted(tags.items()):
        size = {_INT16: 2, _INT32: 4}.get(kind, 1)
        store += b"\0" * (-len(store) % size)
        count = len(value) if kind not in (_STRING, _I18N) else 1
        index += struct.pack(">IIII", tag, kind, len(store), count)
        if isinstance(value, bytes):
            store += value
        elif isinstance(value, str):
            store += value.encode() + b"\0"
        elif kind == _ARRAY:
            store += b"".join(str(item).encode() + b"\0" for item in value)
        else:
            store += struct.pack(f">{len(value)}{'H' if kind == _INT16 else 'I'}", *value)
    number = len(tags) + 1
    index = struct.pack(">IIII", region, _BIN, len(store), 16) + index
    store += struct.pack(">IIiI", region, _BIN, -16 * number, 16)
    return _MAGIC + struct.pack(">II", number, len(store)) + index + store


def _cpio(files: dict[str, bytes]) -> bytes:
    found = b""
    for number, (name, data) in enumerate([*((f".{n}", d) for n, d in files.items()), ("TRAILER!!!", b"")]):
        text = name.encode() + b"\0"
        mode = 0 if name == "TRAILER!!!" else 0o100644
        fields = (number + 1, mode, 0, 0, 1, _BUILT, len(data), 0, 0, 0, 0, len(text), 0)
        found += b"070701" + b"".join(b"%08x" % field for field in fields) + text
        found += b"\0" * (-len(found) % 4) + data
        found += b"\0" * (-len(found) % 4)
    return found


def kernel_of(number: int, builds: int = 10) -> str:
    """The kernel of the live patch ``number``, where each kernel has ``builds`` of them."""
    return f"5.14.0-{number // builds}.13.1.el9_4.x86_64"


def write(path: str, number: int, key: Key, cves: Sequence[str], builds: int = 10) -> None:
    """Write the live patch ``number``, signed with ``key`` and with a manifest, to the file ``path``."""
    kernel = kernel_of(number, builds)
    version, rest = kernel.split("-")
    name = f"kpatch-patch-5_14_0-{number // builds}_13_1"
    release = f"{number % builds + 1}.el9_4"
    module = f"kp_{number}"
    manifest = {
        "schema": 1,
        "module": module,
        "kernel_release": kernel,
        "build_id": f"{number:040x}",
        "functions": [{"object": "vmlinux", "name": "nft_verdict_init"}],
        "cves": list(cves),
        "severity": "Important",
        "issued": "2026-11-20T10:00:00Z",
    }
    files = {
        f"/usr/share/livepatch/{kernel}/{module}.json": json.dumps(manifest).encode(),
        f"/usr/lib/modules/{kernel}/livepatch/{module}.ko": b"bench\n",
    }
    plain = _cpio(files)
    payload = gzip.compress(plain, 6, mtime=0)
    provided = [f"livepatch(kernel-uname-r:{kernel})", *(f"livepatch-cve({cve})" for cve in cves), name]
    blank = ["" for _ in provided[1:]]
    count = len(files)
    tags: dict[int, Value] = {
        100: (_ARRAY, ["C"]),
        1000: (_STRING, name),
        1001: (_STRING, "1"),
        1002: (_STRING, release),
        1004: (_I18N, "bench"),
        1005: (_I18N, "bench"),
        1006: (_INT32, [_BUILT + number]),
        1007: (_STRING, "bench"),
        1009: (_INT32, [sum(map(len, files.values()))]),
        1014: (_STRING, "GPL-2.0-only"),
        1016: (_I18N, "Unspecified"),
        1021: (_STRING, "linux"),
        1022: (_STRING, "x86_64"),
        1028: (_INT32, [len(data) for data in files.values()]),
        1030: (_INT16, [0o100644] * count),
        1033: (_INT16, [0] * count),
        1034: (_INT32, [_BUILT] * count),
        1035: (_ARRAY, [hashlib.sha256(data).hexdigest() for data in files.values()]),
        1036: (_ARRAY, [""] * count),
        1037: (_INT32, [0] * count),
        1039: (_ARRAY, ["root"] * count),
        1040: (_ARRAY, ["root"] * count),
        1044: (_STRING, f"{name}-1-{release}.src.rpm"),
        1045: (_INT32, [0xFFFFFFFF] * count),
        1047: (_ARRAY, provided),
        1048: (_INT32, [_EQ]),
        1049: (_ARRAY, ["kernel-uname-r"]),
        1050: (_ARRAY, [kernel]),
        1064: (_STRING, "4.18.0"),
        1095: (_INT32, [1] * count),
        1096: (_INT32, list(range(1, count + 1))),
        1097: (_ARRAY, [""] * count),
        1112: (_INT32, [*(0 for _ in blank), _EQ]),
        1113: (_ARRAY, [*blank, f"1-{release}"]),
        1116: (_INT32, list(range(count))),
        1117: (_ARRAY, [os.path.basename(file) for file in files]),
        1118: (_ARRAY, [os.path.dirname(file) + "/" for file in files]),
        1124: (_STRING, "cpio"),
        1125: (_STRING, "gzip"),
        1126: (_STRING, "6"),
        5011: (_INT32, [8]),
        5055: (_ARRAY, ["kernel-uname-r"]),
        5056: (_ARRAY, [kernel]),
        5057: (_INT32, [_EQ]),
        5092: (_ARRAY, [hashlib.sha256(payload).hexdigest()]),
        5093: (_INT32, [8]),
    }
    header = _header(tags, _IMMUTABLE)
    signs: dict[int, Value] = {
        268: (_BIN, _signature(key, header)),
        269: (_STRING, hashlib.sha1(header).hexdigest()),
        273: (_STRING, hashlib.sha256(header).hexdigest()),
        1000: (_INT32, [len(header) + len(payload)]),
        1007: (_INT32, [len(plain)]),
    }
    signed = _header(signs, _SIGNATURES)
    lead = struct.pack(">IBBHH66sHH16s", 0xEDABEEDB, 3, 0, 0, 1, name[:65].encode(), 1, 5, b"")
    with open(path, "wb") as file:
        file.write(lead + signed + b"\0" * (-len(signed) % 8) + header + payload)


def make(folder: str, count: int, key: Key, cves: Sequence[str], builds: int = 10) -> list[str]:
    """Write ``count`` live patches into ``folder``; returns their paths."""
    os.makedirs(folder, exist_ok=True)
    found = [os.path.join(folder, f"{number}.x86_64.rpm") for number in range(count)]
    for number, path in enumerate(found):
        write(path, number, key, cves, builds)
    return found
