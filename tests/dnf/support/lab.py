# SPDX-License-Identifier: GPL-2.0-or-later
"""Hosts for the tests: this machine's own root under an overlay, in a chroot with its own mounts and pids.

DNF, rpm and every file they touch are real; only `uname -r` is faked, and a stand-in answers for
systemd and reconcile. CAP_SYS_MODULE is dropped except in a host that is ``able``: nothing here can reach
the machine's own kernel. Process 1 keeps it, as systemd does, and only waits.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import createrepo_c

from dnf_plugin_livepatch.formats import compressed
from tests.dnf.support import rpms

if TYPE_CHECKING:
    import pytest

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
PARTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "parts")
RUNNING = rpms.release(10)
SHIM = "/usr/lib/fake-uname.so"


class Answer(NamedTuple):
    """The end of one command in a host; ``new`` and ``gone`` are the NEVRAs that it added and removed."""

    code: int
    out: str
    err: str
    new: frozenset[str]
    gone: frozenset[str]

    @property
    def text(self) -> str:
        return self.out + self.err


class Update(NamedTuple):
    """One advisory of a repository."""

    id: str
    packages: tuple[rpms.Rpm, ...]
    cves: tuple[str, ...] = ()
    type: str = "security"
    severity: str = "Important"


def repository(
    folder: str, rpm_paths: Iterable[str], updates: Iterable[Update] = (), text: str = ""
) -> None:
    """Make a repository of these RPMs in ``folder``; ``text`` replaces its updateinfo."""
    os.makedirs(folder)
    for path in rpm_paths:
        os.link(path, os.path.join(folder, os.path.basename(path)))
    command = ["createrepo_c", "--quiet", "--simple-md-filenames", folder]
    subprocess.run(command, check=True, capture_output=True)
    info = createrepo_c.UpdateInfo()
    for update in updates:
        info.append(_record(update))
    path = os.path.join(folder, "updateinfo.xml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text or info.xml_dump())
    subprocess.run(["modifyrepo_c", path, folder + "/repodata"], check=True, capture_output=True)


def plain(path: str) -> bytes:
    """The content of a file of the metadata, however this createrepo_c packed it."""
    with open(path, "rb") as file:
        packing = compressed.kind(file.read(6))
        file.seek(0)
        return b"".join(compressed.blocks(file, packing))


def replace(path: str, data: bytes) -> None:
    """Write ``data`` to a new file at ``path``: the old one may be a link of another state's file."""
    if os.path.lexists(path):
        os.unlink(path)
    with open(path, "wb") as file:
        file.write(data)


def _record(update: Update) -> createrepo_c.UpdateRecord:
    import datetime

    record = createrepo_c.UpdateRecord()
    record.id, record.title, record.type = update.id, update.id, update.type
    record.severity, record.status, record.version, record.fromstr = update.severity, "final", "1", "test"
    record.issued_date = record.updated_date = datetime.datetime(2026, 11, 1)
    collection = createrepo_c.UpdateCollection()
    collection.shortname = collection.name = "test"
    for rpm in update.packages:
        package = createrepo_c.UpdateCollectionPackage()
        package.name, package.version, package.release = rpm.name, rpm.version, rpm.release
        package.epoch, package.arch, package.filename = "0", rpm.arch, f"{rpm}.rpm"
        collection.append(package)
    record.append_collection(collection)
    for cve in update.cves:
        reference = createrepo_c.UpdateReference()
        reference.type, reference.id, reference.href = "cve", cve, f"https://example.invalid/{cve}"
        reference.title = cve
        record.append_reference(reference)
    return record


