# SPDX-License-Identifier: GPL-2.0-or-later
"""Thirteen nights of an administrator, from the symptom to the end, with man pages and the screen alone.

``night.types`` is a command of the administrator, and returns the screen. ``night.follows`` types what the
screen names under ``Next``. ``meanwhile`` is for others and for timers: the administrator does not see their
screens. Each night ends with the state of the kernel and the number of commands.
"""

from __future__ import annotations

import os
import re

import pytest

from tests.vm.support import loading
from tests.vm.support.administrator import Administrator
from tests.vm.support.demo_host import CONF, PATCHED, UNIT, Host
from tests.vm.support.loaded import REST, cmdline, configure, failed, in_force, patches, unused
from vm import image
from vm.qemu import Machine

GUARD = "/var/lib/livepatch/guard.json"
DATABASE = "/var/lib/rpm"
ONE, TWO = "livepatch_demo_1", "livepatch_demo_2"
#: A program that sleeps in pause(2), the function that the third patch replaces.
DATABASE_SERVER = (
    "systemd-run -q --unit db python3 -c 'import signal; signal.pause()';"
    " until grep -q pause /proc/$(systemctl show -P MainPID db)/stack; do sleep 0.3; done"
)
#: A task that no signal wakes: it sleeps in the function that the ninth patch replaces.
READER = (
    "insmod /root/lpgate.ko; systemd-run -q --unit reader cat /proc/gate;"
    " until grep -qs gate_show /proc/$(systemctl show -P MainPID reader)/stack; do sleep 0.3; done"
)


@pytest.fixture(scope="module")
def demo(upgraded: Host) -> Host:
    """The demo host with the first patch of the repository in force, and a newer kernel installed."""
    upgraded.reset(PATCHED)
    package = loading.rpm(loading.V1, upgraded.old)
    files = {f"{loading.V1.module}.ko": f"{os.path.dirname(package)}/{loading.V1.module}.ko"}
    files.update((f"product/{number}.rpm", path) for number, path in enumerate(image.project()))
    for name, path in files.items():
        with open(path, "rb") as file:
            done = upgraded.machine.run(f"install -D /dev/stdin /root/{name}", stdin=file.read())
        assert done.status == 0, done.err
    upgraded.machine.save("nights-demo")
    return upgraded


@pytest.fixture(scope="module")
def plain(booted: Host) -> Host:
    """The host with the first patch of a test's own packages in force, and its advisories read."""
    booted.reset()
    for patch in (loading.V1, loading.STALLS, loading.COVERS):
        loading.put(booted.machine, patch)
    loading.put_gate(booted.machine)
    booted.stage("kernel")
    booted.run("dnf --assumeno upgrade", status=1)
    booted.run(f"rpm -U --nosignature /root/{loading.V1.module}.rpm && ( {REST} )")
    booted.machine.save("nights-plain")
    return booted


@pytest.fixture
def night(demo: Host) -> Administrator:
    """A night on the demo host."""
    demo.reset("nights-demo")
    return Administrator(demo)


@pytest.fixture
def plain_night(plain: Host) -> Administrator:
    """A night on the host with the test's own packages."""
    plain.reset("nights-plain")
    return Administrator(plain)


@pytest.fixture
def first_night(booted: Host) -> Administrator:
    """A night on a host whose kernel nobody has patched yet."""
    booted.reset()
    return Administrator(booted)


def meanwhile(night: Administrator, command: str, status: int = 0) -> str:
    """Others type ``command``, or a timer runs it."""
    return night.host.run(command, status)


def machine(night: Administrator) -> Machine:
    return night.host.machine


def safe(night: Administrator, module: str) -> bool:
    """Whether the kernel has ``module`` alone in force, and keeps the secret of CVE-1900-0001."""
    return night.host.loaded() == [module] and not night.host.leaks()


