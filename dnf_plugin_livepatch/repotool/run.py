# SPDX-License-Identifier: GPL-2.0-or-later
"""Running other programs: argument lists, a clean locale, a time limit, one kind of error."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

from .errors import ToolError

TIMEOUT = 600.0


def run(
    argv: Sequence[str], stdin: bytes | None = None, check: bool = True
) -> subprocess.CompletedProcess[bytes]:
    """Run ``argv`` to its end; with ``check`` a non-zero exit is a ToolError that quotes stderr."""
    try:
        done = subprocess.run(
            argv,
            input=stdin if stdin is not None else b"",
            capture_output=True,
            timeout=TIMEOUT,
            env={**os.environ, "LC_ALL": "C"},
            check=False,
        )
    except FileNotFoundError:
        raise ToolError("tool-missing", program=argv[0]) from None
    except subprocess.TimeoutExpired:
        raise ToolError("tool-failed", program=argv[0], reason=f"no end after {TIMEOUT:.0f} s") from None
    if check and done.returncode != 0:
        reason = done.stderr.decode("utf-8", "replace").strip() or f"exit status {done.returncode}"
        raise ToolError("tool-failed", program=argv[0], reason=reason[-500:])
    return done
