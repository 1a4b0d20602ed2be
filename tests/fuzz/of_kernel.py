# SPDX-License-Identifier: GPL-2.0-or-later
"""The host's parsers of the kernel: its log and dumps, its files in sysfs and procfs, its modules."""

from __future__ import annotations

import gzip
import lzma
import os
import struct
import subprocess

from dnf_plugin_livepatch.base.model import Function, LoadedPatch
from dnf_plugin_livepatch.host.files import advised
from dnf_plugin_livepatch.host.kernel import (
    boot_loader,
    harm,
    livepatches,
    module_file,
    oops,
    probes,
    running,
    signature,
    symbols,
    tasks,
)
from dnf_plugin_livepatch.host.packages import evr
from dnf_plugin_livepatch.host.reconcile import preflight
from dnf_plugin_livepatch.host.report import reboot
from tests.unit.support.fakehost import module_file as fake_module

from .target import CUT, PATHS, Target, file, files, text, valid

_LOADED = LoadedPatch("m", True, False, functions=(Function("vmlinux", "f", 0),))
_FUNCTIONS = (Function("vmlinux", "f"), Function("vmlinux", "f", 2), Function("m", "g", 1))
_MODULE = fake_module("m", "ab" * 20)
_NOTE = struct.pack("<III", 4, 20, 3) + b"GNU\0" + bytes(20)
_SIGNATURE = b"x" * 50 + struct.pack(">5B3xI", 0, 0, 2, 0, 0, 50) + signature.MAGIC
_FRAME = b"BUG: x\nRIP: 0010:f+0x1/0x2 [m]\n"
_PROC, _KLP = "/proc/7/task/7", "/sys/kernel/livepatch/m"
_PACKED = (
    lzma.compress(_MODULE),
    gzip.compress(_MODULE, mtime=0),
    subprocess.run(["zstd", "-q"], input=_MODULE, stdout=subprocess.PIPE, check=True).stdout,
)
_BOOT = (
    *("/boot/grub2/grubenv", "/boot/grub2/grub.cfg", "/boot/loader/entries/a-6.1-1.x86_64.conf"),
    *("/boot/efi/EFI/Linux/x", "/boot/loader/loader.conf"),
    *(boot_loader._EFI.format(name) for name in ("LoaderInfo", "LoaderEntryOneShot", "LoaderEntryDefault")),
)
_ADVICE = advised.Advised("b", "r", "n", "")
_ENTRY = b"title x\nversion 6.1-1.x86_64\nlinux /vmlinuz-6.1-1.x86_64\n"
_MENU = b"""set default="${saved_entry}"
submenu 'more' --id more {
menuentry 'x' --class y $menuentry_id_option 'x-1' {
 linux /vmlinuz-6.1-1.x86_64 ro
}
}
blscfg
"""


def _kernel() -> object:
    running.running(PATHS)
    running.uptime(PATHS)
    running.lockdown(PATHS)
    running.sig_enforce(PATHS)
    return running.environment(PATHS)


def _digest(path: str) -> str:
    descriptor = module_file.open_file(path)
    try:
        return module_file.digest(descriptor, "sha256")
    finally:
        os.close(descriptor)


def _live_patches() -> None:
    livepatches.read(PATHS)
    livepatches.coming(PATHS, "m")
    tasks.in_the_way(PATHS, "m")


def _symbols() -> None:
    found = symbols.same_place(PATHS, _FUNCTIONS)
    for function, names in found.items():
        assert function in _FUNCTIONS and function.name in names, found


def _tasks() -> object:
    told = preflight.busy(PATHS)
    assert told is None or told.text.isprintable(), told
    return told