def test_the_patch_that_killed_the_database(plain_night: Administrator) -> None:
    """The database hangs while a new patch is being loaded. The patch has to go, and must not come back.

    In the morning the database has been mended, and the patch may come.
    """
    night, new = plain_night, loading.STALLS
    configure(machine(night), transition_timeout=40)
    meanwhile(night, DATABASE_SERVER)
    moves = f"/sys/kernel/livepatch/{new.module}/transition"
    meanwhile(
        night, f"rpm -U --nosignature /root/{new.module}.rpm; until grep -qs 1 {moves}; do sleep 0.2; done"
    )

    screen = night.types("livepatch block lptest --reason 'killed the db'")
    assert f"{new.nevra} is blocked: killed the db" in screen
    assert f"in force: {loading.V1.nevra}" in screen and f"in force: {new.nevra}" not in screen
    assert patches(machine(night)) == {loading.V1.module: "10"}
    meanwhile(night, "systemctl stop db; livepatch reconcile")
    screen = night.types("livepatch status")
    assert "killed the db" in screen
    assert patches(machine(night)) == {loading.V1.module: "10"}, "also when nothing is in its way"

    screen = night.types("livepatch unblock lptest")
    assert f"in force: {new.nevra}" in screen and patches(machine(night)) == {new.module: "10"}
    screen = night.types("livepatch status")
    assert "killed the db" not in screen and "does not redirect" not in screen
    night.is_done(within=4)


def test_the_newest_patch_is_broken(night: Administrator) -> None:
    """The nightly upgrade brought a patch that was built for another kernel, and the pager goes.

    The patch before is in force and has to stay. The bad patch is blocked by its name, and the pager rests.
    """
    bad = f"{night.host.patch}-4-1.x86_64"
    night.host.stage("vermagic")
    meanwhile(night, "dnf -y -q upgrade", 5)

    assert bad in night.types("livepatch check", 2)
    screen = night.types(f"livepatch block {night.host.patch} --reason 'for another kernel'")
    assert f"{bad} is blocked" in screen and safe(night, ONE)
    assert night.types("livepatch check", 1).startswith("LIVEPATCH WARNING"), "open CVEs, and no failure"
    night.types("dnf upgrade")
    assert night.host.installed(night.host.patch) == "4-1" and safe(night, ONE)
    meanwhile(night, "livepatch reconcile")
    assert safe(night, ONE)
    night.is_done(within=4)


def test_the_guards_file_is_damaged(night: Administrator) -> None:
    """A bad disk has eaten half of the guard's file, and the nightly upgrade ends with a failure.

    The way out takes the blocks from the history, and puts the new patch in force.
    """
    meanwhile(night, f"truncate -s 30 {GUARD}")
    night.host.stage("v2")
    meanwhile(night, "dnf -y -q upgrade", 5)

    screen = night.types("livepatch status", 5)
    assert GUARD in screen
    night.follows(screen)
    assert safe(night, TWO) and not night.host.unit_failed()
    screen = night.types("livepatch history")
    assert re.search(rf"adopt +{night.host.patch}-1-1", screen)
    night.is_done(within=3)


def test_the_product_goes_and_comes_back(night: Administrator) -> None:
    """After a patch killed the database, the product has to go, and in the same night to come back.

    Is the host patched in between? And the patch that was blocked must not come with the product.
    """
    night.host.stage("v2")
    meanwhile(night, "dnf -y -q upgrade")
    meanwhile(night, f"livepatch block {night.host.patch} --reason 'killed the db'")

    screen = night.types("dnf remove livepatch-runtime")
    assert f"{ONE} stays in force until the next boot" in screen and "not found" not in screen
    assert "history and the blocks stay in /var/lib/livepatch" in screen
    night.types("dnf install /root/product/*.rpm")
    meanwhile(night, "livepatch reconcile; true")
    assert safe(night, ONE), "and never the one that was blocked"
    screen = night.types("livepatch status")
    assert "killed the db" in screen
    night.is_done(within=3)


