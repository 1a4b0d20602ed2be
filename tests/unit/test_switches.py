# SPDX-License-Identifier: GPL-2.0-or-later
"""A vendor's own switch keeps its patches from being loaded."""

import pytest

from dnf_plugin_livepatch.base.paths import Paths
from dnf_plugin_livepatch.host.kernel import switches
from dnf_plugin_livepatch.vendors import profile_file, profiles
from tests.unit.support.fakehost import Host, run

RULES, _ = profiles.load(("/nonexistent",))
SUSE = profiles.find(RULES, "suse")
FILE = "/etc/sysconfig/livepatching"


@pytest.fixture
def host(tmp_path, monkeypatch):
    return Host(str(tmp_path)).create().attach(monkeypatch)


@pytest.mark.parametrize(
    "text, off",
    [
        ("LIVEPATCH=never\n", True),
        ('## Path: System\nLIVEPATCH="never"  # until the audit\n', True),
        ("LIVEPATCH='Never'", True),
        ("LIVEPATCH=never\nLIVEPATCH=always\n", False),
        ("\ufeffLIVEPATCH=never\n", True),
        ("X=1\r\nLIVEPATCH=never\r\n", True),
        ("export LIVEPATCH = 'never'\n", True),
        ("LIVEPATCH=auto\n", False),
        ("#LIVEPATCH=never\n", False),
        ('MY_LIVEPATCH=never\nLIVEPATCH=nevermore\nLIVEPATCH="never\n', False),
        ("", False),
    ],
)
def test_what_the_file_says(host, text, off):
    host.put(FILE, text)
    patch = host.patch("1")._replace(profile="suse")
    assert bool(switches.off(host.paths, RULES, (patch,))) is off
    assert not switches.off(host.paths, RULES, (host.patch("2"), patch)), "another vendor's is the newest"
    assert not switches.off(host.paths, RULES, ())


def test_without_the_file_all_is_loaded(tmp_path, host):
    assert not switches.off(Paths(str(tmp_path)), RULES, (host.patch("1")._replace(profile="suse"),))


def test_nothing_is_loaded_while_it_is_off(host, monkeypatch):
    monkeypatch.setattr(profiles, "load", lambda _: ((SUSE._replace(name="livepatch"),), ()))
    v1 = host.patch("1")
    host.install(v1)
    host.put(FILE, "LIVEPATCH=never\n")
    result = run(host)
    assert result.ok and host.running() == [] and result.skipped == f"LIVEPATCH=never in {FILE}"
    host.put(FILE, "LIVEPATCH=always\n")
    assert run(host).skipped == "" and host.running() == ["lp_1"]
    host.put(FILE, "LIVEPATCH=never\n")
    host.install()
    assert run(host).ok and host.running() == [], "its package is gone, and so is its vendor's say"


@pytest.mark.parametrize("value", ["/etc/x A", "etc/x A never", "/etc/x A=B never", "/etc/x A NEVER"])
def test_a_switch_that_is_none(value):
    text = f"[profile]\ntitle = x\n[match]\nname = x-{{release}}\n[load]\nswitch = {value}\n"
    with pytest.raises(profile_file.ProfileError, match="switch"):
        profile_file.parse("x", text)
