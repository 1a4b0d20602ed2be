# SPDX-License-Identifier: GPL-2.0-or-later
"""Every verb in every mishap: the old or the new state, no package lost, no word untrue."""

import json
import os
import pathlib
import tempfile

import pytest

from tests.tools.support import mishaps

TABLE = [
    pytest.param(
        mishap, verb, id=f"{verb}: {mishap.name}",
        marks=() if mishap.short and verb in ("withdraw", "verify") else pytest.mark.slow,
    )
    for mishap in mishaps.MISHAPS
    for verb in mishaps.VERBS
]  # fmt: skip


@pytest.fixture(scope="module")
def world(key):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="lp-mishaps-"))  # where every user may look
    made = mishaps.World(key, folder)
    yield made
    made.close()


def noted(*facts):
    """Add a line to the file that MISHAPS names, from which the table in docs/evidence is made."""
    if os.environ.get("MISHAPS"):
        with open(os.environ["MISHAPS"], "a", encoding="utf-8") as file:
            file.write(json.dumps(facts) + "\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts and other users need root")
@pytest.mark.parametrize("mishap, verb", TABLE)
def test_a_mishap_leaves_the_old_or_the_new_state(world, mishap, verb):
    noted(mishap.name, verb, *mishaps.try_out(world, mishap, verb))


@pytest.mark.parametrize("grace", [pytest.param(0, marks=pytest.mark.slow, id="no grace"), 1])
@pytest.mark.parametrize(
    "verb",
    [
        "withdraw",
        *(pytest.param(verb, marks=pytest.mark.slow) for verb in mishaps.VERBS if verb != "withdraw"),
    ],
)
def test_killed_at_any_file_operation_a_verb_leaves_the_old_or_the_new_state(world, verb, grace):
    # `make test-mishaps` takes every point, other runs one of seven.
    every = 1 if os.environ.get("MISHAPS") else 7
    noted("killed", verb, *mishaps.killed_everywhere(world, verb, grace, every))
