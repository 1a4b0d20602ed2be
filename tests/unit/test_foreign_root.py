# SPDX-License-Identifier: GPL-2.0-or-later
"""LIVEPATCH_ROOT: an image is looked at, and nothing of it runs or changes here."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from dnf_plugin_livepatch.host.cli.main import VERBS, main

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BOOT = "00000001-0000-4000-8000-000000000000"
ACTS = ("reconcile", "unload", "block", "unblock")
PROFILE = """\
[profile]
title = x
[client]
state = /usr/bin/touch {0}
apply = /usr/bin/touch {0}
effective = /usr/bin/touch {0}
exit = state 0 none
"""


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image whose profile has a client, and whose last run claims a patch in force."""
    root = tmp_path / "image"
    result = {
        "schema": 1, "stamp": "1-1", "boot_id": BOOT, "finished": "", "kernel_release": "6.12.0-1.x86_64",
        "ok": True, "desired": "", "in_force": [{"module": "ghost", "nevra": "", "cves": [], "seconds": 0}],
        "actions": [], "problems": [], "skipped": "",
    }  # fmt: skip
    for path, text in (
        ("etc/livepatch/profiles.d/evil.conf", PROFILE.format(tmp_path / "ran")),
        ("proc/sys/kernel/osrelease", "6.12.0-1.x86_64\n"),
        ("proc/sys/kernel/random/boot_id", BOOT + "\n"),
        ("sys/kernel/livepatch/.keep", ""),
        ("var/lib/livepatch/.keep", ""),
        ("run/livepatch/result.json", json.dumps(result)),
    ):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def livepatch(image: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/usr/bin/python3", os.path.join(TOP, "bin", "livepatch"), *words],
        env={**os.environ, "PYTHONPATH": TOP, "LIVEPATCH_ROOT": str(image)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_no_verb_runs_a_program_of_the_image(image: Path, tmp_path: Path, verb: str) -> None:
    words = {"unload": ["ghost"], "block": ["ghost-1-1.x86_64"], "unblock": ["ghost-1-1.x86_64"]}
    more = words.get(verb, ["list"] if verb == "profiles" else [])
    done = livepatch(image, verb, *more)
    assert not (tmp_path / "ran").exists() and "Traceback" not in done.stderr, done


@pytest.mark.parametrize("verb", ACTS)
def test_the_verbs_that_change_something_refuse(image: Path, verb: str) -> None:
    before = {path: path.stat().st_mtime_ns for path in image.rglob("*")}
    done = livepatch(image, verb, *(["ghost-1-1.x86_64"] if verb != "reconcile" else []))
    assert done.returncode == 1 and f"LIVEPATCH_ROOT is {image}" in done.stderr
    assert {path: path.stat().st_mtime_ns for path in image.rglob("*")} == before


def test_nothing_of_this_kernel_counts_as_the_images(image: Path) -> None:
    status = json.loads(livepatch(image, "status", "--json").stdout)
    assert status["kernel"]["release"] == "6.12.0-1.x86_64" and status["kernel"]["arch"] == ""
    assert livepatch(image, "uname", "-a").stdout.strip() == (
        "Linux unknown 6.12.0-1.x86_64 unknown unknown GNU/Linux"
    )
    assert os.uname().nodename not in livepatch(image, "status").stdout.split()


@pytest.mark.parametrize(
    "path", ["etc/dnf/plugins/livepatch.conf", "var/lib/livepatch/guard.json", "proc/sys/kernel/osrelease"]
)
@pytest.mark.parametrize("kind", ["pipe", "endless"])
def test_a_file_of_the_image_that_is_no_file_keeps_nobody_waiting(image: Path, path: str, kind: str) -> None:
    (image / path).parent.mkdir(parents=True, exist_ok=True)
    (image / path).unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(image / path)
    else:
        (image / path).symlink_to("/dev/zero")
    for verb in ("status", "metrics"):
        assert "Traceback" not in livepatch(image, verb).stderr


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_a_root_that_is_no_folder_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    """Otherwise every verb would tell of a host that is not there."""
    root = tmp_path / "root"
    if kind == "file":
        root.write_text("")
    monkeypatch.setenv("LIVEPATCH_ROOT", str(root))
    for verb in ("status", "cves", "doctor", "reconcile"):
        assert main([verb]) == 1
        assert f": LIVEPATCH_ROOT is {root}, which is no folder.\n" in capsys.readouterr().err
