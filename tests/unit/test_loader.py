# SPDX-License-Identifier: GPL-2.0-or-later
"""The loader with programs that stand in for insmod and rmmod, run as the real ones are."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnf_plugin_livepatch.base.paths import Paths
from dnf_plugin_livepatch.host.kernel import livepatches, tasks
from dnf_plugin_livepatch.host.reconcile import loader
from tests.unit.support.fakehost import module_file, note
from tests.unit.support.signatures import KEYS, signed

BUILD_ID = "ab" * 20


class Tree:
    """A folder with a sysfs and a PATH whose insmod and rmmod are shell scripts."""

    def __init__(self, top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.top, self.paths = top, Paths(str(top))
        (top / "bin").mkdir()
        for folder in (self.paths.klp, self.paths.modules):
            os.makedirs(folder)
        monkeypatch.setattr(loader, "PROGRAMS", f"{top}/bin:/usr/bin:/bin")
        monkeypatch.setattr(loader, "REMOVE_TIMEOUT", 0.05)
        monkeypatch.setattr(loader, "REVERSE_TIMEOUT", 0.05)
        self.script("rmmod", f'rm -r "{self.paths.modules}/$1"')

    def script(self, name: str, text: str) -> None:
        path = self.top / "bin" / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def put(self, path: str, data: str | bytes) -> None:
        target = Path(self.paths.at(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data if isinstance(data, bytes) else data.encode())

    def patch(self, enabled: int = 1, transition: int = 0, build_id: str = BUILD_ID) -> None:
        self.put("/sys/kernel/livepatch/lp/enabled", f"{enabled}\n")
        self.put("/sys/kernel/livepatch/lp/transition", f"{transition}\n")
        self.put("/sys/module/lp/initstate", "live\n")
        self.put("/sys/module/lp/refcnt", "0\n")
        self.put("/sys/module/lp/notes/.note.gnu.build-id", note(build_id))

    def load(self, timeout: float = 0.05) -> loader.Outcome:
        module = self.paths.at("/m/lp.ko")
        with open(module if os.path.exists(module) else os.devnull) as file:
            return loader.load(self.paths, file.fileno(), "lp", BUILD_ID, timeout)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    return Tree(tmp_path, monkeypatch)


def problem(outcome: loader.Outcome) -> str:
    return outcome.problem.id if outcome.problem is not None else ""


def test_a_load_is_done_when_the_kernel_says_so(tree: Tree) -> None:
    tree.script("insmod", f"case $* in /proc/self/fd/[0-9]*) touch {tree.top}/ran ;; *) exit 1 ;; esac")
    tree.patch()
    found = tree.load()
    assert (found.outcome, found.problem, found.tasks) == ("done", None, ())
    assert (tree.top / "ran").exists()


@pytest.mark.parametrize(
    "script, wanted",
    [
        ("echo 'insmod: ERROR: could not insert module x: Required key not available' >&2; exit 1",
         ("failed", "load-no-key")),
        ("echo 'insmod: ERROR: could not insert module x: Key was rejected by service' >&2; exit 1",
         ("failed", "load-bad-signature")),
        ("echo 'insmod: ERROR: could not insert module x: Invalid module format' >&2; exit 1",
         ("failed", "load-wrong-format")),
        ("echo 'insmod: ERROR: could not insert module x: Unknown symbol in module' >&2; exit 1",
         ("failed", "load-unknown-symbol")),
        ("echo 'insmod: ERROR: could not insert module x: File exists' >&2; exit 1",
         ("failed", "module-name-taken")),
        ("echo 'insmod: ERROR: could not insert module x: Cannot allocate memory' >&2; exit 1",
         ("failed", "load-refused")),
        ("echo 'insmod: ERROR: could not insert module x: Operation not permitted' >&2; exit 1",
         ("failed", "load-not-permitted")),
        ("echo 'insmod: ERROR: could not insert module x: Permission denied' >&2; exit 1",
         ("failed", "load-not-permitted")),
        ("echo 'insmod: ERROR: could not insert module x: Exec format error' >&2; exit 1",
         ("failed", "load-wrong-format")),
        ("echo 'insmod: ERROR: could not insert module x: Module has wrong symbol version' >&2; exit 1",
         ("failed", "load-wrong-format")),
        ("echo 'insmod: ERROR: could not insert module x: Bad message' >&2; exit 1",
         ("failed", "load-bad-signature")),
        ("exit 3", ("failed", "load-refused")),
        ("kill -KILL $$", ("failed", "load-refused")),
        ("exit 137", ("failed", "load-refused")),
        ("mkdir {modules}/lp; echo coming >{modules}/lp/initstate; kill -KILL $$",
         ("crashed", "load-crashed")),
        ("mkdir {modules}/lp; echo going >{modules}/lp/initstate; exit 139",
         ("crashed", "load-crashed")),
        ("head -c 5000000 /dev/zero; exit 1", ("failed", "load-refused")),
    ],
)  # fmt: skip
def test_how_insmod_ends(tree: Tree, script: str, wanted: tuple[str, str]) -> None:
    tree.script("insmod", script.replace("{modules}", tree.paths.modules))
    found = tree.load()
    assert (found.outcome, problem(found)) == wanted
    assert found.problem is not None and len(found.problem.text) < 1000


@pytest.mark.parametrize(
    "keys, wanted",
    [
        (KEYS, "load-no-key"),
        (KEYS.replace("Example kernel key", "Example live patches"), "load-bad-signature"),
        ("", "load-bad-signature"),
    ],
)
def test_a_rejected_key_is_named_when_the_kernel_lacks_it(tree: Tree, keys: str, wanted: str) -> None:
    tree.script("insmod", "echo 'could not insert module x: Key was rejected by service' >&2; exit 1")
    tree.put("/proc/keys", keys)
    tree.put("/m/lp.ko", module_file("lp", BUILD_ID) + signed(tree.top))
    found = tree.load()
    assert problem(found) == wanted and found.problem is not None
    assert ("Example live patches (0badcafe)" in found.problem.text) == (wanted == "load-no-key")


def test_an_insmod_that_is_killed_when_all_is_done(tree: Tree) -> None:
    tree.patch()
    tree.script("insmod", "kill -KILL $$")
    assert tree.load().outcome == "done"


@pytest.mark.parametrize(
    ("end", "wanted"),
    [
        ("exit 0", ("done", "")),
        ("echo 'could not insert module x: Cannot allocate memory'; exit 1", ("failed", "load-refused")),
        ("echo coming >{modules}/lp/initstate; kill -KILL $$", ("crashed", "load-crashed")),
    ],
)
def test_an_insmod_that_is_slow_is_waited_for_and_told(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, end: str, wanted: tuple[str, str]
) -> None:
    """It lives, so nothing is decided before it ends, as it would be if it were quick."""
    monkeypatch.setattr(loader, "SLOW_SECONDS", 0.2)
    tree.patch()
    tree.script("insmod", "sleep 1.5; " + end.replace("{modules}", tree.paths.modules))
    told: list[str] = []
    start = time.monotonic()
    with open(os.devnull) as file:
        found = loader.load(tree.paths, file.fileno(), "lp", BUILD_ID, 0.05, told.append)
    most = (time.monotonic() - start) / 0.2
    assert (found.outcome, problem(found)) == wanted
    assert 2 <= len(told) <= most and all("lp: the kernel has been loading it for" in text for text in told)


def test_no_insmod_at_all(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "PROGRAMS", str(tree.top / "bin"))
    found = tree.load()
    assert (found.outcome, problem(found)) == ("failed", "load-refused")


@pytest.mark.parametrize(
    "enabled, transition, build_id, why",
    [
        (1, 0, BUILD_ID, ""),
        (0, 0, BUILD_ID, "disabled"),
        (1, 1, BUILD_ID, "transition"),
        (1, 0, "cd" * 20, "build id"),
    ],
)
def test_verified_by_sysfs_alone(tree: Tree, enabled: int, transition: int, build_id: str, why: str) -> None:
    tree.patch(enabled, transition, build_id)
    found = loader.verify(tree.paths, "lp", BUILD_ID)
    assert why in found and bool(found) is bool(why)


def test_what_vanished_is_not_in_force(tree: Tree) -> None:
    assert loader.verify(tree.paths, "lp", BUILD_ID) == "the kernel does not list it"
    tree.script("insmod", "exit 0")
    assert problem(tree.load()) == "load-not-verified"


def test_a_stall_names_the_processes_and_goes_back(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    tree.script("insmod", "exit 0")
    tree.patch(transition=1)
    for pid, thread, state, comm in ((7, 8, 0, "sleeper"), (7, 9, 1, "done"), (9, 10, -1, "idle")):
        tree.put(f"/proc/{pid}/task/{thread}/patch_state", f"{state}\n")
        tree.put(f"/proc/{pid}/task/{thread}/comm", comm + "\n")
        tree.put(f"/proc/{pid}/task/{thread}/stack", "[<0>] do_sleep+0x1/0x2\n")
    written = []

    def write(path: str, value: str) -> str:
        written.append((path[len(tree.paths.klp) :], value))
        shutil.rmtree(tree.paths.klp + "/lp")
        return ""

    monkeypatch.setattr(loader, "_write", write)
    found = tree.load()
    assert (found.outcome, problem(found)) == ("stalled", "transition-stalled")
    assert found.tasks == (tasks.Task(7, "sleeper", 0, "[<0>] do_sleep+0x1/0x2"),)
    assert written == [("/lp/enabled", "0")] and not livepatches.loaded(tree.paths, "lp")


def test_a_reversal_that_does_not_end_is_said(tree: Tree) -> None:
    tree.script("insmod", "exit 0")
    tree.patch(transition=1)
    found = tree.load()
    assert (found.outcome, problem(found)) == ("stalled", "transition-stuck")
    assert Path(tree.paths.klp, "lp/enabled").read_text().startswith("0"), "it was told to go back"
    assert livepatches.loaded(tree.paths, "lp"), "a module that is in use is left alone"


def test_an_unload_that_stalls_is_taken_back(tree: Tree) -> None:
    tree.patch()
    found = loader.unload(tree.paths, "lp", 0.05)
    assert (found.outcome, problem(found)) == ("stalled", "unload-stalled")
    assert Path(tree.paths.klp, "lp/enabled").read_text().startswith("1")


def test_unload_and_its_refusals(tree: Tree) -> None:
    tree.patch()
    shutil.rmtree(tree.paths.klp + "/lp")
    tree.script("rmmod", "echo 'rmmod: ERROR: Module lp is in use' >&2; exit 1")
    found = loader.unload(tree.paths, "lp", 0.05)
    assert (found.outcome, problem(found)) == ("failed", "module-stays")
    tree.script("rmmod", f'rm -r "{tree.paths.modules}/$1"')
    assert loader.unload(tree.paths, "lp", 0.05).outcome == "done"
    assert loader.remove(tree.paths, "lp") == "", "what is not there needs no rmmod"


def test_an_rmmod_that_is_slow_is_waited_for(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "SLOW_SECONDS", 0.1)
    tree.patch()
    shutil.rmtree(tree.paths.klp + "/lp")
    tree.script("rmmod", f'sleep 0.5; rm -r "{tree.paths.modules}/$1"')
    assert loader.unload(tree.paths, "lp", 0.05).outcome == "done"


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=20).filter(
    lambda name: name not in (".", "..") and len(name.encode()) < 200
)


@given(
    st.dictionaries(NAMES | st.sampled_from(["1", "22", "٣"]), st.binary(max_size=80), max_size=8),
    st.sampled_from(["enabled", "transition", "vmlinux", "replace"]),
    st.binary(max_size=30),
)
def test_hostile_trees(
    tmp_path_factory: pytest.TempPathFactory, names: dict[str, bytes], attribute: str, content: bytes
) -> None:
    """No file, folder or content below /sys and /proc makes the readers raise or hang."""
    top = tmp_path_factory.mktemp("tree")
    paths = Paths(str(top))
    for name, data in names.items():
        for folder in (f"{paths.klp}/{name}/{name}", f"{paths.klp}/lp/{name},1"):
            os.makedirs(folder, exist_ok=True)
        thread = paths.at(f"/proc/{name}/task/{name}")
        os.makedirs(thread, exist_ok=True)
        for file in ("patch_state", "comm", "stack"):
            Path(thread, file).write_bytes(data)
    os.makedirs(f"{paths.klp}/lp", exist_ok=True)
    Path(paths.klp, "lp", attribute).write_bytes(content)
    for patch in livepatches.read(paths):
        assert isinstance(patch.enabled, bool) and patch.stack_order >= 0
    assert len(tasks.in_the_way(paths, "lp").tasks) <= tasks.MAX_PROCESSES
    assert loader.verify(paths, "lp", BUILD_ID)
    shutil.rmtree(top)


def test_the_file_that_was_checked_is_the_file_that_is_loaded(tree: Tree) -> None:
    """Another file at its path, put there after it was opened, is not what insmod reads."""
    tree.put("/m/lp.ko", "checked")
    tree.script("insmod", f'cat "$1" >{tree.top}/seen')
    with open(tree.paths.at("/m/lp.ko")) as file:
        tree.put("/m/new.ko", "other")
        os.rename(tree.paths.at("/m/new.ko"), tree.paths.at("/m/lp.ko"))
        loader.insert(tree.paths, file.fileno())
    assert (tree.top / "seen").read_text() == "checked"
