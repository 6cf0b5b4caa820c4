#!/usr/bin/env bash
# Recorded accesses and redeemed tokens a second, between real processes over kept-alive mTLS, with one key server
# following; beside them what the machine's own primitives give.
#
#   bench/load.sh [SECONDS] [CONNECTIONS...]      (10 seconds each, and 1, 16 and 128 connections unless told otherwise)
#
# Starts `datapact quickstart` in a new folder under TMPDIR, whose disk is measured too, and ends it again.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --quiet --release -p datapact -p datapact-client --bin datapact --example load
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
head -c 1000 /dev/urandom >"$dir/data.bin"
share=$("$release/datapact" --profile clinic --json share create "$dir/data.bin" --allow-anyone --times unlimited \
    --expires 1d | sed -n 's/.*"share":"\([^"]*\)".*/\1/p')
"$release/examples/load" "$share" "$@"

# Of the same machine: P-256 by the one library, which each call needs several times (openssl's own figures are near).
if command -v openssl >/dev/null; then
    openssl speed -seconds 2 ecdsap256 2>/dev/null | tail -n 2
fi
# The servers' processes, after the load.
for pid in $(pgrep -P "$server" || true); do
    printf '%s: %s KiB resident\n' "$(tr '\0' ' ' <"/proc/$pid/cmdline" | cut -d' ' -f2,3)" \
        "$(awk '/VmRSS/ {print $2}' "/proc/$pid/status")"
done
