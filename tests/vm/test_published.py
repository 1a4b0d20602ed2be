# SPDX-License-Identifier: GPL-2.0-or-later
"""A repository that livepatch-repo published, read over http by a real host: upgrade, replace, go back."""

from __future__ import annotations

import glob
import io
import os
import re
import tarfile
import time
from collections.abc import Iterator

import pytest

from tests.vm.support.demo_host import CONF, Host, patch_name
from vm import repo

PORT = 8462
URL = f"http://127.0.0.1:{PORT}"
REASON = "oops in version_proc_show"
# Kernels come from `demo` still, live patches from here only.
REPOSITORY = f"""\
[published]
name=Live patches
mirrorlist={URL}/mirrorlist
gpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-demo
gpgcheck=1
repo_gpgcheck=1
"""


class Publisher:
    """livepatch-repo on this machine, with the demo's key, and the guest's web server to copy to."""

    def __init__(self, folder: str, env: dict[str, str], host: Host) -> None:
        self.folder, self.env, self.host = folder, env, host

    def tool(self, verb: str, *words: str, percent: int = 100) -> None:
        """Run one verb on the repository; a publish offers its live patches to ``percent`` of the hosts."""
        steps = [{"after": "0h", "percent": percent}]
        repo.tool(verb, self.root, *words, env=self.env, settings={"base_url": URL, "rollout": steps})

    @property
    def root(self) -> str:
        """The repository on this machine."""
        return os.path.join(self.folder, "repo")

    def copy(self) -> None:
        """Copy the repository to the guest's web server, as one copies to a mirror."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            archive.add(self.root, ".")
        command = "rm -rf /srv/www/* && tar -xmf - -C /srv/www && dnf -q clean expire-cache"
        done = self.host.machine.run(command, stdin=packed.getvalue())
        assert done.status == 0, done.err
        # A restored snapshot goes on at its own time, and a rollout begins at this machine's.
        self.host.run(f"date -s @{int(time.time())}")


@pytest.fixture
def publisher(host: Host, tmp_path: os.PathLike[str]) -> Iterator[Publisher]:
    """Nothing published yet; the guest has a web server and trusts the repository."""
    host.stage("base")
    host.run(
        f"mkdir -p /srv/www && systemd-run -q python3 -m http.server {PORT} -b 127.0.0.1 -d /srv/www && "
        f"until (exec 3<>/dev/tcp/127.0.0.1/{PORT}) 2>/dev/null; do sleep 0.2; done && "
        f"printf 'repos = published\\n' >>{CONF}"
    )
    host.run(f"cat >/etc/yum.repos.d/published.repo <<'END'\n{REPOSITORY}END")
    with repo.keyring() as env:
        yield Publisher(str(tmp_path), env, host)


def signed(host: Host, version: str) -> str:
    """The signed RPM of one of the demo's live patches for the running kernel."""
    name = f"{patch_name(host.old)}-{version}-1.x86_64.rpm"
    (path,) = glob.glob(os.path.join(repo.repositories(), "v2", "Packages", "*", name))
    return path


def test_published_patch_comes_into_force_and_goes_when_withdrawn(host: Host, publisher: Publisher) -> None:
    publisher.tool("publish", signed(host, "1"))
    publisher.copy()
    assert host.leaks()
    text = host.run("dnf -y upgrade")
    assert re.search(rf"^ {host.patch} +x86_64 +1-1 +published ", text, re.MULTILINE), text
    assert host.loaded() == ["livepatch_demo_1"] and not host.leaks()

    publisher.tool("publish", signed(host, "2"))
    publisher.copy()
    host.run("dnf -y upgrade")
    assert host.loaded() == ["livepatch_demo_2"] and not host.leaks() and not host.tells_builder()

    publisher.tool("withdraw", "--reason", REASON, f"{host.patch}-2-1.x86_64")
    publisher.copy()
    assert "has withdrawn it: " + REASON in host.run("dnf -y upgrade")
    assert "has withdrawn it: " + REASON in host.machine.run("livepatch status").out
    assert host.loaded() == ["livepatch_demo_2"], "it stays until the host's owner says otherwise"

    host.run(f"printf 'on_withdrawn = revert\\n' >>{CONF} && livepatch reconcile")
    assert host.loaded() == ["livepatch_demo_1"]
    assert not host.leaks() and host.tells_builder()
    assert host.installed(host.patch) == "2-1", "packages are the owner's: only the kernel goes back"


def test_changed_metadata_brings_nothing(host: Host, publisher: Publisher) -> None:
    publisher.tool("publish", signed(host, "1"))
    publisher.copy()
    host.run("sed -i 's/<revision>1/<revision>2/' /srv/www/repodata/repomd.xml")
    text = host.run("dnf -y --setopt=published.skip_if_unavailable=0 upgrade", status=1)
    assert "signature" in text.lower() or "GPG" in text, text
    assert host.installed(host.patch) == "" and host.leaks()
