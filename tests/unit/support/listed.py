# SPDX-License-Identifier: GPL-2.0-or-later
"""Advisories of kernels by their essentials, and the file of real ones."""

from __future__ import annotations

import os
from typing import Callable

from dnf_plugin_livepatch.base.model import Advisory, Nevra
from dnf_plugin_livepatch.base.names import parse_nevra

#: pytest's ``record_property``.
Record = Callable[[str, object], None]

DATA = os.path.join(
    os.path.dirname(os.path.dirname(os.path.dirname(__file__))), "data", "kernel-advisories.tsv"
)


def kernel(evr: str, name: str = "kernel-core") -> Nevra:
    return parse_nevra(f"{name}-{evr}.x86_64")


def advisory(
    identifier: str,
    evr: str,
    *cves: str,
    kind: str = "security",
    name: str = "kernel-core",
    severity: str = "",
) -> Advisory:
    return Advisory(identifier, kind, severity, "", "", cves, (kernel(evr, name),))
