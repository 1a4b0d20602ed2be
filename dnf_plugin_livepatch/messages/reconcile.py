# SPDX-License-Identifier: GPL-2.0-or-later
"""Messages of a reconcile as a whole: its records, the guard, which patches it leaves alone. Pure."""

from __future__ import annotations

from .message import Message

RECONCILE: dict[str, Message] = {
    "need-root": Message(
        "error",
        "Nothing was done: changing the kernel's live patches needs root ({why}).",
        "Run the command with sudo; 'livepatch status' works without.",
    ),
    "trust-known": Message(
        "note",
        "Live patches may come from {sources}. Advisories and records of {claims} count as proof. With "
        "on_withdrawn = revert a withdrawal takes a patch out only where the metadata is signed: {signed}.",
        "",
    ),
    "trust-unknown": Message(
        "note",
        "No dnf run has told yet which repositories live patches may come from.",
        "As root, run 'dnf livepatch update --check'.",
    ),
    "trust-none": Message(
        "warning",
        "Live patches may come from no enabled repository: the running kernel came from none of them as far "
        "as is known, and 'repos' in livepatch.conf names none.",
        "Name the repositories that kernels come from with 'repos' in livepatch.conf; 'dnf repolist' lists "
        "them all.",
    ),
    "other-root": Message(
        "error",
        "LIVEPATCH_ROOT is {root}: another root is only looked at, and nothing was changed.",
        "Unset LIVEPATCH_ROOT to change this machine; to change that one, run livepatch there.",
    ),
    "reconcile-running": Message(
        "error",
        "Another reconcile did not end within {seconds} s; nothing was loaded or unloaded.",
        "Run 'systemctl status livepatch-reconcile' to see what it waits for.",
    ),
    "state-unwritable": Message(
        "error",
        "Nothing was loaded, because the record of the load could not be written: {why}.",
        "Make /var/lib/livepatch and /run/livepatch writable, or free disk space; then, as root, run "
        "'livepatch reconcile'.",
    ),
    "guard-unwritable": Message(
        "error",
        "Nothing was changed, because the change could not be recorded: {why}.",
        "Make /var/lib/livepatch and /run/livepatch writable, or free disk space; then, as root, run the "
        "command again.",
    ),
    "record-unwritable": Message(
        "error",
        "The changes could not be recorded: {why}. 'livepatch status' shows what is in force.",
        "Make /var/lib/livepatch and /run/livepatch writable, or free disk space; then, as root, run "
        "'livepatch reconcile'.",
    ),
    "state-full": Message(
        "error",
        "No change of a live patch can be recorded, and none is made: the file system {place}, where "
        "/var/lib/livepatch lies, is full.",
        "As root, free space there, as 'dnf clean all' does, then run 'livepatch reconcile'.",
    ),
    "state-read-only": Message(
        "error",
        "No change of a live patch can be recorded, and none is made: the file system {place}, where "
        "/var/lib/livepatch lies, is mounted read-only.",
        "As root, run 'mount -o remount,rw {place}', then 'livepatch reconcile'; 'dmesg' shows whether the "
        "kernel made it read-only after an error of the disk.",
    ),
    "guard-broken": Message(
        "error",
        "Nothing is loaded or unloaded: it is unknown which patches are blocked ({why}).",
        "As root, restore /var/lib/livepatch/guard.json from a backup, or move it away: the blocks are "
        "then taken from the history.",
    ),
    "blocks-recalled": Message(
        "note",
        "The guard's file was lost; by the history these patches are kept out: {packages}.",
        "As root, run 'livepatch unblock PACKAGE' for a patch that may be loaded again.",
    ),
    "journal-unwritable": Message(
        "warning",
        "The change was made but could not be added to the history: {why}.",
        "Free disk space below /var/lib/livepatch.",
    ),
    "manifest-unusable": Message(
        "warning",
        "Manifest {fault}; which CVEs the patch closes is unknown.",
        "Reinstall the package, or report it to whoever built it.",
    ),
    "rpmdb-unreadable": Message(
        "error",
        "It is unknown which live patches are installed: {why}. Patches in force stay in force.",
        "As root, run 'rpmdb --verifydb'; 'rpmdb --rebuilddb' repairs the database.",
    ),
    "patch-unrecognised": Message(
        "error",
        "Live patch {nevra} stays in force, although no profile recognises its package any more.",
        "Run 'livepatch doctor' for faults in the profiles.",
    ),
    "rpm-busy": Message(
        "warning",
        "No live patch is unloaded yet: an RPM transaction is running.",
        "Nothing to do: reconcile looks again in a minute, and after the transaction.",
    ),
    "rpm-under-way": Message(
        "error",
        "No live patch is loaded or unloaded yet: an RPM transaction has been running for {seconds} s.",
        "Reconcile tries again in a minute, and after the transaction; 'ps -e' shows whether the "
        "transaction hangs.",
    ),
    "patch-reverted": Message(
        "warning",
        "Live patch {nevra} is kept out of force, as its publisher has withdrawn it: {why}.",
        "As root, run 'dnf upgrade' for a newer patch; on_withdrawn = warn in livepatch.conf would leave "
        "this one in force.",
    ),
    "patch-blocked": Message(
        "error",
        "Live patch {nevra} is blocked and not loaded: {why}.",
        "As root, install a newer patch; 'livepatch unblock' tries this one again, 'livepatch block' "
        "accepts the state.",
    ),
    "patch-blocked-by-admin": Message(
        "warning",
        "Live patch {nevra} is blocked by the administrator: {why}.",
        "As root, run 'livepatch unblock {nevra}' to have it loaded again.",
    ),
    "patch-unloaded": Message(
        "warning",
        "Live patch {nevra} is installed and was unloaded by the administrator.",
        "As root, run 'livepatch unblock {nevra}' to have it loaded again.",
    ),
    "patch-without-module": Message(
        "error",
        "Live patch {nevra} is not loaded: its package has no module for kernel {release}.",
        "Report it to whoever built the package.",
    ),
    "kept-in-force": Message(
        "warning",
        "The copy of live patch {nevra} is used, because the installed patch cannot be loaded.",
        "Install a newer patch when there is one.",
    ),
    "not-kept": Message(
        "warning",
        "Live patch {nevra} is in force, but no copy of it could be kept: {why}.",
        "Free disk space below /usr/lib/modules: if a newer patch fails, only a copy can be loaded at boot.",
    ),
    "module-adopted": Message(
        "note",
        "Module {module} was in the kernel without a record; it is a module of {nevra}, and is taken over.",
        "",
    ),
    "kept-out-by-hand": Message(
        "warning",
        "Module {module} is in the kernel although {nevra} is kept out here: another program loaded it.",
        "As root, run 'livepatch unblock {nevra}' to have it taken over, or 'echo 0 "
        ">/sys/kernel/livepatch/{module}/enabled' to take it out.",
    ),
    "foreign-patch": Message(
        "error",
        "Live patch {nevra} is not loaded: it would put {module} out of force, which another program "
        "loaded.",
        "As root, unload {module} with the program that loaded it, then run 'livepatch reconcile'.",
    ),
    "rival-product": Message(
        "error",
        "No live patch is loaded: {rival} patches this kernel already.",
        "Use one live-patching product a host; remove the other and reboot.",
    ),
    "kpatch-dnf-on": Message(
        "note",
        "The kpatch plugin of DNF adds live patches too (autoupdate in /etc/dnf/plugins/kpatch.conf).",
        "Nothing to do: both plugins may be enabled. With autoupdate = False there, only this one adds "
        "patches.",
    ),
    "host-ostree": Message(
        "note",
        "This host is image-based: a live patch added to it is gone after the next image update.",
        "Put the live-patch package into the image as well.",
    ),
    "health-check-not-asked": Message(
        "warning",
        "The health check '{command}' is not asked: {why}.",
        "Give the program and each folder above it to root, writable by nobody else; without an answer only "
        "the kernel's own reports count.",
    ),
    "health-check-failed": Message(
        "error",
        "A health check failed with live patch {nevra}: {why}. {then}.",
        "See health_check in livepatch.conf; as root, run 'livepatch unblock {nevra}' to try the patch "
        "again.",
    ),
    "oops-while-loading": Message(
        "error",
        "The kernel had an oops in live patch {nevra} as soon as it was loaded: {why}. {then}. After an "
        "oops the kernel may be unstable until a reboot.",
        "Plan a reboot, and report the oops to whoever built the package, with the output of 'dmesg'.",
    ),
}
