# SPDX-License-Identifier: GPL-2.0-or-later
"""Metrics, Nagios line, OpenVEX, motd and the JSON schemas, each read by who is to read it."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any, Callable

import jsonschema
import pytest
from prometheus_client.parser import text_string_to_metric_families

from dnf_plugin_livepatch.base import times
from dnf_plugin_livepatch.base.model import Unfixable
from dnf_plugin_livepatch.host.cli import main as cli
from dnf_plugin_livepatch.host.report import exports
from tests.unit.support.reporting import Telling, stamp

HERE = os.path.dirname(os.path.dirname(__file__))
SCHEMAS = os.path.join(os.path.dirname(HERE), "docs", "schemas")


def schema(path: str) -> dict[str, Any]:
    with open(path, encoding="utf-8") as file:
        found: dict[str, Any] = json.load(file)
    return found


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Telling:
    return Telling(str(tmp_path), monkeypatch)


def before(host: Telling) -> None:
    host.know((1000, "Important"), (2000, "Low"))


def moving(host: Telling) -> None:
    before(host)
    patch = host.patch("1", "CVE-2026-1000")
    host.load(patch)
    host.sysfs(patch.modules[0].name, "transition", "1")


def after(host: Telling) -> None:
    before(host)
    host.load(host.patch("1", "CVE-2026-1000", unfixable=(Unfixable("CVE-2026-2000", "changes a struct"),)))


def rebooted(host: Telling) -> None:
    host.know(support_end=stamp(-90 * 86400)[:10])


def blind(host: Telling) -> None:
    pass


PARTLY = {"quality": "lower-bound", "reason": "earlier ones may be missing"}


def partly(host: Telling) -> None:
    """Nothing open of what is known, but more may be."""
    host.know((1000, "Important"), **PARTLY)
    host.load(host.patch("1", "CVE-2026-1000"))


def partly_open(host: Telling) -> None:
    host.know((1000, "Important"), (2000, "Low"), **PARTLY)
    host.load(host.patch("1", "CVE-2026-1000"))


def hostile(host: Telling) -> None:
    before(host)
    host.host.put("/var/lib/livepatch/guard.json", '{"schema": "\\u001b[31m"}')
    host.host.put("/run/livepatch/result.json", "{" * 9000)


STAGES = (before, moving, after, rebooted, blind, partly, partly_open, hostile)
Stage = Callable[[Telling], None]


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    capsys.readouterr()
    code = cli.main(list(words))
    return code, capsys.readouterr().out


def samples(text: str) -> dict[str, float]:
    found = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation and family.type == "gauge"
        for sample in family.samples:
            labels = ",".join(
                f"{key}={value}" for key, value in sorted(sample.labels.items()) if key != "kernel"
            )
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_prometheus_reads_the_metrics(
    host: Telling, stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage(host)
    code, text = run(capsys, "metrics")
    found = samples(text)
    assert code == 0 and sum(found[f"livepatch_state{{state={word}}}"] for word in exports.STATES) == 1
    opened = found["livepatch_cves{state=open}"]
    assert math.isnan(opened) if stage in (blind, partly) else opened >= 0


def test_metrics_follow_the_patch(host: Telling, capsys: pytest.CaptureFixture[str]) -> None:
    after(host)
    found = samples(run(capsys, "metrics")[1])
    assert found["livepatch_cves{state=open}"] == 0 and found["livepatch_cves{state=closed-live}"] == 1
    assert found["livepatch_cves{state=reboot-only}"] == 1
    assert found["livepatch_patch_in_force{module=lp_1,package=lp-1-1.x86_64}"] == 1
    assert found["livepatch_cves_by_severity{severity=Low,state=reboot-only}"] == 1


def test_metrics_are_written_as_a_whole(
    host: Telling, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before(host)
    target = tmp_path / "textfile" / "livepatch.prom"
    assert run(capsys, "metrics", "--output", str(target)) == (0, "")
    assert samples(target.read_text()) and os.listdir(target.parent) == ["livepatch.prom"]
    assert target.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    "stage, code, word",
    [
        (before, 1, "WARNING"),
        (moving, 1, "WARNING"),
        (after, 1, "WARNING"),
        (rebooted, 0, "OK"),
        (blind, 3, "UNKNOWN"),
        (partly, 3, "UNKNOWN"),
        (partly_open, 1, "WARNING"),
    ],
)
def test_nagios(
    host: Telling, stage: Stage, code: int, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stage(host)
    got, line = run(capsys, "check")
    assert got == code and line.startswith(f"LIVEPATCH {word} - kernel 6.12.1-1.x86_64")
    assert line.count("\n") == 1 and line.count("|") <= 1
    assert json.loads(run(capsys, "check", "--json")[1])["code"] == code
    assert ("earlier ones may be missing" in line) is (stage in (partly, partly_open)), "it says why"


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("Critical", 2),
        ("SEVERITY_CRITICAL", 2),
        ("Urgent", 2),
        ("gravissimo", 2),
        ("SEVERITY_HIGH", 1),
        ("", 1),
    ],
)
def test_an_open_critical_cve_is_critical(
    host: Telling, capsys: pytest.CaptureFixture[str], word: str, code: int
) -> None:
    host.know((1000, "Low"), (1001, word))
    assert run(capsys, "check")[0] == code
    listed = run(capsys, "cves")[1].split()
    assert listed.index("CVE-2026-1001") < listed.index("CVE-2026-1000"), "the worst comes first"


@pytest.mark.parametrize("stage", [before, moving, after, hostile])
def test_vex_is_valid_openvex(host: Telling, stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    stage(host)
    host.host.put("/etc/os-release", 'NAME="X"\nID="rocky"\n')
    code, text = run(capsys, "vex")
    document = json.loads(text)
    validator = jsonschema.Draft202012Validator(
        schema(os.path.join(HERE, "data", "openvex-0.2.0.schema.json")),
        format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER,
    )
    validator.validate(document)
    assert code == 0
    states = {item["vulnerability"]["name"]: item["status"] for item in document["statements"]}
    closed = "not_affected" if stage is after else "affected"
    assert states == {"CVE-2026-1000": closed, "CVE-2026-2000": "affected"}
    product = document["statements"][0]["products"][0]["@id"]
    assert product == f"pkg:rpm/rocky/kernel-core@6.12.1-1?arch={os.uname().machine}"


def test_vex_is_the_same_for_the_same_state(
    host: Telling, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:

    before(host)
    now = stamp(30)
    monkeypatch.setattr(times, "now", lambda: now)
    assert run(capsys, "vex") == run(capsys, "vex")


def test_no_vex_without_knowledge(host: Telling, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["vex"]) == 1
    out = capsys.readouterr()
    assert out.out == "" and "no dnf run" in out.err


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    "words, name",
    [
        (("status", "--json"), "livepatch-status-1"),
        (("status", "--json", "--functions"), "livepatch-status-1"),
        (("facts",), "livepatch-status-1"),
        (("cves", "--json"), "livepatch-cves-1"),
    ],
)
def test_the_published_schemas_hold(
    host: Telling, stage: Stage, words: tuple[str, ...], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stage(host)
    document = json.loads(run(capsys, *words)[1])
    strict = schema(os.path.join(SCHEMAS, name + ".schema.json"))
    jsonschema.Draft202012Validator.check_schema(strict)
    jsonschema.Draft202012Validator(strict).validate(document)
    assert set(document) <= set(strict["properties"]), "every key is documented"


def test_motd(host: Telling, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rebooted(host)
    assert run(capsys, "motd") == (0, "")
    before(host)
    text = run(capsys, "motd")[1]
    assert "CVEs open 2" in text and "Next: dnf upgrade" in text
    target = tmp_path / "run" / "motd.d" / "livepatch"
    assert run(capsys, "motd", "--output", str(target)) == (0, "") and target.read_text() == text


def test_motd_says_what_is_not_known(host: Telling, capsys: pytest.CaptureFixture[str]) -> None:
    partly(host)
    text = run(capsys, "motd")[1]
    assert "CVEs open unknown" in text and "\nNot complete: earlier ones may be missing.\n" in text
    host.know((1000, "Important"), (2000, "Low"), **PARTLY)
    assert "CVEs open at least 1" in run(capsys, "motd")[1]
