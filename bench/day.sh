#!/usr/bin/env bash
# The memory of each server while so many accesses are recorded, each redeemed once, over 16 kept-alive connections.
#
#   bench/day.sh [ACCESSES]      (500000 unless told otherwise: a million requests)
set -euo pipefail
cd "$(dirname "$0")/.."
source bench/site.sh
site_build load
site_start
share=$(site_share)
"$examples/load" day "$share" "${1:-500000}" $(site_processes)
