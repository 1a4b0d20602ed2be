# SPDX-License-Identifier: GPL-2.0-or-later
"""The verbs of livepatch-repo on thousands of packages, against createrepo_c and rpmkeys alone on the same.

Every package is a signed RPM with a manifest; ten are for each kernel. `rpmkeys` checks the signatures, and
`createrepo_c` writes metadata without the databases of version 0.17. Neither writes advisories or notes,
lints, or reads the result as a client, so these rows have no limit. `make bench-repo` measures them:
REPO_SIZES names the numbers of packages, and REPO_PAIRS the pairs. A run takes minutes, so none is made
before the first pair. Each row is printed as soon as it is measured.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import tempfile
from typing import Any

from vm import gnupg

from . import bench_publish, pairs, rpms
from .bench_publish import ENVIRONMENT, KEY, PYTHON, SOURCE

SIZES = tuple(int(word) for word in os.environ.get("REPO_SIZES", "3000").split())
PAIRS = int(os.environ.get("REPO_PAIRS", "1"))
_MOST_WORDS = 2000


class Sides:
    """A folder of ``size`` packages and a repository of them."""

    def __init__(self, scratch: str, size: int) -> None:
        self.size, self.scratch, self.home = size, scratch, os.path.join(scratch, "gpg")
        self.rpms, self.repo = (os.path.join(scratch, f"{name}{size}") for name in ("rpms", "repo"))
        self.key = os.path.join(scratch, "key.asc")
        secret = rpms.secret_key(self.home)
        self.paths = rpms.make(self.rpms, size, secret, bench_publish.CVES)
        self.one = os.path.join(scratch, f"{size}.x86_64.rpm")
        rpms.write(self.one, size, secret, bench_publish.CVES)
        self.tool = [PYTHON, os.path.join(SOURCE, "bin", "livepatch-repo")]
        self.signing = ["--key", self.key, "--sign-with", KEY, "--gpg-home", self.home]

    def fresh(self, name: str) -> str:
        """The path of a folder that is not there."""
        path = os.path.join(self.scratch, name)
        shutil.rmtree(path, ignore_errors=True)
        return path

    def publish(self) -> None:
        """Publish all packages in a new repository."""
        target = self.fresh(os.path.basename(self.repo))
        pairs.command(
            [*self.tool, "publish", "--repo", target, *self.signing, *self.paths], env=ENVIRONMENT
        )()

    def change(self, copy: bool, *words: str) -> None:
        """Run a verb of the tool on a copy of the repository, or on itself."""
        target = self.repo
        if copy:
            target = self.fresh("copy")
            subprocess.run(["cp", "-al", self.repo, target], check=True)
        argv = [target if word == "REPO" else word for word in words]
        pairs.command([*self.tool, *argv], good=(0, 3), env=ENVIRONMENT)()

    def promote(self) -> None:
        """Publish everything in another repository."""
        self.change(False, "promote", "--from", "REPO", "--to", self.fresh("promoted"), *self.signing)

    def createrepo(self) -> None:
        """Have createrepo_c write metadata of all packages."""
        target = self.fresh("plain")
        options = ["-q", "--no-database", "--outputdir", target]
        os.makedirs(target)
        pairs.command(["createrepo_c", *options, self.rpms])()

    def rpmkeys(self) -> None:
        """Have rpmkeys check all signatures."""
        rings = self.fresh("rings")
        base = ["rpmkeys", f"--define=_dbpath {rings}/rpmdb", f"--define=_keyringpath {rings}/keys"]
        pairs.command([*base, "--import", self.key])()
        check = [*base, "--define=_pkgverify_level all", "--checksig"]
        for start in range(0, self.size, _MOST_WORDS):
            pairs.command([*check, *self.paths[start : start + _MOST_WORDS]])()

    def both(self) -> None:
        """createrepo_c and rpmkeys, one after the other."""
        self.createrepo()
        self.rpmkeys()

    def updated(self) -> None:
        """Have createrepo_c write the metadata anew from those that it has."""
        target = os.path.join(self.scratch, "plain")
        pairs.command(
            ["createrepo_c", "-q", "--update", "--no-database", "--outputdir", target, self.rpms]
        )()


def _rows(sides: Sides) -> list[dict[str, Any]]:
    count = f"{sides.size:,} packages"
    change = functools.partial(sides.change, True)
    one = "kpatch-patch-5_14_0-0_13_1-1-1.el9_4.x86_64"
    changes = {
        f"publish {count} / createrepo_c + rpmkeys": (sides.publish, sides.both),
        f"publish 1 into {count} / createrepo_c --update": (
            functools.partial(change, "publish", "--repo", "REPO", *sides.signing, sides.one),
            sides.updated,
        ),
        f"withdraw 1 of {count} / createrepo_c --update": (
            functools.partial(change, "withdraw", "--repo", "REPO", "--reason", "b", *sides.signing, one),
            sides.updated,
        ),
        f"prune {count} to a tenth / createrepo_c --update": (
            functools.partial(change, "prune", "--repo", "REPO", "--keep", "1", *sides.signing),
            sides.updated,
        ),
        f"verify {count} / rpmkeys": (
            functools.partial(sides.change, False, "verify", "--repo", "REPO", "--key", sides.key),
            sides.rpmkeys,
        ),
        f"lint {count} / createrepo_c --update": (
            functools.partial(sides.change, False, "lint", "REPO", "--key", sides.key),
            sides.updated,
        ),
        f"promote {count} / createrepo_c": (sides.promote, sides.createrepo),
    }
    rows = []
    for name, (mine, theirs) in changes.items():
        rows.append(pairs.measure(name, mine, theirs, None, PAIRS, warm=False))
        print(json.dumps(rows[-1]), flush=True)
    return rows


def run(count: int) -> list[dict[str, Any]]:
    """The rows; ``count`` pairs would take days, so REPO_PAIRS has the number."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="bench-repo-") as scratch:
        home = os.path.join(scratch, "gpg")
        os.mkdir(home, 0o700)
        try:
            gnupg.gpg(home, "--passphrase", "", "--quick-generate-key", KEY, "rsa2048", "sign", "never")
            with open(os.path.join(scratch, "key.asc"), "w", encoding="ascii") as file:
                file.write(gnupg.gpg(home, "--armor", "--export", KEY))
            for size in SIZES:
                rows += _rows(Sides(scratch, size))
        finally:
            gnupg.stop(home)
    return rows
