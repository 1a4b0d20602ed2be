# SPDX-License-Identifier: GPL-2.0-or-later
"""Messages of the plugin inside DNF: why a live patch is added, kept out or not there. Pure."""

from __future__ import annotations

from .message import Message

PLANNING: dict[str, Message] = {
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
        "Package {nevra} claims to be a live patch but is not added: {why}.",
        "Report it to whoever runs its repository.",
    ),
    "patch-untrusted": Message(
        "warning",
        "Live patch {nevra} is not added: repository {repo} is not trusted with kernel code: {why}.",
        "To take live patches from there, add {repo} to repos = in livepatch.conf. Name all others there "
        "too: beside that list, only the repository that a kernel came from counts.",
    ),
    "patch-no-gpgcheck": Message(
        "warning",
        "Live patch {nevra} is not added: gpgcheck is off for repository {repo}.",
        "Set gpgcheck=1 and gpgkey= for that repository.",
    ),
    "patch-outranked": Message(
        "note",
        "Live patch {nevra} of repository {repo} is not added: by its priority, DNF prefers {other}.",
        "To have the patch, give {repo} a priority= that is no greater than that of {other}.",
    ),
    "patch-excluded": Message(
        "warning",
        "Live patch {nevra} is not added: DNF's configuration excludes it.",
        "See excludepkgs=, includepkgs=, versionlock and 'dnf module list'; 'dnf livepatch list "
        "--available' shows what is offered.",
    ),
    "patch-waits": Message(
        "note",
        "Live patch {nevra} is not added before {until}: {why}.",
        "To have it now, name it with its version: 'dnf install {nevra}'.",
    ),
    "patch-cut-off": Message(
        "note",
        "Live patch {nevra} is not added: it was {how} on {issued}, after cutoff = {cutoff}.",
        "Move cutoff in livepatch.conf, or name the patch with its version to have it now.",
    ),
    "patch-withdrawn": Message(
        "warning",
        "Live patch {nevra} is not added: its publisher withdrew it on {since} ({why}).",
        "Wait for the publisher's next live patch.",
    ),
    "patch-kept-out": Message(
        "warning",
        "Live patch {nevra} is not added: it is blocked on this host ({why}).",
        "As root, run 'livepatch unblock {nevra}' to allow it again.",
    ),
    "withdrawn-in-force": Message(
        "warning",
        "Live patch {nevra} is in force, and its publisher has withdrawn it: {why}.",
        "As root, run 'dnf upgrade', which takes a newer patch where one is offered, or 'livepatch unload' "
        "to take this one out; see on_withdrawn = in livepatch.conf.",
    ),
    "record-broken": Message(
        "warning",
        "The livepatch record of repository {repo} cannot be used ({why}); its withdrawals and roll-outs "
        "are unknown.",
        "Report it to whoever runs the repository.",
    ),
    "kernel-held": Message(
        "note",
        "Kernel update held: {kernel}, because {why}.",
        "'dnf upgrade {name}' installs it anyway.",
    ),
    "kernel-not-held": Message(
        "note",
        "Kernel update {kernel} is not held: {why}.",
        "",
    ),
    "patch-absent": Message(
        "note",
        "No repository offers a live patch for the running kernel {release}: "
        "{count:CVE stays|CVEs stay} open.",
        "Only a reboot into a newer kernel, or a live patch published later, closes what stays open.",
    ),
    "patch-overlaps": Message(
        "warning",
        "Live patch {nevra} is not added: it and {other} have some CVEs in common.",
        "To have {nevra} instead, remove {other} first.",
    ),
    "patch-left": Message(
        "warning",
        "Live patch {nevra} is offered and not installed, because this upgrade failed.",
        "'dnf livepatch update' takes the live patch alone; dnf-livepatch.timer does so every four hours.",
    ),
    "patch-not-had": Message(
        "warning",
        "Live patch {nevra} is left out: {why}. The rest of this upgrade goes on.",
        "Whoever runs the repository can mend that; until then each upgrade tries again.",
    ),
    "patch-uninstallable": Message(
        "warning",
        "Live patch {nevra} is offered and cannot be installed, not even by itself: {why}.",
        "Report it to whoever runs its repository. If nothing else is in the way, "
        "'dnf upgrade --exclude={nevra}' takes all other updates.",
    ),
    "patch-unjudged": Message(
        "warning",
        "Live patch {nevra} is not added: no advisory lists the patch and the patch names no CVE, so the "
        "filter of this upgrade cannot be judged.",
        "To have it, run 'dnf livepatch update', or 'dnf upgrade' without the filter.",
    ),
    "advisories-gone": Message(
        "warning",
        "New CVEs of the running kernel cannot be known: {why}.",
        "Ask whoever runs the repository for its updateinfo; 'dnf repolist' shows which are enabled.",
    ),
    "patch-unresolvable": Message(
        "warning",
        "Live patch {nevra} is not added: {why}. The rest of this transaction is unchanged.",
        "Run 'dnf install {nevra}' to see DNF's own messages about it.",
    ),
    "patch-older": Message(
        "warning",
        "Live patch {nevra} is added because the newer {newer} cannot be installed: {why}.",
        "Run 'dnf install {newer}' to see DNF's own messages about it.",
    ),
    "patch-removed": Message(
        "note",
        "Live patch {nevra} is removed; the next 'dnf upgrade' adds it again.",
        "To keep it away, run 'livepatch block {nevra}' or name it in excludepkgs= of dnf.conf.",
    ),
    "runtime-removed-in-force": Message(
        "note",
        "Live patch {module} stays in force until the next boot, and nothing loads it again then.",
        "",
    ),
    "runtime-removed": Message(
        "note",
        "The history and the blocks stay in /var/lib/livepatch, for when livepatch-runtime comes back.",
        "",
    ),
    "load-interrupted": Message(
        "warning",
        "The wait was interrupted. The packages are installed, and the load of the live patch goes on.",
        "Run 'livepatch status' to see how the load ended.",
    ),
    "load-unanswered": Message(
        "error",
        "Live patch {nevra} is installed, but it is unknown whether it is in force: reconcile gave no "
        "answer. Until that is known, take its CVEs as open.",
        "Run 'livepatch status', and 'systemctl status livepatch-reconcile' for the reason.",
    ),
    "unload-interrupted": Message(
        "warning",
        "The wait was interrupted. The packages are removed, and the live patch goes out of force.",
        "Run 'livepatch status' to see how that ended.",
    ),
    "unload-unanswered": Message(
        "error",
        "Live patch {nevra} is removed, but it is unknown whether it is out of force: reconcile gave no "
        "answer.",
        "Run 'livepatch status', and 'systemctl status livepatch-reconcile' for the reason.",
    ),
    "removed-in-force": Message(
        "warning",
        "Live patch {nevra} is removed, and module {modules} stays in force: only the program that loaded a "
        "module takes it out, and livepatch did not load this one.",
        "A reboot ends it; so does that program, such as 'kpatch unload'.",
    ),
    "unload-skipped": Message(
        "warning",
        "Live patch {nevra} is removed, and module {modules} stays in force: {why}.",
        "A reboot ends it. Until then the module has no package that 'livepatch' could check.",
    ),
    "load-skipped": Message(
        "note",
        "Live patch {nevra} is installed and not loaded: {why}.",
        "In a container nothing is to be done; elsewhere, as root, run 'livepatch "
        "reconcile' when the reason is gone.",
    ),
}
