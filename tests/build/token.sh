#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# token.sh: run inside a root; puts the key of keys.sh that the kernel does not know into a PKCS#11 token made in
# software, once. SOFTHSM2_CONF and PKCS11_PROVIDER_MODULE lead OpenSSL there, keys/pin opens it.
set -euo pipefail
cd /lpwork/keys
[ -e pin ] && exit 0
rm -rf tokens
mkdir tokens
echo 'directories.tokendir = /lpwork/keys/tokens' > softhsm2.conf
export SOFTHSM2_CONF=/lpwork/keys/softhsm2.conf
softhsm2-util --init-token --free --label hsm --so-pin 1234 --pin 1234
softhsm2-util --import foreign.pem --token hsm --label klp --id 01 --pin 1234
printf 1234 > pin
