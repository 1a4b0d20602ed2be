# SPDX-License-Identifier: GPL-2.0-or-later
"""Signatures: packages and metadata that are not published, and that the real dnf refuses afterwards."""

import contextlib
import gzip
import pathlib

from dnf_plugin_livepatch.repotool.repository import client as checking
from tests.tools.support import repositories as support
from tests.tools.support.published import NAME, V1, V2, loaded, names, publish, tree
from tests.tools.support.repositories import Client, Server, signing, tool


def refusing(repo, key, tmp_path, *argv):
    with Server(repo) as server:
        client = Client(tmp_path / "client", server.url, key)
        done = client.dnf(*argv, check=False)
        assert done.returncode != 0, done.stdout
        assert client.installed() == [] or all("kpatch" not in name for name in client.installed())
        return done.stdout + done.stderr


def test_an_unsigned_package_is_not_published(repo, key, tmp_path):
    (tmp_path / "b").mkdir()
    done = publish(repo, key, *support.build(tmp_path / "b", number="2"), check=False)
    assert done.returncode == 1 and "[rpm-signature]" in done.stderr and "no signature" in done.stderr
    assert names(repo)[-1] == V1


def test_a_package_signed_by_a_stranger_is_not_published(repo, key, stranger, tmp_path):
    (tmp_path / "b").mkdir()
    made = support.build(tmp_path / "b", number="2")
    support.sign(stranger, *made)
    done = publish(repo, key, *made, check=False)
    assert done.returncode == 1 and "not among the given" in done.stderr


def test_a_tampered_package_is_not_published(repo, key, second, tmp_path):
    bad = tmp_path / second[0].name
    data = bytearray(second[0].read_bytes())
    data[-40] ^= 255
    bad.write_bytes(data)
    done = publish(repo, key, bad, check=False)
    assert done.returncode == 1 and V2 not in names(repo)


def test_metadata_signed_by_a_stranger_is_not_published(repo, key, stranger, second):
    before = tree(repo)
    done = tool("publish", "--repo", repo, "--key", key.public, *signing(stranger)[2:], *second, check=False)
    assert done.returncode == 1 and "[client-refused]" in done.stderr
    assert "public key of 'sign_with'" in done.stderr
    assert tree(repo) == before


def test_the_client_refuses_a_package_changed_after_publishing(repo, key, tmp_path):
    (path,) = repo.glob(f"Packages/*/{V1}.rpm")
    data = bytearray(path.read_bytes())
    data[-40] ^= 255
    path.unlink()
    path.write_bytes(data)
    assert "hecksum" in refusing(repo, key, tmp_path, "install", NAME)


def test_the_client_refuses_changed_metadata(repo, key, tmp_path):
    path = repo / "repodata" / "repomd.xml"
    path.write_text(path.read_text().replace("<revision>", "<revision>1"))
    assert "signature" in refusing(repo, key, tmp_path, "makecache")


def test_the_client_refuses_a_changed_metadata_file(repo, key, tmp_path):
    (path,) = (repo / "repodata").glob("*-primary.xml.gz")
    text = gzip.decompress(path.read_bytes()).replace(b"kpatch-patch", b"kpatch-patcH")
    path.write_bytes(gzip.compress(text))
    refusing(repo, key, tmp_path, "makecache")


def test_the_client_refuses_a_changed_signature(repo, key, tmp_path):
    path = repo / "repodata" / "repomd.xml.asc"
    lines = path.read_text().splitlines()
    lines[3] = lines[3][::-1]
    path.write_text("\n".join(lines) + "\n")
    refusing(repo, key, tmp_path, "makecache")


def test_the_client_refuses_unsigned_metadata(repo, key, tmp_path):
    (repo / "repodata" / "repomd.xml.asc").unlink()
    refusing(repo, key, tmp_path, "makecache")


def test_the_client_refuses_a_strangers_repository(repo, stranger, tmp_path):
    assert "signature" in refusing(repo, stranger, tmp_path, "makecache")


def running():
    """The command line of each process of this machine."""
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield path.read_text(errors="replace")


def test_the_client_that_checks_a_publish_starts_no_agent_of_gpg(repo, key, monkeypatch):
    """An agent would run on after the publish: nothing ends it for certain."""
    seen = []
    monkeypatch.setattr(checking, "_compare", lambda *_: seen.extend(running()))
    checking.check(str(repo), [str(key.public)], (), {}, loaded(repo).record)
    assert seen and [words for words in seen if checking.REPO in words] == []
