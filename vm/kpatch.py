# SPDX-License-Identifier: GPL-2.0-or-later
"""The real `kpatch` program and its service, as Debian 13 has them, wrapped as an RPM like RHEL's."""

from __future__ import annotations

import glob
import os
import re
import shutil

from . import image, kernels
from .common import BUILD, Failure, cached, digest, run, say, write

SUITE = "trixie"
_SPEC = """\
Name: kpatch
Version: {version}
Release: 1
Summary: Debian's kpatch, wrapped for the demo host
License: GPL-2.0-only
BuildArch: noarch
AutoReqProv: no
Requires: kmod

%description
The program that loads live patches and the service that loads them at boot, as Debian built them.

%install
mkdir -p %{{buildroot}}
cp -a {tree}/usr %{{buildroot}}/
rm -r %{{buildroot}}/usr/share

%files
/usr/sbin/kpatch
/usr/lib/systemd/system/kpatch.service
"""


def _mirror() -> str:
    """The address of the Debian archive that this machine's apt uses."""
    lines = run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(LABEL)", "Created-By: Packages"])
    found = [line.split()[0] for line in lines.splitlines() if line.endswith(" Debian")]
    if not found:
        raise Failure("apt knows no Debian archive: run apt-get update")
    return found[0]


def _deb() -> str:
    """The path of Debian 13's package. apt reads separate lists for it, since this machine is Debian 12."""
    folder = os.path.join(BUILD, "downloads", SUITE)
    found = glob.glob(os.path.join(folder, "kpatch_*.deb"))
    if not found:
        say(f"downloading kpatch of Debian's {SUITE}")
        for name in ("lists/partial", "cache/archives/partial"):
            os.makedirs(os.path.join(folder, name), exist_ok=True)
        sources = os.path.join(folder, "sources.list")
        write(sources, f"deb [signed-by={image.KEYRING}] {_mirror()} {SUITE} main\n")
        options = {
            "Dir::Etc::SourceList": sources,
            "Dir::Etc::SourceParts": "-",
            "Dir::State::Lists": os.path.join(folder, "lists"),
            "Dir::Cache": os.path.join(folder, "cache"),
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
        }
        apt = ["apt-get", "-q", *(f"-o{key}={value}" for key, value in options.items())]
        run([*apt, "update"])
        run([*apt, "download", "kpatch"], cwd=folder)
        for name in ("lists", "cache"):
            shutil.rmtree(os.path.join(folder, name))
        found = glob.glob(os.path.join(folder, "kpatch_*.deb"))
    if not found:
        raise Failure("apt-get download kpatch left no file")
    return found[0]


def rpm() -> str:
    """The path of the unsigned RPM of kpatch."""
    deb = _deb()
    version = re.findall(r"kpatch_([0-9.]+)", os.path.basename(deb))[0]

    def make(work: str) -> None:
        tree = work + ".tree"
        shutil.rmtree(tree, ignore_errors=True)
        run(["dpkg", "-x", deb, tree])
        kernels.rpmbuild(work, "kpatch", _SPEC.format(version=version, tree=tree))
        shutil.rmtree(tree)

    key = digest(os.path.basename(deb), _SPEC)
    folder = cached("kpatch-rpm", key, "packing kpatch as an RPM", make)
    return glob.glob(os.path.join(folder, "*.rpm"))[0]
