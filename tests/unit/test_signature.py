# SPDX-License-Identifier: GPL-2.0-or-later
"""Who signed a module: real signatures by OpenSSL, hostile ones by hypothesis."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnf_plugin_livepatch.base.paths import Paths
from dnf_plugin_livepatch.host.kernel import signature
from dnf_plugin_livepatch.host.kernel.signature import Signer
from tests.unit.support.signatures import KEYS, signed


def test_the_signer_is_named(tmp_path: Path) -> None:
    found = signature.signer(signed(tmp_path))
    assert found == Signer("Example live patches", "0badcafe")
    assert str(found) == "Example live patches (0badcafe)"


def test_a_signature_by_key_id(tmp_path: Path) -> None:
    found = signature.signer(signed(tmp_path, "-keyid"))
    text = subprocess.run(
        ["openssl", "x509", "-in", str(tmp_path / "cert.pem"), "-noout", "-ext", "subjectKeyIdentifier"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert found.name == "" and found.number == text.split("\n")[1].strip().replace(":", "").lower()


@pytest.mark.parametrize(
    "keys, key, unknown",
    [
        (KEYS, Signer("Example live patches", "0badcafe"), True),
        (KEYS, Signer("Example kernel key", "01"), False),
        (KEYS, Signer("", "0584b25f"), False),
        (KEYS, Signer(), False),
        (KEYS.split("\n")[0], Signer("Example", "0badcafe"), False),
        ("", Signer("Example", "0badcafe"), False),
    ],
)
def test_what_the_keyrings_show(tmp_path: Path, keys: str, key: Signer, unknown: bool) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/keys").write_text(keys)
    assert signature.unknown(Paths(str(tmp_path)), key) is unknown


@given(st.binary(max_size=300), st.integers(0, 3), st.integers(0, 400))
def test_no_tail_is_too_odd(message: bytes, kind: int, size: int) -> None:
    found = signature.signer(message + struct.pack(">2xB5xI", kind, size) + signature.MAGIC)
    assert all(text.isprintable() and len(text) <= 600 for text in found)


def test_a_real_signature_with_any_byte_changed(tmp_path: Path) -> None:
    good = signed(tmp_path)
    seen: list[Signer] = []
    for place in range(12, len(good) - len(signature.MAGIC)):
        spoiled = bytearray(good)
        spoiled[place] ^= 0x81
        seen.append(signature.signer(bytes(spoiled)))
    assert Signer() in seen and all(key.name.isprintable() for key in seen)
