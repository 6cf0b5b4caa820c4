#!/usr/bin/env bash
# What detection finds, beside Presidio's pattern recognizers, on labelled sentences and tables that Faker makes.
#
#   bench/detection.sh [SENTENCES] [SEED] [--misses] [--labelled=FILE]      (4000 sentences and seed 1 unless told otherwise)
#
# Needs Python 3 with `faker` and `presidio-analyzer`; PYTHON names it. Without them a virtual environment is made in
# the target folder, from PyPI. How fast detection is does not matter here, so that a development build does.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --quiet -p datapact-desensitize --example detect
target=$(realpath "${CARGO_TARGET_DIR:-target}")

python=${PYTHON:-python3}
if ! "$python" -c "import faker, presidio_analyzer" 2>/dev/null; then
    python=$target/detection-venv/bin/python
    [[ -x $python ]] || python3 -m venv "$target/detection-venv"
    "$python" -m pip install --quiet "faker==40.*" "presidio-analyzer==2.2.*"
fi
"$python" bench/detection.py "$target/debug/examples/detect" "$@"
