# SPDX-License-Identifier: GPL-2.0-or-later
"""Keys and signed live-patch packages that many tests of livepatch-repo share, made once a worker."""

import shutil

import pytest

from tests.tools.support import repositories as support


@pytest.fixture(scope="session")
def key():
    with support.signer("alice") as made:
        yield made


@pytest.fixture(scope="session")
def stranger():
    with support.signer("mallory") as made:
        yield made


@pytest.fixture(scope="session")
def first(tmp_path_factory, key):
    """Version 1-1 for the kernel: binary, source and debugging data, signed."""
    made = support.build(tmp_path_factory.mktemp("first"), source=True, debug=True)
    support.sign(key, *made)
    return made


@pytest.fixture(scope="session")
def second(tmp_path_factory, key):
    """Version 1-2, which closes one CVE more."""
    made = support.build(
        tmp_path_factory.mktemp("second"),
        number="2",
        manifests=[
            support.manifest(
                module="kp_427_1_2", cves=["CVE-2024-1086", "CVE-2024-26642"], issued="2026-11-21T08:00:00Z"
            )
        ],
    )
    support.sign(key, *made)
    return made


@pytest.fixture(scope="session")
def kernel(tmp_path_factory, key):
    """A dummy package of the kernel that the patches are for."""
    made = support.build_kernel(tmp_path_factory.mktemp("kernel"))
    support.sign(key, made)
    return made


@pytest.fixture(scope="session")
def _published(tmp_path_factory, key, first, kernel):
    repo = tmp_path_factory.mktemp("published") / "repo"
    support.tool("publish", "--repo", repo, *support.signing(key), first[0], kernel)
    return repo


@pytest.fixture
def repo(_published, tmp_path):
    """A repository of this test's own with the kernel and version 1-1 published."""
    copy = tmp_path / "repo"
    shutil.copytree(_published, copy, symlinks=True)
    return copy
