# SPDX-License-Identifier: GPL-2.0-or-later
"""Real hosts on a real kernel: compressed modules, klp_state, a slow load, a container, a pinned boot."""

from __future__ import annotations

import json
import time

import pytest

from tests.vm.support import loading
from tests.vm.support.demo_host import Host
from tests.vm.support.loaded import (
    configure,
    failed,
    ids,
    in_force,
    modules,
    patches,
    put,
    record,
    result,
    rpm,
)
from vm.qemu import Machine

PACKED = (loading.XZ, loading.ZSTD, loading.GZIP)
#: The rights that container engines leave (the default of Docker, containerd and buildah).
RIGHTS = [
    f"CAP_{name}"
    for name in (
        "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID"
        " SETPCAP SETUID SYS_CHROOT"
    ).split()
]
ENTRY = "title Linux {0}\nversion {0}\nlinux /boot/vmlinuz-{0}\n"
NEXT = (
    "python3 -c 'from dnf_plugin_livepatch.base.paths import Paths;"
    " from dnf_plugin_livepatch.host.kernel import boot_loader;"
    " from dnf_plugin_livepatch.host.packages.evr import compare;"
    " print(boot_loader.next_kernel(Paths(), compare).release)'"
)
ASK = (
    "python3 -c 'from dnf_plugin_livepatch.base.paths import Paths;"
    " from dnf_plugin_livepatch.host import after_transaction;"
    " print(after_transaction.ask(Paths(), 3, None))'"
)
MACHINE = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def stocked(booted: Host) -> Host:
    """The booted host with the packages at hand."""
    booted.reset()
    for patch in (loading.V1, *PACKED, loading.STATEFUL, loading.SLOW):
        loading.put(booted.machine, patch)
    booted.machine.save("field")
    return booted


@pytest.fixture
def machine(stocked: Host) -> Machine:
    stocked.reset("field")
    return stocked.machine


def test_compressed_modules_and_a_downgrade_that_the_kernel_refuses(machine: Machine) -> None:
    """The kernel takes what was unpacked; what it says about klp_state is told, and the remedy holds."""
    folder = "/usr/lib/modules/$(uname -r)"
    for patch in PACKED:
        rpm(machine, patch)
        assert in_force(machine, patch) and modules(machine) == [patch.module], result(machine)
        (name,) = machine.ok(f"ls {folder}/livepatch").split()
        assert name.startswith(patch.module + ".ko.")
        copy = machine.ok(f"head -c 4 {folder}/livepatch-kept/{patch.module}.ko | od -An -c").split()
        assert copy == ["177", "E", "L", "F"] and not failed(machine)
    machine.ok("livepatch status")

    rpm(machine, loading.STATEFUL)
    assert in_force(machine, loading.STATEFUL)
    rpm(machine, loading.V1, "--oldpackage")
    assert patches(machine) == {loading.STATEFUL.module: "10"} and "load-incompatible" in ids(machine)
    (told,) = [one for one in result(machine)["problems"] if one["id"] == "load-incompatible"]
    words = f"Livepatch patch ({loading.V1.module}) is not compatible with the already installed livepatches"
    assert words in told["text"]
    machine.run(f"livepatch unload {loading.STATEFUL.module}")
    machine.ok("livepatch reconcile")
    assert in_force(machine, loading.V1)
    rpm(machine, loading.STATEFUL)
    assert in_force(machine, loading.STATEFUL), "the next upgrade brings the newer one back"


