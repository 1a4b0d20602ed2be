# SPDX-License-Identifier: GPL-2.0-or-later
"""The demo host's disk: Debian with systemd and DNF, an RPM database, the older kernel, this project."""

from __future__ import annotations

import glob
import os
import re
import shutil

from . import kernels, repo
from .common import BUILD, ROOT, Failure, cached, content, digest, here, run, write
from .kernels import Kernel

STAGE = "updates"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
PACKAGES = (
    "binutils",
    "ca-certificates",
    "crun",
    "dbus",
    "dnf",
    "gpg",
    "gpg-agent",
    "grub-common",
    "iproute2",
    "kmod",
    "procps",
    "psmisc",
    "python3-dbus",
    "python3-dnf",
    "python3-rpm",
    "rpm",
    "strace",
    "systemd",
    "systemd-sysv",
    "udev",
)
LEFT_OUT = ("doc", "locale", "man", "info")
# The files of vm/guest on the disk, with their modes.
GUEST = {
    "agent.py": ("usr/local/lib/vm-agent.py", 0o644),
    "vm-agent.service": ("etc/systemd/system/vm-agent.service", 0o644),
    "demo-stage": ("usr/local/bin/demo-stage", 0o755),
    "demo.repo": ("etc/yum.repos.d/demo.repo", 0o644),
}
# Units that take DNF's lock, or time at boot, and that neither the demo nor a test needs.
MASKED = (
    "dnf-makecache.timer",
    "dnf-automatic.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty.target",
    "grub-common.service",
    "systemd-pstore.service",
    "systemd-timesyncd.service",
)
_DNF = """\
[main]
gpgcheck=1
installonly_limit=3
clean_requirements_on_remove=True
best=True
color=never
"""


def _sources() -> str:
    """The Debian archives that this machine uses, for mmdebstrap: the guest comes from the same mirror."""
    form = f"deb [signed-by={KEYRING}] $(REPO_URI) $(RELEASE) $(COMPONENT)"
    command = ["apt-get", "indextargets", "--format", form, "Created-By: Packages", "Origin: Debian"]
    lines = run(command).splitlines()
    wanted = [line for line in dict.fromkeys(lines) if "bookworm" in line and "backports" not in line]
    if not wanted:
        raise Failure("apt knows no bookworm archive: run apt-get update on Debian 12")
    return "\n".join(wanted) + "\n"


def _apt_options() -> list[str]:
    """The apt settings that this machine may need to reach its mirror, as options of mmdebstrap."""
    pattern = re.compile(r"Acquire::(Check-Valid-Until|Check-Date|https?::Proxy\S*) .+;")
    lines = run(["apt-config", "dump"]).splitlines()
    return ["--aptopt=" + line.rstrip(";") for line in lines if pattern.fullmatch(line)]


def root() -> str:
    """The path of a tar of a fresh Debian root with PACKAGES."""

    def make(work: str) -> None:
        sources = os.path.join(work, "sources.list")
        write(sources, _sources())
        options = ["--include=" + ",".join(PACKAGES), '--aptopt=Apt::Install-Recommends "false"']
        options += _apt_options()
        options += [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in LEFT_OUT]
        command = ["nice", "mmdebstrap", "--quiet", "--mode=root", "--variant=essential", *options]
        run([*command, "bookworm", os.path.join(work, "root.tar"), sources])
        os.unlink(sources)

    folder = cached(
        "root", digest(repr(PACKAGES)), "making a Debian root with DNF and systemd: a minute", make
    )
    return os.path.join(folder, "root.tar")


def project() -> list[str]:
    """The project's own RPMs for a host, built as `make rpm` does when the work tree has changed."""
    run([os.path.join(ROOT, "scripts", "build-rpm")])
    found = [
        path
        for name in ("livepatch-runtime", "python3-dnf-plugin-livepatch")
        for path in glob.glob(os.path.join(ROOT, "build", "rpm", f"{name}-[0-9]*.noarch.rpm"))
    ]
    if len(found) != 2:
        raise Failure(f"build/rpm holds {len(found)} of the two RPMs of the project")
    return found


