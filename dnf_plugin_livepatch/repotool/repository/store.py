# SPDX-License-Identifier: GPL-2.0-or-later
"""The folder of a repository: one lock, immutable files, one atomic switch.

    REPO/repodata                    link to the current generation's repodata; swapped by one rename
    REPO/generations/TIME-DIGEST/    one publish: repodata/, packages.list, and a link to Packages, so
                                     that each generation is a whole repository of its own; the names are
                                     in the order of publishing, even where the clock went back
    REPO/Packages/DIGEST/NAME.rpm    never changed once there; removed when no generation lists it

repomd.xml and its signature are two files and cannot be renamed together, hence the link to the
folder around both. A client that read the old repomd.xml still finds the old metadata for the
``grace`` time: the names hold the content's digest, and a new generation links the old files too.

Only what is known to be dead is removed. A repository that was copied with its links followed has a plain
folder ``repodata``; nothing is removed from it until a publish has made the link again.
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

from ...base.names import ARCHES
from ...toolkit import ticker
from ...toolkit.errors import ToolError
from . import generations, modes
from .metadata import digest, repomd_of, safe

GENERATIONS = "generations"
PACKAGES = "Packages"
LOCK = ".livepatch-repo.lock"
MIRRORS = "mirrorlist"
# Folders of a repository that are repositories of their own, for source packages and debugging data.
SOURCE, DEBUG = "source", "debug"
#: Files and folders directly in a repository that its metadata may name: each generation links all of them.
MAX_TOPS = 50_000
_NEW = ".repodata.new"
_UNFINISHED = ".unfinished"
_MIRROR = re.compile(r"\A\s*([^\s#]\S{0,1999}/)generations/([^/\s]{1,200})/\s*\Z")
#: The most characters of a mirrorlist.
_LONGEST = 1 << 20
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

    A repository that lost its link counts too, so that no change passes over it in silence. Raises
    ToolError where nothing is published yet.
    """
    if "{arch}" not in root:
        Store(root).required()
        return [(root, *others)]
    texts = [[text.replace("{arch}", arch) for text in (root, *others)] for arch in (*ARCHES, "noarch")]
    found = [tuple(text) for text in texts if Store(text[0]).begun()]
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
        modes.make(self.root)
        with open(self.at(LOCK), "a", encoding="ascii") as file:
            ticker.begin(f"waiting for another publisher of {self.root}, {wait:.0f} s at most")
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

    def begun(self) -> bool:
        """Whether something is published here, or was before the link was lost."""
        return self.exists() or bool(self._finished())

    def _finished(self) -> list[str]:
        """The names of the generations whose runs came to their end, oldest first."""
        return [name for name in generations.names(self._generations) if not name.endswith(_UNFINISHED)]

    def unbroken(self) -> Store:
        """The store itself. Raises ToolError if its link is gone: it would be taken for a new repository.

        The next publish would then forget every package, advisory and withdrawal.
        """
        left = self._finished()
        if left and not self.exists():
            named = (name for _, name in self.mirrored() if name in left)
            raise ToolError("link-lost", repo=self.root, name=next(named, left[-1]))
        return self

    def required(self) -> Store:
        """The store itself. Raises ToolError if nothing is published yet."""
        if not self.exists():
            raise ToolError("no-repository", where=self.root, reason="no repodata/repomd.xml")
        return self

    def begin(self) -> str:
        """The path of a new, empty generation that no client sees yet."""
        path = os.path.join(self._generations, f"{self._next()}-{os.getpid()}{_UNFINISHED}")
        os.makedirs(os.path.join(path, "repodata"))
        try:
            os.symlink("repodata", os.path.join(path, _NEW))
        except OSError as error:
            raise ToolError("no-links", repo=self.root, reason=error.strerror) from None
        os.unlink(os.path.join(path, _NEW))
        return path

    def _next(self) -> str:
        """The first part of a new generation's name, which sorts after those that are there."""
        last = max(map(generations.moment, generations.names(self._generations)), default=0)
        return generations.stamp(max(int(time.time() * 1e6), last + 1))

    def list_packages(self, generation: str, locations: Iterable[str]) -> None:
        """Note durably which files the generation needs, before any of them is there."""
        found = sorted(set(locations))
        path = os.path.join(generation, generations.LIST)
        with open(path, "w", encoding="utf-8") as file:
            file.write("".join(location + "\n" for location in found))
            file.flush()
            os.fsync(file.fileno())
        tops = sorted({location.split("/", 1)[0] for location in found})
        if len(tops) > MAX_TOPS:
            raise ToolError("too-flat", repo=self.root, count=len(tops), limit=MAX_TOPS)
        for top in tops:
            os.symlink(os.path.join("..", "..", top), os.path.join(generation, top))
        sync(generation)

    def holds(self, location: str, checksum: str) -> bool:
        """Whether the file at ``location`` is there, whole."""
        path = self.at(safe(location))
        return os.path.isfile(path) and digest(path) == checksum

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
        for folder in (os.path.dirname(os.path.dirname(target)), os.path.dirname(target)):
            if folder.startswith(self.root + os.sep):
                modes.share(folder, self.root)
        partial = target + ".partial"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial)
        before, _, rest = source.rpartition("/" + location)
        if not (before and not rest and Store(before).exists() and _linked(source, partial)):
            _copy(source, partial)
        if digest(partial) != checksum:
            os.unlink(partial)
            raise ToolError("disk", reason=f"{source} changed while it was read")
        modes.share(partial, self.root)
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
                if os.path.isfile(source) and not os.path.exists(target) and not _linked(source, target):
                    _copy(source, target)
        for base, _, names in os.walk(generation):
            for path in (base, *(os.path.join(base, name) for name in names)):
                modes.share(path, self.root)
        modes.share(self._generations, self.root)
        sync_tree(generation)

    def seal(self, generation: str) -> str:
        """Give the finished and verified generation its final name."""
        repomd = os.path.join(generation, "repodata", "repomd.xml")
        final = os.path.join(self._generations, f"{self._next()}-{digest(repomd)[:8]}")
        os.rename(generation, final)
        sync(self._generations)
        return final

    def switch(self, generation: str, base_url: str) -> None:
        """Make ``generation`` the one that clients read, by one rename; then write the mirrorlist."""
        link = self.at(_NEW)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(link)
        os.symlink(os.path.join(GENERATIONS, os.path.basename(generation), "repodata"), link)
        if os.path.isdir(self.repodata) and not os.path.islink(self.repodata):
            self._exchange(link, self.repodata)
        else:
            os.rename(link, self.repodata)
        sync(self.root)
        self.mirror(base_url)

    def _mirrors(self) -> list[str]:
        """The lines of the file that mirrorlist= clients start from; none where it is missing or no text."""
        try:
            with open(self.at(MIRRORS), encoding="utf-8") as file:
                text = file.read(_LONGEST + 1)
        except (OSError, UnicodeError):
            return []
        return text.splitlines() if len(text) <= _LONGEST else []

    def mirrored(self) -> list[tuple[str, str]]:
        """The address and the generation in each line of the mirrorlist that names a generation."""
        return [(found[1], found[2]) for found in map(_MIRROR.match, self._mirrors()) if found]

    def foreign(self) -> bool:
        """Whether there is a mirrorlist without any generation, so that no change of it is possible."""
        return os.path.exists(self.at(MIRRORS)) and not self.mirrored()

    def stale(self) -> str:
        """A generation in the mirrorlist that is not the present one; "" without a mirrorlist."""
        if self.foreign():
            return "(none)"
        return next((named for _, named in self.mirrored() if named != self.current()), "")

    def mirror(self, base_url: str) -> bool:
        """Have the mirrorlist name the present generation; returns whether that changed it.

        Clients that start there read one generation only. Each line that names a generation keeps its
        address: whoever wrote it has told clients of it. The address ``base_url`` takes their place unless
        one of them has it.
        """
        lines, bases = self._mirrors(), [base for base, _ in self.mirrored()]
        wanted = f"{base_url.rstrip('/')}/" if base_url else ""
        end = f"{GENERATIONS}/{self.current()}/"
        new = [_MIRROR.sub(lambda found: found[1] + end, line) for line in lines]
        if wanted and wanted not in bases:
            new = [wanted + end]
        elif not bases:
            return False
        if new == lines or not os.path.islink(self.repodata):
            return False
        path = self.at(MIRRORS + ".new")
        with open(path, "w", encoding="utf-8") as file:
            file.write("".join(line + "\n" for line in new))
            file.flush()
            os.fsync(file.fileno())
        modes.share(path, self.root)
        os.rename(path, self.at(MIRRORS))
        sync(self.root)
        return True

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
            stamp = generations.stamp(max(generations.moment(self.current()) - 1, 0))
            home = os.path.join(self._generations, stamp + "-before")
            os.makedirs(home, exist_ok=True)
            os.rename(old, os.path.join(home, "repodata"))

    def current(self) -> str:
        """The name of the generation that clients read; in a copy that followed links, no generation's."""
        return os.path.basename(os.path.dirname(os.path.realpath(self.repodata)))

    def _kept(self, grace: int) -> list[str]:
        """Generations that some client may still be reading, newest last."""
        names = self._finished()
        current = self.current()
        if current not in names:
            return []
        named = {name for _, name in self.mirrored()}
        # Those after the current one: of a run that died before its switch, or the link was set back.
        place = names.index(current)
        return [
            os.path.join(self._generations, name)
            for at, (name, successor) in enumerate(zip(names, [*names[1:], ""]))
            if at == place or name in named or generations.age(name if at > place else successor) < grace
        ]

    def _dead(self, grace: int) -> list[str]:
        """Generations that no client can need: runs that did not end, and those that ``grace`` is over for.

        Where the present metadata is no generation of ours, nobody knows which of them it came from.
        """
        found = generations.names(self._generations)
        ours = os.path.islink(self.repodata) and self.current() in found
        kept = set(self._kept(grace)) if ours else set()
        paths = [
            os.path.join(self._generations, name) for name in found if ours or name.endswith(_UNFINISHED)
        ]
        return [path for path in paths if path not in kept and os.path.isdir(path)]

    def sweep(self, grace: int) -> list[str]:
        """Remove dead runs, old generations and their RPMs, which no client can need any more."""
        self._adopt()
        drop = self._dead(grace)
        if not drop:
            return []
        left = [os.path.join(self._generations, name) for name in generations.names(self._generations)]
        try:
            needed = set().union(
                *(generations.listed(path) for path in left if path not in drop),
                generations.listed(self.root),
            )
        except ToolError:
            # A generation that cannot be read may list any file.
            return []
        removed = []
        for path in drop:
            for location in sorted(generations.listed(path) - needed):
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
