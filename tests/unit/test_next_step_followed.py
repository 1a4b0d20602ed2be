# SPDX-License-Identifier: GPL-2.0-or-later
"""Each state of the table of next steps: the step is typed, and the host is in another state then."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dnf_plugin_livepatch.base.config import Config
from dnf_plugin_livepatch.base.model import UNKNOWN, Offered
from dnf_plugin_livepatch.exposure.compute import OnOffer
from dnf_plugin_livepatch.host.cli import main as cli
from dnf_plugin_livepatch.host.files import atomic, guard_file, mailbox, notices
from dnf_plugin_livepatch.host.kernel import running
from dnf_plugin_livepatch.host.packages import installed, rpm_lock
from dnf_plugin_livepatch.host.packages.evr import compare
from dnf_plugin_livepatch.host.reconcile import loader, refusals
from dnf_plugin_livepatch.host.report import next_step, reboot, status
from dnf_plugin_livepatch.messages import catalogue
from tests.unit.support.fakehost import RELEASE, note, run
from tests.unit.support.reporting import Telling, stamp

NEVRA = "lp-2-1.x86_64"
KERNEL = "6.12.9-1"
REFUSE = "refuse:Unknown symbol in module"
World = Callable[[], object]


class Shell:
    """A host and its administrator. ``then`` is what other programs do when a command of theirs is typed.

    ``newer`` is the installed kernel that the next boot starts, ``updated`` the core packages, ``obstacle``
    is in the boot loader.
    """

    def __init__(self, host: Telling, patcher: pytest.MonkeyPatch) -> None:
        self.host, self.patcher = host, patcher
        self.then: World = lambda: None
        self.newer = ""
        self.updated: tuple[str, ...] = ()
        self.obstacle: reboot.Obstacle | None = None
        self.config = Config(transition_timeout=0)

    def step(self) -> next_step.Step:
        report = status.gather(self.host.paths, self.config)
        advice = reboot.advise(report, self.newer, self.updated, compare, self.obstacle)
        return next_step.step(report, advice)

    def run(self) -> bool:
        return run(self.host.host).ok

    def bad(self, offer: OnOffer | None, **more: Any) -> None:
        """Patch 2 is installed and of no use."""
        self.host.know((1000, "Important"), on_offer=offer)
        self.host.patch("2", **(more or {"behave": REFUSE}))
        assert not self.run()

    def boot(self) -> None:
        self.host.host.reboot()
        self.then()
        self.run()

    def type(self, line: str) -> None:
        """Do what the shell would do for ``line``."""
        for part in line.replace("; ", " && ").split(" && "):
            words = shlex.split(part)
            if words[0] == "livepatch":
                self.then() if words[1] in ("status", "reconcile", "unblock") else None
                cli.main(words[1:])
            elif words[:2] == ["systemctl", "reboot"]:
                self.boot()
            elif words[0] == "rmmod":
                assert self.host.host.rmmod(words[1])[0] == 0
            elif words[0] == "mv":
                os.rename(self.host.paths.at(words[1]), self.host.paths.at(words[2]))
            elif words[0] == "echo":
                assert not self.host.host.write(self.host.paths.at(words[2].lstrip(">")), words[1])
            elif words[0] == "dnf" and words[1] in ("reinstall", "downgrade", "upgrade"):
                self.then()
                self.run()  # the file trigger
            else:
                self.then()


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    host = Telling(str(tmp_path), monkeypatch)
    host.know((1000, "Important"), on_offer=OnOffer())
    yield Shell(host, monkeypatch)


def container(shell: Shell) -> None:
    shell.host.host.put("/run/systemd/container", "lxc\n")
    shell.host.patch("2")
    shell.run()

    def outside() -> None:  # whose /run is another one
        os.unlink(shell.host.paths.at("/run/systemd/container"))
        os.unlink(shell.host.paths.result)

    shell.then = outside


def moving(shell: Shell) -> None:
    shell.host.patch("2")
    mailbox.request(shell.host.paths)
    shell.then = shell.run


def load_hangs(shell: Shell) -> None:
    nevra = str(shell.host.patch("2").nevra)
    entry = guard_file.GuardEntry("loading", shell.host.host.boot_id, stamp(9999), modules=("lp_2",))
    guard_file.change(shell.host.paths, lambda guard: guard.entries.update({nevra: entry}))
    shell.host.host.put("/sys/module/lp_2/initstate", "coming\n")


def run_hangs(shell: Shell) -> None:
    """A reconcile holds the lock until systemd ends it."""
    shell.host.patch("2")
    lock, host = shell.host.paths.lock, shell.host.host
    host.put("/run/livepatch/lock", "")
    os.utime(lock, (time.time() - 9999,) * 2)
    seen = os.stat(lock)
    mark = f"{os.major(seen.st_dev):02x}:{os.minor(seen.st_dev):02x}:{seen.st_ino}"
    host.put("/proc/locks", f"1: FLOCK  ADVISORY  WRITE 1 {mark} 0 EOF\n")

    def restarted() -> None:
        host.put("/proc/locks", "")
        shell.run()

    shell.then = restarted


def transition(shell: Shell) -> None:
    theirs = shell.host.host.patch("7", name="theirs")
    shell.host.host.install(theirs)
    assert shell.host.host.insmod(theirs.modules[0].path)[0] == 0
    shell.host.host.install()
    shell.host.sysfs("theirs_7", "transition", "1")
    shell.then = lambda: shell.host.sysfs("theirs_7", "transition", "0")


def reboot_only(shell: Shell) -> None:
    patch = shell.host.patch("2")
    assert shell.run()
    name = patch.modules[0].name
    shell.host.host.put(f"/sys/module/{name}/notes/.note.gnu.build-id", note("dd" * 20))

    def own(guard: guard_file.Guard) -> None:
        guard.owned[name] = guard.owned[name]._replace(build_id="dd" * 20)

    guard_file.change(shell.host.paths, own)
    assert not shell.run(), "the package was exchanged for another build with the same name"


class Room:
    """The file system of /var."""

    f_flag, f_bfree, f_frsize, f_files, f_ffree = 0, 1 << 20, 4096, 100, 50


def disk(shell: Shell, **wrong: int) -> None:
    shell.bad(OnOffer())
    room = type("Full", (Room,), wrong)
    real = os.statvfs
    shell.patcher.setattr(os, "statvfs", lambda path: room if "/var" in str(path) else real(path))
    shell.then = lambda: [setattr(room, name, getattr(Room, name)) for name in wrong]


def disk_full(shell: Shell) -> None:
    disk(shell, f_bfree=0)


def disk_read_only(shell: Shell) -> None:
    disk(shell, f_flag=os.ST_RDONLY)


def records(shell: Shell) -> None:
    shell.host.patch("2")
    real = atomic.write_bytes

    def refuse(path: str, *words: Any, **more: Any) -> None:
        if path.endswith("guard.json"):
            raise OSError(5, "Input/output error", path)
        real(path, *words, **more)

    shell.patcher.setattr(atomic, "write_bytes", refuse)
    assert not shell.run()
    shell.then = lambda: shell.patcher.setattr(atomic, "write_bytes", real)


def guard(shell: Shell) -> None:
    shell.host.patch("2")
    shell.host.host.put("/var/lib/livepatch/guard.json", "{")
    assert not shell.run()


def database(shell: Shell) -> None:
    shell.host.patch("2")
    shell.host.host.put("/rpmdb-broken", "")
    assert not shell.run()
    shell.then = lambda: (
        os.path.exists(shell.host.paths.at("/rpmdb-broken"))
        and os.unlink(shell.host.paths.at("/rpmdb-broken"))
    )


def rpm_runs(shell: Shell) -> None:
    shell.host.patch("2")
    assert shell.run()
    shell.run()
    real = rpm_lock.wait_idle
    shell.patcher.setattr(rpm_lock, "wait_idle", lambda *_: False)
    shell.patcher.setattr(rpm_lock, "held", lambda *_: rpm_lock.wait_idle is not real)
    os.unlink(shell.host.paths.converged)
    assert not shell.run()
    shell.then = lambda: shell.patcher.setattr(rpm_lock, "wait_idle", real)


def profiles(shell: Shell) -> None:
    shell.host.host.put("/etc/livepatch/profiles.d/x.conf", "nonsense")
    shell.host.patch("2")
    assert not shell.run()
    shell.then = lambda: os.unlink(shell.host.paths.at("/etc/livepatch/profiles.d/x.conf"))


def rival(shell: Shell) -> None:
    shell.host.host.put("/sys/module/kcare/initstate", "live\n")
    shell.host.patch("2")
    assert not shell.run()


def foreign(shell: Shell) -> None:
    theirs = shell.host.host.patch("7", name="theirs")
    shell.host.host.install(theirs)
    assert shell.host.host.insmod(theirs.modules[0].path)[0] == 0
    shell.host.patch("2")
    assert not shell.run()


def name_taken(shell: Shell) -> None:
    patch = shell.host.patch("2")
    assert shell.host.host.insmod(patch.modules[0].path)[0] == 0
    shell.host.host.write(f"{shell.host.paths.klp}/lp_2/enabled", "0")
    assert not shell.run()


def in_the_way(shell: Shell) -> None:
    shell.host.patch("2", behave="stall")
    assert not shell.run()
    shell.then = lambda: shell.host.host.put("/no-stall", "")


def refusing(shell: Shell, answer: str) -> None:
    """The kernel refuses each load with ``answer`` until the world goes on."""
    real = loader._run
    shell.patcher.setattr(
        loader, "_run", lambda argv, *w, **k: (1, answer) if argv[0] == "insmod" else real(argv, *w, **k)
    )
    shell.then = lambda: shell.patcher.setattr(loader, "_run", real)


def try_again(shell: Shell) -> None:
    refusing(shell, "insmod: ERROR: could not insert module x.ko: Device or resource busy")
    shell.host.patch("2")
    assert not shell.run()


def incompatible(shell: Shell) -> None:
    refusing(shell, "insmod: ERROR: could not insert module x.ko: Invalid argument")
    line = "livepatch: Livepatch patch (lp_2) is not compatible with the already installed livepatches."
    shell.patcher.setattr(refusals.Moment, "lines", lambda _: (line,))
    shell.host.patch("2")
    assert not shell.run()


def signer(shell: Shell) -> None:
    shell.patcher.setattr(installed, "kernel_signer", lambda *_: "another")
    notices.change(shell.host.paths, lambda now: now._replace(unproved=(NEVRA,)))
    shell.host.patch("2")
    assert not shell.run()

    def named() -> None:  # a run of dnf that finds the repository named
        notices.change(shell.host.paths, lambda now: now._replace(unproved=()))
        shell.run()

    shell.then = named


def client(shell: Shell) -> None:
    shell.host.patch("2")
    failed = catalogue.problem("client-absent", nevra=NEVRA, client="uptrack", remedy="Install it.")
    kernel = running.running(shell.host.paths)
    result = mailbox.new_result("1-1", kernel, ok=False, problems=(failed,))
    atomic.write_json(shell.host.paths.result, mailbox.dump(result), mailbox.load)


def damaged(shell: Shell) -> None:
    patch = shell.host.patch("2")
    with open(patch.modules[0].path, "ab") as file:
        file.write(b"x")
    assert not shell.run()
    shell.then = lambda: shell.host.host.install(patch)


def bad_newer(shell: Shell) -> None:
    shell.bad(OnOffer(patch="lp-3-1.x86_64", builds=("lp-3-1.x86_64", NEVRA)))
    shell.then = lambda: shell.host.patch("3")


def bad_older(shell: Shell) -> None:
    shell.bad(OnOffer(builds=(NEVRA, "lp-1-1.x86_64")))
    shell.then = lambda: shell.host.patch("1")


def next_kernel(shell: Shell) -> None:
    """After the next boot the newer kernel runs, which has no live patch."""

    def starts() -> None:
        shell.host.host.install()
        shell.newer, shell.updated = "", ()
        shell.host.know()

    shell.newer, shell.then = KERNEL, starts


def bad_reboot(shell: Shell) -> None:
    shell.bad(OnOffer(builds=(NEVRA,)))
    next_kernel(shell)


def unhealthy(shell: Shell) -> None:
    shell.host.patch("2")
    well = shell.host.host.config
    shell.host.host.config = well._replace(health_check=("/bin/false",))
    assert not shell.run()
    shell.then = lambda: setattr(shell.host.host, "config", well)


def bad_alone(shell: Shell) -> None:
    shell.bad(OnOffer(builds=(NEVRA,)))


def accepted(shell: Shell) -> None:
    bad_alone(shell)
    shell.type(f"livepatch block {NEVRA}")

    def published() -> None:
        shell.host.know((1000, "Important"), on_offer=OnOffer(patch="lp-3-1.x86_64"))
        shell.host.patch("3")
        shell.run()

    shell.then = published


def not_loaded(shell: Shell) -> None:
    shell.host.patch("2")
    assert shell.run()
    shell.host.host.write(f"{shell.host.paths.klp}/lp_2/enabled", "0")
    shell.host.host.rmmod("lp_2")


def unloaded(shell: Shell) -> None:
    shell.host.patch("2")
    assert shell.run()
    shell.type("livepatch unload lp_2")


def offered(shell: Shell) -> None:
    found = Offered(RELEASE, NEVRA, "updates", stamp(60))
    notices.change(shell.host.paths, lambda now: now._replace(offered=found))

    def update() -> None:
        shell.host.patch("2")
        shell.run()

    shell.then = update


def boot_loader(shell: Shell) -> None:
    shell.newer = KERNEL
    shell.obstacle = reboot.Obstacle("the boot loader starts another", "grubby --set-default=/boot/new")
    shell.then = lambda: setattr(shell, "obstacle", None)


def boot_again(shell: Shell) -> None:
    next_kernel(shell)


def switched_off(shell: Shell) -> None:
    shell.host.host.put("/proc/cmdline", "root=/dev/vda livepatch.enable=0\n")
    shell.host.patch("2")
    assert shell.run()
    shell.then = lambda: shell.host.host.put("/proc/cmdline", "root=/dev/vda\n")


def is_open(shell: Shell) -> None:
    shell.host.know((1000, "Important"), on_offer=OnOffer(kernel=KERNEL))
    shell.then = lambda: next_kernel(shell)


def open_for_now(shell: Shell) -> None:
    def published() -> None:
        shell.host.know((1000, "Important"), on_offer=OnOffer(kernel=KERNEL))

    shell.then = published


def no_advisories(shell: Shell) -> None:
    shell.host.know(quality=UNKNOWN, read_in_vain=stamp(60), reason="no updateinfo")
    shell.then = lambda: shell.host.know()  # a repository that has them is enabled, and read


def unread(shell: Shell) -> None:
    shell.host.remove_cache()
    shell.then = lambda: shell.host.know()


def reboot_others(shell: Shell) -> None:
    shell.host.know()
    shell.updated = ("glibc",)
    shell.then = lambda: setattr(shell, "updated", ())


STATES: dict[str, Callable[[Shell], None]] = {
    "container": container,
    "moving": moving,
    "load-hangs": load_hangs,
    "run-hangs": run_hangs,
    "transition": transition,
    "reboot-only": reboot_only,
    "disk-full": disk_full,
    "disk-read-only": disk_read_only,
    "records": records,
    "guard": guard,
    "database": database,
    "rpm-runs": rpm_runs,
    "profiles": profiles,
    "rival": rival,
    "foreign": foreign,
    "name-taken": name_taken,
    "in-the-way": in_the_way,
    "try-again": try_again,
    "incompatible": incompatible,
    "signer": signer,
    "client": client,
    "damaged": damaged,
    "bad-newer": bad_newer,
    "bad-older": bad_older,
    "bad-reboot": bad_reboot,
    "unhealthy": unhealthy,
    "bad-alone": bad_alone,
    "accepted": accepted,
    "not-loaded": not_loaded,
    "unloaded": unloaded,
    "offered": offered,
    "boot-loader": boot_loader,
    "reboot": boot_again,
    "switched-off": switched_off,
    "open": is_open,
    "open-for-now": open_for_now,
    "no-advisories": no_advisories,
    "unread": unread,
    "reboot-others": reboot_others,
}
#: Nothing is to be done there.
ENDS = {"fine"}


def test_every_state_of_the_table_is_followed() -> None:
    assert set(next_step.TABLE) == {*STATES, *ENDS}


@pytest.mark.parametrize("state", STATES)
def test_the_step_that_is_typed_changes_the_state(shell: Shell, state: str) -> None:
    STATES[state](shell)
    found = shell.step()
    assert found.state == state, found
    assert "{" not in str(found) and str(found)
    if found.command:
        shell.type(found.command)
    else:
        shell.then()  # the note says what the host waits for
    after = shell.step()
    assert after.state != state, after
