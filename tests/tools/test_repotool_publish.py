# SPDX-License-Identifier: GPL-2.0-or-later
"""Publishing, with the real dnf as client, gpgcheck=1 and repo_gpgcheck=1, over http."""

import json
import shutil
import subprocess
import sys

import createrepo_c as cr
import pytest

from dnf_plugin_livepatch.formats import repository_record as record
from dnf_plugin_livepatch.repotool.repository import metadata
from tests.tools.support import repositories as support
from tests.tools.support.published import NAME, V1, V2, advisories, loaded, names, publish, tree
from tests.tools.support.repositories import KERNEL, Client, Server, signing, tool

NVRA = "%{name}-%{version}-%{release}.%{arch}"
WITHDRAW_OFTEN = f"""
import sys
from dnf_plugin_livepatch.repotool.cli import main
for number in range(8):
    patch = ("{V1}", "{V2}")[number % 2]
    options = ["--reason=again", "--compress", ("gz", "xz")[number % 2], patch]
    assert main(["withdraw", *sys.argv[1:], *options]) == 0
"""


def test_dnf_installs_and_upgrades_what_is_published(repo, key, second, tmp_path):
    with Server(repo) as server:
        client = Client(tmp_path / "client", server.url, key)
        client.dnf("install", NAME)
        assert V1 in client.installed()
        told = publish(repo, key, *second).stdout
        assert f"+ {V2}" in told
        said = client.dnf("upgrade", "--cve", "CVE-2024-26642")
        assert V2 in client.installed() and V1 not in client.installed(), said.stdout + said.stderr
        listed = client.dnf("updateinfo", "list", "--installed", "--with-cve").stdout
        assert "CVE-2024-26642" in listed and "CVE-2024-1086" in listed


def test_advisories_come_from_the_manifest(repo):
    (advisory,) = advisories(repo).values()
    assert advisory.id == f"LIVEPATCH:{NAME}-1-1.el9_4"
    assert (advisory.type, advisory.severity, advisory.issued) == (
        "security",
        "Important",
        "2026-11-20T10:00:00Z",
    )
    assert advisory.cves == ("CVE-2024-1086",) and not advisory.reboot
    (listed,) = advisory.packages
    assert (str(listed.nevra), listed.filename, listed.reboot) == (V1, V1 + ".rpm", False)


def test_advisories_list_all_cves_and_never_change_id_or_issue_date(repo, key, second):
    before = advisories(repo)
    publish(repo, key, *second)
    after = advisories(repo)
    assert {name: after[name] for name in before} == before
    assert after[f"LIVEPATCH:{NAME}-1-2.el9_4"].cves == ("CVE-2024-1086", "CVE-2024-26642")


def test_an_advisory_file_wins_and_cannot_change_the_issue_date(repo, key, second, tmp_path):
    file = tmp_path / "advisory.yml"
    file.write_text(
        "schema: 1\nadvisories:\n- id: EX-2026:1\n  title: A title\n  severity: Critical\n"
        "  issued: 2026-11-01\n"
        "  references:\n  - {type: self, id: 'EX-2026:1', href: 'https://example.com/1'}\n"
        f"kernels:\n  {KERNEL}:\n    support_end: 2028-01-01\n"
        "    unfixable:\n    - {cve: CVE-2022-4269, reason: changes data}\n"
        "rollout:\n- {after: 0h, percent: 10}\n- {after: 1d, percent: 100}\n"
    )
    file_of = ("--advisory", file)
    publish(repo, key, *second, more=file_of)
    found = advisories(repo)["EX-2026:1"]
    assert (found.title, found.severity, found.issued) == ("A title", "Critical", "2026-11-01T00:00:00Z")
    assert [ref.href for ref in found.references if ref.type == "self"] == ["https://example.com/1"]
    note = record.parse(loaded(repo).record).kernels[KERNEL]
    assert note.support_end == "2028-01-01" and note.unfixable[0].cve == "CVE-2022-4269"
    assert [step.percent for step in note.patches[V2].rollout] == [10, 100]
    assert note.patches[V2].advisory in advisories(repo)
    file.write_text(file.read_text().replace("2026-11-01", "2026-11-02"))
    done = publish(repo, key, *second, more=file_of, check=False)
    assert done.returncode == 1 and "[advisory-changed]" in done.stderr


