# SPDX-License-Identifier: GPL-2.0-or-later
"""The date of a live patch: its issue, not the last change, and never later than this host saw the patch."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnf_plugin_livepatch.base.config import Config
from dnf_plugin_livepatch.base.model import Advisory
from dnf_plugin_livepatch.base.paths import Paths
from dnf_plugin_livepatch.formats import updateinfo
from dnf_plugin_livepatch.host.files import notices
from dnf_plugin_livepatch.host.for_planning import Machine as Real
from dnf_plugin_livepatch.planning import withheld
from dnf_plugin_livepatch.planning.facts import Facts
from dnf_plugin_livepatch.planning.interface import Repository
from dnf_plugin_livepatch.planning.request import ALL, Asked
from tests.unit.support.planned import NEW, NOW, RELEASE, RUNS, Machine, Manager

N2 = str(NEW.nevra)
UPDATE = """<update from="x" status="final" type="security" version="1"><id>A-1</id><title>t</title>{issued}
<updated date="2026-11-22 02:00:00"/></update>"""


@pytest.mark.parametrize(
    ("element", "day"),
    [
        ('<issued date="2026-01-05 10:00:00"/>', "2026-01-05"),
        ("<issued date='2026-01-05'/>", "2026-01-05"),
        ('<issued by="us" date="2026-01-05T10:00:00Z"></issued>', "2026-01-05"),
        ('<issued date="1767607200"/>', "2026-01-05"),
        ('<issued date="20260105"/>', "2026-01-05"),
        ('<issued date="20261305"/>', None),
        ('<issued date="999999999"/>', "2001-09-09"),
        ('<issued date="99999999999"/>', "5138-11-16"),
        ("", None),
        ('<issued date=""/>', None),
        ('<issued date="5 January 2026"/>', None),
        ('<issued date="2026-13-05"/>', None),
        ('<issuedness date="2026-01-05"/>', None),
    ],
)
def test_the_day_of_issue_in_the_text(element: str, day: str | None) -> None:
    text = f"<updates>{UPDATE.format(issued=element)}</updates>"
    assert updateinfo.issued(text, ["A-1", "A-2"]) == ({"A-1": day} if day else {})


def test_the_first_of_two_with_one_id_counts_and_another_ones_day_does_not() -> None:
    one, two = (UPDATE.format(issued=f'<issued date="2026-0{month}-05"/>') for month in (5, 3))
    other = UPDATE.format(issued='<issued date="2020-01-01"/>').replace("A-1", "A-11")
    assert updateinfo.issued(other + one + two + other, ["A-1"]) == {"A-1": "2026-03-05"}
    bare = UPDATE.format(issued="")
    assert updateinfo.issued(other + bare + other, ["A-1"]) == {}
    strange = UPDATE.format(issued='<issued date="2026-03-05"/>').replace("A-1", "A&amp;&lt;1")
    assert updateinfo.issued(strange, ["A&<1"]) == {"A&<1": "2026-03-05"}


@pytest.mark.parametrize(
    "text",
    [
        "<update >" + "y" * (40 << 20) + UPDATE.format(issued=""),
        "<id>A-1</id>" * 1_000_000,
        "<update ><id>A-1</id><issued " + "x" * (20 << 20),
        "<issued " * 3_000_000 + "<id>A-1</id>",
        "<!-- " + "<issued " * 65_000 + "<id>A-1</id>" * 520,
    ],
    ids=["many ids", "many copies", "no end", "no date", "no end of many"],
)
def test_a_long_text_is_read_once(text: str) -> None:
    began = time.process_time()
    assert updateinfo.issued(text, [f"A-{number}" for number in range(2000)]) == {}
    assert time.process_time() - began < 5


def test_an_advisory_has_its_day_behind_a_long_description() -> None:
    issued = "<description>" + "x" * 200_000 + '</description><issued date="2026-01-05"/>'
    text = UPDATE.format(issued=issued) + UPDATE.format(issued="").replace("A-1", "A-2")
    assert updateinfo.issued(text, ["A-1", "A-2"]) == {"A-1": "2026-01-05"}


@given(st.text("<>/=\"' updateissd0A-1\n", max_size=300))
def test_whatever_the_text_is_days_come_out(text: str) -> None:
    assert all(len(day) == 10 for day in updateinfo.issued(text, ["A-1"]).values())


def dated(
    issued: str = "", seen: str = "", built: int = 1, known: dict[str, str] | None = None
) -> tuple[str, str]:
    """The date and its word, by the advisory, by the text of the trusted repository, and by the state."""
    repos = [Repository("base", has_advisories=True), Repository("copr", has_advisories=True)]
    manager, host = Manager(RUNS, NEW._replace(build_time=built), repos=repos), Machine(Config(min_age=1))
    manager.rows = [Advisory("A", "security", "", issued, "2026-11-22", (), (NEW.nevra,))]
    manager.issues = {"base": known or {}, "copr": {"A": "2001-01-01"}}
    host.seen_first = {N2: seen} if seen else {}
    facts = Facts(manager, host)
    rows = [
        withheld._Row(row.package, withheld.patch_note({}, RELEASE, N2, ()), RELEASE)
        for row in facts.known(RELEASE)
    ]
    return withheld._dates(facts, rows)[N2]


@pytest.mark.parametrize(
    ("facts", "date"),
    [
        ({"known": {"A": "2026-10-05"}}, ("2026-10-05", "issued")),
        ({"issued": "2026-10-06"}, ("2026-10-06", "issued")),
        ({}, ("1970-01-01T00:00:01Z", "built")),
        ({"built": 1795000000}, ("2026-11-18T11:06:40Z", "built")),
        # The publisher renews its dates: the first look at the patch bounds them.
        (
            {"known": {"A": "2026-11-22"}, "seen": "2026-11-20T08:00:00Z"},
            ("2026-11-20T08:00:00Z", "first seen here"),
        ),
        ({"issued": "2099-01-01"}, (NOW, "first seen here")),
        (
            {"issued": "2099-01-01", "seen": "2026-11-01T00:00:00Z"},
            ("2026-11-01T00:00:00Z", "first seen here"),
        ),
        # Clocks that went wrong: the builder's, and this host's when it first saw the patch.
        ({"built": 4000000000, "seen": "2026-11-01T00:00:00Z"}, ("2026-11-01T00:00:00Z", "first seen here")),
        ({"built": 1795000000, "seen": "1970-01-02T00:00:00Z"}, ("2026-11-18T11:06:40Z", "built")),
        ({"issued": "2099-01-01", "built": 1795000000, "seen": NOW}, (NOW, "first seen here")),
        (
            {"issued": "2099-01-01", "built": 1795000000, "seen": "2026-11-01"},
            ("2026-11-18T11:06:40Z", "built"),
        ),
        ({"seen": "2099-01-01T00:00:00Z", "issued": "2026-10-06"}, ("2026-10-06", "issued")),
    ],
)
def test_the_date_cannot_be_put_off(facts: dict[str, str], date: tuple[str, str]) -> None:
    assert dated(**facts) == date  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("facts", "limits", "text"),
    [
        (
            {"known": {"A": "2026-11-21"}},
            {"min_age": 7 * 86400},
            "it was issued on 2026-11-21 and min_age is not over",
        ),
        (
            {"built": 1795000000},
            {"min_age": 7 * 86400},
            "it was built on 2026-11-18 and min_age is not over",
        ),
        (
            {"issued": "2099-01-01"},
            {"cutoff": "2026-11-01"},
            "it was first seen here on 2026-11-22, after cutoff",
        ),
        ({"built": 1795000000}, {"cutoff": "2026-11-01"}, "it was built on 2026-11-18, after cutoff"),
    ],
)
def test_the_line_says_which_date_it_is(facts: dict[str, str], limits: dict[str, int], text: str) -> None:
    found = withheld.judge(
        N2, withheld.patch_note({}, RELEASE, N2, ()), *dated(**facts), withheld.Limits("", NOW, **limits)
    )  # type: ignore[arg-type]
    assert found is not None and text in found.problem.text


def test_an_unreadable_updateinfo_leaves_the_date_of_the_build() -> None:
    class Broken(Manager):
        def issued(self, repository, ids):  # type: ignore[no-untyped-def]
            raise OSError("it unpacks to more than 64 MiB")

    manager = Broken(RUNS, NEW._replace(build_time=1795000000))
    manager.rows = [Advisory("A", "security", "", "", "2026-11-22", (), (NEW.nevra,))]
    found = withheld.kept_out(Facts(manager, Machine(Config(min_age=7 * 86400))), (RELEASE,), Asked(ALL))
    assert "it was built on 2026-11-18" in found[N2].problem.text


@pytest.mark.parametrize("root", [True, False])
def test_the_first_look_is_remembered(tmp_path, monkeypatch: pytest.MonkeyPatch, root: bool) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(Real, "now", "2026-11-20T00:00:00Z")
    machine = Real(Paths(str(tmp_path)))
    machine.root = root
    assert machine.first_seen(["a-1-1.x86_64"]) == {"a-1-1.x86_64": "2026-11-20T00:00:00Z"}
    monkeypatch.setattr(Real, "now", "2026-11-24T00:00:00Z")
    first = "2026-11-20T00:00:00Z" if root else "2026-11-24T00:00:00Z"
    assert machine.first_seen(["a-1-1.x86_64", "b-1-1.x86_64"])["a-1-1.x86_64"] == first
    many = [f"c-{number}-1.x86_64" for number in range(notices.MAX_SEEN - 2)]
    machine.first_seen(many)
    machine.first_seen(["d-1-1.x86_64", "a-1-1.x86_64"])
    assert machine.first_seen(["a-1-1.x86_64"])["a-1-1.x86_64"] == first, "a patch on offer is not forgotten"
    assert len(notices.read(machine.paths).seen) == (notices.MAX_SEEN if root else 0)
