# SPDX-License-Identifier: GPL-2.0-or-later
"""Keys and signatures: weak ones, keys that end soon, words of other rpms, and the how-to as it stands."""

import base64
import json
import os
import pathlib
import re
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnf_plugin_livepatch.repotool.repository import rpms, signing
from dnf_plugin_livepatch.rpmtool.module.sign import verify_rpm
from dnf_plugin_livepatch.toolkit import openpgp, rpm_header
from dnf_plugin_livepatch.toolkit.errors import ToolError
from dnf_plugin_livepatch.toolkit.programs import Runner
from tests.tools.support import repositories as support
from tests.tools.support import rpm_sources
from tests.tools.support.published import NAME, V1, V2, names, publish
from tests.tools.support.repositories import Client, Server, tool
from vm import gnupg


def sign_weakly(key, *paths, digest="sha1"):
    macros = (
        f"_gpg_name {key.name}",
        f"_gpg_path {key.home}",
        "__gpg /usr/bin/gpg",
        f"_gpg_digest_algo {digest}",
    )
    defines = [f"--define={macro}" for macro in macros]
    support.call(["rpmsign", *defines, "--addsign", *paths], env={**os.environ, "GNUPGHOME": str(key.home)})


def checks(repo, *argv):
    done = tool("lint", repo, "--json", *argv, check=False)
    return {item["check"]: item["text"] for item in json.loads(done.stdout)["findings"]}


@pytest.fixture
def built(tmp_path):
    """A package that nobody has signed."""
    return support.build(tmp_path / "b")[0] if (tmp_path / "b").mkdir() is None else None


# ---- weak signatures and digests


def test_a_sha1_signature_is_refused_and_can_be_waived(tmp_path, key, built):
    sign_weakly(key, built)
    done = publish(tmp_path / "repo", key, built, check=False)
    assert done.returncode == 3 and "[package-signature-weak]" in done.stderr and "SHA-1" in done.stderr
    config = tmp_path / "s.yml"
    config.write_text("waive:\n- {check: package-signature-weak, reason: EL8 only}\n")
    publish(tmp_path / "repo", key, built, more=["--config", config])
    assert V1 in names(tmp_path / "repo")
    assert "package-signature-weak" in checks(tmp_path / "repo", "--key", key.public)
    assert "package-signature-weak" in checks(tmp_path / "repo"), "without a key too"


def test_a_sha512_signature_is_a_good_one(tmp_path, key, built):
    sign_weakly(key, built, digest="sha512")
    publish(tmp_path / "repo", key, built)
    assert checks(tmp_path / "repo", "--key", key.public) == {}


def test_md5_digests_of_files_are_told(tmp_path, key):
    (tmp_path / "b").mkdir()
    built = support.build(tmp_path / "b", extra="%global _binary_filedigest_algorithm 1")[0]
    support.sign(key, built)
    done = publish(tmp_path / "repo", key, built)
    assert "[package-digest-weak]" in done.stdout and "MD5 of the files" in done.stdout


@pytest.mark.parametrize(
    "header, weak",
    [
        ({273: "a", 5092: ["b"], 1035: ["c"], 5011: 8}, ()),
        ({279: "a", 5092: ["b"]}, ()),
        ({269: "a", 1035: ["c"]}, ("SHA-1 of the header", "MD5 of the payload", "MD5 of the files")),
        ({273: "a", 5092: ["b"], 1035: ["c"], 5011: 2}, ("SHA-1 of the files",)),
    ],
)
def test_weak_digests_are_those_without_a_stronger_one_beside_them(header, weak):
    assert rpm_header.proof(header).weak == weak


@pytest.mark.parametrize("value", [7, b"a", "text", [], [7], [b"a"], ["%"], [1.5], {}])
@pytest.mark.parametrize("tag", [278, 267, 262, 273, 5092, 1035, 5011])
def test_a_field_of_another_type_proves_nothing(tag, value):
    """A header holds any type under any tag."""
    found = rpm_header.proof({1035: ["a"], tag: value})
    assert found.signatures == () and not found.of_header


