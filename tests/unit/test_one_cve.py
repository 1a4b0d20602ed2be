# SPDX-License-Identifier: GPL-2.0-or-later
"""``livepatch cves CVE``: one answer, and the exit code that means the same."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from dnf_plugin_livepatch.base.model import EXACT, LOWER_BOUND, UNKNOWN, Unfixable
from dnf_plugin_livepatch.host.cli import main as cli
from dnf_plugin_livepatch.host.files import guard_file
from tests.unit.support.fakehost import run
from tests.unit.support.reporting import Telling

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SCHEMA = os.path.join(TOP, "docs", "schemas", "livepatch-cve-1.schema.json")


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Telling:
    host = Telling(str(tmp_path), monkeypatch)
    host.know((1000, "Important"), (1001, "Low"), (1002, "Low"))
    host.load(
        host.patch("1", "CVE-2026-1000", "CVE-2025-7777", unfixable=(Unfixable("CVE-2026-1001", "it"),))
    )
    return host


def ask(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = cli.main(["cves", *words])
    return code, capsys.readouterr().out


@pytest.mark.parametrize(
    ("cve", "state", "code", "words"),
    [
        ("CVE-2026-1000", "closed-live", 0, "is closed live, by module lp_1."),
        ("CVE-2025-7777", "closed-live", 0, "is closed live, by module lp_1."),
        ("cve-2026-1001", "reboot-only", 101, "only a reboot closes it (it): kernel 6.12.3-1 fixes it"),
        (
            "CVE-2026-1002",
            "open",
            100,
            "is open: kernel 6.12.4-1 fixes it (A-1002, Low).\nNext: dnf upgrade\n",
        ),
        ("CVE-2026-9999", "not-affected", 0, "does not affect the running kernel, as far as is known"),
    ],
)
def test_the_answer(
    host: Telling, capsys: pytest.CaptureFixture[str], cve: str, state: str, code: int, words: str
) -> None:
    told = ask(capsys, cve)
    assert told[0] == code and told[1].startswith(cve.upper()) and words in told[1]
    answered, text = ask(capsys, cve, "--json")
    data: dict[str, Any] = json.loads(text)
    with open(SCHEMA, encoding="utf-8") as file:
        jsonschema.Draft202012Validator(json.load(file)).validate(data)
    assert answered == code and (data["cve"], data["state"]) == (cve.upper(), state)


@pytest.mark.parametrize("quality", [LOWER_BOUND, UNKNOWN])
def test_what_is_not_known_is_no_good_news(
    host: Telling, capsys: pytest.CaptureFixture[str], quality: str
) -> None:
    host.know(quality=quality, reason="the mirror has no advisories")
    code, text = ask(capsys, "CVE-2026-9999")
    assert code == 102 and "CVE-2026-9999 is unknown: the mirror has no advisories.\n" in text
    assert ask(capsys, "CVE-2025-7777")[0] == 0, "the patch in force closes it, whatever the mirror says"
    exposure = json.loads(ask(capsys, "--json")[1])["exposure"]
    assert exposure["open"] is None and exposure["reboot_only"] is None
    assert {row["cve"] for row in exposure["closed_live"]} == {"CVE-2026-1000", "CVE-2025-7777"}


def test_an_exact_answer_may_be_an_empty_list(host: Telling, capsys: pytest.CaptureFixture[str]) -> None:
    host.know()
    exposure = json.loads(ask(capsys, "--json")[1])["exposure"]
    assert exposure["open"] == [] and exposure["reboot_only"] == []


@pytest.mark.parametrize("word", ["openssl", "CVE-20-1", "CVE-2026-1000\n", "2026-1000"])
def test_a_word_that_is_no_cve_is_wrong_usage(
    host: Telling, capsys: pytest.CaptureFixture[str], word: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["cves", word])
    assert ended.value.code == 2 and "usage" in capsys.readouterr().err


def test_an_installed_patch_that_is_out_of_force_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    host = Telling(str(tmp_path), monkeypatch)
    host.know((1000, "Important"))
    nevra = host.patch("1", "CVE-2026-1000").nevra
    code, text = ask(capsys, "CVE-2026-1000")
    assert code == 100 and f"{nevra} would close it and is not in force" in text
    assert "Next: livepatch reconcile" in text


# --- a CVE that only a live patch names ---


def out_of_force(host: Telling, how: str) -> str:
    """Install a patch that is out of force; ``how`` is a behaviour of the kernel or what a person did."""
    behave = {"refused": "refuse:Unknown symbol in module", "stalled": "stall"}.get(how, "good")
    why = (Unfixable("CVE-2025-9999", "it changes data"), Unfixable("CVE-2025-9998", ""))
    patch = host.patch("2", "CVE-2026-1000", "CVE-2025-4444", unfixable=why, behave=behave)
    nevra = str(patch.nevra)
    if how == "blocked":
        guard_file.block(host.paths, nevra, "killed the db")
    elif how == "unloaded":
        guard_file.keep_unloaded(host.paths, nevra, "")
    run(host.host)
    return nevra


@pytest.mark.parametrize("how", ["refused", "stalled", "blocked", "unloaded"])
@pytest.mark.parametrize("quality", [EXACT, LOWER_BOUND, UNKNOWN])
def test_what_an_installed_patch_closes_is_open_while_the_patch_is_out_of_force(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    how: str,
    quality: str,
) -> None:
    host = Telling(str(tmp_path), monkeypatch)
    host.know((1000, "Important"), quality=quality, reason="no advisories")
    nevra = out_of_force(host, how)
    code, text = ask(capsys, "CVE-2025-4444")
    assert code == 100
    assert text.startswith(f"CVE-2025-4444 is open: {nevra} would close it and is not in force.\nNext: ")
    code, text = ask(capsys, "CVE-2025-9999")
    assert (code, text.split("\n")[0]) == (
        100,
        "CVE-2025-9999 is open, and no live patch closes it: it changes data.",
    )
    assert ask(capsys, "CVE-2025-9998")[1].startswith(
        "CVE-2025-9998 is open, and no live patch closes it.\n"
    )
    assert f"{nevra} would close it" in ask(capsys, "CVE-2026-1000")[1]


@pytest.mark.parametrize("installed", [True, False])
def test_what_the_advisories_of_live_patches_list_is_open(
    host: Telling, capsys: pytest.CaptureFixture[str], installed: bool
) -> None:
    """The patch in force closes less than an advisory says of it, or a newer one waits in a repository."""
    nevra = "lp-1-1.x86_64" if installed else "lp-3-1.x86_64"
    why = (Unfixable("CVE-2025-9999", "it changes data"),)
    host.know((1000, "Important"), cover=((nevra, ("CVE-2026-1000", "CVE-2025-4444")),), unfixable=why)
    code, text = ask(capsys, "CVE-2025-4444")
    assert code == 100 and f"is open: live patch {nevra} is said to close it, and no patch" in text
    assert ask(capsys, "CVE-2026-1000")[0] == 0 and ask(capsys, "CVE-2025-7777")[0] == 0
    assert ask(capsys, "CVE-2025-9999")[0] == 100


def test_a_newer_installed_kernel_closes_nothing_in_the_running_one(
    host: Telling, capsys: pytest.CaptureFixture[str]
) -> None:
    host.kernel_installed("6.12.9-1")
    host.know(cover=(("lp-3-1.x86_64", ("CVE-2025-4444",)),))
    assert ask(capsys, "CVE-2025-4444")[0] == 100
