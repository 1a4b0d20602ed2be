# SPDX-License-Identifier: GPL-2.0-or-later
"""A host below a folder: files, a kernel that is a tree of sysfs files, packages. Needs no root.

The fake kernel keeps its whole state in the tree, so that a process may be killed anywhere and another
goes on. It does what klp does: one transition at a time, EEXIST for a name that is there, atomic replace,
a reversal that ends, a module that stays behind after it was replaced.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import struct
from collections.abc import Sequence

from dnf_plugin_livepatch.base.config import Config
from dnf_plugin_livepatch.base.model import (
    Function,
    InstalledModule,
    InstalledPatch,
    Manifest,
    Nevra,
    ReconcileResult,
)
from dnf_plugin_livepatch.base.paths import Paths
from dnf_plugin_livepatch.formats import manifest
from dnf_plugin_livepatch.host.cli import context
from dnf_plugin_livepatch.host.files import atomic
from dnf_plugin_livepatch.host.packages import installed
from dnf_plugin_livepatch.host.reconcile import loader, timers
from dnf_plugin_livepatch.host.reconcile import run as reconcile

RELEASE = "6.12.1-1.x86_64"


# Where fsync costs nothing; what is tested is the order of the writes, not the disk.
QUICK = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


class Panic(BaseException):
    """The kernel is dead."""


def note(build_id: str) -> bytes:
    """An ELF note with a GNU build id."""
    value = bytes.fromhex(build_id)
    return struct.pack("=III", 4, len(value), 3) + b"GNU\0" + value


def module_file(
    name: str, build_id: str, vermagic: str = RELEASE, livepatch: bool = True, **more: str
) -> bytes:
    """A .ko as far as its headers go."""
    fields = {"name": name, "vermagic": vermagic + " SMP mod_unload", **more}
    if livepatch:
        fields["livepatch"] = "Y"
    info = b"".join(f"{key}={value}".encode() + b"\0" for key, value in fields.items())
    names = b"\0.modinfo\0.note.gnu.build-id\0.shstrtab\0"
    parts = [(b"", 0), (info, 1), (note(build_id), 7), (names, 3)]
    body, rows, at = b"", [], 64
    for index, (data, kind) in enumerate(parts):
        title = (0, 1, 10, 29)[index]
        rows.append(struct.pack("<IIQQQQIIQQ", title, kind, 2, 0, at, len(data), 0, 0, 1, 0))
        body += data
        at += len(data)
    header = (
        b"\x7fELF\x02\x01\x01"
        + bytes(9)
        + struct.pack("<HHIQQQIHHHHHH", 1, 62, 1, 0, 0, at, 0, 64, 0, 0, 64, 4, 3)
    )
    return header + body + b"".join(rows)


class Host:
    """A host whose root is ``root``. Everything that must survive a crash is in files below it."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.paths = Paths(root)
        self.config = Config(transition_timeout=0, settle_time=600)

    # --- making it ---

    def put(self, path: str, data: str | bytes) -> None:
        target = self.paths.at(path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "wb") as file:
            file.write(data if isinstance(data, bytes) else data.encode())

    def create(self) -> Host:
        self.put("/proc/sys/kernel/osrelease", RELEASE + "\n")
        self.put("/proc/cmdline", "root=/dev/vda\n")
        self.put("/sys/kernel/notes", note("aa" * 20))
        self.put(f"/usr/lib/modules/{RELEASE}/kernel/x", "")
        self.put("/var/lib/rpm/rpmdb.sqlite", "")
        self.put("/packages.json", "{}")
        self.boot(1)
        return self

    def boot(self, number: int) -> None:
        for path in ("/sys/kernel/livepatch", "/sys/module", "/run"):
            shutil.rmtree(self.paths.at(path), ignore_errors=True)
            os.makedirs(self.paths.at(path))
        self.put("/proc/sys/kernel/random/boot_id", f"{number:08x}-0000-4000-8000-000000000000\n")
        self.put("/proc/uptime", "10.0 10.0\n")
        self.put("/dev/kmsg", "")
        self.put("/proc/sys/kernel/tainted", "0\n")
        self.put("/sys/kernel/oops_count", "0\n")
        self.put("/sys/kernel/warn_count", "0\n")

    @property
    def boot_id(self) -> str:
        with open(self.paths.at("/proc/sys/kernel/random/boot_id")) as file:
            return file.read().strip()

    def reboot(self, clean: bool = True) -> None:
        """The next boot; ``clean`` as the shutdown unit leaves it, else as a crash or power cut does."""
        if clean:
            self.put("/var/lib/livepatch/clean-shutdown", self.boot_id + "\n")
        self.boot(int(self.boot_id[:8], 16) + 1)

    # --- packages ---

    def patch(
        self,
        version: str,
        *modules: str,
        replace: bool = True,
        behave: str = "",
        name: str = "lp",
        vendor: bool = False,
        **more: str,
    ) -> InstalledPatch:
        """A package with ``modules`` (default: one named for the version), not installed yet."""
        found = []
        for order, module in enumerate(modules or (f"{name}_{version.replace('.', '_')}",)):
            build_id = hashlib.sha1(f"{name} {version} {module}".encode()).hexdigest()
            path = f"/usr/lib/modules/{RELEASE}/livepatch/{module}.ko"
            data = module_file(module, build_id, behave=behave, replace=str(int(replace)), **more)
            told = Manifest(
                module,
                RELEASE,
                build_id,
                replace=replace,
                order=order,
                cves=(f"CVE-2026-{1000 + order}",),
                functions=(Function("vmlinux", "cmdline_proc_show"),),
            )
            found.append(
                (
                    path,
                    data,
                    InstalledModule(
                        module,
                        self.paths.at(path),
                        hashlib.sha256(data).hexdigest(),
                        None if vendor else told,
                    ),
                )
            )
        patch = InstalledPatch(
            Nevra(name, "0", version, "1", "x86_64"),
            "livepatch",
            RELEASE,
            "patch",
            "kernel",
            tuple(item[2] for item in found),
            ("CVE-2026-1000",),
        )
        self._files: dict[str, list[tuple[str, bytes]]] = getattr(self, "_files", {})
        self._files[str(patch.nevra)] = [(path, data) for path, data, _ in found]
        return patch

    def install(self, *patches: InstalledPatch) -> None:
        """Make ``patches`` the installed ones: their files appear, the files of the others go."""
        shutil.rmtree(self.paths.at(f"/usr/lib/modules/{RELEASE}/livepatch"), ignore_errors=True)
        data = []
        for patch in patches:
            for path, content in self._files[str(patch.nevra)]:
                self.put(path, content)
            modules = [
                [m.name, m.path, m.digest, manifest.dump(m.manifest) if m.manifest else ""]
                for m in patch.modules
            ]
            data.append(
                {
                    "nevra": list(patch.nevra),
                    "cves": list(patch.cves),
                    "modules": modules,
                    "kind": patch.kind,
                    "scriptlet": patch.scriptlet,
                }
            )
        self.put("/packages.json", json.dumps(data))
        with open(self.paths.at("/var/lib/rpm/rpmdb.sqlite"), "ab") as file:
            file.write(b".")

    def packages(self) -> installed.Installed:
        """What the rpm database would answer; ``healthy`` unless the test says otherwise."""
        with open(self.paths.at("/packages.json")) as file:
            data = json.load(file) or []
        if os.path.exists(self.paths.at("/rpmdb-broken")):
            return installed.Installed((), False, "the test broke it", (), self.paths.at("/var/lib/rpm"))
        patches = []
        for item in data:
            modules = tuple(
                InstalledModule(n, p, d, manifest.parse(t) if t else None) for n, p, d, t in item["modules"]
            )
            patches.append(
                InstalledPatch(
                    Nevra(*item["nevra"]),
                    "livepatch",
                    RELEASE,
                    item["kind"],
                    "kernel",
                    modules,
                    tuple(item["cves"]),
                    scriptlet=item["scriptlet"],
                )
            )
        patches.sort(key=lambda patch: [int(part) for part in patch.nevra.version.split(".")], reverse=True)
        return installed.Installed(tuple(patches), True, "", (), self.paths.at("/var/lib/rpm"))

    def attach(self, monkeypatch: object) -> Host:
        """Put this host's kernel and packages in the place of the real ones."""
        for target, name, value in (
            # LIVEPATCH_ROOT stands for the machine itself here, not for an image of another one.
            (context, "Paths", lambda root, foreign=False: Paths(root)),
            (loader, "_run", self.run),
            (loader, "_write", self.write),
            (timers, "_run", self.systemd),
            (loader, "REMOVE_TIMEOUT", 0.05),
            (loader, "REVERSE_TIMEOUT", 0.05),
            (installed, "read", lambda *_: self.packages()),
            (installed, "folder", lambda *_: self.paths.at("/var/lib/rpm")),
            (installed, "damage", lambda *_: ""),
            (installed, "signer", lambda *_: "the test"),
            (
                installed,
                "holds",
                lambda _, nevra: any(str(p.nevra) == nevra for p in self.packages().patches),
            ),
        ):
            monkeypatch.setattr(target, name, value)  # type: ignore[attr-defined]
        return self

    # --- the kernel ---

    def _sysfs(self, module: str, name: str) -> str:
        return f"/sys/kernel/livepatch/{module}/{name}"

    def loaded(self) -> dict[str, tuple[str, str]]:
        """Every live patch in the kernel: (enabled, transition)."""
        found = {}
        for name in sorted(os.listdir(self.paths.klp)):
            values = []
            for attribute in ("enabled", "transition"):
                with open(self.paths.at(self._sysfs(name, attribute))) as file:
                    values.append(file.read().strip())
            found[name] = (values[0], values[1])
        return found

    def running(self) -> list[str]:
        """The modules in force."""
        return [name for name, values in self.loaded().items() if values == ("1", "0")]

    def modules(self) -> list[str]:
        """Every module in the kernel, patching or not."""
        return sorted(os.listdir(self.paths.modules))

    def run(
        self, argv: list[str], timeout: float, descriptors: tuple[int, ...] = (), still: object = None
    ) -> tuple[int, str]:
        return self.insmod(argv[1]) if argv[0] == "insmod" else self.rmmod(argv[1])

    def insmod(self, path: str) -> tuple[int, str]:
        from dnf_plugin_livepatch.host.kernel import module_file as modinfo

        with open(path, "rb") as file:
            info = modinfo.facts(file.fileno())
            file.seek(0)
            data = file.read()
        behave = data.split(b"\0behave=")[1].split(b"\0")[0].decode() if b"\0behave=" in data else ""
        replace = b"\0replace=1" in data
        if behave == "panic":
            raise Panic(info.name)
        if os.path.isdir(f"{self.paths.modules}/{info.name}"):
            return 1, f"insmod: ERROR: could not insert module {path}: File exists"
        if behave.startswith("refuse:"):
            return 1, f"insmod: ERROR: could not insert module {path}: {behave[7:]}"
        if any(values[1] == "1" for values in self.loaded().values()):
            return 1, f"insmod: ERROR: could not insert module {path}: Device or resource busy"
        self.put(f"/sys/module/{info.name}/initstate", "coming\n" if behave == "crash" else "live\n")
        self.put(f"/sys/module/{info.name}/refcnt", "0\n" if behave != "crash" else "1\n")
        if behave == "crash":
            return -9, ""
        self.put(
            f"/sys/module/{info.name}/notes/.note.gnu.build-id",
            note("ee" * 20) if behave == "liar" else note(info.build_id),
        )
        if behave == "oops":
            with open(self.paths.at("/proc/uptime"), encoding="ascii") as file:
                self.oops(info.name, float(file.read().split()[0]))
        stalls = behave == "stall" and not os.path.exists(self.paths.at("/no-stall"))
        self.put(self._sysfs(info.name, "transition"), "1\n" if stalls else "0\n")
        self.put(self._sysfs(info.name, "vmlinux/cmdline_proc_show,1/x"), "")
        self.put(self._sysfs(info.name, "enabled"), "1\n")
        if replace and not stalls:
            for other in self.loaded():
                if other != info.name:
                    shutil.rmtree(f"{self.paths.klp}/{other}")
        return 0, ""

    def oops(self, module: str, seconds: float) -> None:
        """The kernel oopses in ``module``, so many seconds after its start."""
        at = int(seconds * 1e6)
        with open(self.paths.at("/dev/kmsg"), "a", encoding="ascii") as file:
            file.write(f"4,1,{at},-;BUG: x in {module}\n4,2,{at},-; f+0x1/0x2 [{module}]\n")
        self.die()

    def die(self) -> None:
        """The kernel counts an oops, and sets the taint bit of its first one."""
        for path, change in (
            ("/sys/kernel/oops_count", lambda count: count + 1),
            ("/proc/sys/kernel/tainted", lambda bits: bits | 128),
        ):
            with open(self.paths.at(path), encoding="ascii") as file:
                self.put(path, f"{change(int(file.read()))}\n")

    def forget(self, module: str) -> None:
        """The ring buffer has gone on since the kernel oopsed in ``module``."""
        with open(self.paths.at("/dev/kmsg"), encoding="ascii") as file:
            lines = [line for line in file if not line.rstrip("]\n").endswith(module)]
        self.put("/dev/kmsg", "".join(lines))

    def rmmod(self, module: str) -> tuple[int, str]:
        if not os.path.isdir(f"{self.paths.modules}/{module}"):
            return 1, f"rmmod: ERROR: Module {module} is not currently loaded"
        if module in self.loaded():
            return 1, f"rmmod: ERROR: Module {module} is in use"
        shutil.rmtree(f"{self.paths.modules}/{module}")
        return 0, ""

    def write(self, path: str, value: str) -> str:
        module, attribute = path.rsplit("/", 2)[1:]
        atomic.step(f"before write {attribute}")
        if module not in self.loaded():
            return "No such file or directory"
        if attribute == "force":
            self.put(self._sysfs(module, "transition"), "0\n")
        elif value == "0":
            shutil.rmtree(f"{self.paths.klp}/{module}")
        atomic.step(f"after write {attribute}")
        return ""

    # --- systemd ---

    @property
    def watched(self) -> bool:
        """Whether the timer of the settle watch is running."""
        return os.path.exists(self.paths.at(self._timer(timers.SETTLE)))

    def _timer(self, name: str) -> str:
        return f"/run/systemd/transient/{name}"

    def systemd(self, _: Paths, argv: Sequence[str]) -> None:
        """Starts and stops our timers; what they would run is the test's to run."""
        atomic.step("before " + argv[0])
        name = timers.RETRY + ".timer" if argv[0] == "systemd-run" else argv[-1]
        if "stop" in argv:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.paths.at(self._timer(name)))
        else:
            self.put(self._timer(name), "")
        atomic.step("after " + argv[0])


def run(host: Host, **more: bool) -> ReconcileResult:
    """Reconcile once on ``host``."""
    return reconcile.reconcile(host.paths, host.config, **more)


def ids(result: ReconcileResult) -> list[str]:
    """The ids of the problems in ``result``."""
    return [problem.id for problem in result.problems]
