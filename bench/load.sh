#!/usr/bin/env bash
# Recorded accesses and redeemed tokens a second, between real processes over kept-alive mTLS, with one key server
# following; beside them what the machine's own primitives give in the same run.
#
#   bench/load.sh [SECONDS] [CONNECTIONS,...]      (10 seconds each, and 1,16,128 connections unless told otherwise)
#
# Starts `datapact quickstart` in a new folder under TMPDIR, whose disk is measured too, and ends it again.
set -euo pipefail
cd "$(dirname "$0")/.."
source bench/site.sh
site_build load

site_start
share=$(site_share)
"$examples/load" rates "$share" "${1:-10}" "${2:-1,16,128}" $(site_processes)
