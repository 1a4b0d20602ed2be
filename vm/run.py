# SPDX-License-Identifier: GPL-2.0-or-later
"""``make vm CMD='…'`` or ``vm/run COMMAND``: run one shell command as root on the demo host.

On the host the older kernel runs and the project is installed. The repository offers the newer kernel and
the live patches; nothing is upgraded yet. stdout, stderr and the exit status are those of the command. The
status 124 means that the virtual machine failed; the reason is on stderr.

Environment: VM_KEEP=DIR keeps the disk in DIR for the next call with the same DIR. BOOT=new boots the
newest kernel that is installed on that disk, BOOT=RELEASE that one, BOOT=old (default) the older one.
VM_FILES=DIR copies the content of DIR to /srv/files of the host first. VM_APPEND adds to the kernel
command line, VM_TIMEOUT bounds the command (default 1800 seconds).
"""

from __future__ import annotations

import io
import os
import sys
import tarfile

from . import qemu
from .common import Failure, write
from .kernels import Kernel, numbers

FAILED = 124


def _kernel(files: qemu.Files, keep: str) -> Kernel:
    wanted = os.environ.get("BOOT") or "old"
    if wanted == "old":
        return files.choice.old
    try:
        with open(os.path.join(keep, "kernels"), encoding="ascii") as file:
            installed = file.read().split()
    except OSError:
        installed = [files.choice.old.release]
    release = max(installed, key=numbers) if wanted == "new" else wanted
    found = [kernel for kernel in files.choice if kernel.release == release and release in installed]
    if not found:
        raise Failure(f"BOOT={wanted}: the disk has the kernels {', '.join(installed)}")
    return found[0]


def _pass_on(stream: int, data: bytes) -> None:
    target = (sys.stdout if stream == 1 else sys.stderr).buffer
    target.write(data)
    target.flush()


def _copy(machine: qemu.Machine, folder: str) -> None:
    """Put the content of ``folder`` into /srv/files of the host."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(folder, ".")
    done = machine.run("mkdir -p /srv/files && tar -xmf - -C /srv/files", stdin=packed.getvalue())
    if done.status:
        raise Failure(f"VM_FILES={folder}: {done.err.strip()}")


def main() -> int:
    """Run the command; returns its exit status."""
    command = " ".join(sys.argv[1:]) or os.environ.get("CMD", "")
    if not command:
        print("usage: make vm CMD='COMMAND', or vm/run 'COMMAND'", file=sys.stderr)
        return 2
    keep = os.environ.get("VM_KEEP", "")
    try:
        files = qemu.build()
        with qemu.Machine(files, os.path.abspath(keep) if keep else None) as machine:
            machine.boot(_kernel(files, keep), os.environ.get("VM_APPEND", ""))
            if os.environ.get("VM_FILES"):
                _copy(machine, os.environ["VM_FILES"])
            done = machine.run(command, float(os.environ.get("VM_TIMEOUT", "1800")), each=_pass_on)
            if keep:
                names = machine.ok("cd /boot && ls -1 vmlinuz-*")
                write(os.path.join(keep, "kernels"), names.replace("vmlinuz-", ""))
                machine.shutdown()
            return done.status
    except Failure as failure:
        print(f"vm: {failure}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
