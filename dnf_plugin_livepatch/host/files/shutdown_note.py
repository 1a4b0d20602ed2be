# SPDX-License-Identifier: GPL-2.0-or-later
"""The note of the last orderly shutdown, which livepatch-mark-shutdown writes and the next boot reads.

The first line is the id of the boot that ended. The second line names the live patches that were in force
then. The rest is the last result of that boot. The note of an earlier version has the first line alone.
"""

from __future__ import annotations

from ...base import fields
from ...base.model import ReconcileResult
from ...base.paths import Paths
from ...base.typed import NamedTuple
from ..read import read_text
from . import atomic, mailbox

MAX_TEXT = 1 << 20
_MAX_MODULES = 1000


class Note(NamedTuple):
    """The shutdown that ended the boot ``boot_id``, "" for none.

    ``in_force`` are the modules in force then. ``result`` is the last one of that boot, None for none.
    """

    boot_id: str = ""
    in_force: tuple[str, ...] = ()
    result: ReconcileResult | None = None


def read(paths: Paths) -> Note:
    """Return the note, the empty one where there is none. A damaged result is none."""
    boot_id, _, more = read_text(paths.clean_shutdown, MAX_TEXT).partition("\n")
    modules, _, text = more.partition("\n")
    try:
        result = mailbox.load(fields.document(text, MAX_TEXT, atomic.SCHEMA)) if text else None
    except (fields.FieldError, atomic.Broken):
        result = None
    if result is not None and result.boot_id != boot_id:
        result = None
    return Note(boot_id[:64], tuple(modules.split()[:_MAX_MODULES]), result)
