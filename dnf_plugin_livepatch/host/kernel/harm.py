# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's own counts of its oopses and warnings, and its taint bits: what no user can forge.

Linux 6.2 and later count in /sys/kernel/oops_count and warn_count (kernel: Documentation/ABI/testing/
sysfs-kernel-oops_count, sysfs-kernel-warn_count). Older kernels have the taint bits alone, which are set
once in a boot (Documentation/admin-guide/tainted-kernels.rst).
"""

from __future__ import annotations

from ...base import names
from ...base.paths import Paths
from ...base.typed import NamedTuple
from ..read import read_text

#: Taint bits that the kernel sets when something in it went wrong.
TROUBLE = {16: "machine check", 32: "bad page", 128: "oops", 512: "warning", 16384: "soft lockup"}
#: Those of them that software causes.
_FAULTS = sum(TROUBLE) - 16


#: The taint bits that matter to live patching, with the letter by which the kernel prints each.
_SHOWN = {
    32768: "live patched (K)",
    8192: "unsigned module (E)",
    2: "module loaded by force (F)",
    8: "module removed by force (R)",
    16: "machine check (M)",
    32: "bad page (B)",
    128: "oops (D)",
    512: "warning (W)",
    16384: "soft lockup (L)",
}


class Harm(NamedTuple):
    """The counts at one moment: -1 where the kernel has no such count. ``taint`` are bits of TROUBLE."""

    taint: int = 0
    oopses: int = -1
    warnings: int = -1


def _count(paths: Paths, name: str) -> int:
    found = names.decimal(read_text(paths.at("/sys/kernel/" + name), 32), 19)
    return -1 if found is None else found


def _bits(paths: Paths) -> int:
    return names.decimal(read_text(paths.at("/proc/sys/kernel/tainted"), 32), 19) or 0


def taints(paths: Paths) -> tuple[str, ...]:
    """The taints of the running kernel that matter to live patching, for a person to read."""
    bits = _bits(paths)
    return tuple(text for bit, text in _SHOWN.items() if bits & bit)


def read(paths: Paths) -> Harm:
    """The counts now."""
    return Harm(_bits(paths) & sum(TROUBLE), _count(paths, "oops_count"), _count(paths, "warn_count"))


def proved(before: Harm, now: Harm) -> bool:
    """Did the kernel have a fault between ``before`` and ``now``, by its own account?

    Without a count from before, a bit that was set already hides every later fault.
    """
    return (
        0 <= before.oopses < now.oopses
        or 0 <= before.warnings < now.warnings
        or bool(now.taint & ~before.taint & _FAULTS)
    )


def named(bits: int) -> str:
    """The names of taint ``bits``, for a person to read."""
    return ", ".join(name for bit, name in TROUBLE.items() if bits & bit)
