# SPDX-License-Identifier: GPL-2.0-or-later
"""What `livepatch history` makes of the journal."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dnf_plugin_livepatch.host.files.journal import Entry
from dnf_plugin_livepatch.host.report import history

BOOT = "0a1b2c3d-0000-4000-8000-000000000000"


def entry(event: str, time: str = "2026-11-20T06:00:00Z", **facts: Any) -> Entry:
    return Entry(time, event, BOOT, facts)


def test_a_load_is_told_whole() -> None:
    facts = {
        "nevra": "klp-1-1.x86_64",
        "outcome": "done",
        "seconds": 2.56,
        "cves": ("CVE-2026-1", "CVE-2026-2", "CVE-2026-3", "CVE-2026-4", "CVE-2026-5"),
        "advisory": "LP-2026:7",
        "issued": "2026-11-08",
        "dnf_history": 12,
    }
    assert history.rows([entry("load", **facts)], {}) == [
        (
            "2026-11-20T06:00:00Z",
            "0a1b2c3d",
            "load",
            "klp-1-1.x86_64",
            "2.6 s",
            "closes CVE-2026-1 CVE-2026-2 CVE-2026-3 and 2 more, "
            "exposed for 12 days since LP-2026:7, dnf history 12",
        )
    ]


def test_why_something_was_unloaded_is_said_in_words() -> None:
    rows = history.rows([entry("unload", module="m", outcome="done", reason="gone")], {})
    assert rows[0][-1] == "its package is gone"
    rows = history.rows([entry("fail", module="m", outcome="failed", reason="Out of memory.")], {})
    assert rows[0][-1] == "failed, Out of memory."


def test_exposure_is_told_once_for_a_patch_and_not_for_what_failed() -> None:
    load = {"nevra": "a", "module": "m", "outcome": "done", "issued": "2026-11-20T05:59:00Z"}
    failed = {**load, "outcome": "failed"}
    again = entry("load", "2026-11-25T06:00:00Z", **load)
    rows = history.as_json([entry("fail", **failed), entry("load", **load), again], {})
    assert [row.get("exposed_seconds") for row in rows] == [None, 60, None]
    assert {row["boot_id"] for row in rows} == {BOOT}


def test_the_oldest_advisory_counts_where_the_patch_says_no_date() -> None:
    issued = {
        "CVE-2026-1": ("2026-11-19", "updated"),
        "CVE-2026-2": ("2026-11-20", "updated"),
        "CVE-2026-9": ("2020-01-01", "updated"),
        "CVE-2026-3": ("", "updated"),
    }
    load = entry("replace", outcome="done", cves=("CVE-2026-2", "CVE-2026-1", "CVE-2026-3"))
    assert history.exposed(load, issued).seconds == 86400 + 6 * 3600
    assert history.exposed(load, {}).seconds == -1


def test_what_was_noted_with_the_load_counts_before_what_is_known_now() -> None:
    facts = {"outcome": "done", "cves": ("CVE-2026-1",), "exposed_since": "2026-11-19"}
    assert (
        history.exposed(entry("load", **facts), {"CVE-2026-1": ("2026-11-01", "updated")}).seconds
        == 86400 + 6 * 3600
    )
    facts["issued"] = "2026-11-20"
    assert history.exposed(entry("load", **facts), {}).seconds == 6 * 3600, "the patch's own word is first"


def test_spans() -> None:
    told = [history.span(n) for n in (0, 119, 120, 7199, 7200, 172799, 172800)]
    assert told == ["0 s", "119 s", "2 min", "119 min", "2 h", "47 h", "2 days"]


facts = st.dictionaries(
    st.sampled_from(
        ["nevra", "module", "outcome", "reason", "seconds", "issued", "exposed_since", "cves", "advisory"]
    ),
    st.one_of(st.text(max_size=20), st.integers(), st.floats(), st.lists(st.text(max_size=5)).map(tuple)),
)


@given(st.lists(st.builds(Entry, st.text(max_size=20), st.sampled_from(["load", "x"]), st.text(), facts)))
def test_whatever_the_journal_holds_has_a_row(entries: list[Entry]) -> None:
    assert len(history.rows(entries, {})) == len(history.as_json(entries, {})) == len(entries)
