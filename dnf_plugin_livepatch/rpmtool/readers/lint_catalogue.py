# SPDX-License-Identifier: GPL-2.0-or-later
"""Every lint check of livepatch-rpm, by its stable id, with its severity and remedy. Pure.

An id never changes its meaning and is never used again for another check: builders override checks by
id, and the override lands in the manifest. ``{words}`` are filled in when the check finds something.
"""

from __future__ import annotations

from typing import NamedTuple

from ...toolkit.errors import Finding, printable


class Check(NamedTuple):
    """One entry of the catalogue; ``severity`` is error, warning or note."""

    severity: str
    text: str
    remedy: str


LINT: dict[str, Check] = {
    "not-livepatch": Check(
        "error",
        "{module}: the module does not say livepatch=Y in its modinfo.",
        'Add MODULE_INFO(livepatch, "Y"); the kernel refuses klp_enable_patch() without it.',
    ),
    "no-build-id": Check(
        "error",
        "{module}: the module has no build id.",
        "Link with --build-id: hosts prove by it that the loaded module is the packaged one.",
    ),
    "vermagic-mismatch": Check(
        "error",
        "{module}: built for {found}, wanted is {wanted}.",
        "Build it against the kernel development files of exactly that release.",
    ),
    "name-too-long": Check(
        "error",
        "{module}: the name has {length} characters, the kernel keeps 55.",
        "Give a shorter one with --name.",
    ),
    "name-invalid": Check(
        "error",
        "{module}: the name holds more than letters, digits and '_'.",
        "Give another one with --name.",
    ),
    "name-mismatch": Check(
        "error",
        "{module}: the module calls itself {found}.",
        "Rename the file, or build it under the wanted name: hosts look for it in sysfs by name.",
    ),
    "name-taken": Check(
        "error",
        "{module}: {owner} has this name already.",
        "Give another one with --name, or rebuild a finished module under another: a name that is loaded"
        " cannot be loaded a second time.",
    ),
    "depends-undeclared": Check(
        "error",
        "{module}: depends on {found}, which --depends does not name.",
        "Remove the dependency, or declare it with --depends; hosts load with insmod, without it.",
    ),
    "klp-relocation-invalid": Check(
        "error",
        "{module}: {what}.",
        "Build it again with the engine that fits the kernel; the kernel would refuse or misplace it.",
    ),
    "jump-table-relocation": Check(
        "error",
        "{module}: section {section} relocates jump labels late.",
        "Keep static keys of modules out of the patch: they would be patched before relocation.",
    ),
    "replace-mismatch": Check(
        "error",
        "{module}: replace is {found}, wanted is {wanted}.",
        "Set klp_patch.replace, or ask for the other with --replace or --no-replace.",
    ),
    "replace-several": Check(
        "error",
        "{modules}: each replaces all others, so only the one loaded last would stay in force.",
        "Build them with klp_patch.replace off and package them with --no-replace, or make them one module.",
    ),
    "replace-unknown": Check(
        "note",
        "{module}: code sets the replace flag, so that it is unknown until the module is loaded.",
        "Read it in /sys/kernel/livepatch/{module}/replace once loaded (kernel 6.14 and later).",
    ),
    "crc-mismatch": Check(
        "error",
        "{module}: {count} symbols with another CRC than the kernel's Module.symvers: {symbols}.",
        "Build it against the very kernel that it is for.",
    ),
    "crc-unknown": Check(
        "error",
        "{module}: {count} symbols that the kernel does not export: {symbols}.",
        "Build it against the very kernel that it is for.",
    ),
    "crc-unchecked": Check(
        "note",
        "{module}: symbol CRCs were not compared ({why}).",
        "Give the kernel's Module.symvers with --kernel-devel.",
    ),
    "patches-nothing": Check(
        "error",
        "{module}: no patched function was found.",
        "See docs/how-to/packagers.md for the shapes of klp data that are understood.",
    ),
    "patches-no-function": Check(
        "note",
        "{module}: it replaces no function, and carries {what} only.",
        "Nothing has to be done where that is meant; no CVE is closed by a replaced function.",
    ),
    "base-functions-lost": Check(
        "error",
        "{count} functions that the base patches are left as they were: {functions}.",
        "Patch them too: a cumulative patch takes the base's out; or override with the reason why not.",
    ),
    "base-cves-claimed": Check(
        "note",
        "The base's CVEs {cves} are taken over; nothing proves that this module fixes them.",
        "Make sure that it holds the base's fixes too, or give --allow-drop CVE=REASON.",
    ),
    "no-cve": Check(
        "warning",
        "No CVE is named: hosts cannot tell what the package closes.",
        "Give --cve for each CVE that it fixes; a plain bug fix needs none.",
    ),
    "target-missing": Check(
        "error",
        "{module}: the kernel has no function {function}.",
        "Correct the name, or give the vmlinux of that very kernel.",
    ),
    "target-ambiguous": Check(
        "error",
        "{module}: the kernel has {count} functions {function} and sympos is {sympos}.",
        "Set old_sympos to say which.",
    ),
    "target-init": Check(
        "error",
        "{module}: {function} is init code: it has run and its memory is gone.",
        "Patch what runs after boot instead, or close the CVE by a reboot only (--unfixable).",
    ),
    "target-notrace": Check(
        "error",
        "{module}: {function} cannot be traced by ftrace, so it cannot be patched live.",
        "Patch its callers instead.",
    ),
    "target-unchecked": Check(
        "note",
        "{module}: not looked up: {functions} of {object} ({why}).",
        "Give --vmlinux, for modules of the kernel with its debuginfo around it or a built --source-tree,"
        " to check for init code, notrace and ambiguous names.",
    ),
    "symbols-stripped": Check(
        "error",
        "{module}: the symbol table is gone or cut.",
        "Never strip a live patch: late relocations need its symbols.",
    ),
    "manifest-mismatch": Check(
        "error",
        "{module}: the manifest says {what} {wanted}, the module has {found}.",
        "The package was changed after it was built: build it again.",
    ),
    "signature-missing": Check(
        "warning",
        "{module}: the module is not signed.",
        "Sign it with --module-key: kernels under lockdown or sig_enforce refuse it.",
    ),
    "signature-broken": Check(
        "error",
        "{module}: it ends like a signed module, but the signature is cut or misplaced.",
        "Sign again, after everything that changes the file (strip, objcopy, debug info).",
    ),
}


#: The remedy for ``base-functions-lost`` of a patch that is loaded beside others, and takes none out.
BESIDE = (
    "Patch them too, or package the base's modules together with this one, or override with the reason."
    " With --no-replace the module leaves the base's in force, but this package takes the place of the"
    " base's, and hosts take out modules whose package is gone."
)


def finding(identifier: str, **facts: object) -> Finding:
    """The Finding of the check ``identifier``, its texts filled with ``facts`` made printable."""
    check, clean = LINT[identifier], printable(facts)
    return Finding(
        identifier,
        check.severity,
        clean.get("module", ""),
        check.text.format(**clean),
        check.remedy.format(**clean),
    )


def finding_facts(item: Finding) -> dict[str, str]:
    """``item`` as JSON has it: builders know a check by its id, and call a waived one overridden."""
    return {
        "id": item.check,
        "severity": item.severity,
        "text": item.text,
        "remedy": item.remedy,
        "overridden": item.waived,
    }
