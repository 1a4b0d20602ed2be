# SPDX-License-Identifier: GPL-2.0-or-later
"""The CVEs that a real host prints at each stage of a load, and the reason for holding a newer kernel."""

from __future__ import annotations

import json
import os
import re
from typing import Any, NamedTuple

import jsonschema
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.vm.support import loading
from tests.vm.support.demo_host import CONF
from tests.vm.support.loaded import REST
from vm import repo

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ONE, TWO, THREE = loading.ALL_CVES
ALL = set(loading.ALL_CVES)
NONE: set[str] = set()
MOTD = "/run/motd.d/livepatch"
TRANSITION = f"/sys/kernel/livepatch/{loading.COVERS.module}/transition"
VERBS = (
    "status --json", "metrics", "vex", "reboot-check", "check", "cves --plain", "uname -r",
    f"motd --output {MOTD} && cat {MOTD}",
)  # fmt: skip


class Truth(NamedTuple):
    """The content of each form of output. ``codes`` are those of status, reboot-check and check."""

    open: set[str]
    closed: set[str]
    reboot_only: set[str]
    state: str
    codes: tuple[int, int, int]
    release: str
    reboot: str
    motd: str

    @property
    def still(self) -> set[str]:
        return self.open | self.reboot_only


@pytest.fixture(scope="module")
def stocked(booted):
    """The booted host with a file of a live patch that closes all CVEs."""
    booted.reset()
    loading.put(booted.machine, loading.COVERS)
    loading.put_gate(booted.machine)
    booted.machine.save("all-cves")
    return booted


@pytest.fixture
def stock(stocked):
    stocked.reset("all-cves")
    return stocked


def ask(host) -> dict[str, tuple[int, str]]:
    """Exit code and stdout of each verb, by its first word, from one command."""
    words = "; ".join(f"echo '=> {verb.split()[0]}'; livepatch {verb}; echo \"=> $?\"" for verb in VERBS)
    parts = re.split(r"^=> (.*)\n", host.machine.ok(words), flags=re.MULTILINE)[1:]
    return {parts[i]: (int(parts[i + 2]), parts[i + 1]) for i in range(0, len(parts), 4)}


def schema(path: str) -> jsonschema.Draft202012Validator:
    with open(os.path.join(TOP, path), encoding="utf-8") as file:
        kind = jsonschema.Draft202012Validator
        return kind(json.load(file), format_checker=kind.FORMAT_CHECKER)


def metrics(text: str) -> dict[str, dict[str, float]]:
    """Metric -> value by the last of its labels, "" where it has none."""
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            label = sample.labels.get("state") or sample.labels.get("module") or ""
            found.setdefault(sample.name, {})[label] = sample.value
    return found


def holds(host, truth: Truth, in_force: dict[str, float]) -> None:
    """Check that every form of output agrees with ``truth``; ``in_force`` is module -> 1 or 0."""
    told = ask(host)
    status: dict[str, Any] = json.loads(told["status"][1])
    schema("docs/schemas/livepatch-status-1.schema.json").validate(status)
    exposure = status["exposure"]
    assert exposure["quality"] == "exact"
    assert [{row["cve"] for row in exposure[key]} for key in ("open", "closed_live", "reboot_only")] == [
        truth.open, truth.closed, truth.reboot_only
    ]  # fmt: skip
    assert status["state"] == truth.state and status["reboot"]["code"] == truth.codes[1]
    assert tuple(told[verb][0] for verb in ("status", "reboot-check", "check")) == truth.codes
    assert told["reboot-check"][1].startswith(f"Reboot {truth.reboot}")
    assert told["cves"] == (0, "".join(f"{cve}\n" for cve in sorted(truth.still)))
    assert told["uname"] == (0, truth.release + "\n")
    first = told["motd"][1].partition("\n")[0]
    assert first.partition(" Live patch ")[0] == truth.motd
    assert (f" Live patch {loading.COVERS.nevra} is being loaded since " in first) is (
        truth.state == "loading"
    )
    words = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
    numbers = f"open={len(truth.open)} closed_live={len(truth.closed)} reboot_only={len(truth.reboot_only)}"
    assert told["check"][1].startswith(f"LIVEPATCH {words[truth.codes[2]]} - ")
    assert numbers in told["check"][1]
    values = metrics(told["metrics"][1])
    assert values["livepatch_cves"] == {
        "open": len(truth.open), "closed-live": len(truth.closed), "reboot-only": len(truth.reboot_only)
    }  # fmt: skip
    assert values["livepatch_state"][truth.state] == 1 and sum(values["livepatch_state"].values()) == 1
    assert values["livepatch_reboot_needed"] == {"": truth.codes[1] == 100}
    assert values.get("livepatch_patch_in_force", {}) == in_force
    document = json.loads(told["vex"][1])
    schema("tests/data/openvex-0.2.0.schema.json").validate(document)
    assert {item["vulnerability"]["name"]: item["status"] for item in document["statements"]} == {
        **dict.fromkeys(truth.still, "affected"), **dict.fromkeys(truth.closed, "not_affected")
    }  # fmt: skip


def reported(stage: str, kernel) -> dict[str, str]:
    """The CVEs of ``kernel`` in the publisher's report: CVE -> state."""
    folder = os.path.join(repo.repositories(), stage)
    data = json.loads(repo.tool("report", folder, "--json", env={}))
    (page,) = [page for page in data["kernels"] if page["release"] == kernel.release]
    assert page["quality"] == "exact", page["reason"]
    return {cell["cve"]: cell["state"] for cell in page["cells"]}


