# SPDX-License-Identifier: GPL-2.0-or-later
"""The project's one form of time, read, written and counted with. Pure, except for now().

A moment is UTC to the second, ``2026-11-22T21:00:00Z``; a date is its first ten characters and stands
for the midnight at which the day begins. Texts of this form sort as the times do. The ``datetime`` and
``calendar`` modules are not used: importing one of them takes longer than all the counting done here.
"""

from __future__ import annotations

import re
import time

DAY = 86400
#: The moment from which seconds are counted.
EPOCH = "1970-01-01T00:00:00Z"
#: The forms of a moment, and of a date or a moment, in a file.
MOMENT = re.compile(r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]Z\Z")
DATE = re.compile(r"[0-9]{4}-[01][0-9]-[0-3][0-9](?:T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]Z)?\Z")
_FORM = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})(?:T([0-9]{2}):([0-9]{2}):([0-9]{2})Z?)?\Z",
)
_MONTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def moment(seconds: float) -> str:
    """``seconds`` since the epoch as a moment; "" for 0, for less, and beyond the year 9999."""
    try:
        return _written(seconds) if seconds > 0 else ""
    except (OverflowError, OSError, ValueError):
        return ""


def now() -> str:
    """The present moment."""
    return moment(time.time())


def parse(text: str) -> int | None:
    """A moment or a date as seconds since the epoch; None for any other text."""
    found = _FORM.match(text)
    if not found:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups())
    if not (1 <= year and 1 <= month <= 12 and 1 <= day <= _month_days(year, month)):
        return None
    if hour > 23 or minute > 59 or second > 60:  # a leap second is written as 60
        return None
    return ((_days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second


def later(text: str, seconds: int) -> str:
    """The moment ``seconds`` after ``text``, a moment or a date; "" when ``text`` is neither."""
    start = parse(text)
    try:
        return "" if start is None else _written(start + seconds)
    except (OverflowError, OSError, ValueError):
        return ""


def days_between(now: str, end: str) -> int | None:
    """Whole days from the day of ``now`` to the day of ``end``; None when one of them is no time."""
    first, last = parse(now[:10]), parse(end[:10])
    return None if first is None or last is None else (last - first) // DAY


def _written(seconds: float) -> str:
    year, month, day, hour, minute, second = time.gmtime(seconds)[:6]
    if not 1 <= year <= 9999:
        raise ValueError("a year of four digits cannot hold it")
    return f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"


def _leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _month_days(year: int, month: int) -> int:
    return _MONTHS[month - 1] + (month == 2 and _leap(year))


def _days(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01 to this day of the Gregorian calendar."""
    before = year - 1
    days = before * 365 + before // 4 - before // 100 + before // 400 - 719162
    return days + sum(_month_days(year, earlier) for earlier in range(1, month)) + day - 1
