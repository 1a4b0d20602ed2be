# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks of the metadata files, the livepatch record and the package files. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ..repository.view import Package, View
from .context import Context, Raised

_SIGNATURE = {
    "missing": "metadata-unsigned",
    "bad": "metadata-signature-stale",
    "unknown-key": "metadata-key-unknown",
}
_RPM = {
    "missing": "package-missing",
    "size": "package-size",
    "digest": "package-digest",
    "unsigned": "package-unsigned",
    "unknown-key": "package-key-unknown",
    "bad": "package-signature-bad",
}


def check(view: View, context: Context) -> Iterator[Raised]:
    """Every finding about metadata and package files."""
    if view.signature in _SIGNATURE:
        yield _SIGNATURE[view.signature], "repomd.xml", {}
    yield from _files(view)
    for text in view.warnings:
        yield "metadata-parser", "updateinfo", {"text": text}
    if view.patches and "updateinfo" not in view.has:
        yield "updateinfo-lost", "repomd.xml", {"count": len(view.patches)}
    yield from _record(view, context)
    yield from _packages(view, context)


def _files(view: View) -> Iterator[Raised]:
    for file in view.files:
        facts: dict[str, object] = {"type": file.type, "location": file.location, "kind": file.checksum_type}
        if file.state == "missing":
            yield "metadata-file-missing", file.location, facts
        elif file.state == "differs":
            yield "metadata-file-differs", file.location, facts
        if file.checksum_type in ("md5", "sha", "sha1"):
            yield "metadata-weak-digest", file.location, facts
        if file.checksum not in file.location:
            yield "metadata-name-mutable", file.location, facts


def _record(view: View, context: Context) -> Iterator[Raised]:
    if view.record_fault:
        yield "record-invalid", "livepatch record", {"fault": view.record_fault}
    elif view.record is None:
        if view.patches:
            yield "record-missing", "livepatch record", {}
    else:
        names = {str(package.nevra) for package in view.packages}
        before = context.published.kernels if context.published else {}
        for release, note in sorted(view.record.kernels.items()):
            for nevra, patch in sorted(note.patches.items()):
                if nevra not in names:
                    yield "record-patch-unknown", nevra, {"nevra": nevra}
                old = before[release].patches.get(nevra) if release in before else None
                if old is not None and old.issued and old.issued != patch.issued:
                    yield (
                        "record-issued-changed",
                        nevra,
                        {"nevra": nevra, "before": old.issued, "after": patch.issued or "gone"},
                    )


def _packages(view: View, context: Context) -> Iterator[Raised]:
    by_nevra: dict[object, list[Package]] = {}
    for package in view.packages:
        by_nevra.setdefault(package.nevra, []).append(package)
        parts = package.location.split("/")
        if package.location.startswith("/") or ".." in parts or "" in parts:
            yield "package-location", str(package.nevra), {"location": package.location}
        state, detail = context.rpms.get(package.location, ("", ""))
        if state in _RPM:
            yield (
                _RPM[state],
                str(package.nevra),
                {"location": package.location, "detail": detail, "have": detail, "want": package.size},
            )
    for nevra, found in by_nevra.items():
        if len({package.checksum for package in found}) > 1:
            yield "package-duplicate", str(nevra), {"count": len(found)}
