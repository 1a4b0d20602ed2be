# SPDX-License-Identifier: GPL-2.0-or-later
"""doctor knows every state in which a run of reconcile can leave a host."""

from __future__ import annotations

import os
import tempfile
from typing import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnf_plugin_livepatch.base.config import Config
from dnf_plugin_livepatch.base.model import Problem
from dnf_plugin_livepatch.host.files import guard_file
from dnf_plugin_livepatch.host.kernel import running
from dnf_plugin_livepatch.host.reconcile.run import Refused
from dnf_plugin_livepatch.host.report import doctor, status
from tests.unit.support.fakehost import QUICK, run
from tests.unit.support.reporting import Telling

BEHAVIOURS = (
    "",
    "stall",
    "crash",
    "liar",
    "oops",
    "refuse:Unknown symbol in module",
    "refuse:Required key not available",
    "refuse:Operation not permitted",
    "refuse:Invalid module format",
    "refuse:Device or resource busy",
    "refuse:Cannot allocate memory",
)


def errors(host: Telling) -> list[Problem]:
    return [found for found in doctor.examine(host.paths) if found.severity == "error"]


def _foreign(host: Telling, number: int) -> None:
    """Somebody loads a patch of their own by insmod."""
    made = host.host.patch(str(number), name="theirs")
    for path, data in host.host._files[str(made.nevra)]:
        host.host.put("/root" + path, data)
        host.host.insmod(host.paths.at("/root" + path))


def _disable(host: Telling, number: int) -> None:
    for module in host.host.running()[:1]:
        host.host.write(f"{host.paths.klp}/{module}/enabled", "0")


def _damage(host: Telling, number: int) -> None:
    for patch in host.host.packages().patches:
        host.host.put(patch.modules[0].path[len(host.paths.at("")) :], "x" * number)


def _database(host: Telling, number: int) -> None:
    host.host.put("/rpmdb-broken", "")


def _guard(host: Telling, number: int) -> None:
    host.host.put("/var/lib/livepatch/guard.json", "[]")


def _block(host: Telling, number: int) -> None:
    for patch in host.host.packages().patches:
        guard_file.block(host.paths, str(patch.nevra), "a test", ("admin", "guard")[number % 2])


def _unload(host: Telling, number: int) -> None:
    for patch in host.host.packages().patches:
        guard_file.keep_unloaded(host.paths, str(patch.nevra), "")


def _reboot(host: Telling, number: int) -> None:
    host.host.reboot(clean=bool(number % 2))


EVENTS: tuple[Callable[[Telling, int], None], ...] = (
    _foreign,
    _disable,
    _damage,
    _database,
    _guard,
    _block,
    _unload,
    _reboot,
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("install"), st.sampled_from(BEHAVIOURS)),
        st.tuples(st.just("event"), st.sampled_from(EVENTS)),
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_doctor_is_not_content_where_reconcile_is_not(steps: list[tuple[str, object]]) -> None:
    """A run that is not ok, and a status that is FAILED, each mean an error of doctor."""
    with tempfile.TemporaryDirectory(dir=QUICK) as root, pytest.MonkeyPatch.context() as patcher:
        host = Telling(root, patcher)
        for number, (kind, what) in enumerate(steps, 1):
            if kind == "install":
                host.patch(str(number), behave=str(what))
            else:
                try:
                    what(host, number)  # type: ignore[operator]
                except ValueError:
                    continue  # the guard's file is broken already
            try:
                good = run(host.host).ok
            except Refused:
                good = False
            assert good or errors(host), steps
            assert status.gather(host.paths, Config()).state != "failed" or errors(host), steps


def test_a_patch_that_was_disabled_in_sysfs(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Telling(str(tmp_path), monkeypatch)
    host.patch("1")
    assert run(host.host).ok and not errors(host)
    _disable(host, 0)
    assert [found.id for found in errors(host)] == ["module-not-in-force"]


def test_a_foreign_patch_is_known_before_a_run(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Telling(str(tmp_path), monkeypatch)
    host.patch("1")
    _foreign(host, 9)
    assert "foreign-patch" in [found.id for found in errors(host)]


@pytest.mark.parametrize(
    "flag, blocks, found", [(os.ST_RDONLY, 9999, "state-read-only"), (0, 0, "state-full")]
)
def test_the_disk_of_the_records(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch, flag: int, blocks: int, found: str
) -> None:
    host = Telling(str(tmp_path), monkeypatch)

    class Room:
        f_flag, f_bfree, f_frsize, f_files, f_ffree = flag, blocks, 4096, 0, 0

    real = os.statvfs
    monkeypatch.setattr(os, "statvfs", lambda path: Room if "/var" in path else real(path))
    assert [problem.id for problem in errors(host)] == [found]


@pytest.mark.parametrize("content", ["", "x"])
def test_a_damaged_file_of_a_patch_in_force_is_told_of_the_next_boot(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    host = Telling(str(tmp_path), monkeypatch)
    patch = host.patch("1")
    assert run(host.host).ok
    with open(patch.modules[0].path, "w", encoding="ascii") as file:
        file.write(content)
    (found,) = errors(host)
    assert found.id == "not-at-next-boot" and found.subject == str(patch.nevra)
    assert "is in force, and the next boot would not load the patch: Module " in found.text and found.remedy
    assert running.running(host.paths).release in found.text
