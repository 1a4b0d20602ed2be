# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab, made once for all workers of pytest-xdist, and a fresh host for each test."""

from __future__ import annotations

import fcntl
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import stock
from lab import Host, Lab


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    root = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        root = root.parent
    made = Lab(str(root / "lab"))
    with open(root / "lab.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(made.folder + "/complete"):
            made.make(stock.ALL, stock.STATES, stock.BASE)
            with open(made.folder + "/complete", "w", encoding="ascii"):
                pass
    return made


@pytest.fixture
def host(lab: Lab) -> "Host":
    one = lab.host()
    yield one
    one.drop()
