# SPDX-License-Identifier: GPL-2.0-or-later
"""The debt of a kernel: lineage by its traps, how sure it is, copies of advisories, and cover."""

from __future__ import annotations

import pytest

from dnf_plugin_livepatch.base.model import (
    EXACT,
    LOWER_BOUND,
    UNKNOWN,
    Advisory,
    Debt,
)
from dnf_plugin_livepatch.base.names import parse_nevra
from dnf_plugin_livepatch.exposure.debt import alike, coverage, debt_of, lineage, merge, rank, rated
from dnf_plugin_livepatch.host.packages.evr import compare
from tests.unit.support.listed import advisory, kernel

# --- the lineage rule, by its traps ---

SEVEN = advisory("ALSA-2026:8921", "5.14.0-611.49.1.el9_7", "CVE-2025-39766", "CVE-2025-68741")
EIGHT = advisory("ALSA-2026:19568", "5.14.0-687.10.1.el9_8", "CVE-2025-39766", "CVE-2026-43284")


def test_a_cve_listed_again_in_the_next_minor_release_is_not_owed_twice() -> None:
    rows, quality, _ = debt_of(kernel("5.14.0-611.49.1.el9_7"), [SEVEN, EIGHT], compare)
    assert [row.cve for row in rows] == ["CVE-2026-43284"] and quality == EXACT


def test_a_fix_in_the_older_minor_release_does_not_help_the_newer_one() -> None:
    rows, _, _ = debt_of(kernel("5.14.0-687.5.1.el9_8"), [SEVEN, EIGHT], compare)
    assert [(row.cve, row.advisory) for row in rows] == [
        ("CVE-2025-39766", "ALSA-2026:19568"),
        ("CVE-2026-43284", "ALSA-2026:19568"),
    ]


@pytest.mark.parametrize(
    "evr, tag",
    [
        ("5.14.0-611.49.1.el9_7", "el9_7"),
        ("4.18.0-372.13.1.rt7.170.el8_6", "el8_6"),
        ("6.1.66-91.160.amzn2023", "amzn2023"),
        ("1:6.12.40-64.114.amzn2023", "amzn2023"),
        ("5.15.0-105.125.6.2.1.el8uek", "el8uek"),
        ("6.12.1-1.el9.elrepo", "el9.elrepo"),
        ("6.6.0-72.0.0.76.oe2403sp1", "oe2403sp1"),
        ("5.14.21-150500.55.12.1", "150500"),
        ("5.14.21-150500", "150500"),
        ("5.14.21-15050.1", ""),
        ("5.10.0-1+deb1.1", ""),
        ("4.19.19-8.0.37.1.xcpng8.3", "xcpng8"),
        ("5.4.17-1.x1", "x1"),
        ("6.12.94+deb12-1", ""),
    ],
)
def test_lineage_of_real_builds(evr: str, tag: str) -> None:
    assert lineage(evr) == tag


def test_the_fix_between_counts_when_the_newest_advisory_is_a_bugfix() -> None:
    rows = [
        advisory("A10", "5.14.0-10.el9_4", kind="bugfix"),
        advisory("A20", "5.14.0-20.el9_4", "CVE-2026-2000"),
        advisory("A40", "5.14.0-40.el9_4", kind="bugfix"),
    ]
    debt, quality, _ = debt_of(kernel("5.14.0-10.el9_4"), rows, compare, newest="5.14.0-40.el9_4")
    assert [row.cve for row in debt] == ["CVE-2026-2000"] and quality == EXACT


def test_flavours_and_architectures_do_not_mix() -> None:
    rows = [
        advisory("A10", "5.14.0-10.el9_4", name="kernel-rt-core"),
        advisory("A20", "5.14.0-20.el9_4", "CVE-2026-2000", name="kernel-core"),
        Advisory(
            "A21",
            "security",
            "",
            "",
            "",
            ("CVE-2026-2001",),
            (parse_nevra("kernel-rt-core-5.14.0-20.el9_4.aarch64"),),
        ),
    ]
    assert debt_of(kernel("5.14.0-10.el9_4", "kernel-rt-core"), rows, compare)[0] == ()


