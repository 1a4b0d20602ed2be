# SPDX-License-Identifier: GPL-2.0-or-later
"""Modules signed by OpenSSL as the kernel's sign-file signs them, and a list of the kernel's keys."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

from dnf_plugin_livepatch.host.kernel import signature

KEYS = """\
068f9a96 I------     1 perm 1f030000     0     0 keyring   .dns_resolver: empty
1d2c3b4a I------     1 perm 1f030000     0     0 asymmetri Example kernel key: 0584b25f: X509.rsa 0584b25f []
"""


def signed(folder: Path, *options: str) -> bytes:
    """A file signed as the kernel's sign-file does it, by a key of its own."""
    key, cert, data = (str(folder / name) for name in ("key.pem", "cert.pem", "module"))
    subject = "/O=Example/CN=Example live patches"
    for argv in (
        ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-subj", subject,
         "-set_serial", "0x0badcafe"],
        ["cms", "-sign", "-binary", "-nocerts", "-noattr", "-outform", "DER", "-in", data, "-signer", cert,
         "-inkey", key, "-out", data + ".p7s", *options],
    ):  # fmt: skip
        Path(data).write_bytes(b"\x7fELF and more")
        subprocess.run(["openssl", *argv], check=True, capture_output=True)
    message = Path(data + ".p7s").read_bytes()
    return Path(data).read_bytes() + message + struct.pack(">2xB5xI", 2, len(message)) + signature.MAGIC
