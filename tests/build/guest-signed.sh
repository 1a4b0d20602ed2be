#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The guest's whole life, with module.sig_enforce=1 and DNF's plugin, by `dnf upgrade` alone: packages of an
# unsigned module and of one by a key that the kernel does not know are refused, the signed ones come into force.
set -eux
grep -q 'module.sig_enforce=1' /proc/cmdline
mkdir -p /etc/yum.repos.d /etc/dnf/plugins
cp /product/etc/livepatch.conf /etc/dnf/plugins/
printf '[test]\nname=test\nbaseurl=file:///lpwork/repo0\ngpgcheck=1\ngpgkey=file:///lpwork/keys/rpm.asc\n' \
    > /etc/yum.repos.d/test.repo
upgrade() {
    repo=$1 ended=0
    shift
    dnf -y --releasever=1 --setopt=cachedir=/run/dnf --setopt=pluginpath=/product/dnf_plugin_livepatch/dnf-plugins \
        --setopt="test.baseurl=file:///lpwork/$repo" "$@" > /run/dnf.out 2>&1 || ended=$?
    cat /run/dnf.out
    return "$ended"
}
# refused REPO VERSION TEXT ID: dnf ends with 5 and says TEXT, status knows the problem as ID, the kernel refuses it too.
refused() {
    status=0
    upgrade "$1" upgrade || status=$?
    [ "$status" = 5 ]
    grep -q "$3" /run/dnf.out
    rpm -q "kpatch-patch-6_12_0-55_9_1-$2.el10_0"
    [ -z "$(ls /sys/kernel/livepatch)" ]
    (/product/bin/livepatch status --json || true) | grep "\"$4\""
    if insmod "/usr/lib/modules/$(uname -r)/livepatch/"*.ko; then exit 1; fi
    if grep -q cmdline=patched /proc/cmdline; then exit 1; fi
}

upgrade repo0 install kernel-core
refused unsigned 0-1 'module.sig_enforce is on' module-unsigned
refused foreign 0-2 'it does not know the key that signed the module' load-no-key

upgrade repo1 upgrade
rpm -q kpatch-patch-6_12_0-55_9_1-1-1.el10_0
grep cmdline=patched /proc/cmdline
if grep -q version=patched /proc/version; then exit 1; fi
first=$(ls /sys/kernel/livepatch)

upgrade repo2 upgrade
rpm -q kpatch-patch-6_12_0-55_9_1-2-1.el10_0
grep cmdline=patched /proc/cmdline
grep version=patched /proc/version
# Replaced, not stacked: the old patch is gone.
[ "$(ls /sys/kernel/livepatch)" != "$first" ]
[ "$(ls /sys/kernel/livepatch | wc -l)" = 1 ]
dmesg 2>/dev/null | grep -iE 'livepatch:|module verification|key' | tail -20 || true
/product/bin/livepatch status
