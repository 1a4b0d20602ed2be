# SPDX-License-Identifier: GPL-2.0-or-later
"""lint: a good repository without findings, one with a single fault for each check, and --explain."""

import inspect
import json
import pathlib
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree

import createrepo_c as cr
import pytest

from dnf_plugin_livepatch.repotool import cli, settings
from dnf_plugin_livepatch.repotool.lint import advisories, catalogue, context, metadata, patches, run
from dnf_plugin_livepatch.repotool.lint.catalogue import CATALOGUE
from dnf_plugin_livepatch.repotool.repository import rpms, signing
from dnf_plugin_livepatch.toolkit import openpgp
from dnf_plugin_livepatch.toolkit.errors import SEVERITIES, ToolError
from tests.tools.support import repositories as support
from tests.tools.support.lint_cases import BAD, Repo, advisory, listed, package
from tests.tools.support.repositories import KERNEL, Server, tool
from vm import gnupg

V1 = f"{support.patch_name(KERNEL)}-1-1.el9_4.x86_64"


@pytest.fixture
def made(tmp_path):
    return Repo(tmp_path / "lint")


# Checks of files and signatures need real files and signatures, which the tests further down make.
REAL = {
    "metadata-unsigned",
    "metadata-signature-stale",
    "metadata-key-unknown",
    "package-missing",
    "package-size",
    "package-digest",
    "files-closed",
    "metadata-key-expired",
    "metadata-key-revoked",
    "metadata-signature-expired",
    "mirrorlist-stale",
    "package-unsigned",
    "package-key-unknown",
    "package-signature-bad",
    "advisory-cve-kept",
    "advisory-not-given",
    "advisory-not-joined",
    "advisory-rights-kept",
    "rollout-over",
    "rollout-goes-on",
    "metadata-unread",
    "metadata-signature-damaged",
    "patch-withdrawn",
    "metadata-signature-weak",
    "key-expires",
    "key-unusable",
    "package-signature-weak",
    "package-digest-weak",
}


def test_the_good_repository_has_no_findings_but_its_missing_signature(made):
    assert [item.check for item in made.lint()] == ["metadata-unsigned"]


def test_an_older_build_that_was_pruned_is_no_missing_one_beside_a_subscription(made):
    made.packages.append(package(version="0", release="0.1.el9_4", module="", number=7))
    made.packages.remove(made.one)
    found = {item.check for item in made.lint()}
    assert "advisory-package-superseded" in found and "advisory-package-missing" not in found


def test_every_check_has_a_bad_repository():
    assert set(BAD) | REAL == set(CATALOGUE)
    assert not set(BAD) & REAL
    assert len(CATALOGUE) > 45


@pytest.mark.parametrize(
    "check, change, subject",
    [
        pytest.param(check, change, subject, id=f"{check}-{number}")
        for check, changes in BAD.items()
        for number, (change, subject) in enumerate(changes)
    ],
)
def test_a_repository_with_one_fault_is_found_out(made, check, change, subject):
    change(made)
    found = [item for item in made.lint() if item.check == check]
    assert found, "not found"
    assert subject is None or found[0].subject == subject
    assert all(item.severity == CATALOGUE[check].severity and item.text and item.remedy for item in found)
    assert "{" not in found[0].text + found[0].remedy


# ---- signatures and files


def checks(repo, *argv):
    done = tool("lint", repo, "--json", *argv, check=False)
    assert done.returncode in (0, 3), done.stderr
    return {item["check"] for item in json.loads(done.stdout)["findings"]}


def test_a_published_repository_is_clean(repo, key):
    assert checks(repo, "--key", key.public) == set()
    done = tool("verify", "--repo", repo, "--key", key.public)
    assert done.returncode == 0 and done.stdout.startswith("0 error(s)")


def test_signatures_of_metadata_are_judged(repo, key, stranger):
    assert checks(repo, "--key", stranger.public) == {"metadata-key-unknown", "package-key-unknown"}
    path = repo / "repodata" / "repomd.xml"
    path.write_text(path.read_text().replace("<revision>", "<revision>1"))
    assert checks(repo, "--key", key.public) == {"metadata-signature-stale"}
    (repo / "repodata" / "repomd.xml.asc").unlink()
    assert checks(repo, "--key", key.public) == {"metadata-unsigned"}


