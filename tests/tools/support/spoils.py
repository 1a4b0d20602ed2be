# SPDX-License-Identifier: GPL-2.0-or-later
"""The mishaps themselves: bad surroundings of a run, and repositories that came by a bad way."""

import contextlib
import ctypes
import fcntl
import os
import pathlib
import shutil
import stat
import subprocess
import sys
import tempfile
import time

from tests.tools.support import repositories as support
from tests.tools.support.repositories import signing

STRANGER, GROUP = 4321, 4322
#: Seconds for another publisher on a busy disk, which an fsync can wait for longer than the usual minute.
PATIENCE = 600
_NEWNS, _PRIVATE, _BIND, _REMOUNT_RO = 0x20000, 0x44000, 0x1000, 0x1000 | 0x20 | 0x1


# ---- surroundings


@contextlib.contextmanager
def patched(place, name, value):
    before = getattr(place, name)
    setattr(place, name, value)
    try:
        yield
    finally:
        setattr(place, name, before)


def failing(name: str, number: int):
    def refused(*_, **__):
        raise OSError(number, os.strerror(number))

    return lambda world, root: patched(os, name, refused)


def clock(shift: float):
    real = time.time
    return lambda world, root: patched(time, "time", lambda: real() + shift)


def mask(mask: int):
    @contextlib.contextmanager
    def around(world, root):
        os.umask(mask)
        yield

    return around


def mounted(source: str, target, kind: str, flags: int, data: str = "") -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    words = [text.encode() if text else None for text in (source, str(target), kind)]
    if libc.mount(*words, flags, data.encode() or None) != 0:
        raise OSError(ctypes.get_errno(), f"mount {target}")


def namespace() -> None:
    """Mounts of this process's own."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    mounted("none", "/", "", _PRIVATE)


def full(room: int):
    """A file system with ``room`` KiB left holds the repository; the result is brought back."""

    @contextlib.contextmanager
    def around(world, root):
        aside = f"{root}.aside"
        shutil.copytree(root, aside, symlinks=True)
        namespace()
        mounted("tmpfs", root, "tmpfs", 0, "size=6m")
        shutil.copytree(aside, root, symlinks=True, dirs_exist_ok=True)
        left = shutil.disk_usage(root).free // 1024
        pathlib.Path(root, ".filler").write_bytes(b"\0" * 1024 * (left - room))
        try:
            yield
        finally:
            os.unlink(os.path.join(root, ".filler"))
            shutil.rmtree(aside)
            shutil.copytree(root, aside, symlinks=True)

    return around


@contextlib.contextmanager
def no_scratch(world, root):
    """The folder for temporary files is full."""
    namespace()
    place = world.base / "scratch"
    place.mkdir(exist_ok=True)
    mounted("tmpfs", place, "tmpfs", 0, "size=8k")
    with contextlib.suppress(OSError):
        (place / "filler").write_bytes(b"\0" * 8192)
    tempfile.tempdir = str(place)
    os.environ["TMPDIR"] = str(place)
    yield


@contextlib.contextmanager
def read_only(world, root):
    namespace()
    mounted(str(root), root, "", _BIND)
    mounted("none", root, "", _REMOUNT_RO)
    yield


def as_user(group: int):
    @contextlib.contextmanager
    def around(world, root):
        # The output folder of report is another folder; a publisher may have it as its own.
        site = pathlib.Path(f"{root}.site")
        site.mkdir()
        os.chown(site, STRANGER, group)
        os.environ["HOME"] = str(site)
        os.umask(0o002)
        os.setgroups([])
        os.setgid(group)
        os.setuid(STRANGER)
        yield

    return around


@contextlib.contextmanager
def locked(world, root):
    with open(root / ".livepatch-repo.lock", "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def another(world, root):
    """Another publisher of another live patch, at the same time."""
    words = ["publish", "--repo", root, *signing(world.key), "--wait", PATIENCE, world.rpms[3]]
    command = [sys.executable, support.ROOT / "bin" / "livepatch-repo", *words]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    other = subprocess.Popen(list(map(str, command)), env=support.ENV, **quiet)
    try:
        yield
    finally:
        assert other.wait(2 * PATIENCE) == 0


# ---- repositories that came by a bad way


def without(pattern: str):
    def spoil(world, root):
        for path in list(root.glob(pattern)):
            path.unlink()

    return spoil


def cut(pattern: str, most: int = 100):
    def spoil(world, root):
        for path in sorted(root.glob(pattern))[:most]:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return spoil


def stale_signature(world, root):
    other = sorted((root / "generations").iterdir())[0] / "repodata" / "repomd.xml.asc"
    shutil.copy(other, root / "repodata" / "repomd.xml.asc")


def followed(world, root):
    """As `aws s3 sync` brings a repository back: every link is what it pointed to."""
    os.rename(root, f"{root}.real")
    subprocess.run(["cp", "-rL", f"{root}.real", str(root)], check=True)
    shutil.rmtree(f"{root}.real")


def no_link(world, root):
    """As a mirror that leaves links out."""
    for path in list(root.rglob("*")):
        if path.is_symlink():
            path.unlink()


def older(world, root):
    """A backup of the link alone came back: a later generation is there, and never was published here."""
    first = sorted(path.name for path in (root / "generations").iterdir())[0]
    (root / "repodata").unlink()
    (root / "repodata").symlink_to(f"generations/{first}/repodata")


def restored(world, root):
    """A backup was copied over the repository: later generations stay, and the names lead to the first."""
    older(world, root)
    first = sorted(path.name for path in (root / "generations").iterdir())[0]
    mirrors = root / "mirrorlist"
    mirrors.write_text(mirrors.read_text().rpartition("generations/")[0] + f"generations/{first}/\n")


def shared(world, root):
    for path in (root, *root.rglob("*")):
        if not path.is_symlink():
            os.chown(path, -1, GROUP)
            mode = stat.S_IMODE(path.stat().st_mode)
            path.chmod(mode | (0o2070 if path.is_dir() else 0o060))


def open_to_all(world, root, told):
    if told.status == 0:
        shut = [
            str(path)
            for path in (root, *root.rglob("*"))
            if not path.is_symlink() and path.name != ".livepatch-repo.lock"
            and path.stat().st_mode & 0o004 == 0
        ]  # fmt: skip
        assert not shut, shut[:3]
