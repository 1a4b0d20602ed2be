# SPDX-License-Identifier: GPL-2.0-or-later
"""Facts that the journal keeps of a load: the CVEs it closes, and since when the host was exposed to them.

Vendor packages carry neither. The cache of the advisories does, but only for the running kernel, so both
must be written down with the load: after the next boot they are gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ...base.model import Action, Debt, InForce, Kernel
from ...base.paths import Paths
from ...vendors.profile_file import Profile
from ..clients import client
from ..files import advisories, mailbox


def _closed(patches: Iterable[InForce], cover: Mapping[str, tuple[str, ...]]) -> set[str]:
    return {cve for patch in patches for cve in patch.cves or cover.get(patch.nevra, ())}


def dated(row: Debt) -> tuple[str, str]:
    """The date of an advisory and its kind, ``issued`` or ``updated``: libdnf knows only the later date."""
    return row.issued, str(getattr(row, "date_kind", "updated"))


def facts(paths: Paths, kernel: Kernel, loaded: Sequence[InForce]) -> dict[str, object]:
    """``cves`` that the patches ``loaded`` close by their own word or else the advisories' (the cache), and
    ``exposed_since``, the date of the oldest advisory for one of them that nothing had closed before, and
    ``date_kind``, which date of the advisory that is.

    Whatever is not known is left out; an unreadable cache is no fault here.
    """
    inputs = advisories.load(paths, kernel.release)[0]
    cover = dict(inputs.cover) if inputs is not None else {}
    closed = _closed(loaded, cover)
    last = mailbox.read_result(paths)
    before = last.in_force if last is not None and last.boot_id == kernel.boot_id else ()
    new = closed - _closed(before, cover)
    debt = inputs.debt if inputs is not None else ()
    dates = [dated(row) for row in debt if row.issued and row.cve in new]
    since, kind = min(dates, default=("", ""))
    return {"cves": tuple(sorted(closed)), "exposed_since": since, "date_kind": kind}


def by_client(
    paths: Paths, kernel: Kernel, rules: Iterable[Profile], in_force: Sequence[InForce], action: Action
) -> dict[str, object]:
    """The same for what a vendor's own client loaded, as ``in_force`` shows it; nothing for the rest.

    The advisories may speak for a patch only where the client names those that it has in force.
    """
    if (action.verb, action.outcome) != ("load", "done"):
        return {}
    named = any(client.names(rule) for rule in rules if rule.name.replace("-", "_") == action.module)
    loaded = [row for row in in_force if row.module == action.module and (row.cves or named)]
    return facts(paths, kernel, loaded)
