# SPDX-License-Identifier: GPL-2.0-or-later
"""The blocks of docs/how-to/recipes.md, run as they stand there on hosts in each state."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from dnf_plugin_livepatch.host.kernel import running as kernels
from dnf_plugin_livepatch.host.packages import inventory
from tests.unit.support.reporting import Telling

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def blocks() -> dict[str, str]:
    with open(TOP + "/docs/how-to/recipes.md", encoding="utf-8") as file:
        return dict(re.findall(r"^```(?:sh|yaml) (\S+)\n(.*?)^```", file.read(), re.MULTILINE | re.DOTALL))


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Telling:
    return Telling(str(tmp_path / "host"), monkeypatch)


def environment(host: Telling, tmp_path: Path) -> dict[str, str]:
    """With this tree's livepatch, and a shutdown that only says so, first in PATH."""
    inventory.refresh(host.paths, kernels.running(host.paths))
    tools = tmp_path / "bin"
    tools.mkdir(exist_ok=True)
    for tool, line in (
        ("livepatch", f'PYTHONPATH={TOP} exec /usr/bin/python3 {TOP}/bin/livepatch "$@"'),
        ("shutdown", 'echo "shutdown $*"'),
    ):
        (tools / tool).write_text(f"#!/bin/sh\n{line}\n")
        (tools / tool).chmod(0o755)
    return {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}


