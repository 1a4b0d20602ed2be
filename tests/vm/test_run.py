# SPDX-License-Identifier: GPL-2.0-or-later
"""make vm and vm/run: the guest's output and exit status, nothing else; a disk that is kept."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor

from vm.common import ROOT


def call(*argv, **environment):
    return subprocess.run(
        argv,
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )


def test_output_and_status_are_the_commands_own_and_the_disk_is_kept(tmp_path):
    keep = str(tmp_path / "keep")
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(call, "vm/run", "rpm -q kernel-core | wc -l; cat >&2; false")
        first = call(
            "vm/run", "echo out; echo err >&2; dnf -y -q upgrade >/dev/null; uname -r; exit 7", VM_KEEP=keep
        )
    release = first.stdout.splitlines()[-1]
    assert (first.returncode, first.stdout, first.stderr) == (7, f"out\n{release}\n", "err\n")
    # Another machine at the same time has a disk of its own.
    found = other.result()
    assert (found.returncode, found.stdout, found.stderr) == (1, "1\n", "")
    second = call(
        "vm/run", "uname -r; rpm -q kernel-core | wc -l; touch /root/seen", VM_KEEP=keep, BOOT="new"
    )
    assert second.returncode == 0, second.stderr
    newer, count = second.stdout.split()
    assert newer != release and count == "2"
    # Once more, with make, which passes the command on as it was typed.
    command = "CMD=uname -r; ls /root/seen; echo $HOME $(id -un) 'a  b'; exit 3"
    third = call("make", "vm", command, VM_KEEP=keep, BOOT="new")
    assert third.stdout == f"{newer}\n/root/seen\n/root root a  b\n"
    assert (third.returncode, third.stderr) == (3, "")


def test_a_kernel_that_is_not_there_is_said(tmp_path):
    done = call("vm/run", "true", VM_KEEP=str(tmp_path), BOOT="1.2.3")
    assert done.returncode == 124 and "BOOT=1.2.3" in done.stderr


def test_without_a_command_the_usage_is_said():
    done = call("vm/run")
    assert done.returncode == 2 and "usage" in done.stderr
