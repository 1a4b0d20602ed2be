# SPDX-License-Identifier: GPL-2.0-or-later
"""At the end of a run: what its tests counted, such as states explored, calls killed at, cases generated.

A test says it with ``record_property("told", text)``. It is shown when the test has passed, in quiet runs
and from the workers of pytest-xdist too. What hypothesis generated is counted for all tests together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Note how many cases hypothesis generated for a test that passed."""
    answer: Any = yield
    report = answer.get_result()
    if report.when == "call" and report.passed:
        told = getattr(item, "hypothesis_statistics", "")
        cases = sum(int(number) for number in re.findall(r"(\d+) passing", told))
        if cases:
            report.user_properties.append(("cases", cases))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """One line for each thing told, sorted."""
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
