# SPDX-License-Identifier: GPL-2.0-or-later
"""What tests counted is shown at the end of a quiet run."""

import os
import shutil
import subprocess
import sys

import pytest

SUITE = """
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

@pytest.mark.parametrize("number", [2, 1])
def test_counts(number, record_property):
    record_property("told", f"{number} of them")
    record_property("other", "for nobody")

def test_fails(record_property):
    record_property("told", "claimed too early")
    assert not record_property

@settings(max_examples=20)
@given(st.integers())
def test_generated(number):
    assert number == number
"""


@pytest.mark.parametrize("words", [(), ("-n", "2")])
def test_what_passed_is_shown_sorted(words, tmp_path):
    here = os.path.dirname(os.path.abspath(__file__))
    shutil.copy(os.path.join(os.path.dirname(here), "conftest.py"), tmp_path)
    (tmp_path / "test_suite.py").write_text(SUITE)
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words, "test_suite.py"]
    env = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(here))}
    done = subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    start = next(number for number, line in enumerate(lines) if " counted " in line)
    assert lines[start + 1 : start + 4] == [
        "property tests: 20 generated cases passed in 1 tests",
        "test_suite.py: 1 of them",
        "test_suite.py: 2 of them",
    ]
    assert "for nobody" not in "\n".join(lines[start:])
    assert not [line for line in lines if line.endswith("claimed too early")]
