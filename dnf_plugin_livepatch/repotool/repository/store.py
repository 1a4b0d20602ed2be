# SPDX-License-Identifier: GPL-2.0-or-later
"""The folder of a repository: one lock, immutable files, one atomic switch.

    REPO/repodata                    link to the current generation's repodata; swapped by one rename
    REPO/generations/TIME-DIGEST/    one publish: repodata/, packages.list, and a link to Packages, so
                                     that each generation is a whole repository of its own
    REPO/Packages/DIGEST/NAME.rpm    never changed once there; removed when no generation lists it

repomd.xml and its signature are two files and cannot be renamed together, hence the link to the
folder around both. A client that read the old repomd.xml still finds the old metadata for the
``grace`` time: the names hold the content's digest, and a new generation links the old files too.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator

from ...base import times
from ...base.names import ARCHES
from ...toolkit.errors import ToolError
from .metadata import digest, repomd_of, safe

GENERATIONS = "generations"
PACKAGES = "Packages"
LIST = "packages.list"
LOCK = ".livepatch-repo.lock"
MIRRORS = "mirrorlist"
# Folders of a repository that are repositories of their own, for source packages and debugging data.
SOURCE, DEBUG = "source", "debug"
_NEW = ".repodata.new"
_UNFINISHED = ".unfinished"
_STAMP = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})T([0-9]{2})([0-9]{2})([0-9]{2})\.")
_OURS = re.compile(PACKAGES + r"/[0-9a-f]{16}/[^/]+\.rpm\Z")
_AT_FDCWD, _EXCHANGE = -100, 2


def sync(path: str) -> None:
    """fsync a file or a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: str) -> None:
    """fsync every file below ``folder``, then the folders."""
    for base, _, names in os.walk(folder, topdown=False):
        for name in names:
            if not os.path.islink(os.path.join(base, name)):
                sync(os.path.join(base, name))
        sync(base)


def location_of(path: str, checksum: str) -> str:
    """The path of an RPM below the repository; it contains the digest and never means another file."""
    return f"{PACKAGES}/{checksum[:16]}/{os.path.basename(path)}"


def places_of(root: str, *others: str) -> list[tuple[str, ...]]:
    """``root`` and ``others``, with ``{arch}`` in them once for each architecture of which ``root`` has one.

    Raises ToolError where nothing is published yet.
    """
    if "{arch}" not in root:
        Store(root).required()
        return [(root, *others)]
    texts = [[text.replace("{arch}", arch) for text in (root, *others)] for arch in (*ARCHES, "noarch")]
    found = [tuple(text) for text in texts if Store(text[0]).exists()]
    if not found:
        raise ToolError("no-repository", where=root, reason="none of any architecture")
    return found