def test_an_advisory_without_a_type_that_lists_cves_counts() -> None:
    rows = [advisory("A10", "5-10.el9"), advisory("A20", "5-20.el9", "CVE-2026-2000", kind="unknown")]
    assert [row.cve for row in debt_of(kernel("5-10.el9"), rows, compare)[0]] == ["CVE-2026-2000"]


# --- how sure ---


def test_nothing_is_ever_zero_because_something_is_unknown() -> None:
    running = kernel("5.14.0-10.el9_4")
    older = advisory("A05", "5.14.0-5.el9_4", "CVE-2026-1000")
    newer = advisory("A20", "5.14.0-20.el9_4", "CVE-2026-2000")
    own = advisory("A10", "5.14.0-10.el9_4", "CVE-2026-1500")
    other = advisory("B1", "2-1.el9", "CVE-2026-1", name="glibc")
    cases = {
        "no updateinfo": ([], "", "", UNKNOWN),
        "other packages only": ([other], "", "", UNKNOWN),
        "repositories older than the host": ([older], "", "", UNKNOWN),
        "pruned: the own advisory is gone": ([newer], "", "", LOWER_BOUND),
        "own and newer": ([own, newer], "5.14.0-20.el9_4", "", EXACT),
        "own is the newest": ([older, own], "5.14.0-10.el9_4", "", EXACT),
        "a newer kernel without an advisory": ([own], "5.14.0-30.el9_4", "", UNKNOWN),
        "one more without an advisory": ([own, newer], "5.14.0-30.el9_4", "", LOWER_BOUND),
        "locked, nothing newer": ([own], "5.14.0-10.el9_4", "2023.8.20250721", UNKNOWN),
        "locked": ([own, newer], "5.14.0-20.el9_4", "2023.8.20250721", LOWER_BOUND),
    }
    for name, (rows, newest, locked, expected) in cases.items():
        debt, quality, reason = debt_of(running, rows, compare, newest, locked)
        assert quality == expected, name
        assert bool(reason) == (quality != EXACT), name
        assert quality == EXACT or quality == (LOWER_BOUND if debt else UNKNOWN), name


def test_a_security_advisory_that_names_no_cve_is_not_taken_for_none() -> None:
    """CentOS 6 has only such: without a CVE nobody can say whether it is closed."""
    rows = [advisory("A10", "5.14.0-10.el9_4"), advisory("A20", "5.14.0-20.el9_4")]
    assert debt_of(kernel("5.14.0-10.el9_4"), rows, compare) == (
        (),
        UNKNOWN,
        "security advisory A20 names no CVE",
    )
    rows.append(advisory("A30", "5.14.0-30.el9_4", "CVE-2026-2000"))
    assert debt_of(kernel("5.14.0-10.el9_4"), rows, compare)[1] == LOWER_BOUND
    assert debt_of(kernel("5.14.0-20.el9_4"), rows, compare)[1] == EXACT, "it is not above"
    fixes = [advisory("B20", "5.14.0-20.el9_4", kind="bugfix"), *rows[::2]]
    assert debt_of(kernel("5.14.0-10.el9_4"), fixes, compare)[1] == EXACT


# --- merging ---


def test_copies_of_one_advisory_in_two_repositories_are_one() -> None:
    base = advisory("A20", "5-20.el9", "CVE-2026-2000", severity="Moderate")
    extras = advisory("A20", "5-20.el9", "CVE-2026-2001", severity="Important", name="kernel-rt")
    both = merge([base, extras])
    assert both == merge([extras, base]) and len(both) == 1
    assert both[0].cves == ("CVE-2026-2000", "CVE-2026-2001") and both[0].severity == "Important"


ONE = Advisory("A", "bugfix", "Low", "2026-11-02", "2026-11-03", ("CVE-2026-2",), (kernel("5-2.el9"),))


