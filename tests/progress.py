# SPDX-License-Identifier: GPL-2.0-or-later
"""How far a suite is: how many tests are done, about how long the others take, which test runs now.

scripts/run-tests asks for it by the variable TESTS_HEAD, which is how each line begins. On a terminal one
line is written anew each second; elsewhere a line comes each 30 seconds. pytest's dots are left out.
The durations of the tests are kept in build/test-times.json, and the next run estimates from them.
"""

from __future__ import annotations

import json
import os
import threading
import time
from typing import Any

import pytest

TIMES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "build", "test-times.json")
EVERY = 30.0
# Below so many measured seconds the pace of this run is not known.
MEASURED = 10.0


class Estimate:
    """The time that the remaining tests need, estimated from the times of the last run."""

    def __init__(self, ids: list[str], known: dict[str, float], seconds: float, jobs: int) -> None:
        guess = seconds * jobs / max(1, len(ids))
        self.weights = {name: known.get(name, guess) for name in ids}
        self.left, self.done, self.jobs = sum(self.weights.values()), 0.0, jobs

    def finish(self, name: str) -> None:
        """Count the test ``name`` as done."""
        weight = self.weights.pop(name, 0.0)
        self.left -= weight
        self.done += weight

    def seconds(self, elapsed: float) -> float:
        """The seconds that are left, ``elapsed`` seconds after the start."""
        pace = 1.0
        if self.done / self.jobs > MEASURED:
            pace = min(4.0, max(0.5, elapsed * self.jobs / self.done))
        return max(0.0, self.left / self.jobs * pace)


class Progress:
    """A plugin of pytest that prints the lines."""

    def __init__(self, config: pytest.Config, head: str) -> None:
        self.config, self.head = config, head
        self.suite = head.split()[-1]
        self.jobs = int(getattr(config.option, "numprocesses", None) or 1)
        self.start = time.monotonic()
        self.times = _read()
        self.spent: dict[str, float] = {}
        self.estimate: Estimate | None = None
        self.total = self.done = 0
        self.now = ""
        self.lock = threading.Lock()
        self.ended = threading.Event()

    @property
    def writer(self) -> Any:
        """pytest's own terminal."""
        return self.config.pluginmanager.get_plugin("terminalreporter")._tw

    @property
    def terminal(self) -> bool:
        """Whether somebody looks at a terminal."""
        return bool(self.config.pluginmanager.get_plugin("terminalreporter").isatty)

    def begin(self, ids: list[str]) -> None:
        """Print how many tests there are, and start to print how far they are."""
        if self.estimate is not None:
            return
        self.total = len(ids)
        seconds = float(os.environ.get("TESTS_SECONDS") or 0)
        self.estimate = Estimate(ids, self.times, seconds, self.jobs)
        self.writer.line(f"{self.head}: {self.total} tests, about {self.estimate.seconds(0):.0f} s")
        threading.Thread(target=self._tick, daemon=True).start()

    def _tick(self) -> None:
        while not self.ended.wait(1.0 if self.terminal else EVERY):
            self._show()

    def _show(self) -> None:
        assert self.estimate
        left = self.estimate.seconds(time.monotonic() - self.start)
        text = f"{self.suite} {self.done}/{self.total}, about {left:.0f} s left, now {self.now}"
        with self.lock:
            if self.terminal:
                self.writer.write("\r" + text[: self.writer.fullwidth - 1].ljust(self.writer.fullwidth - 1))
            else:
                self.writer.line(text)
            self.writer.flush()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Without workers."""
        if session.items:
            self.begin([item.nodeid for item in session.items])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: object, ids: list[str]) -> None:
        """With workers; each of them has collected all."""
        self.begin(list(ids))

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.now = nodeid.rpartition("::")[2]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the time that the test took; name the test when it failed."""
        self.spent[report.nodeid] = self.spent.get(report.nodeid, 0.0) + report.duration
        if report.failed:
            with self.lock:
                blank = "\r" + " " * (self.writer.fullwidth - 1) + "\r" if self.terminal else ""
                self.writer.line(f"{blank}FAILED {report.nodeid} ({report.when})")
        if report.when == "teardown":
            self.done += 1
            if self.estimate:
                self.estimate.finish(report.nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Print no letter for a test: a line names each that fails, the summary each skipped one."""
        if hasattr(report, "wasxfail") or (report.passed and report.when != "call"):
            return None
        return "error" if report.failed and report.when != "call" else report.outcome, "", ""

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Leave the terminal clean, and keep the durations."""
        self.ended.set()
        if self.terminal:
            self.writer.write("\r" + " " * (self.writer.fullwidth - 1) + "\r")
        _write({**_read(), **{name: round(spent, 2) for name, spent in self.spent.items()}})


def _read() -> dict[str, float]:
    """The kept durations; none where the file cannot be read."""
    try:
        with open(TIMES, encoding="utf-8") as file:
            found: dict[str, float] = json.load(file)
            return found
    except (OSError, ValueError):
        return {}


def _write(times: dict[str, float]) -> None:
    os.makedirs(os.path.dirname(TIMES), exist_ok=True)
    with open(TIMES + ".new", "w", encoding="utf-8") as file:
        json.dump(times, file, indent=0, sort_keys=True)
    os.replace(TIMES + ".new", TIMES)
