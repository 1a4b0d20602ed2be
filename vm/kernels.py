# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's kernels: choosing, downloading, unpacking, and wrapping them as RPMs like those of RHEL.

Nothing is installed on this machine: packages are downloaded with apt-get and unpacked below the
build folder, kernels and headers alike.
"""

from __future__ import annotations

import glob
import lzma
import os
import re
import shutil
from typing import NamedTuple

from .common import BUILD, PUBLISHED, Failure, cached, digest, run, say, write

# The modules that the guest needs or a test loads; their dependencies are added to them.
MODULES = (
    "virtio_pci",
    "virtio_blk",
    "virtio_console",
    "virtio_net",
    "virtio_rng",
    "crc32c_generic",
    "ext4",
    "overlay",
    "loop",
    "fuse",
    "9p",
    "9pnet_virtio",
    "autofs4",
    "nls_ascii",
    "nls_utf8",
    "vfat",
    "af_packet",
    "dummy",
    "binfmt_misc",
    "qemu_fw_cfg",
    "xfs",
    "squashfs",
)


class Kernel(NamedTuple):
    """One Debian kernel. ``release`` is the output of `uname -r` on it."""

    release: str

    @property
    def version(self) -> str:
        """The RPM version. Version and release together are ordered as the kernel releases are."""
        return self.release.split("-")[0]

    @property
    def rpm_release(self) -> str:
        """The RPM release; RPM takes no dash in it."""
        return self.release.split("-", 1)[1].replace("-", "_")

    @property
    def capability(self) -> bool:
        """Whether RPM accepts the kernel release as a version; RPM refuses two dashes."""
        return self.release.count("-") < 2


def numbers(release: str) -> list[int]:
    """The sort key of a kernel release: its numbers."""
    return [int(number) for number in re.findall(r"[0-9]+", release)]


class Choice(NamedTuple):
    """The three kernels of the demo: ``old`` runs, ``new`` is the update, ``dashes`` has two dashes."""

    old: Kernel
    new: Kernel
    dashes: Kernel


def choose() -> Choice:
    """Choose the two newest 6.12 kernels and the newest 6.1 that apt offers with image and headers.

    The choice is kept in kernels.txt beside the downloads, because Debian's mirror drops old kernels.
    """
    note = os.path.join(BUILD, "kernels.txt")
    if os.path.exists(note):
        with open(note, encoding="ascii") as file:
            return Choice(*(Kernel(line) for line in file.read().split()))
    names = set(run(["apt-cache", "pkgnames", "linux-"]).split())

    def newest(pattern: str, count: int) -> list[Kernel]:
        found = [
            name[len("linux-headers-") :]
            for name in names
            if re.fullmatch("linux-headers-" + pattern, name)
            and f"linux-image-{name[len('linux-headers-') :]}-unsigned" in names
            and "Filename:" in run(["apt-cache", "show", name])
        ]
        return [Kernel(release) for release in sorted(found, key=numbers)[-count:]]

    single = newest(r"6\.12\.[0-9]+\+deb12-amd64", 2)
    double = newest(r"6\.1\.0-[0-9]+-amd64", 1)
    if len(single) < 2 or not double:
        raise Failure("apt offers no two 6.12 kernels and one 6.1 with headers: run apt-get update")
    choice = Choice(*single, *double)
    write(note, "".join(kernel.release + "\n" for kernel in choice))
    return choice


def _depends(package: str) -> list[str]:
    found = re.findall(r"^ *\|?Depends: (\S+)", run(["apt-cache", "depends", package]), re.MULTILINE)
    return [name for name in found if re.match(r"linux-(headers|kbuild)-", name)]


def download(packages: list[str]) -> list[str]:
    """The paths of the .deb files of ``packages``; missing files are downloaded."""
    folder = os.path.join(BUILD, "downloads")
    os.makedirs(folder, exist_ok=True)
    paths = []
    for package in packages:
        have = glob.glob(os.path.join(folder, package + "_*.deb"))
        if not have:
            say(f"downloading {package}")
            run(["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", package], cwd=folder)
            have = glob.glob(os.path.join(folder, package + "_*.deb"))
        if not have:
            raise Failure(f"apt-get download {package} left no file")
        paths.append(have[0])
    return paths


def headers(kernel: Kernel) -> str:
    """The build folder of ``kernel`` for kbuild; the first call unpacks it."""
    first = f"linux-headers-{kernel.release}"
    note = os.path.join(BUILD, "downloads", first + ".needs")
    if not os.path.exists(note):
        names = [first]
        for name in names:
            names += [other for other in _depends(name) if other not in names]
        write(note, "\n".join(names))
    with open(note, encoding="ascii") as file:
        debs = download(file.read().split())

    def make(work: str) -> None:
        for deb in debs:
            run(["dpkg", "-x", deb, work])
        final = os.path.join(BUILD, f"headers-{kernel.release}-{digest(*debs)}")
        for makefile in glob.glob(os.path.join(work, "usr/src/*/Makefile")):
            with open(makefile, encoding="utf-8") as file:
                text = file.read()
            if text.startswith("include /usr/src/"):
                write(makefile, text.replace("include /usr/src/", f"include {final}/usr/src/"))

    root = cached("headers-" + kernel.release, digest(*debs), f"unpacking headers of {kernel.release}", make)
    return os.path.join(root, "usr/src", first)


def compile_module(work: str, source: str, name: str, build: str, flags: str) -> str:
    """Compile the C file ``source`` as the module ``name`` in the folder ``work``; returns its path."""
    shutil.copy(source, os.path.join(work, name + ".c"))
    write(os.path.join(work, "Kbuild"), f"obj-m := {name}.o\nccflags-y := {flags}\n")
    run(["nice", "make", "-C", build, f"M={work}", "modules"])
    return os.path.join(work, name + ".ko")


def tree(kernel: Kernel) -> str:
    """A folder with boot/vmlinuz-R and lib/modules/R of ``kernel``, with the modules that a VM needs."""
    (deb,) = download([f"linux-image-{kernel.release}-unsigned"])

    def make(work: str) -> None:
        full = work + ".full"
        shutil.rmtree(full, ignore_errors=True)
        run(["dpkg", "-x", deb, full])
        run(["depmod", "-b", full, kernel.release])
        source = os.path.join(full, "lib/modules", kernel.release)
        target = os.path.join(work, "lib/modules", kernel.release)
        for path in sorted(_closure(source)):
            copy = os.path.join(target, path[: -len(".xz")] if path.endswith(".xz") else path)
            os.makedirs(os.path.dirname(copy), exist_ok=True)
            with open(os.path.join(source, path), "rb") as file:
                data = file.read()
            with open(copy, "wb") as file:
                file.write(lzma.decompress(data) if path.endswith(".xz") else data)
        for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
            shutil.copy(os.path.join(source, name), target)
        os.makedirs(os.path.join(work, "boot"))
        for name in ("vmlinuz", "config"):
            shutil.copy(os.path.join(full, "boot", f"{name}-{kernel.release}"), os.path.join(work, "boot"))
        run(["depmod", "-b", work, kernel.release])
        shutil.rmtree(full)

    key = digest(deb, repr(MODULES))
    return cached("kernel-" + kernel.release, key, f"unpacking kernel {kernel.release}", make)


def dependencies(modules: str) -> dict[str, list[str]]:
    """Each module of the folder ``modules`` and the modules that it needs, as paths below that folder."""
    with open(os.path.join(modules, "modules.dep"), encoding="ascii") as file:
        rows = [line.partition(":") for line in file]
    return {path: rest.split() for path, _, rest in rows}


def _closure(modules: str) -> set[str]:
    """The paths of MODULES and of all their dependencies, relative to ``modules``."""
    depends = dependencies(modules)
    names = {os.path.basename(path).split(".")[0].replace("-", "_"): path for path in depends}
    wanted = set()
    for name in MODULES:
        if name in names:
            wanted |= {names[name], *depends[names[name]]}
    return wanted


_SPEC = """\
Name: kernel-core
Version: {version}
Release: {release}
Summary: Debian's kernel {uname}, wrapped for the demo host
License: GPL-2.0-only
ExclusiveArch: x86_64
AutoReqProv: no
Provides: installonlypkg(kernel)
Provides: kernel = %{{version}}-%{{release}}
{provides}
%global debug_package %{{nil}}
%global __os_install_post %{{nil}}
%global _build_id_links none
%global _binary_payload w3.zstdio