def test_an_expired_key_is_called_so(tmp_path, repo):
    """The signature is right; only the key is too old."""
    repodata = repo / "repodata"
    (repodata / "repomd.xml.asc").unlink()
    with gnupg.home() as home:
        old = ["--passphrase", "", "--faked-system-time", "20200101T000000"]
        gnupg.gpg(home, *old, "--quick-generate-key", "old", "rsa2048", "sign", "1y")
        (tmp_path / "old.asc").write_text(gnupg.gpg(home, "--armor", "--export"))
        output = ["--output", str(repodata / "repomd.xml.asc")]
        gnupg.gpg(home, *old, "--armor", *output, "--detach-sign", str(repodata / "repomd.xml"))
    assert "metadata-key-expired" in checks(repo, "--key", tmp_path / "old.asc")


def test_a_binary_key_file_is_a_key_file(tmp_path, repo, key):
    binary = tmp_path / "key.gpg"
    text = pathlib.Path(key.public).read_bytes()
    binary.write_bytes(
        subprocess.run(["gpg", "--dearmor"], input=text, check=True, capture_output=True).stdout
    )
    assert checks(repo, "--key", binary) == set()


OURS, THEIRS = openpgp.Signature("SHA-256", "0123456789abcdef"), openpgp.Signature("SHA-256", "f" * 16)


@pytest.mark.parametrize(
    "signed, said, state",
    [
        ([OURS], None, "good"),
        ([OURS._replace(digest="SHA-1")], None, "weak-signature"),
        ([OURS, THEIRS], ["Header OpenPGP V4 signature, key fingerprint: ffff: NOKEY"], "unknown-key"),
        ([OURS, THEIRS], ["Header SHA256 digest: BAD (Expected a != b)"], "bad"),
        ([OURS], ["Header V4 RSA/SHA1 Signature, key ID 0123abcd: NOTTRUSTED"], "bad"),
        ([OURS], ["mots inconnus"], "bad"),
        ([OURS], [], "bad"),
    ],
)
def test_the_header_and_the_exit_status_tell_why_a_package_is_refused(signed, said, state):
    assert rpms._judged(rpms._Read(tuple(signed)), {OURS.key}, said)[0] == state


def test_package_files_are_judged(repo, key):
    (path,) = repo.glob(f"Packages/*/{V1}.rpm")
    data = path.read_bytes()
    path.unlink()
    assert checks(repo, "--key", key.public) == {"package-missing"}
    path.write_bytes(data[:-1])
    assert checks(repo, "--key", key.public) == {"package-size"}
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 255]))
    assert checks(repo, "--key", key.public) == {"package-digest"}


@pytest.mark.parametrize(
    "how, check",
    [
        ("unsigned", "package-unsigned"),
        ("stranger", "package-key-unknown"),
        ("broken", "package-signature-bad"),
    ],
)
def test_package_signatures_are_judged(tmp_path, key, stranger, first, how, check):
    """Another tool made the repositories of such packages."""
    (tmp_path / "r").mkdir()
    if how == "broken":
        data = bytearray(first[0].read_bytes())
        data[-60] ^= 255
        (tmp_path / "r" / first[0].name).write_bytes(data)
    else:
        (tmp_path / "b").mkdir()
        rpm = support.build(tmp_path / "b")[0]
        if how == "stranger":
            support.sign(stranger, rpm)
        shutil.copy(rpm, tmp_path / "r")
    support.call(["createrepo_c", "-q", tmp_path / "r"])
    assert check in checks(tmp_path / "r", "--key", key.public)


def test_a_lost_updateinfo_and_a_stale_signature_after_createrepo_c_update(repo, key):
    """The effect of a real `createrepo_c --update` on a good repository."""
    flat = repo.parent / "flat"
    shutil.copytree(repo, flat, symlinks=False, ignore=shutil.ignore_patterns("generations"))
    # From 1.0 on createrepo_c keeps other metadata by default.
    drop = "--discard-additional-metadata"
    known = drop in support.call(["createrepo_c", "--help"]).stdout
    support.call(["createrepo_c", "-q", "--update", *[drop] * known, flat])
    signatures_left = (flat / "repodata" / signing.SIGNATURE).exists()
    found = checks(flat, "--key", key.public)
    assert "updateinfo-lost" in found
    assert ("metadata-signature-stale" if signatures_left else "metadata-unsigned") in found


# ---- outputs, waivers, places


