# SPDX-License-Identifier: GPL-2.0-or-later
"""Advisories that are old or incomplete, and the end of the live patches for a kernel."""

from __future__ import annotations

import pytest

from dnf_plugin_livepatch.base import model
from dnf_plugin_livepatch.exposure import compute, support

NOW, OLDEST = "2026-11-22T12:00:00Z", "2026-11-15T12:00:00Z"
FRESH = compute.Inputs("R", quality=model.EXACT, as_of=NOW)


def stale(when: str) -> str:
    return f"the repositories {when}; run 'dnf livepatch update --check'"


@pytest.mark.parametrize("as_of", [OLDEST, "2026-11-20T00:00:00Z", NOW])
def test_advisories_of_the_last_days_count(as_of: str) -> None:
    inputs = FRESH._replace(as_of=as_of)
    assert compute.aged(inputs, NOW, OLDEST) == inputs


@pytest.mark.parametrize(
    ("as_of", "reason"),
    [
        ("2026-11-15T11:59:59Z", stale("were last read on 2026-11-15T11:59:59Z")),
        ("2026-11-22T12:00:01Z", stale("were last read on 2026-11-22T12:00:01Z")),
        ("", stale("were never read")),
    ],
)
def test_older_and_later_ones_do_not(as_of: str, reason: str) -> None:
    found = compute.aged(FRESH._replace(as_of=as_of), NOW, OLDEST)
    assert (found.quality, found.reason) == (model.UNKNOWN, reason)


def test_an_earlier_reason_is_kept() -> None:
    found = compute.aged(FRESH._replace(as_of="", reason="no updateinfo"), NOW, OLDEST)
    assert found.reason == f"no updateinfo; {stale('were never read')}"


@pytest.mark.parametrize("before", ["", "no updateinfo"])
def test_repositories_that_were_left_out_are_named_after_an_earlier_reason(before: str) -> None:
    found = compute.doubted(FRESH._replace(reason=before), ("updates", "extras"))
    assert (
        found.reason
        == (before and before + "; ") + "left out when the repositories were read: updates, extras"
    )


def test_an_unknown_exposure_names_kernel_and_reason() -> None:
    found = compute.unknown("5.14.0", "no updateinfo")
    assert found == compute.Inputs("5.14.0", quality=model.UNKNOWN, reason="no updateinfo")


@pytest.mark.parametrize(
    ("end", "text"),
    [
        ("", ""),
        ("2026-12-31T00:00:00Z", ""),
        ("2026-12-02", "Live patches for kernel 5.14.0 end on 2026-12-02, in 10 days."),
        ("2026-11-22T23:00:00Z", "Live patches for kernel 5.14.0 end on 2026-11-22, in 0 days."),
        (
            "2026-11-21T23:00:00Z",
            "Live patches for kernel 5.14.0 ended on 2026-11-21: new CVEs are closed only by a reboot.",
        ),
    ],
)
def test_the_end_of_support_is_told_when_it_is_near(end: str, text: str) -> None:
    found = support.warning("5.14.0", end, NOW, 14)
    assert (found.text if found else "") == text