@pytest.mark.parametrize(
    "line, word",
    [
        ("advisorys: []", "unknown key"),
        ("advisories: [{severity: High}]", "one of Low"),
        ("advisories: [{reboot_suggested: true}]", "unknown key"),
        ("advisories: [{cves: [CVE-1]}]", "CVE identifier"),
        ("advisories: [{references: [{type: cve, href: x}]}]", "id is missing"),
        ("rollout: [{after: soon, percent: 1}]", "duration"),
        ("advisories: &a [*a]", "anchors"),
    ],
)
def test_a_faulty_advisory_file_is_named(repo, key, second, tmp_path, line, word):
    file = tmp_path / "advisory.yml"
    file.write_text(f"schema: 1\n{line}\n")
    done = publish(repo, key, *second, more=("--advisory", file), check=False)
    assert done.returncode == 1 and word in done.stderr and "[advisory-fault]" in done.stderr


def test_publishing_again_changes_nothing(repo, key, first):
    before = tree(repo)
    assert "nothing to do" in publish(repo, key, first[0]).stdout
    assert tree(repo) == before


def test_a_dry_run_says_what_would_change_and_changes_nothing(repo, key, second):
    before = tree(repo)
    done = json.loads(publish(repo, key, *second, more=("--dry-run", "--json")).stdout)
    (outcome,) = done["repositories"]
    assert outcome["packages_added"] == [V2] and outcome["dry_run"] and not outcome["generation"]
    assert tree(repo) == before


def test_sources_and_debugging_data_have_repositories_of_their_own(tmp_path, key, first):
    publish(tmp_path / "repo", key, *first)
    assert names(tmp_path / "repo") == [V1]
    assert names(tmp_path / "repo" / "source") == [f"{NAME}-1-1.el9_4.src"]
    assert names(tmp_path / "repo" / "debug") == [f"{NAME}-debuginfo-1-1.el9_4.x86_64"]
    with Server(tmp_path / "repo") as server:
        client = Client(tmp_path / "client", server.url + "/source", key)
        got = client.dnf("repoquery", "--qf", NVRA, "--arch=src")
        assert f"{NAME}-1-1.el9_4.src" in got.stdout


def test_each_architecture_has_its_own_repository(tmp_path, key, first):
    release = "5.14.0-427.13.1.el9_4.aarch64"
    other = (
        support.build(tmp_path / "b", release=release, arch="aarch64")
        if (tmp_path / "b").mkdir() is None
        else []
    )
    support.sign(key, *other)
    publish(tmp_path / "r" / "{arch}", key, first[0], *other)
    assert names(tmp_path / "r" / "x86_64") == [V1]
    assert names(tmp_path / "r" / "aarch64") == [f"{NAME}-1-1.el9_4.aarch64"]
    with Server(tmp_path / "r") as server:
        client = Client(tmp_path / "c", server.url + "/aarch64", key)
        assert ".aarch64" in client.dnf("repoquery", "--forcearch=aarch64", "--qf", NVRA).stdout


ZSTD = hasattr(cr, "ZSTD_COMPRESSION")


@pytest.mark.parametrize("how", ["gz", "xz", *["zck"] * bool(getattr(cr, "HAS_ZCK", 0)), *["zstd"] * ZSTD])
def test_every_compression_is_read_by_dnf_and_by_the_next_publish(tmp_path, key, first, second, how):
    for rpm in (first[0], second[0]):
        publish(tmp_path / "repo", key, rpm, more=("--compress", how))
    assert len(advisories(tmp_path / "repo")) == 2
    kinds = {record.type for record in metadata.repomd_of(str(tmp_path / "repo/repodata")).records}
    assert ("primary_zck" in kinds) == (how == "zck")
    with Server(tmp_path / "repo") as server:
        assert V1 in Client(tmp_path / "c", server.url, key).dnf("repoquery", "--qf", NVRA).stdout


def test_zstd_is_written_or_refused_by_name(tmp_path, key, first):
    done = publish(tmp_path / "repo", key, first[0], more=("--compress", "zstd"), check=False)
    assert done.returncode == (0 if ZSTD else 1)
    assert (tmp_path / "repo" / "repodata").exists() == ZSTD == ("cannot write zstd" not in done.stderr)


# ---- hostile contents of RPMs