def test_loading_was_switched_off_last_week(first_night: Administrator) -> None:
    """A scanner finds a CVE open although its patch is installed.

    Last week a colleague had patches installed and not loaded, and yesterday another one removed the plugin.
    """
    night = first_night
    configure(machine(night), "mode = install-only")
    mail = meanwhile(night, "dnf --assumeno upgrade", 1)
    assert re.search(
        r"Will close +: 0, because nothing is loaded: mode = install-only in livepatch.conf", mail
    )
    meanwhile(night, "dnf -y -q remove python3-dnf-plugin-livepatch")
    meanwhile(night, f"rpm -U {night.host.file} && ( {REST} )")
    assert night.host.loaded() == [], "what one colleague decided, the removal of the other does not change"

    screen = night.types("livepatch cves CVE-1900-0001", 100)
    assert f"{night.host.patch}-1-1.x86_64 would close it and is not in force" in screen
    assert "mode = install-only in livepatch.conf" in screen
    night.types(f"sed -i /^mode/d {CONF}")
    night.follows(screen)
    assert safe(night, ONE)
    assert "closed live" in night.types("livepatch cves CVE-1900-0001")
    night.is_done(within=4)


def test_the_unit_stays_failed_after_the_repair(night: Administrator) -> None:
    """The monitoring shows a failed unit: the database was down when the new patch had its health check.

    With the database up again, the patch comes into force and the unit is fine.
    """
    configure(machine(night), "health_check = /usr/bin/test -e /run/db.socket")
    night.host.stage("v2")
    meanwhile(night, "dnf -y -q upgrade", 5)
    assert safe(night, ONE)

    assert UNIT in night.types("systemctl --failed")
    screen = night.types("livepatch status", 5)
    assert "health check" in screen and f"{night.host.patch}-2-1.x86_64" in screen
    screen = night.types("dnf upgrade")
    assert "health check" in screen, "an upgrade says why it brings nothing"
    meanwhile(night, "touch /run/db.socket")
    night.types(f"livepatch unblock {night.host.patch}")
    assert safe(night, TWO)
    assert UNIT not in night.types("systemctl --failed")
    night.is_done(within=5)


def test_the_pager_looks_while_a_patch_is_loaded(plain_night: Administrator) -> None:
    """The monitoring warns during a load that waits for a task.

    The screen names the patch, since when and until when. Nothing has failed, and soon all is well.
    """
    night, new = plain_night, loading.COVERS
    meanwhile(night, READER)
    moves = f"/sys/kernel/livepatch/{new.module}/transition"
    meanwhile(
        night, f"rpm -U --nosignature /root/{new.module}.rpm; until grep -qs 1 {moves}; do sleep 0.2; done"
    )

    screen = night.types("livepatch check", 1)
    assert new.nevra in screen and "is being loaded since " in screen and " at the latest" in screen
    screen = night.types("livepatch status")
    assert "LOADING" in screen and "FAILED" not in screen and "Error" not in screen
    meanwhile(night, f"cat /proc/gate-open; until grep -qs 0 {moves}; do sleep 0.2; done; ( {REST} )")
    screen = night.follows(screen)
    assert "OK: every known CVE" in screen and "LOADING" not in screen
    assert in_force(machine(night), new)
    night.is_done(within=3)


def test_the_error_of_yesterday(night: Administrator) -> None:
    """Yesterday the rpm database was unreadable, until a colleague restored the copy.

    The unit still counts as failed tonight. The screen has no error of yesterday, and a reconcile ends the
    alarm.
    """
    meanwhile(night, f"cp -a {DATABASE} /root/rpm; rm {DATABASE}/rpmdb.sqlite-*; true")
    meanwhile(
        night, f"dd if=/dev/urandom of={DATABASE}/rpmdb.sqlite bs=4096 count=2 conv=notrunc status=none"
    )
    meanwhile(night, f"systemctl start {UNIT}", 1)
    meanwhile(night, f"rm -r {DATABASE} && mv /root/rpm {DATABASE}")

    assert UNIT in night.types("systemctl --failed")
    screen = night.types("livepatch status")
    assert "database" not in screen and "FAILED" not in screen and "Error" not in screen
    night.types("livepatch reconcile")
    assert UNIT not in night.types("systemctl --failed")
    assert safe(night, ONE)
    night.is_done(within=4)


