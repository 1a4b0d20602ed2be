# SPDX-License-Identifier: GPL-2.0-or-later
"""The exposure cache: what is written is read, what is spoiled is not believed, nobody is made to wait."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnf_plugin_livepatch.base.fields import FieldError
from dnf_plugin_livepatch.base.model import EXACT, Debt, Unfixable
from dnf_plugin_livepatch.base.paths import Paths
from dnf_plugin_livepatch.exposure.compute import Inputs
from dnf_plugin_livepatch.host.files import advisories

FULL = Inputs(
    "6.12.1-1.x86_64",
    "kernel-core-6.12.1-1.x86_64",
    EXACT,
    "",
    "2026-11-22T00:00:00Z",
    (("baseos", "1700000000"),),
    (Debt("CVE-2026-1000", "A-1", "Important", "1:6.12.2-1", "2026-11-01", "updated"),),
    (("lp-1-1.x86_64", ("CVE-2026-1000",)),),
    (Unfixable("CVE-2026-2000", "changes a struct"),),
    "2027-01-01",
)
OTHER = Inputs("6.12.9-1.x86_64", reason="not looked at")


def test_what_is_saved_is_loaded_for_the_kernel_that_runs(tmp_path: Path) -> None:
    paths = Paths(str(tmp_path))
    assert advisories.save(paths, FULL, OTHER)
    assert advisories.load(paths, FULL.kernel_release) == (FULL, "")
    assert advisories.load(paths, OTHER.kernel_release) == (OTHER, "")
    missing, why = advisories.load(paths, "5.0-1")
    assert missing is None and "5.0-1" in why and "dnf" in why
    assert stat.S_IMODE(os.stat(paths.exposure).st_mode) == 0o644
    assert os.listdir(paths.state_dir) == ["exposure.json"], "no temporary file is left"


def test_a_place_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("a file in the way")
    assert not advisories.save(Paths(str(tmp_path)), FULL)


def test_long_texts_cost_rows_and_not_the_cache(tmp_path: Path) -> None:
    paths = Paths(str(tmp_path))
    long = tuple(Debt(f"CVE-2026-{n}", "\U0001f600" * 200, "Low", "1:6.12.2-1") for n in range(1000, 9000))
    assert advisories.save(paths, FULL._replace(debt=FULL.debt + long))
    found, _ = advisories.load(paths, FULL.kernel_release)
    assert found is not None and found.quality == "lower-bound" and "CVEs are listed" in found.reason
    assert found.debt[0] == FULL.debt[0] and 100 < len(found.debt) < 8000


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    paths = Paths(str(tmp_path))
    os.makedirs(paths.state_dir)
    with open(paths.exposure, "wb") as file:
        file.truncate(1 << 40)
    found, why = advisories.load(paths, FULL.kernel_release)
    assert found is None and "larger" in why


def test_a_cache_of_the_earlier_schema_is_not_believed(tmp_path: Path) -> None:
    """Schema 1 said "issued" of a date that was the advisory's last update."""
    paths = Paths(str(tmp_path))
    assert advisories.save(paths, FULL)
    with open(paths.exposure, encoding="utf-8") as file:
        data = json.load(file)
    with open(paths.exposure, "w", encoding="utf-8") as file:
        json.dump({**data, "schema": 1}, file)
    found, why = advisories.load(paths, FULL.kernel_release)
    assert found is None and "schema 1 is not known, 2 is" in why


SPOILED = [
    ("kernel_release", "../../etc"), ("kernel_release", ""), ("kernel_release", None), ("quality", "fine"),
    ("quality", None), ("as_of", "yesterday"), ("as_of", 7), ("reason", "\x1b[31m"),
    ("reason", "x" * 3000),
    ("debt", {}), ("debt", [7]), ("debt", [{"cve": "CVE-1"}]),
    ("debt", [{"cve": "CVE-2026-1000"}]),
    ("cover", [{"nevra": "lp-1-1.x86_64", "cves": "CVE-2026-1000"}]),
    ("cover", [{"nevra": "../x", "cves": []}]),
    ("cover", [{"nevra": "lp-1-1.x86_64", "cves": [["CVE-2026-1000"]]}]),
    ("unfixable", [{"cve": "x", "reason": ""}]), ("support_end", "soon"),
    ("debt", [{"cve": "CVE-2026-1000", "fixed_in": "newest", "date_kind": ""}]),
    ("debt", [{"cve": "CVE-2026-1000", "fixed_in": "../1-1", "date_kind": ""}]),
    ("debt", [{"cve": "CVE-2026-1000", "fixed_in": "1-1", "date_kind": "issued", "dated": "lately"}]),
    ("debt", [{"cve": "CVE-2026-1000", "fixed_in": "1-1", "date_kind": "issued", "dated": "2026-11-01T0"}]),
    ("debt", [{"cve": "CVE-2026-1000", "fixed_in": "1-1", "date_kind": "", "severity": "\x1b[31m"}]),
    ("debt", [{"cve": "CVE-2026-1000", "fixed_in": "1-1", "date_kind": "guessed"}]),
    ("cover", [{"nevra": "lp-1-1.x86_64", "cves": ["CVE-2026-1000", "CVE-26-1"]}]),
    ("support_end", "2026-11-01T00:00:00"), ("window_end", "2026-22-01"),
    ("on_offer", {"kernel": "newest"}), ("on_offer", [1]), ("on_offer", {"patch": "../x"}),
    ("repositories", [{"id": 1, "revision": ""}]), ("kernel_package", "a b"),
]  # fmt: skip


@pytest.mark.parametrize("key, value", SPOILED)
def test_one_bad_field_spoils_the_file(tmp_path: Path, key: str, value: Any) -> None:
    paths = Paths(str(tmp_path))
    assert advisories.save(paths, FULL)
    with open(paths.exposure, encoding="utf-8") as file:
        data = json.load(file)
    data["kernels"][0][key] = value
    with open(paths.exposure, "w", encoding="utf-8") as file:
        json.dump(data, file)
    found, why = advisories.load(paths, FULL.kernel_release)
    assert found is None and "cannot be believed" in why


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(json_values)
def test_nothing_but_field_errors_comes_of_any_json(value: Any) -> None:
    entry = advisories.dump(FULL)["kernels"][0]
    for data in ({"kernels": value}, {"kernels": [value]}, {"kernels": [{**entry, "debt": value}]}):
        try:
            advisories.parse(data)
        except FieldError:
            pass


@given(st.sampled_from(sorted(Inputs._fields)), json_values)
def test_whatever_is_believed_is_typed(key: str, value: Any) -> None:
    try:
        (found,) = advisories.parse({"kernels": [{**advisories.dump(FULL)["kernels"][0], key: value}]})
    except FieldError:
        return
    assert advisories.parse(advisories.dump(found)) == (found,)
    assert all(isinstance(row, Debt) for row in found.debt)
