# SPDX-License-Identifier: GPL-2.0-or-later
"""Every reason for which livepatch-rpm or livepatch-repo gives up, by its stable id, with its remedy. Pure.

An id never changes its meaning and is never used again for another reason. ``{words}`` are filled in
when the reason is raised. The findings of the two lints have catalogues of their own.
"""

from __future__ import annotations

from typing import NamedTuple


class Refusal(NamedTuple):
    """One entry of a catalogue: what happened, and what the person who runs the tool can do."""

    text: str
    remedy: str


#: Both tools raise these.
BOTH_TOOLS: dict[str, Refusal] = {
    "rpm-unreadable": Refusal(
        "{file} is no RPM that can be read: {reason}", "Give the complete file: build or copy it again."
    ),
    "key-missing": Refusal("{what}: {why}.", "{hint}"),
    "tool-missing": Refusal(
        "{program} is not installed.",
        "Install the package that holds it: docs/how-to/publishers.md and docs/how-to/packagers.md list what"
        " the tools need. In a clone run the tool with .venv/bin/python, which 'make rpm' sets up.",
    ),
}

LIVEPATCH_RPM: dict[str, Refusal] = {
    "usage": Refusal("{what}", "See livepatch-rpm(1)."),
    "input-missing": Refusal("{path}: no such file or folder.", "Check the path."),
    "input-unknown": Refusal(
        "{path}: neither a diff, a .ko, a C file nor a folder with a Kbuild file.",
        "Name the diffs, the source or the module to package.",
    ),
    "input-mixed": Refusal(
        "Diffs, modules and live-patch sources cannot be mixed in one package, nor several C files given.",
        "Give inputs of one kind; of live-patch source one C file, or a folder.",
    ),
    "module-unreadable": Refusal(
        "{path}: not a readable kernel module ({why}).", "Give a complete .ko file."
    ),
    "module-foreign": Refusal(
        "{path}: is {found}, no relocatable 64-bit kernel module of a known machine.",
        "Give the .ko of the kernel that is to be patched.",
    ),
    "kernel-unknown": Refusal(
        "It is not known which kernel this is for.", "Give --kernel RELEASE or --kernel-devel."
    ),
    "kernel-devel-missing": Refusal(
        "{path}: no kernel development files ({what} is missing).",
        "Install kernel-devel (linux-headers on Debian) of that release, or name its folder"
        " with --kernel-devel.",
    ),
    "release-mismatch": Refusal(
        "--kernel says {wanted}, {where} says {found}.", "Give the files of one and the same kernel."
    ),
    "vmlinux-mismatch": Refusal(
        "{path}: {why}.", "Give the uncompressed vmlinux with debug info of that very kernel build."
    ),
    "diff-empty": Refusal("{path}: changes nothing.", "Give a diff with at least one change."),
    "diff-no-apply": Refusal(
        "{path}: does not apply to the source tree: {why}",
        "Rebase it on that kernel and the diffs before it.",
    ),
    "diff-unsafe-path": Refusal(
        "{path}: names {name}, which is no file of a source tree.",
        "Make the diff with a/ and b/ prefixes inside the tree.",
    ),
    "diff-assembly": Refusal(
        "{path}: changes {name}, which is assembly and cannot be patched live.",
        "Leave it to the kernel update, and declare the CVE with --unfixable.",
    ),
    "diff-init": Refusal(
        "{path}: changes init code in {name} ({what}).",
        "Init code has run already: patch what runs after boot instead, or say --allow-init where the rest"
        " of the diff is enough.",
    ),
    "diff-data": Refusal(
        "{path}: changes the layout or the static data {what} in {name}.",
        "Live patches replace functions only: use shadow variables or callbacks,"
        " or say --allow-data with the reason why it is safe.",
    ),
    "diff-not-code": Refusal(
        "{path}: changes no C code.", "Only functions can be patched live; drop this diff."
    ),
    "engine-missing": Refusal("Engine {engine} is not here: {what} is missing.", "{hint}"),
    "engine-unfit": Refusal("Engine {engine} cannot build this: {why}.", "{hint}"),
    "engine-failed": Refusal("{engine} failed with status {status}: {last}", "The full log is {log}."),
    "engine-nothing": Refusal(
        "{engine} found no changed function: the diff has no effect on this kernel.",
        "Check that the changed code is compiled in this configuration. The full log is {log}.",
    ),
    "file-failed": Refusal(
        "{path}: {why}.", "Nothing was published. Mend the folder or make room, then try again."
    ),
    "key-secret": Refusal(
        "The PKCS#11 URI of the module key holds a PIN (pin-value), which every user here could read.",
        "Leave pin-value out, and change the PIN. Name a file that only you can read with"
        " pin-source=file:/path, or set KBUILD_SIGN_PIN in the environment: sign-file reads both.",
    ),
    "not-readable-again": Refusal(
        "{what} would be refused by its readers: {why}.",
        "Nothing was published. Name fewer or shorter texts; give several packages what one cannot hold.",
    ),
    "name-unfit": Refusal(
        "{name}: no name for a module of the kernel (1 to 55 letters, digits and '_').",
        "Give another one with --name.",
    ),
    "sign-failed": Refusal("Signing {path} failed: {why}", "Check key, certificate and PIN."),
    "sign-unverified": Refusal(
        "{path} was signed, but the signature does not verify: {why}",
        "Nothing was published; check that key and certificate belong together.",
    ),
    "rpm-no-patch": Refusal(
        "{path}: carries no live-patch module.",
        "A 0-0 package only subscribes; give a package with a module.",
    ),
    "rpmbuild-failed": Refusal("rpmbuild failed with status {status}: {last}", "The full log is {log}."),
    "package-unfit": Refusal(
        "{name} was made, but hosts would see {seen}.",
        "Nothing was published. Name the package as its kernel's vendor does (--profile), or report this.",
    ),
    "lint-errors": Refusal(
        "{count} lint errors: no package was made.",
        "Correct them, or override each with a reason: --override ID=SEVERITY:REASON.",
    ),
    "override-invalid": Refusal(
        "--override {text}: {why}.",
        "Write --override ID=error|warning|note:REASON; 'livepatch-rpm lint --list' names the ids.",
    ),
    "cve-invalid": Refusal("{text}: no CVE identifier.", "Write CVE-YEAR-NUMBER."),
    "cve-dropped": Refusal(
        "{cves}: fixed by the base, and no longer by this package.",
        "Carry them, or give --allow-drop CVE=REASON for each.",
    ),
    "base-unfit": Refusal(
        "{path}: cannot be built upon ({why}).",
        "Give the source RPM that livepatch-rpm wrote beside the previous package.",
    ),
    "metadata-invalid": Refusal("{what}", "See livepatch-rpm(1) for the accepted form."),
    "updateinfo-unreadable": Refusal(
        "{path}: not a readable updateinfo file ({why}).",
        "Give updateinfo.xml, plain or compressed with gzip, xz or bzip2.",
    ),
    "program-missing": Refusal("{program} is not installed.", "{hint}"),
    "output-exists": Refusal(
        "{path}: exists and differs.",
        "Raise --patch-release, or remove the old file: a published package never changes."
        " Where only the signature is new, keep the old file, or sign it: livepatch-rpm sign.",
    ),
}

