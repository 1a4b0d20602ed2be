# SPDX-License-Identifier: GPL-2.0-or-later
"""No folder of the caller's gives a shipped entry point a module."""

import os
import re
import subprocess

import pytest

from dnf_plugin_livepatch.base.paths import Paths
from dnf_plugin_livepatch.host.files import mailbox
from dnf_plugin_livepatch.toolkit import programs
from tests.tools.support.repositories import ROOT

COMMANDS = ("livepatch", "livepatch-rpm", "livepatch-repo")
ISOLATED = "#!/usr/bin/python3 -I"


@pytest.fixture
def hostile(tmp_path):
    """The environment of a caller whose folders hold modules that would end the program with 99."""
    site = subprocess.run(
        ["/usr/bin/python3", "-m", "site", "--user-site"],
        env={"HOME": str(tmp_path)}, capture_output=True, text=True, check=False,
    ).stdout.strip()  # fmt: skip
    for folder in (tmp_path, tmp_path / "path", site):
        os.makedirs(folder, exist_ok=True)
        for name in ("argparse", "json", "sitecustomize", "usercustomize"):
            with open(os.path.join(folder, name + ".py"), "w", encoding="ascii") as file:
                file.write("import os\nos._exit(99)\n")
    python = {"PYTHONPATH": str(tmp_path / "path"), "PYTHONSTARTUP": str(tmp_path / "json.py")}
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **python}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_takes_no_module_of_the_callers(name, hostile, tmp_path):
    for script in (ROOT / "bin" / name, tmp_path / name):
        if not script.exists():
            script.symlink_to(ROOT / "bin" / name)
        done = subprocess.run(
            [script, "--version"], env=hostile, cwd=tmp_path, capture_output=True, check=False
        )
        assert done.returncode == 0 and b"1." in done.stdout, done.stderr


def test_the_hostile_folders_would_be_taken_without_isolation(hostile, tmp_path):
    script = ROOT / "bin" / "livepatch"
    done = subprocess.run(["/usr/bin/python3", script, "--version"], env=hostile, cwd=tmp_path, check=False)
    assert done.returncode == 99


def test_every_python_that_is_shipped_runs_isolated():
    heads = {
        path.name: path.read_text().split("\n")[0]
        for folder in ("bin", "libexec")
        for path in (ROOT / folder).iterdir()
        if "python" in path.read_text().split("\n")[0]
    }
    assert heads == dict.fromkeys(COMMANDS, ISOLATED)
    started = [
        line
        for path in (ROOT / "systemd").glob("*.service")
        for line in path.read_text().split("\n")
        if line.startswith("Exec") and "python" in line
    ]
    assert started and all(re.search(r"python3 -I", line) for line in started)


def test_reconcile_as_a_child_is_isolated_and_finds_the_checkout(hostile, tmp_path):
    """The stand-in root holds no kernel, so that there is nothing to do."""
    argv = mailbox.command(Paths(str(tmp_path)))
    done = subprocess.run(argv, env=hostile, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_reconcile_is_started_without_the_callers_python_path(tmp_path, monkeypatch):
    seen = tmp_path / "seen"
    monkeypatch.setenv("PYTHONPATH", "/shadow")
    monkeypatch.setattr(mailbox, "command", lambda paths: ["/bin/sh", "-c", f"env >{seen}"])
    mailbox._start(Paths(str(tmp_path)), mailbox.time.monotonic() + 60, None)
    assert "PYTHONPATH" not in seen.read_text() and "PATH=" in seen.read_text()


def test_the_tools_hand_no_python_path_on(tmp_path, monkeypatch):
    for name in ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP"):
        monkeypatch.setenv(name, "/shadow")
    log = tmp_path / "log"
    programs.Runner(str(log)).run(["env"])
    told = programs.run(["env"]).stdout.decode() + log.read_text()
    assert "/shadow" not in told and "LC_ALL=C.UTF-8" in told
