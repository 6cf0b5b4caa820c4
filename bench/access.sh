#!/usr/bin/env bash
# One access of a 1 MB package, request to plaintext, between real processes; then many consumers at once.
#
#   bench/access.sh [ROUNDS] [CONSUMERS]      (40 rounds and 32 consumers unless told otherwise)
#
# Starts `datapact quickstart` in a new folder under TMPDIR, whose disk is measured too, and ends it again.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --quiet --release -p datapact -p datapact-client --bin datapact --example access
release=$(realpath "${CARGO_TARGET_DIR:-target}/release")

dir=$(mktemp -d)
server=
trap '[[ -z $server ]] || { kill -INT "$server"; wait "$server" || true; }; rm -rf "$dir"' EXIT
"$release/datapact" quickstart --data "$dir/site" >"$dir/log" 2>&1 &
server=$!
until grep -q "keep running until Ctrl-C" "$dir/log"; do
    kill -0 "$server" 2>/dev/null || { cat "$dir/log" >&2; exit 1; }
    sleep 0.2
done

export DATAPACT_HOME=$dir/site/home
head -c 1000000 /dev/urandom >"$dir/data.bin"
share=$("$release/datapact" --profile clinic --json share create "$dir/data.bin" --allow-anyone --times unlimited \
    --expires 1d | sed -n 's/.*"share":"\([^"]*\)".*/\1/p')
"$release/examples/access" "$share" "$@"