LIVEPATCH_REPO: dict[str, Refusal] = {
    "tool-failed": Refusal(
        "{program} failed: {reason}", "The repository is as it was; run it again when that is mended."
    ),
    "settings-fault": Refusal(
        "{file}: {fault}", "Correct it; livepatch-repo(1) lists the keys and their values."
    ),
    "advisory-fault": Refusal(
        "{file}: {fault}", "Correct it; docs/schemas/advisory.schema.json says what is allowed."
    ),
    "no-repository": Refusal(
        "{where} holds no repository: {reason}", "Name the folder or URL above repodata/."
    ),
    "kernels-unreadable": Refusal(
        "A repository of kernels, named by 'kernels_from' or --kernels-from, is of no use: {reason}",
        "Correct or take out that entry; lint, verify and report read each.",
    ),
    "unreachable": Refusal(
        "{where} cannot be read: {reason}", "Check the address and the way to its server."
    ),
    "metadata-unreadable": Refusal(
        "{where}: {reason}", "Run 'livepatch-repo lint {where}' for the details."
    ),
    "metadata-too-large": Refusal(
        "{where} holds more than {limit} MiB as it comes or unpacked; it is not read.",
        "No repository of live patches or kernels needs that much: ask who runs it, or leave it out.",
    ),
    "rpm-manifest": Refusal(
        "{file} carries a manifest that cannot be used: {reason}",
        "Build the package again with livepatch-rpm.",
    ),
    "rpm-signature": Refusal(
        "{file}: {reason}; no host with gpgcheck=1 would install it.",
        "Sign it with 'livepatch-rpm sign --rpm-key KEY {file}' and a key that --key or 'keys' names.",
    ),
    "rpm-replaced": Refusal(
        "{nevra} is already published with other contents.",
        "What is published never changes: raise the release and build it again.",
    ),
    "rpm-withdrawn": Refusal(
        "{nevra} was withdrawn {since}: {reason}",
        "Publish a better build with a higher release. With --allow-withdrawn this one is published again,"
        " and stays withdrawn.",
    ),
    "no-keys": Refusal(
        "No public key is given to check packages with.", "Name the clients' key with --key FILE or 'keys'."
    ),
    "lint-refused": Refusal(
        "Not published: lint found {count} error(s).", "Mend them or waive each with a reason."
    ),
    "advisory-changed": Refusal(
        "Advisory {id} is already published with another {field}.",
        "Ids and issue dates never change: give the new content a new id.",
    ),
    "advisory-taken": Refusal(
        "{nevra} is in the published advisory {old} already, and the advisory file names {id} for it.",
        "Ids never change: name {old} in the advisory file, or leave the id out.",
    ),
    "record-refused": Refusal(
        "Not published: hosts would refuse the livepatch record of {repo}: {reason}.",
        "The repository is as it was. Take old live patches out with 'livepatch-repo prune', or correct"
        " 'kernels' in the settings.",
    ),
    "client-refused": Refusal(
        "Not published: dnf, as a client would run it, refuses the result: {reason}",
        "The repository is as it was; the reason above is the client's own. Where it names a bad signature,"
        " give the public key of 'sign_with' with --key or 'keys': clients have only those keys.",
    ),
    "locked": Refusal(
        "Another livepatch-repo has worked on {repo} for more than {seconds} s.",
        "Wait for it, or raise --wait.",
    ),
    "no-exchange": Refusal(
        "{repo}/repodata is a plain folder and this file system cannot exchange it for a link at once.",
        "While no client reads: mv repodata generations-0 && ln -s generations-0 repodata, then try again.",
    ),
    "disk": Refusal(
        "{reason}", "The repository is as it was; make room or mend the folder, then try again."
    ),
    "disk-published": Refusal(
        "{repo}: the new state is published, and then this failed: {reason}",
        "Make room or mend the folder, then run the same command again: it does what is left.",
    ),
    "partly": Refusal(
        "Done in {done}, and not elsewhere: {reason}",
        "Mend that, and run the same command again: it does what is left.",
    ),
    "mirrorlist-foreign": Refusal(
        "{repo}/mirrorlist names no state of the repository, and no address is set: its clients would stay"
        " on an old state.",
        "Nothing was changed. Set base_url, or move the file away if no client reads it, and run the same"
        " command again.",
    ),
    "no-links": Refusal(
        "{repo} is on a file system without symbolic links ({reason}), and a switch in one step needs one.",
        "Nothing was changed. Keep the repository on a file system with links, and copy it from there to"
        " where it is served.",
    ),
    "too-flat": Refusal(
        "{repo} has {count} packages or folders of them side by side, and at most {limit} can be kept so.",
        "Nothing was changed. Move the packages into folders, run createrepo_c, then run the same command"
        " again.",
    ),
    "link-lost": Refusal(
        "{repo} has states below generations/, and its link repodata to one of them is gone.",
        "Nothing was changed. Run 'ln -s generations/{name}/repodata {repo}/repodata', or copy the"
        " repository again, with its links.",
    ),
    "no-match": Refusal(
        "{what} matches nothing in {repo}.",
        "See what is there with 'livepatch-repo report --repo {repo} --json'.",
    ),
}

REFUSALS: dict[str, Refusal] = {**BOTH_TOOLS, **LIVEPATCH_RPM, **LIVEPATCH_REPO}
