# SPDX-License-Identifier: GPL-2.0-or-later
"""A live patch of a repository that nothing vouches for is loaded when the kernel's own key signed it."""

from __future__ import annotations

import pytest

from dnf_plugin_livepatch.host.files import notices
from dnf_plugin_livepatch.host.files.notices import Notices
from dnf_plugin_livepatch.host.packages import installed
from dnf_plugin_livepatch.host.report import doctor
from tests.unit.support.fakehost import Host, ids, run

KEY = "RSA/SHA256, Thu 01 Jan 2026 00:00:00 UTC, Key ID 199e2f91fd431d51"
OTHER = "RSA/SHA256, Thu 01 Jan 2026 00:00:00 UTC, Key ID deadbeefdeadbeef"


@pytest.mark.parametrize(
    ("mine", "kernels", "loaded"),
    [
        (KEY, KEY, True),
        (OTHER, KEY, False),
        ("unsigned", "unsigned", False),
        (KEY, "", False),
        ("", "", False),
    ],
)
@pytest.mark.parametrize("noted", [True, False])
def test_signers(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch, mine: str, kernels: str, loaded: bool, noted: bool
) -> None:
    host = Host(str(tmp_path)).create().attach(monkeypatch)
    monkeypatch.setattr(installed, "signer", lambda *_: mine)
    monkeypatch.setattr(installed, "kernel_signer", lambda *_: kernels)
    patch = host.patch("1")
    host.install(patch)
    if noted:
        notices.save(host.paths, Notices(unproved=(str(patch.nevra),)))
    refused = noted and not loaded
    assert ("signer-differs" in {one.id for one in doctor.examine(host.paths)}) == refused, "beforehand"
    result = run(host)
    assert host.running() == (["lp_1"] if loaded or not noted else [])
    assert ("signer-differs" in ids(result)) == (noted and not loaded)


@pytest.mark.parametrize(
    ("text", "key"),
    [(KEY, "199e2f91fd431d51"), ("unsigned", ""), ("", ""), ("Key ID 12", ""), (KEY + " x", "")],
)
def test_the_key_in_rpms_words(text: str, key: str) -> None:
    assert installed.key_of(text) == key
