# SPDX-License-Identifier: GPL-2.0-or-later
"""Every path that the host side reads or writes, below one root that tests can move. No I/O."""

from __future__ import annotations

from .typed import NamedTuple


class Paths(NamedTuple):
    """The paths below ``root``. Use these methods, never a literal path.

    ``foreign``: the root is an image or another host's, which is only looked at. Then no program is run in
    its name, nothing is changed, and nothing of this machine's kernel counts as that root's.
    """

    root: str = "/"
    foreign: bool = False

    def at(self, path: str) -> str:
        """An absolute ``path`` as it lies below ``root``."""
        return path if self.root == "/" else self.root.rstrip("/") + path

    @property
    def config(self) -> str:
        """The configuration, where DNF too looks for ``enabled``."""
        return self.at("/etc/dnf/plugins/livepatch.conf")

    @property
    def profile_dirs(self) -> tuple[str, ...]:
        """Profiles as shipped, then the administrator's, which win file by file."""
        return (
            self.at("/usr/share/dnf-plugin-livepatch/profiles"),
            self.at("/etc/livepatch/profiles.d"),
        )

    @property
    def state_dir(self) -> str:
        """Durable state: journal, guard records, the exposure cache. root:root 0755."""
        return self.at("/var/lib/livepatch")

    @property
    def run_dir(self) -> str:
        """State of this boot: lock, request stamp, result. root:root 0755."""
        return self.at("/run/livepatch")

    @property
    def journal(self) -> str:
        """Append-only history, one JSON object a line."""
        return self.state_dir + "/journal.jsonl"

    @property
    def private_journal(self) -> str:
        """The facts of history that are root's alone, one JSON object a line. 0600."""
        return self.state_dir + "/journal-private.jsonl"

    @property
    def guard(self) -> str:
        """The crash guard's records and the administrator's blocks."""
        return self.state_dir + "/guard.json"

    @property
    def clean_shutdown(self) -> str:
        """The id of the last boot that ended by an orderly shutdown."""
        return self.state_dir + "/clean-shutdown"

    @property
    def exposure(self) -> str:
        """Inputs of the exposure, written by dnf runs, readable by all."""
        return self.state_dir + "/exposure.json"

    @property
    def notices(self) -> str:
        """Findings of dnf runs that reconcile and status act on: withdrawn patches, a held kernel."""
        return self.state_dir + "/notices.json"

    @property
    def advised(self) -> str:
        """The reboot that was advised last."""
        return self.state_dir + "/reboot.json"

    @property
    def request(self) -> str:
        """The request stamp: any change of its content asks for one more reconcile."""
        return self.run_dir + "/request"

    @property
    def result(self) -> str:
        """The last ReconcileResult of this boot, as JSON."""
        return self.run_dir + "/result.json"

    @property
    def lock(self) -> str:
        """The lock of the one reconcile that runs, taken by flock."""
        return self.run_dir + "/lock"

    @property
    def converged(self) -> str:
        """The fingerprint of everything that reconcile read when it last had nothing left to do."""
        return self.run_dir + "/converged.json"

    @property
    def inventory(self) -> str:
        """The inventory that reconcile last took of the rpm database, for readers that have to be quick."""
        return self.run_dir + "/inventory.json"

    @property
    def boot_inventory(self) -> str:
        """The inventory from which the next boot loads before the network, without the rpm database."""
        return self.state_dir + "/inventory.json"

    @property
    def booting(self) -> str:
        """A file that is there from livepatch-boot.service on until livepatch-late.service."""
        return self.run_dir + "/booting"

    def memo(self, what: str) -> str:
        """The note that a dnf run of this boot leaves for the next; ``what`` names its kind."""
        return f"{self.run_dir}/dnf-{what}"

    @property
    def klp(self) -> str:
        """The kernel's own list of live patches."""
        return self.at("/sys/kernel/livepatch")

    @property
    def modules(self) -> str:
        """Loaded modules."""
        return self.at("/sys/module")

    def manifest_dir(self, release: str) -> str:
        """Manifests of the patches for one kernel release."""
        return self.at("/usr/share/livepatch/" + release)

    def module_dir(self, release: str) -> str:
        """Live-patch modules of our own packages for one kernel release."""
        return self.at("/usr/lib/modules/" + release + "/livepatch")

    def kept_dir(self, release: str) -> str:
        """Copies of the last modules in force, in a place from which SELinux lets modules be loaded."""
        return self.at("/usr/lib/modules/" + release + "/livepatch-kept")
