# SPDX-License-Identifier: GPL-2.0-or-later
"""A stand-in for kpatch-dnf, the kpatch plugin of DNF, with its documented behaviour.

With autoupdate in /etc/dnf/plugins/kpatch.conf, each kernel-core that a transaction brings gets the newest
live patch named for it, and DNF resolves once more. With autofilter, kernels that no live patch requires are
kept out. It knows a kernel by its name only, and nothing of the one that runs.
"""

import configparser
import re

import dnf


class KpatchStandIn(dnf.Plugin):
    """The two settings and the two hooks."""

    name = "kpatch-stand-in"

    def __init__(self, base, cli):
        super().__init__(base, cli)
        parser = configparser.ConfigParser()
        parser.read("/etc/dnf/plugins/kpatch.conf")
        self.autoupdate = parser.getboolean("main", "autoupdate", fallback=False)
        self.autofilter = parser.getboolean("main", "autofilter", fallback=False)
        self.resolving = False

    def sack(self):
        """Exclude the kernels that are not the requirement of any live patch."""
        if not self.autofilter:
            return
        patches = self.base.sack.query().filterm(name__glob="kpatch-patch-*")
        wanted = {str(item) for patch in patches for item in patch.requires}
        for kernel in self.base.sack.query().available().filterm(name="kernel-core"):
            if f"kernel-uname-r = {kernel.version}-{kernel.release}.{kernel.arch}" not in wanted:
                self.base.sack.add_excludes(self.base.sack.query().filterm(pkg=[kernel]))

    def resolved(self):
        """Add the live patches of the kernels that come, and resolve again."""
        if self.resolving or not self.autoupdate:
            return
        added = False
        for item in self.base.transaction or ():
            if item.action not in dnf.transaction.FORWARD_ACTIONS or item.pkg.name != "kernel-core":
                continue
            kernel = f"{item.pkg.version}-{re.sub(r'[.]el.*', '', item.pkg.release)}".replace(".", "_")
            query = self.base.sack.query().available().filterm(name=f"kpatch-patch-{kernel}").latest()
            if query:
                selector = dnf.selector.Selector(self.base.sack)
                selector.set(pkg=list(query))
                self.base.goal.install(select=selector, optional=not self.base.conf.strict)
                added = True
        if added:
            self.resolving = True
            self.base.resolve(self.cli.demands.allow_erasing)
            self.resolving = False
