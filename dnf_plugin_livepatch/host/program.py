# SPDX-License-Identifier: GPL-2.0-or-later
"""Other people's programs, such as a vendor's loader or a health check, run with every bound that there is.

A program may stay in the kernel's uninterruptible sleep or leave children behind; the caller goes on.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from ..base.typed import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess
    from typing import Callable

MAX_OUTPUT = 1 << 18
KILL_SECONDS = 5.0
_POLL_SECONDS = 0.2
_PIPE = 1 << 20  # as much as a pipe can hold


class Unusable(Exception):
    """The program gave no answer that may be believed; str() is the reason, in one line."""


class NotStarted(Unusable):
    """The program does not exist, or the kernel does not run it."""


class Killed(Unusable):
    """A signal ended the program."""


def run(
    argv: Sequence[str],
    timeout: float,
    environment: Mapping[str, str] | None = None,
    whole: bool = True,
    most: int = MAX_OUTPUT,
    descriptors: Sequence[int] = (),
    still: Callable[[float], None] | None = None,
) -> tuple[int, str]:
    """Run ``argv`` for at most ``timeout`` seconds; return its exit code and output, errors included.

    Only the program itself is waited for: a daemon that it leaves behind may keep the pipe. With ``whole``
    an output of more than ``most`` bytes is a failure; without ``whole`` the end of the output is the
    answer. ``descriptors`` stay open in the program. With ``still`` a program that lives is never given up:
    after each ``timeout`` seconds ``still`` is called with the seconds so far. Raises Unusable.
    """
    import subprocess

    try:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd="/",
            start_new_session=True,
            pass_fds=descriptors,
        )
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise NotStarted(f"{argv[0]} cannot be run: {why}") from None
    try:
        data = _read(child, argv[0], timeout, most, whole, still)
    except Unusable as fault:
        raise Unusable(f"{fault}{_kill(child)}") from None
    except BaseException:
        _kill(child)
        raise
    if child.returncode < 0:
        raise Killed(f"{argv[0]} was ended by signal {-child.returncode}")
    return child.returncode, data.decode("utf-8", "replace")


def _read(
    child: subprocess.Popen[bytes],
    name: str,
    timeout: float,
    most: int,
    whole: bool,
    still: Callable[[float], None] | None,
) -> bytes:
    """Return the child's output up to its end. Raises Unusable while the child may be running still."""
    import selectors
    import time

    assert child.stdout is not None
    start = time.monotonic()
    deadline = start + timeout
    data, open_still, ended = b"", True, False
    with child.stdout, selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while not ended:
            ended = child.poll() is not None
            left = deadline - time.monotonic()
            if not ended and left <= 0 and still is not None:
                still(time.monotonic() - start)
                deadline += timeout
                continue
            if not ended and left <= 0:
                raise Unusable(f"{name} did not end within {timeout:g} seconds")
            if not open_still:
                time.sleep(0 if ended else min(left, _POLL_SECONDS / 10))
            elif selector.select(0 if ended else min(left, _POLL_SECONDS)):
                # After the child's end one read takes the rest of its output; later output is another
                # process's.
                block = os.read(child.stdout.fileno(), _PIPE)
                open_still = bool(block)
                data += block
                if whole and len(data) > most:
                    raise Unusable(f"{name} wrote more than {most} bytes")
                data = data[-most:]
    return data


def _kill(child: subprocess.Popen[bytes]) -> str:
    """Kill the child and its group; return a text to add to the failure where the child does not end."""
    import signal
    import subprocess

    if child.returncode is not None:
        return ""  # the process id may be another process's by now
    try:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait(KILL_SECONDS)
    except (OSError, subprocess.TimeoutExpired):  # the child is another user's, or stuck in the kernel
        return " and could not be killed"
    return ""
