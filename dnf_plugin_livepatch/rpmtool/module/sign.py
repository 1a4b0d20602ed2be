# SPDX-License-Identifier: GPL-2.0-or-later
"""Signing modules (sign-file) and packages (rpmsign), each verified afterwards by another program.

A package is called signed only when its header carries an OpenPGP signature that verifies with the
wanted key: ``rpmkeys --checksig`` alone is content with digests, which anybody can make.
"""

from __future__ import annotations

import os
import re
import shutil
import urllib.parse
from typing import NamedTuple

from ...formats import compressed
from ...toolkit import scratch
from ...toolkit.errors import refuse
from ...toolkit.openpgp import WEAK
from ...toolkit.programs import Runner, need
from ..kernel.target import Target, installed_devel
from ..readers.elf import signature, unsigned
from ..readers.rpm_file import read_header

HASHES = ("sha256", "sha384", "sha512")
_OPENSSL = "Install openssl."
_GNUPG = "Install gnupg."
_BESIDE = ".livepatch-sign-"
_PIN = re.compile(r"pin[-_]?value", re.IGNORECASE)


class Key(NamedTuple):
    """A module signing key: ``key`` is a PEM file or a PKCS#11 URI, ``cert`` its X.509 certificate.

    ``program`` is the kernel's sign-file, "" to take it from the kernel's development files.
    """

    key: str
    cert: str
    hash: str = "sha256"
    program: str = ""


def check_key(key: Key) -> None:
    """Raise ToolError ``key-missing`` unless key and certificate are there, before minutes of building."""
    hint = "Give --module-key and --module-cert; a PKCS#11 URI begins with pkcs11:."
    if key.hash not in HASHES:
        refuse("metadata-invalid", what=f"--module-hash {key.hash[:20]}: known are {', '.join(HASHES)}")
    if _holds_pin(key.key):
        refuse("key-secret")
    if not key.key.lower().startswith("pkcs11:") and not os.access(key.key, os.R_OK):
        refuse("key-missing", what=f"Module key {key.key}", why="not there, or not readable", hint=hint)
    if not os.access(key.cert, os.R_OK):
        refuse(
            "key-missing",
            what=f"Certificate {key.cert or '(none given)'}",
            why="not there, or not readable",
            hint=hint,
        )


def _holds_pin(key: str) -> bool:
    """Whether the PKCS#11 URI ``key`` holds a PIN, in its path or query, however it is escaped.

    A PIN in the URI would be an argument of sign-file, which every user can read in /proc, and in the log.
    """
    if not key.lower().startswith("pkcs11:"):
        return False
    for _ in range(8):
        if _PIN.search(key):
            return True
        key = urllib.parse.unquote(key)
    return _PIN.search(key) is not None


def _sign_file(key: Key, target: Target) -> str:
    folders = [folder for folder in (target.devel, target.tree) if folder]
    if not folders and target.release:
        folders = installed_devel(target.release)
    for path in [key.program] if key.program else [os.path.join(f, "scripts/sign-file") for f in folders]:
        if os.access(path, os.X_OK):
            return path
    refuse(
        "program-missing",
        program="sign-file",
        hint="It is in scripts/ of the kernel's development files: give --kernel-devel or --sign-file.",
    )


def sign_module(path: str, key: Key, target: Target, runner: Runner) -> None:
    """Sign the module at ``path`` in place, instead of a signature that it may have. Raises ToolError."""
    check_key(key)
    with open(path, "rb") as file:
        data = file.read()
    if compressed.kind(data):
        refuse("module-unreadable", path=path, why="compressed; unpack it, sign it, and pack it again")
    program = _sign_file(key, target)
    plain, _old = unsigned(data)
    with scratch.folder(_BESIDE, os.path.dirname(os.path.abspath(path))) as folder:
        work = os.path.join(folder, os.path.basename(path))
        with open(work, "wb") as file:
            file.write(plain)
        outcome = runner.run([program, key.hash, key.key, key.cert, work])
        if outcome.status:
            refuse("sign-failed", path=path, why=outcome.last)
        verify_module(work, key.cert, runner)
        os.replace(work, path)


