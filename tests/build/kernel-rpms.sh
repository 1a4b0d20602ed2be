#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# kernel-rpms.sh: run inside a root; packs the kernel of /lpwork/kernel as a vendor does, into /lpwork/kernel-rpms:
# a source RPM with Debian's whole source and a configuration, and a debuginfo RPM with the vmlinux.
set -euo pipefail
cd /lpwork
release=$(cat kernel/release)
[ "$(cat kernel-rpms/complete 2>/dev/null)" = "$(cat kernel/complete)" ] && exit 0
rm -rf kernel-rpms
mkdir -p kernel-rpms/SOURCES
tarball=$(echo /usr/src/linux-source-*.tar.xz)
ln -s "$tarball" kernel-rpms/SOURCES
sed '/CONFIG_LOCALVERSION/d' kernel/.config > kernel-rpms/SOURCES/kernel-x86_64-small.config
version=${release%%-*}
cat > kernel-rpms/kernel.spec <<SPEC
%global debug_package %{nil}
%global __os_install_post %{nil}
%global _build_id_links none
%global _source_payload w1.gzdio
%global _binary_payload w1.gzdio
%global source_tree $(basename "$tarball" .tar.xz)
%global kernel_release $release
Name: kernel
Version: $version
Release: $(tail -c +$((${#version} + 2)) <<< "${release%.x86_64}")
Summary: The Linux kernel
License: GPL-2.0-only
Source0: $(basename "$tarball")
Source1: kernel-x86_64-small.config
%description
The Linux kernel.
%package debuginfo
Summary: Debug information of the kernel
%description debuginfo
The kernel image before it is packed.
%prep
%setup -q -c
mv %{source_tree} linux-%{kernel_release}
sed -i 's/^SUBLEVEL = .*/SUBLEVEL = ${version##*.}/' linux-%{kernel_release}/Makefile
%build
%install
install -D -m 0755 /lpwork/kernel/vmlinux %{buildroot}/usr/lib/debug/lib/modules/%{kernel_release}/vmlinux
%files debuginfo
/usr/lib/debug/lib/modules/%{kernel_release}
SPEC
rpmbuild -bs --quiet --define '_topdir /lpwork/kernel-rpms' kernel-rpms/kernel.spec
rpmbuild -bb --quiet --noprep --define '_topdir /lpwork/kernel-rpms' kernel-rpms/kernel.spec
rm -rf kernel-rpms/BUILD
cp kernel/complete kernel-rpms/complete