class Host:
    """One machine. What it writes is in ``folder``, which starts as a copy of ``like``'s."""

    #: Whether its processes may load modules. The packages of the lab hold none that a kernel takes.
    able = False

    def __init__(self, lab: Lab, folder: str, like: str = "") -> None:
        self.lab = lab
        self.folder = folder
        if like:
            # A layer below may not lie within another one, so it is copied; it is small.
            os.makedirs(folder)
            subprocess.run(["cp", "-a", like + "/up", folder + "/up"], check=True)
        for name in ("up", "work", "mnt"):
            os.makedirs(os.path.join(folder, name), exist_ok=True)

    def path(self, path: str) -> str:
        """The place of the host's file ``path`` for a writer outside of the host; its folder is made."""
        real = self.folder + "/up" + path
        os.makedirs(os.path.dirname(real), exist_ok=True)
        return real

    def write(self, path: str, text: str) -> None:
        with open(self.path(path), "w", encoding="utf-8") as file:
            file.write(text)

    def read(self, path: str) -> str:
        """The host's file, "" when it was never written."""
        try:
            with open(self.folder + "/up" + path, encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def conf(self, text: str) -> None:
        """Write livepatch.conf; ``text`` is what comes below [main]."""
        self.write("/etc/dnf/plugins/livepatch.conf", "[main]\n" + text)

    def repos(self, **states: str) -> None:
        """Enable repositories: id -> a state of the lab, followed by more lines of its section if any."""
        text = ""
        for name, state in states.items():
            state, _, more = state.partition("\n")
            text += f"[{name}]\nname={name}\nbaseurl=file://{self.lab.states}/{state}\n"
            text += f"gpgkey=file://{self.lab.key}\nmetadata_expire=0\n{more}\n"
        self.write("/etc/yum.repos.d/lab.repo", text)

    def sh(self, command: str, timeout: float = 120, env: dict[str, str] | None = None) -> Answer:
        """Run a shell command as root in the host."""
        mount = os.path.join(self.folder, "mnt")
        inner = f"rpm -qa > /root/lab-before; ( {command}\n); code=$?; rpm -qa > /root/lab-after; exit $code"
        # Not in /tmp: newer rpms give each scriptlet a /tmp of its own.
        run = ["env", f"LD_PRELOAD={SHIM}", "/bin/sh", "-c", inner]
        if not self.able:
            run = ["setpriv", "--bounding-set=-sys_module", *run]
        script = f"""
            cd {self.folder}
            mount -t overlay -o lowerdir=/,upperdir=up,workdir=work overlay mnt
            mkdir -p {mount}{SOURCE} {mount}{self.lab.folder}
            mount --bind {SOURCE} {mount}{SOURCE}
            mount --bind {self.lab.folder} {mount}{self.lab.folder}
            mount -t proc proc {mount}/proc
            mount --bind /dev {mount}/dev
            mount -t devpts devpts {mount}/dev/pts
            exec chroot {mount} /bin/sh -c {shlex.quote(shlex.join(run) + "; exit $?")}
        """
        done = subprocess.run(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", script],
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            env={
                "PATH": f"{PARTS}:/usr/sbin:/usr/bin:/sbin:/bin",
                "HOME": "/root",
                "LANG": "C.UTF-8",
                "FAKE_RELEASE": RUNNING,
                "PYTHONPATH": SOURCE,
                "PYTHONPYCACHEPREFIX": self.lab.folder + "/pycache",
                **(env or {}),
            },
        )
        before, after = (frozenset(self.read(f"/root/lab-{name}").split()) for name in ("before", "after"))
        return Answer(done.returncode, done.stdout, done.stderr, after - before, before - after)

    def dnf(self, *words: str, **kwargs: object) -> Answer:
        """Run `dnf -y` with these arguments."""
        return self.sh("dnf -y " + " ".join(map(shlex.quote, words)), **kwargs)  # type: ignore[arg-type]

    def bring(self, state: str, nevra: str) -> None:
        """Install a package of ``state`` by rpm: the plugin of dnf sees nothing, and nothing is loaded."""
        answer = self.sh(f"rpm -i {self.lab.states}/{state}/{nevra}.rpm")
        assert answer.code == 0 and answer.new == {nevra}, answer.text

    def python(self, code: str) -> Answer:
        """Run Python code against the DNF API."""
        self.write("/root/run.py", code)
        return self.sh("python3 /root/run.py")

    def drop(self) -> None:
        """Remove everything that the host wrote."""
        shutil.rmtree(self.folder, ignore_errors=True)


class Lab:
    """The RPMs, repositories and the installed base that all hosts share. Made once for all workers."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.states = os.path.join(folder, "states")
        self.key = os.path.join(folder, "RPM-GPG-KEY-test")
        self.base = os.path.join(folder, "base")
        self.count = 0

    def make(self, packages: Iterable[rpms.Rpm], states: dict[str, tuple], base: list[str]) -> None:
        """Build everything: ``states`` are (packages, updates[, updateinfo]), ``base`` is installed."""
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)
        built = rpms.build(os.path.join(self.folder, "build"), packages)
        rpms.sign(self.folder, built.values())
        os.makedirs(self.states)
        for name, (content, *more) in states.items():
            repository(os.path.join(self.states, name), [built[str(rpm)] for rpm in content], *more)
        host = Host(self, self.base)
        shim = ["gcc", "-shared", "-fPIC", "-O2", "-o", host.path(SHIM), os.path.join(PARTS, "uname.c")]
        subprocess.run(shim, check=True)
        host.write("/etc/rpm/macros", "%_dbpath /var/lib/rpm\n")
        host.write(
            "/etc/dnf/dnf.conf",
            f"[main]\npluginpath={SOURCE}/dnf_plugin_livepatch/dnf-plugins\ngpgcheck=1\n"
            "installonly_limit=3\nbest=True\nclean_requirements_on_remove=True\n",
        )
        host.write("/var/lib/livepatch/.keep", "")
        host.write("/sys/kernel/livepatch/.keep", "")
        profiles = "/usr/share/dnf-plugin-livepatch/profiles"
        shutil.copytree(SOURCE + "/profiles", host.path(profiles))
        host.repos(base="start")
        answer = host.sh(
            "rm -rf /.dockerenv /run/systemd /run/.containerenv /var/lib/rpm /var/lib/dnf /root/.rpmdb"
            " /run/livepatch /sys/kernel/livepatch/.keep;"
            " mkdir -p /var/lib/rpm /run/systemd/system /run/livepatch"
            f" && rpm --initdb && rpm --import {self.key}"
            " && dnf -y install " + " ".join(base)
        )
        if answer.code:
            sys.exit(answer.text)

    def silent(self, state: str) -> str:
        """A state like ``state`` whose repository has no updateinfo at all; its name."""
        self.count += 1
        name = f"{state}-silent-{os.getpid()}-{self.count}"
        folder = os.path.join(self.states, name)
        os.makedirs(folder)
        for file in os.listdir(os.path.join(self.states, state)):
            if file.endswith(".rpm"):
                os.link(os.path.join(self.states, state, file), os.path.join(folder, file))
        command = ["createrepo_c", "--quiet", "--simple-md-filenames", folder]
        subprocess.run(command, check=True, capture_output=True)
        return name

    def host(self) -> Host:
        """A fresh host with the base installed and every repository that changes nothing."""
        self.count += 1
        folder = os.path.join(self.folder, f"host-{os.getpid()}-{self.count}")
        host = Host(self, folder, self.base)
        host.repos(base="start")
        return host


def shared(
    factory: pytest.TempPathFactory,
    name: str,
    packages: Iterable[rpms.Rpm],
    states: dict[str, tuple],
    base: list[str],
) -> Lab:
    """The lab ``name``, made once for all workers of pytest-xdist; see ``Lab.make``."""
    root = factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        root = root.parent
    made = Lab(str(root / name))
    with open(root / f"{name}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(made.folder + "/complete"):
            made.make(packages, states, base)
            with open(made.folder + "/complete", "w", encoding="ascii"):
                pass
    return made


def lines(answer: Answer, prefix: str = "livepatch: ") -> list[str]:
    """The plugin's lines in the output of dnf."""
    return [line for line in answer.text.splitlines() if line.startswith(prefix)]


def unharmed(answer: Answer) -> None:
    """Check that the output of dnf shows no fault of the plugin."""
    assert "Traceback" not in answer.text and "could not finish" not in answer.text, answer.text
