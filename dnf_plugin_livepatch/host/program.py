# SPDX-License-Identifier: GPL-2.0-or-later
"""Other people's programs, such as a vendor's loader or a health check, run with every bound that there is.

A program may stay in the kernel's uninterruptible sleep or leave children behind; the caller goes on.
``run`` is for the programs of the operating system, ``run_foreign`` for an administrator's or a vendor's.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Mapping, Sequence

from ..base.typed import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess
    from typing import Callable

MAX_OUTPUT = 1 << 18
KILL_SECONDS = 5.0
_POLL_SECONDS = 0.2
_PIPE = 1 << 20  # as much as a pipe can hold
#: Set by livepatch-reconcile.service, whose limits are not meant for other people's programs.
CONFINED = "LIVEPATCH_CONFINED"
_MAX_LINKS = 40
# systemd-run ends with 1 where systemd refuses the unit, and many a program ends with 1 too. So the unit
# begins with a program that writes one byte before it becomes the program that was asked for.
_STARTED = "\x02"
_START = f"import os, sys; os.write(1, {_STARTED.encode()!r}); os.execv(sys.argv[1], sys.argv[1:])"
_UNIT = (
    "systemd-run", "--wait", "--pipe", "--collect", "--quiet", "--description=A program that livepatch asks",
    "--property=KillSignal=SIGKILL",
)  # fmt: skip


class Unusable(Exception):
    """The program gave no answer that may be believed; str() is the reason, in one line."""


class NotStarted(Unusable):
    """The program does not exist, or the kernel does not run it."""


class Killed(Unusable):
    """A signal ended the program."""


class NotAsked(Unusable):
    """The program was not run, for a reason that says nothing about its answer."""


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


def run_foreign(
    argv: Sequence[str],
    timeout: float,
    environment: Mapping[str, str] | None = None,
    whole: bool = True,
    still: Callable[[float], None] | None = None,
    longest: float = 0.0,
) -> tuple[int, str]:
    """Run a program that may need anything, as ``run`` does: outside the limits of the service that asks.

    ``longest``, for a program with ``still``, is when systemd ends it; 0 for after ``timeout`` seconds.

    Root runs only a file that nobody else can change. Raises NotAsked for another file, and where systemd
    does not start the program; Unusable as ``run`` does.
    """
    path = _found(argv[0], environment)
    try:
        why = changeable(path) if os.geteuid() == 0 else ""
    except OSError as error:
        raise NotStarted(f"{argv[0]} cannot be run: {error.strerror}") from None
    if why:
        raise NotAsked(why)
    if not os.environ.get(CONFINED):
        return run([path, *argv[1:]], timeout, environment, whole, still=still)
    return _run_by_systemd(
        [path, *argv[1:]], timeout, environment or {"LC_ALL": "C.UTF-8"}, whole, still, longest
    )


def _run_by_systemd(
    argv: Sequence[str],
    timeout: float,
    environment: Mapping[str, str],
    whole: bool,
    still: Callable[[float], None] | None,
    longest: float,
) -> tuple[int, str]:
    """Run ``argv`` in a unit of its own, which systemd ends with all that it started."""
    import time

    settings = [f"--setenv={name}={value}" for name, value in environment.items()]
    # systemd puts variables into arguments, where "$$" is one dollar sign.
    words = [word.replace("$", "$$") for word in argv]
    end = longest or timeout
    limits = [f"--property=RuntimeMaxSec={end:g}", *settings]
    began = time.monotonic()
    try:
        status, output = run(
            [*_UNIT, *limits, "--", sys.executable, "-Ic", _START, *words],
            timeout if still else timeout + 2 * KILL_SECONDS,
            whole=whole,
            still=still,
        )
    except (NotStarted, Killed) as fault:
        raise NotAsked(f"systemd did not run {argv[0]}: {fault}") from None
    # The beginning of a long output may be cut off, and systemd-run itself writes little.
    if status and not output.startswith(_STARTED) and len(output) < _PIPE // 256:
        raise NotAsked(f"systemd did not run {argv[0]}: {' '.join(output.split())[-200:]}")
    if status and time.monotonic() - began >= end:
        raise Unusable(f"{argv[0]} did not end within {end:g} seconds")
    return status, output[output.startswith(_STARTED) :]


def refusal(word: str) -> str:
    """Return why root would not run the program ``word``, or "". Raises OSError where there is none."""
    return changeable(_found(word, None))


def _found(word: str, environment: Mapping[str, str] | None) -> str:
    """Return the path of the program ``word``, looked for in the folders of PATH as a shell does."""
    if "/" in word:
        return os.path.join("/", word)
    for folder in filter(None, (environment or os.environ).get("PATH", os.defpath).split(":")):
        place = os.path.join("/", folder, word)
        if os.path.isfile(place) and os.access(place, os.X_OK):
            return place
    return os.path.join("/", word)


def changeable(path: str) -> str:
    """Return how others than root could change the program at ``path``; "" where they cannot.

    The file counts, and each folder and link on the way to it. Raises OSError where there is no such file.
    """
    here, todo, links = "/", [word for word in path.split("/") if word], 0
    found = os.lstat(here)
    while True:
        why = _others(found)
        if why or not todo:
            break
        if not stat.S_ISDIR(found.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), here)
        place = os.path.normpath(os.path.join(here, todo.pop(0)))
        found = os.lstat(place)
        if stat.S_ISLNK(found.st_mode) and not found.st_uid:
            links += 1
            if links > _MAX_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), place)
            target = os.readlink(place)
            todo = [word for word in target.split("/") if word] + todo
            place = "/" if target.startswith("/") else here
            found = os.lstat(place)
        here = place
    if why:
        return f"{here} {why}"
    return "" if stat.S_ISREG(found.st_mode) else f"{here} is no regular file"


def _others(found: os.stat_result) -> str:
    if found.st_uid:
        return f"belongs to user {found.st_uid}, not to root"
    sticky = stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX
    return "can be written by others than root" if found.st_mode & 0o022 and not sticky else ""
