# SPDX-License-Identifier: GPL-2.0-or-later
"""Every pair of those that change the host, the second at each step of the first: no update is lost.

The end has to be that of the one before the other, in either order. So has what each of them tells, and
what the last one tells is the state of the kernel.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from functools import partial

import pytest

from dnf_plugin_livepatch.host.cli import main as cli
from dnf_plugin_livepatch.host.files import guard_file, mailbox
from dnf_plugin_livepatch.host.packages import inventory
from dnf_plugin_livepatch.host.reconcile import settle
from tests.unit.support.fakehost import QUICK, Host, run
from tests.unit.support.killing import steps
from tests.unit.support.racing import Work, ended, race, told
from tests.unit.support.reporting import FakeDatabase

V2 = "lp-2-1.x86_64"
#: Each how many steps `make test` lets the second begin; `make test-all` takes every step.
STRIDE = 23


def verb(*words: str) -> Work:
    return lambda host: cli.main(list(words))


def _unit(host: Host) -> int:
    """The run of livepatch-reconcile.service."""
    return cli.main(["reconcile"])


def _trigger(host: Host) -> int:
    mailbox.request(host.paths)
    return _unit(host)


def _boot(host: Host) -> int:
    host.put("/run/livepatch/booting", "")
    try:
        return _unit(host)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(host.paths.booting)


def _dnf(host: Host) -> int:
    """A transaction that brings a newer patch; then the plugin asks for a run."""
    host.install(host.patch("3"))
    mailbox.request(host.paths)
    return _unit(host)


def _settle(host: Host) -> int:
    return settle.main(host.paths)


ACTORS: dict[str, Work] = {
    "block": verb("block", V2, "--reason", "killed the db"),
    "unblock": verb("unblock", V2),
    "unload": verb("unload", "lp_2"),
    "reconcile": verb("reconcile"),
    "trigger": _trigger,
    "settle": _settle,
    "boot": _boot,
    "dnf": _dnf,
}
PAIRS = list(itertools.product(ACTORS, ACTORS))
#: How the host is when the two begin: v2 waits to be loaded over v1, is in force, or had an oops.
STARTS = ("pending", "in force", "oops")
COUNTS: Counter[str] = Counter()


def _prepare(host: Host, start: str, pair: tuple[str, str]) -> None:
    host.put("/etc/dnf/plugins/livepatch.conf", "[main]\ntransition_timeout = 0\n")
    host.install(host.patch("1"))
    run(host)
    host.install(host.patch("2"))
    if start != "pending" or "boot" in pair:
        run(host)
    if "boot" in pair:
        host.reboot(clean=start == "pending")
    host.put("/proc/uptime", "700.0 1.0\n")
    if start == "oops":
        host.oops("lp_2", 650)
    if "unblock" in pair:
        guard_file.block(host.paths, V2, "it was suspected")
        if "boot" not in pair and start != "pending":
            run(host)


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="lp-race-", dir=QUICK)
    monkeypatch.setattr(inventory, "_open", lambda paths: FakeDatabase())
    monkeypatch.setenv("LIVEPATCH_ROOT", folder + "/root")
    yield folder + "/root"
    shutil.rmtree(folder)


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
@pytest.mark.parametrize("stride", [STRIDE, pytest.param(1, marks=pytest.mark.slow)])
def test_no_update_is_lost(
    root: str, pair: tuple[str, str], start: str, stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host(root).create().attach(monkeypatch)
    _prepare(host, start, pair)
    shutil.copytree(root, root + ".ready", symlinks=True)

    def fresh() -> Host:
        shutil.rmtree(root)
        shutil.copytree(root + ".ready", root, symlinks=True)
        return host

    first, second = (ACTORS[name] for name in pair)
    one_by_one = []
    for order in ((first, second), (second, first)):
        fresh()
        claims = {work: told(work, host) for work in order}
        if first is second:
            claims = {first: told(first, host)}
        one_by_one.append((ended(host), claims))
    ends = [end for end, _ in one_by_one]
    if start == "oops" and set(pair) == {"settle", "unload"}:
        # One after the other the first leaves the second nothing to do. Beside each other both find the
        # patch in force, and both words hold.
        ((*_, blocks),) = [end for end in ends if end[-1]]
        ends.append(([], [], [V2], [V2], [], blocks))
    found = steps(partial(told, first, fresh()))
    begin = 1 + sum(map(ord, "".join(pair))) % stride
    for number in range(begin, len(found) + 1, stride):
        fresh()
        at = f"{pair[1]} at step {number} of {pair[0]}: {found[number - 1]}"
        result = race(first, second, host, number)
        assert result is not None, at
        COUNTS["races"] += 1
        COUNTS["waited"] += result.waited
        assert ended(host) in ends, f"{at}: {ended(host)}, not one of {ends}; {result}"
        if result.last is not None and result.last.in_force:
            mine = tuple(f"lp-{name[3:]}-1.x86_64" for name in host.running())
            assert result.last.in_force == mine, f"{at}: {result.last}, but {mine} is in force"
        if first is second:
            continue
        for who, work, said in (("first", first, result.first), ("second", second, result.second)):
            known = [claims[work] for _, claims in one_by_one]
            assert said[:2] in [one[:2] for one in known], f"{at}: the {who} told {said}, not one of {known}"
            # A run that follows a transaction which came meanwhile tells of the packages after it.
            now = tuple(f"lp-{name[3:]}-1.x86_64" for name in host.running())
            states = [*(one.in_force for one in known), now]
            assert said.in_force in states, f"{at}: the {who} told {said}, not one of {states}"


def test_the_matrix_was_run(record_property) -> None:
    if COUNTS:
        pairs = f"{len(PAIRS)} pairs of {len(ACTORS)} actors, {len(STARTS)} states of the host"
        text = f"{pairs}: {COUNTS['races']} races, in {COUNTS['waited']} of them one waited for its turn"
        record_property("told", text)
