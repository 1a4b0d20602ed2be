#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# kernel.sh EXTRA_CONFIG: run inside a root; unpacks Debian's linux-source to /work/linux and builds the small
# kernel there, once. EXTRA_CONFIG adds what the engine needs.
set -euo pipefail
cd /work
[ -e kernel.complete ] && exit 0
tarball=$(echo /usr/src/linux-source-*.tar.xz)
rm -rf linux pristine
mkdir linux
tar -xf "$tarball" -C linux --strip-components=1
cd linux
cat /product/tests/build/kernel.config "/product/tests/build/$1" > fragment.config
make -s tinyconfig
# The last word on an option wins; olddefconfig settles what depends on it.
cat fragment.config >> .config
make -s olddefconfig
while read -r line; do
    case $line in
    CONFIG_*=*) grep -qxF "$line" .config || { echo "the kernel does not take $line" >&2; exit 1; } ;;
    esac
done < fragment.config
start=$SECONDS
export KBUILD_BUILD_TIMESTAMP=@${SOURCE_DATE_EPOCH} KBUILD_BUILD_USER=build KBUILD_BUILD_HOST=build
make -s -j"${JOBS:-1}" bzImage modules
echo "kernel $(make -s kernelrelease) built in $((SECONDS - start)) s" | tee ../kernel.time
make -s kernelrelease > ../kernel.release
touch ../kernel.complete
