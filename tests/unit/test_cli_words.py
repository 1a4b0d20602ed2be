# SPDX-License-Identifier: GPL-2.0-or-later
"""The words in which livepatch refuses an argument."""

import pytest

from dnf_plugin_livepatch.host.cli import main as cli


@pytest.mark.parametrize("word", ["CVE-foo", "2026-1", "cve-1-1"])
def test_a_word_that_is_no_cve_is_named(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["cves", word])
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert f"{word!r} is no CVE identifier, such as CVE-2026-12345" in told and "_cve" not in told
