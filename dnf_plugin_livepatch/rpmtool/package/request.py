# SPDX-License-Identifier: GPL-2.0-or-later
"""The package that a builder asks for. Pure."""

from __future__ import annotations

from typing import NamedTuple


class Request(NamedTuple):
    """The package that a builder asks for, as given and not yet checked; "" and () for what is not given.

    ``profile`` is the vendor whose names the package follows. ``dropped`` and ``unfixable`` are texts
    of the form CVE=REASON, ``overrides`` of the form ID=SEVERITY:REASON.
    """

    inputs: tuple[str, ...] = ()
    module: str = ""
    version: str = ""
    release: str = "1"
    dist: str = ""
    profile: str = "kpatch"
    engine: str = ""
    replace: bool = True
    depends: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    cves: tuple[str, ...] = ()
    unfixable: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    advisory: str = ""
    updateinfo: str = ""
    severity: str = ""
    issued: str = ""
    support_end: str = ""
