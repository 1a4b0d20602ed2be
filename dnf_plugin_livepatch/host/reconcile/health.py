# SPDX-License-Identifier: GPL-2.0-or-later
"""The administrator's health checks, asked after a load, and once more later where that was not possible."""

from __future__ import annotations

import shlex

from ...base.config import Config
from ...base.model import Problem
from ...base.typed import NamedTuple
from ...messages.catalogue import problem
from .. import program
from ..files.guard_file import GuardEntry


class Answer(NamedTuple):
    """``failed`` is the first check that failed and how, "" for none; ``output`` is the end of its output.

    Output is root's alone: a check may print anything. ``not_asked`` are the checks that were not run.
    """

    failed: str = ""
    output: str = ""
    not_asked: tuple[Problem, ...] = ()


def ask(config: Config) -> Answer:
    """Run the administrator's health checks, up to the first that fails."""
    not_asked = []
    for command in config.health_check:
        try:
            code, output = program.run_foreign(
                shlex.split(command), config.health_check_timeout, whole=False
            )
        except program.NotAsked as fault:
            not_asked.append(problem("health-check-not-asked", command=command, why=fault))
            continue
        except (program.Unusable, ValueError, IndexError) as error:
            return Answer(f"{command}: {error}", "", tuple(not_asked))
        if code != 0:
            return Answer(f"{command}: exit status {code}", output.strip()[-200:], tuple(not_asked))
    return Answer(not_asked=tuple(not_asked))


def refused(config: Config) -> tuple[Problem, ...]:
    """Return the checks that would not be run because of the file, as far as this process can see."""
    found = []
    for command in config.health_check:
        try:
            why = program.refusal(shlex.split(command)[0])
        except (OSError, ValueError, IndexError):
            continue
        if why:
            found.append(problem("health-check-not-asked", command=command, why=why))
    return tuple(found)


def open_question(config: Config, entry: GuardEntry, boot_id: str) -> bool:
    """Return whether the checks are still to be asked about a package, as after a boot."""
    settling = entry.state == "settling" and entry.boot_id == boot_id
    return settling and not entry.asked and bool(config.health_check)


def due(config: Config, entry: GuardEntry, boot_id: str, uptime: float) -> bool:
    """Return whether it is time to ask them: the package has lived ``settle_time``."""
    return open_question(config, entry, boot_id) and uptime - entry.uptime >= config.settle_time
