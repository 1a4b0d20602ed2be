#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# root.sh SUITE DIR PACKAGE...: a Debian root of SUITE in DIR with the packages, made once.
# The mirror is that of this machine's apt. The root is made aside and renamed when it is whole. A user of
# DIR holds a shared lock on DIR.lock, so that no root is replaced while in use.
set -euo pipefail
suite=$1 dir=$2
shift 2
made() { [ "$(cat "$dir/.complete" 2>/dev/null)" = "$*" ]; }
made "$@" && exit 0
mkdir -p "$(dirname "$dir")"
exec 9>> "$dir.lock"
flock 9
made "$@" && exit 0
# shellcheck disable=SC2016
mirror=$(apt-get indextargets --format '$(REPO_URI) $(LABEL)' 'Created-By: Packages' |
    awk '/ Debian$/ { print $1; exit }')
[ -n "$mirror" ] || { echo "apt knows no Debian mirror: run 'apt-get update' first" >&2; exit 1; }
# Where this machine's clock or mirror is off, its apt has settings for that, which are used here too.
eval "$(apt-config shell valid Acquire::Check-Valid-Until date Acquire::Check-Date)"
rm -rf "$dir.new"
# In namespaces of its own: no daemon that a package starts and no mount stays behind.
unshare --mount --mount-proc --pid --fork --kill-child mmdebstrap --quiet --variant=apt --mode=root --components=main --include="$(IFS=,; echo "$*")" \
    --aptopt="Acquire::Check-Valid-Until \"${valid:-true}\"" --aptopt="Acquire::Check-Date \"${date:-true}\"" \
    --aptopt='Acquire::Languages "none"' --dpkgopt=path-exclude='/usr/share/doc/*' \
    "$suite" "$dir.new" "$mirror" 9>&-
echo "$*" > "$dir.new/.complete"
rm -rf "$dir"
mv "$dir.new" "$dir"