@pytest.mark.parametrize("digest, check", [("SHA1", "metadata-signature-weak"), ("SHA512", None)])
def test_the_signature_of_the_metadata_may_be_weak(repo, key, digest, check):
    signature = repo / "repodata" / "repomd.xml.asc"
    signature.unlink()
    words = ["--armor", "--digest-algo", digest, "--detach-sign", "--output", str(signature)]
    gnupg.gpg(str(key.home), "--local-user", key.name, *words, str(repo / "repodata" / "repomd.xml"))
    assert set(checks(repo, "--key", key.public)) == ({check} if check else set())


def test_livepatch_rpm_takes_no_weak_signature_for_one(tmp_path, key, built, monkeypatch):
    monkeypatch.setenv("GNUPGHOME", str(key.home))
    sign_weakly(key, built)
    with pytest.raises(ToolError) as caught:
        verify_rpm(str(built), key.name, Runner(str(tmp_path / "log")))
    assert caught.value.id == "sign-unverified" and "SHA-1" in caught.value.text
    (tmp_path / "e").mkdir()
    bare = support.build(tmp_path / "e", manifests=[], number="5")[0]
    sign_weakly(key, bare)
    assert "EL9 refuses its digest" in rpm_sources.tool("inspect", str(bare)).out
    support.sign(key, built)
    verify_rpm(str(built), key.name, Runner(str(tmp_path / "log")))


# ---- the signature of the metadata

OURS, THEIRS = "0123456789ABCDEF", "FEDCBA9876543210"


def valid(number):
    """The line with the digest ``number`` of the signature that the line before judges."""
    return f"[GNUPG:] VALIDSIG {'A' * 40} 2026-11-27 1795814307 0 4 0 1 {number} 00 {'A' * 40}"


@pytest.mark.parametrize(
    "lines, state",
    [
        ([f"[GNUPG:] GOODSIG {OURS} a", valid(8)], "good"),
        ([f"[GNUPG:] GOODSIG {OURS} a", valid(2)], "weak"),
        ([f"[GNUPG:] NO_PUBKEY {THEIRS}", f"[GNUPG:] GOODSIG {OURS} a", valid(10)], "good"),
        ([f"[GNUPG:] GOODSIG {OURS} a", valid(10), f"[GNUPG:] NO_PUBKEY {THEIRS}"], "good"),
        ([f"[GNUPG:] EXPKEYSIG {THEIRS} b", valid(8), f"[GNUPG:] GOODSIG {OURS} a", valid(2)], "weak"),
        ([f"[GNUPG:] GOODSIG {OURS} a", valid(2), f"[GNUPG:] GOODSIG {THEIRS} b", valid(8)], "good"),
        ([f"[GNUPG:] GOODSIG {OURS} a", valid(8), f"[GNUPG:] BADSIG {THEIRS} b"], "bad"),
        ([f"[GNUPG:] GOODSIG {OURS} EXPKEYSIG of BADSIG and NO_PUBKEY", valid(8)], "good"),
        ([f"[GNUPG:] BADSIG {OURS} GOODSIG or EXPKEYSIG"], "bad"),
        ([f"[GNUPG:] REVKEYSIG {OURS} GOODSIG", valid(8)], "revoked"),
        ([f"[GNUPG:] EXPSIG {OURS} a", valid(8)], "outdated"),
        ([f"[GNUPG:] EXPKEYSIG {OURS} a", valid(8)], "expired"),
        ([f"[GNUPG:] NO_PUBKEY {OURS}", "gpgv: GOODSIG EXPKEYSIG"], "unknown-key"),
        (["[GNUPG:] NODATA 4", "[GNUPG:] ", ""], "damaged"),
    ],
)
def test_each_signature_of_the_metadata_is_judged_by_its_own_lines(lines, state):
    assert signing.judged("\n".join(lines)) == state


