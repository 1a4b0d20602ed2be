# SPDX-License-Identifier: GPL-2.0-or-later
"""The content of a disk after a power cut, read without a boot: file system, rpm database, state files."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from typing import NamedTuple

from dnf_plugin_livepatch.base.paths import Paths
from dnf_plugin_livepatch.host.files import atomic, guard_file, journal
from dnf_plugin_livepatch.host.read import read_bytes, read_text


class Found(NamedTuple):
    """``wrong`` must not be. ``record`` is the guard's state of the patch, ``damaged`` the files of the
    installed package that are not what the rpm database says."""

    wrong: list[str]
    installed: bool
    record: str
    damaged: list[str]


def _run(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)


def look(raw: str, work: str, package: str) -> Found:
    """Examine the file system image ``raw`` on a copy below ``work``, which is emptied."""
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    copy = os.path.join(work, "copy")
    _run("cp", "--sparse=always", raw, copy)
    wrong = []
    # As the kernel does when it mounts: replay the journal, nothing else; then there is nothing to repair.
    if _run("e2fsck", "-y", "-E", "journal_only", copy).returncode not in (0, 1):
        wrong.append("the file system's journal cannot be replayed")
    if _run("e2fsck", "-fn", copy).returncode:
        wrong.append("the file system is damaged")
    for folder in ("/var/lib/rpm", "/var/lib/livepatch"):
        os.makedirs(work + os.path.dirname(folder), exist_ok=True)
        _run("debugfs", "-R", f"rdump {folder} {work}{os.path.dirname(folder)}", copy)
    database = ("rpm", "--dbpath", work + "/var/lib/rpm")
    if _run(*database, "--verifydb").returncode or _run(*database, "-qa").returncode:
        wrong.append("the rpm database is damaged")
    listed = _run(*database, "-q", "--qf", "[%{FILENAMES} %{FILEDIGESTS}\n]", package)
    installed = listed.returncode == 0
    damaged = []
    for line in listed.stdout.splitlines() if installed else ():
        path, _, digest = line.partition(" ")
        if digest and hashlib.sha256(_content(copy, work, path)).hexdigest() != digest:
            damaged.append(path)
    record = ""
    paths = Paths(work)
    try:
        record = next((item.state for item in guard_file.read(paths).entries.values()), "")
        for path in (paths.exposure, paths.notices):
            atomic.read_json(path)
        whole = [json.loads(line) for line in read_text(paths.journal).splitlines()]
        if len(journal.read(paths)) != len(whole):
            wrong.append("history lost a line")
    except ValueError as error:
        wrong.append(str(error))
    if record and (damaged or not installed):
        wrong.append(
            f"the record says {record}, but the patch is not on the disk: {damaged or 'not installed'}"
        )
    return Found(wrong, installed, record, damaged)


def _content(image: str, work: str, path: str) -> bytes:
    target = os.path.join(work, "file")
    if os.path.exists(target):
        os.unlink(target)
    _run("debugfs", "-R", f"dump {path} {target}", image)
    return read_bytes(target, 1 << 24)
