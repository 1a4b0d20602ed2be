# SPDX-License-Identifier: GPL-2.0-or-later
"""All parts of the host that are needed once a transaction is over, imported as a whole before it.

The transaction may replace this very package, and the standard library, on disk. So that no import is left
for later, this module imports at its top the modules that the modules below import when they need them.
"""

from __future__ import annotations

import calendar  # noqa: F401
import hashlib  # noqa: F401
import selectors  # noqa: F401
import sqlite3  # noqa: F401
import subprocess  # noqa: F401

from ..base.model import ReconcileResult
from ..base.paths import Paths
from ..messages.catalogue import problem
from . import look, read  # noqa: F401
from .clients import client, patches  # noqa: F401
from .files import advisories, atomic, guard_file, mailbox, notices  # noqa: F401
from .kernel import livepatches, running  # noqa: F401
from .packages import evr, installed, inventory, vendor_cves  # noqa: F401
from .reconcile import timers


def ask(paths: Paths, timeout: float, progress: mailbox.Progress | None) -> ReconcileResult | None:
    """Ask for a reconcile and return its answer; None when there is no answer within ``timeout`` seconds.

    A load that goes on by then is an answer too.
    """
    return mailbox.ask(paths, timeout, progress) or _under_way(paths)


def _under_way(paths: Paths) -> ReconcileResult | None:
    """Return the answer that a live patch is being loaded now; None where none is."""
    kernel = running.running(paths)
    try:
        entries = guard_file.read(paths).entries
    except atomic.Broken:
        return None
    found = tuple(
        problem("load-goes-on", nevra=nevra, since=entry.since)
        for nevra, entry in entries.items()
        if entry.state == "loading" and entry.boot_id == kernel.boot_id
    )
    return mailbox.new_result("", kernel, ok=False, problems=found) if found else None


def ask_only(paths: Paths) -> None:
    """Ask for a reconcile without waiting for it."""
    mailbox.request(paths)
    timers.now(paths)
