# SPDX-License-Identifier: GPL-2.0-or-later
"""Any repository, a folder or an address, as a View, and the state of its package files."""

from __future__ import annotations

import concurrent.futures
import http.client
import os
import stat
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Mapping, Sequence

from ...base.names import decimal
from ...formats import repository_record
from ...toolkit import scratch, ticker
from ...toolkit.errors import ToolError
from . import metadata, rpms, signing, unpack
from .kernels import offered
from .view import Kernel, MetadataFile, View, arch_of

TIMEOUT = 60.0
#: Bytes of all the files of one repository together.
MAX_FETCHED = 4 << 30
#: Answers of a server that mean that a file is not there, or for nobody.
_GONE = (403, 404, 410)
_STATES = {"missing": "missing", "differs": "damaged"}


def is_remote(where: str) -> bool:
    """Whether ``where`` is an address."""
    return "://" in where


def read(where: str, keys: Sequence[str], partly: bool = False) -> View:
    """The repository at ``where``. Raises ToolError.

    With ``partly`` a repository of which files are missing or damaged is returned without the content that
    cannot be read.
    """
    if not is_remote(where):
        return _local(where, os.path.abspath(where), keys, partly)
    with scratch.folder("livepatch-repo-") as folder:
        try:
            return _view(where, "", folder, keys, fetch(where, folder), partly)
        except ToolError as error:
            # The folder is gone when a person reads this.
            error.text = error.text.replace(folder, where.rstrip("/"))
            error.remedy = error.remedy.replace(folder, where.rstrip("/"))
            raise


def _local(where: str, root: str, keys: Sequence[str], partly: bool) -> View:
    """The repository in the folder ``root``, in one state even where another is published meanwhile."""
    link = os.path.join(root, "repodata")
    folder = os.path.dirname(metadata.pinned(link))
    try:
        view = _view(where, root, folder, keys, {}, partly)
        gone = bool(view.unread)
    except ToolError as error:
        if folder == os.path.dirname(metadata.pinned(link)):
            error.text = error.text.replace(folder, root)
            raise
        gone = True
    if gone and folder != os.path.dirname(metadata.pinned(link)):
        return _local(where, root, keys, partly)
    return view


def _view(
    where: str, root: str, folder: str, keys: Sequence[str], probed: Mapping[str, str], partly: bool
) -> View:
    """The View of the repository in ``folder``; ``probed`` are states of files that are not there."""
    ticker.begin(f"reading {where}")
    repodata = os.path.join(folder, "repodata")
    signature = signing.check(repodata, keys)
    files: tuple[MetadataFile, ...] = ()
    try:
        files = metadata.files_of(repodata, metadata.repomd_of(repodata))
        files = tuple(file._replace(state=probed.get(file.location, file.state)) for file in files)
        loaded = metadata.load(repodata)
    except ToolError as error:
        if not partly or error.id != "metadata-unreadable":
            raise
        broken = [f"{file.type} is {_STATES[file.state]}" for file in files if file.state in _STATES]
        unread = "; ".join(broken) or error.text.partition(": ")[2]
        return View(where, root, (), (), files, signature=signature, unread=unread)
    record, fault = None, ""
    if any(file.type == metadata.LIVEPATCH for file in files) and not loaded.record:
        fault = "it is empty"
    if loaded.record:
        try:
            record = repository_record.parse(loaded.record)
        except repository_record.RecordError as error:
            fault = str(error)
    return View(
        where=where,
        root=root,
        packages=tuple(metadata.package_view(package) for package in loaded.packages.values()),
        advisories=tuple(metadata.advisory_view(update) for update in loaded.advisories),
        files=files,
        record=record,
        record_fault=fault,
        signature=signature,
        revision=loaded.repomd.revision or "",
        warnings=loaded.warnings,
    )


def fetch(base: str, folder: str) -> dict[str, str]:
    """Download the metadata of the repository at the address ``base`` into ``folder``. Raises ToolError.

    Returns the states of the files that are not downloaded, by location: nothing here reads databases of
    packages and zchunk files.
    """
    ticker.begin(f"fetching {base}")
    probed: dict[str, str] = {}
    repodata = os.path.join(folder, "repodata")
    os.makedirs(repodata, exist_ok=True)
    if not base.startswith(("http://", "https://", "file://")):
        raise ToolError("no-repository", where=base, reason="only http, https and file addresses are read")
    if not _get(base, "repodata/repomd.xml", folder):
        raise ToolError("no-repository", where=base, reason="no repodata/repomd.xml")
    _get(base, "repodata/" + signing.SIGNATURE, folder)
    left = MAX_FETCHED
    try:
        records = metadata.repomd_of(repodata).records
    except ToolError as error:
        if error.id != "metadata-unreadable":
            raise
        return probed  # the caller finds the same fault
    for record in records:
        location = metadata.safe(record.location_href or "")
        if metadata.kind_of(record).endswith(("_db", "_zck")):
            probed[record.location_href or ""] = _probe(base, location, record.size)
        elif _get(base, location, folder):
            left -= os.path.getsize(os.path.join(folder, location))
            if left < 0:
                raise ToolError("metadata-too-large", where=base, limit=MAX_FETCHED >> 20)
    return probed