class Store:
    """One repository folder. Everything that changes it needs the lock."""

    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(root)
        self.repodata = os.path.join(self.root, "repodata")
        self._generations = os.path.join(self.root, GENERATIONS)

    def at(self, location: str) -> str:
        """The path of a location in the repository."""
        return os.path.join(self.root, location)

    @contextlib.contextmanager
    def lock(self, wait: float) -> Iterator[None]:
        """Hold the repository against other publishers; wait at most ``wait`` seconds for them."""
        os.makedirs(self.root, exist_ok=True)
        with open(self.at(LOCK), "a", encoding="ascii") as file:
            deadline = time.monotonic() + wait
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError as error:
                    if error.errno not in (errno.EAGAIN, errno.EACCES):
                        raise
                    if time.monotonic() >= deadline:
                        raise ToolError("locked", repo=self.root, seconds=f"{wait:.0f}") from None
                    time.sleep(0.1)
            yield

    def exists(self) -> bool:
        """Whether something is published here already."""
        return os.path.isfile(os.path.join(self.repodata, "repomd.xml"))

    def required(self) -> Store:
        """The store itself. Raises ToolError if nothing is published yet."""
        if not self.exists():
            raise ToolError("no-repository", where=self.root, reason="no repodata/repomd.xml")
        return self

    def begin(self) -> str:
        """The path of a new, empty generation that no client sees yet."""
        path = os.path.join(self._generations, f"{_stamp(time.time())}-{os.getpid()}{_UNFINISHED}")
        os.makedirs(os.path.join(path, "repodata"))
        return path

    def list_packages(self, generation: str, locations: Iterable[str]) -> None:
        """Note durably which files the generation needs, before any of them is there."""
        found = sorted(set(locations))
        path = os.path.join(generation, LIST)
        with open(path, "w", encoding="utf-8") as file:
            file.write("".join(location + "\n" for location in found))
            file.flush()
            os.fsync(file.fileno())
        for top in sorted({location.split("/", 1)[0] for location in found})[:64]:
            os.symlink(os.path.join("..", "..", top), os.path.join(generation, top))
        sync(generation)

    def place(self, source: str, location: str, checksum: str) -> None:
        """Put an RPM where it is published, verified.

        A file of another repository is linked where possible, because no published file changes. Any other
        file is copied, because its builder may write into it again.
        """
        target = self.at(location)
        if os.path.exists(target):
            if digest(target) == checksum:
                return
            os.unlink(target)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        partial = target + ".partial"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial)
        before, _, rest = source.rpartition("/" + location)
        if not (before and not rest and Store(before).exists() and _linked(source, partial)):
            _copy(source, partial)
        if digest(partial) != checksum:
            os.unlink(partial)
            raise ToolError("disk", reason=f"{source} changed while it was read")
        if os.stat(partial).st_mode & 0o444 != 0o444:
            os.chmod(partial, 0o644)
        sync(partial)
        os.rename(partial, target)
        sync(os.path.dirname(target))
        sync(os.path.dirname(os.path.dirname(target)))

    def link_old(self, generation: str, grace: int) -> None:
        """Keep the metadata that clients in the middle of a read may still ask for."""
        repodata = os.path.join(generation, "repodata")
        for old in [os.path.join(path, "repodata") for path in self._kept(grace)] or [self.repodata]:
            if not os.path.isfile(os.path.join(old, "repomd.xml")):
                continue
            # Only the files of the generation itself: those of its predecessor have served their time.
            for location in (safe(record.location_href or "") for record in repomd_of(old).records):
                name = os.path.basename(location)
                source, target = os.path.join(old, name), os.path.join(repodata, name)
                if os.path.isfile(source) and not os.path.exists(target):
                    os.link(source, target)
        sync_tree(generation)

    def seal(self, generation: str) -> str:
        """Give the finished and verified generation its final name."""
        repomd = os.path.join(generation, "repodata", "repomd.xml")
        final = os.path.join(self._generations, f"{_stamp(time.time())}-{digest(repomd)[:8]}")
        os.rename(generation, final)
        sync(self._generations)
        return final

    def switch(self, generation: str, base_url: str) -> None:
        """Make ``generation`` the one that clients read, by one rename."""
        link = self.at(_NEW)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(link)
        os.symlink(os.path.join(GENERATIONS, os.path.basename(generation), "repodata"), link)
        if os.path.isdir(self.repodata) and not os.path.islink(self.repodata):
            self._exchange(link, self.repodata)
        else:
            os.rename(link, self.repodata)
        sync(self.root)
        if base_url:
            self._mirrors(generation, base_url)

    def _mirrors(self, generation: str, base_url: str) -> None:
        """Write the file that names the generation: clients that start there read one generation only."""
        new = self.at(MIRRORS + ".new")
        with open(new, "w", encoding="utf-8") as file:
            file.write(f"{base_url.rstrip('/')}/{GENERATIONS}/{os.path.basename(generation)}/\n")
            file.flush()
            os.fsync(file.fileno())
        os.rename(new, self.at(MIRRORS))
        sync(self.root)

    def _exchange(self, link: str, folder: str) -> None:
        """Swap a link and a folder that another tool made, at once; the folder becomes a generation."""
        libc = ctypes.CDLL(None, use_errno=True)
        paths = os.fsencode(link), os.fsencode(folder)
        if libc.renameat2(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _EXCHANGE) != 0:
            raise ToolError("no-exchange", repo=self.root)
        self._adopt()

    def _adopt(self) -> None:
        """Keep a folder that was exchanged for the link as the generation before ours."""
        old = self.at(_NEW)
        if os.path.isdir(old) and not os.path.islink(old):
            stamp = _stamp(os.path.getmtime(os.path.join(old, "repomd.xml")))
            home = os.path.join(self._generations, stamp + "-before")
            os.makedirs(home, exist_ok=True)
            os.rename(old, os.path.join(home, "repodata"))

    def _current(self) -> str:
        return os.path.basename(os.path.dirname(os.path.realpath(self.repodata)))

    def _kept(self, grace: int) -> list[str]:
        """Generations that some client may still be reading, newest last."""
        if not os.path.isdir(self._generations):
            return []
        names = sorted(name for name in os.listdir(self._generations) if not name.endswith(_UNFINISHED))
        current = self._current()
        if current not in names:
            return []
        names = names[: names.index(current) + 1]  # later ones were never published
        return [
            os.path.join(self._generations, name)
            for name, successor in zip(names, [*names[1:], ""])
            if not successor or _age(successor) < grace
        ]

    def sweep(self, grace: int) -> list[str]:
        """Remove dead runs, old generations and their RPMs, which no client can need any more."""
        if not os.path.isdir(self._generations):
            return []
        self._adopt()
        kept = set(self._kept(grace))
        found = sorted(os.path.join(self._generations, name) for name in os.listdir(self._generations))
        drop = [path for path in found if path not in kept and os.path.isdir(path)]
        needed: set[str] = set()
        for path in kept if drop else ():
            needed.update(_listed(path))
        removed = []
        for path in drop:
            for location in sorted(_listed(path) - needed):
                file = self.at(location)
                for name in (file, file + ".partial"):
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(name)
                        removed.append(location)
                with contextlib.suppress(OSError):
                    os.rmdir(os.path.dirname(file))
            shutil.rmtree(path)
        return removed


def _linked(source: str, target: str) -> bool:
    """Whether ``target`` could be made a hard link to ``source``."""
    try:
        os.link(source, target)
    except OSError:
        return False
    return True


def _copy(source: str, target: str) -> None:
    """Copy a file; where the file system can, both share their blocks until one is written."""
    try:
        with open(source, "rb") as old, open(target, "wb") as new:
            while os.copy_file_range(old.fileno(), new.fileno(), 1 << 30):
                pass
    except OSError:
        shutil.copyfile(source, target)


def _listed(generation: str) -> set[str]:
    """The RPMs of a generation that this tool placed and may therefore remove."""
    try:
        with open(os.path.join(generation, LIST), encoding="utf-8", errors="replace") as file:
            found = {line.rstrip("\n") for line in file}
    except FileNotFoundError:
        return set()
    return {item for item in found if _OURS.match(item)}


def _stamp(seconds: float) -> str:
    """A moment as the first part of a generation's name; the names sort by time."""
    moment = times.later(times.EPOCH, int(seconds))
    return moment.rstrip("Z").replace("-", "").replace(":", "") + f".{int(seconds % 1 * 1e6):06d}Z"


def _age(name: str) -> float:
    """Seconds since the generation ``name`` began; 0 for a name without a time."""
    found = _STAMP.match(name)
    began = times.parse("{}-{}-{}T{}:{}:{}Z".format(*found.groups())) if found else None
    return 0.0 if began is None else time.time() - began
