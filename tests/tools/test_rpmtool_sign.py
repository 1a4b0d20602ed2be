# SPDX-License-Identifier: GPL-2.0-or-later
"""Signing with throw-away keys: the real sign-file, rpmsign, openssl and rpmkeys."""

from __future__ import annotations

import os
import shutil

import pytest

from dnf_plugin_livepatch.rpmtool.module.sign import verify_module, verify_rpm
from dnf_plugin_livepatch.rpmtool.readers.elf import signature
from dnf_plugin_livepatch.rpmtool.readers.rpm_file import payload, read_header
from dnf_plugin_livepatch.toolkit.errors import ToolError
from dnf_plugin_livepatch.toolkit.programs import Runner
from tests.tools.support.rpm_sources import headers, kernel, run, source, tool
from vm import gnupg


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """A module key with its certificate, a second pair, and a GPG key, all without pass phrase."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("one", "two"):
        options = f"-x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test-{name}".split()
        files = ["-keyout", str(folder / f"{name}.pem"), "-out", str(folder / f"{name}.crt")]
        run(["openssl", "req", *options, *files])
    with gnupg.home() as home:
        gnupg.make_key(home, "test@example.invalid")
        yield {"folder": str(folder), "env": {"GNUPGHOME": home}}


@pytest.fixture(scope="module")
def signed(keys, tmp_path_factory):
    """A package with a signed module, itself signed."""
    folder = tmp_path_factory.mktemp("signed")
    key = keys["folder"] + "/one"
    result = tool(
        "build",
        "--json",
        "--kernel-devel",
        headers(),
        "--module-key",
        key + ".pem",
        "--module-cert",
        key + ".crt",
        "--rpm-key",
        "test@example.invalid",
        "-o",
        str(folder),
        source(folder),
        env=keys["env"],
    )
    assert result.status == 0, result.out + result.err
    return result.json


def test_module_in_the_package_is_signed_by_that_key(signed, keys, tmp_path):
    data = next(data for name, data in payload(signed["rpm"]).items() if name.endswith(".ko"))
    assert signature(data) == "signed"
    path = tmp_path / "m.ko"
    path.write_bytes(data)
    runner = Runner(str(tmp_path / "log"))
    verify_module(str(path), keys["folder"] + "/one.crt", runner)
    with pytest.raises(ToolError) as caught:
        verify_module(str(path), keys["folder"] + "/two.crt", runner)
    assert caught.value.id == "sign-unverified"
    path.write_bytes(data.replace(b"patched\n", b"paTched\n"))
    with pytest.raises(ToolError):
        verify_module(str(path), keys["folder"] + "/one.crt", runner)
    assert "signature-missing" not in [item["id"] for item in signed["findings"]]


def test_both_packages_carry_a_real_header_signature(signed, keys, tmp_path):
    for path in (signed["rpm"], signed["srpm"]):
        assert read_header(path).signed
    base = tmp_path / "db"
    base.mkdir()
    public = tmp_path / "key.asc"
    public.write_text(run(["gpg", "--armor", "--export", "test@example.invalid"], env=keys["env"]))
    run(["rpmkeys", "--dbpath", str(base), "--import", str(public)])
    assert "Signature" in run(["rpmkeys", "--dbpath", str(base), "-Kv", signed["rpm"]])


def test_digests_alone_are_no_signature(keys, tmp_path, monkeypatch):
    monkeypatch.setenv("GNUPGHOME", keys["env"]["GNUPGHOME"])
    result = tool("empty", "--json", "--kernel", kernel().release, "-o", str(tmp_path))
    assert run(["rpmkeys", "--checksig", result.json["rpm"]])  # rpm is content with it
    with pytest.raises(ToolError) as caught:
        verify_rpm(result.json["rpm"], "test@example.invalid", Runner(str(tmp_path / "log")))
    assert caught.value.id == "sign-unverified" and "digests" in caught.value.text
    assert "Signed:    no\n" in tool("inspect", result.json["rpm"]).out


def test_sign_verb_signs_in_place_and_again(keys, tmp_path):
    made = tool(
        "build",
        "--json",
        "--kernel-devel",
        headers(),
        "--keep-work",
        "--work",
        str(tmp_path),
        "-o",
        str(tmp_path / "out"),
        source(tmp_path),
    )
    module = str(next(tmp_path.glob("livepatch-rpm-*/stage/*.ko")))
    for name in ("one", "two"):
        key = f"{keys['folder']}/{name}"
        done = tool(
            "sign",
            "--json",
            "--module-key",
            key + ".pem",
            "--module-cert",
            key + ".crt",
            "--kernel-devel",
            headers(),
            module,
        )
        assert done.status == 0, done.out
        verify_module(module, key + ".crt", Runner(str(tmp_path / "log")))
    done = tool("sign", "--json", "--rpm-key", "test@example.invalid", made.json["rpm"], env=keys["env"])
    assert done.status == 0 and read_header(made.json["rpm"]).signed


def test_key_and_certificate_that_do_not_belong_together(keys, tmp_path):
    result = tool(
        "build",
        "--json",
        "--kernel-devel",
        headers(),
        "--module-key",
        keys["folder"] + "/one.pem",
        "--module-cert",
        keys["folder"] + "/two.crt",
        "-o",
        str(tmp_path / "out"),
        source(tmp_path),
    )
    assert result.status == 1 and result.error in ("sign-failed", "sign-unverified")
    assert not os.path.exists(tmp_path / "out")


def test_failed_package_signature_publishes_nothing(keys, tmp_path):
    path = tmp_path / "bin"
    path.mkdir()
    (path / "rpmsign").write_text("#!/bin/sh\nexit 0\n")  # a signer that exits with 0 and does nothing
    (path / "rpmsign").chmod(0o755)
    env = {**keys["env"], "PATH": f"{path}:{os.environ['PATH']}"}
    result = tool(
        "empty",
        "--json",
        "--kernel",
        kernel().release,
        "--rpm-key",
        "test@example.invalid",
        "-o",
        str(tmp_path / "out"),
        env=env,
    )
    assert (result.status, result.error) == (1, "sign-unverified")
    assert not os.path.exists(tmp_path / "out")


def test_pkcs11_uri_reaches_sign_file(keys, tmp_path):
    argv_file = tmp_path / "argv"
    program = tmp_path / "sign-file"
    program.write_text(
        f'#!/bin/sh\necho "$@" > {argv_file}\nexec {headers()}/scripts/sign-file "$1" '
        f'{keys["folder"]}/one.pem "$3" "$4"\n'
    )
    program.chmod(0o755)
    result = tool(
        "build",
        "--json",
        "--kernel-devel",
        headers(),
        "--module-key",
        "pkcs11:object=klp;type=private",
        "--module-cert",
        keys["folder"] + "/one.crt",
        "--sign-file",
        str(program),
        "-o",
        str(tmp_path / "out"),
        source(tmp_path),
    )
    assert result.status == 0, result.out
    assert "sha256 pkcs11:object=klp;type=private" in argv_file.read_text()


def test_inspect_and_diff_tell_signatures_and_changes(signed, keys, tmp_path):
    copy = shutil.copy(signed["rpm"], tmp_path / "old.rpm")
    text = tool("inspect", signed["rpm"]).out
    assert "Signed:    yes" in text and "signature signed" in text and "vmlinux:cmdline_proc_show" in text
    facts = tool("inspect", "--json", signed["rpm"]).json
    assert facts["schema"] == 1 and facts["modules"][0]["functions"] == ["vmlinux:cmdline_proc_show"]
    new = tool(
        "build",
        "--json",
        "--kernel-devel",
        headers(),
        "--base",
        signed["srpm"],
        "--cve",
        "CVE-2026-10009",
        "-o",
        str(tmp_path / "new"),
        source(tmp_path, name="livepatch_next"),
    )
    assert new.status == 0, new.out
    changes = tool("diff", "--json", str(copy), new.json["rpm"]).json["changes"]
    assert changes["cves"] == {"removed": [], "added": ["CVE-2026-10009"]}
    assert changes["modules"] == {"removed": ["livepatch_test"], "added": ["livepatch_next"]}
    assert "+ cves: CVE-2026-10009" in tool("diff", str(copy), new.json["rpm"]).out