def disk() -> str:
    """The path of the demo host's disk, qcow2. Machines run on overlays of it."""
    base, files = root(), repo.repositories()
    packages = project()
    old = kernels.choose().old

    def make(work: str) -> None:
        tree = os.path.join(work, "tree")
        os.makedirs(tree)
        run(["tar", "-C", tree, "-xf", base])
        _configure(tree)
        local = os.path.join(tree, "var/tmp/project")
        os.makedirs(local)
        for path in packages:
            shutil.copy(path, local)
        names = f"kernel-core-{old.version}-{old.rpm_release} debian-provides"
        script = (
            "mount -t proc proc $R/proc && mount --bind $S $R/srv/demo"
            " && ln -sfn /srv/demo/base $R/var/lib/demo-repo"
            " && chroot $R rpm --import /etc/pki/rpm-gpg/RPM-GPG-KEY-demo"
            f" && chroot $R dnf -y -q install {names}"
            " && chroot $R sh -c 'dnf -y -q install --nogpgcheck /var/tmp/project/*.rpm'"
        )
        # In process ids of its own: DNF leaves gpg agents, which would remove their sockets beside rmtree.
        apart = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"]
        run([*apart, "sh", "-c", script], env={"R": tree, "S": files})
        shutil.rmtree(local)
        os.unlink(os.path.join(tree, "var/lib/demo-repo"))
        os.symlink("/srv/demo/" + STAGE, os.path.join(tree, "var/lib/demo-repo"))
        raw = os.path.join(work, "disk.raw")
        run(["mke2fs", "-q", "-t", "ext4", "-L", "root", "-m", "0", "-d", tree, raw, repo.size(tree, 700)])
        run(["qemu-img", "convert", "-O", "qcow2", raw, os.path.join(work, "disk.qcow2")])
        os.unlink(raw)
        shutil.rmtree(tree)

    guest = here(*("guest/" + name for name in GUEST))
    own = content(*packages, *here("image.py"), *guest, repo.public_key())
    key = digest(base, kernels.rpm(old), repo.provides_rpm(), own)
    folder = cached("disk", key, "installing the older kernel and the project on the demo host's disk", make)
    return os.path.join(folder, "disk.qcow2")


def _configure(tree: str) -> None:
    """Write the demo host's configuration below ``tree``."""

    def put(path: str, text: str, mode: int = 0o644) -> None:
        write(os.path.join(tree, path), text, mode)

    for name, (path, mode) in GUEST.items():
        with open(here("guest/" + name)[0], encoding="utf-8") as file:
            put(path, file.read(), mode)
    put("etc/dnf/dnf.conf", _DNF)
    # Debian has no package from which DNF learns the release, and its rpm would use a database per user.
    put("etc/dnf/vars/releasever", "12\n")
    put("etc/rpm/macros", "%_dbpath /var/lib/rpm\n")
    put("etc/hostname", "demo\n")
    put("etc/hosts", "127.0.0.1 localhost demo\n")
    put("etc/machine-id", "0123456789abcdef0123456789abcdef\n")
    put("etc/fstab", "/dev/vda / ext4 defaults 0 0\nLABEL=demo /srv/demo ext4 ro,nofail 0 0\n")
    put("etc/systemd/journald.conf.d/console.conf", "[Journal]\nForwardToConsole=no\n")
    with open(repo.public_key(), encoding="ascii") as file:
        put("etc/pki/rpm-gpg/RPM-GPG-KEY-demo", file.read())
    for unit in MASKED:
        os.symlink("/dev/null", os.path.join(tree, "etc/systemd/system", unit))
    wants = os.path.join(tree, "etc/systemd/system/multi-user.target.wants")
    os.makedirs(wants, exist_ok=True)
    os.symlink("/etc/systemd/system/vm-agent.service", os.path.join(wants, "vm-agent.service"))
    default = os.path.join(tree, "etc/systemd/system/default.target")
    os.symlink("/usr/lib/systemd/system/multi-user.target", default)
    os.makedirs(os.path.join(tree, "srv/demo"), exist_ok=True)
    os.makedirs(os.path.join(tree, "var/lib/rpm"), exist_ok=True)


def initrd(kernel: Kernel) -> str:
    """The path of a small initial RAM disk for ``kernel``."""
    source = kernels.tree(kernel)
    modules = os.path.join(source, "lib/modules", kernel.release)

    def make(work: str) -> None:
        tree = os.path.join(work, "tree")
        os.makedirs(os.path.join(tree, "bin"))
        os.makedirs(os.path.join(tree, "modules"))
        shutil.copy("/bin/busybox", os.path.join(tree, "bin"))
        shutil.copy(here("guest/init")[0], os.path.join(tree, "init"))
        os.chmod(os.path.join(tree, "init"), 0o755)
        os.symlink("busybox", os.path.join(tree, "bin/sh"))
        order: list[str] = []
        depends = kernels.dependencies(modules)
        # crc32c is asked for by name when ext4 mounts, so modules.dep does not know it.
        for wanted in ("virtio_pci", "virtio_blk", "virtio_console", "crc32c_generic", "ext4"):
            for path in depends:
                if os.path.basename(path) == wanted + ".ko":
                    order += [item for item in [*reversed(depends[path]), path] if item not in order]
        for path in order:
            shutil.copy(os.path.join(modules, path), os.path.join(tree, "modules"))
        write(os.path.join(tree, "order"), "".join(os.path.basename(path) + "\n" for path in order))
        run(["sh", "-c", "find . | cpio -o -H newc --quiet >../initrd"], cwd=tree)
        shutil.rmtree(tree)

    key = digest(source, content(*here("image.py", "guest/init")))
    folder = cached("initrd-" + kernel.release, key, f"making an initrd for {kernel.release}", make)
    return os.path.join(folder, "initrd")


def vmlinuz(kernel: Kernel) -> str:
    """The path of the kernel image of ``kernel``."""
    return os.path.join(kernels.tree(kernel), "boot", "vmlinuz-" + kernel.release)


def machines() -> str:
    """The folder for running machines, each of which has a folder of its own in it."""
    path = os.path.join(BUILD, "machines")
    os.makedirs(path, exist_ok=True)
    return path
