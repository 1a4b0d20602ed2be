#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# root.sh SUITE DIR PACKAGE...: a Debian root of SUITE in DIR with the packages, made once.
# The mirror is the one this machine's apt already uses.
set -euo pipefail
suite=$1 dir=$2
shift 2
[ "$(cat "$dir/.complete" 2>/dev/null)" = "$*" ] && exit 0
# shellcheck disable=SC2016
mirror=$(apt-get indextargets --format '$(REPO_URI) $(LABEL)' 'Created-By: Packages' |
    awk '/ Debian$/ { print $1; exit }')
[ -n "$mirror" ] || { echo "apt knows no Debian mirror: run 'apt-get update' first" >&2; exit 1; }
# A machine whose clock or mirror is off has said so to its own apt; say the same here.
eval "$(apt-config shell valid Acquire::Check-Valid-Until date Acquire::Check-Date)"
rm -rf "$dir"
mkdir -p "$(dirname "$dir")"
mmdebstrap --quiet --variant=apt --mode=root --components=main --include="$(IFS=,; echo "$*")" \
    --aptopt="Acquire::Check-Valid-Until \"${valid:-true}\"" --aptopt="Acquire::Check-Date \"${date:-true}\"" \
    --aptopt='Acquire::Languages "none"' --dpkgopt=path-exclude='/usr/share/doc/*' \
    "$suite" "$dir" "$mirror"
echo "$*" > "$dir/.complete"