@pytest.mark.parametrize(
    "change",
    [
        {"raw": "{"},
        {"raw": '{"schema": 9}'},
        {"kernel_release": "6.1.0-1.el9.x86_64"},
        {"cves": ["CVE-1"]},
        {"severity": "Horrible"},
    ],
)
def test_a_hostile_manifest_is_refused(repo, key, tmp_path, change):
    (tmp_path / "b").mkdir()
    made = support.build(
        tmp_path / "b", number="7", manifests=[{**support.manifest(module="kp_7"), **change}]
    )
    support.sign(key, *made)
    before = names(repo)
    done = publish(repo, key, *made, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert names(repo) == before


def test_the_same_nevra_with_other_contents_is_refused(repo, key, tmp_path):
    (tmp_path / "b").mkdir()
    made = support.build(tmp_path / "b", manifests=[support.manifest(module="kp_other")])
    support.sign(key, *made)
    done = publish(repo, key, *made, check=False)
    assert done.returncode == 1 and "[rpm-replaced]" in done.stderr


def test_a_lost_cve_is_refused_unless_waived(repo, key, tmp_path):
    (tmp_path / "b").mkdir()
    made = support.build(
        tmp_path / "b",
        number="3",
        manifests=[support.manifest(module="kp_3", cves=["CVE-2024-9999"])],
    )
    support.sign(key, *made)
    before = tree(repo)
    done = publish(repo, key, *made, check=False)
    assert done.returncode == 3 and "[advisory-cve-lost]" in done.stderr and tree(repo) == before
    (tmp_path / "s.yml").write_text("waive:\n- {check: advisory-cve-lost, reason: the fix was reverted}\n")
    publish(repo, key, *made, more=("--config", tmp_path / "s.yml"))


# ---- the folder


def test_a_client_in_the_middle_of_a_read_still_finds_the_old_metadata(repo, key, second):
    old = [record.location_href for record in metadata.repomd_of(str(repo / "repodata")).records]
    publish(repo, key, *second)
    assert all((repo / location).is_file() for location in old)
    (repo / "s.yml").write_text("grace: 0\n")
    tool("withdraw", "--repo", repo, *signing(key), "--config", repo / "s.yml", "--reason", "x", V2)
    assert len(list((repo / "generations").iterdir())) == 1
    now = [record.location_href for record in metadata.repomd_of(str(repo / "repodata")).records]
    assert not any((repo / location).is_file() for location in set(old) - set(now))


def test_readers_of_the_mirrorlist_never_meet_half_a_publish(repo, key, second, tmp_path):
    with Server(repo) as server:
        (tmp_path / "s.yml").write_text(f"base_url: {server.url}\n")
        config = ("--config", tmp_path / "s.yml")
        publish(repo, key, *second, more=config)
        client = Client(tmp_path / "client", server.url + "/mirrorlist", key, mirrors=True)
        with subprocess.Popen(
            [sys.executable, "-c", WITHDRAW_OFTEN, "--repo", repo, *signing(key), *config],
            env=support.ENV,
            stdout=subprocess.DEVNULL,
        ) as publisher:
            reads = 0
            while publisher.poll() is None or reads < 3:
                assert V2 in client.dnf("repoquery", "--qf", NVRA).stdout
                reads += 1
        assert publisher.returncode == 0
        client.dnf("install", NAME)
        assert V2 in client.installed()


def test_a_folder_made_by_createrepo_c_becomes_ours_and_keeps_its_metadata(
    tmp_path, key, kernel, first, second
):
    repo = tmp_path / "repo"
    (repo / "rpms").mkdir(parents=True)
    for path in (kernel, first[0]):
        shutil.copy(path, repo / "rpms")
    (tmp_path / "comps.xml").write_text(
        "<comps><group><id>g</id><name>g</name><description/><default>true</default><uservisible>true</uservisible>"
        "<packagelist/></group></comps>"
    )
    support.call(["createrepo_c", "-q", "-g", tmp_path / "comps.xml", repo])
    (tmp_path / "updateinfo.xml").write_text(
        '<updates><update type="bugfix"><id>X-1</id><pkglist/></update></updates>'
    )
    support.call(["modifyrepo_c", tmp_path / "updateinfo.xml", repo / "repodata"])
    publish(repo, key, *second)
    assert (repo / "repodata").is_symlink() and V1 in names(repo) and V2 in names(repo)
    assert "X-1" in advisories(repo)
    assert {"group"} <= {record.type for record in metadata.repomd_of(str(repo / "repodata")).records}
    with Server(repo) as server:
        client = Client(tmp_path / "client", server.url, key)
        client.dnf("install", NAME)
    # dnf is not asked: Debian 13's dies of any groups file that createrepo_c 1.x compressed.
    assert "<id>g</id>" in metadata.read_text(str(next(repo.glob("repodata/*comps.xml*"))))


def test_what_a_builder_writes_later_is_not_published(repo, key, second, tmp_path):
    source = tmp_path / second[0].name
    shutil.copyfile(second[0], source)
    publish(repo, key, source)
    source.write_bytes(b"rewritten in place")
    (path,) = repo.glob(f"Packages/*/{V2}.rpm")
    assert path.read_bytes() == second[0].read_bytes()


def test_what_is_published_is_reproducible(tmp_path, key, first, kernel):
    trees = []
    for name in "ab":
        support.tool(
            "publish",
            "--repo",
            tmp_path / name,
            *signing(key),
            first[0],
            kernel,
            env={"SOURCE_DATE_EPOCH": support.EPOCH},
        )
        repodata = tmp_path / name / "repodata"
        trees.append({p.name: p.read_bytes() for p in repodata.iterdir() if not p.name.endswith(".asc")})
    assert trees[0] == trees[1]


# ---- promote, withdraw, prune


def test_promote_takes_the_same_bytes(repo, key, second, tmp_path):
    publish(repo, key, *second)
    stable = tmp_path / "stable"
    tool("promote", "--from", repo, "--to", stable, *signing(key), V1)
    assert names(stable) == [V1]
    tool("promote", "--from", repo, "--to", stable, *signing(key))
    assert names(stable) == names(repo)
    for path in repo.glob("Packages/*/*.rpm"):
        assert path.samefile(stable / path.relative_to(repo))
    assert advisories(stable) == advisories(repo)
    with Server(stable) as server:
        client = Client(tmp_path / "client", server.url, key)
        client.dnf("install", NAME)
        assert V2 in client.installed()


def test_promote_takes_no_package_that_the_keys_of_the_target_did_not_sign(
    repo, key, stranger, second, tmp_path
):
    """Clients of the target have its keys alone, after a change of keys for instance."""
    publish(repo, key, *second)
    stable = tmp_path / "stable"
    done = tool("promote", "--from", repo, "--to", stable, *signing(stranger), check=False)
    assert done.returncode == 1 and "[rpm-signature]" in done.stderr and not (stable / "repodata").exists()
    tool("promote", "--from", repo, "--to", stable, *signing(key), V1)
    done = tool("promote", "--from", repo, "--to", stable, *signing(stranger), check=False)
    assert done.returncode == 1 and "[rpm-signature]" in done.stderr and names(stable) == [V1]
    # What is there already is not judged again: a withdrawal has to come along whatever its key.
    tool("promote", "--from", repo, "--to", stable, *signing(key), "--key", stranger.public)
    assert names(stable) == names(repo)


def test_promote_of_nothing_is_an_error(repo, key, tmp_path):
    done = tool("promote", "--from", repo, "--to", tmp_path / "s", *signing(key), "no-such", check=False)
    assert done.returncode == 1 and "[no-match]" in done.stderr


def test_withdraw_is_told_to_hosts_through_dnf(repo, key, second, tmp_path):
    publish(repo, key, *second)
    tool("withdraw", "--repo", repo, *signing(key), "--reason", "oops in vfs_read", V2)
    with Server(repo) as server:
        client = Client(tmp_path / "client", server.url, key)
        text = client.record()
        client.dnf("makecache")
    note = record.parse(text, KERNEL).kernels[KERNEL].patches[V2]
    assert note.withdrawn.reason == "oops in vfs_read" and note.issued == "2026-11-21T08:00:00Z"
    assert V2 in names(repo)


def test_prune_keeps_what_is_needed(repo, key, second, tmp_path):
    (tmp_path / "b").mkdir()
    third = support.build(
        tmp_path / "b",
        number="3",
        manifests=[support.manifest(module="kp_3", cves=["CVE-2024-1086", "CVE-2024-26642"])],
    )
    support.sign(key, *third)
    publish(repo, key, *second)
    publish(repo, key, *third)
    v3 = f"{NAME}-1-3.el9_4.x86_64"
    tool("withdraw", "--repo", repo, *signing(key), "--reason", "x", v3)
    dry = json.loads(tool("prune", "--repo", repo, "--keep", "1", "--dry-run", "--json").stdout)
    assert dry["repositories"][0]["packages_removed"] == [V1]
    assert V1 in names(repo)
    (tmp_path / "s.yml").write_text("grace: 0\n")
    tool("prune", "--repo", repo, *signing(key), "--keep", "1", "--config", tmp_path / "s.yml")
    assert V1 not in names(repo) and {V2, v3} <= set(names(repo))
    assert not list(repo.glob(f"Packages/*/{V1}.rpm")) and list(repo.glob(f"Packages/*/{V2}.rpm"))
    assert f"LIVEPATCH:{NAME}-1-1.el9_4" in advisories(repo)


def test_promote_takes_sources_and_debugging_data_along(tmp_path, key, first):
    start, stable = tmp_path / "made-by-another-tool", tmp_path / "stable"
    for place, path in zip(("source", "debug", "."), (first[1], first[2], first[0])):
        (start / place).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, start / place)
        support.call(["createrepo_c", "-q", "-x", "source/*", "-x", "debug/*", start / place])
    config = tmp_path / "s.yml"
    config.write_text("waive:\n- {check: patch-without-advisory, subject: '*', reason: there was none}\n")
    tool("promote", "--from", start, "--to", stable, "--config", config, *signing(key), NAME)
    assert names(stable) == [V1]
    assert names(stable / "source") == [f"{NAME}-1-1.el9_4.src"]
    assert names(stable / "debug") == [f"{NAME}-debuginfo-1-1.el9_4.x86_64"]
