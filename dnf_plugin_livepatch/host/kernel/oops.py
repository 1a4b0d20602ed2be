# SPDX-License-Identifier: GPL-2.0-or-later
"""Oops texts whose stack has a frame in a live patch, in the kernel's log and in pstore.

A text alone proves nothing. Unprivileged users have the kernel print words of theirs, such as the name of
a mount option in a user namespace, or the name of a process that segfaults. Only the start of a line is
out of their reach, and only while a record stays one line: /dev/kmsg and journald's JSON keep records
apart, pstore does not. ``harm.py`` has the proof that a verdict needs beside the text.

The kernel gives its own lines facility 0. A line that a process wrote into /dev/kmsg has another facility,
and is no evidence at all.

A module's name in "Modules linked in" says nothing; only a stack frame counts.
"""

from __future__ import annotations

import collections
import os
import re
from collections.abc import Iterable, Sequence

from ...base import fields, names, times
from ...base.paths import Paths
from .. import program
from ..read import read_bytes

MAX_TEXT = 8 << 20
MAX_LINES = 100_000
MAX_LINE = 2048
MAX_FILES = 256
_REPORT = 300
_BOOT_LINES = 5000
#: The first line of an oops, by architecture: lib/bug.c and kernel/panic.c; die() and the page fault
#: handlers below arch/; kernel/watchdog.c.
_HEADER = re.compile(
    r"(?:watchdog: )?BUG: |kernel BUG at |Kernel panic - not syncing|Unable to handle kernel "
    r"|Oops[:\[ ]|Internal error: |general protection fault|(?:traps: )?PANIC: |stack segment: "
    r"|(?:invalid opcode|divide error|double fault|int3|illegal operation): [0-9a-f]{4} "
)
#: A process by name and number at the start of a line: what a trap of a process is told with.
_PROCESS = re.compile(r".{1,16} ?[\[(][0-9]{1,10}[\])]")
#: One frame, which ends its line: x86 and arm64 indent it, s390 and ppc64le write addresses before it, and
#: each has names for the first one. "? " marks what was left on the stack by an earlier call.
_FRAME = re.compile(
    r"(?:[ (\t]|RIP: [0-9a-f]{4}:|EIP: |pc : |lr : |NIP |LR |Krnl PSW : |\[[0-9a-f]{8,16}\])[ \t(]*"
    r"(?:\[?<?[0-9a-f]{8,16}>?\]?[ (]+){0,2}"
    r"(?P<stale>\? )?[A-Za-z0-9_.$]{1,512}\+0x[0-9a-f]{1,16}/0x[0-9a-f]{1,16}"
    r" \[(?P<module>[A-Za-z0-9_]{1,64})(?: [0-9a-f]{1,64})?\]\)?(?: \([A-Za-z]{1,20}\))?\s*\Z"
)
#: A place in a module, anywhere in a line: an honest line has it in a frame.
_PLACE = re.compile(r"\+0x[0-9a-f]{1,16}/0x[0-9a-f]{1,16} \[([A-Za-z0-9_]{1,64})[ \]]")
_END = "---[ end "
#: Stands before a line that the kernel did not write, so that the line begins like none of the kernel's.
WRITTEN = "written by a process: "
#: Before each line that the kernel wrote into pstore: its level, its time and, where configured, its caller.
_STAMP = re.compile(r"(?:<[0-9]{1,3}>)?(?:\[ *([0-9]{1,10}\.[0-9]{6})\](?:\[ *[TC][0-9]{1,10}\])? ?)?")
#: The first line of each part of a dump (fs/pstore/platform.c), written by the kernel as it went down.
_PART = re.compile(r"(Panic|Oops)#([0-9]{1,9}) Part([0-9]{1,9})\s*\Z")


def of_process(line: str) -> bool:
    """Return whether ``line`` begins with the name and the number of a process, which chooses its name."""
    return bool(_PROCESS.match(line))


def oops_in(lines: Iterable[str], modules: Iterable[str]) -> str:
    """Return the heading of the first oops whose stack has a frame in ``modules``; "" for none.

    Heading and frame are lines of their own, of one report, at most ``_REPORT`` lines apart.
    """
    wanted = frozenset(modules)
    heading, left = "", 0
    for line in lines:
        line = line[:MAX_LINE]
        if _HEADER.match(line) and not _PROCESS.match(line):
            heading, left = line, _REPORT
            continue
        left = 0 if line.startswith((_END, "WARNING: ")) else left - 1
        found = _FRAME.match(line) if left > 0 else None
        if found and not found["stale"] and found["module"] in wanted:
            return _shown(heading)
    return ""


def mention_in(lines: Iterable[str], modules: Iterable[str]) -> str:
    """Return the first line with a place in one of ``modules``, whoever had it printed; "" for none."""
    wanted = frozenset(modules)
    for line in lines:
        line = line[:MAX_LINE]
        # The search is for the few lines that may have a place in them.
        if "/0x" in line and not wanted.isdisjoint(_PLACE.findall(line)):
            return _shown(line)
    return ""


