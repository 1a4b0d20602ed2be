# SPDX-License-Identifier: GPL-2.0-or-later
"""Settings of the unit tests. `make mutants` sets HYPOTHESIS_PROFILE=mutants: fewer cases, the same ones."""

from __future__ import annotations

import os

import pytest
from hypothesis import Phase, settings

PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "steady")
# A busy machine must not fail a test that is right; tests of speed measure CPU time themselves.
settings.register_profile("steady", deadline=None)
# For a mutant any failing case will do: to shrink it takes long enough to end as a timeout.
settings.register_profile(
    "mutants",
    deadline=None,
    max_examples=30,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),
)
settings.load_profile(PROFILE)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests with generated cases last for a mutant: the first failure ends its run."""
    if PROFILE == "mutants":
        items.sort(key=lambda item: hasattr(getattr(item, "function", None), "hypothesis"))
