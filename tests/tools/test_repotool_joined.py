# SPDX-License-Identifier: GPL-2.0-or-later
"""One advisory for the live patches of several kernels, which come one after the other."""

import json
import time

import pytest

from tests.tools.support import repositories as support
from tests.tools.support.published import V1, V2, advisories, names, publish
from tests.tools.support.repositories import signing, tool

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


def correct(repo, key, path, *rpms, check=True, **entry):
    """Publish ``rpms`` in the advisory, with ``entry``."""
    return publish(repo, key, *rpms, check=check, more=("--advisory", written(path, **entry)))


def promote(key, start, stable, check=True):
    return tool("promote", "--from", start, "--to", stable, *signing(key), check=check)


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


# ---- promote


@pytest.mark.parametrize("kernel", KERNELS)
def test_two_sources_share_an_advisory_of_the_target(tmp_path, key, first, others, kernel):
    """The target lists the packages of both, with the CVEs of both."""
    one, two, stable = tmp_path / "one", tmp_path / "two", tmp_path / "stable"
    correct(one, key, tmp_path / "a", first[0])
    correct(two, key, tmp_path / "a", others[kernel], severity="Moderate")
    promote(key, one, stable)
    told = promote(key, two, stable).stdout
    assert listed(stable) == set(names(stable)) and len(names(stable)) == 2
    found = advisories(stable)[ID]
    assert sorted(found.cves) == ["CVE-2024-1086", "CVE-2024-26925"] and found.version == "2"
    # The later state counts, and what the other had is told.
    assert found.severity == "Moderate"
    assert f"warning: {ID}: " in told and "severity Important" in told and "[advisory-not-joined]" in told
    for start in (one, two):
        assert "nothing to do" in promote(key, start, stable).stdout
    tool("verify", "--repo", stable, "--key", key.public)


@pytest.mark.parametrize(
    "entry, field", [({"type": "enhancement"}, "type"), ({"issued": "2026-10-01"}, "issue date")]
)
def test_a_promotion_changes_no_type_and_no_issue_date(tmp_path, key, first, others, entry, field):
    one, two, stable = tmp_path / "one", tmp_path / "two", tmp_path / "stable"
    correct(one, key, tmp_path / "a", first[0])
    correct(two, key, tmp_path / "a", *others.values(), **entry)
    promote(key, one, stable)
    done = promote(key, two, stable, check=False)
    assert done.returncode == 1 and "[advisory-changed]" in done.stderr and f"another {field}" in done.stderr
    assert names(stable) == [V1]


def test_the_later_correction_counts_whatever_the_versions_say(tmp_path, key, first, second):
    start, stable = tmp_path / "start", tmp_path / "stable"
    for title in ("One", "Two", "Three"):
        correct(start, key, tmp_path / "a", first[0], title=title)
    promote(key, start, stable)
    correct(start, key, tmp_path / "a", first[0], title="Four")
    time.sleep(1.1)  # the time of an advisory has whole seconds
    correct(stable, key, tmp_path / "a", first[0], title="Later", cves=["CVE-2024-7777"])
    time.sleep(1.1)
    told = promote(key, start, stable).stdout
    assert "nothing to do" in told and "[advisory-not-joined]" not in told
    assert advisories(stable)[ID].title == "Later"
    # The source is the later one again. What it lacks is told.
    correct(start, key, tmp_path / "a", *second, severity="Low")
    told = promote(key, start, stable).stdout
    assert f"warning: {ID}: " in told and "CVE-2024-7777 stays out" in told
    found = advisories(stable)[ID]
    assert (found.title, found.severity, found.version) == ("Four", "Low", "5") and V2 in listed(stable)
