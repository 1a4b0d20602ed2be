# SPDX-License-Identifier: GPL-2.0-or-later
"""Publishing in a test, and the content of the repository afterwards."""

import os
import pathlib

from dnf_plugin_livepatch.repotool import settings, transaction
from dnf_plugin_livepatch.repotool.repository import metadata
from tests.tools.support import repositories as support
from tests.tools.support.repositories import KERNEL, signing, tool

NAME = support.patch_name(KERNEL)
V1, V2 = f"{NAME}-1-1.el9_4.x86_64", f"{NAME}-1-2.el9_4.x86_64"


def publish(repo, key, *rpms, check=True, more=()):
    """Publish ``rpms`` with the key; ``more`` are further words of the command line."""
    return tool("publish", "--repo", repo, *signing(key), *more, *rpms, check=check)


def loaded(repo):
    """The metadata in createrepo_c's objects."""
    return metadata.load(str(repo / "repodata"))


def names(repo):
    """The NEVRAs of the packages."""
    return sorted(f"{p.name}-{p.version}-{p.release}.{p.arch}" for p in loaded(repo).packages.values())


def advisories(repo):
    """The advisories by their id."""
    return {update.id: metadata.advisory_view(update) for update in loaded(repo).advisories}


def tree(folder):
    """Every file with its content, every link with its target."""
    found = {}
    for path in sorted(pathlib.Path(folder).rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = os.readlink(path)
        elif path.is_file() and not name.endswith(".lock"):
            found[name] = path.read_bytes()
    return found


def job_for(key, **more):
    """The circumstances of a change that is made in this process."""
    chosen = settings.Settings(
        keys=(str(key.public),), sign_with=key.name, gpg_home=str(key.home), grace=more.pop("grace", 0)
    )
    return transaction.Job(chosen, "2026-11-22T22:00:00Z", **more)