%description
The kernel as Debian built it, with the modules that a virtual machine needs.

%install
mkdir -p %{{buildroot}}
cp -a {tree}/boot {tree}/lib %{{buildroot}}/

%files
/boot/vmlinuz-{uname}
/boot/config-{uname}
/lib/modules/{uname}
"""


def rpm(kernel: Kernel) -> str:
    """The path of ``kernel`` as an unsigned kernel-core RPM."""
    source = tree(kernel)

    def make(work: str) -> None:
        provides = (
            f"Provides: kernel-uname-r = {kernel.release}\nProvides: kernel-core-uname-r = {kernel.release}"
            if kernel.capability
            else ""
        )
        spec = _SPEC.format(
            version=kernel.version,
            release=kernel.rpm_release,
            uname=kernel.release,
            tree=source,
            provides=provides,
        )
        rpmbuild(work, "kernel-core", spec)

    key = digest(os.path.basename(source), _SPEC)
    folder = cached("kernel-rpm-" + kernel.release, key, f"packing kernel {kernel.release} as an RPM", make)
    return glob.glob(os.path.join(folder, "*.rpm"))[0]


def rpmbuild(work: str, name: str, spec: str) -> None:
    """Build ``spec`` and leave its RPMs in ``work``."""
    top = work + ".rpmbuild"
    write(os.path.join(top, name + ".spec"), spec)
    macros = {
        "_topdir": top,
        "_rpmdir": work,
        "_rpmfilename": "%{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}.rpm",
        "_buildhost": "localhost",
        "use_source_date_epoch_as_buildtime": "1",
    }
    defines = [f"--define={macro} {value}" for macro, value in macros.items()]
    command = ["nice", "rpmbuild", "-bb", "--target", "x86_64", *defines]
    run([*command, os.path.join(top, name + ".spec")], env={"SOURCE_DATE_EPOCH": PUBLISHED})
    shutil.rmtree(top)
