# SPDX-License-Identifier: GPL-2.0-or-later
"""One input for one parser: which fault it shows, if any. Mutations of valid inputs."""

from __future__ import annotations

import random
import resource
import signal
import traceback
from collections.abc import Iterator

from .targets import Target

SECONDS = 1.0
MEBIBYTES = 64
#: Bytes that parsers tend to take for something else.
_WORDS = (
    *(b"\0", b"\xff" * 8, b"\xe2\x80\xae", b"\xc2\x9b31m", b"\x1b[31m", b"\xed\xa0\x80", b"\xc2\xb2"),
    *(b"\xd9\xa2", b"9" * 30, b"-1", b"1e999", b"NaN", b"null", b"true", b"[" * 64, b"{" * 64, b'{"":' * 32),
    *(b'"', b"\\u0000", b"../../../", b"/dev/zero", b"%s%n", b"{any}", b"\r\n", b"\n", b" " * 64, b"&x;"),
    *(b"<!DOCTYPE x [", b"]]>"),
)


class Hang(BaseException):
    """The parser took longer than SECONDS."""


def _hang(*_: object) -> None:
    raise Hang


def fault(target: Target, data: bytes) -> str:
    """Why ``data`` shows a fault of ``target``: an exception, a hang, or memory; "" when it does not."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    old = signal.signal(signal.SIGALRM, _hang)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        target.run(data)
    except target.declared:
        pass
    except Hang:
        return f"took longer than {SECONDS:g} s"
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return (
            f"{type(error).__name__} at {where.filename.rpartition('/')[2]}:{where.lineno}: {error!s:.100}"
        )
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10
    return f"took {grown} MiB" if grown > MEBIBYTES else ""


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
