# SPDX-License-Identifier: GPL-2.0-or-later
"""SIGKILL and power cuts at every call that changes the host, one after the other, then again.

``state.step`` marks those calls. Each scenario is run once to count them, then once for each of them
with the process killed there; what comes after has to end where an undisturbed run ends.
"""

from __future__ import annotations

import shutil
import tempfile
from functools import partial
from typing import Callable

import pytest

from dnf_plugin_livepatch.host.files import guard_file
from dnf_plugin_livepatch.host.reconcile import run as reconcile
from tests.unit.support.fakehost import QUICK, Host, run
from tests.unit.support.killing import killed_at, sound, steps

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


SCENARIOS: dict[str, Prepare] = {
    "first load": _first_load,
    "replace": _replace,
    "downgrade": _downgrade,
    "remove": _remove,
    "set": _set,
    "stall": _stall,
    "health check": _sick,
}


def _fresh(tmp_path: str, prepare: Prepare, monkeypatch: pytest.MonkeyPatch) -> Host:
    shutil.rmtree(tmp_path, ignore_errors=True)
    host = Host(tmp_path).create().attach(monkeypatch)
    prepare(host)
    return host


@pytest.fixture
def root():
    folder = tempfile.mkdtemp(prefix="lp-crash-", dir=QUICK)
    yield folder + "/root"
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", SCENARIOS)
def test_killed_anywhere_then_run_again(root, monkeypatch, name, record_property):
    prepare = SCENARIOS[name]
    undisturbed = _fresh(root, prepare, monkeypatch)
    found = steps(partial(run, undisturbed))
    wanted = (undisturbed.running(), undisturbed.modules(), set(guard_file.blocked(undisturbed.paths)))
    assert len(found) >= 4
    for number in range(1, len(found) + 1):
        host = _fresh(root, prepare, monkeypatch)
        killed_at(partial(run, host), number)
        reconcile.reconcile(host.paths, host.config)
        reconcile.reconcile(host.paths, host.config)
        sound(host)
        ended = (host.running(), host.modules(), set(guard_file.blocked(host.paths)))
        assert ended == wanted, f"killed at step {number}: {found[number - 1]}"
    record_property("told", f"{name}: killed at each of {len(found)} steps, all converged")


@pytest.mark.parametrize("name", SCENARIOS)
def test_power_cut_anywhere_then_boot(root, monkeypatch, name, record_property):
    prepare = SCENARIOS[name]
    found = steps(partial(run, _fresh(root, prepare, monkeypatch)))
    blocked: list[tuple[str, str]] = []
    for number in range(1, len(found) + 1):
        host = _fresh(root, prepare, monkeypatch)
        killed_at(partial(run, host), number)
        host.reboot(clean=False)
        installed = [str(patch.nevra) for patch in host.packages().patches]
        result = reconcile.reconcile(host.paths, host.config)
        sound(host)
        if any(nevra in guard_file.blocked(host.paths) for nevra in installed):
            blocked.append((found[number - 1], installed[0]))
            # Cut while the older one was being loaded again, that one is blocked as well.
            older = "lp-2-1.x86_64" if name == "downgrade" else "lp-1-1.x86_64"
            kept = name in ("replace", "downgrade", "stall", "health check")
            assert bool(host.running()) is (kept and older not in guard_file.blocked(host.paths))
        elif name != "stall":
            assert result.ok and bool(host.running()) == bool(installed), found[number - 1]
    told = f"power cut at each of {len(found)} steps; {len(blocked)} of them block the new patch"
    record_property("told", f"{name}: {told}")
    during_load = sum(1 for step in found if step in ("before insmod", "after insmod"))
    assert len(blocked) >= min(during_load, 1)