@pytest.mark.parametrize("order", ["strange first", "ours first"])
def test_a_second_signature_makes_the_metadata_no_worse(tmp_path, repo, key, stranger, order):
    """As while a key is changed. DNF reads such a repository too."""
    path = repo / "repodata" / "repomd.xml"
    whole = path.read_bytes()
    parts = [signature(one, "SHA256", data=whole)[0] for one in (stranger, key)]
    path.with_name("repomd.xml.asc").write_bytes(b"".join(parts[:: 1 if order == "strange first" else -1]))
    assert checks(repo, "--key", key.public) == {}
    with Server(repo) as server:
        client = Client(tmp_path / "client", server.url, key)
        assert NAME in client.dnf("repoquery", "--available").stdout


@pytest.mark.parametrize(
    "before", ["The key of the project\n\n", "pub  rsa2048 2026\nuid  a -----BEGIN b\n"]
)
def test_a_key_file_may_begin_with_a_comment(tmp_path, repo, key, before):
    (tmp_path / "key.asc").write_text(before + key.public.read_text())
    assert checks(repo, "--key", tmp_path / "key.asc") == {}


@pytest.mark.parametrize("life, check", [("1d", "metadata-signature-expired"), ("5y", None)])
def test_a_signature_may_have_an_end_of_its_own(tmp_path, repo, key, life, check):
    path = repo / "repodata" / "repomd.xml"
    path.with_name("repomd.xml.asc").unlink()
    with gnupg.home() as home:
        old = ["--passphrase", "", "--faked-system-time", "20260101T000000"]
        gnupg.gpg(home, *old, "--quick-generate-key", "old", "rsa2048", "sign", "never")
        export(home, tmp_path / "old.asc")
        end = ["--default-sig-expire", life, "--output", str(path) + ".asc"]
        gnupg.gpg(home, *old, *end, "--armor", "--detach-sign", str(path))
    found = set(checks(repo, "--key", tmp_path / "old.asc", "--key", key.public))
    assert found == ({check} if check else set())


def test_a_signature_by_a_revoked_key_is_told(tmp_path, repo, key):
    path = repo / "repodata" / "repomd.xml"
    path.with_name("repomd.xml.asc").unlink()
    with gnupg.home() as home:
        gnupg.make_key(home, "lost")
        gnupg.gpg(home, "--output", str(path) + ".asc", "--armor", "--detach-sign", str(path))
        (revocation,) = pathlib.Path(home, "openpgp-revocs.d").glob("*.rev")
        revocation.write_text(revocation.read_text().replace(":-----BEGIN", "-----BEGIN"))
        gnupg.gpg(home, "--import", str(revocation))
        export(home, tmp_path / "lost.asc")
    found = set(checks(repo, "--key", tmp_path / "lost.asc", "--key", key.public))
    assert found == {"metadata-key-revoked", "key-unusable"}


@pytest.mark.parametrize("line", ["default-sig-expire 1d", "default-sig-expire 2026-12-31"])
def test_a_signature_of_ours_has_no_end_whatever_gpg_conf_says(tmp_path, line):
    (tmp_path / "repomd.xml").write_text("x")
    with gnupg.home() as home:
        gnupg.make_key(home, "own")
        pathlib.Path(home, "gpg.conf").write_text(line + "\n")
        signing.sign(str(tmp_path), "own", home)
        files = [str(tmp_path / "repomd.xml.asc"), str(tmp_path / "repomd.xml")]
        said = gnupg.gpg(home, "--status-fd", "1", "--verify", *files)
    assert re.search(r"VALIDSIG \S+ \S+ \d+ (\d+) ", said)[1] == "0"


# ---- keys that end


