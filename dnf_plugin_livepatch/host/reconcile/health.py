# SPDX-License-Identifier: GPL-2.0-or-later
"""The administrator's health checks, asked after a load."""

from __future__ import annotations

import shlex

from ...base.config import Config
from .. import program


def failing(config: Config) -> str:
    """Run the administrator's health checks; return the first failing one with its output, "" for none."""
    for command in config.health_check:
        try:
            code, output = program.run(shlex.split(command), config.health_check_timeout, whole=False)
        except (program.Unusable, ValueError) as error:
            return f"{command}: {error}"
        if code != 0:
            last = output.strip()[-200:]
            return f"{command}: exit status {code}" + (f" ({last})" if last else "")
    return ""
