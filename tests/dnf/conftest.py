# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab, made once for all workers of pytest-xdist, and a fresh host for each test."""

from __future__ import annotations

import pytest

from tests.dnf.support import stock
from tests.dnf.support.lab import Host, Lab, shared


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return shared(tmp_path_factory, "lab", stock.ALL, stock.STATES, stock.BASE)


@pytest.fixture
def host(lab: Lab) -> Host:
    one = lab.host()
    yield one
    one.drop()
