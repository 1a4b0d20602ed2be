# SPDX-License-Identifier: GPL-2.0-or-later
"""RPM files as they come in: who signed them, and the manifests inside. Hostile until checked."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence

import createrepo_c as cr

from ...base.model import Manifest
from ...formats.manifest import MAX_BYTES, ManifestError, parse
from ...toolkit import scratch
from ...toolkit.errors import ToolError
from ...toolkit.programs import run
from ...toolkit.rpm_payload import exactly, members
from .metadata import quiet

MAX_MANIFESTS = 64
MAX_MEMBERS = 100000
_MANIFEST = re.compile(r"(?:\./|/)?usr/share/livepatch/([^/]+)/([^/]+)\.json\Z")
_SIGNED = re.compile(r"signature, key id ([0-9a-f]+): (\w+)", re.IGNORECASE)


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

    ``state`` is ``good``, ``unsigned`` (digests alone, which rpmkeys calls OK), ``unknown-key`` or
    ``bad``. ``detail`` is the key id, or rpm's own message.
    """
    found: dict[str, tuple[str, str]] = {}
    # rpmkeys prints a path as it is: one with a line feed could bring lines of its own for another package.
    told = [path for path in paths if os.path.abspath(path).isprintable()]
    with scratch.folder("livepatch-repo-") as rings:
        base = ["rpmkeys", f"--define=_dbpath {rings}/rpmdb", f"--define=_keyringpath {rings}/keys"]
        for key in keys:
            run([*base, "--import", os.path.abspath(key)])
        for start in range(0, len(told), 200):
            batch = [os.path.abspath(path) for path in told[start : start + 200]]
            done = run([*base, "--checksig", "-v", *batch], check=False)
            found.update(_read_checksig(batch, done.stdout.decode("utf-8", "replace")))
    return {path: found.get(os.path.abspath(path), ("bad", "rpmkeys said nothing")) for path in paths}


def _read_checksig(paths: Sequence[str], output: str) -> dict[str, tuple[str, str]]:
    heads = {path + ":": path for path in paths}
    lines: dict[str, list[str]] = {path: [] for path in paths}
    current = ""
    for line in output.splitlines():
        if line in heads:
            current = heads[line]
        elif current:
            lines[current].append(line.strip())
    return {path: _judge(said) for path, said in lines.items()}


def _judge(said: list[str]) -> tuple[str, str]:
    if not said:
        return "bad", "not an RPM that rpm can read"
    for line in said:
        if line.endswith(("BAD", "NOTFOUND")) or ": BAD" in line or "rror" in line.split(":")[0]:
            return "bad", line
    found = [match.groups() for match in map(_SIGNED.search, said) if match]
    if not found:
        return "unsigned", "it has digests but no signature"
    wrong = [key for key, word in found if word.upper() != "OK"]
    return (
        ("unknown-key", f"signed with key {wrong[0]}, which is not among the given ones")
        if wrong
        else ("good", found[0][0])
    )


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