@pytest.mark.parametrize(
    ("other", "merged"),
    [
        ({"type": "security"}, {"type": "security"}),
        ({"type": "enhancement"}, {"type": "bugfix"}),
        ({"type": "unknown"}, {"type": "bugfix"}),
        ({"severity": "important"}, {"severity": "important"}),
        ({"severity": ""}, {"severity": "Low"}),
        ({"severity": "low"}, {"severity": "low"}),
        ({"issued": "2026-11-01"}, {"issued": "2026-11-01"}),
        ({"issued": "2026-11-09"}, {"issued": "2026-11-02"}),
        ({"issued": ""}, {"issued": "2026-11-02"}),
        ({"updated": "2026-11-09"}, {"updated": "2026-11-09"}),
        ({"updated": ""}, {"updated": "2026-11-03"}),
        ({"cves": ("CVE-2026-3", "CVE-2026-1")}, {"cves": ("CVE-2026-1", "CVE-2026-2", "CVE-2026-3")}),
        (
            {"packages": (kernel("5-2.el9", "z"), kernel("5-2.el9", "a"))},
            {"packages": (kernel("5-2.el9", "a"), kernel("5-2.el9"), kernel("5-2.el9", "z"))},
        ),
    ],
)
def test_of_two_copies_the_graver_and_the_wider_word_counts(
    other: dict[str, object], merged: dict[str, object]
) -> None:
    copy = ONE._replace(**other)  # type: ignore[arg-type]
    assert merge([ONE, copy]) == merge([copy, ONE]) == (ONE._replace(**merged),)  # type: ignore[arg-type]


def test_copies_of_no_date_have_none() -> None:
    one, other = ONE._replace(issued=""), ONE._replace(issued="", severity="")
    assert merge([one, other]) == (one,)


@pytest.mark.parametrize(
    ("one", "other", "number"),
    [
        (("a 1", "b 9"), ("a 1", "b 8"), 2),
        (("a 1", "a 2"), ("a 2", "a 3"), 1),
        (("a 1",), ("b 2",), 1),
        (("a 1",), ("a 2",), 2),
    ],
    ids=["one package differs", "a build in common", "other packages", "other builds"],
)
def test_copies_of_one_update_never_list_different_builds(
    one: tuple[str, ...], other: tuple[str, ...], number: int
) -> None:
    def update(builds: tuple[str, ...], cve: str) -> Advisory:
        packages = tuple(kernel(f"5-{build[2:]}.el9", build[0]) for build in builds)
        return ONE._replace(packages=packages, cves=(cve,))

    assert len(merge([update(one, "CVE-2026-1"), update(other, "CVE-2026-2")])) == number


def test_advisories_of_different_ids_are_left_as_they_are() -> None:
    rows = [ONE._replace(id="B"), ONE._replace(id="A")]
    assert merge(iter(rows)) == tuple(rows) and merge([]) == ()
    assert merge([*rows, ONE]) == (ONE, rows[0]), "sorted where copies have to be found"


def test_different_updates_under_one_id_stay_apart() -> None:
    """SUSE once used the id ``kernel`` for three updates: merged, the first would seem to fix all CVEs."""
    rows = [advisory("kernel", f"5-{n}.el9", f"CVE-2026-{n}000") for n in (1, 2, 3)]
    debt, quality, _ = debt_of(kernel("5-1.el9"), rows, compare)
    assert {row.cve: row.fixed_in for row in debt} == {
        "CVE-2026-2000": "5-2.el9",
        "CVE-2026-3000": "5-3.el9",
    }
    assert quality == EXACT


# --- the rows and the reasons, to the word ---

HOME = kernel("5-10.el9")
OWN, NEXT = advisory("A10", "5-10.el9", "CVE-2026-1000"), advisory("A20", "5-20.el9", "CVE-2026-2000")


