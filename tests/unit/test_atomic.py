# SPDX-License-Identifier: GPL-2.0-or-later
"""Durable writing: the order of the system calls on which an intact file after a power cut depends."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any, Callable

import pytest

from dnf_plugin_livepatch.host.files import atomic


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The calls that write, sync or name something, in order, each with what it was done to."""
    made: list[str] = []

    def watch(name: str, real: Callable[..., Any]) -> None:
        def call(first: Any, *rest: Any, **more: Any) -> Any:
            what = os.readlink(f"/proc/self/fd/{first}") if isinstance(first, int) else first
            done = real(first, *rest, **more)
            made.append(f"{name} {os.path.basename(what)}".replace(str(os.getpid()), "PID"))
            return done

        monkeypatch.setattr(os, name, call)

    for name in ("write", "fsync", "rename", "unlink"):
        watch(name, getattr(os, name))
    return made


def test_a_file_is_synced_before_it_gets_its_name_and_its_folder_after(
    tmp_path: Path, calls: list[str]
) -> None:
    path = tmp_path / "state" / "guard.json"
    atomic.write_bytes(str(path), b"new")
    assert calls == [
        "write .guard.json.PID",
        "fsync .guard.json.PID",
        "rename .guard.json.PID",
        "fsync state",
    ]
    assert path.read_bytes() == b"new"


def test_a_refused_write_leaves_the_old_file_and_no_other(
    tmp_path: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "guard.json"
    path.write_bytes(b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError):
        atomic.write_bytes(str(path), b"new")
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["guard.json"]
    assert not any(call.startswith("rename") for call in calls)


def test_a_file_that_others_wrote_is_synced_with_its_folder(tmp_path: Path, calls: list[str]) -> None:
    path = tmp_path / "module.ko"
    path.write_bytes(b"x")
    atomic.sync_file(str(path))
    assert calls == ["fsync module.ko", f"fsync {tmp_path.name}"]
    atomic.sync_file(str(tmp_path / "absent"))


@pytest.mark.parametrize(
    "text, fault",
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ("{}", "schema None"),
        ('{"schema": 1, "a": %s}' % ("9" * 4000), "not JSON: a number of 4000 digits"),
        ('{"schema": %s}' % ("1" * 21), "not JSON: a number of 21 digits"),
        ('{"schema": 1, "a": "\ud800"}', "not JSON"),
    ],
)
def test_what_cannot_be_trusted_is_broken_and_named(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "guard.json"
    assert atomic.read_json(str(path)) is None
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(atomic.Broken, match=f"guard.json: {fault}"):
        atomic.read_json(str(path))


@pytest.mark.parametrize("name", ["request", "journal-private.jsonl"])
def test_what_killed_writers_left_goes_and_what_living_ones_write_stays(tmp_path: Path, name: str) -> None:
    with subprocess.Popen(["/bin/true"]) as dead, subprocess.Popen(["/bin/sleep", "60"]) as alive:
        dead.wait()
        numbers = {"dead": dead.pid, "alive": alive.pid, "first": 1, "huge": 9999999999}
        for pid in numbers.values():
            (tmp_path / f".{name}.{pid}").write_text("half")
        (tmp_path / f".other.{dead.pid}").write_text("another file's")
        atomic.write_bytes(str(tmp_path / name), b"whole")
        alive.kill()
    expected = {name, f".{name}.{alive.pid}", f".{name}.1", f".other.{dead.pid}"}
    assert set(os.listdir(tmp_path)) == expected


@pytest.mark.parametrize("name", ["notices.json", "guard.json"])
@pytest.mark.parametrize("fault", ["{name}: x is no number", "it holds no {name}"])
def test_a_file_that_is_not_written_is_named_once(tmp_path, name, fault):
    def read(data):
        raise atomic.Broken(fault.format(name=name))

    with pytest.raises(OSError) as caught:
        atomic.write_json(str(tmp_path / name), {}, read)
    text = caught.value.strerror
    assert text.startswith(f"{tmp_path}/{name} is not written, ")
    assert text.endswith(": x is no number" if fault.startswith("{") else f": it holds no {name}")
