# SPDX-License-Identifier: GPL-2.0-or-later
"""Oops texts that name a live patch: evidence that the patch took part in a kernel crash.

The sources are the kernel's ring buffer, pstore with the files that systemd-pstore saved from it, and
journald's record of an earlier boot. Only a stack frame in the module counts; its name in "Modules linked
in" does not.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence

from ...base import times
from ...base.paths import Paths
from .. import program
from ..read import read_bytes

MAX_TEXT = 8 << 20
MAX_FILES = 256
_REPORT = 300
_HEADER = re.compile(
    r"BUG: |kernel BUG at|Oops|general protection fault|Kernel panic|Unable to handle kernel"
    r"|Panic#|Internal error|invalid opcode|divide error|double fault|stack segment"
)
# "? " marks a frame that an earlier call left on the stack: it took no part in this one.
_FRAME = re.compile(r"(\? )?[^\s?]+\+0x[0-9a-f]+/0x[0-9a-f]+ \[([A-Za-z0-9_]+)[ \]]")
_END = "---[ end "


def oops_in(text: str, modules: Iterable[str]) -> str:
    """Return the heading of the first oops in ``text`` with a stack frame in ``modules``; "" for none."""
    wanted = frozenset(modules)
    heading, left = "", 0
    for line in text.split("\n"):
        if left == 0:
            if _HEADER.search(line):
                heading, left = line, _REPORT
        else:
            left = 0 if _END in line else left - 1
        if left and any(not stale and name in wanted for stale, name in _FRAME.findall(line)):
            return "".join(c if c.isprintable() else " " for c in heading.strip())[:200]
    return ""


def ring_buffer(paths: Paths, since: float) -> str:
    """Return the kernel's messages from ``since`` (seconds of this boot) on, as far as it still has them."""
    try:
        descriptor = os.open(paths.at("/dev/kmsg"), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    lines: list[str] = []
    total = 0
    try:
        while total < MAX_TEXT:
            try:
                data = os.read(descriptor, 8192)
            except BrokenPipeError:
                continue  # overwritten during the read; the next read goes on after the gap
            except OSError:
                break
            if not data:
                break
            total += len(data)
            for line in data.decode("utf-8", "replace").split("\n"):
                head, mark, text = line.partition(";")
                fields = head.split(",")
                if mark and len(fields) >= 3 and fields[2].isdigit() and int(fields[2]) >= since * 1e6:
                    lines.append(text)
    finally:
        os.close(descriptor)
    return "\n".join(lines)


def of_this_boot(paths: Paths, modules: Iterable[str], began: float) -> str:
    """Return the heading of an oops of this boot that names one of ``modules``; "" for none.

    ``began`` is the uptime from which on an oops counts.
    """
    return oops_in(ring_buffer(paths, max(0.0, began - 1)), modules)


def _saved(paths: Paths, since: float) -> Iterable[str]:
    seen = 0
    for top in ("/sys/fs/pstore", "/var/lib/systemd/pstore"):
        for folder, _, names in os.walk(paths.at(top)):
            for name in sorted(names):
                path = os.path.join(folder, name)
                seen += 1
                if seen > MAX_FILES:
                    return
                try:
                    if os.stat(path).st_mtime < since:
                        continue
                except OSError:
                    continue
                yield read_bytes(path, MAX_TEXT).decode("utf-8", "replace")


def _journald(paths: Paths, boot_id: str) -> str:
    if paths.root != "/" or not boot_id or not os.path.isdir("/run/systemd/system"):
        return ""
    argv = [
        "journalctl",
        "--boot=" + boot_id.replace("-", ""),
        "--dmesg",
        "--output=cat",
        "--no-pager",
        "--quiet",
        "--lines=5000",
    ]
    try:
        return program.run(argv, 10, whole=False, most=MAX_TEXT)[1]
    except program.Unusable:
        return ""


def _seconds(stamp: str) -> float:
    return float(times.parse(stamp) or 0)


def of_past_boot(paths: Paths, modules: Sequence[str], boot_id: str, since: str) -> str:
    """Return the heading of an oops of the boot ``boot_id`` that names one of ``modules``; "" for none.

    A text that pstore saved counts only where it is not older than the UTC time ``since``.
    """
    for text in _saved(paths, _seconds(since)):
        found = oops_in(text, modules)
        if found:
            return found
    return oops_in(_journald(paths, boot_id), modules)
