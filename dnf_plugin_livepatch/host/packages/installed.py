# SPDX-License-Identifier: GPL-2.0-or-later
"""The live-patch packages in the rpm database, for one kernel.

The database is only read, never locked. A database that cannot be read or is damaged makes ``healthy``
False: a package that it does not list may still be installed, so no caller may conclude that a patch is
gone.
"""

from __future__ import annotations

import fnmatch
import functools
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence

from ...base import fields, names
from ...base.model import InstalledModule, InstalledPatch, Manifest, Nevra, Unfixable
from ...base.paths import Paths
from ...base.typed import TYPE_CHECKING, NamedTuple
from ...formats import manifest
from ...vendors.profiles import Profile, directories, fits, lookup, match_all
from ..read import read_bytes

if TYPE_CHECKING:
    from typing import Any


MAX_PATCHES = 256
MAX_MODULES = 256
#: CVEs of one package; also what each file of the runtime that names them takes.
MAX_CVES = fields.MAX_ITEMS
MAX_FAULTS = 64
#: rpm's PGPHASHALGO numbers by the names of hashlib, "" being its default before an algorithm is named.
_ALGORITHMS = {1: "md5", 2: "sha1", 8: "", 9: "sha384", 10: "sha512", 11: "sha224"}
_FILES = ("rpmdb.sqlite", "Packages.db", "Packages")
_SIGNER = "unsigned"
for _tag in ("SIGPGP", "SIGGPG", "DSAHEADER", "RSAHEADER"):
    _SIGNER = f"%|{_tag}?{{%{{{_tag}:pgpsig}}}}:{{{_SIGNER}}}|"


class Installed(NamedTuple):
    """The live-patch packages, ``patches``, newest first.

    ``healthy`` is False, with the reason ``why``, when the absence of a package proves nothing. ``faults``
    names manifests that cannot be used. ``database`` is the folder of the rpm database.
    """

    patches: tuple[InstalledPatch, ...]
    healthy: bool
    why: str
    faults: tuple[str, ...] = ()
    database: str = ""


def database_file(folder: str) -> str:
    """Return the file in ``folder`` that holds the packages, of any of RPM's backends; "" for none."""
    return next((path for path in (f"{folder}/{name}" for name in _FILES) if os.path.exists(path)), "")


def damage(folder: str) -> str:
    """Return the damage that a thorough check of the rpm database finds; "" when the database is sound.

    The check walks through the whole database, so callers make it before they unload, not in every run.
    """
    path = database_file(folder)
    if not path:
        return f"there is no rpm database in {folder}"
    if not path.endswith(".sqlite"):
        return ""
    import sqlite3

    try:
        base = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5.0)
        try:
            rows = base.execute("PRAGMA quick_check(1)").fetchone()
            count = base.execute("SELECT count(*) FROM Packages").fetchone()
        finally:
            base.close()
    except sqlite3.Error as error:
        return str(error)
    if not rows or rows[0] != "ok":
        return str(rows[0] if rows else "no answer")[:200]
    return "" if count and count[0] else "it holds no package at all"


def _nevra(header: Any) -> Nevra:
    return Nevra(
        header["name"],
        str(header["epoch"] or 0),
        header["version"],
        header["release"],
        header["arch"] or "noarch",
    )


def _capabilities(header: Any, kind: str) -> list[str]:
    called, flags, versions = (header[kind + suffix] for suffix in ("name", "flags", "version"))
    signs = {8: "=", 2: "<", 4: ">", 10: "<=", 12: ">="}
    found = []
    for name, flag, version in zip(called, flags, versions):
        found.append(f"{name} {signs.get(flag & 14, '=')} {version}" if version else name)
    return found


def _headers(ts: Any, profiles: Sequence[Profile], release: str, build_id: str) -> Iterator[Any]:
    """Yield every package that may be a live patch for ``release``, found through the database's indexes."""
    wanted = lookup(release, profiles, build_id)
    keys: list[tuple[str, str]] = [("providename", text.partition(" ")[0]) for text in wanted.provides]
    keys += [("name", name) for name in wanted.names]
    for index, globs in (("name", wanted.name_globs), ("providename", wanted.provides_globs)):
        if globs:
            bare = [glob.partition(" ")[0] for glob in globs]
            for key in ts.dbIndex(index):
                name = key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)
                if any(fnmatch.fnmatchcase(name, glob) for glob in bare):
                    keys.append((index, name))
    seen: set[int] = set()
    for index, key in dict.fromkeys(keys):
        found = ts.dbMatch(index, key)
        for header in found:
            if found.instance() not in seen:
                seen.add(found.instance())
                yield header


