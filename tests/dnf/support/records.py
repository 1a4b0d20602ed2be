# SPDX-License-Identifier: GPL-2.0-or-later
"""States of the repositories with a ``livepatch`` record, beside those of the lab."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import time
from typing import Any

from dnf_plugin_livepatch.base import times
from tests.dnf.support import rpms
from tests.dnf.support.lab import RUNNING, Lab, replace


def stamp(seconds: float = 0) -> str:
    """The moment ``seconds`` from now."""
    return times.moment(time.time() + seconds)


def told(lab: Lab, state: str, patches: dict[str, Any], text: str = "", **kernel: Any) -> str:
    """The name of a state like ``state`` whose record has notes on the running kernel's ``patches``."""
    lab.count += 1
    name = f"record-{os.getpid()}-{lab.count}"
    folder = f"{lab.states}/{name}"
    shutil.copytree(f"{lab.states}/{state}", folder, copy_function=os.link)
    shutil.rmtree(folder + "/repodata")
    shutil.copytree(f"{lab.states}/{state}/repodata", folder + "/repodata")
    record = {"schema": 1, "kernels": {RUNNING: {"patches": patches, **kernel}}}
    path = folder + "/livepatch.json.gz"
    replace(path, gzip.compress((text or json.dumps(record)).encode()))
    command = ["modifyrepo_c", "--mdtype=livepatch", path, folder + "/repodata"]
    subprocess.run(command, check=True, capture_output=True)
    rpms.sign_metadata(lab.folder, folder + "/repodata")
    return name


def rollout(*steps: tuple[float, int]) -> dict[str, Any]:
    """The note of a patch with these steps: (seconds from now, percent)."""
    return {"rollout": [{"since": stamp(when), "percent": percent} for when, percent in steps]}


def withdrawn(reason: str = "it oopsed in vfs_read") -> dict[str, Any]:
    """The note of a patch that was taken back an hour ago."""
    return {"withdrawn": {"since": stamp(-3600), "reason": reason}}
