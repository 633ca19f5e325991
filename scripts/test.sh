#!/usr/bin/env bash
# Everything that must hold before a change goes in, the quick checks first. Stops at the first
# step that fails and says which. Tests find Python at $TRADEWIND_PYTHON and kcat on the path.
set -euo pipefail
cd "$(dirname "$0")/.."

step() {
    local name=$1 started=$SECONDS
    shift
    echo "--- $name"
    if ! "$@"; then
        echo "FAILED: $name ($*)" >&2
        exit 1
    fi
    echo "--- $name: ok after $((SECONDS - started)) s"
}

python=$(scripts/python.sh) || { echo "FAILED: the Python environment of the tests" >&2; exit 1; }
export TRADEWIND_PYTHON=$python
# Ten thousand idle connections are part of the tests; each is a file on either side.
ulimit -n "$(ulimit -Hn)" 2>/dev/null || true

step "dashboard" scripts/dashboard.sh test
step "format" cargo fmt --all --check
# Not `cargo xtask`: run from the whole workspace it shares what the tests are built from.
step "house rules" cargo run --quiet --locked --bin xtask -- tidy
step "generated pages" cargo run --quiet --locked --bin xtask -- docs --check
step "clippy" cargo clippy --workspace --all-targets --locked -- -D warnings
step "tests" cargo test --workspace --locked --no-fail-fast
echo "all checks passed"