@pytest.mark.parametrize(
    "life, wanted", [("20d", "key-expires"), ("59d", "key-expires"), ("70d", None), ("never", None)]
)
def test_a_key_that_expires_soon_is_told_with_its_days(tmp_path, repo, life, wanted):
    with gnupg.home() as home:
        gnupg.gpg(home, "--passphrase", "", "--quick-generate-key", "soon", "rsa2048", "sign", life)
        (tmp_path / "soon.asc").write_text(gnupg.gpg(home, "--armor", "--export", "soon"))
    found = checks(repo, "--key", tmp_path / "soon.asc")
    assert ("key-expires" in found) is bool(wanted)
    if wanted:
        days = int(re.search(r"expires in (\d+) day", found[wanted])[1])
        assert days in (int(life[:-1]), int(life[:-1]) - 1) and "soon" in found[wanted]


def test_the_life_of_a_signing_subkey_counts(tmp_path):
    with gnupg.home() as home:
        gnupg.gpg(home, "--passphrase", "", "--quick-generate-key", "sub", "rsa2048", "cert", "never")
        main = signing.public_keys([export(home, tmp_path / "sub.asc")])[0]
        gnupg.gpg(
            home, "--passphrase", "", "--quick-add-key", main_fingerprint(home), "rsa2048", "sign", "10d"
        )
        (key,) = signing.public_keys([export(home, tmp_path / "sub.asc")])
    assert main.expires == 0 and key.expires > 0 and len(key.ids) == 2


def export(home, path):
    path.write_text(gnupg.gpg(home, "--armor", "--export"))
    return str(path)


def main_fingerprint(home):
    return re.search(r"^fpr:+([0-9A-F]{40}):", gnupg.gpg(home, "--with-colons", "--list-keys"), re.M)[1]


def test_an_expired_or_revoked_key_is_told(tmp_path, repo):
    with gnupg.home() as home:
        make = ["--passphrase", "", "--quick-generate-key", "old", "rsa2048", "sign", "1y"]
        gnupg.gpg(home, "--faked-system-time", "20200101T000000", *make)
        found = checks(repo, "--key", export(home, tmp_path / "old.asc"))
        assert "expired on 2020-12-31" in found["key-unusable"]
        (revocation,) = pathlib.Path(home, "openpgp-revocs.d").glob("*.rev")
        revocation.write_text(revocation.read_text().replace(":-----BEGIN", "-----BEGIN"))
        gnupg.gpg(home, "--import", str(revocation))
        assert "was revoked" in checks(repo, "--key", export(home, tmp_path / "old.asc"))["key-unusable"]


def test_every_change_warns_of_the_end_of_a_key(tmp_path, first):
    with gnupg.home() as home:
        gnupg.gpg(
            home, "--passphrase", "", "--quick-generate-key", "soon@example.com", "rsa2048", "sign", "9d"
        )
        mine = support.Keys(
            pathlib.Path(home), "soon@example.com", pathlib.Path(export(home, tmp_path / "k"))
        )
        (tmp_path / "b").mkdir()
        built = support.build(tmp_path / "b")
        support.sign(mine, *built)
        assert "[key-expires]" in publish(tmp_path / "repo", mine, *built).stdout
        for verb in ["withdraw", "--reason", "oops", V1], ["prune"], ["sign"]:
            done = tool(verb[0], "--repo", tmp_path / "repo", *support.signing(mine), *verb[1:])
            assert done.stdout.count("[key-expires]") == 1, verb


# ---- the words of rpm


ODD = """\
#!/bin/sh
# A stand-in for the rpmkeys of another version and language: the real one's work, other words.
{real} "$@" >/dev/null 2>&1
status=$?
case "$*" in
*-K*|*--checksig*) for word; do :; done; echo "$word:"; echo "    Unterschrift: in Ordnung oder nicht" ;;
esac
exit $status
"""


@pytest.fixture
def odd_words(tmp_path, monkeypatch):
    program = tmp_path / "bin" / "rpmkeys"
    program.parent.mkdir()
    program.write_text(ODD.format(real=shutil.which("rpmkeys")))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


