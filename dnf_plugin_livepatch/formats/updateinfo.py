# SPDX-License-Identifier: GPL-2.0-or-later
"""The day on which an advisory was issued, by the text of an updateinfo. Pure.

Package managers may know only the later of ``issued`` and ``updated``, and some publishers renew ``updated``
every day. The text is hostile. It is searched, not parsed: the dates are only ever claims of its repository.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..base import names, times

#: Advisories of one id that are looked at.
MAX_COPIES = 64
_ISSUED = re.compile(r"<issued\s[^>]{0,200}?date\s*=\s*[\"']([^\"'<>]{1,40})[\"']")


def issued(text: str, ids: Iterable[str]) -> dict[str, str]:
    """The first day of issue of each of the advisories ``ids`` in ``text`` that has one."""
    found = {}
    for identifier in ids:
        days = sorted(filter(None, _days(text, identifier)))
        if days:
            found[identifier] = days[0]
    return found


def _days(text: str, identifier: str) -> Iterable[str]:
    name = identifier.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    place = -1
    for _ in range(MAX_COPIES):
        place = text.find(f"<id>{name}</id>", place + 1)
        if place < 0:
            return
        start, end = text.rfind("<update ", 0, place), text.find("</update>", place)
        date = _ISSUED.search(text, max(start, 0), end if end >= 0 else len(text))
        yield _day(date[1]) if date else ""


def _day(text: str) -> str:
    """The day of a moment, of a day or of seconds since the epoch, as publishers write them; "" for none."""
    seconds = names.decimal(text.strip(), 11)
    day = text.strip()[:10] if seconds is None else times.moment(seconds)[:10]
    return day if times.parse(day) is not None else ""
