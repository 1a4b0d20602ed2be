# SPDX-License-Identifier: GPL-2.0-or-later
"""Vendors' packages for the demo host's kernel: their names, paths and scriptlets' behaviour; real modules.

These vendors give no release the form of Debian's. Where a vendor's rule goes by a capability that
holds the whole release (kpatch), it is used as shipped; the others get ``override``: the shipped profile,
the rule for names widened to any release. The modules and the way of loading stay as shipped.
"""

from __future__ import annotations

import glob
import io
import os
import re
import shutil
import tarfile
from typing import NamedTuple

from vm import distribution, kpatch, repo
from vm.common import ROOT, cached, content, digest, run, write
from vm.kernels import Kernel, compile_module, headers, rpmbuild
from vm.patches import CMDLINE, VERSION

SOURCE = os.path.join(os.path.dirname(__file__), "vendors.c")
STANDINS = os.path.join(ROOT, "tests", "standins")
UUID = "25209ddb-b1e4-48e0-b715-e759ec8db401"
UPTRACK = "/var/cache/uptrack"

# In place of the rules in [match] of the shipped profile.
_MATCH = {
    "suse": "kernel = {release}\nname = kernel-livepatch-{release:_}\nempty = 1-*",
    "amazon": "kernel = {release}\nname = kernel-livepatch-{release}\nevr = 1.0-{number}\nempty = 1.0-0",
    "ksplice": "kernel = {release}\nname = uptrack-updates-{release}\nevr = {number}-{number}",
    "openeuler": "kernel = {release}\nname = patch-kernel-{release}-ACC",
}

_SPEC = """\
Name: {name}
Version: {version}
Release: {release}
Summary: A vendor's package, for the tests
License: GPL-2.0-or-later
BuildArch: {arch}
AutoReqProv: no
%global debug_package %{{nil}}
%global __os_install_post %{{nil}}
%global _build_id_links none
{more}

%description
A test.

%install
mkdir -p %{{buildroot}}
cp -a {tree}/. %{{buildroot}}/

{scripts}

%files
{files}
"""


def override(profile: str) -> str:
    """The shipped ``profile`` with the rules for names that fit any kernel release."""
    with open(os.path.join(ROOT, "profiles", profile + ".conf"), encoding="utf-8") as file:
        text = file.read()
    return re.sub(r"\[match\]\n.*?\n\n", f"[match]\n{_MATCH[profile]}\n\n", text, flags=re.DOTALL)


class Module(NamedTuple):
    """A kernel module; ``flags`` choose what vendors.c makes of it. ``name`` may hold dashes."""

    name: str
    flags: tuple[str, ...] = ()

    @property
    def loaded(self) -> str:
        """Its name in the kernel."""
        return self.name.replace("-", "_")


class Package(NamedTuple):
    """One package. ``files`` are path and content: a module, the text of a stand-in's file or "".

    ``more`` are further lines of the preamble, ``scripts`` its scriptlets.
    """

    name: str
    version: str
    release: str
    files: tuple[tuple[str, Module | str], ...]
    more: str = ""
    scripts: str = ""
    arch: str = "x86_64"

    @property
    def nevra(self) -> str:
        return f"{self.name}-{self.version}-{self.release}.{self.arch}"


def module(wanted: Module, kernel: Kernel) -> str:
    """The path of the compiled module."""
    build = headers(kernel)

    def make(work: str) -> None:
        flags = [*("-D" + flag for flag in wanted.flags), f"-DLABEL='\"{wanted.loaded}\"'"]
        compile_module(work, SOURCE, wanted.name, build, " ".join(flags))

    key = digest(build, repr(wanted), content(SOURCE))
    folder = cached("vendor-" + wanted.name, key, f"building {wanted.name}", make)
    return os.path.join(folder, wanted.name + ".ko")


def _standin(name: str) -> str:
    with open(os.path.join(STANDINS, name), encoding="utf-8") as file:
        return file.read()


