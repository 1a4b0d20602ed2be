#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The guest's whole life: subscribe, upgrade twice by plain DNF, and see the running kernel's functions change.
set -eux
mkdir -p /etc/yum.repos.d
printf '[test]\nname=test\nbaseurl=file:///lpwork/repo0\ngpgcheck=0\n' > /etc/yum.repos.d/test.repo
upgrade() {
    dnf -q -y --releasever=1 --setopt=cachedir=/run/dnf --setopt="test.baseurl=file:///lpwork/$1" "$2" ${3+"$3"}
    /product/bin/livepatch reconcile --json
}
version() { rpm -qa --qf '%{version}-%{release}\n' '*-patch-*'; }

upgrade repo0 install kernel-core
[ "$(version)" = 0-0 ]
[ -z "$(ls /sys/kernel/livepatch)" ]
if grep -q cmdline=patched /proc/cmdline; then exit 1; fi

upgrade repo1 upgrade
[ "$(version)" = 1-1 ]
grep cmdline=patched /proc/cmdline
if grep -q version=patched /proc/version; then exit 1; fi
first=$(ls /sys/kernel/livepatch)

upgrade repo2 upgrade
[ "$(version)" = 2-1 ]
grep cmdline=patched /proc/cmdline
grep version=patched /proc/version
# Replaced, not stacked: the old patch is gone.
[ "$(ls /sys/kernel/livepatch)" != "$first" ]
[ "$(ls /sys/kernel/livepatch | wc -l)" = 1 ]
dmesg 2>/dev/null | grep -i 'livepatch:' | tail -20 || true
/product/bin/livepatch status || true
