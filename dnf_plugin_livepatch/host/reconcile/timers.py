# SPDX-License-Identifier: GPL-2.0-or-later
"""Jobs for systemd: the settle watch, the next try of a load that stalled, a reconcile without waiting.

Without systemd nothing is started; the next reconcile does the job that is due.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from ...base.paths import Paths
from .. import program
from ..files import atomic, mailbox

SETTLE = "livepatch-settle.timer"
SETTLE_UNIT = "livepatch-settle.service"
RETRY = "livepatch-retry"


def _run(paths: Paths, argv: Sequence[str]) -> None:
    # The units of the running systemd are not those of another root.
    if paths.root != "/" or not os.path.isdir("/run/systemd/system"):
        return
    atomic.step("before " + argv[0])
    try:
        program.run(argv, 10, whole=False)
    except program.Unusable:
        return  # systemd refuses during a shutdown, and then there is no later
    atomic.step("after " + argv[0])


def watch(paths: Paths) -> None:
    """Start the settle watch."""
    _run(paths, ["systemctl", "start", "--no-block", SETTLE])


def unwatch(paths: Paths) -> None:
    """Stop the settle watch."""
    _run(paths, ["systemctl", "stop", "--no-block", SETTLE])


def now(paths: Paths) -> None:
    """Start reconcile without waiting for it."""
    _run(paths, ["systemctl", "start", "--no-block", mailbox.UNIT])


def end_alarm(paths: Paths) -> None:
    """Reset the units that are failed because a patch was not in force: it is now."""
    _run(paths, ["systemctl", "reset-failed", mailbox.UNIT, SETTLE_UNIT])


def no_retry(paths: Paths) -> None:
    """Forget a planned retry."""
    if os.path.exists(paths.at(f"/run/systemd/transient/{RETRY}.timer")):
        _run(paths, ["systemctl", "stop", RETRY + ".timer"])


def retry(paths: Paths, seconds: int) -> None:
    """Start reconcile again in ``seconds``, once, instead of a retry that was planned before."""
    no_retry(paths)
    _run(
        paths,
        [
            "systemd-run",
            "--quiet",
            "--collect",
            "--unit",
            RETRY,
            f"--on-active={seconds}",
            "--timer-property=AccuracySec=1s",
            "--description=Try the stalled live patch again",
            "systemctl",
            "start",
            "--no-block",
            mailbox.UNIT,
        ],
    )
