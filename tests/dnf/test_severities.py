# SPDX-License-Identifier: GPL-2.0-or-later
"""Words of severity that are not those of Red Hat."""

from __future__ import annotations

import pytest

from tests.dnf.support import stock
from tests.dnf.support.lab import SOURCE
from tests.dnf.support.variants import variant

P2 = str(stock.P2)
LIVEPATCH = f"python3 {SOURCE}/bin/livepatch "


def named(word: str, state: str = "KERNEL-30"):
    """The advisory ``state``, Important in the lab, has this word, and all others are Low."""

    def change(text: str) -> str:
        parts = text.split("</update>")
        for at, part in enumerate(parts):
            new = word if f"<id>{state}</id>" in part else "Low"
            for old in ("Critical", "Important", "None"):
                part = part.replace(f"<severity>{old}</severity>", f"<severity>{new}</severity>")
            parts[at] = part
        return "</update>".join(parts)

    return change


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("SEVERITY_CRITICAL", 2),
        ("Urgent", 2),
        ("schwerwiegend", 2),
        ("SEVERITY_MODERATE", 1),
        ("Unspecified", 1),
    ],
)
def test_a_word_of_another_vendor_sorts_and_alarms(lab, host, word, code):
    host.repos(base=variant(lab, "kernel", advisories=named(word)))
    host.dnf("livepatch", "update", "--check")
    answer = host.sh(LIVEPATCH + "check")
    assert answer.code == code, answer.text
    listed = host.sh(LIVEPATCH + "cves").out
    assert listed.index("CVE-2024-0030") < listed.index("CVE-2024-0020"), "Low comes last"


@pytest.mark.parametrize(
    ("word", "taken"),
    [("SEVERITY_CRITICAL", True), ("urgent", True), ("SEVERITY_LOW", False), ("grave", False)],
)
def test_the_filter_by_severity_knows_the_words(lab, host, word, taken):
    host.repos(base=variant(lab, "patches", advisories=named(word, "PATCH-2")))
    answer = host.dnf("upgrade", "--sec-severity=Critical")
    assert (P2 in answer.new) is taken, answer.text
