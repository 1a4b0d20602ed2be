# SPDX-License-Identifier: GPL-2.0-or-later
"""The actors of support/guard_actors.py in random walks.

A sample, not a proof: ``WALKS`` walks of at most ``DEPTH`` rules, the same ones in each `make test`.
GUARD_WALKS=N takes N others each time, as `make test-trials` does. test_crashes*.py and test_guard_depth.py
enumerate.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.unit.support.guard_actors import COUNTS, SEEN, Machine

OTHERS = os.environ.get("GUARD_WALKS", "")
WALKS, DEPTH = int(OTHERS or 400), 25


def test_random_walks(record_property):
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=WALKS,
            stateful_step_count=DEPTH,
            deadline=None,
            derandomize=not OTHERS,
            suppress_health_check=list(HealthCheck),
        ),
    )
    walks = f"{WALKS} random walks of up to {DEPTH} rules"
    ways = f"{COUNTS['rules']} rules, {COUNTS['steps']} steps of theirs, {COUNTS['cuts']} cut off at one"
    record_property("told", f"guard model, a sample: {walks}; {ways}; {len(SEEN)} distinct states")
    assert len(SEEN) > 300 and COUNTS["cuts"] > 100
