# SPDX-License-Identifier: GPL-2.0-or-later
"""Every refusal and warning of the host side, by stable id, with its remedy. Pure.

An id never changes its meaning and is never used again for another; scripts and docs/messages.md
refer to it. ``text`` says what happened and in which state the host is, ``remedy`` what to do.
``{words}`` are filled in by ``problem()``.
"""

from __future__ import annotations

from typing import Dict, NamedTuple

from .model import Problem


class Message(NamedTuple):
    """One entry of the catalogue; ``severity`` is error, warning or note."""

    severity: str
    text: str
    remedy: str


CATALOGUE: Dict[str, Message] = {
    "config-fault": Message(
        "warning",
        "livepatch.conf: {fault}",
        "Correct the line; livepatch.conf(5) lists the keys and their values.",
    ),
    "module-not-in-force": Message(
        "error",
        "Live patch {nevra} is installed but not in force: the running kernel is still vulnerable.",
        "Run 'livepatch status' for the reason and 'livepatch reconcile' to try again.",
    ),
    # --- the plugin inside DNF ---
    "plugin-fault": Message(
        "warning",
        "The livepatch plugin could not finish ({what}: {error}); dnf goes on without it.",
        "The whole trace is in dnf's log file (/var/log/dnf.log); please report it.",
    ),
    "patch-offered": Message(
        "note",
        "Live patch {nevra} is offered by repository {repo}; mode = report, so it is not added.",
        "Set mode = load in livepatch.conf to have it installed and loaded by dnf upgrade.",
    ),
    "patch-no-place": Message(
        "note",
        "Live patch {nevra} is not added: {why}.",
        "",
    ),
    "patch-wrong": Message(
        "warning",
        "Package {nevra} calls itself a live patch but is not added: {why}.",
        "Report it to whoever runs its repository.",
    ),
    "patch-untrusted": Message(
        "warning",
        "Live patch {nevra} is not added: repository {repo} is not one that kernels come from.",
        "To take live patches from there, add it to repos = in livepatch.conf.",
    ),
    "patch-no-gpgcheck": Message(
        "warning",
        "Live patch {nevra} is not added: gpgcheck is off for repository {repo}.",
        "Set gpgcheck=1 and gpgkey= for that repository.",
    ),
    "patch-excluded": Message(
        "warning",
        "Live patch {nevra} is not added: DNF's configuration excludes it.",
        "See exclude= and versionlock; 'dnf livepatch list --available' shows what is offered.",
    ),
    "patch-absent": Message(
        "warning",
        "No repository offers a live patch for the running kernel {release}: {count} CVEs stay open.",
        "Only a reboot into a newer kernel closes them, or a live patch published later.",
    ),
    "patch-unresolvable": Message(
        "warning",
        "Live patch {nevra} is not added: {why}. The rest of this transaction is unchanged.",
        "Run 'dnf install {nevra}' to see what DNF says of it.",
    ),
    "patch-older": Message(
        "warning",
        "Live patch {nevra} is added because the newer {newer} cannot be installed: {why}.",
        "Run 'dnf install {newer}' to see what DNF says of it.",
    ),
    "load-interrupted": Message(
        "warning",
        "Interrupted while waiting. The packages are installed; loading the live patch goes on.",
        "Run 'livepatch status' to see how it ended.",
    ),
    "load-unanswered": Message(
        "error",
        "Live patch {nevra} is installed, but nothing has answered whether it is in force.",
        "Run 'livepatch status', and 'systemctl status livepatch-reconcile' for the reason.",
    ),
    "load-skipped": Message(
        "note",
        "Live patch {nevra} is installed and not loaded: {why}.",
        "Run 'livepatch reconcile' where the kernel is meant to be patched.",
    ),
    # --- telling: status, exposure, reboot advice ---
    "inventory-unknown": Message(
        "warning",
        "What is installed is not known: {why}.",
        "Run 'rpm -qa' as root to see what is wrong with the rpm database.",
    ),
    "guard-unknown": Message(
        "warning",
        "Which live patches are blocked or held is not known: {why}.",
        "Run 'livepatch reconcile --force' as root once the file is readable again.",
    ),
    "vex-empty": Message(
        "error",
        "There is no OpenVEX document to give: {why}.",
        "OpenVEX needs at least one statement; run 'dnf upgrade' to have the advisories read.",
    ),
    "no-such-package": Message(
        "error",
        "Nothing is changed: {why}.",
        "'livepatch list' shows the packages; give the name as it is printed there.",
    ),
    "support-ends": Message(
        "warning",
        "Live patches for kernel {release} end on {end}, in {days} days.",
        "Run 'dnf upgrade' and plan a reboot into the newer kernel before that day.",
    ),
    "support-ended": Message(
        "warning",
        "Live patches for kernel {release} ended on {end}: new CVEs are closed only by a reboot.",
        "Run 'dnf upgrade' and reboot into the newer kernel.",
    ),
    "profile-fault": Message(
        "error",
        "{fault}",
        "Correct or remove the file; livepatch-profiles(5) tells the format.",
    ),
    "profile-writable": Message(
        "warning",
        "{file} can be written by others than root, and it decides which packages may patch the kernel.",
        "chown root:root and chmod 0644 the file.",
    ),
    "profile-generic": Message(
        "warning",
        "The profile {name!r} is missing or emptied: packages that tell their kernel by capability are ignored.",
        "Reinstall livepatch-runtime, or remove /etc/livepatch/profiles.d/livepatch.conf.",
    ),
    # --- loading: preflight, transition, guard ---
    "need-root": Message(
        "error",
        "Changing the kernel's live patches needs root ({why}).",
        "Run it with sudo; 'livepatch status' works without.",
    ),
    "reconcile-running": Message(
        "error",
        "Another reconcile has been running for {seconds} s; nothing was done.",
        "Run 'systemctl status livepatch-reconcile' to see what it waits for.",
    ),
    "state-unwritable": Message(
        "error",
        "Nothing was loaded, because the record of it could not be written: {why}.",
        "Make /var/lib/livepatch and /run/livepatch writable, or free disk space; then 'livepatch reconcile'.",
    ),
    "guard-broken": Message(
        "error",
        "Nothing is loaded or unloaded: it is unknown which patches are blocked ({why}).",
        "Restore /var/lib/livepatch/guard.json from a backup, or remove it to forget all blocks.",
    ),
    "journal-unwritable": Message(
        "warning",
        "The change was made but could not be added to the history: {why}.",
        "Free disk space below /var/lib/livepatch.",
    ),
    "profile-fault": Message(
        "warning",
        "{fault}",
        "Correct or remove the file; profiles in /etc/livepatch/profiles.d replace those of the same name.",
    ),
    "manifest-unusable": Message(
        "warning",
        "The manifest {fault}; what the patch closes is unknown.",
        "Reinstall the package, or report it to whoever built it.",
    ),
    "rpmdb-unreadable": Message(
        "error",
        "It is unknown which live patches are installed: {why}. Patches in force stay in force.",
        "Run 'rpmdb --verifydb'; 'rpmdb --rebuilddb' repairs the database.",
    ),
    "rpm-busy": Message(
        "warning",
        "Live patch {module} is not unloaded yet: an RPM transaction is running.",
        "It is looked at again in a minute, and after the transaction.",
    ),
    "patch-blocked": Message(
        "error",
        "Live patch {nevra} is blocked and not loaded: {why}.",
        "Install a newer patch; 'livepatch unblock' tries this one again, 'livepatch block' accepts the state.",
    ),
    "patch-blocked-by-admin": Message(
        "warning",
        "Live patch {nevra} is blocked by the administrator: {why}.",
        "Run 'livepatch unblock {nevra}' to have it loaded again.",
    ),
    "patch-unloaded": Message(
        "warning",
        "Live patch {nevra} is installed and was unloaded by the administrator.",
        "Run 'livepatch unblock {nevra}' to have it loaded again.",
    ),
    "patch-without-module": Message(
        "error",
        "Package {nevra} holds no module for kernel {release}.",
        "Report it to whoever built the package.",
    ),
    "kept-in-force": Message(
        "warning",
        "The copy of live patch {nevra} is used, because what is installed may not be loaded.",
        "Install a newer patch when there is one.",
    ),
    "not-kept": Message(
        "warning",
        "No copy of live patch {nevra} could be kept: {why}.",
        "If its package is replaced by a bad one, no older patch can be put in force at boot.",
    ),
    "foreign-patch": Message(
        "error",
        "Live patch {nevra} is not loaded: it would put {module} out of force, which others loaded.",
        "Unload {module} with the program that loaded it, then run 'livepatch reconcile'.",
    ),
    "rival-product": Message(
        "error",
        "No live patch is loaded: {rival} patches this kernel already.",
        "Use one live-patching product a host; remove the other and reboot.",
    ),
    "kpatch-dnf-on": Message(
        "warning",
        "The kpatch plugin of DNF adds live patches too (autoupdate in /etc/dnf/plugins/kpatch.conf).",
        "Set autoupdate = False there; this plugin does its work for the running kernel too.",
    ),
    "host-ostree": Message(
        "note",
        "This host is image-based: a live patch added to it is gone after the next image update.",
        "Put the live-patch package into the image as well.",
    ),
    "transition-running": Message(
        "error",
        "Live patch {module} is still in transition; no other can be loaded until it ends.",
        "Run 'livepatch status' for the tasks in the way, then 'livepatch reconcile'.",
    ),
    "transition-stalled": Message(
        "error",
        "Live patch {module} was taken back: after {timeout} s these tasks still used the old code: {tasks}. "
        "What was in force before is in force.",
        "It is tried again by itself; stopping the tasks and 'livepatch reconcile' is quicker.",
    ),
    "transition-stuck": Message(
        "error",
        "Live patch {module} could neither be completed nor taken back within {timeout} s ({why}): {tasks}.",
        "Stop the named tasks and run 'livepatch reconcile'; a reboot resolves it in any case.",
    ),
    "unload-stalled": Message(
        "error",
        "Live patch {module} stays in force: after {timeout} s these tasks still used its code: {tasks}.",
        "Stop the tasks and run 'livepatch reconcile', or reboot.",
    ),
    "unload-refused": Message(
        "error",
        "The kernel refused to disable live patch {module}: {why}.",
        "A reboot takes it out of force.",
    ),
    "unload-not-ours": Message(
        "error",
        "{module} was not loaded by livepatch in this boot, and is not touched.",
        "Unload it with the program that loaded it, such as 'kpatch unload {module}'.",
    ),
    "module-stays": Message(
        "error",
        "Module {module} is out of force but cannot be removed: {why}.",
        "The same module cannot be loaded again before a reboot.",
    ),
    "module-other-build": Message(
        "error",
        "Live patch {nevra} is not loaded: another build of module {module} is in the kernel.",
        "A reboot puts the installed one in force; a new build should have a new module name.",
    ),
    "module-name-taken": Message(
        "error",
        "A module called {module} is in the kernel already.",
        "Run 'livepatch status'; a reboot frees the name.",
    ),
    "module-missing": Message(
        "error",
        "Module {path} cannot be read: {why}.",
        "Reinstall its package.",
    ),
    "module-writable": Message(
        "error",
        "Module {path} is not loaded: it is no plain file that only root may write.",
        "Reinstall its package.",
    ),
    "module-unusable": Message(
        "error",
        "Module {path} is not loaded: {why}.",
        "Reinstall its package, or report it to whoever built it.",
    ),
    "module-changed": Message(
        "error",
        "Module {path} is not loaded: it is not the file that its package installed.",
        "Find out who changed it, then reinstall the package.",
    ),
    "module-no-livepatch": Message(
        "error",
        "Module {path} does not say that it is a live patch, and is not loaded.",
        "Report it to whoever built the package.",
    ),
    "module-other-name": Message(
        "error",
        "Module {path} is not loaded: inside it is called {name}.",
        "Report it to whoever built the package.",
    ),
    "module-vermagic": Message(
        "error",
        "Module {path} is built for kernel {vermagic}, not for the running {release}.",
        "Install the live patch of the running kernel.",
    ),
    "module-build-id": Message(
        "error",
        "Module {path} has build id {found}, its manifest says {told}.",
        "Report it to whoever built the package.",
    ),
    "kernel-build-id": Message(
        "error",
        "Live patch {module} is for the kernel with build id {told}; the running one has {found}.",
        "Install the live patch of the kernel as it was built for this host.",
    ),
    "module-unsigned": Message(
        "error",
        "Live patch {module} is not signed, and {why}: the kernel would refuse it.",
        "Get a signed package; 'mokutil --import' enrols the key of your own builds.",
    ),
    "target-pending": Message(
        "note",
        "Live patch {module} also patches modules that are not loaded: {targets}.",
        "The kernel patches them when they are loaded.",
    ),
    "function-probed": Message(
        "warning",
        "Function {function}, which is to be patched, is probed or traced now: {probe}.",
        "The probe may see the old function only; set it again after the load.",
    ),
    "load-no-key": Message(
        "error",
        "The kernel refused {module}: no key of its keyrings has signed it.",
        "Enrol the builder's key with 'mokutil --import KEY' and reboot once.",
    ),
    "load-bad-signature": Message(
        "error",
        "The kernel refused {module}: its signature is wrong.",
        "Reinstall the package; a signature is lost when a module is stripped.",
    ),
    "load-not-permitted": Message(
        "error",
        "The kernel refused {module}: not permitted (lockdown, SELinux or kernel.modules_disabled).",
        "See 'journalctl -k' and 'ausearch -m avc' for what refused it.",
    ),
    "load-wrong-format": Message(
        "error",
        "The kernel refused {module}: it does not fit this kernel.",
        "Run 'dmesg' for the kernel's reason, and report it to whoever built the package.",
    ),
    "load-unknown-symbol": Message(
        "error",
        "The kernel refused {module}: it needs a symbol that this kernel does not have.",
        "Run 'dmesg' for the symbol, and report it to whoever built the package.",
    ),
    "load-busy": Message(
        "error",
        "The kernel refused {module} for now: a transition or something that cannot share the functions is there.",
        "Run 'livepatch doctor', then 'livepatch reconcile'.",
    ),
    "load-refused": Message(
        "error",
        "The kernel refused {module}: {output}.",
        "Run 'dmesg' for the kernel's reason.",
    ),
    "load-crashed": Message(
        "error",
        "Loading {module} crashed the program that loaded it {why}. It is blocked.",
        "Read 'journalctl -k', plan a reboot, and report it to whoever built the package.",
    ),
    "load-not-verified": Message(
        "error",
        "Live patch {module} was loaded but is not in force as built: {why}.",
        "Run 'livepatch status'; it is taken out again and blocked.",
    ),
    "health-check-failed": Message(
        "error",
        "Live patch {nevra} was taken back and blocked, because a health check failed: {why}.",
        "See health_check in livepatch.conf; 'livepatch unblock {nevra}' tries it again.",
    ),
}


def problem(identifier: str, **facts: object) -> Problem:
    """The Problem for a catalogue entry, its texts filled with ``facts`` made printable."""
    message = CATALOGUE[identifier]
    clean = {
        name: "".join(c if c.isprintable() else "?" for c in str(value)[:500])
        for name, value in facts.items()
    }
    return Problem(
        identifier,
        message.severity,
        message.text.format(**clean),
        message.remedy.format(**clean),
    )
