# SPDX-License-Identifier: GPL-2.0-or-later
"""Settings of the unit tests. `make mutants` sets HYPOTHESIS_PROFILE=mutants: fewer cases, the same ones."""

import os

from hypothesis import settings

# A busy machine must not fail a test that is right; tests of speed measure CPU time themselves.
settings.register_profile("steady", deadline=None)
settings.register_profile("mutants", deadline=None, max_examples=30, derandomize=True, database=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))
