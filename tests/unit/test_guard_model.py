# SPDX-License-Identifier: GPL-2.0-or-later
"""The guard and reconcile as a state machine, in every interleaving that hypothesis finds worth trying.

Actors: package transactions, reconcile, boots after shutdowns, crashes and power cuts, the settle watch, a
kernel that panics or oopses in bad patches. Invariants after each step, and at the end the promise: a good
installed patch that nobody blocked is in force.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from typing import Set, Tuple

import pytest
from fakehost import QUICK, Host, Panic
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from dnf_plugin_livepatch.runtime import guard, reconcile, settle

SEEN: Set[Tuple[object, ...]] = set()
STEPS = [0]
BEHAVIOUR = {"1": "", "2": "", "3": "panic", "4": "crash", "5": "stall"}


class Machine(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.monkeypatch = pytest.MonkeyPatch()
        self.root = tempfile.mkdtemp(prefix="lp-model-", dir=QUICK)
        self.host = Host(self.root).create().attach(self.monkeypatch)
        self.patches = {v: self.host.patch(v, behave=b) for v, b in BEHAVIOUR.items()}
        self.ever_blocked: Set[str] = set()
        self.down = False

    def teardown(self) -> None:
        if not hasattr(self, "host"):
            return
        try:
            self._promise()
        finally:
            self.monkeypatch.undo()
            shutil.rmtree(self.root, ignore_errors=True)

    def _reconcile(self) -> None:
        blocked = guard.blocked(self.host.paths)
        before = self._in_kernel()
        try:
            reconcile.reconcile(self.host.paths, self.host.config)
        except Panic:
            self.down = True
        for nevra in self._in_kernel() - before:
            assert nevra not in blocked, f"{nevra} was blocked and is loaded"

    def _in_kernel(self) -> Set[str]:
        owned = guard.read(self.host.paths).owned
        return {owned[module].nevra for module in self.host.running() if module in owned}

    @rule(version=st.sampled_from(sorted(BEHAVIOUR)))
    def transaction(self, version: str) -> None:
        if not self.down:
            self.host.install(self.patches[version])

    @rule()
    def removal(self) -> None:
        if not self.down:
            self.host.install()

    @rule()
    def run(self) -> None:
        if not self.down:
            self._reconcile()

    @rule(cause=st.sampled_from(["shutdown", "crash", "power"]))
    def boot(self, cause: str) -> None:
        clean = cause == "shutdown" and not self.down
        if cause == "crash" and not self.down:
            for module in self.host.running()[:1]:
                self.host.put("/sys/fs/pstore/dmesg-1", f"Panic#1 Part1\n f+0x1/0x2 [{module}]\n")
        self.host.reboot(clean)
        self.down = False
        self._reconcile()
        shutil.rmtree(self.host.paths.at("/sys/fs/pstore"), ignore_errors=True)

    @rule(seconds=st.sampled_from([20, 700]))
    def watch(self, seconds: int) -> None:
        if not self.down:
            self.host.put("/proc/uptime", f"{seconds}.0 1.0\n")
            settle.check(self.host.paths, 600)

    @rule()
    def oops(self) -> None:
        if self.down or not self.host.running():
            return
        text = f"4,1,999000000,-;BUG: x\n4,2,999000000,-; f+0x1/0x2 [{self.host.running()[0]}]\n"
        self.host.put("/dev/kmsg", text)
        _, bad, _ = settle.check(self.host.paths, 600)
        self.host.put("/dev/kmsg", "")
        if bad:
            self._reconcile()
            assert self.down or not self._in_kernel() & set(bad), "an oops in it, and it is still in force"

    @rule(version=st.sampled_from(["1", "2"]))
    def unblock(self, version: str) -> None:
        if not self.down:
            guard.unblock(self.host.paths, str(self.patches[version].nevra))

    @invariant()
    def sound(self) -> None:
        if not hasattr(self, "host"):
            return
        STEPS[0] += 1
        state_of = guard.read(self.host.paths)
        assert len(state_of.kept) <= 2
        if not self.down:
            loaded = self.host.loaded()
            assert sum(values == ("1", "0") for values in loaded.values()) <= 1, (
                "replacing patches do not pile up"
            )
            assert all(values[1] == "0" for values in loaded.values()), "no transition is left behind"
        records = sorted(
            (n, r.state, r.strikes, r.proved, r.boot_id == self.host.boot_id)
            for n, r in state_of.records.items()
        )
        SEEN.add(
            (
                json.dumps(records),
                tuple(self.host.running()),
                tuple(i.nevra for i in state_of.kept),
                self.down,
                tuple(str(p.nevra) for p in self.host.packages().patches),
            )
        )

    def _promise(self) -> None:
        """However it came here: boots until the host stays up, and what is good is in force."""
        for _ in range(3):
            if self.down:
                self.host.reboot(clean=False)
                self.down = False
            self._reconcile()
        assert not self.down, "the host does not stay up"
        found = self.host.packages().patches
        blocked = guard.blocked(self.host.paths)
        if found and str(found[0].nevra) not in blocked and BEHAVIOUR[found[0].nevra.version] == "":
            assert self.host.running() == [found[0].modules[0].name], "a good patch is not in force"
        if not found:
            assert self.host.running() == [] or set(self.host.modules()) - {"lp_4"} == set()
        assert not self._in_kernel() & set(blocked)


def test_every_interleaving():
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=400, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
    print(f"{len(SEEN)} distinct states explored in {STEPS[0]} steps")
    assert len(SEEN) > 100
