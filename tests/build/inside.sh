#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# inside.sh ROOT WORK COMMAND...: run COMMAND in the Debian root ROOT, with the folder WORK at /lpwork, this
# source tree read-only at /product and a mount namespace of its own that vanishes with it.
set -euo pipefail
root=$1 work=$2
shift 2
product=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$root/lpwork" "$root/product" "$work"
# shellcheck disable=SC2016
exec unshare --mount --pid --fork --kill-child /bin/bash -c '
    set -e
    root=$1 work=$2 product=$3
    shift 3
    mount --bind "$work" "$root/lpwork"
    mount --bind -o ro "$product" "$root/product"
    mount -t proc proc "$root/proc"
    mount --bind /dev "$root/dev"
    exec chroot "$root" /usr/bin/env -i PATH=/usr/lib/ccache:/usr/sbin:/usr/bin:/sbin:/bin HOME=/lpwork \
        LANG=C.UTF-8 TERM=dumb CCACHE_DIR=/lpwork/ccache PYTHONPATH=/product PYTHONDONTWRITEBYTECODE=1 \
        JOBS="${JOBS:-1}" SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-1790000000}" "$@"
' inside "$root" "$work" "$product" "$@"
