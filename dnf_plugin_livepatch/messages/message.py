# SPDX-License-Identifier: GPL-2.0-or-later
"""The shape of one message, and numbers with their nouns. Pure."""

from __future__ import annotations

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
    """Return ``value`` as a text of at most 500 printable characters."""
    return Fact("".join(c if c.isprintable() else "?" for c in str(value)[:500]))


def count(number: int, noun: str) -> str:
    """Return ``number`` with its ``noun``, which takes an s in the plural: ``1 CVE``, ``2 CVEs``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
