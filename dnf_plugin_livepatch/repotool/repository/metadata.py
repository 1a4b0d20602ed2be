# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading and writing repository metadata with createrepo_c's bindings (0.17.3 and 1.x)."""

from __future__ import annotations

import contextlib
import datetime
import gzip
import hashlib
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from xml.sax.saxutils import unescape

import createrepo_c as cr

from ...base import times
from ...base.model import Nevra
from ...toolkit import scratch
from ...toolkit.errors import ToolError
from . import kernels, unpack
from .view import Advisory, Capability, ListedPackage, MetadataFile, Package, Reference

LIVEPATCH = "livepatch"
DIGESTS = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512")
#: How the name of a compressed file ends.
ENDINGS = {"gz": ".gz", "xz": ".xz", "zstd": ".zst", "zck": ".zck"}
COMPRESSIONS = tuple(ENDINGS)
_ID = re.compile(r"<id>([^<]{1,500})</id>")
_NAMES = re.compile(r'\bname="([^"]*)"')
_NO_UPDATES = re.compile(r"<updates\s*(?:/>|>\s*</updates>)\s*\Z")
MAX_REPOMD = 16 << 20
# createrepo_c raises these for hostile content.
_FAULTS = (cr.CreaterepoCError, OSError, ValueError, OverflowError, TypeError, IndexError)
_OWN_TYPES = ("primary", "filelists", "other", "updateinfo", LIVEPATCH)


class Update(NamedTuple):
    """One advisory as it stands in updateinfo: kept byte for byte, and parsed only when needed."""

    id: str
    text: str

    def mentions(self, names: Iterable[str]) -> bool:
        """Whether the advisory may list a package of one of ``names``."""
        return not set(_NAMES.findall(self.text)).isdisjoint(names)

    def record(self) -> cr.UpdateRecord:
        """The advisory as createrepo_c's object. Raises ToolError."""
        found = cr.UpdateInfo()
        path = os.path.join(scratch.of_process("livepatch-repo-"), "updateinfo.xml")
        with open(path, "w", encoding="utf-8", errors="replace") as file:
            file.write(f"<updates>{self.text}</updates>")
        try:
            with quiet():
                cr.xml_parse_updateinfo(path, found, None)
        except _FAULTS as error:
            reason = _words(error, os.path.dirname(path))
            raise ToolError("metadata-unreadable", where="updateinfo", reason=reason) from None
        if len(found.updates) != 1:
            raise ToolError("metadata-unreadable", where="updateinfo", reason=f"{self.id}: no one advisory")
        return found.updates[0]


def update_of(record: cr.UpdateRecord) -> Update:
    """``record`` as text."""
    return Update(record.id or "", cr.xml_dump_updaterecord(record))


def updates_of(text: str) -> list[Update] | None:
    """The advisories of an updateinfo that this tool wrote; None if another tool wrote it.

    This tool escapes everything, so that the text of an end tag is always an end tag.
    """
    parts = text.split("</update>")
    found = []
    for part in parts[:-1]:
        start, named = part.find("<update "), _ID.search(part)
        if start < 0 or part.count("<update ") != 1 or named is None:
            return None
        found.append(Update(unescape(named[1]), part[start:] + "</update>\n"))
    whole = parts[-1].strip() == "</updates>" if found else _NO_UPDATES.search(text) is not None
    return found if whole else None


class Loaded(NamedTuple):
    """The metadata of one repodata folder, in createrepo_c's own objects. ``record`` is its text."""

    repomd: cr.Repomd
    packages: dict[str, cr.Package]
    advisories: list[cr.UpdateRecord]
    updates: list[Update]
    record: str
    warnings: tuple[str, ...] = ()


def digest(path: str, kind: str = "sha256") -> str:
    """The hexadecimal digest of a file; "" for a kind that no repository uses."""
    if kind not in DIGESTS:
        return ""
    total = hashlib.new(kind)
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            total.update(block)
    return total.hexdigest()


