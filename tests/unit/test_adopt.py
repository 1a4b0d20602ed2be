# SPDX-License-Identifier: GPL-2.0-or-later
"""Modules that a package's own scriptlet loaded go with the package; what else others loaded does not."""

import os
import shutil

import pytest

from dnf_plugin_livepatch.host.files import guard_file, journal
from dnf_plugin_livepatch.host.reconcile import run as reconcile
from dnf_plugin_livepatch.host.reconcile import settle
from dnf_plugin_livepatch.host.report import doctor
from tests.unit.support.fakehost import RELEASE, Host, ids, note, run


@pytest.fixture
def host(tmp_path, monkeypatch):
    return Host(str(tmp_path)).create().attach(monkeypatch)


def theirs(host, version):
    """A package as Red Hat's: its scriptlet loads the module as soon as it is installed."""
    return host.patch(version, vendor=True)._replace(scriptlet=True)


def arrive(host, patch):
    host.install(patch)
    host.insmod(patch.modules[0].path)
    return run(host)


def test_it_goes_when_its_package_goes(host):
    v1 = theirs(host, "1")
    result = arrive(host, v1)
    assert result.ok and not result.actions and result.in_force[0].nevra == str(v1.nevra)
    (entry,) = journal.read(host.paths)
    assert (entry.event, entry.facts["module"], entry.facts["nevra"]) == ("load", "lp_1", str(v1.nevra))
    assert run(host).ok and len(journal.read(host.paths)) == 1, "once"
    host.install()
    assert run(host).ok and host.running() == []


def test_the_older_one_takes_its_place_after_a_downgrade(host):
    v1, v2 = theirs(host, "1"), theirs(host, "2")
    arrive(host, v1)
    assert arrive(host, v2).ok and host.running() == ["lp_2"]
    host.install(v1)
    result = run(host)
    assert result.ok and host.running() == ["lp_1"], result
    host.install()
    assert run(host).ok and host.running() == []


def test_an_oops_in_it_takes_it_out(host):
    v1 = theirs(host, "1")
    arrive(host, v1)
    host.put("/dev/kmsg", "4,1,12000000,-;BUG: x\n4,2,12000000,-; f+0x1/0x2 [lp_1]\n")
    host.die()
    settle.main(host.paths)
    assert host.running() == [] and str(v1.nevra) in guard_file.blocked(host.paths)


def test_it_may_be_unloaded_by_hand(host):
    arrive(host, theirs(host, "1"))
    assert reconcile.unload(host.paths, host.config, "lp_1").ok
    assert host.running() == []


def test_the_next_boot_asks_anew(host):
    v1 = theirs(host, "1")
    arrive(host, v1)
    host.reboot()
    host.insmod(v1.modules[0].path)
    assert run(host).ok
    assert guard_file.read(host.paths).ours(host.boot_id)["lp_1"].nevra == str(v1.nevra)


@pytest.mark.parametrize("other", ["build", "mode"])
def test_what_is_not_known_to_be_the_packages_stays(host, other):
    v1 = theirs(host, "1")
    host.install(v1)
    host.insmod(v1.modules[0].path)
    if other == "build":
        host.put(f"/sys/module/{v1.modules[0].name}/notes/.note.gnu.build-id", b"")
    if other == "mode":
        host.config = host.config._replace(mode="install-only")
    run(host)
    assert guard_file.read(host.paths).owned == {}
    host.install()
    run(host)
    assert host.running() == ["lp_1"]


def lost(host):
    """The administrator followed the advice to remove a spoiled guard.json."""
    os.unlink(host.paths.guard)


@pytest.mark.parametrize("vendor", [False, True])
def test_a_lost_record_is_no_dead_end(host, vendor):
    """The next patch arrives before anything has looked: the kept copy and the history know the first."""
    v1, v2 = host.patch("1", vendor=vendor), host.patch("2", vendor=vendor)
    host.install(v1)
    assert run(host).ok
    lost(host)
    host.install(v2)
    result = run(host)
    assert result.ok and host.running() == ["lp_2"] and host.modules() == ["lp_2"], result
    assert [(row.verb, row.nevra) for row in result.actions] == [
        ("adopt", str(v1.nevra)),
        ("replace", str(v2.nevra)),
    ]
    guard_file.block(host.paths, str(v2.nevra), "for a test")
    assert run(host) and host.running() == ["lp_1"], "the copy of the one before is not forgotten"