def run(host: Telling, tmp_path: Path, name: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the block ``name`` as a shell script."""
    env = {**environment(host, tmp_path), **more}
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


def ansible(host: Telling, tmp_path: Path, *words: str) -> str:
    """What an ansible command says of this machine, which its reboot module refuses to reboot."""
    env = environment(host, tmp_path)
    env.update(
        HOME=str(tmp_path),
        ANSIBLE_HOME=str(tmp_path / "ansible"),
        ANSIBLE_NOCOLOR="1",
        ANSIBLE_PYTHON_INTERPRETER="/usr/bin/python3",
        LC_ALL="C.UTF-8",
    )
    command = [os.path.join(os.path.dirname(sys.executable), words[0]), "-i", "localhost,", "-c", "local"]
    done = subprocess.run(
        [*command, *words[1:]], env=env, capture_output=True, text=True, timeout=120, check=False
    )
    return done.stdout + done.stderr


def test_ansible_reads_the_facts(host: Telling, tmp_path: Path) -> None:
    host.know((1000, "Important"))
    facts = tmp_path / "facts.d"
    facts.mkdir()
    (facts / "livepatch.fact").write_text(blocks()["facts"])
    (facts / "livepatch.fact").chmod(0o755)
    text = ansible(
        host, tmp_path, "ansible", "-m", "setup", "-a", f"gather_subset=local fact_path={facts}", "localhost"
    )
    found = json.loads(text[text.index("{") : text.rindex("}") + 1])["ansible_facts"]["ansible_local"]
    assert [row["cve"] for row in found["livepatch"]["exposure"]["open"]] == ["CVE-2026-1000"]


def test_ansible_reboots_where_it_closes_something(host: Telling, tmp_path: Path) -> None:
    tasks = yaml.safe_load(blocks()["ansible"])
    book = tmp_path / "book.yml"
    book.write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
    wanted = "would reboot the control node"

    def play() -> str:
        text = ansible(host, tmp_path, "ansible-playbook", str(book))
        assert "ok=1" in text or "ok=2" in text, text
        return text

    unknown = play()
    assert wanted not in unknown and "failed=0" in unknown, "unknown is no reason"
    host.know((1000, "Important"))
    assert wanted not in play(), "a reboot would change nothing: no loop"
    fixed_kernel(host)
    assert wanted in play()
    host.load(host.patch("1", "CVE-2026-1000"))
    closed = play()
    assert wanted not in closed and "skipped=1" in closed and "failed=0" in closed


def test_ansible_fails_where_a_patch_is_not_in_force(host: Telling, tmp_path: Path) -> None:
    tasks = yaml.safe_load(blocks()["ansible-in-force"])
    book = tmp_path / "book.yml"
    book.write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
    host.know((1000, "Important"))
    patch = host.patch("1", "CVE-2026-1000")
    text = ansible(host, tmp_path, "ansible-playbook", str(book))
    assert "failed=1" in text and '"rc": 5' in text, text
    host.load(patch)
    assert "ok=1" in ansible(host, tmp_path, "ansible-playbook", str(book))


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


class StandInForPrometheus:
    """Fires alerts as Prometheus does, for the few forms of expression that the recipes have.

    Samples that do not match or compare are dropped; a sum over a NaN is NaN.
    """

    SELECTOR = r"(?P<name>\w+)\{(?P<label>\w+)(?P<how>=~|!=|=)\"(?P<value>[^\"]+)\"\}"
    EXPRESSION = re.compile(
        rf"(?P<sum>sum by \(instance\) \()?{SELECTOR}(?: (?P<each>>) 0)?\)? (?P<test>>|==) (?P<limit>[01])\Z"
    )

    def __init__(self, text: str) -> None:
        self.samples = [s for family in text_string_to_metric_families(text) for s in family.samples]

    def fires(self, expression: str) -> bool:
        match = self.EXPRESSION.match(expression)
        assert match, expression
        found = match.groupdict()
        named = [sample for sample in self.samples if sample.name == found["name"]]
        assert named and all(found["label"] in sample.labels for sample in named), "it is a metric of ours"
        words = {sample.labels[found["label"]] for sample in named}
        wanted = set(found["value"].split("|")) if found["how"] == "=~" else {found["value"]}
        assert wanted <= words, "each of its values is one that we tell"
        chosen = words - wanted if found["how"] == "!=" else wanted
        values = [sample.value for sample in named if sample.labels[found["label"]] in chosen]
        if found["each"]:
            values = [value for value in values if value > 0]
        if found["sum"]:
            values = [sum(values)] if values else []
        limit = float(found["limit"])
        return any(value > limit if found["test"] == ">" else value == limit for value in values)


def alerts(host: Telling, tmp_path: Path) -> set[str]:
    """The alerts of the recipe that fire for what the host tells now."""
    assert run(host, tmp_path, "node_exporter", TEXTFILE_DIR=str(tmp_path)).returncode == 0
    prometheus = StandInForPrometheus((tmp_path / "livepatch.prom").read_text())
    rules = yaml.safe_load(blocks()["prometheus"])
    return {rule["alert"] for rule in rules if prometheus.fires(rule["expr"])}


def test_prometheus_alerts(host: Telling, tmp_path: Path) -> None:
    assert alerts(host, tmp_path) == {"KernelCvesUnknown"}, "nothing is known"
    host.know((1000, "Important"))
    assert alerts(host, tmp_path) == {"KernelCvesOpen"}
    some = {"quality": "lower-bound", "reason": "earlier ones may be missing"}
    host.know((1000, "Important"), **some)
    assert alerts(host, tmp_path) == {"KernelCvesOpen", "KernelCvesUnknown"}, "reboot-only is NaN here"
    patch = host.patch("1", "CVE-2026-1000")
    assert "LivePatchNotInForce" in alerts(host, tmp_path)
    host.load(patch)
    assert alerts(host, tmp_path) == {"KernelCvesUnknown"}
    host.know((1000, "Important"))
    assert alerts(host, tmp_path) == set()


def test_a_scanners_list(host: Telling, tmp_path: Path) -> None:
    where = {"SCANNER_DIR": str(tmp_path / "scanner")}
    host.know((1000, "Important"))
    assert run(host, tmp_path, "scanner", **where).returncode == 0
    assert (tmp_path / "scanner" / "open-cves").read_text() == "CVE-2026-1000\n"
    host.remove_cache()
    assert run(host, tmp_path, "scanner", **where).returncode == 1
    assert (tmp_path / "scanner" / "open-cves").read_text() == "CVE-2026-1000\n"


def test_nagios(host: Telling, tmp_path: Path) -> None:
    host.know()
    done = run(host, tmp_path, "nagios")
    assert done.returncode == 0 and done.stdout.startswith("LIVEPATCH OK")


def test_motd(host: Telling, tmp_path: Path) -> None:
    host.know((1000, "Important"))
    assert run(host, tmp_path, "motd", MOTD_DIR=str(tmp_path)).returncode == 0
    assert "CVEs open 1" in (tmp_path / "livepatch").read_text()
