# SPDX-License-Identifier: GPL-2.0-or-later
"""The adapter to DNF 4: hooks, questions, acts, and the `dnf livepatch` command."""

#: The names of the commands that live patches are added to.
UPGRADES = ("upgrade", "upgrade-minimal")
#: The commands of dnf-plugins-core that download now and install at a reboot; the first word says which.
OFFLINE = ("system-upgrade", "offline-upgrade", "offline-distrosync")
#: dnf's exit status when a live patch is installed and not in force.
EXIT_NOT_IN_FORCE = 5