TARGETS: dict[str, Target] = {
    "oops": Target(text(lambda data: oops.oops_in(data.split("\n"), ["m"])), (), _FRAME),
    "kmsg": Target(files(lambda: oops.of_this_boot(PATHS, ["m"], 1.0), "/dev/kmsg"), (),
                   b"4,1,2000000,-;BUG: x\n4,2,2000001,-;RIP: 0010:f+0x1/0x2 [m]\n SUBSYSTEM=x\n"),
    "pstore": Target(
        files(lambda: oops.of_past_boots(PATHS, ["m"], "2020-01-01"), "/sys/fs/pstore/dmesg-efi-1"),
        (),
        b"Oops#1 Part1\n<4>[   12.000001] BUG: x\n<4>[   12.000002]  f+0x1/0x2 [m]\n",
    ),
    "journald": Target(
        text(lambda data: oops.oops_in(map(oops._message, data.split("\n")), ["m"])),
        (),
        b'{"MESSAGE":[66,85,71,58,32,120]}\n{"MESSAGE":" f+0x1/0x2 [m]"}',
    ),
    "kernel's counts": Target(
        files(lambda: harm.read(PATHS), "/proc/sys/kernel/tainted", "/sys/kernel/oops_count",
              "/sys/kernel/warn_count"), (), CUT.join((b"12288\n", b"0\n", b"1\n"))
    ),
    "kernel": Target(
        files(_kernel, "/proc/sys/kernel/osrelease", "/proc/sys/kernel/random/boot_id", "/sys/kernel/notes",
              "/proc/cmdline", "/proc/uptime", "/sys/kernel/security/lockdown", "/proc/1/environ",
              "/sys/module/module/parameters/sig_enforce"), (),
        CUT.join((b"6.1.0\n", b"01234567-0123-0123-0123-0123456789ab\n", _NOTE,
                  b"ro livepatch.enable=0", b"12.5 1.0\n", b"none [integrity]\n", b"a=b\0", b"Y\n")),
    ),
    "boot time": Target(files(lambda: reboot.boot_time(PATHS), "/proc/stat"), (), b"cpu 1\nbtime 17000\n"),
    "probes": Target(
        files(lambda: (probes.on_functions(PATHS, _LOADED), probes.redirected(PATHS)),
              "/sys/kernel/debug/kprobes/list", "/sys/kernel/tracing/kprobe_events",
              "/sys/kernel/tracing/enabled_functions"), (),
        CUT.join((b"ffffffff9d2b4a50  k  f+0x0    [FTRACE]\n", b"p:kprobes/watch f+4 arg=%di\n",
                  b"f (2) R I D  tramp: x direct-->bpf_trampoline_64+0x0/0x79\n")),
    ),
    "symbols": Target(
        files(_symbols, "/proc/kallsyms"), (),
        b"ffffffff81000000 T __do_sys_f\nffffffff81000000 T f\n0000000000000000 t g\n"
        b"ffffffffc0000000 t g\t[m]\n",
    ),
    "live patches": Target(
        files(_live_patches,
              _KLP + "/enabled", _KLP + "/transition", _KLP + "/replace", _KLP + "/stack_order",
              _KLP + "/vmlinux/patched", "/sys/module/m/srcversion",
              "/sys/module/m/notes/.note.gnu.build-id"), (),
        CUT.join((b"1\n", b"0\n", b"1\n", b"1\n", b"1\n", b"AB\n", _NOTE)),
    ),
    "tasks": Target(
        files(_tasks, _KLP + "/transition", _KLP + "/enabled", _PROC + "/patch_state", _PROC + "/comm",
              _PROC + "/stack", _PROC + "/stat", "/sys/devices/system/cpu/isolated"), (),
        CUT.join((b"1\n", b"1\n", b"0\n", b"sshd\n", b"[<0>] f+0x1/0x2\n",
                  b"7 (a) b) " + b"1 " * 36 + b"3 0\n", b"2-3,5\n")),
    ),
    "module": Target(file(module_file.read, "/m.ko"), (module_file.ModuleError,), _MODULE),
    "module's build id": Target(file(module_file.own_build_id, "/n.ko"), (), _MODULE, _PACKED),
    "module's digest": Target(file(_digest, "/d.ko"), (), _MODULE, slow=10),
    "boot loader": Target(
        files(lambda: boot_loader.next_kernel(PATHS, evr.compare), *_BOOT), (),
        CUT.join((b"# GRUB Environment Block\nsaved_entry=a-6.1-1.x86_64\nnext_entry=1>0\n", _MENU, _ENTRY)),
        (CUT.join((b"", b"", _ENTRY, b"", b"default a-*\n",
                   *(b"\7\0\0\0" + word.encode("utf-16-le") for word in ("systemd-boot 256", "", "a-*")))),),
        slow=4,
    ),
    "advised reboot": Target(
        files(lambda: advised.in_vain(PATHS, _ADVICE),
              "/var/lib/livepatch/reboot.json"),
        (), b'{"schema":1,"boot_id":"c","release":"r","newer":"n","expected":""}',
    ),
    "notes": Target(
        lambda data: module_file.note_build_id(data, "<"), (),
        _NOTE,
    ),
    "signature": Target(
        signature.signer, (), valid("signature"), (_SIGNATURE,)
    ),
    "keys": Target(
        files(lambda: signature.unknown(PATHS, signature.Signer("Red Hat", "ab12")), "/proc/keys"), (),
        b"0a1b2c3d I------     1 perm 1f0b0000     0     0 asymmetri Red Hat: ab12: X509.rsa ab12 []\n",
    ),
}  # fmt: skip
