# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel releases that a package of the metadata patches or offers.

The rules are the host's own (``vendors/profiles.py``), so that a publisher sees what hosts will see.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

from ...base import names
from ...base.model import Nevra
from ...base.paths import Paths
from ...vendors import profiles
from .view import Capability

_KERNEL = re.compile(r"kernel(?:-[a-z0-9]+)*-uname-r\Z")


@functools.lru_cache(maxsize=1)
def _profiles() -> tuple[profiles.Profile, ...]:
    return profiles.load(Paths().profile_dirs)[0]


def patched(
    nevra: Nevra, provides: Iterable[Capability], requires: Iterable[Capability]
) -> tuple[str, tuple[str, ...], str]:
    """(kind, kernel releases, why): kind is ``patch``, ``empty`` or "" for no live patch."""
    if nevra.name.endswith(("-debuginfo", "-debugsource")):
        return "", (), "debugging data"
    # The capabilities of CVEs name no kernel, and are most of a cumulative patch's.
    telling = [str(item) for item in provides if not names.declared_cve(item.name)]
    found = profiles.match_all(nevra, telling, map(str, requires), _profiles())
    if found[0].kind not in ("patch", "empty"):
        return "", (), found[0].why
    return found[0].kind, tuple(sorted({match.kernel_release for match in found})), found[0].why


def looks_patched(nevra: Nevra, provides: Iterable[Capability]) -> bool:
    """Whether the name alone, or the capabilities alone, would make a live patch of the package.

    If ``patched`` does not take such a package for a live patch, name and capabilities disagree.
    """
    if nevra.arch in ("src", "nosrc") or nevra.name.endswith(("-debuginfo", "-debugsource")):
        return False
    given = [str(capability) for capability in provides]
    if "patch" not in nevra.name and not any("patch" in capability for capability in given):
        return False
    by_name = profiles.match(nevra, (), (), _profiles())
    by_provides = profiles.match(nevra._replace(name="unnamed"), given, (), _profiles())
    return by_name.kernel_release != "" or by_provides.kernel_release != ""


def offered(provides: Iterable[Capability]) -> tuple[str, ...]:
    """The kernel releases that a kernel package provides (``kernel-uname-r = R``)."""
    return tuple(
        sorted(
            {
                names.release_of_capability(capability.value)
                for capability in provides
                if _KERNEL.match(capability.name) and capability.flags == "EQ" and capability.value
            }
        )
    )
