# SPDX-License-Identifier: GPL-2.0-or-later
"""SIGKILL and power cuts at every call that changes the host, one after the other, then again.

``state.step`` marks those calls. Each scenario is run once to count them, then once for each of them
with the process killed there; what comes after has to end where an undisturbed run ends.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from typing import Callable, Dict, List, Tuple

import pytest
from fakehost import QUICK, Host

from dnf_plugin_livepatch.runtime import guard, journal, reconcile, request, state

Prepare = Callable[[Host], None]


def _v1_in_force(host: Host) -> None:
    host.install(host.patch("1"))
    reconcile.reconcile(host.paths, host.config)


def _first_load(host: Host) -> None:
    host.install(host.patch("1"))


def _replace(host: Host) -> None:
    _v1_in_force(host)
    host.install(host.patch("2"))


def _downgrade(host: Host) -> None:
    host.install(host.patch("2"))
    reconcile.reconcile(host.paths, host.config)
    host.install(host.patch("1"))


def _remove(host: Host) -> None:
    _v1_in_force(host)
    host.install()


def _set(host: Host) -> None:
    host.install(host.patch("1", "lp_a", "lp_b", replace=False))


def _stall(host: Host) -> None:
    _v1_in_force(host)
    host.install(host.patch("2", behave="stall"))


def _sick(host: Host) -> None:
    _v1_in_force(host)
    host.install(host.patch("2"))
    host.config = host.config._replace(health_check=("false",))


SCENARIOS: Dict[str, Prepare] = {
    "first load": _first_load,
    "replace": _replace,
    "downgrade": _downgrade,
    "remove": _remove,
    "set": _set,
    "stall": _stall,
    "health check": _sick,
}


def _count(host: Host, monkeypatch: pytest.MonkeyPatch) -> List[str]:
    steps: List[str] = []
    monkeypatch.setattr(state, "hook", steps.append)
    reconcile.reconcile(host.paths, host.config)
    monkeypatch.setattr(state, "hook", None)
    return steps


def _killed_at(host: Host, number: int) -> None:
    """Run reconcile in a child that gets SIGKILL at its ``number``-th step."""
    child = os.fork()
    if child == 0:
        left = [number]

        def hook(_: str) -> None:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        state.hook = hook
        try:
            reconcile.reconcile(host.paths, host.config)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, (
        f"step {number} was never reached"
    )


def _fresh(tmp_path: str, name: str, prepare: Prepare, monkeypatch: pytest.MonkeyPatch) -> Host:
    shutil.rmtree(tmp_path, ignore_errors=True)
    host = Host(tmp_path).create().attach(monkeypatch)
    prepare(host)
    return host


@pytest.fixture
def root():
    folder = tempfile.mkdtemp(prefix="lp-crash-", dir=QUICK)
    yield folder + "/root"
    shutil.rmtree(folder)


def _sound(host: Host) -> None:
    """What holds after any crash: every file can be read, nothing blocked is loaded, the answer is there."""
    guard.read(host.paths)
    journal.read(host.paths)
    assert request.read_result(host.paths) is not None
    for module in host.loaded():
        owner = guard.read(host.paths).owned.get(module)
        assert owner is None or owner.nevra not in guard.blocked(host.paths)


@pytest.mark.parametrize("name", SCENARIOS)
def test_killed_anywhere_then_run_again(root, monkeypatch, name):
    prepare = SCENARIOS[name]
    undisturbed = _fresh(root, name, prepare, monkeypatch)
    steps = _count(undisturbed, monkeypatch)
    wanted = (undisturbed.running(), undisturbed.modules(), set(guard.blocked(undisturbed.paths)))
    assert len(steps) >= 4
    for number in range(1, len(steps) + 1):
        host = _fresh(root, name, prepare, monkeypatch)
        _killed_at(host, number)
        reconcile.reconcile(host.paths, host.config)
        reconcile.reconcile(host.paths, host.config)
        _sound(host)
        ended = (host.running(), host.modules(), set(guard.blocked(host.paths)))
        assert ended == wanted, f"killed at step {number}: {steps[number - 1]}"
    print(f"{name}: killed at each of {len(steps)} steps, all converged")


@pytest.mark.parametrize("name", SCENARIOS)
def test_power_cut_anywhere_then_boot(root, monkeypatch, name):
    prepare = SCENARIOS[name]
    steps = _count(_fresh(root, name, prepare, monkeypatch), monkeypatch)
    blocked: List[Tuple[str, str]] = []
    for number in range(1, len(steps) + 1):
        host = _fresh(root, name, prepare, monkeypatch)
        _killed_at(host, number)
        host.reboot(clean=False)
        installed = [str(patch.nevra) for patch in host.packages().patches]
        result = reconcile.reconcile(host.paths, host.config)
        _sound(host)
        if any(nevra in guard.blocked(host.paths) for nevra in installed):
            blocked.append((steps[number - 1], installed[0]))
            # Cut while the older one was being loaded again, that one is blocked as well.
            older = "lp-2-1.x86_64" if name == "downgrade" else "lp-1-1.x86_64"
            kept = name in ("replace", "downgrade", "stall", "health check")
            assert bool(host.running()) is (kept and older not in guard.blocked(host.paths))
        elif name != "stall":
            assert result.ok and bool(host.running()) == bool(installed), steps[number - 1]
    print(f"{name}: power cut at each of {len(steps)} steps; {len(blocked)} of them block the new patch")
    during_load = sum(1 for step in steps if step in ("before insmod", "after insmod"))
    assert len(blocked) >= min(during_load, 1)
