# SPDX-License-Identifier: GPL-2.0-or-later
"""The facts that the journal keeps of a load: the CVEs it closes, and since when the host was exposed to
them.

Vendors' packages carry neither. The cache of the advisories has both, but only for the running kernel, so
they are written down with the load: after the next boot they are gone.
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
    """Return ``cves``, ``exposed_since`` and ``exposed_since_kind`` of the patches ``loaded``.

    ``cves`` are the CVEs that the patches declare, or else those that the advisories in the cache list.
    ``exposed_since`` is the date of the oldest advisory for one of the CVEs that nothing had closed before.
    ``exposed_since_kind`` is ``issued`` only where each of these advisories is known by that date. Unknown
    facts are empty; an unreadable cache is no fault here.
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
    """Return the same facts for a load by a vendor's own client; none for any other ``action``.

    ``in_force`` are the client's patches. The advisories count for a patch only where the client names the
    patches that it has in force.
    """
    if (action.verb, action.outcome) != ("load", "done"):
        return {}
    named = any(client.names(rule) for rule in rules if rule.name.replace("-", "_") == action.module)
    loaded = [row for row in in_force if row.module == action.module and (row.cves or named)]
    return facts(paths, kernel, loaded)
