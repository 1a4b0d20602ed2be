# SPDX-License-Identifier: GPL-2.0-or-later
"""Every way `livepatch-repo` gives up, by stable id, with its remedy. Pure.

An id never changes its meaning. The findings of ``lint`` have a catalogue of their own.
"""

from __future__ import annotations

TEXTS: dict[str, tuple[str, str]] = {
    "tool-missing": (
        "{program} is not installed.",
        "Install the package that holds it; docs/how-to/publishers.md lists what livepatch-repo needs.",
    ),
    "tool-failed": (
        "{program} failed: {reason}",
        "The repository is as it was; run it again when that is mended.",
    ),
    "settings-fault": ("{file}: {fault}", "Correct it; livepatch-repo(1) lists the keys and their values."),
    "advisory-fault": (
        "{file}: {fault}",
        "Correct it; docs/schemas/advisory.schema.json says what is allowed.",
    ),
    "no-repository": ("{where} holds no repository: {reason}", "Name the folder or URL above repodata/."),
    "kernels-unreadable": (
        "A repository of kernels, named by 'kernels_from' or --kernels-from, is of no use: {reason}",
        "Correct or take out that entry; lint, verify and report read each.",
    ),
    "unreachable": ("{where} cannot be read: {reason}", "Check the address and the way to its server."),
    "metadata-unreadable": ("{where}: {reason}", "Run 'livepatch-repo lint' on it for the details."),
    "metadata-too-large": (
        "{where} holds more than {limit} MiB as it comes or unpacked; it is not read.",
        "No repository of live patches or kernels needs that much: ask who runs it, or leave it out.",
    ),
    "rpm-unreadable": ("{file} is no RPM that can be read: {reason}", "Build or copy it again."),
    "rpm-manifest": (
        "{file} carries a manifest that cannot be used: {reason}",
        "Build the package again with livepatch-rpm.",
    ),
    "rpm-signature": (
        "{file}: {reason}; no host with gpgcheck=1 would install it.",
        "Sign it with 'rpmsign --addsign' and a key that --key or 'keys' names.",
    ),
    "rpm-replaced": (
        "{nevra} is already published with other contents.",
        "What is published never changes: raise the release and build it again.",
    ),
    "no-keys": (
        "No public key is given to check packages with.",
        "Name the clients' key with --key FILE or 'keys'.",
    ),
    "lint-refused": (
        "Not published: lint found {count} error(s).",
        "Mend them or waive each with a reason.",
    ),
    "advisory-changed": (
        "Advisory {id} is already published with another {field}.",
        "Ids and issue dates never change: give the new content a new id.",
    ),
    "client-refused": (
        "Not published: dnf, as a client would run it, refuses the result: {reason}",
        "The repository is as it was; the reason above is the client's own.",
    ),
    "locked": (
        "Another livepatch-repo has worked on {repo} for more than {seconds} s.",
        "Wait for it, or raise --wait.",
    ),
    "no-exchange": (
        "{repo}/repodata is a plain folder and this file system cannot exchange it for a link at once.",
        "While no client reads: mv repodata generations-0 && ln -s generations-0 repodata, then try again.",
    ),
    "disk": ("{reason}", "The repository is as it was; make room or mend the folder, then try again."),
    "no-match": (
        "{what} matches nothing in {repo}.",
        "See what is there with 'livepatch-repo report --repo {repo} --json'.",
    ),
    "key-missing": ("No signing key: {reason}", "Name it with --sign-with or 'sign_with'."),
}


class ToolError(Exception):
    """One reason to stop, from TEXTS; ``id``, ``text`` and ``remedy`` are ready to print."""

    def __init__(self, identifier: str, **facts: object) -> None:
        text, remedy = TEXTS[identifier]
        clean = {
            name: "".join(c if c.isprintable() else " " for c in str(value).strip())[:600]
            for name, value in facts.items()
        }
        self.id = identifier
        self.text = text.format(**clean)
        self.remedy = remedy.format(**clean)
        super().__init__(self.text)
