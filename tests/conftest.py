# SPDX-License-Identifier: GPL-2.0-or-later
"""The progress of a run, and the numbers that its tests counted: states explored, calls killed at.

A test hands a number over with ``record_property("told", text)``. The number is printed at the end when the
test has passed, in quiet runs and from the workers of pytest-xdist too. The cases of hypothesis are counted
for all tests together.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests import progress


def pytest_configure(config: pytest.Config) -> None:
    """Print the progress where scripts/run-tests asks for it; a worker of pytest-xdist prints nothing."""
    head = os.environ.get("TESTS_HEAD")
    if head and not hasattr(config, "workerinput"):
        config.option.console_output_style = "classic"
        config.pluginmanager.register(progress.Progress(config, head))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Note the number of cases that hypothesis generated for a test that passed."""
    answer: Any = yield
    report = answer.get_result()
    if report.when == "call" and report.passed:
        told = getattr(item, "hypothesis_statistics", "")
        cases = sum(int(number) for number in re.findall(r"(\d+) passing", told))
        if cases:
            report.user_properties.append(("cases", cases))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print one line for each number, sorted."""
    lines, cases = set(), []
    for report in terminalreporter.stats.get("passed", ()):
        for name, value in report.user_properties:
            if name == "told":
                lines.add(f"{report.nodeid.partition('::')[0]}: {value}")
            elif name == "cases":
                cases.append(value)
    if cases:
        lines.add(f"property tests: {sum(cases)} generated cases passed in {len(cases)} tests")
    if lines:
        terminalreporter.section("counted")
        for line in sorted(lines):
            terminalreporter.write_line(line)