def test_somebody_disabled_the_patch(night: Administrator) -> None:
    """The pager goes: somebody took the patch out through sysfs, and removed its module.

    The patch comes back, and the history has the time at which the patch was last seen in force.
    """
    folder = f"/sys/kernel/livepatch/{ONE}"
    meanwhile(night, f"echo 0 >{folder}/enabled; {unused(ONE)}; rmmod {ONE}")
    assert night.host.leaks()

    assert night.host.patch in night.types("livepatch check", 2)
    screen = night.types("livepatch status", 5)
    seen = re.findall(r"last seen in force at (\S+)\)", screen)
    night.follows(screen)
    assert safe(night, ONE)
    screen = night.types("livepatch history")
    assert seen and re.search(rf"vanish .*{seen[0]}", screen)
    night.is_done(within=4)


def test_a_patch_that_insmod_loaded(night: Administrator) -> None:
    """A colleague loaded a patch by insmod, which replaced the installed one, and went home.

    The screen names the commands that take the colleague's patch out. The installed patch comes back.
    """
    other = loading.V1.module
    transition = f"/sys/kernel/livepatch/{other}/transition"
    meanwhile(night, f"insmod /root/{other}.ko; until grep -qs 0 {transition}; do sleep 0.2; done")
    meanwhile(night, f"systemctl start {UNIT}; true")
    assert cmdline(machine(night)) == f"patched by {other}"

    screen = night.types("livepatch status", 5)
    assert other in screen and "loaded by others" in screen and f"rmmod {other}" in screen
    night.follows(screen)
    meanwhile(night, unused(other))
    night.types(f"rmmod {other}")
    night.types("livepatch reconcile")
    assert safe(night, ONE) and not night.host.unit_failed()
    assert re.search(rf"vanish .*{other}", night.types("livepatch history"))
    night.is_done(within=5)


def test_the_disk_is_full(night: Administrator) -> None:
    """A patch has to go at once, and a log has filled /var.

    The screen says so, and once the log is gone the patch goes.
    """
    # The agent of the tests needs room on the disk, so that /var has a file system of its own.
    meanwhile(
        night,
        "mount -t tmpfs var /mnt && cp -a /var/. /mnt && mount --bind /mnt /var"
        " && mount -o remount,size=$(($(du -sk /var | cut -f1) + 2048))k /var"
        " && { cat /dev/zero >/var/log/app.log; df /var | grep 100%; }",
    )

    screen = night.types(f"livepatch unload {ONE}", 1)
    assert "No space left" in screen and "Nothing was loaded" not in screen
    screen = night.types("livepatch doctor", 1)
    assert "full" in screen
    meanwhile(night, "rm /var/log/app.log")
    night.types(f"livepatch unload {ONE}")
    assert night.host.loaded() == [] and night.host.modules() == []
    assert "full" not in night.types("livepatch doctor")
    night.is_done(within=4)


def test_the_question_of_an_auditor(first_night: Administrator) -> None:
    """An auditor asks about three CVEs, on a host on which nobody has read the advisories."""
    night = first_night
    meanwhile(night, f"rpm -U {night.host.file} && ( {REST} )")

    assert f"closed live, by module {ONE}" in night.types("livepatch cves CVE-1900-0001")
    screen = night.types("livepatch cves CVE-1900-0003", 102)
    assert "CVE-1900-0003 is unknown" in screen
    night.follows(screen)
    screen = night.types("livepatch cves CVE-1900-0003", 100)
    assert f"kernel {night.host.new.version}" in screen
    assert "does not affect" in night.types("livepatch cves CVE-1999-9999")
    night.is_done(within=5)


def test_a_reboot_at_night(night: Administrator) -> None:
    """Two CVEs wait for a reboot, and tonight is the window. The network has to find the host patched."""
    screen = night.types("livepatch status")
    assert "systemctl reboot" in screen
    night.typed.append("systemctl reboot")
    night.host.reboot(night.host.new)

    screen = night.types("livepatch status")
    assert "OK: every known CVE" in screen and "Next           : nothing to do" in screen
    assert safe(night, ONE)
    network = night.host.moment("network-pre.target", "ActiveEnterTimestampMonotonic")
    assert 0 < night.host.patched_at(ONE) <= network / 1e6
    assert not failed(machine(night))
    night.is_done(within=3)
