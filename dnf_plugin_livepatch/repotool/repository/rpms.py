# SPDX-License-Identifier: GPL-2.0-or-later
"""RPM files as they come in: who signed them, and the manifests inside. Hostile until checked."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import createrepo_c as cr

from ...base.model import Manifest
from ...formats.manifest import MAX_BYTES, ManifestError, parse
from ...toolkit import openpgp, rpm_header, scratch, ticker
from ...toolkit.errors import ToolError
from ...toolkit.openpgp import Signature
from ...toolkit.programs import run
from ...toolkit.rpm_payload import exactly, members
from . import signing
from .metadata import quiet

MAX_MANIFESTS = 64
MAX_MEMBERS = 100000
_MANIFEST = re.compile(r"(?:\./|/)?usr/share/livepatch/([^/]+)/([^/]+)\.json\Z")
_STRANGE = "signed with key {key}{too}, which is not among the given ones"


def read(path: str, location: str) -> cr.Package:
    """The metadata of one RPM file, to be published at ``location``. Raises ToolError."""
    try:
        with open(path, "rb"):  # fails with the system's reason; createrepo_c reports a stale errno
            pass
        with quiet():
            return cr.package_from_rpm(path, checksum_type=cr.SHA256, location_href=location)
    except OSError as error:
        raise ToolError("rpm-unreadable", file=path, reason=(error.strerror or str(error)).lower()) from None
    except (cr.CreaterepoCError, ValueError) as error:
        raise ToolError("rpm-unreadable", file=path, reason=error) from None


def signatures(paths: Sequence[str], keys: Iterable[str]) -> dict[str, tuple[str, str]]:
    """By path: (state, detail) of each RPM under the public key files ``keys``.

    ``state`` is ``good``, ``weak-signature`` or ``weak-digest`` (good, but some hosts refuse it),
    ``unsigned``, ``unknown-key`` or ``bad``. The exit status of rpmkeys alone makes a package good, and the
    header of the package tells who signed it: the words of rpmkeys change from rpm to rpm. Without ``keys``
    digests are checked, and signatures are not judged.
    """
    given = list(keys)
    known = {one for key in signing.public_keys(given) for one in key.ids}
    found: dict[str, tuple[str, str]] = {}
    proofs = {os.path.abspath(path): _proof(path) for path in paths}
    asked = []
    for path, proof in proofs.items():
        strange = [one.key for one in proof.signatures if one.key and one.key not in known]
        if proof.readable and not proof.signatures:
            found[path] = "unsigned", "it has digests but no signature"
        elif known and strange and len(strange) == len(proof.signatures):
            found[path] = "unknown-key", _STRANGE.format(key=strange[0], too="")
        # rpmkeys prints a path as it is: one with a line feed could bring lines of another package.
        elif path.isprintable():
            asked.append(path)
    with scratch.folder("livepatch-repo-") as rings:
        check = ["rpmkeys", f"--define=_dbpath {rings}/rpmdb", f"--define=_keyringpath {rings}/keys"]
        for number, key in enumerate(given):
            run([*check, "--import", _armoured(key, os.path.join(rings, f"{number}.asc"), rings)])
        # Without the level rpmkeys is content with digests, which anybody can make.
        level = ["--define=_pkgverify_level all"] if given else ["--nosignature"]
        ticker.begin("checking signatures", len(asked))
        for start in range(0, len(asked), 200):
            for path, said in _checked([*check, *level, "--checksig", "-v"], asked[start : start + 200]):
                found[path] = _judged(proofs[path], known, said)
            ticker.advance(200)
    return {path: found.get(os.path.abspath(path), ("bad", "rpmkeys said nothing")) for path in paths}


class _Read(NamedTuple):
    """The proof in a header, which may be unreadable."""

    signatures: tuple[Signature, ...] = ()
    weak: tuple[str, ...] = ()
    readable: bool = True


def _proof(path: str) -> _Read:
    try:
        found = rpm_header.proof(rpm_header.raw_header(path))
    except ToolError:
        return _Read(readable=False)
    return _Read(found.signatures, found.weak)


def _judged(proof: _Read, known: set[str], said: Sequence[str] | None) -> tuple[str, str]:
    """The state of a package that rpmkeys took (``said`` is None) or refused with the lines ``said``."""
    if said is None:
        weak = sorted({one.digest for one in proof.signatures} & {*openpgp.WEAK})
        if weak:
            return "weak-signature", ", ".join(weak)
        if proof.weak:
            return "weak-digest", ", ".join(proof.weak)
        return "good", next((one.key for one in proof.signatures), "")
    strange = [one.key for one in proof.signatures if one.key and one.key not in known]
    broken = next((line for line in said if line.endswith("BAD") or ": BAD" in line), "")
    if known and strange and not broken:
        return "unknown-key", _STRANGE.format(key=strange[0], too=" too")
    if not proof.readable:
        return "bad", "not an RPM that rpm can read"
    faults = [line for line in said if not line.endswith(": OK")]
    return "bad", broken or (faults or ["rpmkeys refuses it"])[0]


def _armoured(key: str, path: str, home: str) -> str:
    """The path of the public key file ``key`` with ASCII armour, which rpmkeys needs: itself or ``path``."""
    with open(key, "rb") as file:
        data = file.read(1 << 20)
    if openpgp.armoured(data):
        return os.path.abspath(key)
    gpg = ["gpg", "--batch", "--no-tty", "--homedir", home]
    run([*gpg, "--import"], data)
    with open(path, "wb") as out:
        out.write(run([*gpg, "--armor", "--export"]).stdout)
    return path


def _checked(check: Sequence[str], paths: Sequence[str]) -> Iterator[tuple[str, list[str] | None]]:
    """Each of ``paths`` with None, or with the lines of an rpmkeys that refused it alone.

    A batch that rpmkeys refuses is halved until each faulty file stands alone.
    """
    done = run([*check, *paths], check=False)
    if done.returncode == 0:
        yield from ((path, None) for path in paths)
    elif len(paths) == 1:
        lines = done.stdout.decode("utf-8", "replace").splitlines()
        yield paths[0], [line.strip() for line in lines if line != paths[0] + ":" and line.strip()]
    else:
        half = len(paths) // 2
        yield from _checked(check, paths[:half])
        yield from _checked(check, paths[half:])


def manifests(path: str, files: Iterable[str]) -> tuple[Manifest, ...]:
    """The manifests inside an RPM whose file list is ``files``; () for one without. Raises ToolError."""
    wanted = [name for name in files if _MANIFEST.match(name)]
    if not wanted:
        return ()
    if len(wanted) > MAX_MANIFESTS:
        raise ToolError("rpm-manifest", file=path, reason=f"more than {MAX_MANIFESTS} manifests")
    found = []
    for name, text in sorted(_extract(path, len(wanted)).items()):
        match = _MANIFEST.match(name)
        try:
            manifest = parse(text.decode("utf-8", "replace"))
        except ManifestError as error:
            raise ToolError("rpm-manifest", file=path, reason=f"{name}: {error}") from None
        if match is None or match.groups() != (manifest.kernel_release, manifest.module):
            raise ToolError(
                "rpm-manifest", file=path, reason=f"{name} tells another kernel or module inside"
            )
        found.append(manifest)
    if len(found) != len(wanted):
        raise ToolError("rpm-manifest", file=path, reason="a listed manifest is not in the payload")
    # In the kernel only the last one would be in force, and hosts would load the others again and again.
    if len(found) > 1 and any(manifest.replace for manifest in found):
        raise ToolError("rpm-manifest", file=path, reason="one of several modules replaces the others")
    return tuple(found)


def _extract(path: str, count: int) -> dict[str, bytes]:
    """The contents of the manifests in the payload; stops after ``count``."""
    found: dict[str, bytes] = {}
    for number, member in enumerate(members(path)):
        if number >= MAX_MEMBERS:
            break
        if _MANIFEST.match(member.name) and member.size:
            if member.size > MAX_BYTES:
                reason = f"{member.name} is larger than {MAX_BYTES} bytes"
                raise ToolError("rpm-unreadable", file=path, reason=reason)
            found[member.name] = exactly(member.part, member.size, path)
            if len(found) == count:
                break
    return found
