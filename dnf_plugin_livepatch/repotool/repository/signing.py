# SPDX-License-Identifier: GPL-2.0-or-later
"""Signing repomd.xml with gpg, and checking such a signature as a client would."""

from __future__ import annotations

import os
from collections.abc import Iterable

from ...toolkit import scratch
from ...toolkit.errors import ToolError
from ...toolkit.programs import run

SIGNATURE = "repomd.xml.asc"
KEY = "repomd.xml.key"
_HINT = "Name it with --sign-with or 'sign_with'."


def _gpg(home: str) -> list[str]:
    return ["gpg", "--batch", "--no-tty", "--yes", *(["--homedir", home] if home else [])]


def sign(repodata: str, key: str, home: str) -> None:
    """Write repomd.xml.asc with ``key``, and the public key beside it, as SUSE's clients look for it."""
    if not key:
        raise ToolError("key-missing", what="No signing key", why="none is named", hint=_HINT)
    public = run([*_gpg(home), "--armor", "--export", key]).stdout
    if not public:
        raise ToolError("key-missing", what="No signing key", why=f"gpg knows no key {key!r}", hint=_HINT)
    with open(os.path.join(repodata, KEY), "wb") as file:
        file.write(public)
    options = ["--local-user", key, "--detach-sign", "--armor", "--digest-algo", "SHA256"]
    signature, signed = os.path.join(repodata, SIGNATURE), os.path.join(repodata, "repomd.xml")
    run([*_gpg(home), *options, "--output", signature, signed])


def _binary(key: str, home: str) -> bytes:
    """The public keys in the file ``key``, without ASCII armour."""
    with open(key, "rb") as file:
        data = file.read(1 << 20)
    if not data.lstrip().startswith(b"-----BEGIN"):
        return data
    return run([*_gpg(home), "--dearmor"], data).stdout


def check(repodata: str, keys: Iterable[str]) -> str:
    """The state of the signature of repomd.xml.

    ``good``, ``missing``, ``bad`` (another text was signed), ``expired`` (the key is), ``unknown-key`` or
    ``unchecked``.
    """
    signature = os.path.join(repodata, SIGNATURE)
    if not os.path.isfile(signature):
        return "missing"
    given = list(keys)
    if not given:
        return "unchecked"
    with scratch.folder("livepatch-repo-") as home:
        ring = os.path.join(home, "ring.gpg")
        with open(ring, "wb") as out:
            for key in given:
                out.write(_binary(key, home))
        options = ["--homedir", home, "--keyring", ring, "--status-fd", "1"]
        done = run(["gpgv", *options, signature, os.path.join(repodata, "repomd.xml")], check=False)
    status = done.stdout.decode("utf-8", "replace")
    if "EXPKEYSIG" in status:
        return "expired"
    if done.returncode == 0 and "GOODSIG" in status:
        return "good"
    return "unknown-key" if "NO_PUBKEY" in status and "BADSIG" not in status else "bad"
