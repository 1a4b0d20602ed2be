# SPDX-License-Identifier: GPL-2.0-or-later
"""The one form of time: the same answers as the standard library's, and none for what is no time."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnf_plugin_livepatch.base import times

UTC = datetime.timezone.utc
moments = st.datetimes(datetime.datetime(1, 1, 1), datetime.datetime(9999, 12, 31)).map(
    lambda when: when.replace(microsecond=0)
)


@given(moments)
def test_a_moment_is_read_as_the_standard_library_reads_it(when: datetime.datetime) -> None:
    text = when.isoformat() + "Z"
    seconds = int(when.replace(tzinfo=UTC).timestamp())
    assert times.parse(text) == times.parse(text[:-1]) == seconds
    assert times.parse(text[:10]) == seconds - seconds % times.DAY
    assert times.moment(seconds) == (text if seconds > 0 else "")


@given(moments, st.integers(-(10**9), 10**9))
def test_later_counts_as_the_standard_library_does(when: datetime.datetime, seconds: int) -> None:
    try:
        expected = (when + datetime.timedelta(seconds=seconds)).isoformat() + "Z"
    except OverflowError:
        expected = ""
    assert times.later(when.isoformat() + "Z", seconds) == expected


@given(moments, moments)
def test_days_are_those_between_the_dates(one: datetime.datetime, other: datetime.datetime) -> None:
    days = (other.date() - one.date()).days
    assert times.days_between(one.isoformat() + "Z", other.isoformat()[:10]) == days


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "2026-11-2",
        "2026-13-01",
        "2026-00-01",
        "2026-02-29",
        "1900-02-29",
        "2026-11-31",
        "0000-01-01",
        "2026-11-22T24:00:00Z",
        "2026-11-22T23:60:00Z",
        "2026-11-22T23:59:61Z",
        "2026-11-22T23:59:59+01:00",
        "2026-11-22 23:59:59",
        "2026-11-22T23:59Z",
        "２026-11-22",
        "2026-11-22\n",
    ],
)
def test_what_is_no_time_is_none(text: str) -> None:
    assert times.parse(text) is None
    assert times.later(text, 5) == ""
    assert times.days_between(text, "2026-11-22") is None or text[:10] == "2026-11-22"


def test_a_leap_second_is_a_time() -> None:
    assert times.parse("2016-12-31T23:59:60Z") == times.parse("2017-01-01")
    assert times.parse("2000-02-29") == 951782400


@pytest.mark.parametrize("seconds", [0, -1, -1e18, 1e18, float("inf"), float("nan"), 253402300800])
def test_beyond_the_form_there_is_no_moment(seconds: float) -> None:
    assert times.moment(seconds) == ""
