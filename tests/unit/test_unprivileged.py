# SPDX-License-Identifier: GPL-2.0-or-later
"""A user without root: the verbs that read answer, and the others change nothing."""

from __future__ import annotations

import io
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator

import pytest

from dnf_plugin_livepatch.host.cli import main as cli
from dnf_plugin_livepatch.host.reconcile import run
from tests.unit.support.fakehost import QUICK
from tests.unit.support.reporting import Telling

NOBODY = 65534
ACTS = (["reconcile"], ["unload", "lp_1"], ["block", "lp-1-1.x86_64"], ["unblock", "lp-1-1.x86_64"])


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Telling]:
    root = tempfile.mkdtemp(dir=QUICK)
    os.chmod(root, 0o755)
    found = Telling(root, monkeypatch)
    found.know((1000, "Important"))
    found.load(found.patch("1", "CVE-2026-1000"))
    assert run.reconcile(found.paths, found.host.config).ok
    yield found
    shutil.rmtree(root)


def state(root: str) -> dict[str, tuple[int, float]]:
    """Mode and time of every file and folder below ``root`` that is not the kernel's or the test's own."""
    found = {}
    for folder in ("var/lib/livepatch", "run/livepatch"):
        for place, _, names in os.walk(os.path.join(root, folder)):
            for path in (place, *(os.path.join(place, name) for name in names)):
                status = os.lstat(path)
                found[path] = (status.st_mode & 0o777, status.st_mtime)
    return found


def as_nobody(words: list[str]) -> tuple[int, str]:
    """Status and output of the command in a child that gave up its privileges."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        sys.stdout = sys.stderr = io.StringIO()
        code = 99
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            code = cli.main(words)
        finally:
            os.write(write, sys.stdout.getvalue().encode()[:60000])
            os._exit(code)
    os.close(write)
    with os.fdopen(read, "rb") as file:
        text = file.read().decode()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("words", ACTS, ids=" ".join)
def test_a_user_changes_nothing(host: Telling, words: list[str]) -> None:
    before = state(host.paths.root)
    code, told = as_nobody(words)
    assert code == 1 and "Permission denied" in told, told
    assert state(host.paths.root) == before and host.host.running() == ["lp_1"]
    assert all(not mode & 0o022 for mode, _ in before.values()), "nobody else may write the state"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("verb", ["status", "cves", "list", "history", "doctor", "metrics"])
def test_a_user_may_read(host: Telling, verb: str) -> None:
    assert cli.main([verb]) in (0, 1)
    code, told = as_nobody([verb])
    assert code in (0, 1) and told and "Traceback" not in told