def verify_module(path: str, cert: str, runner: Runner) -> None:
    """Raise ToolError ``sign-unverified`` unless all of ``path`` is signed by ``cert``."""
    openssl = need("openssl", _OPENSSL)
    with open(path, "rb") as file:
        data = file.read()
    if signature(data) != "signed":
        refuse("sign-unverified", path=path, why="no whole signature is appended")
    plain, block = unsigned(data)
    with scratch.folder("livepatch-verify-") as folder:
        names = {name: os.path.join(folder, name) for name in ("module", "block", "cert")}
        for name, content in (("module", plain), ("block", block)):
            with open(names[name], "wb") as file:
                file.write(content)
        with open(cert, "rb") as file:
            form = "PEM" if file.read(64).startswith(b"-----") else "DER"
        outcome = runner.run([openssl, "x509", "-inform", form, "-in", cert, "-out", names["cert"]])
        if not outcome.status:
            # Only the given certificate counts, none of the block. The kernel judges its chain.
            files = ["-in", names["block"], "-content", names["module"], "-certfile", names["cert"]]
            options = ["-binary", "-inform", "DER", *files, "-nointern", "-noverify", "-out", os.devnull]
            outcome = runner.run([openssl, "cms", "-verify", *options])
    if outcome.status:
        refuse("sign-unverified", path=path, why=outcome.last)


def check_rpm_key(key: str, runner: Runner) -> None:
    """Raise ToolError ``key-missing`` unless gpg has the secret key ``key``."""
    if runner.run([need("gpg", _GNUPG), "--batch", "--list-secret-keys", "--", key]).status:
        refuse(
            "key-missing",
            what=f"GPG key {key}",
            why="gpg has no such secret key",
            hint="Import it, or set GNUPGHOME to the keyring that holds it.",
        )


def sign_rpm(path: str, key: str, runner: Runner) -> None:
    """Sign the RPM at ``path`` in place with gpg's ``key``, then verify it. Raises ToolError."""
    check_rpm_key(key, runner)
    program = need("rpmsign", "Install rpm-sign (the package rpm on Debian).")
    with scratch.folder(_BESIDE, os.path.dirname(os.path.abspath(path))) as folder:
        work = os.path.join(folder, os.path.basename(path))
        shutil.copyfile(path, work)
        # Some distributions' rpm looks for gpg under a name that they do not install.
        define = ["--define", f"_gpg_name {key}", "--define", f"__gpg {need('gpg', _GNUPG)}"]
        outcome = runner.run([program, *define, "--addsign", work])
        if outcome.status:
            refuse("sign-failed", path=path, why=outcome.last)
        verify_rpm(work, key, runner)
        os.replace(work, path)


def verify_rpm(path: str, key: str, runner: Runner) -> None:
    """Raise ToolError ``sign-unverified`` unless the header of ``path`` bears a signature by ``key``."""
    header = read_header(path)
    if not header.signed:
        refuse("sign-unverified", path=path, why="its header carries digests, but no OpenPGP signature")
    weak = sorted({*header.digests} & {*WEAK})
    if weak:
        why = f"it is made with {', '.join(weak)}, which EL9 refuses: see digest-algo in gpg.conf"
        refuse("sign-unverified", path=path, why=f"{why} and _gpg_digest_algo in the rpm macros")
    with scratch.folder("livepatch-verify-") as folder:
        public, base = os.path.join(folder, "key.asc"), os.path.join(folder, "db")
        os.mkdir(base)
        rpmkeys = ["rpmkeys", "--dbpath", base, "--define", f"_keyringpath {folder}/keys"]
        # Only the wanted key is there, and the level asks for a signature: the exit status says it all. The
        # words of rpmkeys differ from rpm to rpm.
        steps = (
            ["gpg", "--batch", "--armor", "--output", public, "--export", "--", key],
            [*rpmkeys, "--import", public],
            [*rpmkeys, "--define", "_pkgverify_level all", "-Kv", path],
        )
        for argv in steps:
            outcome = runner.run(argv)
            if outcome.status:
                several = len(header.digests) > 1 and argv is steps[-1]
                why = "one of its signatures is by another key, or wrong; remove it with 'rpmsign --delsign'"
                refuse("sign-unverified", path=path, why=why if several else outcome.last)
