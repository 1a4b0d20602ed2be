# SPDX-License-Identifier: GPL-2.0-or-later
"""The guard, reconcile, the settle watch and the verbs as one state machine of hypothesis.

Actors: package transactions, reconcile, boots after shutdowns, crashes and power cuts, the settle watch and
its timer, the administrator, a kernel that panics or oopses in bad patches. None of them is one step: each
may be killed, or lose its power, at any of the steps that ``state.step`` marks, and the next one finds what
that left. Invariants hold after each rule, and at the end the promise: a good installed patch that nobody
blocked or unloaded is in force. ``SEEN`` and ``COUNTS`` tell how much of it was tried.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Callable

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from dnf_plugin_livepatch.host.cli import main as cli
from dnf_plugin_livepatch.host.files import atomic as state
from dnf_plugin_livepatch.host.files import guard_file, mailbox
from dnf_plugin_livepatch.host.packages import inventory
from dnf_plugin_livepatch.host.reconcile import run as reconcile
from dnf_plugin_livepatch.host.reconcile import settle
from tests.unit.support.fakehost import QUICK, Host, Panic
from tests.unit.support.reporting import FakeDatabase

SEEN: set[tuple[object, ...]] = set()
COUNTS: Counter[str] = Counter()
BEHAVIOUR = {"1": "", "2": "", "3": "panic", "4": "crash", "5": "stall", "6": "oops"}

#: Where an actor is cut off, 0 for not at all, and how: its process is killed, or the host loses its power.
CUTS = st.tuples(st.sampled_from([0] * 30 + [*range(1, 46)]), st.sampled_from(["kill", "power"]))
BUSY = st.sampled_from([False, False, False, True])
Cut = tuple[int, str]


class Killed(BaseException):
    """Nothing of the process is left to go on."""


class Machine(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.monkeypatch = pytest.MonkeyPatch()
        self.root = tempfile.mkdtemp(prefix="lp-model-", dir=QUICK)
        self.host = Host(self.root).create().attach(self.monkeypatch)
        self.host.put("/etc/dnf/plugins/livepatch.conf", "[main]\ntransition_timeout = 0\n")
        self.monkeypatch.setattr(inventory, "_open", lambda paths: FakeDatabase())
        self.monkeypatch.setattr(mailbox, "bound", lambda config: -1.0)
        self.monkeypatch.setenv("LIVEPATCH_ROOT", self.root)
        self.patches = {v: self.host.patch(v, behave=b) for v, b in BEHAVIOUR.items()}
        self.down = False
        # What was cut off left the kernel or the records half way.
        self.torn = False
        # The package in which the kernel oopsed while the watch was on it.
        self.oopsed = ""

    def teardown(self) -> None:
        if not hasattr(self, "host"):
            return
        try:
            self._promise()
        finally:
            state.hook = None
            self.monkeypatch.undo()
            shutil.rmtree(self.root, ignore_errors=True)

    # --- doing it, to the end or not ---

    def _do(self, work: Callable[[], object], cut: Cut) -> bool:
        """Whether ``work`` came to its end."""
        at, how = cut
        left = [at]

        def hook(_: str) -> None:
            COUNTS["steps"] += 1
            left[0] -= 1
            if at and left[0] <= 0:  # nothing marked happens after it, also not in a finally
                raise Killed

        blocked = guard_file.blocked(self.host.paths)
        before = self._in_kernel()
        state.hook = hook
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                work()
            return True
        except Panic:
            self._die()
        except Killed:
            COUNTS["cuts"] += 1
            self.torn = True
            if how == "power":
                self._die()
        finally:
            state.hook = None
            still = set(blocked) & set(guard_file.blocked(self.host.paths))
            for nevra in self._in_kernel() - before:
                assert nevra not in still, f"{nevra} was blocked and is loaded"
        return False

    def _die(self) -> None:
        self.down, self.oopsed = True, ""

    def _reconcile(self, cut: Cut = (0, "")) -> None:
        work = partial(reconcile.reconcile, self.host.paths, self.host.config)
        if self._do(work, cut):
            self.torn = False
            assert "lp_6" not in self.host.running(), "the kernel had an oops in it as soon as it was in"

    def _look(self, cut: Cut, busy: bool = False) -> None:
        """The settle unit, when its timer fires; ``busy`` when another run has the lock and keeps it."""
        if not self.host.watched:
            return
        with self._locked() if busy else contextlib.nullcontext():
            ended = self._do(partial(settle.main, self.host.paths), cut)
        if ended and not busy:
            assert not self._bad_inside(), "an oops in it, and it is still in force"
        if not self.down:
            assert not self._bad_inside() or self.host.watched, "nobody takes the bad patch out any more"

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        os.makedirs(self.host.paths.run_dir, exist_ok=True)
        lock = os.open(self.host.paths.lock, os.O_RDWR | os.O_CREAT)
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            os.close(lock)

    def _bad_inside(self) -> bool:
        """Is what oopsed in force still?"""
        if self.oopsed and self.oopsed not in self._in_kernel():
            self.host.forget(self._module(self.oopsed))
            self.oopsed = ""
        return bool(self.oopsed)

    def _module(self, nevra: str) -> str:
        return next(patch.modules[0].name for patch in self.patches.values() if str(patch.nevra) == nevra)

    def _in_kernel(self) -> set[str]:
        owned = guard_file.read(self.host.paths).owned
        return {owned[module].nevra for module in self.host.running() if module in owned}

    # --- what a rule needs, so that none is without effect ---

    def _up(self) -> None:
        """Boots until the host stays up."""
        for _ in range(3):
            if self.down:
                self.host.reboot(clean=False)
                self.down = False
                self._reconcile()

    def _settling(self) -> None:
        """The host is up, and the watch has something to watch."""
        self._up()
        if not (self.down or self.host.watched):
            before = [patch.nevra.version for patch in self.host.packages().patches]
            self.host.install(self.patches["2" if before == ["1"] else "1"])
            self._reconcile()

    # --- who does something ---

    @rule(version=st.sampled_from(sorted(BEHAVIOUR)))
    def transaction(self, version: str) -> None:
        self._up()
        self.host.install(self.patches[version])

    @rule(version=st.sampled_from(["1", "1", "2", "2", *BEHAVIOUR]), cut=CUTS)
    def upgrade(self, version: str, cut: Cut) -> None:
        """A transaction with the reconcile that its file trigger asks for."""
        self._up()
        self.host.install(self.patches[version])
        self._reconcile(cut)

    @rule()
    def removal(self) -> None:
        self._up()
        self.host.install()

    @rule(cut=CUTS)
    def run(self, cut: Cut) -> None:
        self._up()
        self._reconcile(cut)

    @rule(cause=st.sampled_from(["shutdown", "crash", "power"]), cut=CUTS)
    def boot(self, cause: str, cut: Cut) -> None:
        clean = cause == "shutdown" and not self.down
        if cause == "crash" and not self.down:
            for module in self.host.running()[:1]:
                self.host.put("/sys/fs/pstore/dmesg-1", f"Panic#1 Part1\nBUG: x\n f+0x1/0x2 [{module}]\n")
        self.host.reboot(clean)
        self.down, self.oopsed = False, ""
        self._reconcile(cut)
        if not self.torn:
            # systemd-pstore archives and empties it later in the boot.
            shutil.rmtree(self.host.paths.at("/sys/fs/pstore"), ignore_errors=True)

    @rule(seconds=st.sampled_from([20, 700]), cut=CUTS, busy=BUSY)
    def watch(self, seconds: int, cut: Cut, busy: bool) -> None:
        self._settling()
        if self.down:
            return
        self.host.put("/proc/uptime", f"{seconds}.0 1.0\n")
        self._look(cut, busy)

    @rule(cut=CUTS, busy=BUSY)
    def oops(self, cut: Cut, busy: bool) -> None:
        self._settling()
        if self.down or not (self.host.running() and self.host.watched):
            return
        module = self.host.running()[0]
        self.host.oops(module, 999)
        owner = guard_file.read(self.host.paths).owned.get(module)
        record = guard_file.read(self.host.paths).entries.get(owner.nevra) if owner is not None else None
        if owner is not None and record is not None and record.state == "settling":
            self.oopsed = owner.nevra
        self._look(cut, busy)

    @rule(
        verb=st.sampled_from(["block", "unblock", "unload", "unload --this-boot"]),
        version=st.sampled_from(["1", "2"]),
        cut=CUTS,
    )
    def administrator(self, verb: str, version: str, cut: Cut) -> None:
        self._up()
        patch = self.patches[version]
        word, *options = verb.split()
        name = patch.modules[0].name if word == "unload" else str(patch.nevra)
        done = self._do(partial(cli.main, [word, name, *options]), cut)
        if word == "unblock" and str(patch.nevra) not in guard_file.blocked(self.host.paths):
            if self.oopsed == str(patch.nevra):
                self.oopsed = ""  # what was before that is overruled
        if done and word == "block":
            assert str(patch.nevra) not in self._in_kernel(), "it is blocked and still in force"

    # --- what holds ---

    @invariant()
    def sound(self) -> None:
        if not hasattr(self, "host"):
            return
        COUNTS["rules"] += 1
        guard = guard_file.read(self.host.paths)
        assert len(guard.copies) <= 2
        if not self.down and not self.torn:
            loaded = self.host.loaded()
            assert sum(values == ("1", "0") for values in loaded.values()) <= 1, (
                "replacing patches do not pile up"
            )
            assert all(values[1] == "0" for values in loaded.values()), "no transition is left behind"
            records = guard.entries.values()
            settling = any(r.state == "settling" and r.boot_id == self.host.boot_id for r in records)
            assert self.host.watched or not settling, "nobody watches what settles"
        SEEN.add(self.state())

    def state(self) -> tuple[object, ...]:
        """What the host has in its kernel, its records and its packages; without times and boot ids."""
        guard = guard_file.read(self.host.paths)
        records = sorted(
            (n, r.state, r.strikes, r.proved, r.boot_id == self.host.boot_id)
            for n, r in guard.entries.items()
        )
        return (
            json.dumps(records),
            tuple(self.host.running()),
            tuple(i.nevra for i in guard.copies),
            tuple(sorted(guard.unloaded)),
            self.down,
            self.torn,
            self.host.watched,
            tuple(str(p.nevra) for p in self.host.packages().patches),
        )

    def _promise(self) -> None:
        """However it came here: boots until the host stays up, and what is good is in force."""
        if not self.down:
            self._look((0, ""))
            assert not self._bad_inside(), "nobody takes the bad patch out"
        for _ in range(3):
            if self.down:
                self.host.reboot(clean=False)
                self.down = False
            self._reconcile()
        assert not self.down, "the host does not stay up"
        found = self.host.packages().patches
        now = guard_file.read(self.host.paths)
        blocked = now.blocked()
        held = {nevra for nevra in now.unloaded if now.is_unloaded(nevra, self.host.boot_id)}
        wanted = found[0].nevra if found else None
        if wanted is not None and not BEHAVIOUR[wanted.version] and str(wanted) not in {*blocked, *held}:
            assert self.host.running() == [found[0].modules[0].name], "a good patch is not in force"
        if not found:
            assert self.host.running() == [] or set(self.host.modules()) - {"lp_4"} == set()
        assert not self._in_kernel() & {*blocked, *held}
