# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian roots with kernels of their own, where livepatch-rpm works for real and whose kernels a VM boots.

Roots, kernels and ccache stay in build/verify. The time of every step is noted there in results.txt;
docs/evidence/verified-builds.md is written from it by hand.
"""

from __future__ import annotations

import glob
import json
import os
import shutil
import subprocess
import time
from typing import NamedTuple

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TOP = os.path.dirname(os.path.dirname(HERE))
CACHE = os.path.join(TOP, "build", "verify")
JOBS = os.environ.get("JOBS", str(os.cpu_count() or 1))
DIFFS = "/product/tests/build/diffs/"
SOURCE = "/product/tests/build/source/"
TREE = ["--source-tree", "/lpwork/linux", "--vmlinux", "/lpwork/kernel/vmlinux"]
DEVEL = ["--kernel-devel", "/lpwork/linux", "--vmlinux", "/lpwork/kernel/vmlinux"]
KEY = "--module-key={0}.pem --module-cert={0}.x509"
GOOD_KEY = KEY.format("/lpwork/kernel/signing_key").split()
FOREIGN_KEY = KEY.format("/lpwork/keys/foreign").split()
TOKEN = "--module-key=pkcs11:token=hsm;object=klp;type=private?pin-source=file:/lpwork/keys/pin"
#: Where OpenSSL and the RPM tools find the keys of keys.sh and token.sh.
KEYS = (
    "GNUPGHOME=/lpwork/keys/gnupg",
    "SOFTHSM2_CONF=/lpwork/keys/softhsm2.conf",
    "PKCS11_PROVIDER_MODULE=/usr/lib/softhsm/libsofthsm2.so",
)


class Lab(NamedTuple):
    """A Debian root and a kernel built in it. ``rhel``: it is named as RHEL's and enforces signatures."""

    name: str
    suite: str
    rhel: bool = False

    @property
    def root(self) -> str:
        return os.path.join(CACHE, self.suite, "root")

    @property
    def work(self) -> str:
        return os.path.join(CACHE, self.name, "work")

    @property
    def release(self) -> str:
        with open(os.path.join(self.work, "kernel/release"), encoding="ascii") as file:
            return file.read().strip()

    def ready(self) -> None:
        """Make the root and the kernel, once, and the keys."""
        os.makedirs(CACHE, exist_ok=True)
        with open(os.path.join(HERE, self.suite + ".txt"), encoding="ascii") as file:
            self.timed("root", [os.path.join(HERE, "root.sh"), self.suite, self.root, *file.read().split()])
        self.inside(
            "kernel", "/product/tests/build/kernel.sh", self.name + ".config", *(["0"] if self.rhel else [])
        )
        if self.rhel:
            self.inside("keys", "/product/tests/build/keys.sh")

    def timed(self, what: str, argv: list[str]) -> str:
        """The output of ``argv``, which must succeed; its time goes into the results."""
        start = time.monotonic()
        done = subprocess.run(
            argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "JOBS": JOBS}
        )
        seconds = time.monotonic() - start
        with open(os.path.join(CACHE, "results.txt"), "a", encoding="utf-8") as file:
            now = time.strftime("%Y-%m-%d %H:%M", time.gmtime())
            file.write(f"{now} {self.name:7} {what:22} {seconds:7.0f} s  status {done.returncode}\n")
        assert done.returncode == 0, f"{what}: {done.stdout[-9000:]}{done.stderr[-9000:]}"
        return done.stdout

    def inside(self, what: str, *argv: str) -> str:
        """Run ``argv`` in the root."""
        return self.timed(what, [os.path.join(HERE, "inside.sh"), self.root, self.work, *argv])

    def tool(self, what: str, *argv: str) -> dict[str, object]:
        """Run livepatch-rpm in the root, which signs packages where it has keys; its JSON."""
        more: tuple[str, ...] = ()
        if self.rhel and argv[0] in ("build", "empty"):
            more = ("--rpm-key", "test@example.invalid", "--dist", ".el10_0")
        command = ("python3", "-m", "dnf_plugin_livepatch.rpmtool.cli", argv[0], "--json", *argv[1:], *more)
        return dict(json.loads(self.inside(what, "/usr/bin/env", *KEYS, *command)))

    def build(self, what: str, repo: str, *argv: str) -> dict[str, object]:
        """A package in the folder ``repo``, made anew."""
        shutil.rmtree(os.path.join(self.work, repo), ignore_errors=True)
        log = "/lpwork/" + what.replace(" ", "-") + ".log"
        common = ("--kernel", self.release, "--jobs", JOBS, "--work", "/lpwork", "--log", log)
        return self.tool(what, "build", *common, "-o", "/lpwork/" + repo, *argv)

    def find(self, pattern: str) -> str:
        """The one file in the work folder that matches ``pattern``, as the root sees it."""
        (path,) = glob.glob(os.path.join(self.work, pattern))
        return "/lpwork/" + os.path.relpath(path, self.work)

    def content(self, path: str) -> bytes:
        """The bytes of the file that the root sees as ``path``."""
        with open(os.path.join(self.work, os.path.relpath(path, "/lpwork")), "rb") as file:
            return file.read()

    def boot(self, what: str, *repos: str) -> None:
        """Boot the kernel and live its guest's life with the packages in ``repos``."""
        self.inside("repos", "/product/tests/build/repos.sh", self.release, *repos)
        script = "guest-signed.sh" if self.rhel else "guest.sh"
        shutil.copy(os.path.join(HERE, script), self.work)
        image = os.path.join(self.work, "kernel/bzImage")
        more = ["module.sig_enforce=1"] if self.rhel else []
        argv = [os.path.join(HERE, "boot.sh"), self.root, self.work, image, script, *more]
        print(self.timed(what, argv)[-6000:])


KPATCH = Lab("kpatch", "trixie")
RHEL = Lab("rhel", "trixie", True)
KLP = Lab("klp", "sid")
