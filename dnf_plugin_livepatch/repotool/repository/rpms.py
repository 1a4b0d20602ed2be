# SPDX-License-Identifier: GPL-2.0-or-later
"""RPM files as they come in: who signed them, and the manifests inside. Hostile until checked."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from typing import IO

import createrepo_c as cr

from ...base.model import Manifest
from ...formats.manifest import MAX_BYTES, ManifestError, parse
from ...toolkit.errors import ToolError
from ...toolkit.programs import run
from .metadata import quiet

MAX_MANIFESTS = 64
MAX_MEMBERS = 100000
_MANIFEST = re.compile(r"(?:\./|/)?usr/share/livepatch/([^/]+)/([^/]+)\.json\Z")
# Eight hex digits in each field: int() alone would take a sign, and so a size below zero.
_MEMBER = re.compile(rb"07070[12][0-9A-Fa-f]{104}")
_SIGNED = re.compile(r"signature, key id ([0-9a-f]+): (\w+)", re.IGNORECASE)


def read(path: str, location: str) -> cr.Package:
    """The metadata of one RPM file, to be published at ``location``. Raises ToolError."""
    try:
        with open(path, "rb"):  # the reason of a failure is the system's; createrepo_c's is any old errno
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
    ``bad``. ``detail`` is the key id, or what rpm said.
    """
    found: dict[str, tuple[str, str]] = {}
    with tempfile.TemporaryDirectory(prefix="livepatch-repo-") as scratch:
        base = [
            "rpmkeys",
            "--define",
            f"_dbpath {scratch}/rpmdb",
            "--define",
            "_keyringpath " + scratch + "/keys",
        ]
        for key in keys:
            run([*base, "--import", os.path.abspath(key)])
        for start in range(0, len(paths), 200):
            batch = [os.path.abspath(path) for path in paths[start : start + 200]]
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
    try:
        child = subprocess.Popen(["rpm2cpio", path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except FileNotFoundError:
        raise ToolError("tool-missing", program="rpm2cpio") from None
    try:
        assert child.stdout is not None
        return _cpio(child.stdout, count)
    except (ValueError, EOFError) as error:
        raise ToolError("rpm-unreadable", file=path, reason=f"payload: {error}") from None
    finally:
        child.kill()
        child.communicate()


def _cpio(stream: IO[bytes], count: int) -> dict[str, bytes]:
    """Members of a `newc` archive that are manifests."""
    found: dict[str, bytes] = {}
    for _ in range(MAX_MEMBERS):
        head = _exactly(stream, 110)
        if not _MEMBER.fullmatch(head):
            raise ValueError("not a cpio archive")
        mode, size, name_size = (int(head[at : at + 8], 16) for at in (14, 54, 94))
        if not 0 < name_size <= 4096:
            raise ValueError("a member's name is too long")
        name = _exactly(stream, name_size + (-(110 + name_size) % 4))[: name_size - 1].decode(
            "utf-8", "replace"
        )
        if name == "TRAILER!!!":
            break
        padded = size + (-size % 4)
        if _MANIFEST.match(name) and mode & 0o170000 == 0o100000 and size:
            if size > MAX_BYTES:
                raise ValueError(f"{name} is larger than {MAX_BYTES} bytes")
            found[name] = _exactly(stream, padded)[:size]
            if len(found) == count:
                break
        else:
            while padded > 0:
                padded -= len(_exactly(stream, min(padded, 1 << 20)))
    return found


def _exactly(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise EOFError("it ends early")
    return data
