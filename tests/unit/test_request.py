# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import os
import stat
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnf_plugin_livepatch.base.config import Config
from dnf_plugin_livepatch.base.model import Action, InForce, Problem, ReconcileResult
from dnf_plugin_livepatch.host.files import atomic, mailbox
from tests.unit.support.fakehost import Host
from tests.unit.support.generated import JSON

RESULT = ReconcileResult(
    "5-1",
    "00000001-0000-4000-8000-000000000000",
    "2026-11-22T21:00:00Z",
    "6.1",
    True,
    "lp-1-1.x86_64",
    (InForce("lp_1", "lp-1-1.x86_64", ("CVE-2026-1000",), 1.0),),
    (Action("load", "lp_1", "lp-1-1.x86_64", "done", 1.0),),
    (Problem("x", "note", "text", ""),),
    "",
)


@pytest.fixture
def host(tmp_path):
    return Host(str(tmp_path)).create()


def write_result(host: Host, result: ReconcileResult) -> None:
    atomic.write_json(host.paths.result, mailbox.dump(result), dict)


def test_result_round_trip(host):
    assert mailbox.read_result(host.paths) is None
    write_result(host, RESULT)
    assert mailbox.read_result(host.paths) == RESULT


@given(st.fixed_dictionaries({}, optional={name: JSON for name in ReconcileResult._fields}))
def test_hostile_result_is_read_or_refused(data):
    try:
        mailbox.load(data)
    except atomic.Broken as error:
        assert str(error)


def test_each_stamp_is_new(host):
    assert mailbox.current(host.paths) == ""
    stamps = {mailbox.request(host.paths) for _ in range(20)}
    assert len(stamps) == 20 and mailbox.current(host.paths) in stamps


def program(host: Host, monkeypatch, script: str) -> None:
    path = host.paths.at("/program")
    with open(path, "w") as file:
        file.write("#!/bin/sh\n" + script)
    os.chmod(path, stat.S_IRWXU)
    monkeypatch.setattr(mailbox, "command", lambda paths: [path])


def test_ask_runs_the_program_and_reads_its_answer(host):
    result = mailbox.ask(host.paths, 60)
    assert result is not None and result.stamp == mailbox.current(host.paths)
    assert [problem.id for problem in result.problems] == ["rpmdb-unreadable"], (
        "the tree has no rpm database"
    )


def test_an_old_answer_is_none(host, monkeypatch):
    write_result(host, RESULT)
    program(host, monkeypatch, "exit 1")
    assert mailbox.ask(host.paths, 10) is None


def test_a_later_stamp_answers_too(host, monkeypatch):
    program(host, monkeypatch, "exit 0")
    write_result(host, RESULT._replace(stamp=f"{time.time_ns() + 10**12}-7"))
    assert mailbox.ask(host.paths, 10) is not None


def answering(host: Host, at: int, status: int) -> str:
    """A script that writes the right answer at its ``at``-th call and ends with ``status`` before."""
    calls, result = host.paths.at("/calls"), host.paths.result
    write_result(host, RESULT._replace(stamp="STAMP"))
    os.rename(result, result + ".later")
    return f"""echo >>{calls}; [ $(wc -l <{calls}) = {at} ] || exit {status}
sed "s/STAMP/$(cat {host.paths.request})/" {result}.later >{result}
"""


@pytest.mark.parametrize("status", [0, 1])
def test_a_start_without_an_answer_is_repeated(host, monkeypatch, status):
    # 0: it joined a run that was ending, as many times as that happens; 1: it was not taken.
    monkeypatch.setattr(mailbox, "PAUSE", 0.01)
    program(host, monkeypatch, answering(host, 5 if status == 0 else mailbox.MAX_REFUSALS, status))
    write_result(host, RESULT)
    result = mailbox.ask(host.paths, 30)
    assert result is not None and result.stamp == mailbox.current(host.paths)


def test_refused_starts_end(host, monkeypatch):
    monkeypatch.setattr(mailbox, "PAUSE", 0.01)
    program(host, monkeypatch, f"echo >>{host.paths.at('/calls')}; exit 1")
    assert mailbox.ask(host.paths, 60) is None
    with open(host.paths.at("/calls")) as file:
        assert len(file.readlines()) == mailbox.MAX_REFUSALS


def test_runs_that_never_answer_end_with_the_time(host, monkeypatch):
    monkeypatch.setattr(mailbox, "PAUSE", 0.1)
    program(host, monkeypatch, "exit 0")
    start = time.monotonic()
    assert mailbox.ask(host.paths, 1) is None
    assert time.monotonic() - start < 50


def test_ask_is_bounded_and_leaves_the_run_alone(host, monkeypatch):
    go, ran = host.paths.at("/go"), host.paths.at("/ran")
    program(host, monkeypatch, f"for i in $(seq 900); do [ -e {go} ] && exec touch {ran}; sleep 0.1; done")
    start, told = time.monotonic(), []
    assert mailbox.ask(host.paths, 2, told.append) is None
    assert time.monotonic() - start < 60 and told
    host.put("/go", "")
    end = time.monotonic() + 60
    while not os.path.exists(ran):
        assert time.monotonic() < end, "the run was killed"
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("within", "seconds"), [("0", 0.0), ("2", 2.0), ("1e9", None), ("-1", 0.0), ("x", None)]
)
def test_the_environment_shortens_the_wait_for_an_answer_and_no_run(monkeypatch, within, seconds):
    config = Config(transition_timeout=10)
    monkeypatch.setenv("LIVEPATCH_ANSWER_WITHIN", within)
    assert mailbox.bound(config) == 90.0
    assert mailbox.answer_within(config) == (90.0 if seconds is None else seconds)
