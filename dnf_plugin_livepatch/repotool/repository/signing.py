# SPDX-License-Identifier: GPL-2.0-or-later
"""Signing repomd.xml with gpg, and checking such a signature as a client would."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from ...base.names import decimal
from ...toolkit import openpgp, scratch
from ...toolkit.errors import ToolError
from ...toolkit.programs import run
from .view import PublicKey

SIGNATURE = "repomd.xml.asc"
KEY = "repomd.xml.key"
#: Words of gpgv's status lines (doc/DETAILS), and the state that each stands for. The first found counts.
_STATES = {
    "BADSIG": "bad",
    "REVKEYSIG": "revoked",
    "EXPKEYSIG": "expired",
    "EXPSIG": "outdated",
    "NO_PUBKEY": "unknown-key",
}
#: A word of gpg's VALIDSIG line, and fields of a line of gpg --with-colons.
_HASH = 9
_VALIDITY, _ID, _EXPIRES, _USER, _ABLE = 1, 4, 6, 9, 11
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
    # gpg.conf may say otherwise. A signature that ends would stop all clients on a day that nobody is told.
    options += ["--default-sig-expire", "0"]
    signature, signed = os.path.join(repodata, SIGNATURE), os.path.join(repodata, "repomd.xml")
    run([*_gpg(home), *options, "--output", signature, signed])


def same_key(repodata: str, key: str, home: str) -> bool:
    """Whether ``repodata`` is signed with ``key`` as gpg has it now; true where nobody can tell."""
    try:
        with open(os.path.join(repodata, KEY), "rb") as file:
            published = file.read(1 << 20)
    except OSError:
        return True
    public = run([*_gpg(home), "--armor", "--export", key]).stdout if key else b""
    return not public or public == published


def _binary(key: str, home: str) -> bytes:
    """The public keys in the file ``key``, without ASCII armour."""
    with open(key, "rb") as file:
        data = file.read(1 << 20)
    if not openpgp.armoured(data):
        return data
    return run([*_gpg(home), "--dearmor"], data).stdout


def check(repodata: str, keys: Iterable[str]) -> str:
    """The state of the signature of repomd.xml.

    ``good``, ``missing``, ``bad`` (another text was signed), ``damaged`` (no signature that can be read),
    ``weak`` (good, with a digest that some clients refuse), ``expired`` or ``revoked`` (the key is),
    ``outdated`` (the signature is), ``unknown-key`` or ``unchecked`` (no keys are given).
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
    return judged(done.stdout.decode("utf-8", "replace"))


def judged(said: str) -> str:
    """The state that the status lines ``said`` by gpgv stand for.

    One good signature is enough, as it is for DNF, unless another one is of another text. Names of people
    stand in these lines too, so that only the first word of a line counts.
    """
    rows = [line.split() for line in said.splitlines() if line.startswith("[GNUPG:] ")]
    words, digests = [row[1] for row in rows if len(row) > 1], set()
    if "GOODSIG" not in words or "BADSIG" in words:
        return next((state for word, state in _STATES.items() if word in words), "damaged")
    of_good = False
    for row in rows:
        # The line VALIDSIG follows the one that judges the same signature.
        if row[1:2] == ["VALIDSIG"] and of_good and len(row) > _HASH:
            digests.add(openpgp.DIGESTS.get(decimal(row[_HASH], 3) or 0, ""))
        elif row[1:] and row[1].endswith("SIG"):
            of_good = row[1] == "GOODSIG"
    return "weak" if digests and digests <= {*openpgp.WEAK} else "good"


def public_keys(files: Iterable[str]) -> tuple[PublicKey, ...]:
    """The public keys in ``files``. A file that gpg cannot read has none."""
    found: list[PublicKey] = []
    with scratch.folder("livepatch-repo-") as home:
        for file in files:
            done = run([*_gpg(home), "--with-colons", "--show-keys", os.path.abspath(file)], check=False)
            found += _keys(rows_of(done.stdout.decode("utf-8", "replace")), file)
    return tuple(found)


def rows_of(said: str) -> list[list[str]]:
    """The rows of ``gpg --with-colons`` that have all the fields that are read here."""
    rows = [line.split(":") for line in said.splitlines()]
    return [row for row in rows if len(row) > (_USER if row[0] == "uid" else _ABLE)]


def _keys(rows: Iterable[list[str]], file: str) -> Iterator[PublicKey]:
    """The keys that ``rows`` of gpg tell. A key ends with its own life, or its last signing subkey's."""
    groups: list[list[list[str]]] = []
    for row in rows:
        if row[0] == "pub":
            groups.append([])
        if groups and row[0] in ("pub", "sub", "uid"):
            groups[-1].append(row)
    for group in groups:
        first = group[0]
        keys = [row for row in group if row[0] != "uid"]
        name = next((row[_USER] for row in group if row[0] == "uid"), "")
        ends = [
            decimal(row[_EXPIRES], 12) or 0 for row in keys if "s" in row[_ABLE] and row[_VALIDITY] != "r"
        ]
        last = 0 if 0 in ends else max(ends, default=0)
        lives = [end for end in (decimal(first[_EXPIRES], 12) or 0, last) if end]
        ids = tuple(row[_ID].lower() for row in keys)
        revoked = first[_VALIDITY] == "r"
        yield PublicKey(first[_ID], f"{first[_ID]} ({name})", file, min(lives, default=0), revoked, ids)
