# SPDX-License-Identifier: GPL-2.0-or-later
"""A folder with an rpm database and repositories, opened by the real DNF. Needs no chroot."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from typing import Any

import dnf

from tests.dnf.support.lab import Update, repository
from tests.dnf.support.rpms import Rpm


class Machine:
    """An installroot with installed packages, and repositories; ``base`` opens dnf on it."""

    def __init__(self, folder: str, built: dict[str, str]) -> None:
        self.folder, self.built = folder, built
        self.repos: list[tuple[str, str]] = []
        self.bases: list[Any] = []

    def install(self, *packages: Rpm) -> None:
        paths = [self.built[str(package)] for package in packages]
        os.makedirs(self.folder + "/root", exist_ok=True)
        options = ["--root", self.folder + "/root", "--justdb", "--nodeps", "--noscripts"]
        subprocess.run(["rpm", *options, "-i", *paths], check=True, capture_output=True)

    def repo(self, packages: Iterable[Rpm], updates: Iterable[Update] = (), text: str = "") -> str:
        name = f"repo{len(self.repos)}"
        path = f"{self.folder}/{name}"
        repository(path, [self.built[str(package)] for package in packages], updates, text)
        self.repos.append((name, path))
        return path

    def base(self, **variables: str) -> Any:
        base = dnf.Base()
        base.conf.installroot = self.folder + "/root"
        base.conf.cachedir = f"{self.folder}/cache{len(self.bases)}"
        base.conf.reposdir = []
        base.conf.substitutions.update({"releasever": "9", "basearch": "x86_64", **variables})
        for name, path in self.repos:
            repo = base.repos.add_new_repo(name, base.conf, baseurl=["file://" + path], gpgcheck=False)
            repo.add_metadata_type_to_download("livepatch")
        base.fill_sack()
        self.bases.append(base)
        return base
