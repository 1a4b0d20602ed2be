# SPDX-License-Identifier: GPL-2.0-or-later
"""``livepatch doctor`` says which repositories are trusted, why, and for what."""

from __future__ import annotations

import pytest

from dnf_plugin_livepatch.base.model import Problem, Trusted, Withdrawal
from dnf_plugin_livepatch.host.files import notices
from dnf_plugin_livepatch.host.files.notices import Notices
from dnf_plugin_livepatch.host.report import doctor
from tests.unit.support.reporting import Telling

ROWS = (
    Trusted("base", "origin", True, False),
    Trusted("mine", "named", True, True),
    Trusted("other", "listed", False, True),
)


def note_on(host: Telling) -> Problem:
    (found,) = [one for one in doctor.examine(host.paths) if one.id.startswith("trust-")]
    return found


def test_the_note_on_trust(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Telling(str(tmp_path), monkeypatch)
    assert (note_on(host).id, note_on(host).severity) == ("trust-unknown", "note")
    notices.save(host.paths, Notices(trusted=()))
    assert (note_on(host).id, note_on(host).severity) == ("trust-none", "warning")
    notices.save(host.paths, Notices(trusted=ROWS))
    assert notices.read(host.paths).trusted == ROWS
    assert note_on(host).severity == "note" and note_on(host).text == (
        "Live patches may come from base (the running kernel came from it), mine (livepatch.conf names it), "
        "other (it lists the running kernel, whose origin is unknown). Advisories and records of base, mine "
        "count as proof. With on_withdrawn = revert a withdrawal takes a patch out only where the metadata "
        "is signed: mine."
    )


def test_long_reasons_and_many_withdrawals_are_news_once(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Telling(str(tmp_path), monkeypatch)
    rows = tuple(Withdrawal(f"kp-{n}-1.x86_64", "long " * 100, "base", True) for n in range(700))
    found = Notices(withdrawn=rows, unproved=tuple(f"kp-{n}-2.x86_64" for n in range(500)))
    assert notices.save(host.paths, found) and not notices.save(host.paths, found)