def test_exit_codes_of_the_command(repo, key):
    assert tool("lint", repo, "--key", key.public, check=False).returncode == 0
    (repo / "repodata" / "repomd.xml.asc").unlink()
    assert tool("lint", repo, "--key", key.public, check=False).returncode == 3
    assert tool("lint", "/nonexistent", check=False).returncode == 1
    assert tool("lint", check=False).returncode == 2


@pytest.mark.parametrize("limit, code", [("error", 0), ("warning", 0), ("note", 3)])
def test_a_note_fails_only_when_asked(made, limit, code):
    made.note(support_end="")
    found = [item for item in made.lint() if item.severity == "note"]
    assert run.exit_code(found, limit) == code


def test_a_waiver_needs_a_reason_and_is_shown(made, tmp_path):
    made.advisories[1] = advisory("EX-2", [listed(made.two)], severity="High")
    made.settings = settings.Settings(waivers=(context.Waiver("advisory-severity", "EX-*", "legacy feed"),))
    (found,) = [item for item in made.lint() if item.check == "advisory-severity"]
    assert found.waived == "legacy feed" and not [e for e in run.errors([found])]
    assert "waived error: EX-2" in run.as_text([found]) and "legacy feed" in run.as_text([found])
    (tmp_path / "s.yml").write_text("waive:\n- {check: advisory-severity}\n")
    with pytest.raises(ToolError, match="reason is missing"):
        settings.read(str(tmp_path / "s.yml"))


def test_junit_names_each_check_and_its_failures(made):
    made.advisories[1] = advisory("EX-2", [listed(made.two)], severity='<High> & "so"')
    made.write()
    root = ElementTree.fromstring(tool("lint", made.folder, "--format", "junit", check=False).stdout)
    cases = {case.get("name"): case for case in root}
    assert set(cases) == set(CATALOGUE) and root.get("tests") == str(len(CATALOGUE))
    assert "<High> & " in cases["advisory-severity"].find("failure").text
    assert cases["patch-arch"].find("failure") is None
    assert int(root.get("failures")) == sum(1 for case in root if case.find("failure") is not None)


def test_the_same_over_http(repo, key):
    with Server(repo) as server:
        assert checks(server.url, "--key", key.public) == set()
        next((repo / "repodata").glob("*-updateinfo.xml.gz")).unlink()
        assert checks(server.url, "--key", key.public) == {"metadata-file-missing", "metadata-unread"}
        for verb in ["plan", "--kernel", KERNEL, "--repo"], ["report", "--json", "--repo"]:
            done = tool(*verb, server.url, check=False)
            assert done.returncode == 1 and "[metadata-unreadable]" in done.stderr + done.stdout
            assert "/tmp" not in done.stderr + done.stdout
            assert f"livepatch-repo lint {server.url}" in done.stderr + done.stdout


KINDS = ("primary", "filelists", "other", "updateinfo", "livepatch", "primary_zck")


