# SPDX-License-Identifier: GPL-2.0-or-later
"""The site that every test here looks at."""

import pytest

from tests.site.support import example_site


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    return example_site.make(tmp_path_factory.mktemp("report"))
