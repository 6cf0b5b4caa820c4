#!/usr/bin/env bash
# One access of a 1 MB package, request to plaintext, between real processes; then many consumers at once.
#
#   bench/access.sh [ROUNDS] [CONSUMERS]      (40 rounds and 32 consumers unless told otherwise)
#
# Starts `datapact quickstart` in a new folder under TMPDIR, whose disk is measured too, and ends it again.
set -euo pipefail
cd "$(dirname "$0")/.."
source bench/site.sh
site_build access

site_start
share=$(site_share 1000000)
"$examples/access" "$share" "$@"
