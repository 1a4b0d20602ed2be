# SPDX-License-Identifier: GPL-2.0-or-later
"""What an interruption, or a hand, has left in a repository."""

import os

import pytest

from dnf_plugin_livepatch.repotool import moving, transaction
from dnf_plugin_livepatch.repotool.repository import store
from tests.tools.support.published import V1, V2, job_for, names, publish
from tests.tools.support.repositories import signing, tool


def present(repo):
    return os.path.basename(os.path.dirname(os.path.realpath(repo / "repodata")))


def rpms(repo):
    return {path.name for path in repo.glob("Packages/*/*.rpm")}


@pytest.mark.parametrize("verb", ["withdraw", "sign"])
def test_a_state_that_the_link_was_set_back_from_is_kept_for_its_time(repo, key, second, verb):
    """Clients read it a moment ago."""
    old = present(repo)
    publish(repo, key, *second)
    left = present(repo)
    os.unlink(repo / "repodata")
    os.symlink(f"generations/{old}/repodata", repo / "repodata")
    more = ["--reason", "oops", V1] if verb == "withdraw" else []
    tool(verb, "--repo", repo, *signing(key), *more)
    assert V2 not in names(repo) and V2 in names(repo / "generations" / left)
    assert f"{V2}.rpm" in rpms(repo)
    tool("verify", "--repo", repo / "generations" / left, "--key", key.public)
    store.Store(str(repo)).sweep(0)
    assert f"{V2}.rpm" not in rpms(repo) and not (repo / "generations" / left).exists()
    assert rpms(repo) == {f"{name}.rpm" for name in names(repo)}


def test_a_state_after_the_present_one_stays_while_the_mirrorlist_names_it(repo, key, second):
    old = present(repo)
    publish(repo, key, *second)
    left = present(repo)
    (repo / "mirrorlist").write_text(f"https://example.com/generations/{left}/\n")
    os.unlink(repo / "repodata")
    os.symlink(f"generations/{old}/repodata", repo / "repodata")
    store.Store(str(repo)).sweep(0)
    assert f"{V2}.rpm" in rpms(repo) and V2 in names(repo / "generations" / left)


@pytest.mark.parametrize("known", ["advisory", "record"])
def test_the_next_prune_ends_an_interrupted_one(tmp_path, key, first, second, known):
    repo = tmp_path / "repo"
    publish(repo, key, *first)
    publish(repo, key, *second)
    job = job_for(key)
    transaction.change(str(repo), job, moving._PruneOfPatches(1))  # and then the run ends
    if known == "record":
        state = transaction.load(store.Store(str(repo)))
        kept = [update for update in state.advisories if "1-1." not in update.text]
        transaction.change(str(repo), job, Fixed(state, kept))
    assert names(repo) == [V2] and len(names(repo / "source")) == len(names(repo / "debug")) == 1
    told = tool("prune", "--repo", repo, *signing(key), "--keep", "1").stdout
    assert told.count("  - ") == 2 and names(repo / "source") == names(repo / "debug") == []


class Fixed:
    """The content of ``state`` with other advisories."""

    def __init__(self, state, advisories):
        self.next = transaction.Next(state.packages, advisories, state.record)

    def decide(self, state, job):
        return self.next


def test_a_source_package_that_waits_for_its_build_is_not_pruned(tmp_path, key, first, second):
    repo = tmp_path / "repo"
    publish(repo, key, *second, first[1])
    assert "nothing to do" in tool("prune", "--repo", repo, *signing(key), "--keep", "1").stdout
    assert len(names(repo / "source")) == 1
