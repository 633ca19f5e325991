#!/usr/bin/env bash
# Runs the benches named as arguments, or all of them. See bench/README.md.
set -euo pipefail
cd "$(dirname "$0")/.."

benches=("$@")
if [ ${#benches[@]} -eq 0 ]; then
    benches=(batch_json http_ingest kafka_port memory cold_start view_latency point_query flight_sql sse_subscribers nexmark)
fi
for bench in "${benches[@]}"; do
    if [ ! -f "bench/$bench/run.py" ]; then
        echo "bench/run.sh: no bench called $bench (there are: $(cd bench && ls -d */run.py | cut -d/ -f1 | xargs))" >&2
        exit 2
    fi
done

export TRADEWIND_BIN="${TRADEWIND_BIN:-${CARGO_TARGET_DIR:-target}/release/tradewind}"
if [ ! -x "$TRADEWIND_BIN" ]; then
    echo "bench/run.sh: $TRADEWIND_BIN is not there: build it with make build, or name one in TRADEWIND_BIN" >&2
    exit 2
fi
export TRADEWIND_BENCH_DIR="${TRADEWIND_BENCH_DIR:-$PWD/target/bench}"
mkdir -p "$TRADEWIND_BENCH_DIR"

environment="$TRADEWIND_BENCH_DIR/venv"
wanted=$(cat bench/requirements.txt tests/requirements.txt)
if [ "$wanted" != "$(cat "$environment/wanted" 2>/dev/null)" ]; then
    echo "making a Python environment with Spark in $environment"
    python3 -m venv "$environment"
    "$environment/bin/pip" install --quiet --disable-pip-version-check -r bench/requirements.txt
    echo "$wanted" >"$environment/wanted"
fi

cargo build --quiet --release --manifest-path bench/loadgen/Cargo.toml --target-dir "$TRADEWIND_BENCH_DIR/loadgen"
export TRADEWIND_LOADGEN="$TRADEWIND_BENCH_DIR/loadgen/release/loadgen"
export PYTHONPATH="$PWD/bench:$PWD/tests/acceptance"

for bench in "${benches[@]}"; do
    echo
    echo "== $bench"
    "$environment/bin/python" "bench/$bench/run.py"
done
