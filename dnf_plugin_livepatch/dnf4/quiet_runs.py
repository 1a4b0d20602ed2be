# SPDX-License-Identifier: GPL-2.0-or-later
"""Remember, for this boot, that there was nothing to add, nothing to keep out and nothing to say.

Most runs of `dnf upgrade` find the repositories, the rpm database, the kernel and our own files as the run
before left them. Then its answer stands, and finding that out costs a few stat() calls. Whatever changes
any of them makes the texts differ, and the whole is looked at again.
"""

from __future__ import annotations

import os
import time

from ..base.paths import Paths
from ..base.typed import TYPE_CHECKING
from ..host import for_planning

if TYPE_CHECKING:
    from typing import Any


#: What is remembered: that the run had nothing to add and nothing to say; that no record keeps a patch out.
QUIET, FREE = "quiet", "free"
#: Seconds after which the advisories are read again although no repository changed.
_FRESH = 6 * 3600


def take(base: Any, paths: Paths) -> str:
    """A text that changes with everything that an answer depends on; "" when that cannot be told."""
    import rpm

    parts = [for_planning.fingerprint(paths, rpm.expandMacro("%_dbpath"))]
    for repo in sorted(base.repos.iter_enabled(), key=lambda item: str(item.id)):
        stamp = revision(repo)
        if not stamp:
            return ""
        parts.append(f"{repo.id} {stamp} {repo.gpgcheck} {repo.repo_gpgcheck}")
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
    return for_planning.recall(paths, what) == now.strip()


def save(paths: Paths, now: str, what: str) -> None:
    """Remember ``what`` for ``now``; where that cannot be written, the next run looks again."""
    if not now:
        return
    try:
        for_planning.remember(paths, what, now.strip())
    except OSError:
        return
