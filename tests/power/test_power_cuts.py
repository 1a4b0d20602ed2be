# SPDX-License-Identifier: GPL-2.0-or-later
"""One `dnf upgrade` whose disk is cut off from power at each point that the guest had made durable.

Every write of the guest to its disk is logged by QEMU. For each flush in the log a disk is made that holds
exactly the requests up to there, and examined. Of them POWER_POINTS=N (default: all) also boot, JOBS at a
time, two thirds from the loading itself, and the first of each kind: the host has to come up, its rpm
database to be sound, and reconcile to converge. On the first of each kind, and on every fourth that boots,
an upgrade then has to end where an undisturbed one ends. Two states need the remedy that the host names: a
cut during the load blocks the patch, as a crash there would; and a cut just after RPM's transaction leaves
files that RPM has not synced.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.power.support import offline, writelog
from vm import image, qemu
from vm.common import Failure, Progress, run

MODULE = "livepatch_demo_1"
LOADING = "Loading live patch"
FROZEN = "file system frozen"
CONF = "/etc/dnf/plugins/livepatch.conf"
# A program that prints the state of a host, one fact a line.
LOOK = """
patch=klp-patch-$(uname -r | tr -c 'A-Za-z0-9-\\n' _)
echo up=$(systemctl is-active multi-user.target)
echo root=$(findmnt -no OPTIONS / | cut -d, -f1)
echo fserrors=$(dmesg | grep -c 'EXT4-fs error')
rpm --verifydb >/dev/null 2>&1; echo verifydb=$?
rpm -qa >/dev/null 2>&1; echo query=$?
livepatch reconcile >/tmp/reconcile 2>&1; echo reconcile=$?
echo said=$(cat /tmp/reconcile)
echo installed=$(rpm -q --qf '%{VERSION}' $patch 2>/dev/null | grep -x 1)
echo enabled=$(cat /sys/kernel/livepatch/*/enabled 2>/dev/null)
echo transition=$(cat /sys/kernel/livepatch/*/transition 2>/dev/null)
echo modules=$(ls /sys/module | grep livepatch_demo)
echo leaks=$(grep -c swordfish /proc/cmdline)
"""
UPGRADE = "dnf -y upgrade >/tmp/dnf 2>&1; echo dnf=$?; echo dnfsaid=$(tail -c 400 /tmp/dnf);"
REMEDY = {
    "blocked": "livepatch unblock $(rpm -q $patch) >/dev/null;",
    "damaged": "dnf -y reinstall $patch >/dev/null 2>&1;",
}


def facts(machine: qemu.Machine, command: str) -> dict[str, str]:
    """The guest's answers, one NAME=VALUE a line."""
    return dict(line.split("=", 1) for line in machine.ok(command).splitlines() if "=" in line)


def record(files: qemu.Files, folder: str) -> tuple[str, int, int]:
    """Log one upgrade; the log, where the upgrade begins in it, and where its loading begins."""
    log = os.path.join(folder, "log")
    begins: list[int] = []

    def each(_: int, data: bytes) -> None:
        if LOADING.encode() in data and not begins:
            begins.append(writelog.count(log))

    with qemu.Machine(files, folder) as machine:
        machine.boot(write_log=log)
        machine.ok(f"printf '[main]\\ntransition_timeout = 240\\n' >{CONF}; sync")
        start = writelog.count(log)
        done = machine.run("dnf -y upgrade", each=each)
        assert done.status == 0 and "is in force" in done.out, done.out + done.err
        # Nothing is written from here on, so that the log holds all that the disk does. Even the end of a
        # command may write, hence in the background.
        machine.ok(
            f"sync; (sleep 1; fsfreeze -f / && echo {FROZEN} >/dev/ttyS0) </dev/null >/dev/null 2>&1 &"
        )
        for _ in range(300):
            if FROZEN in machine.console_end():
                break
            time.sleep(0.2)
        else:
            raise Failure("the file system does not freeze" + machine.console_end())
    assert begins, "dnf loaded nothing"
    return log, start, begins[0]


def choose(points: list[int], loading: int) -> list[int]:
    """The points to try: all, or POWER_POINTS of them."""
    limit = int(os.environ.get("POWER_POINTS") or len(points))
    own = [point for point in points if point >= loading]
    others = [point for point in points if point < loading]
    # When there are too many even of our own, those spread evenly too.
    most = own if len(own) <= limit * 2 // 3 else spread(own, limit * 2 // 3)
    return sorted([*spread(others, limit - len(most)), *most])


