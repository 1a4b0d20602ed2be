# SPDX-License-Identifier: GPL-2.0-or-later
"""Warnings in time for the publisher: entries that fit nothing, rollouts, kernels left without a patch."""

import json
import re
import shlex
import time

import pytest

from dnf_plugin_livepatch.base import times
from dnf_plugin_livepatch.repotool import cli
from dnf_plugin_livepatch.repotool.repository import metadata
from dnf_plugin_livepatch.toolkit.refusals import LIVEPATCH_REPO
from tests.tools.support import repositories as support
from tests.tools.support.repositories import KERNEL, signing, tool

NAME = support.patch_name(KERNEL)
V1, V2 = f"{NAME}-1-1.el9_4.x86_64", f"{NAME}-1-2.el9_4.x86_64"


def ids(repo):
    return [update.id for update in metadata.load(str(repo / "repodata")).advisories]


def advisory_file(tmp_path, *globs):
    file = tmp_path / "advisory.yml"
    file.write_text(json.dumps({"schema": 1, "advisories": [{"packages": [g], "id": f"EX-{n}"}
                                                            for n, g in enumerate(globs)]}))  # fmt: skip
    return ["--advisory", file]


@pytest.mark.parametrize("glob", ["kpatch-patch-5_14_0-999*", "kernel-core", f"{NAME}-1-3.*"])
@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_an_entry_that_fits_no_live_patch_is_refused_before_an_id_is_out(
    repo, key, second, tmp_path, glob, more
):
    before = ids(repo)
    file = advisory_file(tmp_path, f"{NAME}-1-2*", glob)
    done = tool("publish", "--repo", repo, *signing(key), *file, *more, *second, check=False)
    assert done.returncode == 1 and "[advisory-fault]" in done.stderr and repr(glob) in done.stderr
    assert "advisory.yml" in done.stderr and ids(repo) == before


def test_entries_of_what_is_or_was_published_stay_in_the_file(repo, key, second, tmp_path):
    (tmp_path / "s.yml").write_text("grace: 0\n")
    file = advisory_file(tmp_path, f"{NAME}-1-2.el9_4", V1)
    tool("publish", "--repo", repo, *signing(key), *file, *second)
    assert "EX-0" in ids(repo) and "EX-1" not in ids(repo)
    tool("prune", "--repo", repo, *signing(key), "--keep", "1", "--config", tmp_path / "s.yml")
    told = tool("publish", "--repo", repo.parent / "{arch}", *signing(key), *file, *second, check=False)
    assert V1 in told.stderr, "another repository never had it"
    assert "nothing to do" in tool("publish", "--repo", repo, *signing(key), *file, *second).stdout


def test_a_rollout_is_told_by_publish_and_promote_before_and_after(repo, key, second, tmp_path):
    config = tmp_path / "s.yml"
    config.write_text("rollout:\n- {after: 0h, percent: 5}\n- {after: 3d, percent: 100}\n")
    more = [*signing(key), "--config", config]
    told = re.compile(
        rf"~ record {re.escape(V2)}: issued 2026-11-21T08:00:00Z, offered to 5% now, 100% from (\S+)\n"
    )
    clock = {"SOURCE_DATE_EPOCH": "1700000000"}
    for verb in ["publish", "--repo", repo], ["promote", "--from", repo, "--to", tmp_path / "stable"]:
        rpms = second if verb[0] == "publish" else []
        for dry in ["--dry-run"], []:
            found = told.search(tool(*verb, *more, *rpms, *dry, env=clock).stdout)
            assert found and 2.9 < (times.parse(found[1]) - time.time()) / times.DAY < 3.1


def test_without_a_rollout_none_is_told(repo, key, second):
    done = tool("publish", "--repo", repo, *signing(key), "--dry-run", "--json", *second)
    assert json.loads(done.stdout)["repositories"][0]["record_changed"] == [
        f"{V2}: issued 2026-11-21T08:00:00Z"
    ]


def commands(text):
    """The livepatch-repo commands in ``text``, as argument lists, without the shell's own words."""
    found = re.findall(r"livepatch-repo(?: +(?:'[^'\n]*'|[^\s'`|&>]+))+", text)
    return [
        argv
        for argv in (shlex.split(line)[1:] for line in found)
        if argv[0] in {verb.name for verb in cli.VERBS}
    ]


PLACES = {
    "docs": (support.ROOT / "docs/how-to/publishers.md").read_text(),
    "man": (support.ROOT / "man/livepatch-repo.1").read_text().split(".SH EXAMPLES")[1].replace("\\-", "-"),
    "remedies": "\n".join(remedy for _, remedy in LIVEPATCH_REPO.values()),
}


@pytest.mark.parametrize("place", PLACES)
def test_each_command_that_is_shown_is_a_right_one(place):
    shown = commands(PLACES[place])
    assert len(shown) >= {"docs": 5, "man": 4, "remedies": 1}[place], shown
    for argv in shown:
        if len(argv) > 1:  # else prose that names a verb
            cli._parser().parse_args(argv)


@pytest.mark.parametrize("form", ["{name}", "{name}-1-2.el9_4", "{name}-1-2.el9_4.x86_64", "{name}-1-[2]*"])
def test_withdraw_takes_each_form_of_a_name_and_tells_a_kernel_left_alone(repo, key, second, form):
    tool("publish", "--repo", repo, *signing(key), *second)
    argv = ["withdraw", "--repo", repo, *signing(key), "--reason", "oops", form.format(name=NAME)]
    for more in ["--dry-run"], []:
        done = tool(*argv, *more)
        alone = f"warning: {KERNEL}: Every live patch of this kernel is withdrawn. [kernel-all-withdrawn]"
        assert (alone in done.stdout) == (form == "{name}") and done.returncode == 0
        assert f"{V2}: withdrawn, oops" in done.stdout
        assert (f"{V1}: withdrawn, oops" in done.stdout) == (form == "{name}")


@pytest.mark.parametrize(("replace", "refused"), [(True, True), (False, False)])
def test_modules_that_would_take_each_other_out_of_force_are_refused(repo, key, tmp_path, replace, refused):
    (tmp_path / "b").mkdir()
    two = [support.manifest(module=module, replace=replace) for module in ("kp_8", "kp_9")]
    made = support.build(tmp_path / "b", number="8", manifests=two)
    support.sign(key, *made)
    before = ids(repo)
    done = tool("publish", "--repo", repo, *signing(key), *made, check=not refused)
    assert ("[rpm-manifest]" in done.stderr, ids(repo) == before) == (refused, refused)
