# SPDX-License-Identifier: GPL-2.0-or-later
"""What the journal is to keep of a load: the CVEs it closes, and since when the host was exposed to them.

Vendors' packages tell neither, and the cache of the advisories, which does, is that of the running kernel:
what is not noted with the load cannot be told after the next boot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ...base.model import ISSUED, UPDATED, Action, InForce, Kernel
from ...base.paths import Paths
from ...vendors.profile_file import Profile
from ..clients import client
from ..files import advisories, mailbox


def _closed(patches: Iterable[InForce], cover: Mapping[str, tuple[str, ...]]) -> set[str]:
    return {cve for patch in patches for cve in patch.cves or cover.get(patch.nevra, ())}


def facts(paths: Paths, kernel: Kernel, loaded: Sequence[InForce]) -> dict[str, object]:
    """``cves`` that the patches ``loaded`` close by their own word or else the advisories' (the cache), and
    ``exposed_since``, the date of the oldest advisory for one of them that nothing had closed before;
    ``exposed_since_kind`` is ``issued`` only where each of these advisories is known by that date.

    Whatever is not known is left out; an unreadable cache is no fault here.
    """
    inputs = advisories.load(paths, kernel.release)[0]
    cover = dict(inputs.cover) if inputs is not None else {}
    closed = _closed(loaded, cover)
    last = mailbox.read_result(paths)
    before = last.in_force if last is not None and last.boot_id == kernel.boot_id else ()
    new = closed - _closed(before, cover)
    debt = inputs.debt if inputs is not None else ()
    rows = [row for row in debt if row.dated and row.cve in new]
    since = min((row.dated for row in rows), default="")
    kind = "" if not rows else ISSUED if all(row.date_kind == ISSUED for row in rows) else UPDATED
    return {"cves": tuple(sorted(closed)), "exposed_since": since, "exposed_since_kind": kind}


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