def spread(items: list[int], number: int) -> list[int]:
    """``number`` of the items, each from the middle of an equal part."""
    if number >= len(items):
        return items
    return [items[(2 * index + 1) * len(items) // (2 * number)] for index in range(number)]


def soundness(seen: dict[str, str]) -> list[str]:
    """The faults that no host may have."""
    wanted = {"up": "active", "root": "rw", "fserrors": "0", "verifydb": "0", "query": "0"}
    return [f"{name} is {seen.get(name)!r}" for name, value in wanted.items() if seen.get(name) != value]


def judge(seen: dict[str, str], found: offline.Found) -> tuple[str, list[str]]:
    """The state of the live patch after the boot, and what is wrong with it."""
    loaded = (seen["enabled"], seen["transition"], seen["modules"])
    wrong = soundness(seen)
    if bool(seen["installed"]) != found.installed:
        wrong.append("another rpm database than on the disk")
    if loaded == ("1", "0", MODULE) and seen["leaks"] == "0" and seen["installed"]:
        return "in force", wrong + [f"reconcile: {seen['said']}"] * (seen["reconcile"] != "0")
    if any(loaded) or seen["leaks"] == "0":
        wrong.append(f"something is in the kernel: {loaded}")
    if not seen["installed"]:
        return "not installed", wrong + [f"reconcile: {seen['said']}"] * (seen["reconcile"] != "0")
    if found.record == "loading" and "blocked" in seen["said"] and seen["reconcile"] == "5":
        return "blocked", wrong
    if found.damaged and "reinstall" in seen["said"].lower() and seen["reconcile"] == "5":
        return "damaged", wrong
    return "missing", [*wrong, f"installed, and not in force: {seen['said']}"]


def trial(files: qemu.Files, folder: str, found: offline.Found, upgrade: bool) -> tuple[str, list[str]]:
    """Boot the disk in ``folder``: the state of the live patch, and what is wrong, also after an upgrade."""
    try:
        with qemu.Machine(files, folder) as machine:
            machine.boot()
            before, wrong = judge(facts(machine, LOOK), found)
            if not upgrade:
                return before, wrong
            name = LOOK.split("\n")[1]
            after = facts(machine, f"{name}; {REMEDY.get(before, '')} {UPGRADE} {LOOK}")
            state, more = judge(after, offline.Found([], True, "", []))
            if state != "in force" or after["dnf"] != "0":
                more.append(f"in the end {state}; dnf: {after['dnf']} {after['dnfsaid']}")
            return before, wrong + more
    except Failure as failure:
        return "failed", [str(failure)]


class Trials:
    """Boots the disks that it is given, JOBS at once, while the log is replayed further."""

    def __init__(self, files: qemu.Files, folder: str) -> None:
        self.files = files
        self.folder = folder
        self.found: dict[int, Future[tuple[str, list[str]]]] = {}
        jobs = int(os.environ.get("JOBS") or 1)
        self._pool = ThreadPoolExecutor(jobs)
        # Each disk is a copy of the whole: there are no more of them than boot.
        self._room = threading.BoundedSemaphore(jobs)

    def boot(self, point: int, raw: str, found: offline.Found, upgrade: bool) -> None:
        """Boot a copy of ``raw``, the disk at ``point`` of the log, as soon as there is room."""
        self._room.acquire()
        folder = os.path.join(self.folder, f"trial-{point}")
        os.makedirs(folder)
        run(["qemu-img", "convert", "-O", "qcow2", "-f", "raw", raw, os.path.join(folder, "disk.qcow2")])
        self.found[point] = self._pool.submit(self._boot, point, folder, found, upgrade)

    def _boot(self, point: int, folder: str, found: offline.Found, upgrade: bool) -> tuple[str, list[str]]:
        begin = time.monotonic()
        try:
            state, wrong = trial(self.files, folder, found, upgrade)
            told = f"request {point}: boots, {state}" + ", then an upgrade" * upgrade
            told += f" ({time.monotonic() - begin:.0f} s)"
            print("; ".join([told, *wrong]), flush=True)
            return state, wrong
        finally:
            shutil.rmtree(folder)
            self._room.release()


@pytest.fixture
def folder():
    path = tempfile.mkdtemp(prefix="power-", dir=image.machines())
    yield path
    shutil.rmtree(path)


def test_power_cut_at_every_flush_of_an_upgrade(folder):
    Progress.shown = True
    files = qemu.build()
    raw = os.path.join(folder, "raw")
    run(["qemu-img", "convert", "-O", "raw", files.disk, raw])
    log, start, loading = record(files, folder)
    entries = writelog.read(log)
    points = [number + 1 for number, entry in enumerate(entries) if entry.durable and number >= start]
    chosen = choose(points, loading)
    print(
        f"\n{len(entries) - start} requests of the upgrade, {len(points)} of them flushes, "
        f"{sum(point >= loading for point in points)} since the loading began; trying {len(chosen)}"
    )
    package = "klp-patch-" + re.sub(r"[^A-Za-z0-9-]", "_", files.choice.old.release)
    faults: list[str] = []
    trials = Trials(files, folder)
    kinds: set[tuple[bool, str, bool]] = set()
    with writelog.Replay(log, raw) as replay:
        for point in points:
            replay.forward(point)
            found = offline.look(raw, os.path.join(folder, "offline"), package)
            facts_of = f"installed={found.installed} record={found.record or '-'} empty={len(found.damaged)}"
            print(f"request {point}: {facts_of} {'; '.join(found.wrong)}", flush=True)
            faults += [f"request {point}: {fault}" for fault in found.wrong]
            kind = (found.installed, found.record, bool(found.damaged))
            if point in chosen or kind not in kinds:
                trials.boot(point, raw, found, point in chosen[::4] or kind not in kinds)
                kinds.add(kind)
        replay.forward(len(entries))
    states: dict[str, int] = {}
    for point, future in trials.found.items():
        state, wrong = future.result()
        states[state] = states.get(state, 0) + 1
        faults += [f"request {point}: {fault}" for fault in wrong]
    print(f"{len(points)} disks examined, {len(trials.found)} booted: {states}; {len(faults)} faults")
    # The replay itself is proved by its end: it has to be the disk that the guest left.
    run(["qemu-img", "compare", "-f", "raw", "-F", "qcow2", raw, os.path.join(folder, "disk.qcow2")])
    assert not faults