def _below(path: str) -> str:
    """Return ``path`` in the spelling that merged-/usr hosts share."""
    return "/usr" + path if path.startswith("/lib/") else path


def _manifests(paths: Paths, release: str, owned: Iterable[str], faults: list[str]) -> dict[str, Manifest]:
    found: dict[str, Manifest] = {}
    folder = f"/usr/share/livepatch/{release}"
    tried = 0
    for path in owned:
        if os.path.dirname(path) != folder or not path.endswith(".json") or tried >= MAX_MODULES:
            continue
        tried += 1
        data = read_bytes(paths.at(path), manifest.MAX_BYTES + 1)
        try:
            declared = manifest.parse(data.decode("utf-8", "replace"))
            if declared.kernel_release != release or declared.module != os.path.basename(path)[:-5]:
                raise manifest.ManifestError("its folder or its name is not that of the module in its text")
            found[declared.module] = declared
        except manifest.ManifestError as error:
            faults.append(f"{path}: {error}")
    return found


def _modules(
    paths: Paths, header: Any, folders: Sequence[str], release: str, faults: list[str]
) -> tuple[InstalledModule, ...]:
    listed = list(header["filenames"])
    # Headers without the tag are older than it: MD5.
    algorithm = _ALGORITHMS.get(header["filedigestalgo"] or 1)
    digests = list(header["filedigests"]) if algorithm is not None else [""] * len(listed)
    digests = [f"{algorithm}:{digest}" if algorithm and digest else digest for digest in digests]
    manifests = _manifests(paths, release, listed, faults)
    places = {_below(folder) for folder in folders}
    modules: dict[str, InstalledModule] = {}
    # A plain module comes before files that go with it, such as its signature.
    for path, digest in sorted(zip(listed, digests), key=lambda row: (not row[0].endswith(".ko"), row[0])):
        if not names.MODULE_FILE.search(path) or _below(os.path.dirname(path)) not in places:
            continue
        name = names.module_of(path)
        if not names.MODULE.match(name):
            faults.append(f"{path}: no name of a module")
        elif len(modules) < MAX_MODULES:
            modules.setdefault(name, InstalledModule(name, paths.at(path), digest, manifests.get(name)))
    order = sorted(modules.values(), key=lambda one: (one.manifest.order if one.manifest else 0, one.name))
    return tuple(order)


def _hollow(header: Any, folders: Sequence[str]) -> bool:
    """Return whether a package has neither a module nor any file where its vendor's modules lie.

    A file of an unknown kind there is no proof that the package patches nothing.
    """
    places = {_below(folder) for folder in folders}
    return not any(
        names.MODULE_FILE.search(path)
        or (_below(os.path.dirname(path)) in places and not stat.S_ISDIR(mode))
        for path, mode in zip(map(str, header["filenames"]), header["filemodes"])
    )


def _patch(
    paths: Paths, header: Any, profiles: Sequence[Profile], release: str, build_id: str, faults: list[str]
) -> InstalledPatch | None:
    nevra = _nevra(header)
    if not names.NEVRA.match(str(nevra)):
        faults.append(f"{ascii(str(nevra))[:200]}: no name that RPM's own tools can write")
        return None
    provides = _capabilities(header, "provide")
    matches = match_all(nevra, provides, _capabilities(header, "require"), profiles)
    found = next((item for item in matches if fits(item, release, build_id)), None)
    if found is None:
        return None
    profile = next(item for item in profiles if item.name == found.profile)
    folders = (Paths().module_dir(release), *directories(profile, release, build_id))
    modules = _modules(paths, header, folders, release, faults)
    cves = [cve for module in modules if module.manifest for cve in module.manifest.cves]
    cves += filter(None, map(names.declared_cve, provides))
    unfixable: list[Unfixable] = [
        u for module in modules if module.manifest for u in module.manifest.unfixable
    ]
    if not any(module.manifest for module in modules):
        from . import vendor_cves

        fixed, cannot = vendor_cves.read(paths, profile, header, (module.name for module in modules))
        cves, unfixable = cves + list(fixed), unfixable + list(cannot)
    # Azure Linux subscribes a kernel with a package that differs from a patch only by its lack of modules.
    hollow = profile.loader == "kernel" and _hollow(header, folders)
    return InstalledPatch(
        nevra=nevra,
        profile=profile.name,
        kernel_release=release,
        kind="empty" if hollow else found.kind,
        loader=profile.loader,
        modules=modules,
        cves=tuple(dict.fromkeys(cve for cve in cves if names.CVE.match(cve)))[:MAX_CVES],
        unfixable=tuple(unfixable[:MAX_CVES]),
        build_time=int(header["buildtime"] or 0),
        scriptlet=profile.scriptlet,
    )