@pytest.fixture
def half(repo, key, second):
    """A copy as a mirror holds it, with zchunk files too."""
    support.tool("publish", "--repo", repo, *support.signing(key), "--compress", "zck", *second)
    mirror = repo.parent / "mirror"
    shutil.copytree(repo, mirror, ignore=shutil.ignore_patterns("generations"))
    return mirror


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["missing", "cut", "empty"])
def test_a_half_synced_mirror_is_told_file_by_file(half, key, kind, how):
    records = {
        one.type: one.location_href for one in cr.Repomd(str(half / "repodata" / "repomd.xml")).records
    }
    path = half / records[kind]
    data = path.read_bytes()
    path.unlink()
    if how != "missing":
        path.write_bytes(data[: len(data) // 2 if how == "cut" else 0])
    with Server(half) as server:
        for where in half, server.url:
            found = tool("lint", where, "--json", "--key", key.public, check=False)
            told = json.loads(found.stdout)["findings"]
            ids = {item["check"]: item["text"] for item in told}
            wanted = "metadata-file-missing" if how == "missing" else "metadata-file-differs"
            assert found.returncode == 3 and records[kind] in ids[wanted]
            rest = {"record-invalid" if (kind, how) == ("livepatch", "empty") else "metadata-unread"}
            assert set(ids) == {wanted} | (rest if "zck" not in kind else set())
            assert "/tmp" not in ids[wanted] + ids.get("metadata-unread", "")


def test_missing_and_cut_packages_of_a_server_are_told(half, key):
    for path, check in zip(sorted(half.glob("Packages/*/kpatch-*")), ("package-missing", "package-size")):
        data = path.read_bytes()
        path.unlink()
        if check == "package-size":
            path.write_bytes(data[:-5])
    with Server(half) as server:
        assert checks(server.url, "--key", key.public) == {"package-missing", "package-size"}


@pytest.mark.parametrize(
    "name, share, check",
    [
        ("repomd.xml.asc", 0.5, "metadata-signature-damaged"),
        ("repomd.xml.asc", 0.0, "metadata-signature-damaged"),
        ("repomd.xml", 0.6, "metadata-unread"),
        ("repomd.xml", 0.0, "metadata-unread"),
    ],
)
def test_cut_files_without_a_digest_are_findings_too(repo, key, name, share, check):
    path = repo / "repodata" / name
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with Server(repo) as server:
        for where in repo, server.url:
            assert check in checks(where, "--key", key.public)
            done = tool("lint", where, "--key", key.public, check=False)
            assert done.returncode == 3 and "/tmp/livepatch-repo" not in done.stdout + done.stderr
            assert "Run 'livepatch-repo lint" not in done.stdout + done.stderr


def test_a_package_file_of_any_name_is_published_and_pruned_as_an_rpm(repo, key, first, second, tmp_path):
    odd = tmp_path / "download.1"
    shutil.copy(second[0], odd)
    config = tmp_path / "s.yml"
    config.write_text("grace: 0\n")
    more = [*support.signing(key), "--config", config]
    tool("publish", "--repo", repo, *more, odd)
    assert [path.name for path in repo.glob("Packages/*/*-1-2.*")] == [second[0].name]
    tool("withdraw", "--repo", repo, *more, "--reason", "oops", V1)
    tool("prune", "--repo", repo, *more, "--keep", "1")
    assert list(repo.glob(f"Packages/*/{V1}*")) == []


def test_hostile_metadata_is_an_error_not_a_crash(made):
    made.write()
    for text in (
        "",
        "<repomd",
        "<repomd><data type='primary'><location href='../../etc/passwd'/></data></repomd>",
    ):
        (made.folder / "repodata" / "repomd.xml").write_text(text)
        done = tool("lint", made.folder, check=False)
        assert done.returncode in (1, 3) and "Traceback" not in done.stderr


def test_texts_are_sentences_with_a_reason_and_a_remedy():
    for name, check in CATALOGUE.items():
        assert check.severity in SEVERITIES
        assert check.text[0].isupper() | check.text.startswith(("{", "repomd")), name
        assert check.why[0].isupper() | check.why.startswith("dnf"), name
        assert check.why.endswith("."), name
        assert check.remedy and check.remedy[0].isupper() | check.remedy.startswith("'"), name
        assert "{" not in check.why, name


@pytest.mark.parametrize("module", [metadata, advisories, patches])
def test_rows_stand_next_to_their_checks(module):
    code = inspect.getsource(module)
    assert [name for name in module.CHECKS if code.count(f'"{name}"') < 2] == []


# ---- --explain


def test_each_finding_is_explained(capsys):
    for name, check in CATALOGUE.items():
        assert cli.main(["lint", "--explain", name]) == 0
        told = capsys.readouterr().out
        assert told.startswith(f"{name}: {check.severity}\n\nMeaning: ") and "{" not in told
        assert f"\nWhy: {check.why}\n" in told and "\nRemedy: " in told
        assert cli.main(["lint", "--json", "--explain", name]) == 0
        assert json.loads(capsys.readouterr().out) == {"schema": 1, **catalogue.explain(name)}


def test_facts_of_one_finding_are_named_in_an_explanation():
    assert catalogue.explain("patch-order")["meaning"].startswith("It was built before <other>, which")
    assert "<where>" not in catalogue.explain("kernel-all-withdrawn")["meaning"]


@pytest.mark.parametrize(
    "argv, words",
    [
        ([], "REPO or --explain ID is needed"),
        (["--explain", "patch-ordre"], "there is no check 'patch-ordre'; near: patch-order"),
        (["--explain", "zzz"], "there is no check 'zzz'"),
    ],
)
def test_what_cannot_be_explained_is_wrong_usage(argv, words, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["lint", *argv])
    assert caught.value.code == 2 and words in capsys.readouterr().err


def test_the_shell_completes_every_check():
    text = (support.ROOT / "completion" / "livepatch-repo").read_text()
    offered = text.split("local checks='")[1].split("'")[0].split()
    assert offered == sorted(CATALOGUE)
