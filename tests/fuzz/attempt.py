# SPDX-License-Identifier: GPL-2.0-or-later
"""One input for one parser: which fault it shows, if any. Mutations of valid inputs."""

from __future__ import annotations

import os
import random
import resource
import signal
import sys
import traceback
from collections.abc import Iterator

from .target import Target

#: Of processor time: a busy machine makes no fault.
SECONDS = 1.0
#: Of the clock, for a parser that waits: for a lock, a pipe, a program.
WAITING = 30.0
MEBIBYTES = 64
_PAGES = (1 << 20) // os.sysconf("SC_PAGESIZE")
#: Bytes that parsers tend to take for something else.
_WORDS = (
    *(b"\0", b"\xff" * 8, b"\xe2\x80\xae", b"\xc2\x9b31m", b"\x1b[31m", b"\xed\xa0\x80", b"\xc2\xb2"),
    *(b"\xd9\xa2", b"9" * 30, b"-1", b"1e999", b"NaN", b"null", b"true", b"[" * 64, b"{" * 64, b'{"":' * 32),
    *(b'"', b"\\u0000", b"../../../", b"/dev/zero", b"%s%n", b"{any}", b"\r\n", b"\n", b" " * 64, b"&x;"),
    *(b"<!DOCTYPE x [", b"]]>"),
)


class Hang(BaseException):
    """The parser took longer than SECONDS, or WAITING."""


def _hang(number: int, _: object) -> None:
    raise Hang(f"{SECONDS:g} s" if number == signal.SIGPROF else f"{WAITING:g} s of waiting")


def _peak() -> int:
    """The most memory that the process ever held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def _held() -> int:
    """The memory that the process holds now, in MiB."""
    with open("/proc/self/statm", "rb", 0) as file:
        return int(file.read(64).split()[1]) // _PAGES


def _bound_digits(most: int) -> None:
    if hasattr(sys, "set_int_max_str_digits"):
        sys.set_int_max_str_digits(most)


def fault(target: Target, data: bytes) -> str:
    """Why ``data`` shows a fault of ``target``: an exception, a hang, or memory; "" when it does not."""
    peak, held = _peak(), _held()
    bound = getattr(sys, "get_int_max_str_digits", int)()
    # The host's side runs on Pythons too that turn any number of digits into a number, in quadratic time.
    _bound_digits(0)
    old = [(number, signal.signal(number, _hang)) for number in (signal.SIGPROF, signal.SIGALRM)]
    try:
        try:
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            signal.setitimer(signal.ITIMER_REAL, WAITING)
            target.run(data)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
    except target.declared:
        pass
    except Hang as error:
        return f"took longer than {error}"
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return (
            f"{type(error).__name__} at {where.filename.rpartition('/')[2]}:{where.lineno}: {error!s:.100}"
        )
    finally:
        for number, handler in old:
            signal.signal(number, handler)
        _bound_digits(bound)
    grown = _peak() - held
    return f"took {grown} MiB" if grown > MEBIBYTES and _peak() > peak else ""


def mutations(seed: bytes, count: int, number: int) -> Iterator[bytes]:
    """``count`` variants of ``seed``, the same ones for the same ``number``."""
    chance = random.Random(number)
    for _ in range(count):
        data = bytearray(seed)
        for _ in range(chance.choice((1, 1, 2, 4, 9))):
            at = chance.randrange(len(data) + 1)
            kind = chance.randrange(6)
            if kind == 0 and data:
                data[min(at, len(data) - 1)] = chance.randrange(256)
            elif kind == 1:
                data[at:at] = chance.choice(_WORDS)
            elif kind == 2:
                del data[at : at + chance.choice((1, 2, 8, 64))]
            elif kind == 3:
                end = at + chance.randrange(1, 32)
                data[at:at] = data[at:end] * chance.choice((1, 2, 50))
            elif kind == 4:
                data[at : at + 8] = chance.choice(_WORDS)
            else:
                del data[at:]
        yield bytes(data)
