# SPDX-License-Identifier: GPL-2.0-or-later
"""Any repository, a folder or an address, as a View, and the state of its package files."""

from __future__ import annotations

import http.client
import os
import stat
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Sequence

from ...formats import repository_record
from ...toolkit import scratch, ticker
from ...toolkit.errors import ToolError
from . import metadata, rpms, signing, unpack
from .kernels import offered
from .view import Kernel, View, arch_of

TIMEOUT = 60.0
#: Bytes of all the files of one repository together.
MAX_FETCHED = 4 << 30


def is_remote(where: str) -> bool:
    """Whether ``where`` is an address."""
    return "://" in where


def read(where: str, keys: Sequence[str]) -> View:
    """The repository at ``where``. Raises ToolError."""
    if not is_remote(where):
        root = os.path.abspath(where)
        return _view(where, root, root, keys)
    with scratch.folder("livepatch-repo-") as folder:
        fetch(where, folder)
        return _view(where, "", folder, keys)


def _view(where: str, root: str, folder: str, keys: Sequence[str]) -> View:
    ticker.begin(f"reading {where}")
    repodata = os.path.join(folder, "repodata")
    files = metadata.files_of(repodata, metadata.repomd_of(repodata))
    loaded = metadata.load(repodata)
    record, fault = None, ""
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
        signature=signing.check(repodata, keys),
        revision=loaded.repomd.revision or "",
        warnings=loaded.warnings,
    )


def fetch(base: str, folder: str) -> None:
    """The metadata of the repository at the address ``base``, into ``folder``. Raises ToolError."""
    ticker.begin(f"fetching {base}")
    repodata = os.path.join(folder, "repodata")
    os.makedirs(repodata, exist_ok=True)
    if not base.startswith(("http://", "https://", "file://")):
        raise ToolError("no-repository", where=base, reason="only http, https and file addresses are read")
    if not _get(base, "repodata/repomd.xml", folder):
        raise ToolError("no-repository", where=base, reason="no repodata/repomd.xml")
    _get(base, "repodata/" + signing.SIGNATURE, folder)
    left = MAX_FETCHED
    for record in metadata.repomd_of(repodata).records:
        location = metadata.safe(record.location_href or "")
        if not metadata.kind_of(record).endswith(("_db", "_zck")) and _get(base, location, folder):
            left -= os.path.getsize(os.path.join(folder, location))
            if left < 0:
                raise ToolError("metadata-too-large", where=base, limit=MAX_FETCHED >> 20)


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
        if error.code in (403, 404, 410):
            return False
        raise ToolError("unreachable", where=address, reason=error) from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, FileNotFoundError):
            return False
        raise ToolError("unreachable", where=address, reason=error.reason) from None
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


def kernels_offered(views: Iterable[View]) -> frozenset[Kernel]:
    """The kernels that the packages of ``views`` provide."""
    return frozenset(
        (release, arch_of(release) or package.nevra.arch)
        for view in views
        for package in view.packages
        if not package.kind
        for release in offered(package.provides)
    )
