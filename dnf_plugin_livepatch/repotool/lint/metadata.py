# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks of the metadata files, the livepatch record and the package files. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ...base import times
from ..repository.view import Package, View
from .context import Check, Context, Raised

_SIGNATURE = {
    "missing": "metadata-unsigned",
    "bad": "metadata-signature-stale",
    "unknown-key": "metadata-key-unknown",
    "expired": "metadata-key-expired",
    "revoked": "metadata-key-revoked",
    "outdated": "metadata-signature-expired",
    "damaged": "metadata-signature-damaged",
    "weak": "metadata-signature-weak",
}
_RPM = {
    "missing": "package-missing",
    "size": "package-size",
    "digest": "package-digest",
    "unsigned": "package-unsigned",
    "unknown-key": "package-key-unknown",
    "bad": "package-signature-bad",
    "weak-signature": "package-signature-weak",
    "weak-digest": "package-digest-weak",
}
#: Days before the end of a key's life from which on lint and every publish warn of it.
WARNED = 60
_RESIGN = "Publish again with 'livepatch-repo publish', which signs after every change."

CHECKS = {
    "metadata-unsigned": Check(
        "error",
        "repomd.xml is not signed: clients with repo_gpgcheck=1 refuse it.",
        "Without a signature anybody between the server and a host can hide a fix, or claim that a CVE "
        "is closed.",
        _RESIGN,
    ),
    "metadata-signature-stale": Check(
        "error",
        "repomd.xml.asc signs another repomd.xml: clients with repo_gpgcheck=1 refuse it.",
        "The signature no longer proves anything about the file beside it, so that no careful client "
        "reads the repository.",
        _RESIGN,
    ),
    "metadata-signature-damaged": Check(
        "error",
        "repomd.xml.asc is no whole signature: clients with repo_gpgcheck=1 refuse the repository.",
        "The file was cut short on its way, or something else was put in its place.",
        "Copy it again from where it was published, or publish again.",
    ),
    "metadata-key-unknown": Check(
        "error",
        "repomd.xml is signed with a key that is not among the given ones.",
        "Hosts trust the keys that they were given. They refuse metadata signed with any other.",
        "Sign with the key that clients have, or give that key with --key.",
    ),
    "metadata-key-expired": Check(
        "error",
        "repomd.xml is signed with a key that has expired: clients with repo_gpgcheck=1 refuse it.",
        "A client takes the end of a key's life for the end of its trust, and its hosts get no fix.",
        "Extend the key with 'gpg --quick-set-expire', give clients the new public key, and sign again with "
        "'livepatch-repo sign'.",
    ),
    "metadata-key-revoked": Check(
        "error",
        "repomd.xml is signed with a key that was revoked: clients with repo_gpgcheck=1 refuse it.",
        "Whoever revokes a key says that its signatures prove nothing any more. Hosts get no fix.",
        "Sign with another key, and give clients its public key: see docs/how-to/keys.md.",
    ),
    "metadata-signature-expired": Check(
        "error",
        "The signature of repomd.xml has expired: clients with repo_gpgcheck=1 refuse it.",
        "The signature was made with an end of its own. Hosts get no fix from that day on.",
        "Sign again with 'livepatch-repo sign', whose signatures have no end.",
    ),
    "metadata-signature-weak": Check(
        "error",
        "repomd.xml is signed with a weak digest (MD5 or SHA-1).",
        "EL9 and others refuse such signatures. Two files with the same digest can be made on purpose.",
        "Take 'digest-algo' out of gpg.conf, and sign again with 'livepatch-repo sign'.",
    ),
    "key-expires": Check(
        "warning",
        "The key {key} of {file} expires in {days} day(s), on {date}.",
        "A client takes the end of a key's life for the end of its trust. Hosts get no fix from then on.",
        "Extend the key with 'gpg --quick-set-expire', or change to another one: see docs/how-to/keys.md.",
    ),
    "key-unusable": Check(
        "warning",
        "The key {key} of {file} {why}.",
        "Clients refuse what is signed with such a key.",
        "Extend the key or sign with another one, and give clients the new public key: see "
        "docs/how-to/keys.md.",
    ),
    "metadata-file-missing": Check(
        "error",
        "{type}: {location} is listed in repomd.xml but cannot be had.",
        "A client that needs the file stops reading the repository, and its hosts get no fix.",
        "Copy the metadata files before repomd.xml, and all of them.",
    ),
    "metadata-file-differs": Check(
        "error",
        "{type}: {location} is not the file that repomd.xml describes.",
        "Clients compare the digest. The file was changed after repomd.xml was written, or cut short "
        "on its way.",
        "Never change a metadata file by hand; publish again.",
    ),
    "metadata-unread": Check(
        "error",
        "Its packages, advisories and record were not checked: {reason}.",
        "A client that needs a missing or damaged file stops reading the repository. Its hosts get no fix.",
        "Copy the metadata again, repomd.xml last, or publish again. Then run lint again.",
    ),
    "metadata-weak-digest": Check(
        "warning",
        "{type} is described by a {kind} digest only.",
        "Two different files with the same MD5 or SHA-1 digest can be made on purpose. Some systems "
        "refuse both digests.",
        "Use SHA-256, as livepatch-repo does.",
    ),
    "metadata-name-mutable": Check(
        "warning",
        "{type}: the name {location} does not change with its content; caches mix old and new.",
        "A proxy may serve the old file with the new repomd.xml. The host then sees a damaged repository.",
        "Use names with the digest in them, as livepatch-repo does.",
    ),
    "metadata-parser": Check(
        "warning",
        "The metadata has something that the parser does not know: {text}",
        "Whatever the parser passes over is lost to every host: an advisory, a package of it, or a CVE.",
        "Keep to the common elements; what is private to one vendor is invisible to stock tools.",
    ),
    "mirrorlist-stale": Check(
        "error",
        "The mirrorlist names the generation {generation}, and the present one is another.",
        "Hosts that start from the mirrorlist read an old state, or none: no new patches, no withdrawals.",
        "Run the last publish or withdraw again: it writes the mirrorlist.",
    ),
    "files-closed": Check(
        "error",
        "Not everybody can read {count} files or folders of the repository, {first} first.",
        "A web server runs as another user, and its clients get an error in place of the file.",
        "Run 'chmod -R go+rX' on the repository's folder; a publish keeps to that folder's own mode.",
    ),
    "updateinfo-lost": Check(
        "error",
        "There are {count} live patches but no updateinfo: no host learns what they close.",
        "Without advisories hosts know neither which CVEs a live patch closes nor that 'dnf upgrade "
        "--security' needs it.",
        "'createrepo_c --update' drops updateinfo; publish with livepatch-repo, or add --keep-all-metadata.",
    ),
    "record-missing": Check(
        "note",
        "There is no livepatch record: support ends, withdrawals and rollouts are unknown to hosts.",
        "Hosts then cannot warn before support ends, and a patch cannot be withdrawn or offered to a "
        "part of them first.",
        "Publish with livepatch-repo, which writes it.",
    ),
    "record-invalid": Check(
        "error",
        "The livepatch record cannot be used: {fault}",
        "Hosts ignore a record that they cannot read, and with it every withdrawal in it.",
        _RESIGN,
    ),
    "record-patch-unknown": Check(
        "note",
        "The record speaks of {nevra}, which is not in the repository.",
        "A slip in a name leaves a withdrawal or a rollout without effect. After a prune the notes stay.",
        "Nothing has to be done after a prune; otherwise publish the package or correct the record.",
    ),
    "record-issued-changed": Check(
        "error",
        "The issue date of {nevra} was {before} and is now {after}.",
        "A host that waits some days after the issue date before it takes a patch would wait again, or "
        "not at all.",
        "Issue dates are immutable: minimum ages on hosts count from them. Restore the first one.",
    ),
    "package-missing": Check(
        "error",
        "The metadata lists {location}, which is not there.",
        "Hosts fail in the middle of 'dnf upgrade', when the package is downloaded.",
        "Copy the file back, or publish again.",
    ),
    "package-size": Check(
        "error",
        "{location} has {have} bytes, the metadata says {want}.",
        "The file was cut short or replaced. Hosts refuse it after the download.",
        "Publish it again.",
    ),
    "package-digest": Check(
        "error",
        "The contents of {location} differ from the metadata.",
        "Hosts refuse the file after the download. Caches and mirrors keep serving either content "
        "under one name.",
        "Somebody changed or re-signed it in place; raise the release and publish that.",
    ),
    "package-unsigned": Check(
        "error",
        "It carries no signature ({detail}).",
        "A live patch is code for the kernel. Hosts with gpgcheck=1 refuse it without a signature.",
        "Sign it with 'rpmsign --addsign' and publish that.",
    ),
    "package-key-unknown": Check(
        "error",
        "It is {detail}.",
        "Hosts trust the keys that they were given. They refuse a package signed with any other.",
        "Sign it with the key that clients have, or give that key with --key.",
    ),
    "package-signature-bad": Check(
        "error",
        "Its signature or digest is wrong: {detail}",
        "The package is damaged or was changed after it was signed. Hosts refuse it.",
        "Build, sign and publish again.",
    ),
    "package-signature-weak": Check(
        "error",
        "Its signature is made with {detail}, which EL9 and others refuse.",
        "Hosts whose policy refuses the digest do not install the package.",
        "Raise the release and sign with SHA-256: take 'digest-algo' out of gpg.conf, and _gpg_digest_algo "
        "out of the rpm macros.",
    ),
    "package-digest-weak": Check(
        "warning",
        "Only weak digests protect its content: {detail}.",
        "Systems whose policy refuses these digests, such as EL9 in FIPS mode, do not install the package.",
        "Build it with a present rpm, without _binary_filedigest_algorithm in the macros.",
    ),
    "package-duplicate": Check(
        "error",
        "It is listed {count} times with different contents; clients take either.",
        "Two hosts with the same version installed may run different code, and no report can tell them "
        "apart.",
        "Raise the release of one of them.",
    ),
    "package-location": Check(
        "error",
        "Its location {location} leads out of the repository.",
        "A client may read, and a mirror may write, a file outside of the repository.",
        "Publish it with livepatch-repo.",
    ),
}


