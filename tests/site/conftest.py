# SPDX-License-Identifier: GPL-2.0-or-later
"""The site that every test here looks at."""

import pytest
import site_support


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    return site_support.make(tmp_path_factory.mktemp("report"))