def test_a_slow_load_is_waited_for_and_told_and_never_undone(machine: Machine) -> None:
    """It takes longer than two minutes, as on a busy guest; the reconcile that waits for it is killed."""
    configure(machine)
    start = time.monotonic()
    machine.ok(f"rpm -U --nosignature /root/{loading.SLOW.module}.rpm")
    state = f"/sys/module/{loading.SLOW.module}/initstate"
    machine.ok(f"for i in $(seq 1500); do grep -qs coming {state} && exit 0; sleep 0.2; done; exit 1")
    answer = machine.ok(ASK, 60)  # as dnf asks behind its transaction
    assert "load-goes-on" in answer and "the kernel has been loading it since" in answer, answer
    told = "journalctl -b -u livepatch-reconcile --grep 'the kernel has been loading it for'"
    machine.ok(f"for i in $(seq 200); do {told} && exit 0; sleep 0.5; done; exit 1")
    machine.ok("kill -KILL $(systemctl show -P MainPID livepatch-reconcile); sleep 1; pgrep -x insmod")
    assert "coming" in machine.ok(f"cat {state}")
    done = machine.run("livepatch reconcile", 400)
    assert time.monotonic() - start > 120 and done.status == 0, done
    assert in_force(machine, loading.SLOW) and record(machine, loading.SLOW)["state"] == "settling"
    assert not machine.ok("dmesg | grep -i 'oops' || true")


def test_the_build_of_an_image_neither_adds_a_patch_nor_fails(stocked: Host) -> None:
    """RUN dnf -y upgrade in a container of crun, which leaves no mark, on a kernel with live patching."""
    stocked.reset()
    machine = stocked.machine
    plain = ["nosuid", "noexec", "nodev"]
    mounts = [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "none", "source": "/dev", "options": ["rbind"]},
        {"destination": "/sys", "type": "none", "source": "/sys", "options": ["rbind", *plain, "ro"]},
        {"destination": "/run", "type": "tmpfs", "source": "tmpfs", "options": plain},
        {"destination": "/srv/demo", "type": "none", "source": "/srv/demo", "options": ["rbind", "ro"]},
    ]
    config = {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["sh", "-c", "grep CapBnd /proc/self/status; dnf -y upgrade; echo ended with $?"],
            "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"],
            "cwd": "/",
            "capabilities": {kind: RIGHTS for kind in ("bounding", "effective", "permitted")},
        },
        "root": {"path": "rootfs"},
        "mounts": mounts,
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")]},
    }
    put(machine, "/srv/image/config.json", json.dumps(config))
    machine.ok("mkdir -p /srv/image/rootfs && mount --bind / /srv/image/rootfs")
    done = machine.run("crun --cgroup-manager=disabled run -b /srv/image build", 600)
    text = done.out + done.err
    assert "CapBnd:\t00000000a80425fb" in text, text
    assert "ended with 0" in text and "no kernel module can be loaded from here" in text, text
    assert stocked.patch not in machine.ok("rpm -qa") and stocked.new.release in machine.ok("rpm -qa"), text
    assert patches(machine) == {}


def test_a_reboot_is_advised_only_where_it_changes_the_kernel(patched: Host) -> None:
    """GRUB's own grub-editenv writes the default; then a real reboot comes back into the same kernel."""
    machine = patched.machine

    def check() -> tuple[int, str]:
        done = machine.run("livepatch reboot-check")
        return done.status, done.out

    assert check()[0] == 100
    for kernel in (patched.old, patched.new):
        path = f"/boot/loader/entries/{MACHINE}-{kernel.release}.conf"
        put(machine, path, ENTRY.format(kernel.release))
    machine.ok("mkdir -p /boot/grub && grub-editenv /boot/grub/grubenv create")
    edit = "grub-editenv /boot/grub/grubenv"
    machine.ok(f"{edit} set saved_entry={MACHINE}-{patched.old.release}")
    code, text = check()
    assert code == 0 and f"set to start kernel {patched.old.release} again" in text, text
    assert "systemctl reboot" not in machine.run("livepatch status").out
    machine.ok(f"{edit} set next_entry={MACHINE}-{patched.new.release}")
    assert check()[0] == 100, "grub-reboot chose the newer one for once"
    machine.ok(f"{edit} unset next_entry; {edit} unset saved_entry")
    assert check()[0] == 100, "the newest entry comes first"
    patched.reboot()
    code, text = check()
    assert code == 102 and "came back into the same kernel" in text, text
    machine.ok("rm -rf /boot/loader/entries; grub-mkconfig -o /boot/grub/grub.cfg")
    print(machine.ok("cat /boot/grub/grub.cfg; ls -l /boot"), machine.run(NEXT))
    assert machine.ok(NEXT).strip() == patched.new.release, "its menu begins with the newest"
