# SPDX-License-Identifier: GPL-2.0-or-later
"""RPM files as they come in: who signed them, and the manifests inside. Hostile until checked."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence

import createrepo_c as cr

from ...base.model import Manifest
from ...formats.manifest import MAX_BYTES, ManifestError, parse
from ...toolkit import scratch, ticker
from ...toolkit.errors import ToolError
from ...toolkit.programs import run
from ...toolkit.rpm_payload import exactly, members
from .metadata import quiet

MAX_MANIFESTS = 64
MAX_MEMBERS = 100000
_MANIFEST = re.compile(r"(?:\./|/)?usr/share/livepatch/([^/]+)/([^/]+)\.json\Z")
#: rpm 4 and 6 name the key by its id and by its fingerprint.
_SIGNED = re.compile(r"signature, key (?:id|fingerprint):? ([0-9a-f]{8,64}): OK", re.IGNORECASE)
_NO_KEY = re.compile(r"signature, key (?:id|fingerprint):? ([0-9a-f]{8,64}): NOKEY", re.IGNORECASE)


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

    ``state`` is ``good``, ``unsigned``, ``unknown-key`` or ``bad``. ``detail`` is the key id, or rpm's own
    message. The exit status of rpmkeys alone makes a package good: its words change from rpm to rpm.
    """
    found: dict[str, tuple[str, str]] = {}
    # rpmkeys prints a path as it is: one with a line feed could bring lines of its own for another package.
    told = [os.path.abspath(path) for path in paths if os.path.abspath(path).isprintable()]
    with scratch.folder("livepatch-repo-") as rings:
        base = ["rpmkeys", f"--define=_dbpath {rings}/rpmdb", f"--define=_keyringpath {rings}/keys"]
        for number, key in enumerate(keys):
            run([*base, "--import", _armoured(key, os.path.join(rings, f"{number}.asc"), rings)])
        # Without the level rpmkeys is content with digests, which anybody can make.
        check = [*base, "--define=_pkgverify_level all", "--checksig", "-v"]
        ticker.begin("checking signatures", len(told))
        for start in range(0, len(told), 200):
            found.update(_checked(check, told[start : start + 200]))
            ticker.advance(200)
    return {path: found.get(os.path.abspath(path), ("bad", "rpmkeys said nothing")) for path in paths}


def _armoured(key: str, path: str, home: str) -> str:
    """The path of the public key file ``key`` with ASCII armour, which rpmkeys needs: itself or ``path``."""
    with open(key, "rb") as file:
        data = file.read(1 << 20)
    if data.lstrip().startswith(b"-----BEGIN"):
        return os.path.abspath(key)
    gpg = ["gpg", "--batch", "--no-tty", "--homedir", home]
    run([*gpg, "--import"], data)
    with open(path, "wb") as out:
        out.write(run([*gpg, "--armor", "--export"]).stdout)
    return path


def _checked(check: Sequence[str], paths: Sequence[str]) -> dict[str, tuple[str, str]]:
    """The states of ``paths``. Files that rpmkeys calls faulty are left out, and the others checked anew.

    Where the words name no faulty file, the batch is halved until it stands alone.
    """
    done = run([*check, *paths], check=False)
    said = _by_path(paths, done.stdout.decode("utf-8", "replace").splitlines())
    if done.returncode == 0:
        ids = {path: match for path in paths for match in filter(None, map(_SIGNED.search, said[path]))}
        return {path: ("good", ids[path].group(1) if path in ids else "") for path in paths}
    if len(paths) == 1:
        return {paths[0]: _fault(said[paths[0]])}
    faulty = {path: _fault(said[path]) for path in paths if not any(map(_SIGNED.search, said[path]))}
    rest = [path for path in paths if path not in faulty]
    if faulty:
        return {**faulty, **(_checked(check, rest) if rest else {})}
    half = len(paths) // 2
    return {**_checked(check, paths[:half]), **_checked(check, paths[half:])}


def _by_path(paths: Sequence[str], said: Sequence[str]) -> dict[str, list[str]]:
    """The lines of rpmkeys below each path."""
    lines: dict[str, list[str]] = {path: [] for path in paths}
    heads, current = {path + ":": path for path in paths}, ""
    for line in said:
        if line in heads:
            current = heads[line]
        elif current:
            lines[current].append(line.strip())
    return lines


def _fault(said: Sequence[str]) -> tuple[str, str]:
    """Why rpmkeys refused one file, as far as its words tell."""
    if not said:
        return "bad", "not an RPM that rpm can read"
    for line in said:
        if line.endswith("BAD") or ": BAD" in line or "rror" in line.split(":")[0]:
            return "bad", line
    key = next((match.group(1) for match in map(_NO_KEY.search, said) if match), "")
    if key:
        return "unknown-key", f"signed with key {key}, which is not among the given ones"
    if any("ignature" in line and not line.endswith("NOTFOUND") for line in said):
        return "bad", next(line for line in said if "ignature" in line)
    return "unsigned", "it has digests but no signature"


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