def test_neither_tool_hangs_on_the_words_of_rpmkeys(
    tmp_path, odd_words, key, stranger, first, second, monkeypatch
):
    (tmp_path / "b").mkdir()
    unsigned = support.build(tmp_path / "b", number="3")[0]
    (tmp_path / "c").mkdir()
    strange = support.build(tmp_path / "c", number="4")[0]
    support.sign(stranger, strange)
    broken = tmp_path / first[0].name
    data = bytearray(first[0].read_bytes())
    data[-60] ^= 255
    broken.write_bytes(data)
    paths = [str(path) for path in (first[0], unsigned, strange, second[0], broken)]
    states = rpms.signatures(paths, [str(key.public)])
    assert [states[path][0] for path in paths] == ["good", "unsigned", "unknown-key", "good", "bad"]
    monkeypatch.setenv("GNUPGHOME", str(key.home))
    verify_rpm(str(second[0]), key.name, Runner(str(tmp_path / "log")))
    for path in unsigned, strange, broken:
        with pytest.raises(ToolError):
            verify_rpm(str(path), key.name, Runner(str(tmp_path / "log")))


def signature(key, *names, data=b"x"):
    """Signature packets by ``key`` of ``data``, in binary."""
    return [
        subprocess.run(
            ["gpg", "--batch", "--homedir", str(key.home), "--digest-algo", name, "--detach-sign"],
            input=data,
            capture_output=True,
            check=True,
        ).stdout
        for name in names
    ]


def test_two_signatures_of_which_one_is_unknown(key, stranger):
    """As rpm 6 writes them: base64 texts in one field."""
    ours, theirs = signature(key, "SHA256") + signature(stranger, "SHA512")
    header = {278: [base64.b64encode(one).decode() for one in (ours, theirs)], 273: "a", 5092: ["b"]}
    proof = rpm_header.proof(header)
    assert [one.digest for one in proof.signatures] == ["SHA-256", "SHA-512"] and proof.of_header
    known = set(signing.public_keys([str(key.public)])[0].ids)
    assert [one.key in known for one in proof.signatures] == [True, False]
    read = rpms._Read(proof.signatures, proof.weak)
    assert rpms._judged(read, known, None)[0] == "good", "the rpm here is content"
    state, detail = rpms._judged(read, known, ["any words"])
    assert state == "unknown-key" and proof.signatures[1].key in detail and " too" in detail


@pytest.mark.parametrize("name, digest", [("SHA1", "SHA-1"), ("SHA256", "SHA-256"), ("SHA384", "SHA-384")])
def test_real_signatures_are_read(key, name, digest):
    (data,) = signature(key, name)
    (found,) = openpgp.signatures(data)
    assert found.digest == digest and found.key in signing.public_keys([str(key.public)])[0].ids


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_hostile_packets_are_left_out(data):
    for whole in data, b"\x88" + bytes([len(data) % 256]) + data, b"\xc2" + data, b"\x89\x01\x00\x04" + data:
        assert all(isinstance(one, openpgp.Signature) for one in openpgp.signatures(whole))


# ---- the how-to


