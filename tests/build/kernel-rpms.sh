#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# kernel-rpms.sh: run inside a root; packs the kernel of /lpwork/kernel as a vendor does, into /lpwork/kernel-rpms:
# a source RPM with Debian's whole source and a configuration, and a debuginfo RPM with the vmlinux.
set -euo pipefail
cd /lpwork
[ "$(cat kernel-rpms/complete 2>/dev/null)" = "$(cat kernel/complete)" ] && exit 0
full=$(cat kernel/release)
version=${full%%-*}
release=${full#*-}
tarball=$(echo /usr/src/linux-source-*.tar.xz)
rm -rf kernel-rpms
mkdir -p kernel-rpms/SOURCES
ln -s "$tarball" kernel-rpms/SOURCES
sed '/CONFIG_LOCALVERSION/d' kernel/.config > kernel-rpms/SOURCES/kernel-x86_64-small.config
tags="%global debug_package %{nil}
%global __os_install_post %{nil}
%global _build_id_links none
%global _source_payload w1.gzdio
%global _binary_payload w1.gzdio
Version: $version
Release: ${release%.x86_64}
Summary: The Linux kernel, for a test
License: GPL-2.0-only"
cat > kernel-rpms/kernel.spec <<SPEC
Name: kernel
$tags
Source0: ${tarball##*/}
Source1: kernel-x86_64-small.config
%description
The Linux kernel.
%prep
%setup -q -c
mv $(basename "$tarball" .tar.xz) linux-$full
sed -i 's/^SUBLEVEL = .*/SUBLEVEL = ${version##*.}/' linux-$full/Makefile
SPEC
cat > kernel-rpms/kernel-debuginfo.spec <<SPEC
Name: kernel-debuginfo
$tags
%description
The kernel's image before it is packed.
%install
install -D -m 0755 /lpwork/kernel/vmlinux %{buildroot}/usr/lib/debug/lib/modules/$full/vmlinux
%files
/usr/lib/debug/lib/modules/$full
SPEC
rpmbuild -bs --quiet --define '_topdir /lpwork/kernel-rpms' kernel-rpms/kernel.spec
rpmbuild -bb --quiet --define '_topdir /lpwork/kernel-rpms' kernel-rpms/kernel-debuginfo.spec
cp kernel/complete kernel-rpms/complete
