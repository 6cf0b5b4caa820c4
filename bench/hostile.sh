#!/usr/bin/env bash
# How long a user's `open` takes beside a thousand hostile clients, against its usual time: clients that are idle, slow, never
# read an answer or never finish a call, from five loopback addresses, the user's among them. Once with the default limits
# on connections, once with limits that they exhaust.
#
#   bench/hostile.sh [SECONDS]      (60 unless told otherwise)
#
# Everything is on loopback and ends by itself.
set -euo pipefail
cd "$(dirname "$0")/.."
DATAPACT_STORM=${1:-60} cargo test --release -p datapact --test load_limits \
    a_thousand_hostile_clients_leave_an_honest_user_served -- --nocapture