def kpatch_patch(kernel: Kernel, release: str, flags: tuple[str, ...] = ()) -> Package:
    """As Red Hat's are: the scriptlet loads what is not older than what is loaded, and ends with 0 always;
    the other one takes the module from where it is loaded at boot, and leaves it in the kernel."""
    uname = kernel.release
    stem = re.sub(r"[^0-9A-Za-z]", "_", uname)
    one = Module(f"kpatch-{stem}-1-{release}", flags)
    path = f"/usr/lib/kpatch/{uname}/{one.name}.ko"
    script = f"""\
%post
/usr/sbin/kpatch install -k {uname} {path}
if [ "$(uname -r)" = {uname} ]; then
    newest=$(ls /sys/kernel/livepatch | grep '^kpatch_{stem}_' | sort -V | tail -n 1)
    later=$(printf '%s\\n' "$newest" {one.loaded} | sort -V | tail -n 1)
    if [ "$later" != {one.loaded} ]; then
        echo "WARNING: reboot to load the older live patch"
    else
        /usr/sbin/kpatch load /var/lib/kpatch/{uname}/{one.name}.ko
    fi
fi
exit 0
%postun
/usr/sbin/kpatch uninstall -k {uname} {one.name}
exit 0
"""
    name = "kpatch-patch-" + uname.replace(".", "_")
    more = (
        f"Provides: kpatch-patch = {uname}\nRequires: kernel-uname-r = {uname}\nRequires: kpatch >= 0.6.1\n"
        f"Conflicts: {name} < 1-{release}"
    )
    return Package(name, "1", release, ((path, one),), more, script)


def suse(kernel: Kernel) -> Package:
    """Version 2: the first that patches anything."""
    uname = kernel.release
    one = Module("livepatch-" + re.sub(r"[^0-9A-Za-z-]", "_", uname))
    info = f"/usr/share/livepatch/info/{one.name}-{{srcversion}}"
    files = ((f"/lib/modules/{uname}/livepatch/{one.name}.ko", one), (info, f"CVEs: {CMDLINE}\n"))
    return Package("kernel-livepatch-" + uname.replace(".", "_"), "2", "150500.2.1", files)


def amazon(kernel: Kernel) -> Package:
    """Two modules that do not replace each other."""
    uname = kernel.release
    ones = (
        Module("livepatch-CVE_1900_0001", ("BESIDE",)),
        Module("livepatch-CVE_1900_0003", ("BESIDE", "FIX_VERSION", "ONLY_VERSION")),
    )
    files = tuple((f"/usr/lib/kpatch/{uname}/{one.name}.ko", one) for one in ones)
    return Package("kernel-livepatch-" + uname, "1.0", "1", files)


def ksplice(kernel: Kernel) -> Package:
    """Updates in a format of their own, which only the client can load."""
    files = (
        (UPTRACK + "/available", f"[49jdhygv] {CMDLINE}: Information leak in /proc/cmdline.\n"),
        (UPTRACK + "/updates.ko", Module("updates", ("OWN_WAY",))),
    )
    return Package("uptrack-updates-" + kernel.release, "20261101", "0", files, arch="noarch")


def openeuler(kernel: Kernel) -> Package:
    """A live patch that syscare loads, and takes out when its package goes."""
    folder = f"/usr/lib/syscare/patches/{UUID}"
    files = (
        (folder + "/name", f"kernel-{kernel.release}/ACC-1-1/vmlinux\n"),
        (folder + "/klp_acc_1_1.ko", Module("klp_acc_1_1")),
    )
    script = f"%preun\nsyscare remove {UUID}\n"
    name = f"patch-kernel-{kernel.release}-ACC"
    return Package(name, "1", "1", files, "Requires: syscare >= 1.1.0", script)


