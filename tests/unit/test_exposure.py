# SPDX-License-Identifier: GPL-2.0-or-later
"""Exposure: properties, and real vendor facts against an independent implementation."""

from __future__ import annotations

import glob
import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnf_plugin_livepatch.base.model import (
    CLOSED_LIVE,
    EXACT,
    LOWER_BOUND,
    OPEN,
    REBOOT_ONLY,
    UNKNOWN,
    Advisory,
    CveState,
    Debt,
    Exposure,
    InForce,
    Unfixable,
)
from dnf_plugin_livepatch.base.names import parse_nevra
from dnf_plugin_livepatch.exposure import compute
from dnf_plugin_livepatch.exposure.compute import Inputs
from dnf_plugin_livepatch.exposure.debt import coverage, debt_of
from dnf_plugin_livepatch.host.packages.evr import compare
from tests.unit.support.listed import DATA, Record, advisory, kernel


def real() -> list[Advisory]:
    rows = []
    with open(DATA, encoding="utf-8") as file:
        for line in file:
            if not line.startswith("#"):
                issued, identifier, kind, severity, evr, cves = line.rstrip("\n").split("\t")
                rows.append(
                    Advisory(identifier, kind, severity, issued, "", tuple(cves.split()), (kernel(evr),))
                )
    return rows


# --- the independent implementation: says in rpm's terms what the lineage rule says in words ---


def naive(running: str, rows: list[tuple[str, str, list[str]]]) -> dict[str, str]:
    """CVE -> EVR of its first fix; ``rows`` are (type, evr, cves). Sets and a full walk, no cleverness."""
    import rpm

    def key(evr: str) -> tuple[str, str, str]:
        epoch, _, rest = evr.rpartition(":")
        version, release = rest.split("-")
        return (epoch or "0", version, release)

    def tag(evr: str) -> str:
        words = [word for word in evr.rsplit("-", 1)[1].split(".") if not word[0].isdigit()]
        return ".".join(word for word in words if not word.startswith("rt"))

    mine = key(running)
    had: set[str] = set()
    for _, evr, cves in rows:
        if tag(evr) == tag(running) and rpm.labelCompare(key(evr), mine) < 1:
            had |= set(cves)
    result: dict[str, str] = {}
    for kind, evr, cves in rows:
        if kind == "security" and rpm.labelCompare(key(evr), mine) == 1:
            for cve in set(cves) - had:
                if cve not in result or rpm.labelCompare(key(evr), key(result[cve])) == -1:
                    result[cve] = evr
    return result


def as_rows(advisories: list[Advisory]) -> list[tuple[str, str, list[str]]]:
    return [(row.type, row.packages[0].evr, list(row.cves)) for row in advisories]


def test_every_real_kernel_has_the_exposure_that_the_naive_implementation_computes(
    record_property: Record,
) -> None:
    rows = real()
    total = 0
    for running in [row.packages[0] for row in rows]:
        debt, quality, reason = debt_of(running, rows, compare)
        assert {row.cve: row.fixed_in for row in debt} == naive(running.evr, as_rows(rows))
        assert (quality, reason) == (EXACT, "")
        total += len(debt)
    assert len(rows) == 34 and total > 500
    record_property("told", f"{len(rows)} real kernels: {total} open CVEs, computed twice")


