# SPDX-License-Identifier: GPL-2.0-or-later
"""Settings of the unit tests."""

from hypothesis import settings

# A busy machine must not fail a test that is right; tests of speed measure CPU time themselves.
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")
