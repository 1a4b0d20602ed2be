# SPDX-License-Identifier: GPL-2.0-or-later
"""The one way to DNF's loggers, and so to its terminal and its log file.

Texts of repositories, packages and other programs lose their control characters on the way. Everything is
imported at once: a transaction may have removed the plugin's files by the time a hook logs.
"""

from __future__ import annotations

import logging

from ..base import texts


class _Clean(logging.Filter):
    """Makes each record one line; the lines of a trace are indented, so that none passes for a record."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = texts.line(record.getMessage()), ()
        if record.exc_info:
            trace = logging.Formatter().formatException(record.exc_info)
            record.exc_text = "\n".join("  " + texts.line(row) for row in trace.split("\n"))
        return True


LOG = logging.getLogger("dnf.plugin.livepatch")
LOG.addFilter(_Clean())
