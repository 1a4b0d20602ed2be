# SPDX-License-Identifier: GPL-2.0-or-later
"""Messages of one module: its file, its transition, and the refusals of the kernel. Pure."""

from __future__ import annotations

from .message import Message

LOADING: dict[str, Message] = {
    "transition-running": Message(
        "error",
        "Live patch {module} is still in transition, and no other can be loaded until the transition "
        "ends. The old code is still used by {tasks}.",
        "The load is tried again in a minute; to speed it up, {how}, then, as root, run "
        "'livepatch reconcile'.",
    ),
    "transition-stalled": Message(
        "error",
        "Live patch {module} was taken back: after {timeout} s the old code was still used by {tasks}. "
        "The kernel is as it was before the load.",
        "The load is tried again later; to speed it up, {how}, then, as root, run 'livepatch reconcile'.",
    ),
    "transition-stuck": Message(
        "error",
        "The transition of live patch {module} could be neither completed nor reversed within {timeout} s"
        " ({why}). In its way: {tasks}. Until the transition ends no other live patch can be loaded.",
        "As root, {how}, then run 'livepatch reconcile'; a reboot ends the transition in any case.",
    ),
    "unload-stalled": Message(
        "error",
        "Live patch {module} stays in force: after {timeout} s its code was still used by {tasks}.",
        "As root, {how}, then run 'livepatch reconcile', or reboot.",
    ),
    "unload-refused": Message(
        "error",
        "Live patch {module} stays in force: the kernel refused to disable it ({why}).",
        "Reboot to take the patch out of force.",
    ),
    "unload-not-ours": Message(
        "error",
        "Module {module} is not unloaded: livepatch did not load it in this boot.",
        "As root, unload it with the program that loaded it, such as 'kpatch unload {module}'.",
    ),
    "module-stays": Message(
        "error",
        "Module {module} is out of force but cannot be removed: {why}.",
        "The kernel cannot load the same module again until you reboot.",
    ),
    "module-other-build": Message(
        "error",
        "Live patch {nevra} is not in force: the kernel has another build of module {module}, and cannot "
        "have two modules of one name.",
        "Reboot to put the installed build in force; a new build should have a new module name.",
    ),
    "module-name-taken": Message(
        "error",
        "Module {module} is not loaded: the kernel already has a module of that name.",
        "As root, run 'rmmod {module}', then 'livepatch reconcile'; a reboot frees the name, too.",
    ),
    "module-missing": Message(
        "error",
        "Module {path} cannot be loaded: it cannot be read ({why}).",
        "Reinstall the module's package.",
    ),
    "module-writable": Message(
        "error",
        "Module {path} cannot be loaded: others than root may write it, or it is no plain file.",
        "Reinstall the module's package.",
    ),
    "module-unusable": Message(
        "error",
        "Module {path} cannot be loaded: {why}.",
        "Reinstall the module's package; if that does not help, report it to whoever built the package.",
    ),
    "signer-differs": Message(
        "error",
        "Live patch {nevra} is not loaded: it is signed with {key}, the running kernel with {kernel}, and "
        "the repository that this kernel came from is unknown.",
        "Name the repositories that kernels come from with 'repos' in livepatch.conf, then, as root, run "
        "'dnf upgrade'.",
    ),
    "module-unchecked": Message(
        "error",
        "Module {path} is not loaded: the rpm database has no digest to compare it with.",
        "Report it to whoever built the package: a live patch has to be a plain file, with a digest.",
    ),
    "module-changed": Message(
        "error",
        "Module {path} cannot be loaded: it differs from the file that its package installed.",
        "Find out who changed the file, then reinstall the package.",
    ),
    "module-no-livepatch": Message(
        "error",
        "Module {path} cannot be loaded: it is not marked as a live patch.",
        "Report it to whoever built the package.",
    ),
    "module-other-name": Message(
        "error",
        "Module {path} cannot be loaded: the name inside the file is {name}.",
        "Report it to whoever built the package.",
    ),
    "module-vermagic": Message(
        "error",
        "Module {path} cannot be loaded: it is built for kernel {vermagic}, not for the running {release}.",
        "Install the live patch of the running kernel.",
    ),
    "module-build-id": Message(
        "error",
        "Module {path} cannot be loaded: its build id is {found}, and its manifest names {told}.",
        "Report it to whoever built the package.",
    ),
    "kernel-build-id": Message(
        "error",
        "Live patch {module} cannot be loaded: it is for the kernel with build id {told}, and the running "
        "kernel has {found}.",
        "Install the live patch that was made for this very build of the kernel.",
    ),
    "module-unsigned": Message(
        "error",
        "Live patch {module} cannot be loaded: it is not signed, and {why}.",
        "Get a signed package; as root, 'mokutil --import' enrols the key of your own builds.",
    ),
    "module-key-unknown": Message(
        "warning",
        "Live patch {module} is signed with a key that is not among those that the kernel shows: {signer}.",
        "If the kernel refuses it, enrol that key as root with 'mokutil --import KEY' and reboot once.",
    ),
    "target-pending": Message(
        "note",
        "Live patch {module} also patches modules that are not loaded: {targets}.",
        "The kernel patches them when they are loaded.",
    ),
    "function-probed": Message(
        "warning",
        "Function {function}, which the live patch replaces, is probed or traced now: {probe}.",
        "After the load the probe may see only the old function; set the probe again then.",
    ),
    "load-no-key": Message(
        "error",
        "The kernel refused live patch {module}: it does not know the key that signed the module, {signer}.",
        "As root, enrol that key with 'mokutil --import KEY' and reboot once.",
    ),
    "load-bad-signature": Message(
        "error",
        "The kernel refused live patch {module}: the module's signature is wrong.",
        "Reinstall the package; a signature is lost when a module is stripped.",
    ),
    "load-not-permitted": Message(
        "error",
        "The kernel refused live patch {module}: not permitted (lockdown, SELinux or "
        "kernel.modules_disabled).",
        "As root, see 'journalctl -k' and 'ausearch -m avc' for what refused it.",
    ),
    "load-wrong-format": Message(
        "error",
        "The kernel refused live patch {module}: the module does not fit this kernel.",
        "Run 'dmesg' for the kernel's reason, and report it to whoever built the package.",
    ),
    "load-unknown-symbol": Message(
        "error",
        "The kernel refused live patch {module}: the module needs a symbol that this kernel does not have.",
        "Run 'dmesg' for the symbol, and report it to whoever built the package.",
    ),
    "load-busy": Message(
        "error",
        "The kernel refused live patch {module} for now: another transition is under way, or a tracer "
        "that cannot share the functions is attached.",
        "As root, run 'livepatch doctor', then 'livepatch reconcile'.",
    ),
    "load-incompatible": Message(
        "error",
        "The kernel refused live patch {module}: it is not compatible with the live patches that are "
        "loaded, such as a newer one.",
        "Reboot to load it alone; or, as root, take the loaded patch out with 'livepatch unload', which "
        "opens its CVEs again, and run 'livepatch reconcile'.",
    ),
    "load-refused": Message(
        "error",
        "The kernel refused live patch {module}: {output}.",
        "Run 'dmesg' for the kernel's reason.",
    ),
    "load-crashed": Message(
        "error",
        "Loading live patch {module} crashed the program that loaded it ({why}). The patch is blocked "
        "and closes no CVE, and the kernel may be unstable until a reboot.",
        "Read 'journalctl -k', plan a reboot, and report the crash to whoever built the package.",
    ),
    "load-goes-on": Message(
        "error",
        "Live patch {nevra} is not in force yet: the kernel has been loading it since {since}, and goes on.",
        "Run 'livepatch status' to see when the load is over; do not kill insmod or reboot meanwhile.",
    ),
    "load-overdue": Message(
        "error",
        "Live patch {nevra} is not in force: the kernel has been loading it since {since}, and that had to "
        "end by {until}.",
        "Only a boot ends a load that hangs; 'journalctl -k' names a hung task. As root, run 'livepatch "
        "block {nevra}' before the boot, so that the patch is not tried again.",
    ),
    "change-overdue": Message(
        "error",
        "The change of live patch {nevra} that began at {since} has not ended, and had to end by {until}.",
        "As root, run 'systemctl restart livepatch-reconcile.service', which ends the run that hangs and "
        "begins another.",
    ),
    "load-not-verified": Message(
        "error",
        "Live patch {module} was loaded but is not in force as built: {why}.",
        "The patch is blocked, and taken out of the kernel if possible; 'livepatch list' shows whether it "
        "is out.",
    ),
    "function-not-redirected": Message(
        "warning",
        "Live patch {nevra} is in force, but ftrace does not redirect: {functions}.",
        "Run 'livepatch status --functions', and report it to whoever built the package.",
    ),
}
