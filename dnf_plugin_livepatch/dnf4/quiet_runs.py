# SPDX-License-Identifier: GPL-2.0-or-later
"""Remember, for this boot, that there was nothing to add, nothing to keep out and nothing to say.

Most runs of `dnf upgrade` find the repositories, the rpm database, the kernel and the project's files as
the run before left them. The answer of that run still holds then, and a few stat() calls find that out.
After any change the texts differ, and everything is read again.
"""

from __future__ import annotations

import os
import time

from ..base.paths import Paths
from ..base.typed import TYPE_CHECKING
from ..host import for_planning

if TYPE_CHECKING:
    from typing import Any


#: The two memories: the run had nothing to add and nothing to say; no record keeps a patch out.
QUIET, FREE = "quiet", "free"
#: Seconds after which the advisories are read again although no repository changed.
_FRESH = 6 * 3600


def take(base: Any, paths: Paths) -> str:
    """A text that changes with everything that an answer depends on; "" when that is not known."""
    import rpm

    parts = [for_planning.fingerprint(paths, rpm.expandMacro("%_dbpath"))]
    for repo in sorted(base.repos.iter_enabled(), key=lambda item: str(item.id)):
        stamp = revision(repo)
        if not stamp:
            return ""
        parts.append(f"{repo.id} {stamp} {repo.gpgcheck} {repo.repo_gpgcheck}")
    return "\n".join([*parts, paths.root, *map(str, base.conf.excludepkgs)])


def revision(repo: Any) -> str:
    """The revision of a repository's metadata, by no public way of DNF; "" where that way is gone."""
    try:
        return str(repo._repo.getRevision() or "")
    except AttributeError:
        return ""


def same(paths: Paths, now: str, what: str) -> bool:
    """Is ``now`` the text for which ``what`` was remembered?

    The user is shown the age of the advisories, so they are read again after _FRESH seconds in any case.
    """
    try:
        if not now or not 0 <= time.time() - os.stat(paths.exposure).st_mtime < _FRESH:
            return False
    except OSError:
        return False
    return for_planning.recall(paths, what) == now.strip()


def save(paths: Paths, now: str, what: str) -> None:
    """Remember ``what`` for ``now``; if the note cannot be written, the next run looks again."""
    if not now:
        return
    try:
        for_planning.remember(paths, what, now.strip())
    except OSError:
        return
