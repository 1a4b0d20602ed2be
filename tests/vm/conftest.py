# SPDX-License-Identifier: GPL-2.0-or-later
"""One demo host for all tests of this folder: booted once, set back to a snapshot for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.vm.support.demo_host import CONF, PATCHED, SETTLED, Host
from vm import qemu
from vm.common import Progress


@pytest.fixture(scope="session")
def booted() -> Iterator[Host]:
    """The host as booted, with a snapshot to go back to."""
    Progress.shown = True
    with qemu.Machine(qemu.build()) as machine:
        machine.boot()
        # An emulated machine on a busy one is slow, and no test here measures how long a transition takes.
        machine.ok(f"printf '[main]\\ntransition_timeout = 240\\n' >{CONF}")
        # The first start of DNF reads much of Python from the disk; the snapshot keeps that in memory.
        machine.ok("dnf -q repolist")
        machine.save(SETTLED)
        yield Host(machine)


@pytest.fixture
def host(booted: Host) -> Host:
    """The host with the older kernel running and nothing upgraded."""
    booted.reset()
    return booted


@pytest.fixture(scope="session")
def upgraded(booted: Host) -> Host:
    """The host after the first upgrade, with a snapshot to go back to."""
    booted.reset()
    booted.run("dnf -y -q upgrade")
    assert not booted.leaks()
    booted.machine.save(PATCHED)
    return booted


@pytest.fixture
def patched(upgraded: Host) -> Host:
    """The host with the first live patch in force, the newer kernel installed."""
    upgraded.reset(PATCHED)
    return upgraded


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs the virtual machine; `make test` boots it for the smoke test alone."""
    for item in items:
        if "/tests/vm/" in str(item.path):
            item.add_marker("vm")
            if item.get_closest_marker("smoke") is None:
                item.add_marker("slow")
