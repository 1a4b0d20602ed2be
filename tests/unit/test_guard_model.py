# SPDX-License-Identifier: GPL-2.0-or-later
"""The actors of support/guard_actors.py in random walks.

A sample, not a proof: walks of at most ``DEPTH`` rules, the same ones each time. `make test` takes 80 of
them, `make test-all` 400 more. GUARD_WALKS=N takes N others each time, as `make test-trials` does.
test_crashes*.py and test_guard_depth.py enumerate.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.unit.support.guard_actors import COUNTS, SEEN, Machine

OTHERS = os.environ.get("GUARD_WALKS", "")
WALKS = [int(OTHERS)] if OTHERS else [80, pytest.param(400, marks=pytest.mark.slow)]
DEPTH = 25


@pytest.mark.parametrize("walks", WALKS)
def test_random_walks(walks, record_property):
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=walks,
            stateful_step_count=DEPTH,
            deadline=None,
            derandomize=not OTHERS,
            suppress_health_check=list(HealthCheck),
        ),
    )
    kind = f"{walks} random walks of up to {DEPTH} rules"
    ways = f"{COUNTS['rules']} rules, {COUNTS['steps']} steps of theirs, {COUNTS['cuts']} cut off at one"
    record_property("told", f"guard model, a sample: {kind}; {ways}; {len(SEEN)} distinct states")
    assert len(SEEN) > walks * 3 // 4 and COUNTS["cuts"] > walks // 4