@pytest.mark.parametrize(
    ("rows", "newest", "locked", "quality", "reason"),
    [
        ([], "", "", UNKNOWN, "no advisory of a trusted repository lists the package kernel-core"),
        ([OWN, NEXT], "5-20.el9", "", EXACT, ""),
        ([OWN, NEXT], "5-15.el9", "", EXACT, ""),
        ([OWN], "5-10.el9", "", EXACT, ""),
        (
            [NEXT],
            "5-10.el9",
            "",
            LOWER_BOUND,
            "no advisory lists the running kernel 5-10.el9, earlier ones may be missing",
        ),
        (
            [advisory("A05", "5-5.el9")],
            "5-10.el9",
            "",
            UNKNOWN,
            "no advisory lists the running kernel 5-10.el9, earlier ones may be missing",
        ),
        (
            [NEXT],
            "5-30.el9",
            "2023.8",
            LOWER_BOUND,
            "no advisory lists the running kernel 5-10.el9, earlier ones may be missing; "
            "kernel 5-30.el9 has no advisory; the repositories are locked to release 2023.8",
        ),
        (
            [OWN, advisory("B", "5-20.el9"), advisory("A", "5-20.el9"), advisory("C", "5-5.el9")],
            "",
            "2023.8",
            UNKNOWN,
            "security advisory A names no CVE; the repositories are locked to release 2023.8",
        ),
        ([OWN, advisory("B", "5-20.el9", kind="unknown")], "", "", EXACT, ""),
        ([OWN, advisory("B", "5-20.el9", kind="bugfix")], "5-20.el9", "", EXACT, ""),
    ],
)
def test_every_doubt_is_told(
    rows: list[Advisory], newest: str, locked: str, quality: str, reason: str
) -> None:
    assert debt_of(HOME, rows, compare, newest, locked)[1:] == (quality, reason)


def test_a_row_is_the_first_fix_and_rows_ascend() -> None:
    rows = [
        OWN,
        advisory("A30", "5-30.el9", "CVE-2026-2", "CVE-2026-1", "CVE-2026-3", severity="Low"),
        advisory("A100", "5-100.el9", "CVE-2026-3", "CVE-2026-4"),
        advisory("A20", "5-20.el9", "CVE-2026-2", severity="Critical"),
        advisory("B20", "5-20.el9", "CVE-2026-2", severity="Critical"),
    ]
    for order in (rows, rows[::-1]):
        assert debt_of(HOME, order, compare)[0] == (
            Debt("CVE-2026-2", "A20", "Critical", "5-20.el9"),
            Debt("CVE-2026-1", "A30", "Low", "5-30.el9"),
            Debt("CVE-2026-3", "A30", "Low", "5-30.el9"),
            Debt("CVE-2026-4", "A100", "", "5-100.el9"),
        )


def test_every_package_of_an_advisory_is_looked_at() -> None:
    packages = (kernel("5-20.el9", "kernel-rt-core"), kernel("5-20.el9"), kernel("5-30.el9"))
    rows, quality, _ = debt_of(HOME, [OWN, NEXT._replace(packages=packages)], compare)
    assert ([row.fixed_in for row in rows], quality) == (["5-20.el9"], EXACT)


def test_the_severity_words_of_all_vendors_have_one_order() -> None:
    words = [
        ("low", "Low", "SEVERITY_LOW", "negligible"),
        ("Moderate", "medium", "Severity: Medium"),
        ("High", "important", "SEV_HIGH", "", "None", "Unspecified", "severity_unknown", " "),
        ("CRITICAL", "SEVERITY_CRITICAL", "Urgent", "very  High", "gravissimo", "P1", "9.8"),
    ]
    assert [{rank(word) for word in row} for row in words] == [{1}, {2}, {3}, {4}]
    assert not any(map(rated, words[2][3:])) and all(map(rated, words[3]))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Critical", "SEVERITY_CRITICAL", True), ("Critical", "urgent", True), ("Important", "High", True),
        ("gravissimo", "Gravissimo", True), ("gravissimo", "Critical", False), ("", "", False),
        ("None", "none", False), ("Low", "Moderate", False), ("P1", "P2", False),
    ],
)  # fmt: skip
def test_words_that_mean_the_same(one: str, other: str, same: bool) -> None:
    assert alike(one, other) is alike(other, one) is same


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (("Low", "gravissimo"), "gravissimo"), (("", "Low"), "Low"), (("None", "Moderate"), "Moderate"),
        (("Important", "SEVERITY_CRITICAL"), "SEVERITY_CRITICAL"), (("Urgent", "High"), "Urgent"),
    ],
)  # fmt: skip
def test_of_two_copies_the_worse_word_counts(words: tuple[str, str], kept: str) -> None:
    for first, second in (words, words[::-1]):
        (one,) = merge([NEXT._replace(severity=first), NEXT._replace(severity=second)])
        assert one.severity == kept


