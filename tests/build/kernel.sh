#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# kernel.sh EXTRA_CONFIG [SUBLEVEL]: run inside a root; unpacks Debian's linux-source to /lpwork/linux and builds the
# small kernel there, once. EXTRA_CONFIG adds what the engine needs and names the kernel; SUBLEVEL is the third number
# of its version, where that is to be another vendor's. The kernel that boots, and the files that the engines
# compare with, are kept in /lpwork/kernel, because the engines build in the tree itself.
set -euo pipefail
cd /lpwork
cat /product/tests/build/kernel.config "/product/tests/build/$1" > fragment.config
wanted="${2-} $(sha256sum < fragment.config)"
[ "$(cat kernel/complete 2>/dev/null)" = "$wanted" ] && exit 0
tarball=$(echo /usr/src/linux-source-*.tar.xz)
rm -rf linux kernel
mkdir linux kernel
tar -xf "$tarball" -C linux --strip-components=1
cd linux
[ -z "${2-}" ] || sed -i "s/^SUBLEVEL = .*/SUBLEVEL = $2/" Makefile
make -s tinyconfig
# The last value of an option wins; olddefconfig sets the options that depend on it.
cat ../fragment.config >> .config
make -s olddefconfig
while read -r line; do
    case $line in
    CONFIG_*=*) grep -qxF "$line" .config || { echo "the kernel does not take $line" >&2; exit 1; } ;;
    esac
done < ../fragment.config
start=$SECONDS
export KBUILD_BUILD_TIMESTAMP=@${SOURCE_DATE_EPOCH} KBUILD_BUILD_USER=build KBUILD_BUILD_HOST=build
make -s -j"${JOBS:-1}" bzImage modules
cp arch/x86/boot/bzImage vmlinux .config Module.symvers ../kernel
[ ! -e certs/signing_key.pem ] || cp certs/signing_key.pem certs/signing_key.x509 ../kernel
echo "kernel $(make -s kernelrelease) built in $((SECONDS - start)) s"
make -s kernelrelease > ../kernel/release
echo "$wanted" > ../kernel/complete