def pinned(repodata: str) -> str:
    """The folder that ``repodata`` leads to now: a reader sees one state while another is published.

    Only the link that this tool makes is followed. Below another one a location may lead elsewhere.
    """
    real = os.path.realpath(repodata)
    ours = os.path.join(os.path.realpath(os.path.dirname(repodata)), "generations")
    return real if os.path.dirname(os.path.dirname(real)) == ours else repodata


def repomd_of(repodata: str) -> cr.Repomd:
    """The parsed repomd.xml of a folder. Raises ToolError."""
    path, where = os.path.join(repodata, "repomd.xml"), os.path.dirname(repodata)
    if not os.path.isfile(path):
        raise ToolError("no-repository", where=where, reason="no repodata/repomd.xml")
    try:
        unpack.check(path, MAX_REPOMD)
        with quiet():
            return cr.Repomd(path)
    except _FAULTS as error:
        reason = f"repodata/repomd.xml: {_words(error, where)}"
        raise ToolError("metadata-unreadable", where=where, reason=reason) from None


def _words(error: Exception, folder: str) -> str:
    """The words of ``error`` with paths relative to ``folder``, which may be a temporary one."""
    return str(error).replace(folder + "/", "") or type(error).__name__


def kind_of(record: cr.RepomdRecord) -> str:
    """The type of a record of repomd.xml; "" for a record without one."""
    return record.type or ""


def files_of(repodata: str, repomd: cr.Repomd) -> tuple[MetadataFile, ...]:
    """The records of ``repomd``, each file compared with its digest."""
    found = []
    for record in repomd.records:
        kind = (record.checksum_type or "").lower()
        path = os.path.join(os.path.dirname(repodata), safe(record.location_href or ""))
        state = "missing"
        if os.path.isfile(path):
            state = "ok" if digest(path, kind) == record.checksum else "differs"
        found.append(
            MetadataFile(kind_of(record), record.location_href or "", record.checksum or "", kind, state)
        )
    return tuple(found)


def safe(location: str) -> str:
    """``location`` if it stays below the repository, else a name that cannot exist."""
    inside = location and ".." not in location.split("/") and not location.startswith("/")
    # rpmkeys and packages.list have a path on each line: an unprintable path could bring other lines along.
    return location if inside and location.isprintable() else ".no-such-file"


def load(repodata: str, own: bool = False) -> Loaded:
    """Everything in a repodata folder. Raises ToolError.

    With ``own`` the repository is to be published again. Its advisories then come as ``updates``, kept
    byte for byte, and are parsed only if another tool wrote them.
    """
    repomd = repomd_of(repodata)
    found = {
        kind_of(record): os.path.join(os.path.dirname(repodata), safe(record.location_href or ""))
        for record in repomd.records
    }
    warnings: list[str] = []

    def warn(_kind: int, text: str) -> bool:
        if len(warnings) < 100:
            warnings.append(text.replace(os.path.dirname(repodata) + "/", ""))
        return True

    try:
        for record in repomd.records:
            path = os.path.join(os.path.dirname(repodata), safe(record.location_href or ""))
            if kind_of(record) in _OWN_TYPES and os.path.isfile(path):
                unpack.check(path)
        store = cr.Metadata()
        with quiet():
            store.locate_and_load_xml(os.path.dirname(repodata))
        loaded = {key: store.get(key) for key in store.keys()}
        parsed: list[cr.UpdateRecord] = []
        updates = None
        if own and "updateinfo" in found:
            updates = updates_of(read_text(found["updateinfo"], unpack.LIMIT))
        if updates is None and "updateinfo" in found:
            info = cr.UpdateInfo()
            with quiet():
                cr.xml_parse_updateinfo(found["updateinfo"], info, warn)
            parsed = list(info.updates)
            updates = [update_of(record) for record in parsed] if own else []
        text = read_text(found[LIVEPATCH]) if LIVEPATCH in found else ""
    except _FAULTS as error:
        where = os.path.dirname(repodata)
        raise ToolError("metadata-unreadable", where=where, reason=_words(error, where)) from None
    return Loaded(repomd, loaded, parsed, updates or [], text, tuple(warnings))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the lines that createrepo_c's C library prints out of the tool's output."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 1)
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(saved[0], 1)
        os.dup2(saved[1], 2)
        for descriptor in (null, *saved):
            os.close(descriptor)


