# SPDX-License-Identifier: GPL-2.0-or-later
"""Every refusal and warning of the host side, by stable id, with its remedy. Pure.

An id never changes its meaning and is never used again for another; scripts and docs/messages.md
refer to it. ``text`` says what happened and in which state the host is, ``remedy`` what to do.
``{words}`` are filled in by ``problem()``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ..base.model import InForce, Problem
from .loading import LOADING


class Message(NamedTuple):
    """One entry of the catalogue; ``severity`` is error, warning or note."""

    severity: str
    text: str
    remedy: str


CATALOGUE: dict[str, Message] = {
    "config-fault": Message(
        "warning",
        "livepatch.conf: {fault}",
        "Correct the line; livepatch.conf(5) lists the keys and their values.",
    ),
    "module-not-in-force": Message(
        "error",
        "Live patch {nevra} is installed but not in force: {instead}.",
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
        "To take live patches from there, add {repo} to repos = in livepatch.conf.",
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
    "patch-waits": Message(
        "note",
        "Live patch {nevra} is not added before {until}: {why}.",
        "To have it now, name it with its version: 'dnf install {nevra}'.",
    ),
    "patch-cut-off": Message(
        "note",
        "Live patch {nevra} is not added: it was issued on {issued}, after cutoff = {cutoff}.",
        "Move cutoff in livepatch.conf, or name the patch with its version to have it now.",
    ),
    "patch-withdrawn": Message(
        "warning",
        "Live patch {nevra} is not added: its publisher withdrew it on {since} ({why}).",
        "Wait for the next one.",
    ),
    "patch-kept-out": Message(
        "warning",
        "Live patch {nevra} is not added: it is blocked on this host ({why}).",
        "'livepatch unblock {nevra}' allows it again.",
    ),
    "withdrawn-in-force": Message(
        "warning",
        "Live patch {nevra} is in force, and its publisher has withdrawn it: {why}.",
        "Upgrade to a newer one, or take it out with 'livepatch unload'; see on_withdrawn = in "
        "livepatch.conf.",
    ),
    "record-broken": Message(
        "warning",
        "What repository {repo} says of its live patches is not usable ({why}); it counts as unknown.",
        "Report it to whoever runs the repository.",
    ),
    "kernel-held": Message(
        "note",
        "Kernel update held: {kernel}, because {why}.",
        "'dnf upgrade {name}' installs it all the same.",
    ),
    "kernel-not-held": Message(
        "note",
        "Kernel update {kernel} is not held: {why}.",
        "",
    ),
    "patch-absent": Message(
        "note",
        "No repository offers a live patch for the running kernel {release}: {count} CVEs stay open.",
        "Only a reboot into a newer kernel closes them, or a live patch published later.",
    ),
    "patch-overlaps": Message(
        "warning",
        "Live patch {nevra} is not added: it and {other} close some of the same CVEs.",
        "To have it in its place, remove {other} first.",
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
    "patch-removed": Message(
        "note",
        "Live patch {nevra} is removed; the next 'dnf upgrade' adds it again.",
        "To keep it away, run 'livepatch block {nevra}' or name it in excludepkgs= of dnf.conf.",
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
        "Restore /var/lib/livepatch/guard.json from a backup, or remove it to forget all blocks.",
    ),
    "notices-unknown": Message(
        "warning",
        "Which live patches were withdrawn is not known: {why}.",
        "Run 'dnf check-update' as root: it writes the file anew and keeps the old one beside it.",
    ),
    "no-place-to-load": Message(
        "warning",
        "No live patch is loaded here: {why}.",
        "Nothing to do where that is meant to be so.",
    ),
    "loading-off": Message(
        "warning",
        "Installed live patches are not loaded here: {why}.",
        "To have them loaded, change that setting and run 'livepatch reconcile'.",
    ),
    "vex-empty": Message(
        "error",
        "There is no OpenVEX document to give: {why}.",
        "OpenVEX needs at least one statement; run 'dnf upgrade' to have the advisories read.",
    ),
    "no-such-package": Message(
        "error",
        "Nothing is changed: {why}.",
        "'livepatch list' and 'dnf livepatch list --available' show the packages; give the name as it is"
        " printed there.",
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
    "client-absent": Message(
        "error",
        "Live patch {nevra} is installed, but {client}, which loads it, is not there.",
        "{remedy} Then run 'livepatch reconcile'.",
    ),
    "client-failed": Message(
        "error",
        "Live patch {nevra} is installed but not in force: {why}.",
        "Run the vendor's program by hand to see more, then 'livepatch reconcile'.",
    ),
    "client-left": Message(
        "error",
        "Live patch {nevra} is not to be in force any more, but still is: {why}.",
        "Run the vendor's program by hand to see more, then 'livepatch reconcile'.",
    ),
    "profile-writable": Message(
        "warning",
        "{file} can be written by others than root, and it decides which packages may patch the kernel.",
        "chown root:root and chmod 0644 the file.",
    ),
    "profile-generic": Message(
        "warning",
        "Profile {name} is missing or emptied: packages that tell their kernel by capability are ignored.",
        "Reinstall livepatch-runtime, or remove /etc/livepatch/profiles.d/livepatch.conf.",
    ),
}
CATALOGUE.update({identifier: Message(*row) for identifier, row in LOADING.items()})


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


def not_in_force(nevra: str, in_force: Iterable[InForce]) -> Problem:
    """That ``nevra`` should be in force and is not; ``in_force`` is what is there instead."""
    others = sorted({patch.nevra or patch.module for patch in in_force} - {nevra})
    instead = ", ".join(others) + " is in force instead" if others else "the kernel is still vulnerable"
    return problem("module-not-in-force", nevra=nevra, instead=instead)