def test_a_fix_at_or_below_the_running_kernel_needs_its_dist_tag() -> None:
    again = advisory("A20", "5-20.el9", "CVE-2026-1000", "CVE-2026-500")
    older, other = advisory("A5", "5-5.el9", "CVE-2026-500"), advisory("A6", "5-6.el8", "CVE-2026-500")
    assert [row.cve for row in debt_of(HOME, [OWN, again], compare)[0]] == ["CVE-2026-500"]
    assert [row.cve for row in debt_of(HOME, [OWN, again, other], compare)[0]] == ["CVE-2026-500"]
    assert debt_of(HOME, [OWN, again, older], compare)[0] == ()


# --- cover ---


def test_a_cumulative_patch_covers_the_advisories_of_its_earlier_builds() -> None:
    name = "kpatch-patch-5_14_0-162_6_1"
    rows = [
        advisory("RHSA-2023:1008", "1-2.el9_1", "CVE-2022-3564", "CVE-2022-4378", name=name),
        advisory("RHSA-2023:1471", "1-3.el9_1", "CVE-2022-4744", "CVE-2023-0266", name=name),
    ]
    cover = dict(coverage(rows, [name], [kernel("1-10.el9_1", name)], compare))
    assert cover[f"{name}-1-2.el9_1.x86_64"] == ("CVE-2022-3564", "CVE-2022-4378")
    assert len(cover[f"{name}-1-3.el9_1.x86_64"]) == 4
    assert len(cover[f"{name}-1-10.el9_1.x86_64"]) == 4, "1-10 is newer than 1-3, as rpm compares"


def test_a_build_covers_nothing_of_other_names_and_architectures() -> None:
    one, other = kernel("1-2.el9", "lp"), kernel("1-1.el9", "lq")
    arm = one._replace(arch="aarch64", version="0")
    rows = [
        advisory("A", "1-2.el9", "CVE-2026-2", "CVE-2026-1", name="lp"),
        advisory("B", "1-1.el9", "CVE-2026-3", name="lq"),
        advisory("C", "1-1.el9", "CVE-2026-4", name="bash"),
        advisory("D", "1-3.el9", "CVE-2026-5", name="lp"),
        ONE._replace(id="E", cves=("CVE-2026-6",), packages=(arm,)),
    ]
    installed = kernel("1-9.el9", "gone")
    assert coverage(rows, ["lq", "lp"], iter([installed]), compare) == (
        (str(installed), ()),
        (str(arm), ("CVE-2026-6",)),
        (str(one), ("CVE-2026-1", "CVE-2026-2")),
        (str(kernel("1-3.el9", "lp")), ("CVE-2026-1", "CVE-2026-2", "CVE-2026-5")),
        (str(other), ("CVE-2026-3",)),
    )


# --- dates ---


@pytest.mark.parametrize(
    "issued, updated, dated, kind",
    [
        ("2026-11-01", "2026-11-20", "2026-11-01", "issued"),
        ("2026-11-01", "", "2026-11-01", "issued"),
        ("", "2026-11-20", "2026-11-20", "updated"),
        ("", "", "", ""),
    ],
)
def test_a_cve_is_dated_by_the_issue_or_else_by_the_update_and_says_which(
    issued: str, updated: str, dated: str, kind: str
) -> None:
    advisory = Advisory("A", "security", "", issued, updated, ("CVE-2026-1000",), (kernel("5-12.el9_4"),))
    (row,), _, _ = debt_of(kernel("5-11.el9_4"), [advisory], compare)
    assert (row.dated, row.date_kind) == (dated, kind)