def read_text(path: str, limit: int = 64 << 20) -> str:
    """The decompressed text of a metadata file. Raises as ``unpack.blocks`` does."""
    return b"".join(unpack.blocks(path, limit)).decode("utf-8", "replace")


def nevra_of(item: cr.Package | cr.UpdateCollectionPackage) -> Nevra:
    """The NEVRA of a package, or of one that an advisory lists; an epoch left out is 0, as for dnf."""
    return Nevra(item.name or "", item.epoch or "0", item.version or "", item.release or "", item.arch or "")


def package_view(package: cr.Package) -> Package:
    """A package of the metadata as lint and the others see it."""
    nevra = nevra_of(package)
    provides, requires = _capabilities(package.provides), _capabilities(package.requires)
    kind, releases, why = kernels.patched(nevra, provides, requires)
    return Package(
        nevra=nevra,
        location=package.location_href or "",
        base=package.location_base or "",
        checksum=package.pkgId or "",
        checksum_type=package.checksum_type or "",
        size=package.size_package,
        build_time=package.time_build,
        source=package.rpm_sourcerpm or "",
        provides=provides,
        requires=requires,
        conflicts=_capabilities(package.conflicts),
        supplements=_capabilities(package.supplements),
        files=tuple(directory + name for kind, directory, name, *_ in package.files if kind != "dir"),
        kind=kind,
        kernels=releases,
        why=why,
    )


def _capabilities(items: Iterable[tuple[str, ...]]) -> tuple[Capability, ...]:
    return tuple(Capability(*(part or "" for part in item[:5])) for item in items)


def _time(value: object) -> str:
    """A date of createrepo_c, which is a datetime in UTC, a number of seconds or None, as a moment."""
    if isinstance(value, datetime.datetime):
        return value.isoformat(timespec="seconds") + "Z"
    return times.moment(value) if isinstance(value, int) else ""


def value_of(update: cr.UpdateRecord, name: str) -> object:
    """The field ``name`` of an advisory; None where it is absent or cannot be read, as some dates."""
    try:
        value: object = getattr(update, name)
    except _FAULTS:
        return None
    return value


def issued_of(update: cr.UpdateRecord) -> str:
    """The issue date of an advisory, "" where it has none."""
    return _time(value_of(update, "issued_date"))


def advisory_view(update: cr.UpdateRecord) -> Advisory:
    """An advisory of the metadata as lint and the others see it."""
    listed = []
    for collection in update.collections:
        for item in collection.packages:
            reboot = bool(item.reboot_suggested)
            listed.append(ListedPackage(nevra_of(item), item.filename or "", item.sum or "", reboot))
    return Advisory(
        id=update.id or "",
        type=update.type or "",
        severity=update.severity or "",
        status=update.status or "",
        title=update.title or "",
        version=update.version or "",
        issued=issued_of(update),
        updated=_time(value_of(update, "updated_date")),
        summary=update.summary or "",
        description=update.description or "",
        solution=update.solution or "",
        reboot=bool(getattr(update, "reboot_suggested", 0)),
        references=tuple(
            Reference(ref.type or "", ref.id or "", ref.href or "", ref.title or "")
            for ref in update.references
        ),
        packages=tuple(listed),
    )


