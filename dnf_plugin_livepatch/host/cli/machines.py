# SPDX-License-Identifier: GPL-2.0-or-later
"""The verbs for machines: metrics, check, vex, facts, motd."""

from __future__ import annotations

import os

from ... import __version__
from ...base.typed import TYPE_CHECKING
from ..read import read_text
from ..report import exports, text
from .context import Refusal
from .show import look

if TYPE_CHECKING:
    from .context import Context


def metrics(context: Context) -> int:
    """Print metrics for node_exporter's textfile collector."""
    report, advice = look(context)
    if context.options.json:
        context.json(text.body(report, advice))
    else:
        context.put(exports.metrics(report, advice))
    return 0


def check(context: Context) -> int:
    """Print the line of a Nagios plugin and return its exit code."""
    report, advice = look(context)
    code, line = exports.check(report, advice)
    if context.options.json:
        context.json({"code": code, "text": line})
    else:
        context.lines([line])
    return code


def vex(context: Context) -> int:
    """Print the OpenVEX document of this host's kernel, without a schema number: OpenVEX is the schema."""
    import json

    report, _ = look(context)
    host = "unknown" if context.paths.foreign else os.uname().nodename
    document = exports.vex(report, _distribution(context), host, __version__)
    if not document:
        why = report.exposure.reason or "no CVE of this kernel is known"
        raise Refusal("vex-empty", why=why)
    context.put(json.dumps(document, indent=1) + "\n")
    return 0


def _distribution(context: Context) -> str:
    for line in read_text(context.paths.at("/etc/os-release")).split("\n"):
        key, _, value = line.partition("=")
        if key == "ID":
            return value.strip("\"'") or "linux"
    return "linux"


def facts(context: Context) -> int:
    """Print the JSON object that Ansible reads from an executable in /etc/ansible/facts.d."""
    report, advice = look(context)
    context.json(text.body(report, advice))
    return 0


def motd(context: Context) -> int:
    """Print the lines for /run/motd.d; nothing when all is well."""
    report, advice = look(context)
    lines = exports.motd(report, advice)
    if context.options.json:
        context.json({"lines": lines})
    else:
        context.lines(lines)
    return 0
