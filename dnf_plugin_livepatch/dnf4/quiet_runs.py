# SPDX-License-Identifier: GPL-2.0-or-later
"""Remember, for this boot, that there was nothing to add, nothing to keep out and nothing to say.

Most runs of `dnf upgrade` find the repositories, the rpm database, the kernel and our own files as the run
before left them. Then its answer stands, and finding that out costs a few stat() calls. Whatever changes
any of them makes the texts differ, and the whole is looked at again.
"""

from __future__ import annotations

import os
import time
from typing import Any

from ..base.paths import Paths
from ..host.read import read_text

#: What is remembered: that the run had nothing to add and nothing to say; that no record keeps a patch out.
QUIET, UNBRAKED = "quiet", "unbraked"
#: Seconds after which the advisories are read again although no repository changed.
_FRESH = 6 * 3600


def take(base: Any, paths: Paths) -> str:
    """A text that changes with everything that an answer depends on; "" when that cannot be told."""
    import rpm

    from ..host.kernel import running
    from ..host.reconcile import unchanged

    parts = [unchanged.take(paths, running.running(paths), rpm.expandMacro("%_dbpath"))]
    for repo in sorted(base.repos.iter_enabled(), key=lambda item: str(item.id)):
        stamp = revision(repo)
        if not stamp:
            return ""
        parts.append(f"{repo.id} {stamp} {repo.gpgcheck}")
    return "\n".join([*parts, paths.root, *map(str, base.conf.excludepkgs)])


def revision(repo: Any) -> str:
    """The revision of a repository's metadata, "" when DNF, which offers no public way, does not tell."""
    try:
        return str(repo._repo.getRevision() or "")
    except AttributeError:
        return ""


def same(paths: Paths, now: str, what: str) -> bool:
    """Is ``now`` the text for which ``what`` was remembered?

    The exposure's age is told to the user, so that it is looked at anew from time to time anyway.
    """

    try:
        if not now or not 0 <= time.time() - os.stat(paths.exposure).st_mtime < _FRESH:
            return False
    except OSError:
        return False
    return read_text(paths.memo(what), 1 << 20) == now.strip()


def save(paths: Paths, now: str, what: str) -> None:
    """Remember ``what`` for ``now``; where that cannot be written, the next run looks again."""
    from ..host.files import atomic

    if not now:
        return
    try:
        atomic.write_bytes(paths.memo(what), now.strip().encode("utf-8", "surrogateescape"))
    except OSError:
        return
