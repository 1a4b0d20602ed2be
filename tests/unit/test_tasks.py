# SPDX-License-Identifier: GPL-2.0-or-later
"""The processes in the way of a transition: counted, grouped, and never a sentence round an empty list."""

from __future__ import annotations

from pathlib import Path

import pytest

from dnf_plugin_livepatch.host.kernel import tasks
from dnf_plugin_livepatch.messages import message
from tests.unit.support.fakehost import Host, run


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host(str(tmp_path)).create().attach(monkeypatch)
    made.install(made.patch("1", behave="stall"))
    return made


def late(host: Host, pid: int, *threads: int, comm: str = "qemu-kvm", cpu: int = 0) -> None:
    for thread in threads:
        folder = f"/proc/{pid}/task/{thread}"
        host.put(folder + "/patch_state", "0\n")
        host.put(folder + "/comm", comm + "\n")
        host.put(folder + "/stat", f"{thread} ({comm}) S 1 " + "0 " * 34 + f"{cpu} 0\n")


def stalled(host: Host) -> tuple[str, str]:
    (found,) = [problem for problem in run(host).problems if problem.id == "transition-stalled"]
    return found.text, found.remedy


def test_threads_are_grouped_by_their_process(host: Host) -> None:
    late(host, 1000, *range(1000, 1300))
    late(host, 2000, 2007, comm="java (x) y")
    text, _ = stalled(host)
    assert "by qemu-kvm (pid 1000, a thread and 299 more), java (x) y (pid 2000). The kernel is" in text


@pytest.mark.parametrize(
    ("processes", "said"), [(6, " and 1 more process."), (45, " and 40 more processes.")]
)
def test_those_that_are_not_named_are_counted(host: Host, processes: int, said: str) -> None:
    for number in range(processes):
        late(host, 100 + number, 100 + number, comm="worker")
    text, remedy = stalled(host)
    assert said in text and text.count("(pid ") == 5 and "stop these processes" in remedy


@pytest.mark.parametrize(
    ("lists", "said"),
    [
        ({}, "by the idle task of a CPU, which /proc does not show, or a task that has ended since."),
        ({"isolated": "2-3\n", "nohz_full": "(null)\n"}, "isolated from other work: CPU 2-3 (isolated)."),
        ({"isolated": "\n", "nohz_full": "5,7\n"}, "isolated from other work: CPU 5,7 (nohz_full)."),
    ],
)
def test_where_proc_shows_none_the_idle_cpu_is_named(host: Host, lists: dict[str, str], said: str) -> None:
    for name, text in lists.items():
        host.put(f"/sys/devices/system/cpu/{name}", text)
    text, remedy = stalled(host)
    assert said in text and "stop" not in remedy and "taskset" in remedy


def test_a_process_on_an_isolated_cpu_is_said_to_be_there(host: Host) -> None:
    host.put("/sys/devices/system/cpu/isolated", "2-3,9\n")
    late(host, 70, 70, comm="dpdk", cpu=9)
    late(host, 80, 80, comm="bash", cpu=1)
    assert "dpdk (pid 70, on CPU 9), bash (pid 80)." in stalled(host)[0]


def test_a_search_that_was_ended_says_so(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "_SCAN_SECONDS", -1)
    late(host, 70, 70)
    text, remedy = stalled(host)
    assert "not all processes were looked at" in text and "idle" not in text and "taskset" not in remedy


@pytest.mark.parametrize(
    ("items", "most", "text"),
    [
        ([], 3, ""),
        (["a"], 3, "a"),
        (["a", "b", "c", "d"], 3, "a, b, c and 1 more"),
        (["a", "b"], 1, "a and 1 more"),
    ],
)
def test_a_list_says_how_many_more(items: list[str], most: int, text: str) -> None:
    assert message.several(items, most) == text


def test_a_fact_that_is_cut_shows_it() -> None:
    assert message.fact("x" * 501).endswith("x…") and len(message.fact("x" * 501)) == 500
    assert message.fact("x" * 500) == "x" * 500
