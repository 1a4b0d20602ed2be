#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# repos.sh RELEASE: run inside a root; makes /work/repo0 (a stand-in for the kernel's package), repo1 and repo2 ready.
set -euo pipefail
cd /work
cat > kernel.spec <<SPEC
Name: kernel-core
Version: 1
Release: 1
Summary: Stand-in for the package of the running kernel
License: GPL-2.0-only
BuildArch: noarch
Provides: kernel-uname-r = $1
%description
Provides what live patches require.
%files
SPEC
rpmbuild -bb --quiet --define '_topdir /work/rpm' --define '_rpmdir /work/repo0' kernel.spec
for number in 0 1 2; do
    createrepo_c -q "/work/repo$number"
done
