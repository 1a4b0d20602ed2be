# SPDX-License-Identifier: GPL-2.0-or-later
"""The blocks of docs/recipes.md, run as they stand there on hosts in each state."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Dict

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from reporting import Telling

from dnf_plugin_livepatch.runtime import inventory
from dnf_plugin_livepatch.runtime import kernel as kernels

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def blocks() -> Dict[str, str]:
    with open(TOP + "/docs/recipes.md", encoding="utf-8") as file:
        return dict(re.findall(r"^```(?:sh|yaml) (\S+)\n(.*?)^```", file.read(), re.MULTILINE | re.DOTALL))


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Telling:
    return Telling(str(tmp_path / "host"), monkeypatch)


def run(host: Telling, tmp_path: Path, name: str, **more: str) -> "subprocess.CompletedProcess[str]":
    """Run a block with this tree's livepatch, and a shutdown that only says so, first in PATH."""
    inventory.refresh(host.paths, kernels.running(host.paths))
    tools = tmp_path / "bin"
    tools.mkdir(exist_ok=True)
    for tool, line in (
        ("livepatch", f'exec /usr/bin/python3 {TOP}/bin/livepatch "$@"'),
        ("shutdown", 'echo "shutdown $*"'),
    ):
        (tools / tool).write_text(f"#!/bin/sh\n{line}\n")
        (tools / tool).chmod(0o755)
    env = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "PYTHONPATH": TOP, **more}
    return subprocess.run(
        ["sh", "-c", blocks()[name]], env=env, capture_output=True, text=True, timeout=60, check=False
    )


def fixed_kernel(host: Telling) -> None:
    host.know((1000, "Important"))
    host.kernel_installed("6.12.1-1")
    host.kernel_installed("6.12.2-1")


def test_kured_reboots_for_open_cves_only(host: Telling, tmp_path: Path) -> None:
    assert run(host, tmp_path, "kured").returncode == 1, "unknown is no reason"
    host.know((1000, "Important"))
    assert run(host, tmp_path, "kured").returncode == 1, "a reboot would change nothing: no loop"
    fixed_kernel(host)
    assert run(host, tmp_path, "kured").returncode == 0
    host.load(host.patch("1", "CVE-2026-1000"))
    assert run(host, tmp_path, "kured").returncode == 1


def test_ansible_facts(host: Telling, tmp_path: Path) -> None:
    host.know((1000, "Important"))
    assert json.loads(run(host, tmp_path, "facts").stdout)["kernel"]["release"]


def test_the_ansible_tasks_name_every_exit_code() -> None:
    tasks = yaml.safe_load(blocks()["ansible"])
    assert [sorted(set(task) - {"name"})[0] for task in tasks] == [
        "ansible.builtin.command",
        "ansible.builtin.reboot",
    ]
    assert "[0, 100, 101, 102]" in tasks[0]["failed_when"] and "[100, 101]" in tasks[1]["when"]


def test_dnf_automatic(host: Telling, tmp_path: Path) -> None:
    host.know()
    assert "shutdown" not in run(host, tmp_path, "dnf-automatic").stdout
    fixed_kernel(host)
    assert "shutdown -r +5" in run(host, tmp_path, "dnf-automatic").stdout
    host.load(host.patch("1", "CVE-2026-1000"))
    assert "shutdown" not in run(host, tmp_path, "dnf-automatic").stdout


def test_node_exporter(host: Telling, tmp_path: Path) -> None:
    host.know((1000, "Important"))
    assert run(host, tmp_path, "node_exporter", TEXTFILE_DIR=str(tmp_path)).returncode == 0
    assert list(text_string_to_metric_families((tmp_path / "livepatch.prom").read_text()))


def test_nagios(host: Telling, tmp_path: Path) -> None:
    host.know()
    done = run(host, tmp_path, "nagios")
    assert done.returncode == 0 and done.stdout.startswith("LIVEPATCH OK")


def test_motd(host: Telling, tmp_path: Path) -> None:
    host.know((1000, "Important"))
    assert run(host, tmp_path, "motd", MOTD_DIR=str(tmp_path)).returncode == 0
    assert "CVEs open 1" in (tmp_path / "livepatch").read_text()
