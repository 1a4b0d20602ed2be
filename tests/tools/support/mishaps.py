# SPDX-License-Identifier: GPL-2.0-or-later
"""Every verb of livepatch-repo in every mishap, and the three things that must hold afterwards.

A client sees the old or the new state, never none; no package is lost that a state lists which clients may
be reading; what was printed is true.
"""

import contextlib
import errno
import hashlib
import os
import pathlib
import re
import shutil
import sys
from typing import Any, Callable, NamedTuple

from tests.tools.support import sights, spoils
from tests.tools.support.publisher import CHANGING, READING, VERBS, Told, World

__all__ = ["MISHAPS", "VERBS", "World", "killed_everywhere", "try_out"]
_CHANGES = {"os.rename", "os.link", "os.symlink", "os.mkdir", "os.remove", "os.rmdir", "os.chmod"}


class Mishap(NamedTuple):
    """``spoil`` changes the repository before the run, ``around`` is the run's surroundings.

    ``ends`` are the states that clients may see afterwards. ``short`` belongs to `make test`.
    """

    name: str
    spoil: Callable[[World, pathlib.Path], Any] = lambda world, root: None
    around: Callable[[World, pathlib.Path], Any] = lambda world, root: contextlib.nullcontext()
    ends: tuple[str, ...] = ("new",)
    short: bool = False
    more: dict[str, Any] = {}
    check: Callable[[World, pathlib.Path, Told], Any] = lambda world, root, told: None


OLD, NEW, EITHER = ("old",), ("new",), ("old", "new")
DAY = 86400
MISHAPS = (
    Mishap("nothing", short=True),
    Mishap("no grace", more={"grace": 0}),
    *(Mishap(f"{room} KiB left on the disk", around=spoils.full(room), ends=EITHER, short=room == 30)
      for room in (0, 30, 90, 250)),
    Mishap("no room for temporary files", around=spoils.no_scratch, ends=EITHER),
    Mishap("read-only", around=spoils.read_only, ends=OLD, short=True),
    *(Mishap(f"no hard links ({errno.errorcode[number]})", around=spoils.failing("link", number),
             short=number == errno.EPERM)
      for number in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK)),
    *(Mishap(f"no symbolic links ({errno.errorcode[number]})", around=spoils.failing("symlink", number),
             ends=OLD, short=number == errno.EPERM)
      for number in (errno.EPERM, errno.EOPNOTSUPP)),
    *(Mishap(f"umask {mask:03o}", around=spoils.mask(mask), check=spoils.open_to_all, short=mask == 0o077)
      for mask in (0o077, 0o027)),
    Mishap("another user's repository", around=spoils.as_user(spoils.STRANGER), ends=OLD,
           more={"theirs": True}),
    Mishap("a group's repository", spoil=spoils.shared, around=spoils.as_user(spoils.GROUP),
           more={"theirs": True}),
    *(Mishap(f"clock {shift:+d} s", around=spoils.clock(shift), short=shift == -180)
      for shift in (-180, -DAY, 2 * DAY, 400 * DAY)),
    *(Mishap(f"half a copy: {what}", spoil=spoil, ends=("old", "new"), short=what == "an RPM is missing")
      for what, spoil in (
          ("an RPM is missing", spoils.without("Packages/*/*-1-1.*.rpm")),
          ("an RPM is cut", spoils.cut("Packages/*/*-1-1.*.rpm")),
          ("no primary", spoils.without("repodata/*primary*")),
          ("updateinfo is cut", spoils.cut("repodata/*updateinfo*")),
          ("no record", spoils.without("repodata/*livepatch.json*")),
          ("a stale signature", spoils.stale_signature),
          ("no signature", spoils.without("repodata/*.asc")),
          ("no list of packages", spoils.without("generations/*/packages.list")),
          ("an older generation is cut", spoils.cut("generations/*/repodata/*primary*", 1)),
          ("no links", spoils.no_link))),
    Mishap("a copy that followed the links", spoil=spoils.followed, short=True),
    Mishap("an older link came back", spoil=spoils.older, ends=EITHER),
    Mishap("an older copy was restored over it", spoil=spoils.restored, ends=EITHER),
    Mishap("the lock is held", around=spoils.locked, ends=OLD, more={"wait": 0.3}, short=True),
    Mishap("another publisher at work", around=spoils.another, more={"wait": spoils.PATIENCE}),
)  # fmt: skip