def told_by_host(host) -> dict[str, str]:
    """The CVEs of the running kernel in the status of the host: CVE -> state, in the words of the report."""
    exposure = json.loads(host.run("livepatch status --json"))["exposure"]
    words = {"closed_live": "closed-live", "reboot_only": "reboot-only", "open": "open"}
    return {row["cve"]: word for key, word in words.items() for row in exposure[key]}


def prompt(host, command: str = "dnf --assumeno upgrade") -> dict[str, str]:
    """The plugin's block before the question: title -> the rest of the line, CVEs without severities."""
    text = host.run(command, status=1)
    assert "Operation aborted" in text
    block = re.search(r"^Live patching, running kernel (\S+):\n((?:  .*\n)+)", text, re.MULTILINE)
    assert block, text
    rows = (line.split(":", 1) for line in block[2].splitlines())
    return {title.strip(): re.sub(r" \(\w+\)", "", rest).strip() for title, rest in rows}


def at_rest(host) -> None:
    """Wait until the live patch is in, its transition is over, and so is the run that loaded it."""
    host.run(f"until grep -qs 0 {TRANSITION}; do sleep 0.3; done; ( {REST} )")


def line(release: str, *counts: int) -> str:
    return "Kernel {}, CVEs open {}, closed by reboot only {}, closed live {}.".format(release, *counts)


def test_before_during_and_after_a_load(stock):
    host, old = stock, stock.old.release
    nothing = "would close nothing yet: 3 kernel CVEs open"
    host.stage("kernel")
    every = f"3: {ONE}, {TWO}, {THREE}"
    untouched = {"Will close": "0", "At next reboot": every, "Left open": "0"}
    assert prompt(host) == untouched
    before = Truth(ALL, NONE, NONE, "attention", (0, 0, 1), old, nothing, line(old, 3, 0, 0))
    holds(host, before, {})

    host.run(
        "insmod /root/lpgate.ko && systemd-run -q --unit task cat /proc/gate; "
        "until grep -qs gate_show /proc/$(systemctl show -P MainPID task)/stack; do sleep 0.3; done; "
        f"rpm -U --nosignature /root/{loading.COVERS.module}.rpm; "
        f"until grep -qs 1 {TRANSITION}; do sleep 0.3; done",
        timeout=240,
    )
    assert prompt(host) == untouched
    during = before._replace(state="loading", codes=(0, 0, 1))
    holds(host, during, {loading.COVERS.module: 0})
    # The signal that the kernel sends after 15 seconds to those it waits for changes nothing.
    host.run("until dmesg | grep -q 'signaling remaining tasks'; do sleep 0.3; done; sleep 1", timeout=240)
    assert host.run(f"cat {TRANSITION}") == "1\n"

    host.run("cat /proc/gate-open")
    at_rest(host)
    after = Truth(NONE, ALL, NONE, "ok", (0, 0, 0), host.new.release, "not needed", "")
    holds(host, after, {loading.COVERS.module: 1})
    assert prompt(host) == {"Will close": "0", "At next reboot": "0", "Left open": "0", "Closed before": "3"}


def test_after_a_load_and_after_booting_the_new_kernel(patched):
    host, old, new = patched, patched.old.release, patched.new.release
    needed = "needed: 2 kernel CVEs closed by the installed kernel"
    after = Truth({THREE}, {ONE}, {TWO}, "attention", (0, 100, 1), old, needed, line(old, 1, 1, 1))
    holds(host, after, {"livepatch_demo_1": 1})
    assert told_by_host(host) == reported("updates", host.old)
    host.reboot(host.new)
    # No dnf has run since. The cache of the run before is about this kernel, too.
    booted = Truth(NONE, {ONE}, NONE, "ok", (0, 0, 0), new, "not needed", "")
    holds(host, booted, {"livepatch_demo_1": 1})
    assert told_by_host(host) == reported("updates", host.new)


def test_a_covered_kernel_is_held_until_the_cover_is_gone(stock):
    host = stock
    kernel = f"{host.new.version}-{host.new.rpm_release}"
    host.stage("kernel")
    host.run(f"printf 'kernel_update = hold-when-covered\\n' >>{CONF}")
    host.run(f"rpm -U --nosignature /root/{loading.COVERS.module}.rpm")
    at_rest(host)
    text = host.run("dnf -y upgrade")
    proof = f"live patch {loading.COVERS.nevra} closes 3 CVEs that it fixes"
    assert f"Kernel update held: {kernel}, because {proof}" in text and "Nothing to do" in text
    assert not host.installed(f"kernel-core-{kernel}")
    assert f"Kernel update held: {kernel}" in host.run("livepatch status")
    by_name = host.run("dnf --assumeno upgrade kernel-core", status=1)
    assert "Installing:\n kernel-core " in by_name and "held" not in by_name
    host.run(f"livepatch unload {loading.COVERS.module}")
    text = host.run("dnf --assumeno upgrade", status=1)
    why = f"live patch {loading.COVERS.nevra} is not in force"
    assert f"Kernel update {kernel} is not held: {why}" in text
    assert re.search(rf"^ kernel-core +x86_64 +{re.escape(kernel)} ", text, re.MULTILINE)
    entries = json.loads(host.run("livepatch history --json"))["entries"]
    told = [(entry["event"], entry["reason"]) for entry in entries if entry["event"] in ("hold", "release")]
    assert told == [("hold", proof), ("release", why)]
    assert [set(entry["cves"]) for entry in entries if entry["event"] == "hold"] == [ALL]
