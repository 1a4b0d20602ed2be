# SPDX-License-Identifier: GPL-2.0-or-later
"""The part of the catalogue that is about loading: preflight, transition, guard. See ``messages.py``. Pure.

Each row is severity, text, remedy.
"""

from __future__ import annotations

LOADING: dict[str, tuple[str, str, str]] = {
    "need-root": (
        "error",
        "Changing the kernel's live patches needs root ({why}).",
        "Run it with sudo; 'livepatch status' works without.",
    ),
    "reconcile-running": (
        "error",
        "Another reconcile has been running for {seconds} s; nothing was done.",
        "Run 'systemctl status livepatch-reconcile' to see what it waits for.",
    ),
    "state-unwritable": (
        "error",
        "Nothing was loaded, because the record of it could not be written: {why}.",
        "Make /var/lib/livepatch and /run/livepatch writable, or free disk space; then 'livepatch "
        "reconcile'.",
    ),
    "record-unwritable": (
        "error",
        "What was done could not be recorded: {why}. 'livepatch status' shows what is in force.",
        "Make /var/lib/livepatch and /run/livepatch writable, or free disk space; then 'livepatch "
        "reconcile'.",
    ),
    "guard-broken": (
        "error",
        "Nothing is loaded or unloaded: it is unknown which patches are blocked ({why}).",
        "Restore /var/lib/livepatch/guard.json from a backup, or remove it to forget all blocks.",
    ),
    "journal-unwritable": (
        "warning",
        "The change was made but could not be added to the history: {why}.",
        "Free disk space below /var/lib/livepatch.",
    ),
    "manifest-unusable": (
        "warning",
        "The manifest {fault}; what the patch closes is unknown.",
        "Reinstall the package, or report it to whoever built it.",
    ),
    "rpmdb-unreadable": (
        "error",
        "It is unknown which live patches are installed: {why}. Patches in force stay in force.",
        "Run 'rpmdb --verifydb'; 'rpmdb --rebuilddb' repairs the database.",
    ),
    "patch-unrecognised": (
        "error",
        "Package {nevra} is installed, but no profile calls it a live patch any more; it stays in force.",
        "Run 'livepatch doctor' for faults in the profiles.",
    ),
    "rpm-busy": (
        "warning",
        "No live patch is unloaded yet: an RPM transaction is running.",
        "It is looked at again in a minute, and after the transaction.",
    ),
    "rpm-under-way": (
        "error",
        "No live patch is loaded or unloaded yet: an RPM transaction has been running for {seconds} s.",
        "It is tried again in a minute, and after the transaction; 'ps -e' shows whether one hangs.",
    ),
    "patch-reverted": (
        "warning",
        "Live patch {nevra} is kept out of force, as its publisher has withdrawn it: {why}.",
        "Run 'dnf upgrade' for a newer one; on_withdrawn = warn would leave it in force.",
    ),
    "patch-blocked": (
        "error",
        "Live patch {nevra} is blocked and not loaded: {why}.",
        "Install a newer patch; 'livepatch unblock' tries this one again, 'livepatch block' accepts "
        "the state.",
    ),
    "patch-blocked-by-admin": (
        "warning",
        "Live patch {nevra} is blocked by the administrator: {why}.",
        "Run 'livepatch unblock {nevra}' to have it loaded again.",
    ),
    "patch-unloaded": (
        "warning",
        "Live patch {nevra} is installed and was unloaded by the administrator.",
        "Run 'livepatch unblock {nevra}' to have it loaded again.",
    ),
    "patch-without-module": (
        "error",
        "Package {nevra} holds no module for kernel {release}.",
        "Report it to whoever built the package.",
    ),
    "kept-in-force": (
        "warning",
        "The copy of live patch {nevra} is used, because what is installed is not fit to be loaded.",
        "Install a newer patch when there is one.",
    ),
    "not-kept": (
        "warning",
        "No copy of live patch {nevra} could be kept: {why}.",
        "If its package is replaced by a bad one, no older patch can be put in force at boot.",
    ),
    "foreign-patch": (
        "error",
        "Live patch {nevra} is not loaded: it would put {module} out of force, which others loaded.",
        "Unload {module} with the program that loaded it, then run 'livepatch reconcile'.",
    ),
    "rival-product": (
        "error",
        "No live patch is loaded: {rival} patches this kernel already.",
        "Use one live-patching product a host; remove the other and reboot.",
    ),
    "kpatch-dnf-on": (
        "warning",
        "The kpatch plugin of DNF adds live patches too (autoupdate in /etc/dnf/plugins/kpatch.conf).",
        "Set autoupdate = False there; this plugin does its work for the running kernel too.",
    ),
    "host-ostree": (
        "note",
        "This host is image-based: a live patch added to it is gone after the next image update.",
        "Put the live-patch package into the image as well.",
    ),
    "transition-running": (
        "error",
        "Live patch {module} is still in transition, and no other can be loaded until it ends: {tasks}.",
        "It is tried again in a minute; stopping the named tasks and 'livepatch reconcile' is quicker.",
    ),
    "transition-stalled": (
        "error",
        "Live patch {module} was taken back: after {timeout} s these tasks still used the old code: "
        "{tasks}. What was in force before is in force.",
        "It is tried again by itself; stopping the tasks and 'livepatch reconcile' is quicker.",
    ),
    "transition-stuck": (
        "error",
        "Live patch {module} could neither be completed nor taken back within {timeout} s ({why}): {tasks}.",
        "Stop the named tasks and run 'livepatch reconcile'; a reboot resolves it in any case.",
    ),
    "unload-stalled": (
        "error",
        "Live patch {module} stays in force: after {timeout} s these tasks still used its code: {tasks}.",
        "Stop the tasks and run 'livepatch reconcile', or reboot.",
    ),
    "unload-refused": (
        "error",
        "The kernel refused to disable live patch {module}: {why}.",
        "A reboot takes it out of force.",
    ),
    "unload-not-ours": (
        "error",
        "{module} was not loaded by livepatch in this boot, and is not touched.",
        "Unload it with the program that loaded it, such as 'kpatch unload {module}'.",
    ),
    "module-stays": (
        "error",
        "Module {module} is out of force but cannot be removed: {why}.",
        "The same module cannot be loaded again before a reboot.",
    ),
    "module-other-build": (
        "error",
        "Live patch {nevra} is not in force: another build of module {module} is in the kernel, and two of "
        "one name cannot be.",
        "A reboot puts the installed one in force; a new build should have a new module name.",
    ),
    "module-name-taken": (
        "error",
        "A module called {module} is in the kernel already.",
        "Run 'livepatch status'; a reboot frees the name.",
    ),
    "module-missing": (
        "error",
        "Module {path} cannot be read: {why}.",
        "Reinstall its package.",
    ),
    "module-writable": (
        "error",
        "Module {path} is not loaded: it is no plain file that only root may write.",
        "Reinstall its package.",
    ),
    "module-unusable": (
        "error",
        "Module {path} is not loaded: {why}.",
        "Reinstall its package, or report it to whoever built it.",
    ),
    "module-unchecked": (
        "warning",
        "Module {path} could not be compared with the rpm database, which has no SHA-256 digest of it.",
        "Report it to whoever built the package: RPM's own default is SHA-256.",
    ),
    "module-changed": (
        "error",
        "Module {path} is not loaded: it is not the file that its package installed.",
        "Find out who changed it, then reinstall the package.",
    ),
    "module-no-livepatch": (
        "error",
        "Module {path} does not say that it is a live patch, and is not loaded.",
        "Report it to whoever built the package.",
    ),
    "module-other-name": (
        "error",
        "Module {path} is not loaded: inside it is called {name}.",
        "Report it to whoever built the package.",
    ),
    "module-vermagic": (
        "error",
        "Module {path} is built for kernel {vermagic}, not for the running {release}.",
        "Install the live patch of the running kernel.",
    ),
    "module-build-id": (
        "error",
        "Module {path} has build id {found}, its manifest says {told}.",
        "Report it to whoever built the package.",
    ),
    "kernel-build-id": (
        "error",
        "Live patch {module} is for the kernel with build id {told}; the running one has {found}.",
        "Install the live patch of the kernel as it was built for this host.",
    ),
    "module-unsigned": (
        "error",
        "Live patch {module} is not signed, and {why}: the kernel would refuse it.",
        "Get a signed package; 'mokutil --import' enrols the key of your own builds.",
    ),
    "module-key-unknown": (
        "warning",
        "Live patch {module} is signed with a key that the kernel does not show among its own: {signer}.",
        "If the kernel refuses it, enrol that key with 'mokutil --import KEY' and reboot once.",
    ),
    "target-pending": (
        "note",
        "Live patch {module} also patches modules that are not loaded: {targets}.",
        "The kernel patches them when they are loaded.",
    ),
    "function-probed": (
        "warning",
        "Function {function}, which the live patch replaces, is probed or traced now: {probe}.",
        "The probe may see the old function only; set it again after the load.",
    ),
    "load-no-key": (
        "error",
        "The kernel refused {module}: it does not know the key that signed it, {signer}.",
        "Enrol that key with 'mokutil --import KEY' and reboot once.",
    ),
    "load-bad-signature": (
        "error",
        "The kernel refused {module}: its signature is wrong.",
        "Reinstall the package; a signature is lost when a module is stripped.",
    ),
    "load-not-permitted": (
        "error",
        "The kernel refused {module}: not permitted (lockdown, SELinux or kernel.modules_disabled).",
        "See 'journalctl -k' and 'ausearch -m avc' for what refused it.",
    ),
    "load-wrong-format": (
        "error",
        "The kernel refused {module}: it does not fit this kernel.",
        "Run 'dmesg' for the kernel's reason, and report it to whoever built the package.",
    ),
    "load-unknown-symbol": (
        "error",
        "The kernel refused {module}: it needs a symbol that this kernel does not have.",
        "Run 'dmesg' for the symbol, and report it to whoever built the package.",
    ),
    "load-busy": (
        "error",
        "The kernel refused {module} for now: a transition or something that cannot share the "
        "functions is there.",
        "Run 'livepatch doctor', then 'livepatch reconcile'.",
    ),
    "load-refused": (
        "error",
        "The kernel refused {module}: {output}.",
        "Run 'dmesg' for the kernel's reason.",
    ),
    "load-crashed": (
        "error",
        "Loading {module} crashed the program that loaded it ({why}). It is blocked.",
        "Read 'journalctl -k', plan a reboot, and report it to whoever built the package.",
    ),
    "load-not-verified": (
        "error",
        "Live patch {module} was loaded but is not in force as built: {why}.",
        "It is blocked, and taken out if the kernel lets it go; 'livepatch status' shows it.",
    ),
    "function-not-redirected": (
        "warning",
        "Live patch {nevra} is in force, but ftrace does not redirect: {functions}.",
        "Run 'livepatch status --functions', and report it to whoever built the package.",
    ),
    "health-check-failed": (
        "error",
        "A health check failed with live patch {nevra}: {why}. {then}.",
        "See health_check in livepatch.conf; 'livepatch unblock {nevra}' tries it again.",
    ),
    "oops-while-loading": (
        "error",
        "The kernel had an oops in live patch {nevra} as soon as it was loaded: {why}. {then}.",
        "Report it to whoever made the patch, with the output of dmesg.",
    ),
}