def test_over_a_folder_of_vendor_rows(record_property: Record) -> None:
    """All of $LIVEPATCH_VENDOR_DATA where it is given; the table above stands for it elsewhere."""
    folder = os.environ.get("LIVEPATCH_VENDOR_DATA", "")
    families: dict[tuple[str, str, str], list[Advisory]] = {}
    for path in sorted(glob.glob(os.path.join(folder, "*.jsonl"))) if folder else ():
        with open(path, encoding="utf-8") as file:
            for row in map(json.loads, file):
                if row["kind"] == "kernel" and row["advisory_id"] and "-" in row["evr"]:
                    evr = row["evr"][2:] if row["evr"].startswith("0:") else row["evr"]
                    package = parse_nevra(f"{row['package_name']}-{evr}.x86_64")
                    families.setdefault((row["vendor"], row["distro"], package.name), []).append(
                        Advisory(
                            row["advisory_id"],
                            "security",
                            row["severity"] or "",
                            "",
                            "",
                            tuple(c for c in row["cves"] or () if c.startswith("CVE-")),
                            (package,),
                        )
                    )
    if not folder:
        families[("AlmaLinux", "AlmaLinux:9", "kernel-core")] = real()
    kernels = open_cves = 0
    for rows in families.values():
        for running in sorted({package for row in rows for package in row.packages}):
            debt, quality, _ = debt_of(running, rows, compare)
            assert {row.cve: row.fixed_in for row in debt} == naive(running.evr, as_rows(rows))
            quiet = [row for row in rows if row.type == "security" and not row.cves]
            silent = [package for row in quiet for package in row.packages]
            nameless = any(compare(package.evr, running.evr) > 0 for package in silent)
            assert quality == (EXACT if not nameless else LOWER_BOUND if debt else UNKNOWN)
            kernels += 1
            open_cves += len(debt)
    assert kernels
    source = "vendor rows" if folder else "vendor rows (no $LIVEPATCH_VENDOR_DATA, so the table's)"
    told = f"{kernels} kernels of {len(families)} families: {open_cves} open CVEs, computed twice"
    record_property("told", f"{source}, {told}")


# --- the states ---


def test_a_state_has_its_module_its_reason_and_its_advisory() -> None:
    debt = tuple(
        Debt(f"CVE-2026-{number}", "A", "Low", "5-20", "2026-11-01", "issued") for number in range(6)
    )
    cover = (("b-1-1.x86_64", ("CVE-2026-1", "CVE-2026-4")),)
    theirs = (Unfixable("CVE-2026-3", "theirs"), Unfixable("CVE-2026-2", "theirs"))
    inputs = Inputs("R", "k", LOWER_BOUND, "a doubt", "then", (), debt, cover, theirs)
    patches = [
        InForce("a", "a-1-1.x86_64", ("CVE-2026-0", "CVE-2026-1")),
        InForce("b", "b-1-1.x86_64"),
        InForce("c", "c-1-1.x86_64"),
    ]
    found = compute.compute(
        inputs, patches, [Unfixable("CVE-2026-2", "ours"), Unfixable("CVE-2026-4", "ours")]
    )
    parts = [
        (CLOSED_LIVE, "a", ""),
        (CLOSED_LIVE, "a", ""),
        (REBOOT_ONLY, "", "ours"),
        (REBOOT_ONLY, "", "theirs"),
        (CLOSED_LIVE, "b", ""),
        (OPEN, "", ""),
    ]
    rows = tuple(
        CveState(row.cve, state, "A", "Low", "5-20", by, reason, "2026-11-01", "issued")
        for row, (state, by, reason) in zip(debt, parts)
    )
    assert found == Exposure(LOWER_BOUND, "a doubt", "then", rows)


@pytest.mark.parametrize(
    ("evr", "cves"),
    [
        ("", []),
        ("5-11.el9_4", []),
        ("5-12.el9_4", ["CVE-2026-1001"]),
        ("5-19.el9_4", ["CVE-2026-1001", "CVE-2026-1002"]),
    ],
)
def test_what_a_newer_kernel_closes(evr: str, cves: list[str]) -> None:
    inputs, patches = chain("coo")
    found = compute.closed_by_boot(compute.compute(inputs, patches), evr, compare)
    assert [row.cve for row in found] == cves


def test_a_live_patch_is_not_the_whole_kernel_update() -> None:
    """RHSA-2023:1470 fixes three CVEs, the live patch RHSA-2023:1471 two of them."""
    name = "kpatch-patch-5_14_0-162_18_1"
    debt, _, _ = debt_of(
        kernel("5.14.0-162.18.1.el9_1"),
        [
            advisory("RHSA-2023:0951", "5.14.0-162.18.1.el9_1", "CVE-2022-2873"),
            advisory(
                "RHSA-2023:1470", "5.14.0-162.22.2.el9_1", "CVE-2022-4269", "CVE-2022-4744", "CVE-2023-0266"
            ),
        ],
        compare,
    )
    patches = [advisory("RHSA-2023:1471", "1-1.el9_1", "CVE-2022-4744", "CVE-2023-0266", name=name)]
    inputs = Inputs("R", quality=EXACT, debt=debt, cover=coverage(patches, [name], [], compare))
    found = compute.compute(inputs, [InForce("kpatch_x", f"{name}-1-1.el9_1.x86_64")])
    assert {row.cve: row.state for row in found.rows} == {
        "CVE-2022-4269": OPEN,
        "CVE-2022-4744": CLOSED_LIVE,
        "CVE-2023-0266": CLOSED_LIVE,
    }