def compression(name: str) -> int:
    """createrepo_c's number for a compression. Raises ToolError where this createrepo_c lacks it."""
    code = getattr(cr, {"gz": "GZ", "xz": "XZ", "zstd": "ZSTD", "zck": "ZCK"}[name] + "_COMPRESSION", None)
    if code is None or (name == "zck" and not getattr(cr, "HAS_ZCK", 0)):
        raise ToolError(
            "tool-failed", program="createrepo_c", reason=f"version {cr.VERSION} cannot write {name}"
        )
    return int(code)


def write(
    repodata: str,
    packages: Iterable[cr.Package],
    advisories: Iterable[Update],
    record: str,
    carried: Iterable[tuple[str, str]],
    how: str,
    revision: int,
) -> None:
    """Write a whole repodata folder, every file but repomd.xml named by its content.

    ``carried`` are (type, path) of files of other types, taken over as they are. ``how`` is one of
    COMPRESSIONS; zck is written beside gz, as clients without it need. ``revision`` is in seconds.
    """
    found = sorted(packages, key=lambda package: (package.name, package.location_href))
    repomd = cr.Repomd()
    repomd.set_revision(str(revision))
    for method, suffix in (("gz", ""), ("zck", "_zck")) if how == "zck" else ((how, ""),):
        code, ending = compression(method), ENDINGS[method]
        _write_packages(repodata, found, code, ending, suffix, repomd, revision)
        path = os.path.join(repodata, "updateinfo.xml" + ending)
        stat = cr.ContentStat(cr.SHA256)
        file = cr.UpdateInfoXmlFile(path, code, stat)
        for update in advisories:
            file.add_chunk(update.text)
        file.close()
        _add(repomd, "updateinfo" + suffix, path, revision, stat)
    if record:
        path = os.path.join(repodata, "livepatch.json.gz")
        with open(path, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as packed:
            packed.write(record.encode("utf-8"))
        _add(repomd, LIVEPATCH, path, revision)
    for kind, source in carried:
        path = os.path.join(repodata, os.path.basename(source).split("-", 1)[-1])
        shutil.copyfile(source, path)
        _add(repomd, kind, path, revision)
    repomd.sort_records()
    with open(os.path.join(repodata, "repomd.xml"), "w", encoding="utf-8") as out:
        out.write(repomd.xml_dump())


def _write_packages(
    repodata: str,
    packages: list[cr.Package],
    code: int,
    ending: str,
    suffix: str,
    repomd: cr.Repomd,
    revision: int,
) -> None:
    opened = []
    for kind, writer in (
        ("primary", cr.PrimaryXmlFile),
        ("filelists", cr.FilelistsXmlFile),
        ("other", cr.OtherXmlFile),
    ):
        stat = cr.ContentStat(cr.SHA256)
        path = os.path.join(repodata, f"{kind}.xml{ending}")
        file = writer(path, code, stat)
        file.set_num_of_pkgs(len(packages))
        opened.append((kind, path, file, stat))
    for package in packages:
        for _, _, file, _ in opened:
            file.add_pkg(package)
    for kind, path, file, stat in opened:
        file.close()
        _add(repomd, kind + suffix, path, revision, stat)


def _add(repomd: cr.Repomd, kind: str, path: str, revision: int, stat: object = None) -> None:
    record = cr.RepomdRecord(kind, path)
    if stat is not None:
        record.load_contentstat(stat)
    record.fill(cr.SHA256)
    record.rename_file()
    record.set_timestamp(revision)
    repomd.set_record(record)


def carried(repodata: str, repomd: cr.Repomd) -> list[tuple[str, str]]:
    """(type, path) of the files that a new publish takes over unread: groups, modules, ...

    Databases of the packages are left out, since they would no longer agree with them.
    """
    found = []
    for record in repomd.records:
        kind = kind_of(record)
        if kind.split("_")[0] in _OWN_TYPES or kind.endswith(("_db", "_zck", "_ext", "-ext")):
            continue
        path = os.path.join(os.path.dirname(repodata), safe(record.location_href or ""))
        if os.path.isfile(path):
            found.append((kind, path))
    return found
