#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# repos.sh RELEASE REPO...: run inside a root; adds a stand-in for the package of the kernel RELEASE to the folder
# repo0 of /lpwork, signed where there is a key, and makes that and every REPO there ready for DNF.
set -euo pipefail
cd /lpwork
version=${1%%-*}
release=${1#*-}
cat > kernel.spec <<SPEC
Name: kernel-core
Version: $version
Release: ${release%.x86_64}
Summary: Stand-in for the package of the running kernel
License: GPL-2.0-only
Provides: kernel-uname-r = $1
%description
Provides what live patches require.
%files
SPEC
shift
rpmbuild -bb --quiet --define '_topdir /lpwork/rpm' --define '_rpmdir /lpwork/repo0' kernel.spec
if [ -e keys/rpm.asc ]; then
    GNUPGHOME=/lpwork/keys/gnupg rpmsign --define '_gpg_name test@example.invalid' --define '__gpg /usr/bin/gpg' \
        --addsign repo0/*/kernel-core-*.rpm
fi
for repo in repo0 "$@"; do
    createrepo_c -q --excludes '*.src.rpm' "$repo"
done
