# SPDX-License-Identifier: GPL-2.0-or-later
"""The load before the network, from the list of the boot before."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dnf_plugin_livepatch.base.model import Withdrawal
from dnf_plugin_livepatch.host.files import guard_file, journal, notices
from dnf_plugin_livepatch.host.kernel import running
from dnf_plugin_livepatch.host.packages import installed, inventory
from dnf_plugin_livepatch.host.reconcile import adopt, converge
from tests.unit.support.fakehost import ids, run
from tests.unit.support.reporting import Telling


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Telling:
    """A host with patch 1 in force and known, after which nothing may ask the database unless told."""
    host = Telling(str(tmp_path), monkeypatch)
    host.patch("1", "CVE-2026-1000")
    assert run(host.host).ok
    inventory.refresh(host.paths, running.running(host.paths))
    return host


def boot(host: Telling, monkeypatch: pytest.MonkeyPatch, clean: bool = True) -> list[str]:
    """The next boot, before the network; returns the questions to the rpm database."""
    host.host.reboot(clean=clean)
    host.host.put("/run/livepatch/booting", "")
    asked: list[str] = []
    for name in ("read", "signer", "holds", "folder"):
        real = getattr(installed, name)

        def count(*words: object, real: Callable[..., object] = real, name: str = name) -> object:
            asked.append(name)
            return real(*words)

        monkeypatch.setattr(installed, name, count)
    return asked


def test_the_list_is_loaded_without_the_database(host: Telling, monkeypatch: pytest.MonkeyPatch) -> None:
    before = journal.read(host.paths)[-1]
    asked = boot(host, monkeypatch)
    result = run(host.host)
    assert result.ok and host.host.running() == ["lp_1"] and asked == []
    assert [row.nevra for row in result.in_force] == ["lp-1-1.x86_64"]
    entry = journal.read(host.paths)[-1]
    assert entry.event == "load" and entry.facts["signer"] == before.facts["signer"] == "the test"
    assert guard_file.read(host.paths).entries["lp-1-1.x86_64"].state == "settling"
    inventory.refresh(host.paths, running.running(host.paths))
    assert asked == [], "the copy of this boot is there"
    os.unlink(host.paths.booting)
    assert run(host.host).ok and "read" in asked, "the whole run comes later"


def installs(host: Telling) -> None:
    host.patch("2", "CVE-2026-1000")


def changes_the_kernel(host: Telling) -> None:
    host.host.put("/sys/kernel/notes", "")


def changes_a_profile(host: Telling) -> None:
    host.host.put("/etc/livepatch/profiles.d/x.conf", "")


def tears_the_list(host: Telling) -> None:
    host.host.put("/var/lib/livepatch/inventory.json", '{"schema": 1, "patches": [')


def loses_the_list(host: Telling) -> None:
    os.unlink(host.paths.boot_inventory)


def lies_in_the_list(host: Telling) -> None:
    with open(host.paths.boot_inventory, encoding="ascii") as file:
        data = json.load(file)
    data["patches"][0]["nevra"] = ["../x", "0", "1", "1", "x86_64"]
    host.host.put("/var/lib/livepatch/inventory.json", json.dumps(data))


def opens_the_list_to_others(host: Telling) -> None:
    os.chmod(host.paths.boot_inventory, 0o666)


def links_the_list(host: Telling) -> None:
    os.rename(host.paths.boot_inventory, host.paths.at("/elsewhere"))
    os.symlink(host.paths.at("/elsewhere"), host.paths.boot_inventory)


def lies_about_a_digest(host: Telling) -> None:
    with open(host.paths.boot_inventory, encoding="ascii") as file:
        data = json.load(file)
    data["patches"][0]["modules"][0]["digest"] = "0" * 64
    host.host.put("/var/lib/livepatch/inventory.json", json.dumps(data))


CHANGES = (
    installs,
    changes_the_kernel,
    changes_a_profile,
    tears_the_list,
    loses_the_list,
    lies_in_the_list,
    opens_the_list_to_others,
    links_the_list,
    lies_about_a_digest,
)


@pytest.mark.parametrize("change", CHANGES)
def test_a_list_that_may_be_untrue_is_left_aside(
    host: Telling, monkeypatch: pytest.MonkeyPatch, change: Callable[[Telling], None]
) -> None:
    change(host)
    asked = boot(host, monkeypatch)
    change(host) if change is changes_the_kernel else None
    run(host.host)
    assert "read" in asked
    assert host.host.running() == (["lp_2"] if change is installs else ["lp_1"])


def test_a_package_whose_scriptlet_loads_is_asked_with_the_database(
    host: Telling, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.host.install(host.host.patch("1")._replace(scriptlet=True))
    assert run(host.host).ok
    inventory.refresh(host.paths, running.running(host.paths))
    asked = boot(host, monkeypatch)
    assert run(host.host).ok and "read" in asked and host.host.running() == ["lp_1"]


def test_a_host_without_patches_asks_no_database(host: Telling, monkeypatch: pytest.MonkeyPatch) -> None:
    host.host.install()
    assert run(host.host).ok and host.host.running() == []
    inventory.refresh(host.paths, running.running(host.paths))
    asked = boot(host, monkeypatch)
    assert run(host.host).ok and asked == [] and host.host.running() == []
    os.unlink(host.paths.booting)
    assert run(host.host).ok and "read" in asked


def test_the_records_are_left_to_the_whole_run(host: Telling, monkeypatch: pytest.MonkeyPatch) -> None:
    """No package is forgotten, adopted or called vanished by a run that has not read the database."""
    asked = boot(host, monkeypatch)
    done: list[str] = []
    for module, name in ((guard_file, "forget"), (adopt, "adopt"), (converge, "_note_vanished")):
        real = getattr(module, name)

        def note(*words: object, real: Callable[..., object] = real, name: str = name) -> object:
            done.append(name)
            return real(*words)

        monkeypatch.setattr(module, name, note)
    guard_file.keep_unloaded(host.paths, "gone-1-1.x86_64", "")
    assert run(host.host).ok and done == [] and asked == []
    assert "gone-1-1.x86_64" in guard_file.read(host.paths).unloaded
    os.unlink(host.paths.booting)
    assert run(host.host).ok and done == ["forget", "_note_vanished", "adopt"]
    assert "gone-1-1.x86_64" not in guard_file.read(host.paths).unloaded


@pytest.mark.parametrize("quiet", [False, True])
def test_the_whole_run_is_never_taken_for_one_with_nothing_to_do(
    host: Telling, monkeypatch: pytest.MonkeyPatch, quiet: bool
) -> None:
    if quiet:
        guard_file.block(host.paths, "lp-1-1.x86_64", "by hand")
    asked = boot(host, monkeypatch)
    assert run(host.host).ok and asked == [] and host.host.running() == ([] if quiet else ["lp_1"])
    os.unlink(host.paths.booting)
    assert run(host.host).ok and "read" in asked


def blocks(host: Telling) -> None:
    guard_file.block(host.paths, "lp-1-1.x86_64", "by hand")


def unloads(host: Telling) -> None:
    guard_file.keep_unloaded(host.paths, "lp-1-1.x86_64", "")


def damages(host: Telling) -> None:
    (patch,) = host.host.packages().patches
    with open(patch.modules[0].path, "ab") as file:
        file.write(b"x")


def switches_off(host: Telling) -> None:
    host.host.put("/proc/cmdline", "root=/dev/vda livepatch.enable=0\n")


def only_installs(host: Telling) -> None:
    host.host.config = host.host.config._replace(mode="install-only")


def spoils_the_guard(host: Telling) -> None:
    host.host.put("/var/lib/livepatch/guard.json", "{")


def withdraws(host: Telling) -> None:
    host.host.config = host.host.config._replace(on_withdrawn="revert")
    gone = Withdrawal("lp-1-1.x86_64", "it is bad", "updates", True)
    notices.change(host.paths, lambda now: now._replace(withdrawn=(gone,)))


def loads_a_rival(host: Telling) -> None:
    host.host.put("/sys/module/kcare/initstate", "live\n")


KEEP_OUT = (
    blocks,
    unloads,
    damages,
    switches_off,
    only_installs,
    spoils_the_guard,
    withdraws,
    loads_a_rival,
)


@pytest.mark.parametrize("keep_out", KEEP_OUT)
def test_nothing_is_loaded_that_a_whole_run_would_not_load(
    host: Telling, monkeypatch: pytest.MonkeyPatch, keep_out: Callable[[Telling], None]
) -> None:
    keep_out(host)
    boot(host, monkeypatch)
    keep_out(host) if keep_out is loads_a_rival else None
    early = ids(run(host.host))
    kept = host.host.running()
    assert kept == [] or keep_out is damages
    host.host.reboot()
    keep_out(host) if keep_out is loads_a_rival else None
    assert ids(run(host.host)) == early and host.host.running() == kept


def test_the_verdict_on_the_boot_before_comes_first(host: Telling, monkeypatch: pytest.MonkeyPatch) -> None:
    boot(host, monkeypatch, clean=False)
    assert run(host.host).ok, "one power cut blocks nothing"
    boot(host, monkeypatch, clean=False)
    assert host.host.running() == [] and not run(host.host).ok
    assert "lp-1-1.x86_64" in guard_file.blocked(host.paths) and host.host.running() == []


def test_a_run_after_the_boot_asks_the_database(host: Telling, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = boot(host, monkeypatch)
    os.unlink(host.paths.booting)
    assert run(host.host).ok and "read" in asked


def test_both_runs_of_a_boot_have_the_same_conditions() -> None:
    folder = Path(__file__).parents[2] / "systemd"

    def conditions(unit: str) -> list[str]:
        lines = (folder / f"{unit}.service").read_text().splitlines()
        return [line for line in lines if line.startswith("Condition")]

    assert conditions("livepatch-boot") == conditions("livepatch-late") != []
