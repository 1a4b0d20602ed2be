# SPDX-License-Identifier: GPL-2.0-or-later
"""`livepatch status` and a reconcile with nothing to do, each against an empty Python program.

Both run on this machine, below a folder that looks like a host without a live patch to load.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from typing import Any

from . import pairs

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable


def _host(root: str) -> None:
    for folder in ("/sys/kernel/livepatch", "/sys/module", "/proc/sys/kernel/random", "/run/livepatch",
                   "/var/lib/livepatch", "/var/lib/rpm", "/etc/dnf/plugins"):  # fmt: skip
        os.makedirs(root + folder)
    subprocess.run(["rpm", "--root", root, "--initdb"], check=True)
    files = {
        "/proc/sys/kernel/osrelease": platform.release(),
        "/proc/sys/kernel/random/boot_id": "00000000-0000-4000-8000-000000000000",
        "/proc/uptime": "1000.0 1000.0",
        "/proc/cmdline": "quiet",
    }
    for path, text in files.items():
        with open(root + path, "w", encoding="ascii") as file:
            file.write(text + "\n")


def run(count: int) -> list[dict[str, Any]]:
    """Measure both rows with ``count`` pairs each, and with no fewer than SHORT."""
    with tempfile.TemporaryDirectory(prefix="bench-") as root:
        _host(root)
        env = {**os.environ, "LIVEPATCH_ROOT": root, "PYTHONPATH": SOURCE}
        empty = pairs.command([PYTHON, "-c", "pass"], env=env)
        program = "import sys; from dnf_plugin_livepatch.host.cli.main import main; sys.exit(main())"
        main = [PYTHON, "-c", program]
        # A reconcile has run after every transaction, and status reads what it remembered.
        pairs.command([*main, "reconcile"], env=env)()
        rows = []
        for verb, limit in (("status", 4.0), ("reconcile", 6.0)):
            mine = pairs.command([*main, verb], env=env)
            name = f"livepatch {verb}, nothing to do / python3 -c pass"
            rows.append(pairs.measure(name, mine, empty, limit, max(count, pairs.SHORT)))
        return rows
