# SPDX-License-Identifier: GPL-2.0-or-later
"""One virtual machine: boot it, run commands in it, snapshot it, switch it off. Every wait has an end."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, NamedTuple

from . import grub, image, kernels, repo
from .common import Failure, lock, run, say
from .kernels import Kernel

# Generous limits: an emulated machine on a busy one is slow.
BOOT_TIMEOUT = 420.0
COMMAND_TIMEOUT = 600.0
SECRET = "demo.secret=swordfish"
_HEADER = struct.Struct(">IBI")


class Result(NamedTuple):
    """Exit status and output of a command in the guest."""

    status: int
    out: str
    err: str


class Files(NamedTuple):
    """The files that a machine starts from; ``build`` makes them or finds them in the cache."""

    disk: str
    repositories: str
    choice: kernels.Choice


def build() -> Files:
    """Build the files that are not there yet; wait while another process builds."""
    with lock():
        choice = kernels.choose()
        # Making Debian's root takes as long as all the other steps together, so it runs beside them.
        with ThreadPoolExecutor(1) as other:
            root = other.submit(image.root)
            repositories = repo.disk()
            for kernel in choice:
                image.initrd(kernel)
            root.result()
        return Files(image.disk(), repositories, choice)


class Machine:
    """The demo host. A context manager: leaving it ends QEMU and removes the files of the machine.

    ``keep`` is a folder for the disk, which stays for the next machine with the same folder.
    """

    def __init__(self, files: Files, keep: str | None = None) -> None:
        self.files = files
        self.folder = tempfile.mkdtemp(prefix="m-", dir=image.machines())
        # A socket's path has to be short, wherever the work tree lies.
        self.sockets = tempfile.mkdtemp(prefix="lp-vm-")
        self.disk = os.path.join(keep or self.folder, "disk.qcow2")
        self.console = os.path.join(keep or self.folder, "console.log")
        self.kernel: Kernel | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._agent: socket.socket | None = None
        self._qmp: socket.socket | None = None
        self._number = 0
        if not keep:
            run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", files.disk, "-F", "qcow2", self.disk])
        elif not os.path.exists(self.disk):
            # A kept disk is a whole copy, because the next build may remove the disk below an overlay.
            os.makedirs(keep, exist_ok=True)
            shutil.copy(files.disk, self.disk)

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self.sockets, ignore_errors=True)

    # Starting and ending

    def boot(
        self,
        kernel: Kernel | None = None,
        append: str = "",
        snapshot: str = "",
        write_log: str = "",
        by_grub: bool = False,
    ) -> None:
        """Start the machine with ``kernel`` (default: the older one) and wait until the guest answers.

        With ``snapshot`` the machine goes on where that snapshot was taken, with the same kernel. With
        ``write_log`` every write to the disk is also appended to that file, in the format of dm-log-writes.
        ``by_grub`` has GRUB start what the disk says: then ``kernel`` is the one that is expected.
        Raises Failure with the end of the console when the guest does not come up.
        """
        self.kill()
        self.kernel = kernel or self.files.choice.old
        say(f"going back to snapshot {snapshot}" if snapshot else f"booting {self.kernel.release}")
        start = ["-kernel", grub.image()] if by_grub else self._start(self.kernel, append)
        # A test run that is killed takes its guests with it.
        argv = ["setpriv", "--pdeathsig", "KILL", *self._processor(), *start]
        argv += self._disks(write_log) + self._ports() + (["-loadvm", snapshot] if snapshot else [])
        with open(os.path.join(self.folder, "qemu.log"), "ab") as log:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + BOOT_TIMEOUT
        self._qmp = self._connect(self._socket("qmp"), deadline)
        self._qmp_read(deadline)
        self._command("qmp_capabilities")
        self._agent = self._connect(self._socket("agent"), deadline)
        if not snapshot:
            self._await(self.kernel.release)

    def _await(self, release: str) -> None:
        """Wait until systemd has started all units. Raises Failure unless the kernel ``release`` runs."""
        done = self.run("systemctl is-system-running --wait; uname -r", timeout=BOOT_TIMEOUT)
        if done.out.split()[-1:] != [release]:
            raise Failure(f"the guest came up, but says {done.out!r} {done.err!r}, not {release}")
        # systemd gives up the wait for a disk after 90 s, which a busy machine takes for a boot.
        self.run("findmnt /srv/demo || mount /srv/demo")
        say("the guest is up: " + done.out.split()[0])

    # QEMU's command line

    def _socket(self, name: str) -> str:
        return os.path.join(self.sockets, name)

    @staticmethod
    def _processor() -> list[str]:
        """The program, with a bare machine of one processor.

        Emulated processors do not see each other's changes of code in time, and a kernel that patches
        itself then dies now and then of its own breakpoints.
        """
        accel = os.environ.get("VM_ACCEL", "tcg")
        cpu = "host" if accel.startswith("kvm") else "max,la57=off"
        bare = "-nodefaults -no-user-config -display none -no-reboot".split()
        return [
            "qemu-system-x86_64",
            *bare,
            *f"-machine q35 -accel {accel} -cpu {cpu} -smp 1 -m 1024".split(),
        ]

    @staticmethod
    def _start(kernel: Kernel, append: str) -> list[str]:
        line = f"console=ttyS0 rw quiet systemd.show_status=0 panic=-1 {SECRET} {append}".strip()
        return ["-kernel", image.vmlinuz(kernel), "-initrd", image.initrd(kernel), "-append", line]

    def _ports(self) -> list[str]:
        """The console's log, the agent's port, a source of random numbers and QEMU's monitor."""
        return [
            "-chardev", f"file,id=console,path={self.console},append=on", "-serial", "chardev:console",
            "-device", "virtio-serial-pci",
            "-chardev", f"socket,id=agent,path={self._socket('agent')},server=on,wait=off",
            "-device", "virtserialport,chardev=agent,name=vm.agent",
            "-device", "virtio-rng-pci",
            "-qmp", f"unix:{self._socket('qmp')},server=on,wait=off",
        ]  # fmt: skip

    def _disks(self, write_log: str) -> list[str]:
        """The root disk and the disk with the repositories."""
        repositories = f"file={self.files.repositories},if=virtio,format=raw,readonly=on"
        return [*self._disk(write_log), "-drive", repositories]

    def _disk(self, write_log: str) -> list[str]:
        """The root disk. Flushes are logged, and need not reach the real disk."""
        if not write_log:
            return ["-drive", f"file={self.disk},if=virtio,format=qcow2,cache=unsafe"]
        with open(write_log, "wb"):
            pass
        nodes: list[dict[str, object]] = [
            {"driver": "file", "filename": self.disk, "cache": {"no-flush": True}},
            {"driver": "file", "filename": write_log, "cache": {"no-flush": True}},
        ]
        disk = {"driver": "qcow2", "file": nodes[0]}
        logged = {"driver": "blklogwrites", "node-name": "logged", "file": disk, "log": nodes[1]}
        return ["-blockdev", json.dumps(logged), "-device", "virtio-blk-pci,drive=logged"]

    def kill(self) -> None:
        """End a running QEMU at once, like a power cut."""
        for connection in (self._agent, self._qmp):
            if connection:
                connection.close()
        self._agent = self._qmp = None
        if self._process:
            self._process.kill()
            self._process.wait(30)
            self._process = None

    def shutdown(self) -> None:
        """Shut the guest down in order; raises Failure when that takes more than two minutes."""
        self.run("systemctl --no-block poweroff")
        try:
            assert self._process
            self._process.wait(120)
        except subprocess.TimeoutExpired:
            raise Failure("the guest did not switch off within 120 s" + self.console_end()) from None
        self.kill()

    def reboot(self, kernel: Kernel | None = None, append: str = "", by_grub: bool = False) -> None:
        """Shut the guest down in order and boot its disk with ``kernel`` (default: the same kernel).

        ``by_grub`` as for ``boot``.
        """
        again = kernel or self.kernel
        self.shutdown()
        self.boot(again, append, by_grub=by_grub)

    # Snapshots

    def save(self, name: str) -> None:
        """Take a snapshot of memory and disk."""
        self._human(f"savevm {name}")

    def restore(self, name: str) -> None:
        """Go back to snapshot ``name``, taken under the same kernel.

        The snapshot is loaded into a new QEMU. Within one QEMU the guest's clock would jump by the time that
        has passed since.
        """
        self.boot(self.kernel, snapshot=name)

    # Commands

    def run(
        self,
        command: str,
        timeout: float = COMMAND_TIMEOUT,
        stdin: bytes = b"",
        each: Callable[[int, bytes], None] | None = None,
    ) -> Result:
        """Run a shell command as root in the guest. ``each`` gets (1 or 2, bytes) as they arrive.

        A command that takes longer than ``timeout`` seconds is killed (status 137). Raises Failure
        when the guest does not answer.
        """
        self._number += 1
        request = json.dumps(
            {"command": command, "timeout": timeout, "stdin": base64.b64encode(stdin).decode()}
        ).encode()
        deadline = time.monotonic() + timeout + 30
        assert self._agent
        self._agent.settimeout(30)
        self._agent.sendall(_HEADER.pack(self._number, 0, len(request)) + request)
        texts = {1: bytearray(), 2: bytearray()}
        while True:
            number, kind, length = _HEADER.unpack(self._receive(_HEADER.size, deadline))
            payload = self._receive(length, deadline)
            if number != self._number:
                continue
            if kind == 3:
                out, err = (texts[stream].decode("utf-8", "replace") for stream in (1, 2))
                return Result(json.loads(payload)["status"], out, err)
            texts[kind] += payload
            if each:
                each(kind, payload)

    def ok(self, command: str, timeout: float = COMMAND_TIMEOUT) -> str:
        """The stdout of a command that has to succeed; raises Failure when it does not."""
        done = self.run(command, timeout)
        if done.status:
            raise Failure(f"in the guest: {command}: exit status {done.status}\n{done.out}{done.err}")
        return done.out

    def console_end(self, lines: int = 25) -> str:
        """The last lines of the console, for error messages."""
        try:
            with open(self.console, encoding="utf-8", errors="replace") as file:
                return "\nThe console's last lines:\n" + "".join(file.readlines()[-lines:])
        except OSError:
            return ""

    # Talking to QEMU

    def _alive(self) -> None:
        if self._process is None or self._process.poll() is not None:
            with open(os.path.join(self.folder, "qemu.log"), encoding="utf-8", errors="replace") as file:
                raise Failure("QEMU ended: " + file.read()[-2000:] + self.console_end())

    def _connect(self, path: str, deadline: float) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        while True:
            self._alive()
            try:
                connection.connect(path)
                return connection
            except OSError:
                if time.monotonic() > deadline:
                    raise Failure(f"QEMU does not answer at {path}") from None
                time.sleep(0.05)

    def _receive(self, size: int, deadline: float) -> bytes:
        data = b""
        assert self._agent
        self._agent.settimeout(1)
        while len(data) < size:
            try:
                chunk = self._agent.recv(size - len(data))
            except socket.timeout:
                self._alive()
                if time.monotonic() > deadline:
                    raise Failure("the guest does not answer" + self.console_end()) from None
                continue
            except ConnectionError:
                chunk = b""
            if not chunk:
                # The other end is gone. When QEMU has ended, _alive raises its reason.
                time.sleep(0.2)
                self._alive()
                raise Failure("QEMU closed the connection to the guest" + self.console_end())
            data += chunk
        return data

    def _qmp_read(self, deadline: float) -> dict[str, object]:
        line = b""
        assert self._qmp
        self._qmp.settimeout(1)
        while not line.endswith(b"\n"):
            try:
                byte = self._qmp.recv(1)
            except socket.timeout:
                self._alive()
                if time.monotonic() > deadline:
                    raise Failure("QEMU's monitor does not answer") from None
                continue
            if not byte:
                self._alive()
                raise Failure("QEMU closed its monitor")
            line += byte
        answer: dict[str, object] = json.loads(line)
        return answer

    def _command(self, name: str, **arguments: object) -> object:
        assert self._qmp
        self._qmp.sendall(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
        deadline = time.monotonic() + 120
        while True:
            answer = self._qmp_read(deadline)
            if "error" in answer:
                raise Failure(f"QEMU: {name}: {answer['error']}")
            if "return" in answer:
                return answer["return"]

    def _human(self, command: str) -> None:
        text = self._command("human-monitor-command", **{"command-line": command})
        if text:
            raise Failure(f"QEMU: {command}: {text}")
