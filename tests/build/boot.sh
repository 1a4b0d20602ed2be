#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# boot.sh ROOT WORK BZIMAGE SCRIPT [PARAMETER...]: boot the kernel BZIMAGE with the PARAMETERs on the Debian root
# ROOT, copy on write, with WORK at /lpwork; run WORK/SCRIPT in it as the only program and end with its exit status.
# A guest that never comes to its end leaves no status, which is a failure too.
set -euo pipefail
root=$1 work=$2 image=$3 script=$4
shift 4
product=$(cd "$(dirname "$0")/../.." && pwd)
rm -f "$work/guest.status"
cat > "$work/guest.init" <<'INIT'
#!/bin/sh
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
cd /mnt/root
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t devtmpfs devtmpfs dev
mount -t tmpfs tmpfs run
mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 work lpwork
mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,ro product product
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 PYTHONPATH=/product PYTHONDONTWRITEBYTECODE=1
# A root of its own, because live patches are skipped in a chroot. Not every Debian has pivot_root(8).
/usr/bin/python3 -c 'import ctypes; ctypes.CDLL(None).pivot_root(b".", b"mnt")'
/bin/sh "/lpwork/$(sed -n 's/.*guest_script=\([^ ]*\).*/\1/p' /proc/cmdline)"
echo $? > /lpwork/guest.status
sync
exec /usr/bin/python3 -c 'import ctypes; ctypes.CDLL(None).reboot(0x1234567)'
INIT
chmod +x "$work/guest.init"
install -m 0755 "$work/guest.init" "$root/guest.init"
# Software emulation is slower than KVM and the same everywhere, nested or not.
timeout "${BOOT_TIMEOUT:-1800}" qemu-system-x86_64 -accel tcg -cpu max -m 2048 -smp 1 -nodefaults -display none \
    -no-reboot -serial stdio -kernel "$image" \
    -append "console=ttyS0 panic=-1 rootfstype=9p root=/dev/root rootflags=trans=virtio,version=9p2000.L,msize=262144 ro init=/guest.init guest_script=$script $*" \
    -fsdev "local,id=root,path=$root,security_model=none,readonly=on,multidevs=remap" -device virtio-9p-pci,fsdev=root,mount_tag=/dev/root \
    -fsdev "local,id=work,path=$work,security_model=none,multidevs=remap" -device virtio-9p-pci,fsdev=work,mount_tag=work \
    -fsdev "local,id=product,path=$product,security_model=none,readonly=on,multidevs=remap" -device virtio-9p-pci,fsdev=product,mount_tag=product \
    < /dev/null
[ -e "$work/guest.status" ] || { echo "the guest left no status" >&2; exit 125; }
exit "$(cat "$work/guest.status")"
