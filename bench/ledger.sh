#!/usr/bin/env bash
# How fast the embedded ledger records an access with few and with many entries, how large its database is, and how fast
# a follower copies it.
#
#   bench/ledger.sh [ENTRIES...]      (1000 and 1000000 unless told otherwise)
#
# The ledgers lie in a new folder under TMPDIR, of some 2 KB an entry and as much for the copy.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --quiet --release -p datapact-ledger --features testing --example ledger_size
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$(realpath "${CARGO_TARGET_DIR:-target}/release")/examples/ledger_size" "$folder" "${@:-1000}" $([[ $# -gt 0 ]] || echo 1000000)
