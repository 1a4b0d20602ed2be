# SPDX-License-Identifier: GPL-2.0-or-later
"""The checks of ``lint`` by stable id: severity, what is wrong, and what to do. Pure.

``error``: a client fails, is misled about what is closed, or loses protection. ``warning``: works, but
somebody will be surprised. ``note``: worth knowing. Severities and texts may change, ids never do.
"""

from __future__ import annotations

_RESIGN = "Publish again with 'livepatch-repo publish', which signs after every change."
_ADVISORY = "Correct the advisory; 'livepatch-repo publish' writes it from the package's manifest."
_REBUILD = "Build the package again with livepatch-rpm."

CATALOGUE: dict[str, tuple[str, str, str]] = {
    # metadata
    "metadata-unsigned": (
        "error",
        "repomd.xml is not signed: clients with repo_gpgcheck=1 refuse it.",
        _RESIGN,
    ),
    "metadata-signature-stale": (
        "error",
        "repomd.xml.asc signs another repomd.xml: clients with repo_gpgcheck=1 refuse it.",
        _RESIGN,
    ),
    "metadata-key-unknown": (
        "error",
        "repomd.xml is signed with a key that is not among the given ones.",
        "Sign with the key that clients have, or give that key with --key.",
    ),
    "metadata-file-missing": (
        "error",
        "{type}: {location} is listed in repomd.xml but cannot be had.",
        "Copy the metadata files before repomd.xml, and all of them.",
    ),
    "metadata-file-differs": (
        "error",
        "{type}: {location} is not the file that repomd.xml describes.",
        "Never change a metadata file by hand; publish again.",
    ),
    "metadata-weak-digest": (
        "warning",
        "{type} is described by a {kind} digest only.",
        "Use SHA-256, as livepatch-repo does.",
    ),
    "metadata-name-mutable": (
        "warning",
        "{type}: the name {location} does not change with its content; caches mix old and new.",
        "Use names with the digest in them, as livepatch-repo does.",
    ),
    "metadata-parser": (
        "warning",
        "The metadata has something that the parser does not know: {text}",
        "Keep to the common elements; what is private to one vendor is invisible to stock tools.",
    ),
    "updateinfo-lost": (
        "error",
        "There are {count} live patches but no updateinfo: no host learns what they close.",
        "'createrepo_c --update' drops updateinfo; publish with livepatch-repo, or add --keep-all-metadata.",
    ),
    "record-missing": (
        "note",
        "There is no livepatch record: support ends, withdrawals and rollouts are unknown to hosts.",
        "Publish with livepatch-repo, which writes it.",
    ),
    "record-invalid": ("error", "The livepatch record cannot be used: {fault}", _RESIGN),
    "record-patch-unknown": (
        "warning",
        "The record speaks of {nevra}, which is not in the repository.",
        "Harmless after a prune; otherwise publish the package or correct the record.",
    ),
    "record-issued-changed": (
        "error",
        "The issue date of {nevra} was {before} and is now {after}.",
        "Issue dates are immutable: minimum ages on hosts count from them. Restore the first one.",
    ),
    # packages
    "package-missing": (
        "error",
        "The metadata lists {location}, which is not there.",
        "Copy the file back, or publish again.",
    ),
    "package-size": ("error", "{location} has {have} bytes, the metadata says {want}.", "Publish it again."),
    "package-digest": (
        "error",
        "The contents of {location} differ from the metadata.",
        "Somebody changed or re-signed it in place; raise the release and publish that.",
    ),
    "package-unsigned": (
        "error",
        "It carries no signature ({detail}).",
        "Sign it with 'rpmsign --addsign' and publish that.",
    ),
    "package-key-unknown": (
        "error",
        "It is {detail}.",
        "Sign it with the key that clients have, or give that key with --key.",
    ),
    "package-signature-bad": (
        "error",
        "Its signature or digest is wrong: {detail}",
        "Build, sign and publish again.",
    ),
    "package-duplicate": (
        "error",
        "It is listed {count} times with different contents; clients take either.",
        "Raise the release of one of them.",
    ),
    "package-location": (
        "error",
        "Its location {location} leads out of the repository.",
        "Publish it with livepatch-repo.",
    ),
    # advisories
    "advisory-without-id": ("error", "An advisory ({title}) has no id.", _ADVISORY),
    "advisory-duplicate-id": (
        "error",
        "{count} advisories have this id; dnf mixes them.",
        "Give each advisory an id of its own.",
    ),
    "advisory-type": (
        "error",
        "The type {type} is none that dnf knows.",
        "Use security, bugfix, enhancement or newpackage.",
    ),
    "advisory-severity": (
        "error",
        "The severity {severity} is none of dnf's words: --sec-severity never finds it.",
        "Use Critical, Important, Moderate or Low, spelled so.",
    ),
    "advisory-reference-without-id": (
        "error",
        "A reference of type {type} has no id: 'dnf upgrade --cve' crashes on every client.",
        _ADVISORY,
    ),
    "advisory-reference-without-href": ("warning", "The reference {id} has no address.", _ADVISORY),
    "advisory-reference-type": (
        "error",
        "The reference type {type} of {id} is unknown to dnf.",
        "Use cve, bugzilla, self, vendor or other.",
    ),
    "advisory-cve-id": (
        "error",
        "{id} is no CVE identifier; scanners and --cve never match it.",
        "Write CVE-YEAR-NUMBER.",
    ),
    "advisory-without-issued": (
        "warning",
        "It has no issue date: hosts cannot tell how old the fix is.",
        _ADVISORY,
    ),
    "advisory-date": (
        "warning",
        "Its dates cannot be right: issued {issued}, updated {updated}.",
        "An advisory is issued in the past and updated no earlier.",
    ),
    "advisory-empty": ("warning", "It is a security advisory that lists no package.", _ADVISORY),
    "advisory-without-cve": (
        "warning",
        "It is a security advisory of a live patch and names no CVE.",
        "List every CVE that the patch closes, not only the new ones.",
    ),
    "advisory-package-missing": (
        "error",
        "It lists {nevra}, which is not in the repository.",
        "Publish the package, or correct name, epoch, version, release and arch to what the RPM says.",
    ),
    "advisory-package-superseded": (
        "note",
        "It lists {nevra}, of which only later builds are here.",
        "Nothing to do: that is what a prune leaves.",
    ),
    "advisory-package-differs": (
        "error",
        "It lists {nevra} with {what} {listed}; the package has {have}.",
        _ADVISORY,
    ),
    "advisory-reboot": (
        "error",
        "It suggests a reboot for a live patch: 'dnf needs-restarting' then asks for what the patch spares.",
        "Never set reboot_suggested on a live patch.",
    ),
    "advisory-cve-lost": (
        "error",
        "{older} closes {cves}, this newer build's advisory does not say so.",
        "List all CVEs of a cumulative patch in each advisory, or put the lost fix back.",
    ),
    "advisory-cve-unlisted": (
        "warning",
        "The package says it closes {cves}, its advisory does not.",
        _ADVISORY,
    ),
    # live patches
    "patch-without-advisory": (
        "error",
        "No advisory lists this live patch: 'dnf upgrade --security' never takes it.",
        _ADVISORY,
    ),
    "patch-name": (
        "error",
        "It looks like a live patch, but hosts will not take it for one: {why}.",
        "Make name and Provides tell the same kernel.",
    ),
    "patch-arch": ("error", "It is built for {arch} and claims to patch {release}.", _REBUILD),
    "patch-installonly": (
        "error",
        "It provides {capability}: every version would stay installed instead of being upgraded.",
        _REBUILD,
    ),
    "patch-provides-kernel": (
        "error",
        "It provides {capability}: the package manager takes it for a kernel.",
        _REBUILD,
    ),
    "patch-without-kernel": (
        "warning",
        "It does not require kernel-uname-r of {release}: it stays when its kernel goes.",
        _REBUILD,
    ),
    "patch-without-supplements": (
        "note",
        "It does not supplement its kernel: installed as a dependency, autoremove takes it away.",
        _REBUILD,
    ),
    "patch-order": (
        "error",
        "It was built before {other}, which has a lower version: hosts would go back.",
        "Build it again with --issued, or SOURCE_DATE_EPOCH, no earlier than that of {other}.",
    ),
    "patch-kernel-not-offered": (
        "warning",
        "No given repository offers kernel {release}.",
        "Check the release, or give the kernels' repository with --kernels-from.",
    ),
    "patch-rivals": (
        "error",
        "{other} patches {release} too: two packages of which only one can be in force.",
        "Keep one line of packages for a kernel.",
    ),
    "module-duplicate": (
        "error",
        "{module} is in {other} too: the kernel refuses to load a second module of that name.",
        "Put the version into the module's name, as livepatch-rpm does.",
    ),
    "module-path": (
        "warning",
        "{path} is outside /usr/lib/modules/{release}/livepatch: SELinux may deny loading it.",
        _REBUILD,
    ),
    "manifest-missing": (
        "warning",
        "It carries no manifest: hosts cannot verify that it is in force.",
        _REBUILD,
    ),
    "kernel-without-patch": (
        "warning",
        "It is supported until {end} and offered{where}, but no live patch is published for it.",
        "Publish one, or an empty 0-0 subscription until there is something to fix.",
    ),
    "kernel-all-withdrawn": (
        "error",
        "Every live patch of this kernel{where} is withdrawn.",
        "Publish a better one soon.",
    ),
    "support-ended": (
        "warning",
        "Its support ended {end}, and {nevra} was issued after that.",
        "Correct the end of support, or tell users of this kernel to boot a later one.",
    ),
    "support-end-unknown": (
        "note",
        "Nothing says until when this kernel gets live patches.",
        "Set support_end for it in the settings.",
    ),
    "waiver-unused": ("note", "The waiver for {check} no longer waives anything.", "Remove it."),
}
