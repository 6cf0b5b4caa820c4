#!/usr/bin/env bash
# How fast management searches a large catalog, in the process itself: an answer over TLS takes an empty request's time
# more, see bench/load.sh.
#
#   bench/catalog.sh [SHARES]      (100000 unless told otherwise)
#
# The shares are published through management, by providers' signed policies; the database lies under TMPDIR.
set -euo pipefail
cd "$(dirname "$0")/.."
DATAPACT_SHARES=${1:-100000} cargo test --quiet --release -p datapact-server --lib mg_14_searches_over_many_shares -- --nocapture
