# SPDX-License-Identifier: GPL-2.0-or-later
"""The actors of support/guard_actors.py in every order, to a depth: nothing is drawn at random here.

Breadth first. Each distinct state is reached by its shortest sequence, done anew on a fresh host, and
every action is tried in it; the promise of the model is asked for in each. Among the actions are an upgrade
that is killed, and one that loses its power, at some of its steps. `make test` tries each action, `make
test-all` sequences of two. GUARD_DEPTH=N goes to sequences of N actions; `make test-trials` goes to 3.
"""

from __future__ import annotations

import os

import pytest

from tests.unit.support.guard_actors import BEHAVIOUR, Machine

OTHER = os.environ.get("GUARD_DEPTH", "")
DEPTHS = [int(OTHER)] if OTHER else [1, pytest.param(2, marks=pytest.mark.slow)]
NONE = (0, "kill")
Action = tuple[str, dict[str, object]]
ACTIONS: list[Action] = [
    *(("transaction", {"version": version}) for version in BEHAVIOUR),
    *(("upgrade", {"version": version, "cut": NONE}) for version in BEHAVIOUR),
    *(
        ("upgrade", {"version": "2", "cut": (at, how)})
        for at in range(4, 40, 6)
        for how in ("kill", "power")
    ),
    ("removal", {}),
    ("run", {"cut": NONE}),
    *(("boot", {"cause": cause, "cut": NONE}) for cause in ("shutdown", "crash", "power")),
    *(("watch", {"seconds": seconds, "cut": NONE, "busy": False}) for seconds in (20, 700)),
    *(("oops", {"cut": NONE, "busy": busy}) for busy in (False, True)),
    *(
        ("administrator", {"verb": verb, "version": version, "cut": NONE})
        for verb in ("block", "unblock", "unload", "unload --this-boot")
        for version in ("1", "2")
    ),
]


def state_after(actions: tuple[Action, ...]) -> tuple[object, ...]:
    """The state that ``actions`` lead to from a fresh host. What the model forbids on the way is raised."""
    machine = Machine()
    machine.start()
    try:
        for name, arguments in actions:
            getattr(machine, name)(**arguments)
            machine.sound()
        found = (*machine.state(), machine.oopsed)
    finally:
        machine.teardown()
    return found


@pytest.mark.parametrize("depth", DEPTHS)
def test_every_order_to_a_depth(depth, record_property):
    known: set[tuple[object, ...]] = set()
    front: list[tuple[Action, ...]] = [()]
    tried = 0
    for _ in range(depth):
        longer = []
        for actions in front:
            for action in ACTIONS:
                sequence = (*actions, action)
                tried += 1
                try:
                    found = state_after(sequence)
                except AssertionError as error:
                    raise AssertionError(f"{error} after {sequence}") from error
                if found not in known:
                    known.add(found)
                    longer.append(sequence)
        front = longer
    told = f"guard, every order of {len(ACTIONS)} actions to depth {depth}: {tried} sequences"
    told += f", {len(known)} states"
    print(told)
    record_property("told", told)
    assert len(known) > 10 * depth, "the actions do something"
