#!/usr/bin/env bash
# How fast tables are desensitized on one thread, beside the bare primitives, and beside Presidio on the same table.
#
#   bench/desensitize.sh [MIB] [PRESIDIO_RECORDS]      (512 MiB and 20000 records unless told otherwise)
#
# Needs Python 3 with `presidio-anonymizer`; PYTHON names it. Without it a virtual environment is made in the target
# folder, from PyPI. The tables lie on tmpfs where there is one.
set -euo pipefail
cd "$(dirname "$0")/.."
mib=${1:-512} records=${2:-20000}

cargo build --quiet --release -p datapact-desensitize --example throughput
target=$(realpath "${CARGO_TARGET_DIR:-target}")
folder=$(mktemp -d -p "$([[ -w /dev/shm ]] && echo /dev/shm || echo /tmp)")
trap 'rm -rf "$folder"' EXIT

python=${PYTHON:-python3}
if ! "$python" -c "import presidio_anonymizer" 2>/dev/null; then
    python=$target/presidio-venv/bin/python
    [[ -x $python ]] || python3 -m venv "$target/presidio-venv"
    "$python" -m pip install --quiet "presidio-anonymizer==2.2.*"
fi
"$target/release/examples/throughput" "$folder" "$mib"
"$python" bench/desensitize.py "$folder/table.csv" "$records"
