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
    ("opts", "security", "filters"),
    [
        ({}, False, {}),
        ({"security": True}, True, {"advisory_type": {"security"}}),
        ({"bugfix": True}, False, {"advisory_type": {"bugfix"}}),
        ({"bugfix": True, "security": True}, True, {"advisory_type": {"bugfix", "security"}}),
        ({"severity": ["Low"]}, False, {"advisory_severity": {"Low"}}),
        ({"cves": ["CVE-2026-0001"]}, False, {"advisory_cve": {"CVE-2026-0001"}}),
    ],
)
def test_where_dnf_keeps_no_filters_the_options_tell_which(opts, security, filters):
    wish = request(SimpleNamespace(), **opts)
    assert (wish.kind, wish.security, wish.filters) == ("all", security, filters)
    assert wish.filtered is bool(filters)


class Sack:
    """A sack whose packages have advisories of these types."""

    TYPES = {"security": {"a", "b"}, "bugfix": {"b", "c"}, "enhancement": set(), "newpackage": {"d"}}

    def query(self):
        return self

    def upgrades(self):
        return Upgrades()

    def filter(self, advisory_type):
        return self.TYPES[advisory_type]


class Upgrades(Sack):
    TYPES = {"security": {"b"}, "bugfix": {"c"}, "enhancement": {"e"}, "newpackage": set()}


@pytest.mark.parametrize(
    ("queries", "security", "opaque"),
    [
        ([], False, False),
        ([{"a", "b"}], True, False),
        ([{"c"}], False, True),
        ([{"a", "b", "c"}], True, True),
        ([{"a"}, {"b"}], True, False),
        ([{"d"}], False, True),
        ([set()], False, True),
        ([{"x"}], False, True),
        ([{"b"}], True, False),
        ([{"e"}], False, True),
        ([{"b", "e"}], True, True),
        ([{"a", "b", "x"}], False, True),
    ],
)
def test_a_query_is_for_security_only_where_it_found_all_of_that(queries, security, opaque):
    base = SimpleNamespace(_update_security_filters=queries, _update_security_options={}, sack=Sack())
    wish = request(base)
    assert (wish.security, wish.opaque, wish.filtered) == (security, opaque, security or opaque)
    assert asked._queries(base, automatic=True) == (bool(queries), False)


def test_where_other_advisories_list_the_same_packages_it_may_be_another_query():
    base = SimpleNamespace(_update_security_filters=[{"a", "b"}], sack=Sack())
    base.sack.TYPES = {**Sack.TYPES, "bugfix": {"a", "b"}}
    base.sack.upgrades = lambda: base.sack
    assert asked._queries(base, automatic=False) == (False, True)


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
