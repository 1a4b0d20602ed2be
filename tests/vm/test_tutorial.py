# SPDX-License-Identifier: GPL-2.0-or-later
"""docs/tutorial/first-live-patch.md: its files and commands, as they stand there, on the demo host."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from tests.vm.support import tutorial
from vm.common import ROOT


@pytest.fixture
def folder():
    """The folder of the tutorial, removed also after a failure."""
    path = os.path.join(ROOT, tutorial.FOLDER)
    shutil.rmtree(path, ignore_errors=True)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def test_the_tutorial_ends_with_the_patch_in_force(folder):
    done = subprocess.run(
        ["bash", "-e", "-c", tutorial.script()],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1800,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    for words in tutorial.promised():
        assert words in done.stdout, done.stdout
    before, after = [line for line in done.stdout.splitlines() if line.startswith("Linux version ")]
    assert "gcc" in before and after.endswith("(builder redacted)")
    assert "in force, module livepatch_first" in done.stdout
    assert not os.path.exists(folder)
