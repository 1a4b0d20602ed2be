# SPDX-License-Identifier: GPL-2.0-or-later
"""What the journal keeps of a load of a vendor's patch, which tells neither its CVEs nor a date."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dnf_plugin_livepatch.base.model import Debt, InstalledPatch, Nevra
from dnf_plugin_livepatch.host.cli import main as cli
from dnf_plugin_livepatch.host.packages import installed
from dnf_plugin_livepatch.vendors import profiles
from tests.unit.support.clients import install
from tests.unit.support.fakehost import RELEASE
from tests.unit.support.reporting import Telling, debt

V1, V2 = "lp-1-1.x86_64", "lp-2-1.x86_64"
ONE, TWO = "CVE-2026-1000", "CVE-2026-2000"
NEVRA = Nevra("uptrack-updates-x", "0", "20241022", "0", "noarch")


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Telling:
    return Telling(str(tmp_path / "host"), monkeypatch)


def dated(*dates: str) -> tuple[Debt, ...]:
    """CVE-2026-1000, CVE-2026-2000, … with the dates of their advisories."""
    rows = debt(*((1000 * (place + 1), "Important") for place in range(len(dates))))
    return tuple(row._replace(dated=date, date_kind="updated") for row, date in zip(rows, dates))


def vendors(host: Telling, version: str) -> InstalledPatch:
    """A package without manifest and without CVEs, as kpatch-patch is."""
    made = host.host.patch(version, vendor=True)._replace(cves=())
    host.host.install(made)
    return made


def entries(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert cli.main(["history", "--json"]) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["entries"]
    return [row for row in found if row["event"] in ("load", "replace")]


def test_a_vendors_patch_is_told_whole_also_after_a_boot_into_another_kernel(
    host: Telling, capsys: pytest.CaptureFixture[str]
) -> None:
    host.know(debt=dated("2026-03-05T00:00:00Z", "2026-02-01"), cover=((V1, (ONE, TWO)),))
    vendors(host, "1")
    assert cli.main(["reconcile"]) == 0
    host.remove_cache()
    (row,) = entries(capsys)
    assert (row["cves"], row["exposed_since"]) == ([ONE, TWO], "2026-02-01")
    assert row["exposed_seconds"] > 0 and row["exposed_at_least"] is True
    assert cli.main(["history"]) == 0
    assert f"closes {ONE} {TWO}, exposed for at least" in capsys.readouterr().out


def test_a_later_patch_ends_the_exposure_to_what_it_adds(
    host: Telling, capsys: pytest.CaptureFixture[str]
) -> None:
    host.know(debt=dated("2026-01-01", "2026-06-01"), cover=((V1, (ONE,)), (V2, (ONE, TWO))))
    for version in ("1", "2"):
        vendors(host, version)
        assert cli.main(["reconcile"]) == 0
    first, second = entries(capsys)
    assert (first["nevra"], first["cves"], first["exposed_since"]) == (V1, [ONE], "2026-01-01")
    assert (second["nevra"], second["cves"], second["exposed_since"]) == (V2, [ONE, TWO], "2026-06-01")


def test_the_packages_own_word_is_first(host: Telling, capsys: pytest.CaptureFixture[str]) -> None:
    host.know(debt=dated("2026-01-01", "2026-06-01"), cover=((V1, (ONE, TWO)),))
    host.patch("1", TWO)
    assert cli.main(["reconcile"]) == 0
    (row,) = entries(capsys)
    assert (row["cves"], row["exposed_since"]) == ([TWO], "2026-06-01")


@pytest.mark.parametrize("text", [None, "", "{", '{"schema": 1, "kernels": [7]}', "\0" * 100])
def test_without_a_cache_that_can_be_read_the_load_is_told_all_the_same(
    host: Telling, text: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    if text is not None:
        host.host.put("/var/lib/livepatch/exposure.json", text)
    vendors(host, "1")
    assert cli.main(["reconcile"]) == 0
    (row,) = entries(capsys)
    assert row["nevra"] == V1 and not {"cves", "exposed_since", "exposed_seconds"} & set(row)


def test_what_a_vendors_client_loads(
    host: Telling, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """This one names no patch, so that the advisories may not speak for it: it says what it closed."""
    client = tmp_path / "client"
    client.mkdir()
    programs = ("uptrack-upgrade", "uptrack-remove", "uptrack-show", "uptrack-uname")
    ksplice = install(client, "ksplice", "uptrack.py", programs)
    monkeypatch.setattr(profiles, "load", lambda _: ((ksplice,), ()))
    found = (InstalledPatch(NEVRA, "ksplice", RELEASE, "patch", "ksplice", ()),)
    database = host.paths.at("/var/lib/rpm")
    monkeypatch.setattr(installed, "read", lambda *_: installed.Installed(found, True, "", (), database))
    (client / "available").write_text(f"[49jdhygv] {TWO}: Information leak in BPF.\n")
    host.know(debt=dated("2026-01-01", "2026-06-01"), cover=((str(NEVRA), (ONE, TWO)),))
    assert cli.main(["reconcile"]) == 0
    (row,) = entries(capsys)
    assert (row["nevra"], row["cves"], row["exposed_since"]) == (str(NEVRA), [TWO], "2026-06-01")