def _shown(line: str) -> str:
    return "".join(c if c.isprintable() else " " for c in line.strip())[:200]


def ring_buffer(paths: Paths, since: float) -> list[str]:
    """Return the kernel's messages from ``since`` (seconds of this boot) on, as far as it still has them.

    One message is one line, since /dev/kmsg escapes what is not printable (kernel:
    Documentation/ABI/testing/dev-kmsg). The messages of processes have ``WRITTEN`` before them.
    """
    try:
        descriptor = os.open(paths.at("/dev/kmsg"), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return []
    lines: collections.deque[str] = collections.deque(maxlen=MAX_LINES)
    total = 0
    try:
        while total < 4 * MAX_TEXT:
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
                cells = head.split(",")
                at = names.decimal(cells[2], 18) if mark and len(cells) >= 3 else None
                if at is not None and at >= since * 1e6:
                    level = names.decimal(cells[0], 6)
                    of_kernel = level is not None and level < 8
                    lines.append(text if of_kernel else WRITTEN + text)
    finally:
        os.close(descriptor)
    return list(lines)


def of_this_boot(paths: Paths, modules: Iterable[str], began: float) -> str:
    """Return the heading of an oops of this boot that names one of ``modules``; "" for none.

    ``began`` is the uptime from which on an oops counts.
    """
    return oops_in(since_load(paths, began), modules)


def since_load(paths: Paths, began: float) -> list[str]:
    """Return the kernel's messages since a load that began at the uptime ``began``."""
    return ring_buffer(paths, max(0.0, began - 1))


def _dumps(paths: Paths, since: float) -> dict[tuple[str, str, str], dict[int, str]]:
    """The dumps in pstore and those that systemd-pstore saved: by folder, reason and count, their parts."""
    found: dict[tuple[str, str, str], dict[int, str]] = {}
    seen, left = 0, MAX_TEXT
    for top in ("/sys/fs/pstore", "/var/lib/systemd/pstore"):
        for folder, folders, files in os.walk(paths.at(top)):
            folders.sort()
            for name in sorted(files):
                seen += 1
                if seen > MAX_FILES or left <= 0:
                    return found
                path = os.path.join(folder, name)
                try:
                    old = os.stat(path).st_mtime < since
                except OSError:
                    continue
                if old or not name.startswith("dmesg"):
                    continue
                text = read_bytes(path, left).decode("utf-8", "replace")
                left -= len(text)
                part = _PART.match(text.partition("\n")[0])
                if part:
                    parts = found.setdefault((folder, part.group(1), part.group(2)), {})
                    parts.setdefault(int(part.group(3)), text)
    return found


def of_past_boots(paths: Paths, modules: Sequence[str], since: str) -> str:
    """The heading of an oops that names one of ``modules`` in a dump that the kernel left as it went down.

    Only dumps count that are not older than the moment ``since``, and of a dump only its end: there is the
    report of what brought the kernel down.
    """
    for parts in _dumps(paths, float(times.parse(since) or 0)).values():
        text = "\n".join(parts[number] for number in sorted(parts, reverse=True))
        lines = [line for line in text.split("\n") if line and not _PART.match(line)]
        found = oops_in(_first_lines(lines[-_REPORT:]), modules)
        if found:
            return found
    return ""


def _first_lines(lines: Sequence[str]) -> Iterable[str]:
    """The first line of each record of a dump.

    The kernel writes level and time before every line of a record (record_print_text() in
    kernel/printk/printk.c), so the words of a user may begin a later one. A time that is that of the line
    before shows such a line. Without times, or with a clock so coarse that records share one, there is no
    evidence in a dump.
    """
    before = ""
    for line in lines:
        stamp = _STAMP.match(line)
        time = stamp.group(1) if stamp else None
        if stamp and time and time != before:
            yield line[stamp.end() :]
        before = time or before


def in_journal(paths: Paths, modules: Sequence[str], boot_id: str) -> str:
    """The heading of an oops that names one of ``modules`` in journald's record of the boot ``boot_id``.

    Good for a word to the administrator only: the kernel's counters of that boot are gone.
    """
    if paths.root != "/" or not boot_id or not os.path.isdir("/run/systemd/system"):
        return ""
    argv = ["journalctl", "--boot=" + boot_id.replace("-", ""), "--dmesg", "--output=json",
            "--output-fields=MESSAGE", "--no-pager", "--quiet", f"--lines={_BOOT_LINES}",
            "SYSLOG_FACILITY=0"]  # fmt: skip
    try:
        _, output = program.run(argv, 10, whole=False, most=MAX_TEXT)
    except program.Unusable:
        return ""
    return oops_in(map(_message, output.split("\n")), modules)


def _message(row: str) -> str:
    """The message in one entry of journald's JSON, which is a list of bytes where it is not printable."""
    try:
        message = fields.parsed(row)["MESSAGE"]
        # Python makes of a number that many bytes.
        text = bytes(message).decode("utf-8", "replace") if isinstance(message, list) else message
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return text.replace("\n", "\\n") if isinstance(text, str) else ""