def test_what_the_manifest_says_goes_before_what_the_advisories_say() -> None:
    inputs = Inputs(
        "R",
        quality=EXACT,
        debt=(Debt("CVE-2026-1000", "A", "", "1-2"), Debt("CVE-2026-1001", "A", "", "1-2")),
        cover=(("lp-1-1.x86_64", ("CVE-2026-1000", "CVE-2026-1001")),),
    )
    found = compute.compute(inputs, [InForce("lp", "lp-1-1.x86_64", ("CVE-2026-1000",))])
    assert [row.state for row in found.rows] == [CLOSED_LIVE, OPEN]


def test_what_is_left_out_is_told_and_never_exact() -> None:
    inputs, _ = chain("oo")
    some = compute.doubted(inputs, ("updates", "extras"))
    assert (some.quality, some.debt) == (LOWER_BOUND, inputs.debt) and "updates, extras" in some.reason
    assert ("updates", "") in some.repositories
    none = compute.doubted(inputs._replace(debt=(), reason="locked"), ("updates",))
    assert none.quality == UNKNOWN and none.reason.startswith("locked; left out")


def test_a_stale_cache_is_unknown_but_keeps_its_rows() -> None:
    fresh = Inputs(
        "R", quality=EXACT, as_of="2026-11-20T00:00:00Z", debt=(Debt("CVE-2026-1000", "A", "", "1-1"),)
    )
    now, oldest = "2026-11-22T00:00:00Z", "2026-11-15T00:00:00Z"
    assert compute.aged(fresh, now, oldest) == fresh
    for as_of in ("2026-11-01T00:00:00Z", "2031-01-01T00:00:00Z", ""):
        old = compute.aged(fresh._replace(as_of=as_of), now, oldest)
        assert old.quality == UNKNOWN and "dnf" in old.reason and old.debt == fresh.debt


# --- properties ---

CVES = [f"CVE-2026-{number}" for number in range(1000, 1012)]
DISTS = ("el9_3", "el9_4")
cve_sets = st.lists(st.sampled_from(CVES), max_size=6, unique=True).map(tuple)
builds = st.tuples(st.integers(1, 8), st.sampled_from(DISTS)).map(lambda b: f"5.14.0-{b[0]}.{b[1]}")
advisories = st.builds(
    lambda number, kind, evr, cves, severity: advisory(
        f"A{number}", evr, *cves, kind=kind, severity=severity
    ),
    st.integers(1, 9),
    st.sampled_from(("security", "bugfix")),
    builds,
    cve_sets,
    st.sampled_from(("", "Low", "Critical")),
)
patches = st.lists(
    st.builds(InForce, st.sampled_from("abc"), st.sampled_from(("p-1-1.x86_64", "")), cve_sets), max_size=3
)
unfixables = st.lists(
    st.builds(Unfixable, st.sampled_from(CVES), st.just("data structure changes")), max_size=4
)


def made(debt: tuple[Debt, ...]) -> Inputs:
    return Inputs("R", quality=EXACT, debt=debt, cover=(("p-1-1.x86_64", tuple(CVES[:4])),))


@given(builds, st.lists(advisories, max_size=8), st.randoms())
def test_the_order_of_advisories_never_matters(running: str, rows: list[Advisory], random: object) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    split = [*shuffled[::2], *shuffled]  # the same advisories again, as a second repository would offer them
    first = debt_of(kernel(running), rows, compare)
    assert first == debt_of(kernel(running), split, compare)


@given(builds, st.lists(advisories, max_size=8, unique_by=lambda row: row.id))
def test_any_debt_is_the_naive_one(running: str, rows: list[Advisory]) -> None:
    debt, _, _ = debt_of(kernel(running), rows, compare)
    assert {row.cve: row.fixed_in for row in debt} == naive(running, as_rows(rows))
    evrs = [row.fixed_in for row in debt]
    assert all(compare(one, other) <= 0 for one, other in zip(evrs, evrs[1:]))


