# SPDX-License-Identifier: GPL-2.0-or-later
"""What the user asked for, where DNF keeps it elsewhere than it does now."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from dnf_plugin_livepatch.base.paths import Paths
from dnf_plugin_livepatch.dnf4 import asked, quiet_runs


def request(base: Any, **opts: Any) -> Any:
    base.conf = SimpleNamespace(installroot="/", tsflags=[])
    named = {"pkg_specs": [], "filenames": [], "grp_specs": [], **opts}
    command = SimpleNamespace(aliases=("upgrade",), opts=SimpleNamespace(**named))
    return asked.read(base, SimpleNamespace(command=command), None)


@pytest.mark.parametrize(
    ("opts", "limited"), [({}, False), ({"security": True}, True), ({"cves": ["CVE-2026-0001"]}, True)]
)
def test_unknown_filters_count_as_security_only(opts, limited):
    wish = request(SimpleNamespace(), **opts)
    assert (wish.kind, wish.security, wish.filtered) == ("all", limited, limited)


def test_known_filters_win():
    options = {"advisory_type__eq": {"bugfix"}}
    base = SimpleNamespace(_update_security_filters=[], _update_security_options=options)
    wish = request(base, security=True)
    assert (wish.security, wish.filtered) == (False, True)


def test_without_a_revision_nothing_is_remembered(tmp_path):
    assert quiet_runs.revision(SimpleNamespace()) == ""
    paths = Paths(str(tmp_path))
    quiet_runs.save(paths, "", quiet_runs.QUIET)
    assert not quiet_runs.same(paths, "", quiet_runs.QUIET) and not list(tmp_path.iterdir())
