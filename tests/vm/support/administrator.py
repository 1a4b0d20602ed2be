# SPDX-License-Identifier: GPL-2.0-or-later
"""An administrator at the prompt of the demo host: types commands, reads the screen, and is counted."""

from __future__ import annotations

import re

from tests.vm.support.demo_host import Host

_NEXT = re.compile(r"^Next *: (.+?)(?: {4}\(.*)?$", re.MULTILINE)


class Administrator:
    """Whoever is on duty at ``host`` tonight, and every command that the night has needed so far."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.typed: list[str] = []

    def types(self, command: str, status: int = 0) -> str:
        """Type ``command``, answer y where it asks, and return the screen; it has to end with ``status``."""
        self.typed.append(command)
        done = self.host.machine.run(command, stdin=b"y\n")
        screen = done.out + done.err
        print(f"[root@demo ~]# {command}\n{screen}(status {done.status})", flush=True)
        assert done.status == status, f"{command}: exit status {done.status}, not {status}:\n{screen}"
        return screen

    def follows(self, screen: str, status: int = 0) -> str:
        """Type the command that ``screen`` names under ``Next``."""
        found = _NEXT.search(screen)
        assert found, f"no next step:\n{screen}"
        return self.types(found.group(1), status)

    def is_done(self, within: int) -> None:
        """Count the commands of the night, which may be ``within`` at the most."""
        print(f"commands needed: {len(self.typed)}", flush=True)
        assert len(self.typed) <= within, self.typed