def test_open_closed_and_reboot_only_partition_the_debt(record_property: Record) -> None:
    total: dict[str, int] = dict.fromkeys((OPEN, CLOSED_LIVE, REBOOT_ONLY), 0)

    @settings(max_examples=3 * settings.default.max_examples)
    @given(st.lists(advisories, max_size=8), patches, unfixables)
    def partition(rows: list[Advisory], loaded: list[InForce], never: list[Unfixable]) -> None:
        debt, _, _ = debt_of(kernel("5.14.0-1.el9_4"), rows, compare)
        found = compute.compute(made(debt), loaded, never)
        assert [row.cve for row in found.rows] == [row.cve for row in debt]
        assert all(row.state in total for row in found.rows)
        assert all(bool(row.by) == (row.state == CLOSED_LIVE) for row in found.rows)
        for state in total:
            total[state] += sum(row.state == state for row in found.rows)

    partition()
    assert all(total.values()), "each state came about"
    parts = ", ".join(f"{number} {state}" for state, number in total.items())
    record_property("told", f"generated CVEs, each in exactly one state: {parts}")


@given(st.lists(advisories, max_size=8), patches, patches, unfixables)
def test_what_is_closed_only_grows_with_the_patches(
    rows: list[Advisory], loaded: list[InForce], more: list[InForce], never: list[Unfixable]
) -> None:
    debt, _, _ = debt_of(kernel("5.14.0-1.el9_4"), rows, compare)

    def closed(patches: list[InForce]) -> set[str]:
        found = compute.compute(made(debt), patches, never)
        return {row.cve for row in found.rows if row.state == CLOSED_LIVE}

    assert closed([]) == set() and closed(loaded) <= closed([*loaded, *more])


# --- the effective kernel ---


def chain(states: str) -> tuple[Inputs, list[InForce]]:
    """Updates 11, 12, … of one lineage with one CVE each; ``c`` is closed live, ``o`` open."""
    debt = tuple(Debt(f"CVE-2026-{1000 + n}", "A", "", f"5-{11 + n}.el9_4") for n in range(len(states)))
    closed = tuple(row.cve for row, state in zip(debt, states) if state == "c")
    inputs = Inputs("5-10.el9_4.x86_64", "kernel-core-5-10.el9_4.x86_64", EXACT, debt=debt)
    return inputs, [InForce("m", "p", closed)] if closed else []


@pytest.mark.parametrize(
    "states, number", [("", 10), ("o", 10), ("c", 11), ("cc", 12), ("co", 11), ("oc", 10), ("cco", 12)]
)
def test_effective_kernel(states: str, number: int) -> None:
    inputs, patches = chain(states)
    assert compute.effective(inputs, compute.compute(inputs, patches)) == f"5-{number}.el9_4.x86_64"


def test_an_update_with_one_open_cve_is_not_reached_and_other_lineages_do_not_count() -> None:
    inputs, patches = chain("c")
    half = inputs._replace(debt=(*inputs.debt, Debt("CVE-2026-9999", "A", "", "5-11.el9_4")))
    assert compute.effective(half, compute.compute(half, patches)) == "5-10.el9_4.x86_64"
    later = inputs._replace(debt=(*inputs.debt, Debt("CVE-2026-9999", "B", "", "5-20.el9_5")))
    assert compute.effective(later, compute.compute(later, patches)) == "5-11.el9_4.x86_64"
    for quality in (UNKNOWN, LOWER_BOUND):
        blind = inputs._replace(quality=quality)
        assert compute.effective(blind, compute.compute(blind, patches)) == "5-10.el9_4.x86_64"


def test_each_cve_has_the_date_of_its_advisory() -> None:
    inputs, patches = chain("co")
    dated = inputs._replace(
        debt=tuple(row._replace(dated="2026-11-01", date_kind="issued") for row in inputs.debt)
    )
    assert [(row.dated, row.date_kind) for row in compute.compute(dated, patches).rows] == [
        ("2026-11-01", "issued")
    ] * 2
