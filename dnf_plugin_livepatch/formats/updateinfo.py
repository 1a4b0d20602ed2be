# SPDX-License-Identifier: GPL-2.0-or-later
"""The day on which an advisory was issued, by the text of an updateinfo. Pure.

Package managers may know only the later of ``issued`` and ``updated``, and some publishers renew ``updated``
every day. The text is hostile. It is searched, not parsed: the dates are only ever claims of its repository.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..base import names, times

#: Characters around an advisory's id in which the rest of the advisory is looked for, and of all searches.
_NEAR, _MOST = 1 << 18, 1 << 26
_ID = re.compile(r"<id>([^<]{1,200})</id>")
_ISSUED = re.compile(r"<issued\s[^<>]{0,200}?date\s*=\s*[\"']([^\"'<>]{1,40})[\"']")


def issued(text: str, ids: Iterable[str]) -> dict[str, str]:
    """The first day of issue of each of the advisories ``ids`` in ``text`` that has one."""
    wanted = {one.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")[:200]: one for one in ids}
    found: dict[str, str] = {}
    left = _MOST
    for place in _ID.finditer(text):
        identifier = wanted.get(place[1])
        if identifier is None or left <= 0:
            continue
        low, high = max(0, place.start() - _NEAR), min(len(text), place.end() + _NEAR)
        low = max(low, *(text.rfind(mark, low, place.start()) for mark in ("<update ", "</update>")))
        end = text.find("</update>", place.end(), high)
        high = end if end >= 0 else high
        left -= high - low
        date = _ISSUED.search(text, low, high)
        day = _day(date[1]) if date else ""
        if day:
            found[identifier] = min(day, found.get(identifier, day))
    return found


def _day(text: str) -> str:
    """The day of a moment, of a day or of seconds since the epoch, as publishers write them; "" for none."""
    word = text.strip()
    number = names.decimal(word, 11)
    day = word[:10] if number is None else times.moment(number)[:10]
    if number is not None and len(word) == len("20260105"):
        day = f"{word[:4]}-{word[4:6]}-{word[6:]}"
    return day if times.parse(day) is not None else ""