def check(view: View, context: Context) -> Iterator[Raised]:
    """Every finding about metadata and package files."""
    if view.signature in _SIGNATURE:
        yield _SIGNATURE[view.signature], "repomd.xml", {}
    yield from _files(view)
    yield from of_keys(context)
    if context.stale:
        yield "mirrorlist-stale", "mirrorlist", {"generation": context.stale}
    if context.closed:
        yield "files-closed", context.closed[0], {"count": len(context.closed), "first": context.closed[0]}
    if view.unread:
        yield "metadata-unread", "repomd.xml", {"reason": view.unread}
        return
    for text in view.warnings:
        yield "metadata-parser", "updateinfo", {"text": text}
    if view.patches and "updateinfo" not in view.has:
        yield "updateinfo-lost", "repomd.xml", {"count": len(view.patches)}
    yield from _record(view, context)
    yield from _packages(view, context)


def of_keys(context: Context) -> Iterator[Raised]:
    """The findings about the clients' public keys."""
    now = times.parse(context.now) or 0
    for key in context.keys:
        date = times.moment(key.expires)[:10] if key.expires else ""
        why = "was revoked" if key.revoked else f"expired on {date}" if 0 < key.expires <= now else ""
        if why:
            yield "key-unusable", key.id, {"key": key.name, "file": key.file, "why": why}
        elif key.expires and key.expires < now + WARNED * times.DAY:
            days = (key.expires - now) // times.DAY
            yield "key-expires", key.id, {"key": key.name, "file": key.file, "days": days, "date": date}


def weak(nevra: str, state: str, detail: str) -> Raised:
    """The fault of a package whose signature or digests are weak."""
    return _RPM[state], nevra, {"detail": detail}


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
    weak = sorted({package.checksum_type for package in view.packages} & {"md5", "sha", "sha1"})
    if weak:
        count = sum(package.checksum_type in weak for package in view.packages)
        facts = {"type": f"The content of {count} package(s)", "kind": ", ".join(weak)}
        yield "metadata-weak-digest", "primary", {**facts}
    for nevra, found in by_nevra.items():
        if len({package.checksum for package in found}) > 1:
            yield "package-duplicate", str(nevra), {"count": len(found)}
