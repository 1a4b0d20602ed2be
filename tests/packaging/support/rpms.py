# SPDX-License-Identifier: GPL-2.0-or-later
"""The RPMs of `make rpm`, and what their headers hold."""

import glob
import os

import rpm

from tests.packaging.support import tree

NAMES = ("livepatch-runtime", "livepatch-tools", "python3-dnf-plugin-livepatch")
OUT = os.path.join(tree.TOP, "build", "rpm")


def build():
    """Build what has changed; the paths of the RPMs."""
    result = tree.run("scripts/build-rpm")
    assert result.returncode == 0, result.stdout
    return sorted(glob.glob(OUT + "/*.rpm"))


def read_header(path):
    transaction = rpm.TransactionSet()
    transaction.setVSFlags(rpm._RPMVSF_NOSIGNATURES)
    with open(path, "rb") as file:
        return transaction.hdrFromFdno(file.fileno())


def files(header):
    """path -> rpm's file entry, folders too."""
    return {entry.name: entry for entry in rpm.files(header)}


SCRIPTS = {
    "pre": rpm.RPMTAG_PREIN,
    "post": rpm.RPMTAG_POSTIN,
    "preun": rpm.RPMTAG_PREUN,
    "postun": rpm.RPMTAG_POSTUN,
    "pretrans": rpm.RPMTAG_PRETRANS,
    "posttrans": rpm.RPMTAG_POSTTRANS,
    "trigger": rpm.RPMTAG_TRIGGERSCRIPTS,
    "filetrigger": rpm.RPMTAG_FILETRIGGERSCRIPTS,
    "transfiletrigger": rpm.RPMTAG_TRANSFILETRIGGERSCRIPTS,
}


def scripts(header):
    """Kind -> text (a list of texts for triggers) of the scriptlets a package has."""
    return {kind: header[tag] for kind, tag in SCRIPTS.items() if header[tag]}
