# SPDX-License-Identifier: GPL-2.0-or-later
"""The reboot that was advised last. A reboot that changed nothing is not advised again."""

from __future__ import annotations

import os

from ...base import fields
from ...base.model import Kernel
from ...base.paths import Paths
from ...base.typed import TYPE_CHECKING, NamedTuple
from . import atomic

if TYPE_CHECKING:
    from typing import Any


class Advised(NamedTuple):
    """In which boot of which kernel a boot into the build ``newer`` was advised.

    ``expected`` is the release that the boot loader was known to start, "" where that was not known.
    """

    boot_id: str
    release: str
    newer: str
    expected: str


def _load(data: dict[str, Any]) -> Advised:
    return Advised(*(fields.shown(data, name, 256, "") for name in Advised._fields))


def _before(paths: Paths) -> Advised | None:
    """Return the advice that was written down last; None for none and for a spoiled one."""
    try:
        data = atomic.read_json(paths.advised)
        return None if data is None else _load(data)
    except (atomic.Broken, fields.FieldError):
        return None


def in_vain(paths: Paths, now: Advised) -> bool:
    """Return whether the same was advised in an earlier boot, after which the same kernel runs again."""
    before = _before(paths)
    return (
        before is not None
        and before[1:] == now[1:]
        and "" not in (before.boot_id, now.boot_id)
        and (before.boot_id != now.boot_id)
    )


def remember(paths: Paths, now: Advised) -> None:
    """Write down that the reboot is advised ``now``; where that is not possible it is advised again."""
    try:
        if _before(paths) != now:
            atomic.write_json(paths.advised, dict(now._asdict()), _load)
    except OSError:
        return


def forget_others(paths: Paths, release: str) -> None:
    """Forget the advice that was given in another kernel than ``release``: that boot was not in vain."""
    before = _before(paths)
    if before is not None and before.release != release:
        try:
            os.unlink(paths.advised)
        except OSError:
            return


def of(kernel: Kernel, newer: str, expected: str) -> Advised:
    """Return the advice to boot into ``newer``, given in this boot."""
    return Advised(kernel.boot_id, kernel.release, newer, expected)
