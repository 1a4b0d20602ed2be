# SPDX-License-Identifier: GPL-2.0-or-later
"""The shape of one message, and numbers with their nouns. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ..base.typed import NamedTuple


class Message(NamedTuple):
    """One entry of the catalogue; ``severity`` is error, warning or note.

    ``text`` says what happened and in which state the host is, ``remedy`` what to do. ``{word}`` stands for
    a fact, ``{number:day|days}`` for a number with its noun, in the singular or the plural.
    """

    severity: str
    text: str
    remedy: str


class Fact(str):
    """A fact made printable; its format may be the noun that it counts, as ``day|days``."""

    def __format__(self, noun: str) -> str:
        one, _, many = noun.partition("|")
        return f"{str(self)} {one if self == '1' else many}" if noun else str(self)


def fact(value: object) -> Fact:
    """Return ``value`` as a text of at most 500 printable characters; a text that was cut ends with ….

    Of an error of the operating system the text is its file and its reason, without Python's number.
    """
    text = str(value)
    if isinstance(value, OSError) and value.strerror:
        name = str(value.filename or "")
        text = f"{name}: {value.strerror}" if name and name not in value.strerror else value.strerror
    text = text if len(text) <= 500 else text[:499] + "…"
    return Fact("".join(c if c.isprintable() else "?" for c in text))


def count(number: int, noun: str) -> str:
    """Return ``number`` with its ``noun``, which takes an s in the plural: ``1 CVE``, ``2 CVEs``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def several(items: Sequence[str], most: int, total: int = 0, noun: str = "|") -> str:
    """Return the first ``most`` of ``items`` as one text, with the number of all the others.

    ``total`` is the number of all, where ``items`` are not all of them. ``noun`` is what the others are
    called, as ``process|processes``.
    """
    shown = list(items[:most])
    more = max(total, len(items)) - len(shown)
    if not more:
        return ", ".join(shown)
    one, _, many = noun.partition("|")
    rest = f"{more} more {one if more == 1 else many}".rstrip()
    return f"{', '.join(shown)} and {rest}" if shown else rest
