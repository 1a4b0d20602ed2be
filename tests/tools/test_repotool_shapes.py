# SPDX-License-Identifier: GPL-2.0-or-later
"""Repositories that were copied, moved to other file systems and clocks, or read under other names."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import subprocess
import time

import pytest

from dnf_plugin_livepatch.base import times
from dnf_plugin_livepatch.formats import repository_record as record
from dnf_plugin_livepatch.repotool.repository import generations, store
from dnf_plugin_livepatch.toolkit.errors import ToolError
from tests.tools.support.published import V1, V2, job_for, loaded, names, publish, tree
from tests.tools.support.repositories import KERNEL, Client, Server, signing, tool


def rpms(repo: pathlib.Path) -> set[str]:
    return {path.name for path in repo.glob("Packages/*/*.rpm")}


def withdraw(repo, key, name=V1, **more):
    return tool("withdraw", "--repo", repo, *signing(key), "--reason", "oops", name, **more)


def installs(tmp_path, repo, key, what, where="client"):
    """Does dnf install ``what`` from ``repo``?"""
    with Server(repo) as server:
        client = Client(tmp_path / where, server.url, key)
        client.dnf("install", what)
        return what in client.installed()


COPIES = {
    "cp -rL": ["cp", "-rL"],
    "cp -aL": ["cp", "-aL"],
    "tar -h": ["sh", "-c", 'mkdir "$2" && tar -C "$1" -ch . | tar -C "$2" -x', "sh"],
}


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("verb", ["publish", "withdraw", "refused"])
def test_a_copy_that_followed_the_links_loses_no_package(repo, key, second, tmp_path, copy, verb):
    """Its repodata is a plain folder, which is no generation of ours."""
    publish(repo, key, *second)
    back, files, listed = tmp_path / "back", rpms(repo), names(repo)
    assert {V1, V2} < set(listed)
    subprocess.run([*copy, str(repo), str(back)], check=True)
    assert not (back / "repodata").is_symlink() and rpms(back) == files
    if verb == "refused":
        done = publish(back, key, tmp_path / "nothing.rpm", check=False)
        assert done.returncode == 1
    elif verb == "publish":
        assert "nothing to do" in publish(back, key, *second).stdout
    else:
        withdraw(back, key, V2)
        assert (back / "repodata").is_symlink()
        assert record.parse(loaded(back).record).kernels[KERNEL].patches[V2].withdrawn
    assert rpms(back) == files and names(back) == listed
    tool("verify", "--repo", back, "--key", key.public)
    assert installs(tmp_path, back, key, V1)


def test_a_copy_is_swept_once_its_generations_are_known_again(repo, key, second, tmp_path):
    publish(repo, key, *second)
    back = tmp_path / "back"
    shutil.copytree(repo, back)
    (tmp_path / "s.yml").write_text("grace: 0h\n")
    for name in (V1, V2):
        withdraw(back, key, name)
    tool("prune", "--repo", back, *signing(key), "--keep", "1", "--config", tmp_path / "s.yml")
    publish(back, key, *second, more=("--config", tmp_path / "s.yml"))
    assert len(list((back / "generations").iterdir())) == 1
    assert rpms(back) == {f"{name}.rpm" for name in names(back)}


def test_metadata_that_cannot_be_read_costs_no_package(repo, key, second):
    publish(repo, key, *second)
    files = rpms(repo)
    (repo / "generations" / "20200101T000000.000000Z-before" / "repodata").mkdir(parents=True)
    (repo / "generations" / "20200101T000000.000000Z-before" / "repodata" / "repomd.xml").write_text("<cut")
    store.Store(str(repo)).begin()
    store.Store(str(repo)).sweep(10**6)
    assert rpms(repo) == files


# ---- the mirrorlist


def mirrored(tmp_path, repo, key, first, url):
    config = tmp_path / "with-url.yml"
    config.write_text(f"base_url: {url}\n")
    tool("publish", "--repo", repo, *signing(key), "--config", config, *first)
    return config


def of_mirrorlist(repo):
    found = re.search(r"/generations/([^/]+)/$", (repo / "mirrorlist").read_text())
    assert found
    return found[1]


def present(repo):
    return os.path.basename(os.path.dirname(os.path.realpath(repo / "repodata")))


def test_a_change_without_settings_reaches_the_clients_of_the_mirrorlist(repo, key, first, tmp_path):
    with Server(repo) as server:
        mirrored(tmp_path, repo, key, first, server.url)
        withdraw(repo, key)
        assert of_mirrorlist(repo) == present(repo)
        read = loaded(repo / "generations" / of_mirrorlist(repo))
        assert record.parse(read.record).kernels[KERNEL].patches[V1].withdrawn
        client = Client(tmp_path / "client", server.url + "/mirrorlist", key, mirrors=True)
        client.dnf("install", V1)


def test_a_mirrorlist_that_was_left_behind_is_told_and_mended(repo, key, second, tmp_path):
    """As after a kill between the switch and the mirrorlist."""
    config = mirrored(tmp_path, repo, key, second, "https://example.com/r")
    old = of_mirrorlist(repo)
    withdraw(repo, key)
    (repo / "mirrorlist").write_text(f"https://example.com/r/generations/{old}/\n")
    done = tool("verify", "--repo", repo, "--key", key.public, check=False)
    assert done.returncode == 3 and "[mirrorlist-stale]" in done.stdout
    (tmp_path / "s.yml").write_text("grace: 0h\n")
    again = tool(
        "withdraw", "--repo", repo, *signing(key), "--reason", "oops", V1, "--config", tmp_path / "s.yml"
    )
    assert "mended" in again.stdout and "nothing to do" not in again.stdout
    assert of_mirrorlist(repo) == present(repo)
    assert (
        "nothing to do" in tool("publish", "--repo", repo, *signing(key), "--config", config, *second).stdout
    )


LISTS = {
    "two addresses": ("https://a.example/r/generations/{}/\nhttps://b.example/r/generations/{}/\n", 2),
    "among others": (
        "#https://x.example/generations/1/\n\nhttps://a.example/r/generations/{}/\nhttps://c.example/plain/\n",
        1,
    ),
    "another state": ("https://a.example/r/generations/{}/\nhttps://b.example/r/generations/20200101/\n", 2),
}


@pytest.mark.parametrize("url", ["", "https://b.example/r"])
@pytest.mark.parametrize("name", LISTS)
def test_each_address_of_a_mirrorlist_gets_the_new_state(repo, key, tmp_path, name, url):
    text, count = LISTS[name]
    (repo / "mirrorlist").write_text(text.format(*[present(repo)] * 2))
    (tmp_path / "s.yml").write_text(f"base_url: {url}\n" if url else "grace: 1h\n")
    words = ["--reason", "oops", V1, "--config", tmp_path / "s.yml"]
    tool("withdraw", "--repo", repo, *signing(key), *words)
    told = (repo / "mirrorlist").read_text()
    if url and count == 1:  # the address of the settings is none of the file's
        assert told == f"{url}/generations/{present(repo)}/\n"
    else:
        assert told == text.replace("20200101", "{}").format(*[present(repo)] * 2)
    assert store.Store(str(repo)).stale() == ""
    assert "nothing to do" in tool("withdraw", "--repo", repo, *signing(key), *words).stdout


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
@pytest.mark.parametrize("text", ["", "https://a.example/r/\n", "https://a.example/r/generations/\n"])
def test_a_mirrorlist_that_no_change_can_reach_stops_the_change(repo, key, tmp_path, text, dry):
    (repo / "mirrorlist").write_text(text)
    before = tree(repo)
    words = ["withdraw", "--repo", repo, *signing(key), "--reason", "oops", V1]
    done = tool(*words, *dry, check=False)
    assert done.returncode == 1 and "[mirrorlist-foreign]" in done.stderr and tree(repo) == before
    (tmp_path / "s.yml").write_text("base_url: https://a.example/r\n")
    tool(*words, "--config", tmp_path / "s.yml")
    assert of_mirrorlist(repo) == present(repo)


def test_the_generation_of_the_mirrorlist_is_kept(repo, key, first):
    here = store.Store(str(repo))
    old = here.current()
    (repo / "mirrorlist").write_text(f"https://example.com/r/generations/{old}/\n")
    os.environ.pop("SOURCE_DATE_EPOCH", None)
    withdraw(repo, key)
    (repo / "mirrorlist").write_text(f"https://example.com/r/generations/{old}/\n")
    here.sweep(0)
    assert (repo / "generations" / old).is_dir()


def test_what_failed_after_the_switch_is_told_as_published(repo, key, first, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", "mirrorlist.new")

    from dnf_plugin_livepatch.repotool import moving

    before = present(repo)
    monkeypatch.setattr(store.Store, "mirror", full)
    with pytest.raises(ToolError) as caught:
        moving.withdraw(str(repo), [V1], "oops", job_for(key))
    assert caught.value.id == "disk-published" and present(repo) != before


# ---- file systems and modes


def test_without_hard_links_files_are_copied(repo, key, tmp_path, monkeypatch):
    from dnf_plugin_livepatch.repotool import moving

    def refused(*_, **__):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    moving.promote(str(repo), str(tmp_path / "stable"), ["*"], job_for(key))
    moving.withdraw(str(tmp_path / "stable"), [V1], "oops", job_for(key, grace=1000))
    assert V1 in names(tmp_path / "stable")


@pytest.mark.parametrize("number", [1, 95])
def test_without_symbolic_links_nothing_is_written(tmp_path, key, first, monkeypatch, number):
    from dnf_plugin_livepatch.repotool import publish as publishing
    from dnf_plugin_livepatch.repotool.settings import AdvisoryFile

    def refused(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "symlink", refused)
    with pytest.raises(ToolError) as caught:
        publishing.publish(str(tmp_path / "repo"), [str(first[0])], job_for(key), AdvisoryFile())
    assert caught.value.id == "no-links"
    assert not list((tmp_path / "repo").glob("Packages/*")) and not (tmp_path / "repo" / "repodata").exists()


def closed(folder):
    wanted = {True: 0o005, False: 0o004}
    return [
        path
        for path in [folder, *folder.rglob("*")]
        if not path.is_symlink() and path.stat().st_mode & wanted[path.is_dir()] != wanted[path.is_dir()]
        and path.name != ".livepatch-repo.lock"
    ]  # fmt: skip


@pytest.mark.parametrize("mask", [0o077, 0o027])
def test_the_umask_of_the_publisher_closes_nothing(tmp_path, key, second, mask):
    repo, site = tmp_path / "repo", tmp_path / "site"
    before = os.umask(mask)
    try:
        publish(repo, key, *second)
        withdraw(repo, key, V2)
        tool("report", "--repo", repo, "--key", key.public, "--output", site)
    finally:
        os.umask(before)
    assert closed(repo) == [] and closed(site) == []
    assert "files-closed" not in tool("verify", "--repo", repo, "--key", key.public, check=False).stdout


@pytest.mark.parametrize("what", ["repodata", "Packages", "."])
def test_a_closed_folder_is_told(repo, key, what):
    (repo / what).chmod(0o700)
    done = tool("verify", "--repo", repo, "--key", key.public, check=False)
    assert done.returncode == 3 and "[files-closed]" in done.stdout


def test_a_folder_for_a_group_stays_one(tmp_path, key, second):
    repo = tmp_path / "repo"
    repo.mkdir(mode=0o750)
    repo.chmod(0o750)
    publish(repo, key, *second)
    modes = {path.stat().st_mode & 0o007 for path in repo.rglob("*.rpm")} | {repo.stat().st_mode & 0o007}
    assert 0 in modes and repo.stat().st_mode & 0o777 == 0o750


# ---- clocks


def test_generations_are_in_the_order_of_publishing_whatever_the_clock_does(repo, key, second, monkeypatch):
    from dnf_plugin_livepatch.repotool import moving

    publish(repo, key, *second)
    real, before = time.time, present(repo)
    for shift, name in ((-180, V1), (-86400, V2)):
        monkeypatch.setattr(time, "time", lambda shift=shift: real() + shift)
        moving.withdraw(str(repo), [name], "oops", job_for(key, grace=3600))
        assert present(repo) > before and (repo / "generations" / before).is_dir(), shift
        before = present(repo)
    assert len(list((repo / "generations").iterdir())) == 4, "none was swept in its time of grace"


def test_a_moment_is_read_back_from_a_name():
    for number in (0, 1, 1795000000123456, 4102444799999999):
        assert generations.moment(generations.stamp(number) + "-abc") == number
    assert generations.moment("no moment") == 0


def test_a_build_farms_epoch_moves_no_deadline_and_no_revision_back(repo, key, second, tmp_path):
    config = tmp_path / "s.yml"
    config.write_text("rollout:\n- {after: 0h, percent: 5}\n- {after: 2d, percent: 100}\n")
    revision = int(loaded(repo).repomd.revision)
    tool(
        "publish", "--repo", repo, *signing(key), "--config", config, *second,
        env={"SOURCE_DATE_EPOCH": "1000000000"},
    )  # fmt: skip
    last = record.parse(loaded(repo).record).kernels[KERNEL].patches[V2].rollout[-1]
    assert last.percent == 100 and (times.parse(last.since) or 0) > time.time() + times.DAY
    assert int(loaded(repo).repomd.revision) > revision
    done = tool("withdraw", "--repo", repo, *signing(key), "--reason", "x", V2, "--json",
                env={"SOURCE_DATE_EPOCH": "1000000000"})  # fmt: skip
    assert json.loads(done.stdout)["repositories"][0]["record_changed"]
    date = record.parse(loaded(repo).record).kernels[KERNEL].patches[V2].withdrawn.since
    assert abs((times.parse(date) or 0) - time.time()) < times.DAY


# ---- prune


def test_prune_forgets_no_withdrawal_and_no_issue_date(repo, key, first, second):
    publish(repo, key, *second)
    withdraw(repo, key)
    before = record.parse(loaded(repo).record).kernels[KERNEL].patches
    tool("prune", "--repo", repo, *signing(key), "--keep", "1")
    assert V1 not in names(repo)
    assert record.parse(loaded(repo).record).kernels[KERNEL].patches == before
    assert publish(repo, key, first[0], check=False).returncode == 1
    publish(repo, key, first[0], more=["--allow-withdrawn"])
    after = record.parse(loaded(repo).record).kernels[KERNEL].patches
    assert V1 in names(repo) and after == before and after[V1].withdrawn


# ---- a copy without its links


@pytest.mark.parametrize("verb", ["publish", "promote"])
def test_a_copy_that_lost_its_links_is_no_new_repository(repo, key, second, tmp_path, verb):
    testing = tmp_path / "testing"
    publish(testing, key, *second)
    name = present(repo)
    (repo / "repodata").unlink()
    files = rpms(repo)
    if verb == "publish":
        done = publish(repo, key, *second, check=False)
    else:
        done = tool("promote", "--from", testing, "--to", repo, *signing(key), check=False)
    assert (
        done.returncode == 1
        and "[link-lost]" in done.stderr
        and f"generations/{name}/repodata" in done.stderr
    )
    assert rpms(repo) == files and not (repo / "repodata").exists()
    (remedy,) = re.findall(r"'ln -s (\S+) (\S+)'", done.stderr)
    os.symlink(*remedy)
    publish(repo, key, *second)
    assert {V1, V2} < set(names(repo))


def rot(path):
    """Another byte in a file of its own: repositories share files by hard links."""
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[:-1] + b"?")


SPOILED = {
    "missing": lambda path: path.unlink(),
    "cut": lambda path: os.truncate(path, 100),
    "empty": lambda path: path.write_bytes(b""),
    "rotten": rot,
}


def spoil(repo, how, name=V1):
    (path,) = repo.glob(f"Packages/*/{name}.rpm")
    SPOILED[how](path)
    return path


@pytest.mark.parametrize("how", SPOILED)
def test_publishing_again_brings_a_lost_file_back(repo, key, first, tmp_path, how):
    path = spoil(repo, how)
    before = present(repo)
    tried = publish(repo, key, first[0], more=["--dry-run"])
    assert "would change" in tried.stdout and f"put right: {path.relative_to(repo)}" in tried.stdout
    assert not path.is_file() or path.read_bytes() != first[0].read_bytes()
    done = publish(repo, key, first[0])
    assert "mended" in done.stdout and f"put right: {path.relative_to(repo)}" in done.stdout
    assert path.read_bytes() == first[0].read_bytes() and present(repo) == before
    assert "nothing to do" in publish(repo, key, first[0]).stdout
    assert installs(tmp_path, repo, key, V1)


@pytest.mark.parametrize("how", ["missing", "cut"])
def test_a_lost_file_keeps_no_withdrawal_and_no_fix_away(repo, key, first, second, how):
    spoil(repo, how)
    assert "withdrawn" in withdraw(repo, key).stdout
    assert V2 in publish(repo, key, second[0]).stdout
    done = publish(repo, key, first[0], second[0], more=["--allow-withdrawn"])
    assert f"{V1}.rpm" in done.stdout
    assert tool("verify", "--repo", repo, "--key", key.public).stdout.startswith("0 error(s)")


@pytest.mark.parametrize("how", ["missing", "rotten"])
def test_a_promotion_brings_a_lost_file_back(repo, key, tmp_path, how):
    stable = tmp_path / "stable"
    words = ["promote", "--from", repo, "--to", stable, *signing(key), "kpatch-patch-*"]
    tool(*words)
    path = spoil(stable, how)
    assert "put right" in tool(*words).stdout
    (source,) = repo.glob(f"Packages/*/{V1}.rpm")
    assert path.read_bytes() == source.read_bytes()


def test_a_file_beside_the_metadata_of_another_tool_is_brought_back(tmp_path, key, first):
    """Its folder is the repository's own, whose parent belongs to somebody else."""
    top = tmp_path / "srv"
    flat = top / "flat"
    flat.mkdir(parents=True)
    shutil.copy(first[0], flat)
    subprocess.run(["createrepo_c", "-q", str(flat)], check=True)
    publish(flat, key, first[0])
    (flat / first[0].name).unlink()
    top.chmod(0o700)
    assert f"put right: {first[0].name}" in publish(flat, key, first[0]).stdout
    assert (flat / first[0].name).read_bytes() == first[
        0
    ].read_bytes() and top.stat().st_mode & 0o777 == 0o700
