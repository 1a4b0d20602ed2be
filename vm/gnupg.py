# SPDX-License-Identifier: GPL-2.0-or-later
"""Throw-away folders for gpg and keys in them, for the demo host, the tests and the benchmarks."""

from __future__ import annotations

import contextlib
import glob
import shutil
import tempfile
import time
from collections.abc import Iterator

from .common import run


@contextlib.contextmanager
def home() -> Iterator[str]:
    """A new folder for GNUPGHOME. At the end its agent is stopped and the folder removed.

    The folder lies directly below /tmp, because the path of the agent's socket has to be short.
    """
    folder = tempfile.mkdtemp(prefix="lp-gpg-")
    try:
        yield folder
    finally:
        stop(folder)
        shutil.rmtree(folder, ignore_errors=True)


def stop(folder: str) -> None:
    """End gpg's agent for ``folder``, and wait until all its sockets are gone: the folder can go then.

    Where inotify is used up, no agent notices that its folder is gone. An agent that is told to end removes
    its sockets after it has answered.
    """
    run(["gpgconf", "--homedir", folder, "--kill", "all"])
    socket = run(["gpgconf", "--homedir", folder, "--list-dirs", "agent-socket"]).strip()
    until = time.monotonic() + 60
    while glob.glob(glob.escape(socket) + "*") and time.monotonic() < until:
        time.sleep(0.02)


def gpg(folder: str, *words: str) -> str:
    """The output of gpg with the keys of ``folder``."""
    return run(["gpg", "--batch", "--quiet", "--homedir", folder, *words])


def make_key(folder: str, user: str) -> str:
    """Make a signing key without a passphrase in ``folder``; returns the public key."""
    gpg(folder, "--passphrase", "", "--quick-generate-key", user, "rsa3072", "sign", "never")
    return gpg(folder, "--armor", "--export", user)
