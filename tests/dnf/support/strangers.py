# SPDX-License-Identifier: GPL-2.0-or-later
"""Repositories beside the honest one, which say what they like."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator

from tests.dnf.support.lab import Lab, Update, plain, replace, repository
from tests.dnf.support.rpms import Rpm


def state(lab: Lab, packages: Iterable[Rpm], updates: Iterable[Update] = (), text: str = "") -> str:
    """The name of a state with these of the lab's packages and advisories; ``text`` is an updateinfo."""
    lab.count += 1
    name = f"stranger-{os.getpid()}-{lab.count}"
    wanted = {f"{rpm}.rpm" for rpm in packages}
    found = [path for path in _rpms(lab) if os.path.basename(path) in wanted]
    assert len(found) == len(wanted)
    repository(f"{lab.states}/{name}", found, updates, text)
    return name


def _rpms(lab: Lab) -> Iterator[str]:
    for folder, _, names in os.walk(lab.folder + "/build"):
        yield from (os.path.join(folder, name) for name in names if name.endswith(".rpm"))


def replaced(lab: Lab, like: str, kind: str, content: Callable[[bytes], bytes], packed: str = "gz") -> str:
    """The name of a state like ``like``, its metadata ``kind`` as ``content`` makes it of the old one.

    ``packed`` is how: gz, or "" for content that is packed already, under a name that ends in .gz.
    """
    lab.count += 1
    name = f"stranger-{os.getpid()}-{lab.count}"
    folder = f"{lab.states}/{name}"
    shutil.copytree(f"{lab.states}/{like}", folder, copy_function=os.link)
    shutil.rmtree(folder + "/repodata")
    shutil.copytree(f"{lab.states}/{like}/repodata", folder + "/repodata")
    # A database of the same name stands beside the XML file.
    files = (file for file in os.listdir(folder + "/repodata") if ".sqlite" not in file)
    old = next((file for file in files if f"{kind}." in file), "")
    data = b""
    if old:
        data = plain(f"{folder}/repodata/{old}")
        _modify(folder, "--remove", kind)
    path = f"{folder}/{kind}.{'xml' if kind != 'livepatch' else 'json'}{'' if packed else '.gz'}"
    replace(path, content(data))
    _modify(folder, *([] if packed else ["--no-compress"]), f"--mdtype={kind}", path)
    return name


def _modify(folder: str, *words: str) -> None:
    """Run modifyrepo_c; the last of ``words`` is a file or what is to be removed."""
    subprocess.run(["modifyrepo_c", *words, folder + "/repodata"], check=True, capture_output=True)
