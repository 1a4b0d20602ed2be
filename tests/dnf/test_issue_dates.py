# SPDX-License-Identifier: GPL-2.0-or-later
"""The age of a live patch where a repository renews the dates of its advisories."""

from __future__ import annotations

import json
import re
import time

import pytest

from tests.dnf.support import records, stock, strangers
from tests.dnf.support.lab import lines
from tests.dnf.support.records import stamp
from tests.dnf.support.variants import variant

P2, BY2 = str(stock.P2), str(stock.BY2)
#: The day on which the tests begin.
TODAY = stamp()[:10]


def dated(answer, words: str) -> bool:
    """Whether ``answer`` has ``words`` with the day on which the tests began, or with that of now."""
    return any(f"{words} {day}" in answer.text for day in (TODAY, stamp()[:10]))


def redated(issued: str, updated: str = f'<updated date="{TODAY} 02:00:00"/>'):
    def change(text: str) -> str:
        text = re.sub(r"\s*<issued [^>]*/>", issued, text)
        return re.sub(r"\s*<updated [^>]*/>", updated, text)

    return change


OLD = {
    "a day": redated('<issued date="2026-01-05"/>'),
    "seconds": redated('<issued date="1767607200"/>'),
    "quotes": redated("<issued date='2026-01-05 10:00:00'/>"),
    "behind the change": lambda text: redated("")(text).replace(
        "<title>", '<issued date="2026-01-05"/><title>'
    ),
}


@pytest.mark.parametrize("name", OLD)
@pytest.mark.parametrize("conf", ["min_age = 2w\n", "cutoff = 2026-06-30\n"])
def test_a_change_makes_no_old_patch_young(lab, host, name, conf):
    host.repos(base=variant(lab, "patches", advisories=OLD[name]))
    host.conf(conf)
    answer = host.dnf("upgrade")
    assert P2 in answer.new and lines(answer) == [], answer.text


@pytest.mark.parametrize(
    ("conf", "text"),
    [("min_age = 2d\n", "min_age is not over"), ("cutoff = 2026-06-30\n", "after cutoff = 2026-06-30")],
)
@pytest.mark.parametrize(
    ("issued", "word"),
    [("", "built"), ('<issued date="soon"/>', "built"), (f'<issued date="{TODAY} 00:00:01"/>', "issued")],
)
def test_the_line_says_whose_date_it_is(lab, host, issued, word, conf, text):
    """The packages of the lab were built today."""
    host.repos(base=variant(lab, "patches", advisories=redated(issued, "")))
    host.conf(conf)
    answer = host.dnf("upgrade")
    assert BY2 in answer.new and P2 not in answer.new
    assert dated(answer, f"it was {word} on") and text in answer.text


@pytest.mark.parametrize("date", ["2099-01-01", "4070908800"])
def test_a_date_of_issue_that_is_renewed_ends_with_the_first_look(lab, host, date):
    host.repos(base=variant(lab, "patches", advisories=redated(f'<issued date="{date}"/>')))
    host.conf("min_age = 3h\n")
    answer = host.dnf("upgrade")
    assert P2 not in answer.new and "min_age is not over" in answer.text, answer.text
    assert dated(answer, "it was first seen here on")
    seen = json.loads(host.read("/var/lib/livepatch/notices.json"))["seen"]
    assert {row["nevra"] for row in seen} == {str(stock.P1), P2}
    host.conf("min_age = 1s\n")
    time.sleep(2)
    assert P2 in host.dnf("upgrade").new


def test_a_stranger_that_names_a_patch_before_there_is_one_ends_no_wait(lab, host):
    host.conf("min_age = 2w\n")
    host.repos(base="start", stranger="only-patch")
    assert P2 not in host.dnf("upgrade").new
    host.sh(f'sed -i -E \'s/("since": ")[^"]*/\\1{stamp(-40 * 86400)}/\' /var/lib/livepatch/notices.json')
    day = f'<issued date="{TODAY} 00:00:01"/>'
    state = variant(lab, "patches", advisories=redated(day))
    built = re.compile(rb'build="[0-9]+"')
    old = f'build="{int(time.time()) - 40 * 86400}"'.encode()
    host.repos(base=strangers.replaced(lab, state, "primary", lambda data: built.sub(old, data)))
    answer = host.dnf("upgrade")
    assert P2 not in answer.new and "min_age is not over" in answer.text, answer.text


def test_the_record_of_the_repository_comes_first(lab, host):
    state = variant(lab, "patches", advisories=redated('<issued date="2026-01-05"/>'))
    issued = stamp(-3600)
    host.repos(base=records.told(lab, state, {P2: {"issued": issued}}))
    host.conf("min_age = 2h\n")
    answer = host.dnf("upgrade")
    assert P2 not in answer.new and f"it was issued on {issued[:10]}" in answer.text
