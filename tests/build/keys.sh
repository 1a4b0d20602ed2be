#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# keys.sh: run inside a root; makes throw-away keys in /lpwork/keys, once: a GPG key for packages, and a module key
# that the kernel does not know. The key that the kernel knows comes out of its build.
set -euo pipefail
cd /lpwork
[ -e keys/rpm.asc ] && exit 0
rm -rf keys
mkdir -m 0700 keys keys/gnupg
export GNUPGHOME=/lpwork/keys/gnupg
openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj '/CN=no key of this kernel' \
    -keyout keys/foreign.pem -out keys/foreign.x509
gpg --batch --passphrase '' --quick-gen-key test@example.invalid rsa3072 sign never
gpg --batch --armor --export test@example.invalid > keys/rpm.asc.new
mv keys/rpm.asc.new keys/rpm.asc