def packages(kernel: Kernel) -> dict[str, Package]:
    """Every package by a short name."""
    uptrack = ((UPTRACK + "/client.py", _standin("uptrack.py")),)
    links = "".join(
        f"ln -sf {UPTRACK}/client.py {path}\n"
        for path in ("/usr/sbin/uptrack-upgrade", "/usr/sbin/uptrack-remove", "/usr/sbin/uptrack-show")
    )
    kcare = (
        ("/usr/bin/kcarectl", _standin("kcarectl.py")),
        ("/usr/bin/code", "0"),
        ("/opt/kcare.ko", Module("kcare", ("OWN_WAY", "CVE_LIST"))),
    )
    return {
        "kpatch-1": kpatch_patch(kernel, "1"),
        "kpatch-2": kpatch_patch(kernel, "2", ("FIX_VERSION",)),
        "suse": suse(kernel),
        "amazon": amazon(kernel),
        "ksplice": ksplice(kernel),
        "uptrack": Package("uptrack-offline-stand-in", "1", "1", uptrack, "", "%post\n" + links, "noarch"),
        "openeuler": openeuler(kernel),
        "syscare": Package("syscare", "1.2.1", "1", (("/usr/bin/syscare", _standin("syscare.py")),)),
        "kcare": Package("kernelcare-stand-in", "1", "1", kcare),
    }


# The packages of each repository. ADVISORIES close their CVEs.
REPOSITORIES = {
    "kpatch-1": ("kpatch", "kpatch-1"),
    "kpatch-2": ("kpatch", "kpatch-1", "kpatch-2"),
    "suse": ("suse",),
    "amazon": ("amazon",),
    "ksplice": ("ksplice",),
    "openeuler": ("syscare", "openeuler"),
    "tools": ("uptrack", "kcare"),
}
ADVISORIES = (
    distribution.Advisory("VENDOR-1", "live patch", (CMDLINE,), ("kpatch-1",)),
    distribution.Advisory("VENDOR-2", "live patch", (VERSION,), ("kpatch-2",)),
    distribution.Advisory("VENDOR-3", "live patch", (CMDLINE,), ("suse",)),
    distribution.Advisory("VENDOR-4", "live patch", (CMDLINE, VERSION), ("amazon",)),
    distribution.Advisory("VENDOR-5", "live patch", (CMDLINE,), ("openeuler",)),
)


def _rpm(package: Package, kernel: Kernel) -> str:
    """The path of the unsigned RPM."""
    files = [
        (path, module(what, kernel) if isinstance(what, Module) else what) for path, what in package.files
    ]

    def make(work: str) -> None:
        tree = work + ".tree"
        shutil.rmtree(tree, ignore_errors=True)
        listed = []
        for path, what in files:
            if path.endswith(".ko"):
                srcversion = run(["modinfo", "-F", "srcversion", what]).strip()
                os.makedirs(os.path.dirname(tree + path), exist_ok=True)
                shutil.copy(what, tree + path)
            else:
                path = path.replace("{srcversion}", srcversion if "{" in path else "")
                write(tree + path, what, 0o755 if what.startswith("#!") else 0o644)
            listed.append(path)
        facts = {**package._asdict(), "tree": tree, "files": "\n".join(listed)}
        rpmbuild(work, package.name, _SPEC.format(**facts))
        shutil.rmtree(tree)

    key = digest(repr(package), repr(files), _SPEC)
    folder = cached("vendor-rpm-" + package.name, key, f"packing {package.nevra}", make)
    return glob.glob(os.path.join(folder, "*.rpm"))[0]


def repositories(kernel: Kernel) -> bytes:
    """A tar archive of all REPOSITORIES, a folder each, signed with the demo's key."""
    paths = {name: _rpm(package, kernel) for name, package in packages(kernel).items()}
    paths["kpatch"] = kpatch.rpm()

    def make(work: str) -> None:
        pool = os.path.join(work, "pool")
        os.makedirs(pool)
        signed = {name: shutil.copy(path, pool) for name, path in paths.items()}
        with repo.keyring() as env:
            repo.sign(signed.values(), env)
            for name, names in REPOSITORIES.items():
                distribution.repository(os.path.join(work, name), names, signed, env, ADVISORIES)
        shutil.rmtree(pool)

    own = content(repo.public_key(), str(repo.__file__), str(distribution.__file__))
    key = digest(repr(paths), repr(REPOSITORIES), repr(ADVISORIES), own)
    folder = cached("vendor-repositories", key, "making the vendors' repositories", make)
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        archive.add(folder, ".")
    return data.getvalue()
