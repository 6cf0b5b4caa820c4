#!/usr/bin/env bash
# Wraps and unwraps a file on tmpfs, beside cp, age and gpg in the same run, and seals and opens in memory.
#
#   bench/package.sh [MIB] [ROUNDS]      (1024 MiB and 5 rounds unless told otherwise)
#
# Prints the best time of each, its rate and the process's peak memory. The rounds go through all programs in turn,
# so that a busy moment of the machine does not hit one alone; still, times mean little on a busy machine, least of all
# those of programs with two threads. Needs GNU time; age and gpg are left out if missing.
set -euo pipefail
cd "$(dirname "$0")/.."

mib=${1:-1024}
rounds=${2:-5}
cargo build --quiet --release -p datapact
cargo build --quiet --release -p datapact-core --example package
release=$(realpath "${CARGO_TARGET_DIR:-target}/release")
datapact=$release/datapact package=$release/examples/package

dir=$(mktemp -d /dev/shm/datapact-bench.XXXXXX)
export GNUPGHOME=$dir/gnupg
export DATAPACT_HOME=$dir/home
trap 'gpgconf --kill gpg-agent 2>/dev/null || true; rm -rf "$dir"' EXIT
mkdir -m 700 "$GNUPGHOME"
head -c "${mib}M" /dev/urandom >"$dir/data"
printf 'a passphrase for this run' >"$dir/passphrase"

names=() commands=()
bench() { names+=("$1"); commands+=("$2"); }
gpg_options="--batch --quiet --yes --pinentry-mode loopback --passphrase-file passphrase"
bench "cp" "cp data data.cp"
bench "wrap" "$datapact wrap data -o data.pkg --key-out key"
bench "unwrap" "$datapact unwrap data.pkg --key-file key -o data.out"
bench "wrap to a pipe" "$datapact wrap data -o - --key-out key2"
bench "unwrap to a pipe" "$datapact unwrap data.pkg --key-file key -o -"
if command -v age >/dev/null; then
    age-keygen -o "$dir/age.key" 2>/dev/null
    bench "age seal" "age -r $(age-keygen -y "$dir/age.key") -o data.age data"
    bench "age open" "age -d -i age.key -o data.out data.age"
fi
if command -v gpg >/dev/null; then
    bench "gpg seal" "gpg $gpg_options --symmetric --cipher-algo AES256 --compress-algo none -o data.gpg data"
    bench "gpg open" "gpg $gpg_options -d -o data.out data.gpg"
fi

cd "$dir"
declare -A best peak cpu
for ((round = 0; round < rounds; round++)); do
    for i in "${!names[@]}"; do
        name=${names[$i]}
        # Every program writes a new file: pages that are there already would be a gift.
        case $name in
        "cp") rm -f data.cp ;;
        "wrap") rm -f data.pkg key ;;
        "wrap to a pipe") rm -f key2 ;;
        "age seal") rm -f data.age ;;
        "gpg seal") rm -f data.gpg ;;
        *) rm -f data.out ;;
        esac
        start=$(date +%s%N)
        case $name in
        *pipe) /usr/bin/time -f "%M %U %S" -o rss ${commands[$i]} 2>said | cat >/dev/null ;;
        *) /usr/bin/time -f "%M %U %S" -o rss ${commands[$i]} >said 2>&1 ;;
        esac || { cat said >&2; exit 1; }
        took=$((($(date +%s%N) - start) / 1000))
        read -r memory user system < <(tail -1 rss)
        if [[ -z ${best[$name]:-} || $took -lt ${best[$name]} ]]; then
            best[$name]=$took cpu[$name]="$user $system"
        fi
        if [[ -z ${peak[$name]:-} || $memory -gt ${peak[$name]} ]]; then peak[$name]=$memory; fi
        case $name in "unwrap" | "age open" | "gpg open") cmp data data.out ;; esac
    done
done

printf '%s MiB on tmpfs, best of %s rounds, %s CPUs (%s)\n\n' "$mib" "$rounds" "$(nproc)" \
    "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)"
printf '| program | seconds | GB/s | user and system seconds | peak memory, MB |\n|---|---|---|---|---|\n'
for name in "${names[@]}"; do
    awk -v name="$name" -v cpu="${cpu[$name]/ / + }" -v us="${best[$name]}" -v kib="${peak[$name]}" -v mib="$mib" 'BEGIN {
        printf "| %s | %.2f | %.2f | %s | %.1f |\n", name, us / 1e6, mib * 1.048576e3 / us, cpu, kib * 1.024e-3 }'
done
printf '\nIn memory, %s MiB, best of 5:\n\n' "$mib"
rm -f data.* # The memory is needed.
"$package" memory "$mib"
