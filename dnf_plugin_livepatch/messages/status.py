# SPDX-License-Identifier: GPL-2.0-or-later
"""Messages of the commands that report: configuration, profiles, clients, support, exposure. Pure."""

from __future__ import annotations

from .message import Message

STATUS: dict[str, Message] = {
    "config-fault": Message(
        "warning",
        "{fault}.",
        "Correct the file; livepatch.conf(5) and livepatch-profiles(5) describe the formats.",
    ),
    "module-not-in-force": Message(
        "error",
        "Live patch {nevra} is installed but not in force: {instead}.",
        "As root, run 'livepatch doctor' for what is in the way, and 'livepatch reconcile' to try again.",
    ),
    "patch-not-taken": Message(
        "warning",
        "Live patch {nevra} is offered and not installed; no dnf run has taken a live patch since {since}.",
        "As root, run 'dnf livepatch update' to take the live patch alone; 'systemctl enable --now "
        "dnf-livepatch.timer' does so every four hours.",
    ),
    "inventory-unknown": Message(
        "warning",
        "It is unknown which packages are installed: {why}.",
        "As root, run 'rpm -qa' to see what is wrong with the rpm database.",
    ),
    "guard-unknown": Message(
        "warning",
        "It is unknown which live patches are blocked or unloaded by hand: {why}.",
        "As root, restore /var/lib/livepatch/guard.json from a backup, or move it away: the blocks are "
        "then taken from the history.",
    ),
    "notices-unknown": Message(
        "warning",
        "It is unknown which live patches are withdrawn and whether a kernel update is held: {why}.",
        "As root, run 'dnf livepatch update --check': dnf writes the file anew and keeps the old one.",
    ),
    "not-at-next-boot": Message(
        "error",
        "Live patch {nevra} is in force, and the next boot would not load the patch: {why}",
        "{how}",
    ),
    "no-place-to-load": Message(
        "warning",
        "No live patch is loaded here: {why}.",
        "In a container nothing is to be done; elsewhere the reason has to go first.",
    ),
    "loading-off": Message(
        "warning",
        "Installed live patches are not loaded here: {why}.",
        "To have them loaded, change that setting and, as root, run 'livepatch reconcile'.",
    ),
    "cves-unknown": Message(
        "error",
        "No CVE is listed, as an empty list would claim that none is open: {why}. Nothing was changed.",
        "As root, run 'dnf livepatch update --check' to have the advisories read; 'livepatch cves' has the "
        "CVEs that are known.",
    ),
    "root-missing": Message(
        "error",
        "Nothing was looked at or changed: LIVEPATCH_ROOT is {root}, which is no folder.",
        "Unset LIVEPATCH_ROOT to look at this machine, or name the folder in which the other root lies.",
    ),
    "output-unwritable": Message(
        "error",
        "Nothing was written to {path}, and the file is as it was: {why}.",
        "Name a file in a folder that may be written with --output, or leave --output out.",
    ),
    "command-ended": Message(
        "error",
        "The command ended before its work was done: {why}. 'livepatch status' shows what is in force.",
        "Mend the cause, and run the command again; as root where that was the cause.",
    ),
    "option-misplaced": Message(
        "error",
        "Nothing was done or changed: {why}.",
        "Run 'dnf livepatch --help' for the verbs, and see dnf-livepatch(8) for their options.",
    ),
    "vex-empty": Message(
        "error",
        "There is no OpenVEX document to give: {why}.",
        "OpenVEX needs at least one statement; as root, run 'dnf livepatch update --check' to have the "
        "advisories read.",
    ),
    "no-such-package": Message(
        "error",
        "Nothing is changed: {why}.",
        "'livepatch list' and 'dnf livepatch list --available' show the packages; give the name as it is"
        " printed there.",
    ),
    "name-ambiguous": Message(
        "error",
        "Nothing is changed: {name} fits several live patches: {packages}.",
        "Give the full name of the live patch that is meant.",
    ),
    "support-ends": Message(
        "warning",
        "Live patches for kernel {release} end on {end}, in {days:day|days}.",
        "As root, run 'dnf upgrade' where a newer kernel is offered, and plan a reboot before that day.",
    ),
    "support-ended": Message(
        "warning",
        "Live patches for kernel {release} ended on {end}: new CVEs are closed only by a reboot.",
        "As root, run 'dnf upgrade' where a newer kernel is offered, and reboot into that kernel.",
    ),
    "support-may-end": Message(
        "warning",
        "Live patches for kernel {release} end on about {end}, by the vendor's usual time; nobody has "
        "promised a day.",
        "Look up the vendor's dates for this kernel, and plan a reboot into a newer one.",
    ),
    "support-may-have-ended": Message(
        "warning",
        "Live patches for kernel {release} ended on about {end}, by the vendor's usual time: new CVEs may "
        "be closed only by a reboot.",
        "Look up the vendor's dates for this kernel, and reboot into a newer one.",
    ),
    "profile-fault": Message(
        "error",
        "{fault}",
        "Correct or remove the file; livepatch-profiles(5) describes the format.",
    ),
    "client-absent": Message(
        "error",
        "Live patch {nevra} is installed but not in force: {client}, which loads it, is missing.",
        "{remedy} Then, as root, run 'livepatch reconcile'.",
    ),
    "client-failed": Message(
        "error",
        "Live patch {nevra} is installed but not in force: {why}.",
        "As root, run the vendor's program by hand to see more, then run 'livepatch reconcile'.",
    ),
    "client-left": Message(
        "error",
        "Live patch {nevra} should no longer be in force, but still is: {why}.",
        "As root, run the vendor's program by hand to see more, then run 'livepatch reconcile'.",
    ),
    "profile-writable": Message(
        "warning",
        "Profile {file} may be written by others than root, although it decides which packages may patch "
        "the kernel.",
        "As root, run 'chown root:root' and 'chmod 0644' on the file.",
    ),
    "profile-generic": Message(
        "warning",
        "Profile {name} is missing or emptied: packages that name their kernel by a capability are ignored.",
        "Reinstall livepatch-runtime, or remove /etc/livepatch/profiles.d/livepatch.conf.",
    ),
}
