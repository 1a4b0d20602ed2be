# SPDX-License-Identifier: GPL-2.0-or-later
"""``livepatch doctor`` says which repositories are trusted, why, and for what."""

from __future__ import annotations

import pytest

from dnf_plugin_livepatch.base.model import Trusted
from dnf_plugin_livepatch.host.files import notices
from dnf_plugin_livepatch.host.files.notices import Notices
from dnf_plugin_livepatch.host.report import doctor
from tests.unit.support.reporting import Telling

ROWS = (
    Trusted("base", "origin", True, False),
    Trusted("mine", "named", True, True),
    Trusted("other", "listed", False, True),
)


@pytest.mark.parametrize("known", [True, False])
def test_the_note_on_trust(tmp_path: object, monkeypatch: pytest.MonkeyPatch, known: bool) -> None:
    host = Telling(str(tmp_path), monkeypatch)
    if known:
        notices.save(host.paths, Notices(trusted=ROWS))
        assert notices.read(host.paths).trusted == ROWS
    (note,) = [found for found in doctor.examine(host.paths) if found.id.startswith("trust-")]
    assert note.severity == "note"
    if not known:
        assert note.id == "trust-unknown"
        return
    assert note.text == (
        "Live patches may come from base (the running kernel came from it), mine (livepatch.conf names it), "
        "other (it lists the running kernel, whose origin is unknown). Advisories and records of base, mine "
        "count as proof. A withdrawal takes a patch out by itself only where the metadata is signed: mine."
    )
