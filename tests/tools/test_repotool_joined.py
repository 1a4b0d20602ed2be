# SPDX-License-Identifier: GPL-2.0-or-later
"""One advisory for the live patches of several kernels, which come one after the other."""

import json

import pytest

from tests.tools.support import repositories as support
from tests.tools.support.published import V1, advisories, names, publish

ID = "EX-2026:7"
KERNELS = {
    "a later build of the kernel": "5.14.0-427.16.1.el9_4.x86_64",
    "another minor release": "5.14.0-503.11.1.el9_5.x86_64",
}


def written(path, **entry):
    """An advisory file whose only entry is for every live patch."""
    path.write_text(json.dumps({"schema": 1, "advisories": [{"id": ID, **entry}]}))
    return path


@pytest.fixture(scope="module")
def others(tmp_path_factory, key):
    """A live patch for each of KERNELS, with another CVE."""
    made = {}
    for name, release in KERNELS.items():
        manifest = support.manifest(release, "kp_other", ["CVE-2024-26925"], issued="2026-11-20T10:00:00Z")
        (made[name],) = support.build(tmp_path_factory.mktemp("other"), release, manifests=[manifest])
    support.sign(key, *made.values())
    return made


def listed(repo):
    """The packages of the advisory."""
    return {str(item.nevra) for item in advisories(repo)[ID].packages}


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_fix_for_another_kernel_joins_a_published_advisory(tmp_path, key, first, others, kernel):
    repo, more = tmp_path / "repo", ("--advisory", written(tmp_path / "a"))
    publish(repo, key, first[0], more=more)
    told = publish(repo, key, others[kernel], more=more).stdout
    assert f"~ advisory {ID}" in told
    assert listed(repo) == {V1, others[kernel].name[: -len(".rpm")]} == set(names(repo))
    assert advisories(repo)[ID].cves == ("CVE-2024-1086", "CVE-2024-26925")