def blocks():
    text = (support.ROOT / "docs/how-to/keys.md").read_text()
    return re.findall(r"^```\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def test_the_how_to_runs_as_it_stands_and_clients_follow(tmp_path):
    with gnupg.home() as home:
        gnupg.gpg(
            home, "--passphrase", "", "--quick-generate-key", "patches@example.com", "rsa2048", "sign", "9d"
        )
        srv, work = tmp_path / "srv", tmp_path / "work"
        srv.mkdir(), work.mkdir()
        file = srv / "RPM-GPG-KEY-example"
        mine = support.Keys(pathlib.Path(home), "patches@example.com", file)
        export(home, file)
        for name in "livepatch-repo.yml", "stable.yml":
            (work / name).write_text(f"sign_with: patches@example.com\nkeys: [{file}]\n")
        bin_folder = tmp_path / "bin"
        bin_folder.mkdir()
        python = support.ROOT / ".venv" / "bin" / "python3"
        tools = support.ROOT / "bin"
        for name, body in {
            "gpg": '/usr/bin/gpg --batch --yes --pinentry-mode loopback --passphrase ""',
            "livepatch-repo": f"{tools}/livepatch-repo",
            "livepatch-rpm": f"{python} {tools}/livepatch-rpm",
        }.items():
            (bin_folder / name).write_text(f'#!/bin/sh\nexec {body} "$@"\n')
            (bin_folder / name).chmod(0o755)
        env = {**support.ENV, "GNUPGHOME": home, "PATH": f"{bin_folder}:{os.environ['PATH']}"}
        fingerprint, extend, make, again, which, empty, anew, prune, last = blocks()

        def run(text, status=(0,)):
            done = subprocess.run(
                ["sh", "-euc", (fingerprint + text).replace("/srv/", f"{srv}/")],
                cwd=work,
                env=env,
                capture_output=True,
                text=True,
            )
            assert done.returncode in status, f"{text}\n{done.stdout}\n{done.stderr}"
            return done.stdout

        def unknown():
            """The packages of the old key, by repository."""
            export_new, *lints = which.splitlines()
            run(export_new)
            found = {}
            for line in lints:
                told = run(line, status=(0, 3)).splitlines()
                found[line.split("/srv/")[1]] = sum("[package-key-unknown]" in one for one in told)
            return found

        built = []
        for number in "1", "2":
            (tmp_path / number).mkdir()
            manifest = support.manifest(module=f"kp_427_1_{number}")
            built.append(support.build(tmp_path / number, number=number, manifests=[manifest], source=True))
        run(empty.replace("0.1", "0").replace("patches-2027", "patches").replace("output new", "output old"))
        kernel = support.build_kernel(tmp_path / "1")
        support.sign(mine, *built[0], kernel)
        run(f"livepatch-repo publish --repo /srv/testing {' '.join(map(str, built[0]))} old/*.rpm")
        run("livepatch-repo promote --config stable.yml --from /srv/testing --to /srv/stable")
        # The kernel's package, which is not the publisher's own in real life.
        run(f"livepatch-repo publish --config stable.yml --repo /srv/stable {kernel}")
        assert "[key-expires]" in run("livepatch-repo verify --repo /srv/stable")
        assert run("echo $OLD").strip() == main_fingerprint(home)
        assert "[key-expires]" not in run(extend).splitlines()[-1]
        assert "[key-expires]" not in run("livepatch-repo verify --repo /srv/stable")
        with Server(srv / "stable") as server:
            client = Client(tmp_path / "client", server.url, mine)
            client.dnf("install", V1)
            run(make)
            client.dnf("makecache")
            run(again)
            assert unknown() == {"testing": 2, "testing/source": 2, "stable": 3, "stable/source": 2}
            # A client that was there before the change follows, and takes a package of the new key.
            run(empty)
            support.sign(support.Keys(pathlib.Path(home), "patches-2027@example.com", file), *built[1])
            for path in built[1]:
                shutil.copy(path, work / "new")
            run(anew)
            client.dnf("upgrade")
            assert V2 in client.installed() and V1 not in client.installed()
            assert unknown() == {"testing": 0, "testing/source": 0, "stable": 3, "stable/source": 2}
            run(prune)
            assert unknown() == {"testing": 0, "testing/source": 0, "stable": 1, "stable/source": 0}
            run("livepatch-repo promote --config stable.yml --from /srv/testing --to /srv/stable")
            assert V2 in names(srv / "stable") and V1 not in names(srv / "stable")
            told = run(last, status=(3,))
            assert told.count("[package-key-unknown]") == 1, "the kernel's package, which is left"
