# SPDX-License-Identifier: GPL-2.0-or-later
"""Recipes of docs/how-to/recipes.md that reboot hosts, run as they stand there on a real one.

There is no Kubernetes here. The command that kured runs on a node is run as kured does: from another mount
namespace, in which there is no livepatch.
"""

from __future__ import annotations

import os
import re
import shlex

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# Debian packs the program without its unit; this is upstream's, reduced to what the demo host has.
UNIT = """\
[Service]
Type=oneshot
ExecStart=/usr/bin/python3 -c 'from dnf.automatic.main import main; main(["/etc/dnf/automatic.conf"])'
"""
SCHEDULED = "/run/systemd/shutdown/scheduled"


def blocks() -> dict[str, str]:
    with open(os.path.join(TOP, "docs", "how-to", "recipes.md"), encoding="utf-8") as file:
        return dict(re.findall(r"^```\w+ (\S+)\n(.*?)^```", file.read(), re.MULTILINE | re.DOTALL))


def put(host, path: str, text: str, mode: str = "644") -> None:
    host.run(f"install -D -m {mode} /dev/stdin {path} <<'END'\n{text}END")


def kured(host, status: int) -> None:
    sentinel = shlex.split(blocks()["kured"])
    command = shlex.join(["/usr/bin/nsenter", "-m/proc/1/ns/mnt", "--", *sentinel])
    pod = f"mount --bind /bin/false /usr/bin/livepatch; ! livepatch status && exec {command}"
    host.run(shlex.join(["unshare", "--mount", "sh", "-c", pod]), status=status)


def test_kured_reboots_a_node_only_when_that_is_known_to_close_something(patched):
    host = patched
    kured(host, 0)
    host.reset()
    kured(host, 1)


def test_dnf_automatic_schedules_the_reboot_that_closes_something(host):
    script = "/usr/local/sbin/reboot-if-needed"
    put(host, script, blocks()["dnf-automatic"], "755")
    put(host, "/etc/systemd/system/dnf-automatic.service.d/livepatch.conf", blocks()["drop-in"])
    put(host, "/etc/systemd/system/dnf-automatic.service", UNIT)
    put(
        host,
        "/etc/dnf/automatic.conf",
        "[commands]\napply_updates = yes\nreboot = never\nnetwork_online_timeout = 0\n[emitters]\n"
        "emit_via = stdio\n",
    )
    host.run(script)
    assert host.machine.run(f"test -e {SCHEDULED}").status == 1, "unknown is no reason"
    host.run("systemctl daemon-reload && systemctl start dnf-automatic")
    assert host.loaded() == ["livepatch_demo_1"] and host.installed("kernel-core-" + host.new.version)
    assert "MODE=reboot" in host.run(f"cat {SCHEDULED}")
    assert "Reboot needed: 2 kernel CVEs" in host.run("journalctl -q -o cat -u dnf-automatic")
