#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The agent in the guest: takes commands from the host over a virtio port, and sends back their output.

Frames both ways: request number, kind, length, payload. The host sends kind 0, JSON with ``command``,
``timeout`` (seconds) and ``stdin`` (base64). The answer: 1 stdout, 2 stderr, then 3 with the exit status.
"""

from __future__ import annotations

import base64
import json
import os
import selectors
import signal
import struct
import subprocess
import sys
import tempfile
import time

HEADER = struct.Struct(">IBI")
DRAIN = 0.5


def read(port: int, size: int) -> bytes:
    """The next ``size`` bytes from the host."""
    data = b""
    while len(data) < size:
        chunk = os.read(port, size - len(data))
        if not chunk:
            # No program has opened the port on the host yet.
            time.sleep(0.2)
        data += chunk
    return data


def send(port: int, number: int, kind: int, payload: bytes) -> None:
    """Send one frame of the answer to the request ``number``."""
    data = HEADER.pack(number, kind, len(payload)) + payload
    while data:
        data = data[os.write(port, data) :]


def pump(port: int, number: int, process: subprocess.Popen[bytes], deadline: float) -> int:
    """Pass on the output of ``process`` until it ends, and return its status.

    Its children in the background may keep the pipes open longer. At ``deadline`` it is killed.
    """
    assert process.stdout and process.stderr
    selector = selectors.DefaultSelector()
    selector.register(process.stdout, selectors.EVENT_READ, 1)
    selector.register(process.stderr, selectors.EVENT_READ, 2)
    ended = None
    while selector.get_map():
        for key, _ in selector.select(0.1):
            chunk = os.read(key.fd, 65536)
            if chunk:
                send(port, number, key.data, chunk)
            else:
                selector.unregister(key.fileobj)
        now = time.monotonic()
        if ended is None and process.poll() is not None:
            ended = now
        if ended is not None and now > ended + DRAIN:
            break
        if now > deadline and process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            deadline = now + 10
    process.stdout.close()
    process.stderr.close()
    return process.wait()


def serve(port: int) -> None:
    """Run the host's commands one after the other, for ever."""
    while True:
        number, _, length = HEADER.unpack(read(port, HEADER.size))
        request = json.loads(read(port, length))
        with tempfile.TemporaryFile() as stdin:
            stdin.write(base64.b64decode(request["stdin"]))
            stdin.seek(0)
            process = subprocess.Popen(
                ["/bin/bash", "-c", request["command"]],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                cwd="/root",
            )
        status = pump(port, number, process, time.monotonic() + request["timeout"])
        send(port, number, 3, json.dumps({"status": 128 - status if status < 0 else status}).encode())


serve(os.open(sys.argv[1], os.O_RDWR))