def _probe(base: str, location: str, size: int) -> str:
    """The state of a file on a server, as far as its headers tell."""
    length = _length(base, location)
    if length is None:
        return "missing"
    return "differs" if length >= 0 and 0 < size != length else "ok"


def _length(base: str, location: str) -> int | None:
    """The length of a file on a server; -1 where the server tells none, None where there is no such file."""
    address = base.rstrip("/") + "/" + urllib.parse.quote(location)
    asked = urllib.request.Request(address, method="HEAD")
    try:
        with urllib.request.urlopen(asked, timeout=TIMEOUT) as answer:
            found = decimal(answer.headers.get("Content-Length") or "", 19)
    except urllib.error.HTTPError as error:
        return None if error.code in _GONE else -1
    except urllib.error.URLError as error:
        return None if isinstance(error.reason, FileNotFoundError) else -1
    except (OSError, ValueError, http.client.HTTPException):
        return -1
    return -1 if found is None else found


def _get(base: str, location: str, folder: str) -> bool:
    """Download one file; False when the server has none. Raises ToolError for anything else."""
    target = os.path.join(folder, location)
    address = base.rstrip("/") + "/" + urllib.parse.quote(location)
    try:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with urllib.request.urlopen(address, timeout=TIMEOUT) as answer, open(target, "wb") as file:
            left = unpack.LIMIT
            for block in iter(lambda: answer.read(1 << 20), b""):
                left -= len(block)
                if left < 0:
                    raise ToolError("metadata-too-large", where=address, limit=unpack.LIMIT >> 20)
                file.write(block)
            return True
    except urllib.error.HTTPError as error:
        if error.code in _GONE:
            return False
        raise ToolError("unreachable", where=address, reason=error) from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, FileNotFoundError):
            return False
        raise ToolError("unreachable", where=address, reason=error.reason) from None
    except http.client.IncompleteRead:
        return True  # cut short, as its digest will tell
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise ToolError("unreachable", where=address, reason=error) from None


def closed(view: View) -> tuple[str, ...]:
    """The files and folders of a local repository that its owner and group alone can read."""
    if not view.root:
        return ()
    paths = ["", "repodata", "repodata/repomd.xml", *(file.location for file in view.files)]
    paths += [package.location for package in view.packages if not package.base]
    folders = {os.path.dirname(path) for path in paths}
    found = []
    for path in sorted({*paths, *folders, *map(os.path.dirname, folders)}):
        try:
            mode = os.stat(os.path.join(view.root, path)).st_mode
        except OSError:
            continue
        wanted = 0o005 if stat.S_ISDIR(mode) else 0o004
        if mode & wanted != wanted:
            found.append(path or ".")
    return tuple(found)


def rpm_states(
    view: View, keys: Sequence[str], only: Iterable[str] | None = None
) -> dict[str, tuple[str, str]]:
    """The state of each package file of a local repository, by location.

    Without ``keys`` signatures are looked for but not judged. ``only`` are the locations to look at, None
    for all.
    """
    if not view.root:
        return {}
    wanted = None if only is None else set(only)
    found: dict[str, tuple[str, str]] = {}
    whole: list[str] = []
    for package in ticker.over(view.packages, "checking package files"):
        path = os.path.join(view.root, metadata.safe(package.location))
        if package.base or (wanted is not None and package.location not in wanted):
            continue
        if not os.path.isfile(path):
            found[package.location] = ("missing", "")
        elif os.path.getsize(path) != package.size:
            found[package.location] = ("size", str(os.path.getsize(path)))
        elif metadata.digest(path, package.checksum_type) != package.checksum:
            found[package.location] = ("digest", "")
        else:
            whole.append(package.location)
    states = rpms.signatures([os.path.join(view.root, location) for location in whole], keys)
    for location in whole:
        state, detail = states[os.path.join(view.root, location)]
        if state == "unknown-key" and not keys:
            state = "good"
        found[location] = (state, detail)
    return found


def served(view: View) -> dict[str, tuple[str, str]]:
    """The missing and cut files of live patches on the server of ``view``, by location."""
    patches = [package for package in view.patches if not package.base]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        lengths = list(pool.map(lambda one: _length(view.where, metadata.safe(one.location)), patches))
    found = {}
    for package, length in zip(patches, lengths):
        if length is None:
            found[package.location] = "missing", ""
        elif length >= 0 and length != package.size:
            found[package.location] = "size", str(length)
    return found


def kernels_offered(views: Iterable[View]) -> frozenset[Kernel]:
    """The kernels that the packages of ``views`` provide."""
    return frozenset(
        (release, arch_of(release) or package.nevra.arch)
        for view in views
        for package in view.packages
        if not package.kind
        for release in offered(package.provides)
    )
