# SPDX-License-Identifier: GPL-2.0-or-later
"""The run that the hooks share: what is said when a door of the planner fails."""

from __future__ import annotations

import types
from typing import Any

import pytest

from dnf_plugin_livepatch.base.model import Problem
from dnf_plugin_livepatch.dnf4.run import Run
from dnf_plugin_livepatch.messages import catalogue
from dnf_plugin_livepatch.planning.request import ALL, Asked

NOTE = catalogue.problem("patch-unresolvable", nevra="lp-1-1.x86_64", why="no")


class Broken:
    """A planner with a note, whose doors fail."""

    def told(self) -> tuple[Problem, ...]:
        return (NOTE,)

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


@pytest.mark.parametrize("door", ["keep_out", "bring_in"])
def test_notes_from_before_a_fault_are_said(door: str) -> None:
    run: Any = Run.__new__(Run)
    said: list[Problem] = []
    run.manager, run.planner = types.SimpleNamespace(), Broken()
    run.voice = types.SimpleNamespace(say=said.extend)
    with pytest.raises(RuntimeError, match=door):
        getattr(run, door)(Asked(ALL), False, False)
    assert said == [NOTE]