def test_a_lost_record_of_what_is_installed_is_made_anew(host):
    v1 = host.patch("1", "lp_a", "lp_b", replace=False)
    host.install(v1)
    assert run(host).ok
    lost(host)
    result = run(host)
    assert result.ok and sorted(guard_file.read(host.paths).owned) == ["lp_a", "lp_b"]
    assert reconcile.unload(host.paths, host.config, "lp_b").ok and host.running() == []


def test_without_history_a_copy_is_of_no_known_package(host):
    v1, v2 = host.patch("1"), host.patch("2")
    host.install(v1)
    run(host)
    lost(host)
    os.unlink(host.paths.journal)
    host.install(v2)
    assert "foreign-patch" in ids(run(host)) and host.running() == ["lp_1"]


def test_another_build_under_the_name_of_a_copy_stays_theirs(host):
    v1, v2 = host.patch("1"), host.patch("2")
    host.install(v1)
    run(host)
    lost(host)
    host.put("/sys/module/lp_1/notes/.note.gnu.build-id", note("ee" * 20))
    host.install(v2)
    assert "foreign-patch" in ids(run(host)) and host.running() == ["lp_1"]


def test_it_is_asked_for_its_health_kept_and_watched_like_any_other(host):
    v1, v2 = theirs(host, "1"), theirs(host, "2")
    arrive(host, v1)
    assert guard_file.read(host.paths).entries[str(v1.nevra)].state == "settling"
    host.config = host.config._replace(health_check=("/bin/false",))
    result = arrive(host, v2)
    assert str(v2.nevra) in guard_file.blocked(host.paths), result
    assert host.running() == ["lp_1"], "the kept copy of the one before"


def finds(host):
    """The ids that doctor finds about loaded modules, and those of a run; the same."""
    told = {row.id for row in doctor.examine(host.paths)} & {"foreign-patch", "kept-out-by-hand"}
    found = set(ids(run(host))) & {"foreign-patch", "kept-out-by-hand"}
    assert told == found
    return found


def out_by_hand(host, module):
    shutil.rmtree(f"{host.paths.klp}/{module}")
    host.rmmod(module)


@pytest.mark.parametrize("boot", [False, True])
def test_a_copy_that_a_person_goes_back_to_stays_theirs(host, boot):
    for version in "12":
        host.install(host.patch(version))
        assert run(host).ok
    if boot:
        host.reboot()
        assert run(host).ok
    assert host.running() == ["lp_2"]
    out_by_hand(host, "lp_2")
    host.insmod(f"{host.paths.kept_dir(RELEASE)}/lp_1.ko")
    assert finds(host) == {"foreign-patch"} and host.running() == ["lp_1"]
    assert "lp_1" not in guard_file.read(host.paths).owned and finds(host) == {"foreign-patch"}


@pytest.mark.parametrize("way", ["unload", "block"])
def test_what_is_kept_out_and_loaded_by_hand_stays_theirs(host, way):
    v1 = host.patch("1")
    host.install(v1)
    assert run(host).ok
    if way == "unload":
        assert reconcile.unload(host.paths, host.config, "lp_1").ok
    else:
        guard_file.block(host.paths, str(v1.nevra), "why")
        assert run(host).ok
    assert host.running() == []
    host.insmod(v1.modules[0].path)
    assert finds(host) == {"kept-out-by-hand"} and host.running() == ["lp_1"]
    guard_file.unblock(host.paths, str(v1.nevra))
    assert finds(host) == set() and guard_file.read(host.paths).owned["lp_1"].nevra == str(v1.nevra)


def test_a_block_takes_out_what_only_lost_its_record(host):
    v1 = host.patch("1")
    host.install(v1)
    assert run(host).ok
    lost(host)
    guard_file.block(host.paths, str(v1.nevra), "why")
    assert finds(host) == set() and host.running() == []


def test_doctor_finds_nothing_in_the_way_of_what_a_run_takes_over(host):
    host.install(host.patch("1"))
    assert run(host).ok
    lost(host)
    host.install(host.patch("2"))
    assert finds(host) == set() and host.running() == ["lp_2"]
