# SPDX-License-Identifier: GPL-2.0-or-later
"""Messages of one module: its file, its transition, and the refusals of the kernel. Pure."""

from __future__ import annotations

from .message import Message

LOADING: dict[str, Message] = {
    "transition-running": Message(
        "error",
        "Live patch {module} is still in transition, and no other can be loaded until it ends: {tasks}.",
        "It is tried again in a minute; stopping the named tasks and 'livepatch reconcile' is quicker.",
    ),
    "transition-stalled": Message(
        "error",
        "Live patch {module} was taken back: after {timeout} s these tasks still used the old code: "
        "{tasks}. What was in force before is in force.",
        "The next attempt comes without your help; stopping the tasks and 'livepatch reconcile' is quicker.",
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
        "Live patch {nevra} is not in force: another build of module {module} is in the kernel, and two of "
        "one name cannot be.",
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
    "module-unchecked": Message(
        "error",
        "Module {path} is not loaded: the rpm database has no digest to compare it with.",
        "Report it to whoever built the package: a live patch has to be a plain file, with a digest.",
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
    "module-key-unknown": Message(
        "warning",
        "Live patch {module} is signed with a key that the kernel does not show among its own: {signer}.",
        "If the kernel refuses it, enrol that key with 'mokutil --import KEY' and reboot once.",
    ),
    "target-pending": Message(
        "note",
        "Live patch {module} also patches modules that are not loaded: {targets}.",
        "The kernel patches them when they are loaded.",
    ),
    "function-probed": Message(
        "warning",
        "Function {function}, which the live patch replaces, is probed or traced now: {probe}.",
        "The probe may see the old function only; set it again after the load.",
    ),
    "load-no-key": Message(
        "error",
        "The kernel refused {module}: it does not know the key that signed it, {signer}.",
        "Enrol that key with 'mokutil --import KEY' and reboot once.",
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
        "The kernel refused {module} for now: a transition or something that cannot share the "
        "functions is there.",
        "Run 'livepatch doctor', then 'livepatch reconcile'.",
    ),
    "load-refused": Message(
        "error",
        "The kernel refused {module}: {output}.",
        "Run 'dmesg' for the kernel's reason.",
    ),
    "load-crashed": Message(
        "error",
        "Loading {module} crashed the program that loaded it ({why}). It is blocked.",
        "Read 'journalctl -k', plan a reboot, and report it to whoever built the package.",
    ),
    "load-not-verified": Message(
        "error",
        "Live patch {module} was loaded but is not in force as built: {why}.",
        "It is blocked, and taken out if the kernel lets it go; 'livepatch status' shows it.",
    ),
    "function-not-redirected": Message(
        "warning",
        "Live patch {nevra} is in force, but ftrace does not redirect: {functions}.",
        "Run 'livepatch status --functions', and report it to whoever built the package.",
    ),
}
