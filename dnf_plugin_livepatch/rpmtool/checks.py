# SPDX-License-Identifier: GPL-2.0-or-later
"""Every finding and refusal of livepatch-rpm, by stable id, with its remedy. Pure.

An id never changes its meaning and is never used again for another: builders override lint
checks by id, and the override lands in the manifest. ``{words}`` are filled in when raised.
"""

from __future__ import annotations

from typing import NamedTuple, NoReturn

SEVERITIES = ("error", "warning", "note")


class Check(NamedTuple):
    """One entry of a catalogue; ``severity`` is error, warning or note."""

    severity: str
    text: str
    remedy: str


class Finding(NamedTuple):
    """One lint result. ``overridden`` is the builder's reason for another severity, or ""."""

    id: str
    severity: str
    text: str
    remedy: str
    overridden: str = ""


class ToolError(Exception):
    """A refusal: ``id`` from REFUSALS, ``text`` what happened, ``remedy`` what to do."""

    def __init__(self, identifier: str, text: str, remedy: str) -> None:
        super().__init__(text)
        self.id, self.text, self.remedy = identifier, text, remedy


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
        "{module}: the replace flag is set by code and cannot be read from the file.",
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

REFUSALS: dict[str, Check] = {
    "usage": Check("error", "{what}", "See livepatch-rpm(1)."),
    "input-missing": Check("error", "{path}: no such file or folder.", "Check the path."),
    "input-unknown": Check(
        "error",
        "{path}: neither a diff, a .ko, a C file nor a folder with a Kbuild file.",
        "Name the diffs, the source or the module to package.",
    ),
    "input-mixed": Check(
        "error",
        "Diffs, modules and live-patch sources cannot be mixed in one package, nor several C files given.",
        "Give inputs of one kind; of live-patch source one C file, or a folder.",
    ),
    "module-unreadable": Check(
        "error",
        "{path}: not a readable kernel module ({why}).",
        "Give an uncompressed, complete .ko file.",
    ),
    "module-foreign": Check(
        "error",
        "{path}: is {found}, no relocatable 64-bit kernel module of a known machine.",
        "Give the .ko of the kernel that is to be patched.",
    ),
    "kernel-unknown": Check(
        "error",
        "It is not known which kernel this is for.",
        "Give --kernel RELEASE or --kernel-devel.",
    ),
    "kernel-devel-missing": Check(
        "error",
        "{path}: no kernel development files ({what} is missing).",
        "Install kernel-devel (linux-headers on Debian) of that release, or give its folder.",
    ),
    "release-mismatch": Check(
        "error",
        "--kernel says {wanted}, {where} says {found}.",
        "Give the files of one and the same kernel.",
    ),
    "vmlinux-mismatch": Check(
        "error",
        "{path}: {why}.",
        "Give the uncompressed vmlinux with debug info of that very kernel build.",
    ),
    "diff-empty": Check("error", "{path}: changes nothing.", "Give a diff with at least one change."),
    "diff-no-apply": Check(
        "error",
        "{path}: does not apply to the source tree: {why}",
        "Rebase it on that kernel and the diffs before it.",
    ),
    "diff-unsafe-path": Check(
        "error",
        "{path}: names {name}, outside of the source tree.",
        "Make the diff with a/ and b/ prefixes inside the tree.",
    ),
    "diff-assembly": Check(
        "error",
        "{path}: changes {name}, which is assembly and cannot be patched live.",
        "Leave it to the kernel update, and declare the CVE with --unfixable.",
    ),
    "diff-init": Check(
        "error",
        "{path}: changes init code in {name} ({what}).",
        "Init code has run already: patch what runs after boot instead.",
    ),
    "diff-data": Check(
        "error",
        "{path}: changes the layout or the static data {what} in {name}.",
        "Live patches replace functions only: use shadow variables or callbacks, or say"
        " --allow-data with the reason why it is safe.",
    ),
    "diff-not-code": Check(
        "error",
        "{path}: changes no C code.",
        "Only functions can be patched live; drop this diff.",
    ),
    "engine-missing": Check(
        "error",
        "Engine {engine} is not here: {what} is missing.",
        "{hint}",
    ),
    "engine-unfit": Check(
        "error",
        "Engine {engine} cannot build this: {why}.",
        "{hint}",
    ),
    "engine-failed": Check(
        "error",
        "{engine} failed with status {status}: {last}",
        "The full log is {log}.",
    ),
    "engine-nothing": Check(
        "error",
        "{engine} found no changed function: the diff has no effect on this kernel.",
        "Check that the changed code is compiled in this configuration. The full log is {log}.",
    ),
    "name-unfit": Check(
        "error",
        "{name}: no name for a module of the kernel (1 to 55 letters, digits and '_').",
        "Give another one with --name.",
    ),
    "key-missing": Check("error", "{what}: {why}.", "{hint}"),
    "sign-failed": Check("error", "Signing {path} failed: {why}", "Check key, certificate and PIN."),
    "sign-unverified": Check(
        "error",
        "{path} was signed, but the signature does not verify: {why}",
        "Nothing was published; check that key and certificate belong together.",
    ),
    "rpm-unreadable": Check(
        "error",
        "{path}: not a readable RPM ({why}).",
        "Give a complete RPM file.",
    ),
    "rpm-no-patch": Check(
        "error",
        "{path}: carries no live-patch module.",
        "A 0-0 package only subscribes; give a package with a module.",
    ),
    "rpmbuild-failed": Check(
        "error",
        "rpmbuild failed with status {status}: {last}",
        "The full log is {log}.",
    ),
    "package-unfit": Check(
        "error",
        "{name} was made, but hosts would see {seen}.",
        "Nothing was published. Name the package as its kernel's vendor does (--profile), or report this.",
    ),
    "lint-errors": Check(
        "error",
        "{count} lint errors: no package was made.",
        "Correct them, or override each with a reason: --override ID=SEVERITY:REASON.",
    ),
    "override-invalid": Check(
        "error",
        "--override {text}: {why}.",
        "Write --override ID=error|warning|note:REASON; 'livepatch-rpm lint --list' names the ids.",
    ),
    "cve-invalid": Check("error", "{text}: no CVE identifier.", "Write CVE-YEAR-NUMBER."),
    "cve-dropped": Check(
        "error",
        "{cves}: fixed by the base, and no longer by this package.",
        "Carry them, or give --allow-drop CVE=REASON for each.",
    ),
    "base-unfit": Check(
        "error",
        "{path}: cannot be built upon ({why}).",
        "Give the source RPM that livepatch-rpm wrote beside the previous package.",
    ),
    "metadata-invalid": Check("error", "{what}", "See livepatch-rpm(1) for the accepted form."),
    "updateinfo-unreadable": Check(
        "error",
        "{path}: not a readable updateinfo file ({why}).",
        "Give updateinfo.xml, plain or compressed with gzip, xz or bzip2.",
    ),
    "program-missing": Check("error", "{program} is not installed.", "{hint}"),
    "output-exists": Check(
        "error",
        "{path}: exists and differs.",
        "Raise --patch-release, or remove the old file: a published package never changes. Where only the"
        " signature is new, keep the old file, or sign it: livepatch-rpm sign.",
    ),
}


def _clean(facts: dict[str, object]) -> dict[str, str]:
    return {
        name: "".join(c if c.isprintable() else "?" for c in str(value)[:500])
        for name, value in facts.items()
    }


def finding(identifier: str, **facts: object) -> Finding:
    """The lint Finding for ``identifier``, its texts filled with ``facts`` made printable."""
    check, clean = LINT[identifier], _clean(facts)
    return Finding(identifier, check.severity, check.text.format(**clean), check.remedy.format(**clean))


def refuse(identifier: str, **facts: object) -> NoReturn:
    """Raise the ToolError for ``identifier``, its texts filled with ``facts`` made printable."""
    check, clean = REFUSALS[identifier], _clean(facts)
    raise ToolError(identifier, check.text.format(**clean), check.remedy.format(**clean)) from None
