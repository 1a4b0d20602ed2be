# SPDX-License-Identifier: GPL-2.0-or-later
"""An oops in a live patch is found whenever it comes: while it loads, after a killed run, as it settles."""

import pytest

from dnf_plugin_livepatch.host.files import atomic, guard_file
from dnf_plugin_livepatch.host.kernel import oops as evidence
from dnf_plugin_livepatch.host.reconcile import health, loader, settle
from tests.unit.support.fakehost import Host, ids, run

OOPS = """\
4,1,{at},-;BUG: kernel NULL pointer dereference, address: 0000000000000000
4,2,{at},-;RIP: 0010:cmdline_proc_show+0x5/0x30 [{module}]
4,3,{at},-;---[ end trace 0000000000000000 ]---
"""


class Killed(BaseException):
    """Nothing of the process is left to go on."""


@pytest.fixture
def host(tmp_path, monkeypatch):
    """Patch 1 is good and in force, patch 2 installed."""
    found = Host(str(tmp_path)).create().attach(monkeypatch)
    found.install(found.patch("1"))
    run(found)
    later(found, 700)
    settle.main(found.paths)
    found.install(found.patch("2"))
    return found


def later(host, seconds):
    host.put("/proc/uptime", f"{seconds}.0 1.0\n")


def oops(host, seconds):
    host.put("/dev/kmsg", OOPS.format(at=seconds * 1_000_000, module="lp_2"))
    host.die()


def taken_back(host):
    return host.running() == ["lp_1"] and any("lp-2" in nevra for nevra in guard_file.blocked(host.paths))


def test_while_it_is_being_loaded(host, monkeypatch):
    real = loader.settle

    def slow(*args, **named):
        oops(host, 710)
        later(host, 720)
        return real(*args, **named)

    monkeypatch.setattr(loader, "settle", slow)
    assert "oops-while-loading" in ids(run(host)) and taken_back(host)


def test_while_the_health_checks_run(host, monkeypatch):
    def check(config):
        oops(host, 715)
        later(host, 730)
        return health.Answer()

    monkeypatch.setattr(health, "ask", check)
    assert "oops-while-loading" in ids(run(host)) and taken_back(host)


def test_trouble_while_it_is_being_loaded_is_told(host, monkeypatch):
    def check(config):
        host.put("/proc/sys/kernel/tainted", "512\n")
        return health.Answer()

    monkeypatch.setattr(health, "ask", check)
    run(host)
    record = guard_file.read(host.paths).entries[str(host.patch("2").nevra)]
    assert record.state == "settling" and record.taint == 0, "the watch finds the difference"


def test_between_a_killed_run_and_the_next_look(host):
    def hook(what):
        if what == "after insmod":
            raise Killed

    atomic.hook = hook
    with pytest.raises(Killed):
        run(host)
    atomic.hook = None
    oops(host, 715)
    later(host, 760)
    settle.main(host.paths)
    assert taken_back(host)


def test_from_before_the_load_is_another_ones(host):
    oops(host, 600)
    assert run(host).ok and host.running() == ["lp_2"]


@pytest.mark.parametrize("mark, found", [("", True), ("? ", False)])
def test_what_an_earlier_call_left_on_the_stack_is_no_evidence(mark, found):
    lines = ["BUG: unable to handle page fault", "Call Trace:", f" {mark}lp_show+0x5/0x30 [lp_2]"]
    assert bool(evidence.oops_in(lines, ["lp_2"])) is found


def test_the_last_good_one_is_kept_before_a_newer_that_nobody_knows(host):
    run(host)
    host.install(host.patch("3"))
    run(host)
    kept = [item.nevra for item in guard_file.read(host.paths).copies]
    assert kept == [str(host.patch("3").nevra), str(host.patch("1").nevra)]
    for version in ("3", "2"):
        guard_file.block(host.paths, str(host.patch(version).nevra), "bad", "guard")
    run(host)
    assert host.running() == ["lp_1"]
