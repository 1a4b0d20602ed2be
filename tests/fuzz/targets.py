# SPDX-License-Identifier: GPL-2.0-or-later
"""The parsers of untrusted bytes, of both sides, by a name for people."""

from __future__ import annotations

from . import of_host, of_kernel, of_tools
from .target import Target

TARGETS: dict[str, Target] = {**of_host.TARGETS, **of_kernel.TARGETS, **of_tools.TARGETS}
