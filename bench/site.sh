# For the benchmarks: a site of three servers by `datapact quickstart`, in a new folder under TMPDIR, ended with the shell.
#
#   site_build EXAMPLE...   builds the program, and examples of the client's crate
#   site_start              starts the servers, with limits out of reach; $site is the folder, DATAPACT_HOME the users' home
#   site_share [BYTES]      makes a share of random bytes (1000) that everybody may access without limit, and prints its id
#   site_processes          prints NAME=PID of each server

site_build() {
    cargo build --quiet --release -p datapact -p datapact-client --bin datapact $(printf -- '--example %s ' "$@")
    local release
    release=$(realpath "${CARGO_TARGET_DIR:-target}/release")
    datapact=$release/datapact examples=$release/examples
}

site_start() {
    site=$(mktemp -d) quickstart=
    local config
    trap '[[ -z $quickstart ]] || { kill -INT "$quickstart"; wait "$quickstart" || true; }; rm -rf "$site"' EXIT
    "$datapact" quickstart --exit --data "$site/site" >"$site/log" 2>&1
    # One user stands for many: what a server can do is measured, not what one user may take.
    for config in "$site"/site/servers/*/*.toml; do
        cat >>"$config" <<LIMITS

[server.limits]
connections = 20000
connections_of_address = 20000
connections_of_identity = 20000
handshakes = 20000
handshakes_a_second = 100000
calls = 20000
calls_a_second = 100000
event_streams = 1000
LIMITS
    done
    "$datapact" quickstart --data "$site/site" >"$site/log" 2>&1 &
    quickstart=$!
    until grep -q "keep running until Ctrl-C" "$site/log"; do
        kill -0 "$quickstart" 2>/dev/null || { cat "$site/log" >&2; exit 1; }
        sleep 0.2
    done
    export DATAPACT_HOME=$site/site/home
}

site_share() {
    head -c "${1:-1000}" /dev/urandom >"$site/data.bin"
    "$datapact" --profile clinic --json share create "$site/data.bin" --allow-anyone --times unlimited --expires 1d |
        sed -n 's/.*"share":"\([^"]*\)".*/\1/p'
}

site_processes() {
    local pid
    for pid in $(pgrep -P "$quickstart"); do
        printf '%s=%s\n' "$(tr '\0' ' ' <"/proc/$pid/cmdline" | cut -d' ' -f3)" "$pid"
    done
}
