# SPDX-License-Identifier: GPL-2.0-or-later
"""Advisories from hawkey: what is read of their references, and at what cost."""

from __future__ import annotations

from typing import Any

import hawkey
import pytest

from dnf_plugin_livepatch.base.model import EXACT, LOWER_BOUND, Nevra
from dnf_plugin_livepatch.dnf4 import advisories
from dnf_plugin_livepatch.exposure.debt import debt_of

WANTED = {("kernel-core", "x86_64")}
RUNS = Nevra("kernel-core", "0", "5.14.0", "10.el9", "x86_64")


class Reference:
    """A reference whose cost is its place, as in libdnf."""

    def __init__(self, place: int, identifier: str, kind: int = hawkey.REFERENCE_CVE) -> None:
        self.place, self._id, self._kind = place, identifier, kind
        self.cost = 0

    @property
    def id(self) -> str:
        self.cost += self.place
        return self._id

    @property
    def type(self) -> int:
        self.cost += self.place
        return self._kind


class Package:
    name, arch = "kernel-core", "x86_64"

    def __init__(self, evr: str) -> None:
        self.evr = evr


class Advisory:
    type, severity, updated = hawkey.ADVISORY_SECURITY, "Important", None

    def __init__(self, name: str, build: int, references: list[Reference]) -> None:
        self.id, self.references = name, references
        self.packages = [Package(f"5.14.0-{build}.el9")]


def cves(count: int, start: int = 10000) -> list[Reference]:
    return [Reference(place, f"CVE-2025-{start + place}") for place in range(count)]


def compare(one: str, other: str) -> int:
    first, second = (int(evr.partition("-")[2].partition(".")[0]) for evr in (one, other))
    return first - second


def quality(*rows: Any, others: tuple[Any, ...] = ()) -> tuple[int, str, str]:
    read = advisories.Reader(*advisories.MIXED).read([Advisory("OWN", 10, cves(1, 1000)), *rows], WANTED)
    more = advisories.Reader(*advisories.MIXED).read(others, WANTED)
    debt, found, reason = debt_of(RUNS, read, compare, others=more)
    return len(debt), found, reason


@pytest.mark.parametrize("sizes", [[20_000], [5_000] * 5, [300] * 200, [1, 100_000, 1]])
def test_references_cost_a_bounded_number_of_steps_and_the_shortest_come_first(sizes: list[int]) -> None:
    rows = [Advisory(f"A-{n}", 20 + n, cves(size, 10**6 * (n + 1))) for n, size in enumerate(sizes)]
    found = advisories.Reader(*advisories.MIXED).read(rows, WANTED)
    assert sum(one.cost for row in rows for one in row.references) <= 2 * advisories.MIXED[1]
    whole = [row for row in found if not row.cut]
    assert len(whole) < len(sizes) and sum(size == 1 for size in sizes) <= len(whole)


@pytest.mark.parametrize("trusted", [True, False])
def test_what_was_not_read_to_its_end_is_no_exact_knowledge(trusted: bool) -> None:
    assert quality(Advisory("A", 20, cves(400)))[:2] == (400, EXACT)
    long = Advisory("LONG", 20, cves(30_000))
    count, found, reason = quality(long) if trusted else quality(others=(long,))
    assert 1000 < count < 30_000 and found == LOWER_BOUND
    assert reason == "advisory LONG was not read to its end"


@pytest.mark.parametrize("trusted", [True, False])
def test_of_thousands_of_advisories_one_stands_for_those_that_are_not_read(trusted: bool) -> None:
    rows = tuple(Advisory(f"A-{n}", 20 + n, cves(1, 10_000 + n)) for n in range(3000))
    count, found, reason = quality(*rows) if trusted else quality(others=rows)
    assert advisories.MIXED[0] - 1 <= count <= advisories.MIXED[0] and found == LOWER_BOUND
    assert "was not read to its end" in reason


def test_the_id_decides_what_a_reference_is() -> None:
    references = [
        Reference(0, " cve-2025-1000 ", hawkey.REFERENCE_BUGZILLA),
        Reference(1, "12", hawkey.REFERENCE_BUGZILLA),
        Reference(2, ""),
        Reference(3, "CVE-2025-1001", hawkey.REFERENCE_VENDOR),
        Reference(4, "other"),
    ]
    (row,) = advisories.Reader(*advisories.MIXED).read([Advisory("A", 20, references)], WANTED)
    assert row.cves == ("CVE-2025-1000", "CVE-2025-1001") and row.bugs == ("12",) and not row.cut
