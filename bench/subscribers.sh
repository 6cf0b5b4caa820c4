#!/usr/bin/env bash
# What subscribers cost who follow the publications by server-sent events, and how soon each hears of a new share.
#
#   bench/subscribers.sh [COUNT]      (1000 unless told otherwise, which is as many as management admits)
set -euo pipefail
cd "$(dirname "$0")/.."
source bench/site.sh
site_build load
ulimit -n 4096
site_start
share=$(site_share)
"$examples/load" subscribers "$share" "${1:-1000}" $(site_processes)