# ---- the three checks


def _files(root: pathlib.Path) -> dict[str, str]:
    """Every file with its digest, every link with its target; but for the lock."""
    found = {}
    for path in sorted(root.rglob("*")):
        if path.is_symlink():
            found[str(path.relative_to(root))] = os.readlink(path)
        elif path.is_file() and path.name != ".livepatch-repo.lock":
            found[str(path.relative_to(root))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def try_out(world: World, mishap: Mishap, verb: str) -> tuple[str, int]:
    """Run ``verb`` in ``mishap``; returns the state, "old" or "new", and the exit status.

    Raises AssertionError.
    """
    root = world.copy(re.sub(r"\W+", "-", f"{mishap.name}-{verb}"))
    try:
        return _tried(world, mishap, verb, root)
    finally:
        for path in (root, *(pathlib.Path(f"{root}.{more}") for more in ("aside", "site", "real"))):
            shutil.rmtree(path, ignore_errors=True)


def _tried(world: World, mishap: Mishap, verb: str, root: pathlib.Path) -> tuple[str, int]:
    mishap.spoil(world, root)
    before, files, name = sights.seen(root, world.key), _files(root), sights.current(root)
    kept = {name, sights.mirrored(root)} & set(os.listdir(root / "generations"))
    missing = set() if before["fault"] else set(sights.lost(root, kept))
    told = world.run(verb, root, lambda: mishap.around(world, root), **mishap.more)
    aside = pathlib.Path(f"{root}.aside")
    if aside.exists():
        shutil.rmtree(root)
        os.rename(aside, root)
    context = f"{told}\n{before}"
    assert told.status in (0, 1, 3) and "Traceback" not in told.err + told.out, context
    after = sights.seen(root, world.key)
    mishap.check(world, root, told)

    # 1. The old or the new state.
    wanted = world.new[verb]
    if mishap.spoil in (spoils.older, spoils.restored) and verb not in READING:
        wanted = {**after} if not after["fault"] and told.status == 0 else wanted
    if verb in CHANGING and told.status == 0 and _lost_a_file(before["fault"]) and after["fault"]:
        # A change keeps no fix away for a file that was lost before, and makes no new one of it.
        wanted = {**wanted, "fault": before["fault"]}
    if mishap.around is spoils.another and verb in CHANGING:
        after = {name: value if isinstance(value, str) else [n for n in value if not _others(n)]
                 for name, value in after.items()}  # fmt: skip
        if verb == "sign":  # whoever comes last chooses the compression
            after["compression"] = wanted["compression"]
    ending = "new" if after == wanted != before else "old" if after == before else ""
    if verb in READING and mishap.around is not spoils.another:
        ending = "old" if after == before and _files(root) == files else ""
    elif verb in READING:
        ending = "old" if not after["fault"] else ""
    assert ending, f"neither the old nor the new state: {after}\n{context}"
    if not before["fault"] and verb in CHANGING:
        assert ending in mishap.ends, f"{ending}\n{context}"

    # 2. No package is lost.
    if mishap.more.get("grace") == 0:
        kept = {sights.current(root), sights.mirrored(root)}
    kept &= set(os.listdir(root / "generations"))
    if not before["fault"]:
        kept |= {sights.current(root)} & set(os.listdir(root / "generations"))
        lost = set(sights.lost(root, kept)) - missing
        assert not lost, f"{lost}\n{context}"
        if mishap.more.get("grace") != 0:
            gone = {name, sights.mirrored(root)} - {""} - set(os.listdir(root / "generations"))
            assert not gone or name not in files_of_generations(files), f"{gone}\n{context}"

    # 3. The words are true.
    _true(verb, root, told, before, after, ending, name, context)
    return ending, told.status


def files_of_generations(files: dict[str, str]) -> set[str]:
    """The generations that were there."""
    return {path.split("/")[1] for path in files if path.startswith("generations/")}


def _lost_a_file(fault: str) -> bool:
    """Whether ``fault`` is that of a repository that can be read, but for a package file."""
    return fault.endswith("is missing or cut")


def _others(name: str) -> bool:
    """Whether ``name`` is the other publisher's."""
    return "503" in name


def _true(verb, root, told, before, after, ending, name, context) -> None:
    if verb in CHANGING:
        if told.status == 0:
            published = re.search(r"published as (\S+)", told.out)
            assert published or "nothing to do" in told.out or "mended" in told.out, context
            if published:
                assert ending == "new" and (root / "generations" / published[1]).is_dir(), context
            for nevra in re.findall(r"^  \+ (kpatch-patch-\S+)$", told.out, re.M):
                assert nevra in after["packages"], context
            for nevra in re.findall(r"^  - (kpatch-patch-\S+)$", told.out, re.M):
                assert nevra not in after["packages"], context
        else:
            assert re.search(r"\[[a-z-]+\]\n", told.err) and not told.out, context
            said_published = "[disk-published]" in told.err
            assert ending == ("new" if said_published else "old"), context
            if not said_published and "503" not in context:
                assert sights.current(root) == name, context
    elif verb in ("verify", "lint"):
        if before["fault"] and verb == "verify":
            assert told.status != 0, f"{verb} finds nothing\n{context}"
    elif verb == "report" and told.status == 0:
        site = pathlib.Path(f"{root}.site")
        pages = re.search(r": (\d+) pages$", told.out, re.M)
        assert pages and len(list(site.rglob("*.html"))) == int(pages[1]), context
    elif verb == "plan" and told.status == 0:
        assert "1 of 1 kernel(s) covered" in told.out, context


# ---- killed at each file operation


def killed_everywhere(world: World, verb: str, grace: int, every: int = 1) -> tuple[int, int]:
    """Check the folder as it was before each change, fsync and program of ``verb``, and the run after it.

    A SIGKILL leaves exactly such a folder. Returns the number of points, and of different folders. ``every``
    takes one point of so many.
    """
    root = world.copy(f"killed-{verb}-{grace}")
    points = world.base / f"points-{verb}-{grace}"
    points.mkdir()
    start = sights.current(root)
    try:
        told = world.run(verb, root, lambda: _recorded(root, points), grace=grace)
        assert told.status == 0, told
        found = sorted(points.iterdir(), key=lambda path: int(path.name))
        assert len(found) > 10 or verb in READING, "the hook counts nothing"
        different, last, seen = 0, None, []
        for path in [*found[::every], root]:
            files = _files(path)
            if files == last:
                continue
            different, last = different + 1, files
            state = sights.seen(path, world.key)
            assert state in (world.old, world.new[verb]), f"{path.name}: {state}"
            seen.append(state)
            kept = {sights.current(path), sights.mirrored(path)} | ({start} if grace else set())
            assert not sights.lost(path, kept), path.name
            if different % 5 == 0 and verb in CHANGING and path is not root:
                again = world.run(verb, path, grace=grace)
                assert again.status == 0, f"{path.name}: {again}"
                assert sights.seen(path, world.key) == world.new[verb], path.name
                assert not list(path.rglob("*.partial")) and not list(path.rglob("*.unfinished"))
                assert sights.mirrored(path) == sights.current(path), path.name
        assert sum(a != b for a, b in zip(seen, seen[1:])) == (verb in CHANGING), "it went back and forth"
        return len(found[::every]), different
    finally:
        shutil.rmtree(points)
        shutil.rmtree(root)
        shutil.rmtree(f"{root}.site", ignore_errors=True)


@contextlib.contextmanager
def _recorded(root: pathlib.Path, points: pathlib.Path):
    """Copy ``root`` into ``points`` before each change, as Python announces it by its audit events."""
    busy, number, top = False, 0, str(root)

    def step():
        nonlocal busy, number
        busy = True
        shutil.copytree(root, points / str(number), symlinks=True)
        number, busy = number + 1, False

    def hook(event, args):
        if busy:
            return
        paths = [os.fsdecode(value) for value in args if isinstance(value, (str, bytes, os.PathLike))]
        ours = any(top in path or not path.startswith("/") for path in paths)
        writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
        program = event == "subprocess.Popen" and top in str(args)
        exchange = event == "ctypes.dlsym" and "renameat2" in str(args[-1])
        if program or exchange or (ours and (writes or event in _CHANGES)):
            step()

    real = os.fsync
    os.fsync = lambda descriptor: None if busy else step()
    sys.addaudithook(hook)
    try:
        yield
    finally:
        busy, os.fsync = True, real
