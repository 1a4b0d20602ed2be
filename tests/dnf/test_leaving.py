# SPDX-License-Identifier: GPL-2.0-or-later
"""The removal of livepatch-runtime by DNF: the plugin, which goes too, says before what stays."""

from __future__ import annotations

import pytest

from tests.dnf.support import rpms, stock
from tests.dnf.support.lab import lines, shared, unharmed

RUNTIME = rpms.Rpm("livepatch-runtime", "1.0.0", "1", arch="noarch")
BASE = (stock.K10, stock.BY1, stock.OTHER, stock.DISTRO)
STATES = {"start": (BASE, (stock.ADV10,)), "runtime": ((*BASE, RUNTIME), (stock.ADV10,))}
STAYS = "The history and the blocks stay in /var/lib/livepatch, for when livepatch-runtime comes back."


@pytest.fixture(scope="module")
def leaving(tmp_path_factory):
    return shared(tmp_path_factory, "leaving", [*BASE, RUNTIME], STATES, stock.BASE)


@pytest.mark.parametrize("inside", [(), ("livepatch_10_1_2",)])
def test_the_removal_says_what_stays(leaving, inside):
    host = leaving.host()
    host.bring("runtime", str(RUNTIME))
    for module in inside:
        host.write(f"/sys/kernel/livepatch/{module}/enabled", "1\n")
    answer = host.dnf("remove", RUNTIME.name)
    later = host.dnf("remove", stock.BY1.name)
    host.drop()
    unharmed(answer)
    assert answer.code == 0 and answer.text.index(STAYS) < answer.text.index("Running transaction\n")
    said = [line for line in lines(answer) if "stays in force until the next boot" in line]
    assert len(said) == len(inside) and all(module in said[0] for module in inside)
    assert STAYS not in later.text
