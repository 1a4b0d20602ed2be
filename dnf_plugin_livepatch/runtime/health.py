# SPDX-License-Identifier: GPL-2.0-or-later
"""The administrator's health checks, asked after a load."""

from __future__ import annotations

import shlex
import subprocess

from ..config import Config


def failing(config: Config) -> str:
    """Run the administrator's health checks; what the first failing one said, or ""."""
    for command in config.health_check:
        try:
            done = subprocess.run(
                shlex.split(command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                cwd="/",
                stderr=subprocess.STDOUT,
                timeout=config.health_check_timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"{command}: no answer within {config.health_check_timeout} s"
        except (OSError, ValueError) as error:
            return f"{command}: {error}"
        if done.returncode != 0:
            last = done.stdout.decode("utf-8", "replace").strip()[-200:]
            return f"{command}: exit status {done.returncode}" + (f" ({last})" if last else "")
    return ""
