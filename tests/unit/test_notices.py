# SPDX-License-Identifier: GPL-2.0-or-later
"""The file by which dnf tells reconcile and status what was withdrawn and what is held."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnf_plugin_livepatch.base.model import Offered, Withdrawal
from dnf_plugin_livepatch.base.paths import Paths
from dnf_plugin_livepatch.host.files import atomic, notices
from dnf_plugin_livepatch.host.files.notices import Hold, Notices

HOLD = Hold(
    "5.14.0-10",
    "kernel",
    "5.14.0-40.el9",
    "2026-11-22T00:00:00Z",
    "covered",
    ("CVE-2026-1000",),
    (),
    ("kernel",),
)
OFFERED = Offered("5.14.0-10", "lp-1-1.x86_64", "base", "2026-11-22T00:00:00Z")
FULL = Notices(
    (Withdrawal("lp-1-1.x86_64", "oops", "base", True), Withdrawal("lp-1-2.x86_64", "panic", "base")),
    HOLD,
    offered=OFFERED,
)


@pytest.mark.parametrize("told", [FULL, FULL._replace(hold=None), Notices()])
def test_what_is_written_is_read(tmp_path: Any, told: Notices) -> None:
    paths = Paths(str(tmp_path))
    assert notices.read(paths) == Notices()
    assert notices.save(paths, told) is (told != Notices())
    assert notices.read(paths) == told
    assert notices.save(paths, told) is False, "no news, no write"


def test_where_it_cannot_be_written_there_is_no_news(tmp_path: Any) -> None:
    (tmp_path / "var").write_text("a file")
    assert notices.save(Paths(str(tmp_path)), FULL) is False


HOSTILE = [
    {"withdrawn": 1}, {"withdrawn": [1]}, {"withdrawn": [{"nevra": "../x", "reason": "y"}]},
    {"withdrawn": [{"nevra": "lp-1-1.x86_64"}]},
    {"withdrawn": [{"nevra": "lp-1-1.x86_64", "reason": "\x1b[2J"}]},
    {"withdrawn": [{"nevra": "lp-1-1.x86_64", "reason": "y"}] * 5000}, {"hold": []}, {"hold": {}},
    {"hold": {**HOLD._asdict(), "kernel": "a b"}}, {"hold": {**HOLD._asdict(), "closed": ["x"]}},
    {"hold": {**HOLD._asdict(), "why": "z" * 3000}}, {"offered": []}, {"offered": {}},
    {"offered": {**OFFERED._asdict(), "nevra": "a b"}}, {"offered": {**OFFERED._asdict(), "since": "soon"}},
]  # fmt: skip


@pytest.mark.parametrize("data", HOSTILE, ids=range(len(HOSTILE)))
def test_one_bad_field_spoils_the_file(tmp_path: Any, data: dict[str, Any]) -> None:
    with pytest.raises(atomic.Broken):
        notices.parse(data)
    paths = Paths(str(tmp_path))
    atomic.write_bytes(paths.notices, json.dumps({"schema": 1, **data}).encode())
    assert notices.read(paths) == Notices()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["withdrawn", "hold", "offered", "x"]), JSON))
def test_whatever_it_holds_only_broken_is_raised(data: dict[str, Any]) -> None:
    try:
        notices.parse(data)
    except atomic.Broken:
        pass


def test_a_spoiled_file_is_told_and_kept_beside_the_new_one(tmp_path):
    paths = Paths(str(tmp_path))
    assert notices.fault(paths) == ""
    atomic.write_bytes(paths.notices, b"{")
    assert "not JSON" in notices.fault(paths) and notices.read(paths) == Notices()
    assert notices.save(paths, Notices()) and notices.fault(paths) == ""
    with open(paths.notices + ".spoiled", "rb") as file:
        assert file.read() == b"{"
