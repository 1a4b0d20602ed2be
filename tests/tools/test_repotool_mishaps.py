# SPDX-License-Identifier: GPL-2.0-or-later
"""Every verb in every mishap: the old or the new state, no package lost, no word untrue.

`make test-mishaps` runs the whole table; MISHAPS names the file of its results there. Other runs have every
mishap with the two verbs that the most depends on.
"""

import json
import os
import pathlib
import tempfile

import pytest

from tests.tools.support import mishaps

WHOLE = bool(os.environ.get("MISHAPS"))
VERBS = mishaps.VERBS if WHOLE else ("publish", "withdraw")
TABLE = [
    pytest.param(
        mishap, verb, id=f"{verb}: {mishap.name}",
        marks=() if mishap.short and verb == "withdraw" else pytest.mark.slow,
    )
    for mishap in mishaps.MISHAPS
    for verb in VERBS
]  # fmt: skip


@pytest.fixture(scope="module")
def world(key):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="lp-mishaps-"))  # where every user may look
    made = mishaps.World(key, folder)
    yield made
    made.close()


def noted(*facts):
    """Add a line to the file that MISHAPS names, from which the table in docs/evidence is made."""
    if WHOLE:
        with open(os.environ["MISHAPS"], "a", encoding="utf-8") as file:
            file.write(json.dumps(facts) + "\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts and other users need root")
@pytest.mark.parametrize("mishap, verb", TABLE)
def test_a_mishap_leaves_the_old_or_the_new_state(world, mishap, verb):
    noted(mishap.name, verb, *mishaps.try_out(world, mishap, verb))


@pytest.mark.parametrize(
    "verb, grace",
    [
        pytest.param(verb, grace, marks=() if (verb, grace) == ("withdraw", 1) else pytest.mark.slow)
        for verb in VERBS
        for grace in ((0, 1) if WHOLE else (1,))
    ],
)
def test_killed_at_any_file_operation_a_verb_leaves_the_old_or_the_new_state(world, verb, grace):
    # Every point in the whole table, else one of seven.
    noted("killed", verb, *mishaps.killed_everywhere(world, verb, grace, 1 if WHOLE else 7))