def _find(paths: Paths, nevra: str) -> Any:
    """Return the header of the installed package ``nevra``; None where it is not installed.

    Raises LookupError when the database cannot be read.
    """
    try:
        import rpm
    except ImportError:
        raise LookupError("the package python3-rpm is missing") from None
    try:
        ts = rpm.TransactionSet(paths.root)
        ts.setVSFlags(-1)
        headers = ts.dbMatch("name", names.name_of(nevra))
        found = next((header for header in headers if str(_nevra(header)) == nevra), None)
        ts.closeDB()
        return found
    except (rpm.error, OSError, ValueError, KeyError, TypeError, SystemError) as error:
        raise LookupError(str(error)) from None


def holds(paths: Paths, nevra: str) -> bool:
    """Return whether the package ``nevra`` is installed; True when the database cannot be read."""
    try:
        return _find(paths, nevra) is not None
    except LookupError:
        return True


def signer(paths: Paths, nevra: str) -> str:
    """Return the signature of the package ``nevra`` in RPM's words: algorithm, date, key id.

    The result is "unsigned" for a package without signature, "" where the package is not installed or the
    database cannot be read.
    """
    try:
        header = _find(paths, nevra)
    except LookupError:
        return ""
    return "" if header is None else str(header.sprintf(_SIGNER))


def kernel_signer(paths: Paths, release: str) -> str:
    """Return the signature of the package of the kernel ``release``, in the form of ``signer``."""
    try:
        import rpm
    except ImportError:
        return ""
    try:
        ts = rpm.TransactionSet(paths.root)
        ts.setVSFlags(-1)
        for name in names.kernel_packages(release):
            for header in ts.dbMatch("name", name):
                if names.kernel_release(_nevra(header)) == release:
                    return str(header.sprintf(_SIGNER))
    except (rpm.error, OSError, ValueError, KeyError, TypeError, SystemError):
        return ""
    return ""


def key_of(signature: str) -> str:
    """Return the key id in a signature in the form of ``signer``, "" where it has none."""
    found = re.search(r"Key ID ([0-9a-f]{8,40})\Z", signature.strip())
    return found.group(1) if found else ""


def newest_first(patches: Iterable[InstalledPatch]) -> tuple[InstalledPatch, ...]:
    """Sort packages newest first: those of one name by version, those of different names by build time."""
    import rpm

    def compare(one: InstalledPatch, other: InstalledPatch) -> int:
        if one.nevra.name == other.nevra.name:
            return int(rpm.labelCompare(one.nevra[1:4], other.nevra[1:4]))
        return (one.build_time > other.build_time) - (one.build_time < other.build_time)

    return tuple(sorted(patches, key=functools.cmp_to_key(compare), reverse=True))


def folder(paths: Paths) -> str:
    """Return the folder of the rpm database; "" without RPM's own library."""
    try:
        import rpm
    except ImportError:
        return ""
    # A distribution that moved the database left a link in the old place; below a root only that link
    # counts.
    path = str(rpm.expandMacro("%_dbpath"))
    return path if paths.root == "/" else paths.at(path)


def read(paths: Paths, profiles: Sequence[Profile], release: str, build_id: str = "") -> Installed:
    """Read the live-patch packages for the kernel ``release``. Never raises."""
    if not release:
        return Installed((), False, "the release of the running kernel is unknown")
    try:
        import rpm
    except ImportError:
        return Installed((), False, "the package python3-rpm is missing")
    base = folder(paths)
    if not database_file(base):
        return Installed((), False, f"there is no rpm database in {base}", (), base)
    faults: list[str] = []
    patches: list[InstalledPatch] = []
    try:
        ts = rpm.TransactionSet(paths.root)
        # The packages were checked when they were installed; here their headers are only read.
        ts.setVSFlags(-1)
        for header in _headers(ts, profiles, release, build_id):
            patch = _patch(paths, header, profiles, release, build_id, faults)
            if patch is not None and len(patches) < MAX_PATCHES:
                patches.append(patch)
        ts.closeDB()
        return Installed(newest_first(patches), True, "", tuple(faults[:MAX_FAULTS]), base)
    except (rpm.error, OSError, ValueError, KeyError, TypeError, StopIteration, SystemError) as error:
        why = f"the rpm database in {base} cannot be read ({str(error)[:200]})"
        return Installed((), False, why, tuple(faults[:MAX_FAULTS]), base)
