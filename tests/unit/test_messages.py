# SPDX-License-Identifier: GPL-2.0-or-later
import re
import string

import pytest

from dnf_plugin_livepatch.base.model import InForce
from dnf_plugin_livepatch.messages import catalogue, loading, planning, reconcile, status
from dnf_plugin_livepatch.messages.message import count


@pytest.mark.parametrize("identifier", sorted(catalogue.CATALOGUE))
def test_every_message_is_fit_to_be_read(identifier):
    message = catalogue.CATALOGUE[identifier]
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", identifier)
    assert message.severity in ("error", "warning", "note")
    assert message.text[0].isupper() or message.text.startswith(("livepatch", "{"))
    assert message.severity == "note" or message.remedy, "a refusal without a remedy helps nobody"
    facts = [name for _, name, _, _ in string.Formatter().parse(message.text + message.remedy) if name]
    built = catalogue.problem(identifier, **{name: "x" for name in facts})
    assert "{" not in built.text + built.remedy


#: Topics whose messages a person without root reads; those of a dnf run are read by root.
READ_BY_ALL = {**status.STATUS, **reconcile.RECONCILE, **loading.LOADING}
FOR_ROOT = r"livepatch (?:reconcile|unblock|block|unload)\b|dnf (?:upgrade|install)|mokutil|rpmdb --|chown"


@pytest.mark.parametrize("identifier", sorted(READ_BY_ALL))
def test_a_remedy_that_needs_root_says_so(identifier):
    remedy = READ_BY_ALL[identifier].remedy
    assert not re.search(FOR_ROOT, remedy) or re.search(r"\b[Aa]s root\b", remedy)


@pytest.mark.parametrize("number, words", [(0, "0 CVEs stay"), (1, "1 CVE stays"), (2, "2 CVEs stay")])
def test_a_number_goes_with_its_noun(number, words):
    assert words in catalogue.problem("patch-absent", release="5", count=number).text
    days = catalogue.problem("support-ends", release="5", end="2026-11-22", days=number).text
    assert days.endswith(f"in {number} {'day' if number == 1 else 'days'}.")
    assert count(number, "CVE") == words.rpartition(" ")[0]


def test_the_catalogue_is_every_topic_and_no_id_is_in_two():
    topics = (planning.PLANNING, status.STATUS, reconcile.RECONCILE, loading.LOADING)
    assert sum(map(len, topics)) == len(catalogue.CATALOGUE)
    assert all(topic.items() <= catalogue.CATALOGUE.items() for topic in topics)


def test_facts_from_outside_cannot_write_to_the_terminal():
    built = catalogue.problem("config-fault", fault="\x1b]0;title\x07" + "y" * 1000)
    assert built.text.isprintable() and len(built.text) < 700


def test_not_in_force_says_what_is_instead():
    nothing = catalogue.not_in_force("lp-2-1", [])
    assert nothing.id == "module-not-in-force" and "still vulnerable" in nothing.text
    # A part of the same set closes nothing by itself.
    assert catalogue.not_in_force("lp-2-1", [InForce("b", "lp-2-1")]).text == nothing.text
    older = catalogue.not_in_force("lp-2-1", [InForce("a", "lp-1-1"), InForce("theirs", "")])
    assert "lp-1-1, theirs is in force instead" in older.text and "vulnerable" not in older.text
